"""A store that several processes write to at once."""

import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from circuitcheck.records.store import NAME, Store, key_of
from circuitcheck.records.store_files import check

WRITER = """
import sys
from pathlib import Path
from circuitcheck.records.store import Store, key_of
store, who = Store(Path(sys.argv[1])), int(sys.argv[2])
input()
for start in range(0, 10_000, 50):
    key = key_of("model", f"experiment {start // 1000}", "said")
    store.keep([(key, f"{who}/{number}".encode(), float(number), 0.0) for number in range(start, start + 50)], "here")
store.close()
"""


def test_two_processes_that_write_at_once_lose_nothing(tmp_path: Path) -> None:
    path = tmp_path / "evidence.sqlite"
    command = [sys.executable, "-c", WRITER, str(path)]
    writers = [subprocess.Popen([*command, str(who)], stdin=subprocess.PIPE, text=True) for who in range(2)]
    for writer in writers:
        assert writer.stdin is not None
        writer.stdin.write("\n")
        writer.stdin.close()
    assert [writer.wait(120) for writer in writers] == [0, 0]
    assert check(path) == []
    store = Store(path)
    assert [kept.numbers for kept in store.models()] == [20_000]
    key = key_of("model", "experiment 7", "said")
    asked = [f"{who}/{number}".encode() for who in range(2) for number in range(7000, 8000)]
    found = store.recall(key, asked, "here")
    assert sorted(value for value, _ in found.values()) == sorted([*range(7000, 8000)] * 2)
    store.close()


@pytest.mark.slow
def test_two_workers_that_write_at_once_lose_nothing(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import pytest
        from circuitcheck.session.loading import store_of
        from circuitcheck.records.store import key_of

        @pytest.mark.parametrize("part", range(20))
        def test_write(part, pytestconfig):
            store, key = store_of(pytestconfig), key_of("model", "experiment", "said")
            for start in range(0, 1000, 20):
                store.keep([(key, f"{part}/{n}".encode(), float(n), 0.0) for n in range(start, start + 20)], "here")
        """
    )
    pytester.runpytest_subprocess("-n2").assert_outcomes(passed=20)
    path = pytester.path / NAME
    assert check(path) == []
    with closing(Store(path)) as store:
        assert [kept.numbers for kept in store.models()] == [20_000]
