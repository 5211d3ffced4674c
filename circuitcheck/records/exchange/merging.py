"""Bringing numbers together in one store: those of one thing must agree, but for rounding.

    merge(Path("all.sqlite"), {"a.sqlite": contents(Path("a.sqlite")), "b.sqlite": contents(Path("b.sqlite"))})

All is written, or nothing. Two numbers of one pair of one experiment that one origin gave are to be the same to rounding, and otherwise
nothing is merged; those of different origins stand next to each other, and where they do not agree either, both are named.
"""

import sqlite3
from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from circuitcheck.errors import StoreError
from circuitcheck.records.exchange.content import Content, Row, is_number
from circuitcheck.records.exchange.sources import opened
from circuitcheck.records.files import reason
from circuitcheck.records.store import Number, Store
from circuitcheck.texts import plural

if TYPE_CHECKING:
    from circuitcheck.types import Floats

# How far rounding moves logits, as a share of the largest, in single precision; of other models it is a fact of theirs.
_SINGLE = 32 * 2.0**-23
# What the largest logit is taken for where a number, which may be a difference of two large ones, is smaller.
_LOGITS = 32.0
_WAIT_S = 60.0
# Pairs that are looked up in one statement, and disagreements that are named.
_AT_ONCE, _NAMED = 500, 5


@dataclass(frozen=True)
class Disagreement:
    """Two numbers of one thing, further apart than rounding takes them. ``place`` and ``other_place``: where each came from."""

    said: str
    model: str
    pair: bytes
    value: Number
    other: Number
    place: str
    other_place: str
    origin: str
    other_origin: str

    def __str__(self) -> str:
        of = f"{self.said} in model {self.model}, pair {self.pair.hex()[:12]}"
        both = f"{_told(self.value)} in {self.place} ({self.origin}), {_told(self.other)} in {self.other_place} ({self.other_origin})"
        return f"{of}: {both}"


@dataclass
class Merged:
    """What a merge brought. ``new``: numbers by their origin; ``known``: how many were there already, of the same origin;
    ``of_origins``: those of different origins that disagree, of which both were kept; ``conflicts``: those of one origin."""

    new: Counter[str] = field(default_factory=Counter)
    known: int = 0
    of_origins: list[Disagreement] = field(default_factory=list)
    conflicts: list[Disagreement] = field(default_factory=list)


def merge(into: Path, sources: Mapping[str, Iterable[Content]]) -> Merged:
    """Write all of the sources, by their names, into a store, which is begun where there is none. Raises ``StoreError``, with nothing
    written, where numbers of one origin disagree, and where a file cannot be used."""
    with closing(opened_to_write(into)) as connection:
        taking = Taking(connection, str(into))
        try:
            connection.execute("BEGIN IMMEDIATE")
            for name, source in sources.items():
                for content in source:
                    taking.take(content, name)
            if taking.merged.conflicts:
                raise StoreError(
                    f"numbers of one thing disagree by more than rounding, so that nothing was merged into {into}:\n"
                    f"{named(taking.merged.conflicts)}\n"
                    "One of them is wrong: circuitcheck store prune --older 0 --model FINGERPRINT --store FILE removes a model from a store"
                )
            connection.execute("COMMIT")
        except sqlite3.Error as error:
            raise StoreError(f"{into} could not be written ({reason(error)}): nothing was merged") from None
        finally:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
    return taking.merged


def opened_to_write(path: Path) -> sqlite3.Connection:
    """A connection to a store that is there or is begun. Raises ``StoreError`` for a file that is no store of this version."""
    if path.exists() and path.stat().st_size:
        opened(path).close()
    store = Store(path)
    store.close()
    if store.messages:
        raise StoreError(store.messages[-1])
    return sqlite3.connect(path, _WAIT_S, isolation_level=None, check_same_thread=False)


def named(disagreements: list[Disagreement]) -> str:
    """The first of them, a line each."""
    more = len(disagreements) - _NAMED
    lines = [f"  {one}" for one in disagreements[:_NAMED]]
    return "\n".join(lines + ([f"  and {plural(more, 'number')} more"] if more > 0 else []))


class Taking:
    """Takes content into an open store, ``place``, within a transaction of the caller's; ``merged``: what came of it so far."""

    def __init__(self, connection: sqlite3.Connection, place: str):
        self.merged = Merged()
        self._connection, self._place = connection, place
        # From where an experiment's numbers of an origin came, where that is not the store itself alone.
        self._came: dict[tuple[bytes, str], list[str]] = {}
        self._rounding: dict[str, float] = {}

    def take(self, content: Content, name: str) -> None:
        """Take in a part of what is called by a name. Numbers that are there stay as they are."""
        for model, fact, value in content.facts:
            self._note(model, fact, value)
        for _, rows in groupby(content.numbers, lambda row: row[0]):
            self._write(list(rows), name)
        for (test, model), decisions in groupby(content.decisions, lambda row: (row[0], row[2])):
            self._decide(test, model, list(decisions))
        self._connection.executemany("INSERT OR IGNORE INTO files VALUES (?, ?, ?)", content.files)

    def _write(self, rows: list[Row], name: str) -> None:
        """Numbers of one experiment."""
        one = rows[0][0]
        known = self._known(one.key, [pair for _, pair, *_ in rows])
        fresh = []
        for _, pair, value, beside in rows:
            there = known.get(pair, [])
            for origin, other, size in there:
                if not self._agree(one.model, (value, beside), (other, size)):
                    came = " or ".join(self._came.get((one.key, origin), [self._place]))
                    told = Disagreement(one.said, one.model, pair, value, other, name, came, one.origin, origin)
                    (self.merged.conflicts if origin == one.origin else self.merged.of_origins).append(told)
            if one.origin in (origin for origin, *_ in there):
                self.merged.known += 1
            else:
                fresh.append((pair, value, beside))
        if not fresh:
            return
        made = self._connection.execute(
            "INSERT INTO experiments (key, origin, model, said, used) VALUES (?, ?, ?, ?, ?) "
            "ON CONFLICT (key, origin) DO UPDATE SET used = MAX(used, excluded.used) RETURNING id, (SELECT 1 FROM numbers WHERE experiment = id)",
            (one.key, one.origin, one.model, one.said, one.used),
        ).fetchone()
        places = self._came.setdefault((one.key, one.origin), [self._place] if made[1] else [])
        places += [name] if name not in places else []
        self._connection.executemany(
            "INSERT OR IGNORE INTO numbers VALUES (?, ?, ?, ?)", [(made[0], *row) for row in fresh]
        )
        self.merged.new[one.origin] += len(fresh)

    def _known(self, key: bytes, pairs: list[bytes]) -> dict[bytes, list[tuple[str, Number, float]]]:
        """What is there of each pair, whatever origin gave it."""
        found: dict[bytes, list[tuple[str, Number, float]]] = {}
        for start in range(0, len(pairs), _AT_ONCE):
            some = pairs[start : start + _AT_ONCE]
            where = f"e.key = ? AND n.pair IN ({','.join('?' * len(some))})"
            query = f"SELECT e.origin, n.pair, n.value, n.beside FROM experiments e JOIN numbers n ON n.experiment = e.id WHERE {where}"  # noqa: S608 - of question marks alone
            for origin, pair, value, beside in self._connection.execute(query, (key, *some)):
                if is_number(value, beside):
                    found.setdefault(pair, []).append((str(origin), value, beside))
        return found

    def _agree(self, model: str, one: tuple[Number, float], other: tuple[Number, float]) -> bool:
        """Whether two numbers, or arrays with the sizes of theirs, differ by no more than what rounding makes of each."""
        if one[0] == other[0]:
            return True
        a, b = _as_array(*one), _as_array(*other)
        if a is None or b is None or a.shape != b.shape:
            return False
        least = 0.0 if isinstance(one[0], bytes) else _LOGITS
        scale = max(least, float(np.max(np.abs([a, b]), initial=0.0)))
        return bool(np.max(np.abs(a - b), initial=0.0) <= 2 * self._rounding_of(model) * scale)

    def _rounding_of(self, model: str) -> float:
        """How far rounding moves a model's logits, as a share of the largest."""
        if model not in self._rounding:
            query = "SELECT value FROM facts WHERE model = ? AND name LIKE 'rounding (%'"
            found = [_positive(value) for (value,) in self._connection.execute(query, (model,))]
            self._rounding[model] = max(found, default=0.0) or _SINGLE
        return self._rounding[model]

    def _note(self, model: str, name: str, value: str) -> None:
        """A fact, where none is there; of two counts the larger, such as of how often candidates were looked for."""
        row = self._connection.execute("SELECT value FROM facts WHERE model = ? AND name = ?", (model, name)).fetchone()
        counts = row is not None and str(row[0]).isdecimal() and value.isdecimal() and int(value) > int(row[0])
        if row is None or counts:
            self._connection.execute("INSERT OR REPLACE INTO facts VALUES (?, ?, ?)", (model, name, value))
            self._rounding.pop(model, None)

    def _decide(self, test: str, model: str, decisions: list[tuple[str, int, str, int, str]]) -> None:
        """What a test's comparisons rested on, unless what is there is as new."""
        of_these = "FROM decisions WHERE test = ? AND model = ?"
        last = self._connection.execute(f"SELECT MAX(seen) {of_these}", (test, model)).fetchone()[0]
        if isinstance(last, int) and last >= max(seen for *_, seen, _ in decisions):
            return
        self._connection.execute(f"DELETE {of_these}", (test, model))
        self._connection.executemany("INSERT INTO decisions VALUES (?, ?, ?, ?, ?)", decisions)


def _as_array(value: Number, beside: float) -> "Floats | None":
    """A number, or an array of numbers of so many bytes each, in double precision; None for what is neither."""
    if isinstance(value, float):
        return np.array([value])
    if beside not in (4, 8) or len(value) % int(beside):
        return None
    return np.frombuffer(value, dtype=np.float32 if beside == 4 else np.float64).astype(np.float64)


def _positive(value: object) -> float:
    try:
        found = float(str(value))
    except ValueError:
        return 0.0
    return found if 0 < found < 1 else 0.0


def _told(value: Number) -> str:
    return f"{value:.6g}" if isinstance(value, float) else f"{len(value):,} bytes"
