"""Adversaries: from the worst of a few random pairs, climb towards the threshold by swapping the filler of one slot.

"coordinate" tries every filler of every slot of a pair. "gradient" tries those that a first-order estimate promises most
of: one backward pass through the pair's runs scores all fillers of all slots, by what their embeddings would change
(attribution patching: Nanda 2023; on tokens: HotFlip, Ebrahimi et al. 2018). What is promised is then run; no estimate is
ever a verdict.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Protocol

import numpy as np

from circuitcheck.prompts.aligned_pairs import AlignedPair
from circuitcheck.prompts.pairs import Side
from circuitcheck.search.plans import Plan
from circuitcheck.search.trials import Trials
from circuitcheck.texts import plural

if TYPE_CHECKING:
    from circuitcheck.types import Floats

# Pairs that a climb starts from the worst of, and swaps that are run of those that a gradient promises.
_START = 32
_PROMISED = 24
# What a pair's forward and backward pass with all activations costs, in evaluations.
_BACKWARD = 3

# A pair's number by each token's embedding, of shape [position, d_model], and all tokens' embeddings [token, d_model].
Slopes = Callable[[AlignedPair], "tuple[Mapping[Side, Floats], Floats]"]


@dataclass(frozen=True)
class Duel:
    """What an adversary found in ``spent`` evaluations, and random search in as many."""

    name: str
    spent: int
    worst: float | None
    failing: int
    random_worst: float | None
    random_failing: int

    def __str__(self) -> str:
        ours, drawn = _told(self.worst, self.failing), _told(self.random_worst, self.random_failing)
        return f"{self.name}: {ours} in {plural(self.spent, 'evaluation')}; random search in as many: {drawn}"


class Adversary(Protocol):
    """``cost``: of one proposal, in evaluations."""

    name: str
    cost: int

    def propose(self, trials: Trials, number: int) -> list[int]:
        """Pairs that differ from this one in one slot and may be worse, the most promising first."""


class Coordinate:
    """Every filler of every slot."""

    name, cost = "coordinate", 0

    def propose(self, trials: Trials, number: int) -> list[int]:
        """All of them."""
        return [other for others in trials.space.slots(number).values() for other in others if other != number]


class Gradient:
    """The swaps that a backward pass promises most of."""

    name, cost = "gradient", _BACKWARD

    def __init__(self, slopes: Slopes):
        self._slopes = slopes

    def propose(self, trials: Trials, number: int) -> list[int]:
        """The best of those that are promised to be worse than the pair itself."""
        here = trials[number]
        slopes, embeddings = self._slopes(here.pair)
        others = trials.align(Coordinate().propose(trials, number))
        promised = {
            other: trials.badness(here.found + change)
            for other, aligned in others.items()
            if (change := _change(here.pair, aligned, slopes, embeddings)) is not None
        }
        better = [other for other, badness in promised.items() if badness > here.badness]
        return sorted(better, key=lambda other: -promised[other])[:_PROMISED]


def climb(trials: Trials, plan: Plan, adversary: Adversary) -> int:
    """Climb, and start again at every top, until a pair breaks the claim or the examples are spent; how many were."""
    order, extra = trials.space.order(), 0

    def left() -> int:
        return 0 if trials.failing else plan.examples - len(trials) - extra

    while left() > 0:
        start = list(islice(order, min(_START, left())))
        if not start:
            break
        at = trials.worst(trials.evaluate(start))
        while at is not None and left() > 0:
            extra += adversary.cost
            tried = trials.evaluate(adversary.propose(trials, at)[: max(left(), 0)])
            plan.say(trials)
            worst = trials.worst(tried)
            at = worst if worst is not None and trials[worst].badness > trials[at].badness else None
    return len(trials) + extra


def _change(
    here: AlignedPair, other: AlignedPair, slopes: "Mapping[Side, Floats]", embeddings: "Floats"
) -> float | None:
    """The first-order estimate of what the number changes by; None between pairs of different lengths."""
    if any(len(here.tokens(side)) != len(other.tokens(side)) for side in slopes):
        return None
    change = 0.0
    for side, slope in slopes.items():
        before, after = np.array(here.tokens(side)), np.array(other.tokens(side))
        moved = np.flatnonzero(before != after)
        change += float(((embeddings[after[moved]] - embeddings[before[moved]]) * slope[moved]).sum())
    return change


def _told(worst: float | None, failing: int) -> str:
    number = "nothing to compare" if worst is None else f"the worst is {worst:.3g}"
    return f"{number}, {failing:,} break the claim" if failing else f"{number}, no counterexample"
