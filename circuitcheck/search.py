"""The search for a counterexample: the pair that breaks a claim about every pair, made as ordinary as it can be.

Pairs are tried in a seeded order of the search's own, without repeats, in full batches. A pair that breaks the claim is
shrunk: one slot at a time its filler is replaced by one that comes earlier in the slot's list (all of these in one
batch), until no such replacement breaks the claim any more. What a search drew is no sample: nothing here goes into an
interval or a rate.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import TYPE_CHECKING

from circuitcheck.alignment import AlignedPair, Aligner, Rejections
from circuitcheck.engine.samples import Sample
from circuitcheck.populations import Population

if TYPE_CHECKING:
    from circuitcheck.types import Floats

_BATCH = 256
# Other fillers of a slot that are tried to see whether it matters.
_OTHERS = 64

# Of pairs: each one's number, and whether the behaviour is there in it; both of shape [pair].
Numbers = Callable[[Sample], "tuple[Floats, Sequence[bool]]"]


@dataclass(frozen=True)
class Searched:
    """What a search found. ``of``: how many pairs the description can generate (None: more than can be counted).

    ``failing`` of the ``tried`` pairs break the claim, ``near`` are within rounding of the threshold, and in ``absent`` ones
    the behaviour itself is absent: these are no counterexamples. ``counterexample`` has the number ``found``, was shrunk from
    ``first``, breaks the claim with any other filler of the slots in ``free``, and is the combination ``number``. Of the
    counterexamples that were known before, ``known_failing`` break the claim still and ``known_fixed`` no more.
    """

    tried: int
    of: int | None
    exhausted: bool
    failing: int = 0
    near: int = 0
    absent: int = 0
    worst: float = 0.0
    worst_pair: AlignedPair | None = None
    counterexample: AlignedPair | None = None
    found: float = 0.0
    first: AlignedPair | None = None
    free: tuple[str, ...] = ()
    number: int = -1
    known_failing: int = 0
    known_fixed: int = 0


class Search:
    """One search. ``badness`` says by how much a number breaks the claim, over 0; within ``tolerance`` nothing is said."""

    def __init__(
        self,
        population: Population,
        aligner: Aligner,
        numbers: Numbers,
        badness: Callable[[float], float],
        tolerance: float,
    ):
        self.population, self.aligner, self.numbers = population, aligner, numbers
        self.badness, self.tolerance = badness, tolerance
        self._known: dict[int, tuple[AlignedPair, float, bool] | None] = {}

    def run(self, budget: int, known: Sequence[int] = ()) -> Searched:
        """Try the ``known`` pairs, then others until one breaks the claim, all have been tried, or the budget is spent; then
        shrink."""
        known = [number for number in known if self.population.has(number)]
        self._evaluate(known)
        order = self.population.search()
        while not any(map(self._fails, self._known)) and (left := budget - len(self._usable())) > 0:
            batch = list(islice(order, min(_BATCH, left)))
            if not batch:
                break
            self._evaluate(batch)
        exhausted = next((number for number in order if number not in self._known), None) is None
        usable = self._usable()
        tried = {number: found for number, found in usable.items() if found[2]}
        if not tried:
            return Searched(len(usable), self._size(exhausted), exhausted, absent=len(usable))
        worst = max(tried, key=lambda number: self.badness(tried[number][1]))
        so_far = Searched(
            tried=len(usable),
            of=self._size(exhausted),
            exhausted=exhausted,
            failing=sum(self.badness(found[1]) > self.tolerance for found in tried.values()),
            near=sum(abs(self.badness(found[1])) <= self.tolerance for found in tried.values()),
            absent=len(usable) - len(tried),
            known_failing=sum(map(self._fails, known)),
            known_fixed=sum(self._known[number] is not None and not self._fails(number) for number in known),
            worst=tried[worst][1],
            worst_pair=tried[worst][0],
        )
        return self._with_counterexample(so_far) if so_far.failing else so_far

    def _with_counterexample(self, so_far: Searched) -> Searched:
        first = min(filter(self._fails, self._usable()), key=self._plainness)
        number = self._shrunk(first)
        pair, found, _ = self._usable()[number]
        return replace(
            so_far,
            counterexample=pair,
            found=found,
            first=self._usable()[first][0],
            free=tuple(self._free(number)),
            number=number,
        )

    def _shrunk(self, number: int) -> int:
        """A pair that breaks the claim and that no single plainer filler leaves broken."""
        while True:
            simpler = [other for slot in self._slots(number) for other in slot if other < number]
            self._evaluate(simpler)
            failing = [other for other in simpler if self._fails(other)]
            if not failing:
                return number
            number = min(failing, key=self._plainness)

    def _free(self, number: int) -> Iterable[str]:
        """The slots whose filler does not matter: any other one breaks the claim too."""
        names, slots = self.population.slots(number), self._slots(number)
        tried = [_spread([other for other in slot if other != number]) for slot in slots]
        self._evaluate([other for others in tried for other in others])
        for name, others in zip(names, tried, strict=True):
            usable = [other for other in others if self._known[other] is not None]
            if usable and all(map(self._fails, usable)):
                yield name

    def _slots(self, number: int) -> list[list[int]]:
        """For each slot of a combination, all combinations that differ in no other."""
        return [list(filter(self.population.kept, others)) for others in self.population.neighbours(number)]

    def _evaluate(self, numbers: Sequence[int]) -> None:
        """Run those combinations that are not known yet, in full batches."""
        fresh = [number for number in dict.fromkeys(numbers) if number not in self._known]
        for start in range(0, len(fresh), _BATCH):
            some = fresh[start : start + _BATCH]
            pairs = {id(pair): (number, pair) for number in some for pair in [self.population.pair(number)]}
            self._known.update(dict.fromkeys(some))
            aligned = self.aligner.align([pair for _, pair in pairs.values()], Rejections())
            if aligned:
                found, there = self.numbers(Sample(tuple(aligned), whole=False))
                for one, value, present in zip(aligned, found.tolist(), there, strict=True):
                    self._known[pairs[id(one.pair)][0]] = one, value, bool(present)

    def _usable(self) -> dict[int, tuple[AlignedPair, float, bool]]:
        return {number: found for number, found in self._known.items() if found is not None}

    def _fails(self, number: int) -> bool:
        found = self._known.get(number)
        return found is not None and found[2] and self.badness(found[1]) > self.tolerance

    def _plainness(self, number: int) -> tuple[int, int]:
        """Fillers are listed from plain to exotic."""
        return sum(self.population.digits(number)), number

    def _size(self, exhausted: bool) -> int | None:
        return len(self._usable()) if exhausted else self.population.size


def _spread(numbers: Sequence[int]) -> list[int]:
    """At most so many of them, evenly spread."""
    step = -(-len(numbers) // _OTHERS) if numbers else 1
    return list(numbers[::step])
