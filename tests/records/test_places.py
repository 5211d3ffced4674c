"""Whatever stands at a path: pipes, links, open files, read-only folders and locks that others write at the same time."""

import ctypes
import errno
import fcntl
import json
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

# What a run inside imports first is forgotten after it, and takes seconds.
import circuitcheck.report.page.page  # noqa: F401
from circuitcheck.records import files
from circuitcheck.records.locks.entries import digest_of, sealed
from circuitcheck.records.locks.files import read, write
from circuitcheck.records.locks.lock import NAME, Lock
from circuitcheck.records.locks.numbers import Row, as_text
from tests.conftest import HEAD, Claims

SUITE = """
def test_held(model):
    assert model.on(FRUIT).patch(ALL) > 0.5
"""


def test_a_pipe_is_written_to_where_somebody_reads_and_costs_a_line_where_nobody_does(
    claims: Claims, pytester: pytest.Pytester
) -> None:
    pipe, found = pytester.path / "pipe", list[str]()
    os.mkfifo(pipe)
    alone = claims(SUITE, f"--circuit-json={pipe}")
    alone.assert_outcomes(passed=1)
    alone.stdout.fnmatch_lines([f"could not write {pipe}: nobody reads from it"])
    reader = threading.Thread(target=lambda: found.append(pipe.read_text()))
    reader.start()
    assert claims(SUITE, f"--circuit-json={pipe}").ret == 0
    reader.join(20)
    assert len(json.loads(found[0])["claims"]) == 1
    assert pipe.is_fifo()


def test_a_reader_that_goes_away_costs_the_line_alone(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    threading.Timer(0.1, os.close, [reader]).start()
    with pytest.raises(BrokenPipeError):
        files.write(pipe, b"x" * 10**6)


def test_what_a_process_has_open_is_added_to_and_not_replaced(tmp_path: Path) -> None:
    """As ``--circuit-json=/dev/stdout > file`` asks for."""
    path = tmp_path / "out"
    with path.open("w") as out:
        out.write("before\n")
        out.flush()
        link = tmp_path / "link"
        link.symlink_to(f"/proc/self/fd/{out.fileno()}")
        for name in (Path(f"/dev/fd/{out.fileno()}"), link):
            files.write(name, b"report\n")
        assert os.fstat(out.fileno()).st_ino == path.stat().st_ino
    assert path.read_text() == "before\nreport\nreport\n"


def test_a_file_with_two_names_keeps_both(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one, other, last = (tmp_path / name for name in ("one", "other", "last"))
    one.write_text("before, and longer")
    other.hardlink_to(one)
    files.write(one, b"after")
    assert (other.read_text(), one.samefile(other)) == ("after", True)
    last.write_text("last")
    monkeypatch.setattr(os, "replace", refusing)
    with pytest.raises(OSError, match="busy"):
        files.write_together({one: b"never", last: b"never"})
    assert (other.read_text(), one.samefile(other), last.read_text()) == ("after", True, "last")
    assert sorted(os.listdir(tmp_path)) == ["last", "one", "other"]


def refusing(new: Path, place: Path) -> None:
    raise OSError(errno.EBUSY, os.strerror(errno.EBUSY))


@contextmanager
def as_any_user() -> Iterator[None]:
    """Root, too, may write only where the modes of files and folders say so (Linux: without CAP_DAC_OVERRIDE)."""
    if os.geteuid() != 0:
        yield
        return
    libc, header, data = ctypes.CDLL(None), (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)()
    assert libc.capget(header, data) == 0
    before = data[0]
    data[0] = before & ~0b110
    assert libc.capset(header, data) == 0
    try:
        yield
    finally:
        data[0] = before
        assert libc.capset(header, data) == 0


def test_a_read_only_folder_costs_lines_and_no_verdict(claims: Claims, pytester: pytest.Pytester) -> None:
    body = SUITE + "def test_every(model):\n    assert model.on(FRUIT).patch(NONE).each > 0.5\n"
    assert claims(SUITE, "--circuit-lock=update").ret == 0
    pytester.makepyfile(HEAD + body)
    before = {path: path.read_bytes() for path in pytester.path.glob("circuitcheck.lock*")}
    folders = (pytester.path, pytester.path / ".circuitcheck")
    try:
        for folder in folders:
            folder.chmod(0o555)
        with as_any_user():
            result = pytester.runpytest_inprocess(
                "--circuit-model=bundled",
                "-p",
                "no:cacheprovider",
                "--circuit-json=found.json",
                "--circuit-lock=update",
                "--circuit-accept=all",
            )
    finally:
        for folder in folders:
            folder.chmod(0o755)
    result.assert_outcomes(passed=1, failed=1)
    told = "\n".join(result.outlines)
    assert "could not write found.json: Permission denied" in told
    assert f"lock: {NAME} could not be written: Permission denied" in told
    assert "/.circuitcheck/counterexamples/" in told
    assert "2 claims: 1 supported, 1 refuted" in told
    assert {path: path.read_bytes() for path in pytester.path.glob("circuitcheck.lock*")} == before


def updates(path: Path, number: int, times: int) -> None:
    """Write a lock that differs from other processes' in both files, and read whatever is there, again and again."""
    for _ in range(times):
        entry = {"test": f"test_{number}", "claim": "", "outcome": "passed", "verdict": "supported", "fingerprint": "f"}
        effect = {"unit": "gap", "label": "patch", "verdict": "supported", "threshold": 0.5, "estimate": 1.0}
        effect |= {"operator": ">", "margin": None, "level": 0.95, "exact": True, "method": {}}
        numbers = [{f"p{one}": Row(float(number)) for one in range(500)}]
        entry = sealed(entry | {"effects": [effect], "pairs": digest_of(list(map(as_text, numbers)))})
        with files.one_at_a_time(path.parent):
            write(Lock({f"claim{number}": entry}, {f"claim{number}": numbers}, []), path)
        if (edited := read(path).edited) != {}:
            raise AssertionError(edited)


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_locks_that_are_updated_at_once_are_each_written_whole(tmp_path: Path) -> None:
    children = []
    for number in range(4):
        if not (child := os.fork()):
            try:
                updates(tmp_path / NAME, number, 40)
            except BaseException:
                os._exit(1)
            os._exit(0)
        children.append(child)
    assert [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children] == [0] * 4
    assert sorted(os.listdir(tmp_path)) == [NAME, f"{NAME}.pairs"]


def test_an_update_waits_for_another_and_loses_none_of_its_claims(
    claims: Claims, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    more = SUITE + SUITE.replace("test_held", "test_more").replace("ALL", "'L1.N8'")
    assert claims(more, "--circuit-lock=update").ret == 0
    whole = (pytester.path / NAME).read_bytes()
    (pytester.path / NAME).unlink()
    (pytester.path / f"{NAME}.pairs").unlink()
    folder = os.open(pytester.path, os.O_RDONLY)
    fcntl.flock(folder, fcntl.LOCK_EX)

    def other() -> None:
        time.sleep(1)
        (pytester.path / NAME).write_bytes(whole)
        (pytester.path / f"{NAME}.pairs").write_text("{}")
        os.close(folder)

    writer = threading.Thread(target=other)
    writer.start()
    result = claims(SUITE, "--circuit-lock=update")
    writer.join()
    assert (result.ret, (pytester.path / NAME).read_bytes()) == (1, whole)
    result.stdout.fnmatch_lines(["  left as it was: *test_more:", "    the claim is gone"])
    monkeypatch.setattr(files, "_WAIT_S", 0.1)
    folder = os.open(pytester.path, os.O_RDONLY)
    fcntl.flock(folder, fcntl.LOCK_EX)
    kept = claims(SUITE, "--circuit-lock=check")
    os.close(folder)
    kept.assert_outcomes(passed=1)
    kept.stdout.fnmatch_lines(["lock: *cannot be read: another process has kept * locked for 0.1 s"])
