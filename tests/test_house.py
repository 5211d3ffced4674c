"""How the package is laid out; which room may import which is said, and checked, by `lint-imports` (see pyproject.toml)."""

import re
import tomllib
from importlib import import_module
from pathlib import Path

import pytest

import circuitcheck

HOUSE = Path(circuitcheck.__file__).parent
SOURCES = sorted(HOUSE.rglob("*.py"))
PROJECT = HOUSE.parent / "pyproject.toml"
# What may import torch and pytest; all other rooms are named in the contracts that forbid it.
WITH_TORCH = {"engine", "models", "reference_models"}
WITH_PYTEST = {"plugin", "session", "report"}


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: str(path.relative_to(HOUSE)))
def test_no_file_asks_to_be_two(source: Path) -> None:
    assert len(source.read_text().splitlines()) <= 400


def test_no_folder_asks_to_be_two() -> None:
    for folder in {source.parent for source in SOURCES}:
        assert len(list(folder.glob("*.py"))) <= (12 if folder == HOUSE else 15), folder


def test_tests_are_in_the_rooms_that_they_are_about() -> None:
    tested = {path.parent.name for path in Path(__file__).parent.glob("*/__init__.py")}
    assert tested <= {path.parent.name for path in HOUSE.glob("*/__init__.py")}


def test_every_room_says_what_it_is_for() -> None:
    for source in SOURCES:
        assert source.read_text().startswith('"""'), source


def test_only_the_package_itself_imports_by_name() -> None:
    assert [source for source in SOURCES if "import_module" in source.read_text()] == [HOUSE / "__init__.py"]


@pytest.mark.skipif(not PROJECT.exists(), reason="the package is installed without its project")
def test_the_contracts_are_about_every_room_and_let_nothing_off() -> None:
    tops = {path.stem for path in HOUSE.glob("*.py")} | {path.parent.name for path in HOUSE.glob("*/__init__.py")}
    tops -= {"__init__"}
    contracts = tomllib.loads(PROJECT.read_text())["tool"]["importlinter"]["contracts"]
    assert not any("ignore_imports" in contract for contract in contracts)
    forbidden = {
        tuple(one["forbidden_modules"]): one["source_modules"] for one in contracts if one["type"] == "forbidden"
    }
    for modules, rooms in forbidden.items():
        spared = WITH_PYTEST if "pytest" in modules else WITH_TORCH
        assert {room.removeprefix("circuitcheck.") for room in rooms} == tops - spared


ARCHITECTURE = PROJECT.parent / "docs" / "explanation" / "architecture.md"


@pytest.mark.skipif(not ARCHITECTURE.exists(), reason="the package is installed without its docs")
def test_the_walks_pass_functions_that_there_are() -> None:
    walks = ARCHITECTURE.read_text(encoding="utf-8").partition("## Five walks")[2].partition("## ")[0]
    passed = re.findall(r"`((?:[a-z_]+\.)+[A-Z_a-z.]+)`", walks)
    assert len(passed) > 35
    for name in passed:
        *modules, last = name.split(".")
        found = None
        for cut in range(len(modules), 0, -1):
            try:
                found = import_module(".".join(["circuitcheck", *modules[:cut]]))
            except ModuleNotFoundError:
                continue
            for part in [*modules[cut:], last]:
                found = getattr(found, part)
            break
        assert callable(found), name


@pytest.mark.skipif(not ARCHITECTURE.exists(), reason="the package is installed without its docs")
def test_what_a_new_thing_touches_is_there() -> None:
    rows = ARCHITECTURE.read_text(encoding="utf-8").partition("## What a new thing touches")[2].splitlines()
    table = [row.strip("|").split(" | ") for row in rows if row.startswith("|")][2:]
    assert len(table) == 6
    for _, what, where in table:
        path = HOUSE / where.strip(" `|")
        assert path.exists()
        for name in re.findall(r"`([A-Z]+)`", what):
            assert f"{name} = " in path.read_text() or f"{name}: " in path.read_text()


@pytest.mark.skipif(not ARCHITECTURE.exists(), reason="the package is installed without its docs")
def test_the_picture_is_of_the_imports_there_are() -> None:
    from tools import house

    assert house.picture(house.rooms(house.imports(house.modules_of(PROJECT.parent)))) in ARCHITECTURE.read_text(
        encoding="utf-8"
    )
