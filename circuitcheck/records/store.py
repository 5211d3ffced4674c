"""What has been computed stays computed: numbers of pairs in a file, found again by what they are numbers of.

    store = Store(Path(".circuitcheck/evidence.sqlite"))
    store.keep([(key, pair, 3.29, 0.0)], origin)      # written before it returns: a killed run loses nothing that it kept
    store.recall(key, [pair], origin)                 # {pair: (3.29, 0.0)}

A key is made of what a number is a number of (model, method, sites, readout: ``key_of``), a pair of its tokens; the ``origin``
says what computed it (versions of libraries, device). So nothing in here is ever out of date, and any number of processes may
write at once. A store that is damaged, or of an older format, is set aside, and a new one begun; where none can be written, and
where the file is somebody else's, a run goes on without.
"""

import os
import re
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from circuitcheck.records.files import reason
from circuitcheck.records.store_files import FORMAT, MARK, TABLES, Foreign, check_tables, check_to_write, is_marked
from circuitcheck.texts import encodable, hashed

NAME = Path(".circuitcheck") / "evidence.sqlite"
# A pair's number, or numbers of double precision as bytes.
Number = float | bytes
_Result = TypeVar("_Result")
# How long a locked file is waited for: at each try without a word, and in all of a session with one.
_SOON_S, _WAIT_S = 2.0, 60.0
# How often a file is found damaged until nothing is tried any more.
_TRIES = 4
# Pairs that are asked for in one statement, and the length of an experiment's description at most, in characters.
_AT_ONCE, _SAID = 500, 400
_SHA_256 = re.compile("[0-9a-f]{64}")
# Connections that a forked process has from its parent, and must neither use nor close.
_OF_PARENTS: list[sqlite3.Connection] = []


@dataclass(frozen=True)
class Key:
    """What some numbers are numbers of: done with ``model`` (a fingerprint), and what that was in words."""

    digest: bytes
    model: str
    said: str


@dataclass(frozen=True)
class Kept:
    """What a store holds of one model: ``used`` is when it was last asked for or added to, in seconds since 1970."""

    model: str
    name: str
    experiments: int
    numbers: int
    used: int


def key_of(model: str, identity: str, said: str) -> Key:
    """The key of what was done with a model: its identity says all of it, and what is ``said`` is for people."""
    return Key(hashed(f"{model}\n{identity}"), model, encodable(said[:_SAID]))


class Store:
    """One process' way into the file at ``path``, from any of its threads. ``messages``: what was wrong with it; ``off``: it is
    gone without. ``say``: where a word goes at once, such as that a locked file is waited for. ``takes_others``: whether an effect may
    have the numbers of another origin than its session's."""

    def __init__(self, path: Path, say: Callable[[str], None] | None = None, takes_others: bool = True):
        self.path, self.messages, self.off = path, list[str](), False
        self._say, self._takes_others = say, takes_others
        self._lock, self._process = threading.RLock(), os.getpid()
        self._connection: sqlite3.Connection | None = None
        self._opened_file: tuple[int, int] | None = None
        self._waited = 0.0
        self._used: set[tuple[bytes, str]] = set()
        self._work(lambda connection: None, None)

    def recall(self, key: Key, pairs: Sequence[bytes], origin: str) -> dict[bytes, tuple[Number, float]]:
        """What an origin gave for these pairs, with what was kept beside it; a pair of which nothing is known is not there."""

        def read(connection: sqlite3.Connection) -> dict[bytes, tuple[Number, float]]:
            of_this = "SELECT id FROM experiments WHERE key = ? AND origin = ?"
            row = connection.execute(of_this, (key.digest, origin)).fetchone()
            found: dict[bytes, tuple[Number, float]] = {}
            for start in range(0, len(pairs) if row else 0, _AT_ONCE):
                some = pairs[start : start + _AT_ONCE]
                where = f"experiment = ? AND pair IN ({','.join('?' * len(some))})"
                query = f"SELECT pair, value, beside FROM numbers WHERE {where}"  # noqa: S608 - of question marks alone
                found |= {pair: (value, beside) for pair, value, beside in connection.execute(query, (row[0], *some))}
            return found

        nothing: dict[bytes, tuple[Number, float]] = {}
        found = self._work(read, nothing)
        if found:
            self._used.add((key.digest, origin))
        return found

    def origins(self, model: str) -> list[str]:
        """What the numbers of a model were computed by, that which was used last first; nothing where a run takes no others'."""
        if not self._takes_others:
            return []
        query = "SELECT origin FROM experiments WHERE model = ? GROUP BY origin ORDER BY MAX(used) DESC, origin"
        nothing: list[tuple[str]] = []
        found = self._work(lambda connection: connection.execute(query, (model,)).fetchall(), nothing)
        return [origin for (origin,) in found if isinstance(origin, str)]

    def keep(self, rows: Iterable[tuple[Key, bytes, Number, float]], origin: str) -> int:
        """Write numbers that an origin gave, all of them or none; how many were new."""
        listed, now = list(rows), int(time.time())

        def write(connection: sqlite3.Connection) -> int:
            with _at_once(connection):
                connection.executemany(
                    "INSERT OR IGNORE INTO experiments (key, origin, model, said, used) VALUES (?, ?, ?, ?, ?)",
                    [
                        (key.digest, origin, key.model, key.said, now)
                        for key in dict.fromkeys(key for key, *_ in listed)
                    ],
                )
                return connection.executemany(
                    "INSERT OR IGNORE INTO numbers SELECT id, ?, ?, ? FROM experiments WHERE key = ? AND origin = ?",
                    [(pair, value, beside, key.digest, origin) for key, pair, value, beside in listed],
                ).rowcount

        return self._work(write, 0)

    def forget(self, key: Key, pairs: Sequence[bytes], origin: str) -> None:
        """Remove what is no number of these pairs, whoever wrote it there, so that it is computed again."""
        query = "DELETE FROM numbers WHERE pair = ? AND experiment IN (SELECT id FROM experiments WHERE key = ? AND origin = ?)"
        self._work(lambda found: _all(found, query, [(pair, key.digest, origin) for pair in pairs]), None)
        message = f"{self.path} held what is no number, of {key.said}: it is computed again"
        self.messages += [message] if message not in self.messages else []

    def fact(self, model: str, name: str) -> str | None:
        """What was noted of a model under a name."""
        return self._text("SELECT value FROM facts WHERE model = ? AND name = ?", (model, name))

    def note(self, model: str, name: str, value: str) -> None:
        """Note something of a model, in place of what was noted before."""
        if self.fact(model, name) != value:
            self._write("INSERT OR REPLACE INTO facts VALUES (?, ?, ?)", (model, name, value))

    def digest(self, path: str, stamp: str) -> str | None:
        """The hash of a file that still has the stamp (size, times, inode) that it had when the hash was taken."""
        found = self._text("SELECT digest FROM files WHERE path = ? AND stamp = ?", (encodable(path), stamp))
        return found if found is not None and _SHA_256.fullmatch(found) else None

    def note_digest(self, path: str, stamp: str, digest: str) -> None:
        """Note the hash of a file, in place of what was noted before."""
        self._write("INSERT OR REPLACE INTO files VALUES (?, ?, ?)", (encodable(path), stamp, digest))

    def decided(self, test: str, model: str, contents: Sequence[str]) -> None:
        """Keep what a test's comparisons rested on, one after another, instead of the last time's."""
        test, now = encodable(test), int(time.time())

        def write(connection: sqlite3.Connection) -> None:
            with _at_once(connection):
                connection.execute("DELETE FROM decisions WHERE test = ? AND model = ?", (test, model))
                rows = [(test, place, model, now, content) for place, content in enumerate(contents)]
                connection.executemany("INSERT INTO decisions VALUES (?, ?, ?, ?, ?)", rows)

        self._work(write, None)

    def decisions(self) -> list[tuple[str, str]]:
        """Of each comparison its test and what it rested on; those of a test one after another."""
        query = "SELECT test, content FROM decisions ORDER BY test, model, place"
        found: list[tuple[str, str]] = self._work(lambda connection: connection.execute(query).fetchall(), [])
        return [(str(test), str(content)) for test, content in found]

    def models(self) -> list[Kept]:
        """What there is, by model; the last used first."""
        query = """
            SELECT model, COALESCE((SELECT value FROM facts WHERE facts.model = experiments.model AND name LIKE 'name (%' LIMIT 1), ''),
                   COUNT(*), SUM((SELECT COUNT(*) FROM numbers WHERE experiment = id)), MAX(used) AS last
            FROM experiments GROUP BY model ORDER BY last DESC"""
        rows: list[tuple[str, str, int, int, int]] = self._work(lambda found: found.execute(query).fetchall(), [])
        return [
            Kept(str(model), str(name), experiments, numbers or 0, used if isinstance(used, int) else 0)
            for model, name, experiments, numbers, used in rows
        ]

    def by_origin(self) -> list[tuple[str, str, int]]:
        """Of each model and each origin of its numbers how many there are; the most first."""
        query = """
            SELECT model, origin, (SELECT COUNT(*) FROM numbers WHERE experiment IN (
                SELECT id FROM experiments AS one WHERE one.model = experiments.model AND one.origin = experiments.origin)) AS many
            FROM experiments GROUP BY model, origin ORDER BY model, many DESC, origin"""
        rows: list[tuple[str, str, int]] = self._work(lambda found: found.execute(query).fetchall(), [])
        return [(str(model), str(origin), many) for model, origin, many in rows]

    def prune(self, before: float, model: str = "") -> int:
        """Remove what was last used before a moment (in seconds since 1970), of one model or of all; how many numbers."""
        old, whose = "used < ? AND (model = ? OR ? = '')", (before, model, model)

        def remove(connection: sqlite3.Connection) -> int:
            with _at_once(connection):
                connection.execute(f"DELETE FROM experiments WHERE {old}", whose)  # noqa: S608 - of our own words
                connection.execute("DELETE FROM decisions WHERE seen < ? AND (model = ? OR ? = '')", whose)
                connection.execute("DELETE FROM facts WHERE model NOT IN (SELECT model FROM experiments)")
                gone = connection.execute("DELETE FROM numbers WHERE experiment NOT IN (SELECT id FROM experiments)")
            connection.execute("VACUUM")
            return gone.rowcount

        return self._work(remove, 0)

    def close(self) -> None:
        """Note what was used, and let go of the file."""
        self._leave_the_parents()
        with self._lock:
            if self._connection is not None and self._used:
                now, used, self._used = int(time.time()), sorted(self._used), set()
                query = "UPDATE experiments SET used = ? WHERE key = ? AND origin = ?"
                self._work(lambda connection: _all(connection, query, [(now, *one) for one in used]), None)
            self._let_go()

    def _write(self, query: str, row: tuple[object, ...]) -> None:
        self._work(lambda connection: _all(connection, query, [row]), None)

    def _text(self, query: str, row: tuple[object, ...]) -> str | None:
        """The text that a query finds; None where it finds none."""
        found = self._work(lambda connection: connection.execute(query, row).fetchone(), None)
        return found[0] if found is not None and isinstance(found[0], str) else None

    def _work(self, work: Callable[[sqlite3.Connection], _Result], without: _Result) -> _Result:
        """What the work gives; ``without`` where there is no file to work with."""
        self._leave_the_parents()
        with self._lock:
            damaged = 0
            while not self.off:
                start = time.monotonic()
                try:
                    return work(self._open())
                except _Older as error:
                    self._begin_anew(str(error))
                except Foreign as error:
                    self._go_without(f"{error}; name another file with --circuit-store, or move it away")
                except (sqlite3.Error, OSError, ValueError, OverflowError) as error:
                    if _code(error) in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
                        self._wait(start)
                    elif _code(error) in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB) and damaged < _TRIES:
                        damaged += 1
                        self._put_aside_damaged(error)
                    else:
                        self._go_without(str(error) if isinstance(error, sqlite3.Error) else reason(error))
            return without

    def _leave_the_parents(self) -> None:
        """A process that was forked leaves the connection of its parent alone, and the file: SQLite's locks are its parent's."""
        if self._process == os.getpid():
            return
        self._process, self._lock = os.getpid(), threading.RLock()
        if self._connection is not None:
            _OF_PARENTS.append(self._connection)  # to close it would be to write
            self._connection, self.off = None, True

    def _wait(self, start: float) -> None:
        """Another process has the file locked, since ``start`` at least: it is waited for, so long in all of a session."""
        if not self._waited:
            words = f"{self.path} is locked by another process: it is waited for, {_WAIT_S:g} s at most"
            self.messages.append(words)
            if self._say is not None:
                self._say(words)
        time.sleep(0.02)  # SQLite itself does not wait where two processes wait for each other
        self._waited += time.monotonic() - start
        if self._waited > _WAIT_S:
            self._go_without("another process has kept it locked")

    def _put_aside_damaged(self, error: BaseException) -> None:
        """Put aside a file that is damaged, where it is a store's."""
        self._let_go()
        try:
            ours = not self.path.exists() or is_marked(self.path)
        except OSError:
            ours = False
        if not ours:
            self._go_without(f"{error}, and it has no mark of a store; move it away")
        elif (aside := self._set_aside("damaged", str(error))) is not None:
            said = f"is damaged ({error}); it is {aside.name} now, and a new one was begun"
            self.messages.append(f"{self.path} {said}")

    def _open(self) -> sqlite3.Connection:
        if self._connection is None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            check_to_write(self.path)
            self._connection = sqlite3.connect(self.path, _SOON_S, isolation_level=None, check_same_thread=False)
            try:
                self._prepare(self._connection)
            except sqlite3.Error:
                self._let_go()
                raise
        return self._connection

    def _prepare(self, connection: sqlite3.Connection) -> None:
        found = os.stat(self.path)
        self._opened_file = found.st_dev, found.st_ino
        check_tables(connection)
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        if 0 < version < FORMAT:
            raise _Older(f"format {version}")
        if version not in (0, FORMAT):
            raise Foreign(f"it has format {version}, and this circuitcheck writes format {FORMAT}")
        if connection.execute("PRAGMA application_id").fetchone()[0] != MARK:
            connection.execute(f"PRAGMA application_id = {MARK}")
        connection.execute("PRAGMA journal_mode = WAL")
        # What a killed process has written is there; of a machine without power the last moments may not be.
        connection.execute("PRAGMA synchronous = NORMAL")
        with _at_once(connection):
            for table in TABLES:
                connection.execute(table)
            connection.execute(f"PRAGMA user_version = {FORMAT}")

    def _begin_anew(self, older: str) -> None:
        """Put a file of an older format aside, and go on with its decisions: its numbers are kept under digests that say no more
        of which model and what of it they are."""
        if self._connection is not None:
            self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        if (aside := self._set_aside(older.replace(" ", "-"), f"it has {older}")) is None:
            return
        connection = self._open()
        connection.execute("ATTACH ? AS older", (str(aside),))
        connection.execute("INSERT OR IGNORE INTO decisions SELECT * FROM older.decisions")
        connection.execute("DETACH older")
        self.messages.append(
            f"{self.path} had {older}, whose numbers are not found any more by what they are numbers of: it is {aside.name} now, "
            "and a new one was begun with what was decided"
        )

    def _set_aside(self, end: str, why: str) -> Path | None:
        """Put the file aside; None where somebody else has, or nobody can."""
        self._let_go()
        try:
            found = os.stat(self.path)
            if (found.st_dev, found.st_ino) != self._opened_file:
                return None
            aside = _free(self.path.with_name(f"{self.path.name}.{end}"))
            for part in ("-wal", "-shm", ""):  # the file itself last: whoever finds it gone begins a new one
                if (there := self.path.with_name(f"{self.path.name}{part}")).exists():
                    os.replace(there, aside.with_name(f"{aside.name}{part}"))
            return aside
        except FileNotFoundError:
            return None
        except OSError as problem:
            self._go_without(f"{why}, and it cannot be set aside: {problem}")
            return None

    def _go_without(self, why: str) -> None:
        self._let_go()
        self.off = True
        self.messages.append(f"{self.path} cannot be used ({why}): nothing is remembered of this run")

    def _let_go(self) -> None:
        if self._connection is not None:
            with suppress(sqlite3.Error):
                self._connection.close()
            self._connection = None


class _Older(Exception):
    """The file is an older version's."""


def _code(error: BaseException) -> int:
    """SQLite's own number for what went wrong, without its details."""
    return int(getattr(error, "sqlite_errorcode", 0) or 0) & 0xFF


@contextmanager
def _at_once(connection: sqlite3.Connection) -> Iterator[None]:
    """All that is written inside, or none of it."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _all(connection: sqlite3.Connection, query: str, rows: Sequence[tuple[object, ...]]) -> None:
    with _at_once(connection):
        connection.executemany(query, rows)


def _free(path: Path) -> Path:
    """The path, numbered where there is such a file."""
    number, free = 1, path
    while free.exists():
        number += 1
        free = path.with_name(f"{path.name}-{number}")
    return free
