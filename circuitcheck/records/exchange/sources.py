"""Reading a store that is not to be changed: whoever's file it is, it stays as it was."""

import sqlite3
from collections.abc import Collection, Iterable, Iterator
from contextlib import closing
from pathlib import Path

from circuitcheck.errors import StoreError
from circuitcheck.records.exchange.content import Content, of_kind, rows_of
from circuitcheck.records.files import reason
from circuitcheck.records.mounts import network
from circuitcheck.records.store_files import FORMAT, Foreign, check_ours

# Rows that are read at once.
_AT_ONCE = 2_000
# A pair's number, as ``rows_of`` takes it.
COLUMNS = "e.key, e.origin, e.model, e.said, e.used, n.pair, n.value, n.beside"


def contents(path: Path, models: Collection[str] | None = None, with_files: bool = False) -> Iterator[Content]:
    """All of a store, or all of some models (fingerprints), part by part; ``with_files``: what hashes files of this machine have, too.
    Raises ``StoreError`` for a file that is no store of this version, or is damaged."""
    with closing(opened(path)) as connection:
        try:
            yield from read(connection, models, with_files)
        except sqlite3.Error as error:
            raise StoreError(f"{path} cannot be read ({error}); it is left as it is") from None


def opened(path: Path) -> sqlite3.Connection:
    """A connection that cannot write. Raises ``StoreError`` for what is no store of this version."""
    if not path.exists():
        raise StoreError(f"there is no {path}: pytest writes a store as claims are decided (see --circuit-store)")
    try:
        check_ours(path)
        connection = sqlite3.connect(f"{path.absolute().as_uri()}?{_how(path)}", uri=True)
        try:
            _check(connection)
        except BaseException:
            connection.close()
            raise
    except (sqlite3.Error, OSError, Foreign) as error:
        why = str(error) if isinstance(error, Foreign) else f"it cannot be read: {reason(error)}"
        raise StoreError(f"{path} cannot be used ({why}); it is left as it is") from None
    return connection


def _how(path: Path) -> str:
    """How SQLite is to open a file: on a network file system without a lock or a journal, which it does not have there."""
    if not network(path):
        return "mode=ro"
    journal = path.with_name(f"{path.name}-wal")
    if journal.exists() and journal.stat().st_size:
        raise Foreign(
            f"it is on a network file system, and not all of it is written: {journal.name}; copy both to a disk of this machine"
        )
    return "immutable=1"


def _check(connection: sqlite3.Connection) -> None:
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if version > FORMAT:
        raise Foreign(f"it has format {version}, and this circuitcheck reads format {FORMAT}: update circuitcheck")
    if version != FORMAT:
        old = f"it has the older format {version}, whose numbers are not found any more by what they are numbers of"
        raise Foreign(old if version else "it is empty")
    problems = [str(row[0]) for row in connection.execute("PRAGMA quick_check(1)")]
    if problems != ["ok"]:
        raise Foreign(f"it is damaged: {problems[0]}")


def read(connection: sqlite3.Connection, models: Collection[str] | None, with_files: bool) -> Iterator[Content]:
    """What ``contents`` gives, of an open store."""
    connection.execute("BEGIN")  # what others write meanwhile is not looked at
    some = None if models is None else sorted(models)
    where, values = ("", []) if some is None else (f"WHERE model IN ({','.join('?' * len(some))})", some)
    facts = connection.execute(f"SELECT model, name, value FROM facts {where}", values)  # noqa: S608 - of question marks alone
    decisions = connection.execute(
        f"SELECT test, place, model, seen, content FROM decisions {where} ORDER BY test, model, place",  # noqa: S608
        values,
    )
    files: Iterable[tuple[object, ...]] = (
        connection.execute("SELECT path, stamp, digest FROM files") if with_files else ()
    )
    yield Content(facts=of_kind("fact", facts), decisions=of_kind("decision", decisions), files=of_kind("file", files))
    found = connection.execute(
        f"SELECT {COLUMNS} FROM numbers n JOIN experiments e ON e.id = n.experiment {where.replace('model', 'e.model')} ORDER BY n.experiment",  # noqa: S608
        values,
    )
    while some_rows := found.fetchmany(_AT_ONCE):
        yield Content(numbers=rows_of(some_rows))
