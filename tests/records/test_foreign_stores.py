"""A store takes only what is its own: other files are left as they are, and a locked one is waited for once, with a word."""

import os
import sqlite3
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from circuitcheck.cli import main
from circuitcheck.records import store as stores
from circuitcheck.records.store import FORMAT, NAME, Store, key_of
from circuitcheck.records.store_files import MARK, check
from tests.conftest import Claims

KEY = key_of("model", "experiment", "said")
HELD = "def test_it(model):\n    assert model.on(FRUIT).patch(ALL) > 0.5\n"


def database(*statements: str) -> Callable[[Path], None]:
    def make(path: Path) -> None:
        with closing(sqlite3.connect(path)) as connection:
            for statement in statements:
                connection.execute(statement)
            connection.commit()

    return make


def cut(path: Path) -> None:
    database("CREATE TABLE cookies (name)")(path)
    path.write_bytes(path.read_bytes()[:3000])


def with_a_journal(path: Path) -> None:
    """What a program that was killed leaves: its tables are in the journal alone."""
    other = path.with_name("other")
    with closing(sqlite3.connect(other)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("CREATE TABLE cookies (name)")
        connection.commit()
        for end in ("", "-wal"):
            Path(f"{path}{end}").write_bytes(Path(f"{other}{end}").read_bytes())


FOREIGN: dict[str, Callable[[Path], object]] = {
    "notes": lambda path: path.write_text("not a database"),
    "zeros": lambda path: path.write_bytes(b"\0" * 8192),
    "a header alone": lambda path: path.write_bytes(b"SQLite format 3\0" + b"nonsense" * 500),
    "a database": database("CREATE TABLE cookies (name)"),
    "of an older version's number": database("CREATE TABLE cookies (name)", "PRAGMA user_version = 1"),
    "of this version's number": database("CREATE TABLE cookies (name)", f"PRAGMA user_version = {FORMAT}"),
    "of a newer version's number": database("CREATE TABLE cookies (name)", f"PRAGMA user_version = {FORMAT + 1}"),
    "tables of the same names": database("CREATE TABLE experiments (id, name)", "CREATE TABLE numbers (n)"),
    "with a write-ahead log": database("PRAGMA journal_mode = WAL", "CREATE TABLE cookies (name)"),
    "marked by its program": database("PRAGMA application_id = 77"),
    "a view": database("CREATE TABLE cookies (name)", "CREATE VIEW experiments AS SELECT name FROM cookies"),
    "cut off": cut,
    "killed": with_a_journal,
}


@pytest.mark.parametrize("name", FOREIGN)
def test_somebody_elses_file_is_refused_and_left_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    monkeypatch.setattr("circuitcheck.records.store_files._SETTLES_S", 0.05)
    path = tmp_path / "evidence.sqlite"
    FOREIGN[name](path)
    before = {one.name: one.read_bytes() for one in tmp_path.iterdir()}
    store = Store(path)
    assert store.keep([(KEY, b"pair", 1.0, 0.0)], "here") == 0
    store.close()
    [message] = store.messages
    assert message.startswith(f"{path} cannot be used (it ")
    assert "move it away" in message
    for words in (["show"], ["prune", "--older", "0"]):
        assert main(["store", *words, f"--store={path}"]) == 2
    assert main(["decide", f"--store={path}"]) == 2
    assert main(["store", "check", f"--store={path}"]) == 1
    assert capsys.readouterr().err.count("cannot be used") == 3
    left = {one.name: one.read_bytes() for one in tmp_path.iterdir() if not one.name.endswith("-shm")}
    assert left == {one: content for one, content in before.items() if not one.endswith("-shm")}


def test_a_run_goes_on_without_it_and_says_so(claims: Claims, pytester: pytest.Pytester) -> None:
    path = pytester.path / "cookies.sqlite"
    FOREIGN["a database"](path)
    before = path.read_bytes()
    result = claims(HELD, "--circuit-store=cookies.sqlite")
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines([f"store: {path} cannot be used (it is another program's database; *"])
    assert path.read_bytes() == before


def test_what_is_no_file_is_no_store(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (Path(os.devnull), Path("/dev/full"), tmp_path / "pipe"):
        store = Store(path)
        assert store.off, path
        assert "it is no file" in store.messages[0]
    assert Path(os.devnull).is_char_device()


def test_empty_files_and_stores_of_before_there_was_a_mark_are_taken(tmp_path: Path) -> None:
    empty, blank, old = (tmp_path / name for name in ("empty", "blank", "old"))
    empty.touch()
    database("PRAGMA journal_mode = WAL")(blank)
    Store(old).close()
    database("PRAGMA application_id = 0")(old)
    for path in (empty, blank, old):
        store = Store(path)
        assert store.keep([(KEY, b"pair", 1.0, 0.0)], "here") == 1, path
        store.close()
        assert store.messages == []
        assert check(path) == []
        assert path.read_bytes()[68:72] == MARK.to_bytes(4, "big")


def test_a_store_of_a_newer_format_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "evidence.sqlite"
    Store(path).close()
    database(f"PRAGMA user_version = {FORMAT + 1}")(path)
    before = path.read_bytes()
    [message] = Store(path).messages
    assert f"it has format {FORMAT + 1}" in message
    assert (path.read_bytes(), [one.name for one in tmp_path.iterdir() if "format" in one.name]) == (before, [])


def test_a_locked_store_is_waited_for_once_with_a_word(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stores, "_SOON_S", 0.05)
    monkeypatch.setattr(stores, "_WAIT_S", 0.6)
    path, said = tmp_path / "evidence.sqlite", list[str]()
    store = Store(path, said.append)
    with closing(sqlite3.connect(path, isolation_level=None, check_same_thread=False)) as other:
        other.execute("BEGIN IMMEDIATE")
        threading.Timer(0.2, lambda: other.execute("COMMIT")).start()
        assert store.keep([(KEY, b"one", 1.0, 0.0)], "here") == 1
        assert said == store.messages == [f"{path} is locked by another process: it is waited for, 0.6 s at most"]
        other.execute("BEGIN IMMEDIATE")
        assert store.keep([(KEY, b"two", 1.0, 0.0)], "here") == 0
        assert len(said) == 1
        assert "another process has kept it locked" in store.messages[1]
        assert store.recall(KEY, [b"one"], "here") == {}, "it is gone without from here on"


def test_the_word_is_said_at_once(claims: Claims, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stores, "_SOON_S", 0.05)
    monkeypatch.setattr(stores, "_WAIT_S", 0.2)
    path = pytester.path / NAME
    Store(path).close()
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        result = claims(HELD)
    result.assert_outcomes(passed=1)
    told = [line for line in result.outlines if line.startswith("store: ")]
    assert "is waited for" in told[0]
    assert result.outlines.index(told[0]) < next(
        n for n, line in enumerate(result.outlines) if "circuit claims" in line
    ), "before the closing section"


def test_a_half_made_store_is_made_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another process had the file locked while its tables were made."""
    monkeypatch.setattr(stores, "_SOON_S", 0.05)
    path = tmp_path / "evidence.sqlite"
    database("PRAGMA journal_mode = WAL")(path)
    with closing(sqlite3.connect(path, isolation_level=None, check_same_thread=False)) as other:
        other.execute("BEGIN IMMEDIATE")
        threading.Timer(0.2, lambda: other.execute("COMMIT")).start()
        store = Store(path)
    assert store.keep([(KEY, b"pair", 1.0, 0.0)], "here") == 1


def test_a_process_that_was_forked_leaves_the_file_to_its_parent(tmp_path: Path) -> None:
    path = tmp_path / "evidence.sqlite"
    store = Store(path)
    if not (child := os.fork()):
        os._exit(0 if store.keep([(KEY, b"child", 1.0, 0.0)], "here") == 0 and store.off else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert store.keep([(KEY, b"parent", 1.0, 0.0)], "here") == 1
    store.close()
    again = Store(path)
    assert set(again.recall(KEY, [b"child", b"parent"], "here")) == {b"parent"}
    again.close()
    if not (child := os.fork()):  # nothing was open
        os._exit(0 if again.keep([(KEY, b"child", 1.0, 0.0)], "here") == 1 else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert set(Store(path).recall(KEY, [b"child"], "here")) == {b"child"}
