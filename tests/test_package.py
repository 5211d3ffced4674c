"""What the package says of itself to those who install it: its dependencies, and its page; and which tests may be skipped."""

import ast
import re
import sys
import tomllib
from functools import cache
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from tests.permitted_skips import SKIPS, is_permitted
from tools.index_page import page

ROOT = Path(__file__).parents[1]
PROJECT = ROOT / "pyproject.toml"
OURS = {"circuitcheck", "tests", "tools", "benchmarks", "differential", "hypotheses"}
# By module: before runs inside these tests look at plugins alone (see tests/conftest.py).
DISTRIBUTIONS = packages_distributions()
# Imported where they are there, and not otherwise: by the builder alone; a module next to the file that imports it; in an
# environment of its own, with an older TransformerLens.
NOT_OURS_TO_DECLARE = {"behaviours", "hatchling", "knowledge", "names", "nouns", "sae_lens", "texts"}

pytestmark = pytest.mark.skipif(not PROJECT.exists(), reason="the package is installed without its project")


def declared(*extras: str) -> set[str]:
    """The distributions that are named, in the spelling that all spellings of a name have in common."""
    project = tomllib.loads(PROJECT.read_text())["project"]
    optional = project["optional-dependencies"]
    names = [*project["dependencies"], *(name for extra in extras or optional for name in optional[extra])]
    return {spelled(re.split(r"[<>=\[ ]", name)[0]) for name in names}


def spelled(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


@cache
def imported(folder: str) -> dict[str, set[str]]:
    """The distributions that the files of a folder import, wherever in a file, each with the files."""
    found: dict[str, set[str]] = {}
    for file in (ROOT / folder).rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.module and not node.level:
                names = [node.module]
            for top in (
                {name.partition(".")[0] for name in names} - OURS - NOT_OURS_TO_DECLARE - sys.stdlib_module_names
            ):
                found.setdefault(spelled(DISTRIBUTIONS.get(top, [top])[0]), set()).add(file.name)
    return found


def test_every_package_that_is_imported_is_declared() -> None:
    assert {name: files for name, files in imported("circuitcheck").items() if name not in declared()} == {}
    elsewhere = {name: files for folder in OURS - {"circuitcheck"} for name, files in imported(folder).items()}
    assert {name: files for name, files in elsewhere.items() if name not in declared()} == {}


def test_what_is_imported_without_a_condition_needs_no_extra() -> None:
    """At the top of a file, but for those of extras, which are imported where what they are for is asked for."""
    extras = declared("frames", "gguf", "html", "peft", "probes", "ray", "xdist") - declared("bench") | {"pytest-xdist"}
    needed = {name for name in imported("circuitcheck") if name not in extras}
    project = tomllib.loads(PROJECT.read_text())["project"]
    assert needed == {spelled(re.split(r"[<>=\[ ]", name)[0]) for name in project["dependencies"]}


def test_links_on_the_package_index_s_page_are_absolute_or_none() -> None:
    text = page((ROOT / "README.md").read_text(encoding="utf-8"))
    assert re.findall(r"\]\((?!https?://|#)", text) == []
    assert len(text) > 5_000
    assert page("[a](docs/a.md) ![b](b.svg) [c](https://c) `[d]`") == "a b [c](https://c) `[d]`"
    project = tomllib.loads(PROJECT.read_text())
    assert "readme" in project["project"]["dynamic"]
    assert project["tool"]["hatch"]["metadata"]["hooks"]["custom"]["path"] == "tools/index_page.py"


def test_the_only_tests_that_are_skipped_are_those_on_a_list_with_reasons() -> None:
    """See ``tests/conftest.py``, which fails any other; and each reason on the list is one that some test gives."""
    texts = [file.read_text() for file in Path(__file__).parent.rglob("*.py") if file.name != "permitted_skips.py"]
    for pattern, why in SKIPS.items():
        assert len(why) > 20
        words = re.split(r"[.*()|\\]+", pattern)
        assert any(all(word in text for word in words) for text in texts), pattern
    assert is_permitted("Skipped: the real trained model x is not beside this checkout (/x)")
    assert not is_permitted("Skipped: not today")
