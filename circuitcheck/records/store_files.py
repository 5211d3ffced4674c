"""Whose file is at a store's place: only what is a store, or nothing yet, is opened to be written.

A store is a SQLite database whose header has our mark, or, of those that were begun before there was one, our tables.
"""

import os
import sqlite3
import stat
import time
from contextlib import closing
from pathlib import Path

from circuitcheck.records.mounts import network
from circuitcheck.texts import plural

FORMAT = 2
# In the header of the file, in bytes 68 to 71: SQLite's "application id".
MARK = int.from_bytes(b"circ", "big")
_MAGIC, _HEADER = b"SQLite format 3\0", 100
_OF_A_STORE = {"experiments": {"model", "said"}, "numbers": {"experiment", "pair", "value", "beside"}}
# How long a file is looked at again that another process may just be beginning.
_SETTLES_S = 1.0


TABLES = (
    """CREATE TABLE IF NOT EXISTS experiments (
        id INTEGER PRIMARY KEY AUTOINCREMENT, key BLOB NOT NULL, origin TEXT NOT NULL, model TEXT NOT NULL,
        said TEXT NOT NULL, used INTEGER NOT NULL, UNIQUE (key, origin))""",
    """CREATE TABLE IF NOT EXISTS numbers (
        experiment INTEGER NOT NULL, pair BLOB NOT NULL, value NOT NULL, beside REAL NOT NULL,
        PRIMARY KEY (experiment, pair)) WITHOUT ROWID""",
    """CREATE TABLE IF NOT EXISTS facts (
        model TEXT NOT NULL, name TEXT NOT NULL, value TEXT NOT NULL, PRIMARY KEY (model, name))""",
    """CREATE TABLE IF NOT EXISTS decisions (
        test TEXT NOT NULL, place INTEGER NOT NULL, model TEXT NOT NULL, seen INTEGER NOT NULL, content TEXT NOT NULL,
        PRIMARY KEY (test, place, model))""",
    """CREATE TABLE IF NOT EXISTS files (
        path TEXT NOT NULL PRIMARY KEY, stamp TEXT NOT NULL, digest TEXT NOT NULL)""",
)


class Foreign(Exception):
    """The file is another program's, or another version's."""


def check_ours(path: Path) -> None:
    """Raises ``Foreign`` for a file that is neither a store nor empty, and ``sqlite3.OperationalError`` for one that is locked;
    it is only read."""
    until = time.monotonic() + _SETTLES_S
    while True:
        try:
            return _check(path)
        except sqlite3.OperationalError:
            raise
        except sqlite3.DatabaseError as error:
            if time.monotonic() > until:
                raise Foreign(f"it cannot be read ({error}), and has no mark of a store") from None
            time.sleep(0.05)


def check_to_write(path: Path) -> None:
    """The same for a file that is to be written. Raises ``Foreign`` on a network file system, too, where two writers could not be kept
    apart."""
    if system := network(path):
        raise Foreign(
            f"it is on a network file system ({system}), over which SQLite's write-ahead log does not work: keep a store on a disk of each "
            "machine, with one writer a file, and bring them together with circuitcheck store merge"
        )
    check_ours(path)


def is_marked(path: Path) -> bool:
    """Whether the file's header says that it is a store, whatever became of the rest."""
    with open(path, "rb") as file:
        header = file.read(_HEADER)
    return header.startswith(_MAGIC) and header[68:72] == MARK.to_bytes(4, "big")


def _check(path: Path) -> None:
    try:
        there = os.stat(path)
    except FileNotFoundError:
        return
    if not stat.S_ISREG(there.st_mode):
        raise Foreign("it is no file")
    if there.st_size == 0 or is_marked(path):
        return
    with open(path, "rb") as file:
        if not file.read(_HEADER).startswith(_MAGIC):
            raise Foreign("it is no store: no SQLite database")
    # Looked at without SQLite's journals no file is made beside it; where there is one, what is in it counts.
    journal = path.with_name(f"{path.name}-wal")
    how = "mode=ro" if journal.exists() and journal.stat().st_size else "immutable=1"
    with closing(sqlite3.connect(f"{path.absolute().as_uri()}?{how}", uri=True)) as connection:
        check_tables(connection)


def check_tables(connection: sqlite3.Connection) -> None:
    """Raises ``Foreign`` where a database has tables, and they are no store's."""
    tables = {str(name) for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    if not tables and connection.execute("PRAGMA application_id").fetchone()[0] in (0, MARK):
        return
    for table, columns in _OF_A_STORE.items():
        found = {str(row[1]) for row in connection.execute(f"PRAGMA table_info({table})")}
        if not columns <= found:
            raise Foreign("it is another program's database")


def check(path: Path) -> list[str]:
    """What is wrong with a store's file, a line each; it is only read."""
    try:
        check_ours(path)
        with sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True) as connection:
            found = [str(row[0]) for row in connection.execute("PRAGMA integrity_check")]
            lost = connection.execute(
                "SELECT COUNT(*) FROM numbers WHERE experiment NOT IN (SELECT id FROM experiments)"
            ).fetchone()[0]
    except (sqlite3.Error, OSError, Foreign) as error:
        return [str(error)]
    return [line for line in found if line != "ok"] + ([f"{plural(lost, 'number')} of no experiment"] if lost else [])
