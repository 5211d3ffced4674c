"""Which tests ``circuitcheck replay`` runs: those that pytest finds in the suite, and that found a counterexample.

A pytest plugin (``-p circuitcheck.session.replaying``). The names of tests in counterexamples are anybody's text: they are
compared with what was collected from the root, and never given to pytest as arguments.
"""

import os
from pathlib import Path

import pytest

from circuitcheck.records.counterexamples import FOLDER, read

_NAMES = pytest.StashKey[frozenset[str]]()


@pytest.hookimpl(tryfirst=True)
def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Nothing is imported but the files of those tests, and what is in the folders above them."""
    path = str(collection_path)
    files = [os.path.normpath(config.rootpath / name.partition("::")[0]) for name in _names(config)]
    wanted = any(file == path or file.startswith(path.rstrip(os.sep) + os.sep) for file in files)
    return None if wanted else True


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    others = [item for item in items if item.nodeid not in _names(config)]
    if others:
        config.hook.pytest_deselected(items=others)
        items[:] = [item for item in items if item.nodeid in _names(config)]


def _names(config: pytest.Config) -> frozenset[str]:
    """The tests that found counterexamples."""
    if _NAMES not in config.stash:
        known = read(config.rootpath / FOLDER)
        config.stash[_NAMES] = frozenset(one.nodeid for one in known if "\0" not in one.nodeid)
    return config.stash[_NAMES]
