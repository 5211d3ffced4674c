"""The cases in which a verdict could be lost or taken for another, by their kind, as JSON with counts.

    python -m tools.traps                      # all of them: a quarter of an hour on 2 cores
    python -m tools.traps --quick              # without those that take long (`make test-slow` runs them, too)
    python -m tools.traps --json traps.json    # to a file, too

A case is a test, or as many as a test says that it has tried (``record_property("cases", n)``: a fuzz over every field).
"""

import argparse
import json
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

KINDS = {
    "assertion traps": (
        "tests/session/test_bad_input.py",
        "tests/session/test_strict.py",
        "tests/session/test_taken_back.py",
        "tests/session/test_traps.py",
        "tests/session/test_where_claims_are_made.py",
    ),
    "files": (
        "tests/records/test_damaged_lock.py",
        "tests/records/test_foreign_stores.py",
        "tests/records/test_fuzzed_files.py",
        "tests/records/test_places.py",
        "tests/session/test_unwritten.py",
    ),
    "kills": ("tests/session/test_early_end.py", "tests/session/test_killed.py"),
    "injections": (
        "tests/report/test_annotations.py",
        "tests/report/test_markdown.py",
        "tests/session/test_replaying.py",
        "tests/session/test_strangers_text.py",
    ),
}


class Cases:
    """A pytest plugin object that counts the cases of each kind, and names the tests that failed."""

    def __init__(self) -> None:
        self.held: Counter[str] = Counter()
        self.failed: dict[str, list[str]] = defaultdict(list)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        kind = next((kind for kind, files in KINDS.items() if report.nodeid.partition("::")[0] in files), "others")
        if report.failed:
            self.failed[kind].append(report.nodeid)
        elif report.when == "call" and report.passed:
            tried = [int(str(value)) for name, value in report.user_properties if name == "cases"]
            self.held[kind] += sum(tried) or 1

    def as_json(self) -> dict[str, Any]:
        kinds = {
            kind: {
                "cases": self.held[kind] + len(self.failed[kind]),
                "held": self.held[kind],
                "failed": sorted(set(self.failed[kind])),
            }
            for kind in KINDS
        }
        return {"cases": sum(one["cases"] for one in kinds.values()), "kinds": kinds}


def main(arguments: Iterable[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--quick", action="store_true", help="without those that take long")
    parser.add_argument("--json", type=Path, metavar="PATH")
    given = parser.parse_args(None if arguments is None else [*arguments])
    cases = Cases()
    which = [] if given.quick else ["-m", "slow or not slow"]
    files = [file for files in KINDS.values() for file in files]
    code = pytest.main([*files, "-q", "--no-header", "-n", "2", *which], plugins=[cases])
    text = json.dumps(cases.as_json(), indent=2)
    if given.json is not None:
        given.json.write_text(f"{text}\n", encoding="utf-8")
    print(text)
    return int(code)


if __name__ == "__main__":
    sys.exit(main())
