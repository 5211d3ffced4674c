"""Numbers of pairs that need not be computed again: recalled from a store, and kept there as they are computed.

What is done is said by a tuple of frozen records ("patch", sites, side, readout ...). It is remembered under the model's
fingerprint; where it cannot be told from other things that look alike (a function of unknown code, somebody's hooks on the
model), it is not remembered. Versions of libraries and the device are the number's origin, which is noted with it: an effect
is of one origin, this session's own where that has all of its numbers, otherwise another that has.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Hashable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, cached_property
from importlib import metadata
from typing import TYPE_CHECKING

import numpy as np

from circuitcheck.prompts.aligned_pairs import AlignedPair
from circuitcheck.records.store import Key, Store, key_of

if TYPE_CHECKING:
    from circuitcheck.types import Booleans, Floats

# What is done, as records whose text says all of it.
Doing = tuple[Hashable, ...]
_RUN_BY = ("torch", "transformer_lens", "transformers", "circuitcheck")
# Goes up when circuitcheck computes something else under the same description.
_MEANING = 1


class NotRemembered(Exception):
    """A number is not among those of the origin that alone is asked."""


@cache
def version(package: str) -> str:
    """The version of an installed package."""
    return metadata.version(package)


class Identified(ABC):
    """A part of what is done whose text does not say all of it: ``identity`` does, None where nothing can."""

    @property
    @abstractmethod
    def identity(self) -> str | None: ...


@dataclass(frozen=True)
class Numbers:
    """Of pairs, what is known: ``values`` and what comes ``beside`` them, each of shape [pair]; ``known`` where they are."""

    values: "Floats"
    beside: "Floats"
    known: "Booleans"

    @staticmethod
    def none(n: int) -> "Numbers":
        return Numbers(np.zeros(n), np.zeros(n), np.zeros(n, dtype=bool))


class Remembered:
    """What is remembered of one model. ``fingerprint``: of the model as it was loaded; ``precision``: of PyTorch's products, where
    it is not the standard one; ``off``: nothing of it is to be recalled or kept. ``origin``: what gave the numbers that are
    recalled; ``own``: what computes here."""

    def __init__(self, store: Store | None, fingerprint: str, device: str, precision: str = ""):
        self.store, self.fingerprint, self.off = store, fingerprint, False
        self.own = "; ".join([*(f"{name} {version(name)}" for name in _RUN_BY), device.partition(":")[0]])
        self.origin, self.recalls_alone, self._precision = self.own, False, precision

    @cached_property
    def others(self) -> list[str]:
        """Other origins that the store had numbers of when that was first asked."""
        there = [] if self.store is None else self.store.origins(self.fingerprint)
        return [origin for origin in there if origin != self.own]

    @contextmanager
    def recalling(self, origin: str) -> Iterator[None]:
        """While the block lasts, only numbers of an origin are recalled, and none are computed (``NotRemembered`` is raised)."""
        before = self.origin, self.recalls_alone
        self.origin, self.recalls_alone = origin, True
        try:
            yield
        finally:
            self.origin, self.recalls_alone = before

    def recall(self, doing: Doing, pairs: Sequence[AlignedPair]) -> Numbers:
        """What is known of each pair."""
        found, key = Numbers.none(len(pairs)), self._key(doing)
        if key is None or self.store is None:
            return found
        rows = self.store.recall(key, [pair.key for pair in pairs], self.origin)
        bad = [pair for pair, numbers in rows.items() if not all(map(_is_number, numbers))]
        if bad:
            self.store.forget(key, bad, self.origin)
        for place, pair in enumerate(pairs) if rows else ():
            if pair.key in rows and pair.key not in bad:
                found.values[place], found.beside[place] = map(float, rows[pair.key])
                found.known[place] = True
        return found

    def keep(self, rows: Iterable[tuple[Doing, AlignedPair, float, float]]) -> None:
        """Keep what was done to pairs, with the value and what comes beside it."""
        self._keep((doing, pair.key, float(value), float(beside)) for doing, pair, value, beside in rows)

    def recall_arrays(self, doing: Doing, keys: Sequence[bytes]) -> "list[Floats | None]":
        """The array that is known under each key, None where none is."""
        key = self._key(doing)
        if key is None or self.store is None:
            return [None] * len(keys)
        rows = self.store.recall(key, keys, self.origin)
        found = {one: _unpacked(*row) for one, row in rows.items()}
        if bad := [one for one, array in found.items() if array is None]:
            self.store.forget(key, bad, self.origin)
        return [found.get(one) for one in keys]

    def keep_arrays(self, doing: Doing, rows: "Iterable[tuple[bytes, Floats]]") -> None:
        """Keep arrays under keys; they come back flat."""
        self._keep((doing, key, *_packed(array)) for key, array in rows)

    def fact(self, name: str, others: bool = False) -> str | None:
        """What was noted of the model, run as it is run now; or, where nothing was, as ``others`` ran it."""
        if self.store is None or self.off:
            return None
        for origin in [self.own, *(self.others if others else ())]:
            if (known := self.store.fact(self.fingerprint, self._named(name, origin))) is not None:
                return known
        return None

    def note(self, name: str, value: str) -> None:
        """Note something of the model."""
        if self.store is not None and not self.off:
            self.store.note(self.fingerprint, self._named(name, self.own), value)

    def _named(self, name: str, origin: str) -> str:
        return f"{name} ({'; '.join(filter(None, (origin, self._precision)))})"

    def _keep(self, rows: "Iterable[tuple[Doing, bytes, float | bytes, float]]") -> None:
        if self.store is None or self.off:
            return
        keys: dict[Doing, Key | None] = {}
        found = []
        for doing, pair, value, beside in rows:
            if doing not in keys:
                keys[doing] = self._key(doing)
            if (key := keys[doing]) is not None:
                found.append((key, pair, value, beside))
        if found:
            self.store.keep(found, self.own)

    def _key(self, doing: Doing) -> Key | None:
        """The key of what is done; None for what is not to be remembered."""
        if self.off or self.store is None:
            return None
        identities = [part.identity if isinstance(part, Identified) else repr(part) for part in doing]
        if None in identities:
            return None
        what = "\n".join(map(str, identities))
        return key_of(
            self.fingerprint, f"{_MEANING} {self._precision}\n{what}", ", ".join(filter(None, map(_words, doing)))
        )


def _words(part: Hashable) -> str:
    """A part of what is done, for somebody who looks into the store."""
    if isinstance(part, tuple):
        return " | ".join(map(str, part))
    return "" if part in (None, False, "") else str(part)


def _packed(array: "Floats") -> tuple[bytes, float]:
    """An array as bytes with the size of its numbers: in single precision, where that loses nothing."""
    single = np.ascontiguousarray(array, dtype=np.float32)
    packed = single if np.array_equal(single, array) else np.ascontiguousarray(array, dtype=np.float64)
    return packed.tobytes(), float(packed.itemsize)


def _is_number(value: object) -> bool:
    """Whether what a store gives is a number of a pair, which is kept as a float; its file may hold anything."""
    return isinstance(value, float) and math.isfinite(value)


def _unpacked(packed: object, itemsize: object) -> "Floats | None":
    """The array again; None where what a store gives is none."""
    if not isinstance(packed, bytes) or itemsize not in (4, 8) or len(packed) % int(itemsize):
        return None
    return np.frombuffer(packed, dtype=np.float32 if itemsize == 4 else np.float64).astype(np.float64)
