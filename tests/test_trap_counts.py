"""`make traps` counts what there is."""

from pathlib import Path

import pytest

from tools.traps import KINDS, Cases

ROOT = Path(__file__).parent.parent


def report(nodeid: str, outcome: str, when: str = "call", cases: int = 0) -> pytest.TestReport:
    properties = [("cases", str(cases))] if cases else []
    return pytest.TestReport(nodeid, ("", 0, ""), {}, outcome, None, when, user_properties=properties)  # type: ignore[arg-type]


def test_every_file_of_a_kind_is_there_and_of_one_kind_alone() -> None:
    files = [file for files in KINDS.values() for file in files]
    assert len(files) == len(set(files))
    assert [file for file in files if not (ROOT / file).exists()] == []


def test_cases_are_counted_by_kind() -> None:
    cases = Cases()
    for one in (
        report(f"{KINDS['files'][0]}::test_one", "passed"),
        report(f"{KINDS['files'][0]}::test_one", "passed", "setup"),
        report(f"{KINDS['files'][1]}::test_many", "passed", cases=1600),
        report(f"{KINDS['kills'][0]}::test_lost", "failed"),
        report(f"{KINDS['kills'][0]}::test_skipped", "skipped"),
    ):
        cases.pytest_runtest_logreport(one)
    found = cases.as_json()
    assert found["cases"] == 1602
    assert found["kinds"]["files"] == {"cases": 1601, "held": 1601, "failed": []}
    assert found["kinds"]["kills"] == {"cases": 1, "held": 0, "failed": [f"{KINDS['kills'][0]}::test_lost"]}
