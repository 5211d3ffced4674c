"""What goes from one store to another, a part at a time.

    Content(numbers=((Experiment(key, origin, model, "patch, L1.N8", 1764000000), b"pair", 3.29, 0.0),))

What stays where it is: nothing of it says on which machine it was, so that numbers of any machine stand next to each other.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from circuitcheck.records.store import Number


@dataclass(frozen=True)
class Experiment:
    """What numbers are numbers of: ``key`` as in the store, done with ``model`` (a fingerprint) by ``origin`` (versions, device); in
    words; and when it was last ``used``, in seconds since 1970."""

    key: bytes
    origin: str
    model: str
    said: str
    used: int


# What a fact, a decision and a file's hash consist of.
KINDS: dict[str, tuple[type, ...]] = {
    "fact": (str, str, str),
    "decision": (str, int, str, int, str),
    "file": (str, str, str),
}
Row = tuple[Experiment, bytes, Number, float]


@dataclass(frozen=True)
class Content:
    """A part of a store. ``numbers``: of an experiment a pair's number, and what was kept beside it; ``facts``: of a model under a name a
    value; ``decisions``: test, place, model, when, content; ``files``: path, stamp, hash."""

    numbers: tuple[Row, ...] = ()
    facts: tuple[tuple[str, str, str], ...] = ()
    decisions: tuple[tuple[str, int, str, int, str], ...] = ()
    files: tuple[tuple[str, str, str], ...] = ()

    def __bool__(self) -> bool:
        return bool(self.numbers or self.facts or self.decisions or self.files)


def rows_of(found: Iterable[tuple[object, ...]]) -> tuple[Row, ...]:
    """Rows of a store's file (key, origin, model, said, used, pair, value, beside), but for those that are no numbers."""
    rows = []
    experiments: dict[tuple[bytes, str], Experiment] = {}
    for key, origin, model, said, used, pair, value, beside in found:
        if not isinstance(key, bytes) or not isinstance(pair, bytes) or not isinstance(used, int):
            continue
        if not all(isinstance(text, str) for text in (origin, model, said)) or not is_number(value, beside):
            continue
        of = key, str(origin)
        if of not in experiments:
            experiments[of] = Experiment(key, str(origin), str(model), str(said), used)
        rows.append((experiments[of], pair, value, float(beside)))  # type: ignore[arg-type]  # is_number has looked
    return tuple(rows)  # type: ignore[arg-type]


def is_number(value: object, beside: object) -> bool:
    """Whether what stands in a store is a pair's number: finite, or an array as bytes with the size of its numbers."""
    if not isinstance(beside, float) or not math.isfinite(beside):
        return False
    return isinstance(value, bytes) or (isinstance(value, float) and math.isfinite(value))


def of_kind(kind: str, rows: Iterable[tuple[object, ...]]) -> tuple[tuple[Any, ...], ...]:
    """Those rows of a store's file that are facts, decisions or hashes of files: it may hold anything."""
    kinds = KINDS[kind]
    return tuple(row for row in rows if all(type(value) is one for value, one in zip(row, kinds, strict=True)))
