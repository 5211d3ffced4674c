"""Which jobs there are: a dry collection, written as JSON where the variable says (``-p circuitcheck.session.jobs.collecting``)."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from circuitcheck.records.store import NAME
from circuitcheck.session import guard, resources
from circuitcheck.session.listing import OF_VERDICTS
from circuitcheck.session.models_asked import Asked, asked_of
from circuitcheck.session.options import option
from circuitcheck.texts import without

VARIABLE = "CIRCUITCHECK_COLLECTED"


def pytest_configure(config: pytest.Config) -> None:
    for name in OF_VERDICTS:
        if config.getoption(f"circuit_{name}", None) not in (None, False):
            raise pytest.UsageError(
                f"gather decides nothing, so that --circuit-{name} has nothing to tell: give it to pytest afterwards"
            )
    if config.getoption("circuit_lock") == "update":
        raise pytest.UsageError("gather decides nothing that could be locked; --circuit-lock=check goes")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    jobs: dict[tuple[str, str], dict[str, Any]] = {}
    lacking = []
    for item in filter(guard.uses_the_fixture, items):
        asked = asked_by(item)
        lacking += [] if asked else [item.nodeid]
        for one in asked:
            file = os.path.relpath(item.path, config.rootpath)
            job = jobs.setdefault(
                (one.text, file), {"model": one.text, "file": file, "tests": []} | _taken(one, config.rootpath)
            )
            job["tests"].append(without(item.nodeid, one.text))
    said = {
        "root": str(config.rootpath),
        "store": str(option(config, "store") or NAME),
        "named": [str(one) for one in config.option.file_or_dir],
        "jobs": list(jobs.values()),
        "lacking": lacking,
    }
    Path(os.environ[VARIABLE]).write_text(json.dumps(said), encoding="utf-8")


def asked_by(item: pytest.Item) -> list[Asked]:
    """The models that a test asks: its own of several, or the session's."""
    callspec = getattr(item, "callspec", None)
    own = callspec.params.get("model") if callspec is not None else None
    return [own] if isinstance(own, Asked) else asked_of(item.config)


def _taken(asked: Asked, root: Path) -> dict[str, Any]:
    """What a process that loads the model takes, and what it reads."""
    source = asked.source(root)
    paths = [asked.name] if isinstance(source, Path) else []
    paths += [value for option, value in asked.options if option == "adapter"]
    paths += [one.path for one in asked.dictionaries if one.place(root).exists()]
    weights = resources.size(source)
    return {"weights": weights, "memory": resources.need(weights), "paths": paths}
