"""Pairs that were tried for a claim: in full batches, each once."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from circuitcheck.prompts.aligned_pairs import AlignedPair
from circuitcheck.prompts.alignment import Aligner
from circuitcheck.prompts.pairs import Pair
from circuitcheck.sampling.samples import Sample

if TYPE_CHECKING:
    from circuitcheck.types import Floats


@dataclass(frozen=True)
class Numbers:
    """Of some pairs, each of shape [pair]: the claim's number, what rounding (and what is not known of the mean base) can make of
    it, and whether the behaviour is there.
    ``drawn``: the numbers rest on a draw of something else than pairs."""

    found: "Floats"
    rounding: "Floats"
    there: "Sequence[bool]"
    drawn: bool = False


@dataclass(frozen=True)
class Trial:
    """One pair: its number, and by how much that breaks the claim. Within ``rounding`` nothing is said, and where the
    behaviour is absent (not ``there``) the claim says nothing about the pair."""

    pair: AlignedPair
    found: float
    badness: float
    rounding: float
    there: bool

    @property
    def fails(self) -> bool:
        return self.there and self.badness > self.rounding

    @property
    def holds(self) -> bool:
        return self.there and self.badness < -self.rounding

    @property
    def is_near(self) -> bool:
        return self.there and abs(self.badness) <= self.rounding


class Space(Protocol):
    """``size``: how many pairs there are, None for more than can be counted."""

    size: int | None

    def order(self) -> Iterator[int]:
        """Every pair, once, in a seeded order that is no sample's."""

    def pair(self, number: int) -> Pair:
        """The pair of a number."""

    def slots(self, number: int) -> dict[str, list[int]]:
        """For each slot of a pair, the pairs with any of its fillers and all else as it is."""

    def plainness(self, number: int) -> tuple[int, ...]:
        """What is smaller for a more ordinary pair."""

    def shrunk(self, number: int, trials: "Trials") -> int:
        """A pair that breaks the claim, made as ordinary as it can be."""

    def recall(self, content: Mapping[str, Any]) -> int | None:
        """The number of a pair that was kept as a counterexample; None where there is no such pair any more."""


class Trials:
    """What is known of a space's pairs. ``badness`` says by how much a number breaks the claim, over 0."""

    batch = 256

    def __init__(
        self,
        space: Space,
        aligner: Aligner,
        numbers: Callable[[Sample], Numbers],
        badness: Callable[[float], float],
    ):
        self.space, self.numbers, self.badness = space, numbers, badness
        self.alone = 0  # pairs that made up a batch by themselves
        self.drawn = False  # whether any number rests on a draw
        self._aligner = aligner
        self._aligned: dict[int, AlignedPair | None] = {}
        self._known: dict[int, Trial] = {}

    def __getitem__(self, number: int) -> Trial:
        return self._known[number]

    def __contains__(self, number: int) -> bool:
        return number in self._known

    def __len__(self) -> int:
        return len(self._known)

    @property
    def usable(self) -> dict[int, Trial]:
        """Every pair that was tried, by its number in the space; those that cannot be aligned are left out."""
        return self._known

    @property
    def looked_at(self) -> int:
        """How many pairs were tried, or cannot be."""
        return len(self._known) + sum(aligned is None for aligned in self._aligned.values())

    def seen(self, number: int) -> bool:
        """Whether the pair was tried, or cannot be."""
        return number in self._aligned and (self._aligned[number] is None or number in self._known)

    def evaluate(self, numbers: Iterable[int]) -> list[int]:
        """Try those pairs that were not yet; which of the given ones could be tried at all."""
        given = list(dict.fromkeys(numbers))
        fresh = [number for number in self.align(given) if number not in self._known]
        self.alone += len(fresh) == 1
        for start in range(0, len(fresh), self.batch):
            self._run(fresh[start : start + self.batch])
        return [number for number in given if number in self._known]

    def align(self, numbers: Sequence[int]) -> dict[int, AlignedPair]:
        """The pairs as tokens, of those that can be aligned."""
        asked = {number: self.space.pair(number) for number in numbers if number not in self._aligned}
        for number, outcome in zip(asked, self._aligner.align(asked.values()), strict=True):
            self._aligned[number] = outcome if isinstance(outcome, AlignedPair) else None
        return {number: pair for number in numbers if (pair := self._aligned[number]) is not None}

    def fails(self, number: int) -> bool:
        """Whether the pair was tried and breaks the claim."""
        return number in self._known and self._known[number].fails

    @property
    def failing(self) -> list[int]:
        return [number for number, trial in self._known.items() if trial.fails]

    def worst(self, numbers: Iterable[int]) -> int | None:
        """Of pairs that were tried and have the behaviour, the one that comes nearest to breaking the claim, or breaks it most."""
        counted = [number for number in numbers if number in self._known and self._known[number].there]
        return max(counted, key=lambda number: self._known[number].badness, default=None)

    def plainest(self, numbers: Iterable[int]) -> int:
        return min(numbers, key=self.space.plainness)

    def _run(self, fresh: Sequence[int]) -> None:
        pairs = [pair for number in fresh if (pair := self._aligned[number]) is not None]
        numbers = self.numbers(Sample(tuple(pairs), whole=False))
        self.drawn |= numbers.drawn
        rows = zip(fresh, pairs, numbers.found.tolist(), numbers.rounding.tolist(), numbers.there, strict=True)
        for number, aligned, found, rounding, there in rows:
            self._known[number] = Trial(aligned, found, self.badness(found), rounding, bool(there))
