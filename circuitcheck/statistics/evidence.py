"""The statistics: numpy and scipy only.

    >>> Evidence(shift, base, whole=True).decide(">", 0.4)
    'supported'

Evidence is two numbers a pair, ``shift`` and ``base``, and the estimate is the ratio of their means (not the mean of
ratios: one pair with a small gap would rule it). A claim ``ratio > t`` is decided as E[shift - t * base] > 0, which is
the same where E[base] > 0 (that is established first) and divides by no pair's own number.

Where the pairs are the whole population, the statement is exact. Otherwise the pairs came in the population's seeded
order, and all comparisons of one effect are read from one two-sided (1 - alpha) confidence sequence: the thresholds
that nobody got rich by betting against, alpha / 2 on either side (see ``betting``). It holds at every moment, so that
evidence may be looked at after each batch and gathering stopped when a claim is decided. What is looked at once (new
templates or fillers, a whole population of numbers that are drawn, the pairs of two locks) has no order that was drawn: what
all of it together has won decides, in whatever order it stands.

The mean of unbounded numbers cannot be decided from a sample by any method: one pair in 500 may be a catastrophe. So no
pair counts for more than ``bound`` mean gaps, for or against: shift - t * base is clipped there. What was seen speaks all the
same: the bet must be won at the clip and at 2, 4, 8 ... times the clip, up to the largest number that was seen to speak
against it (nothing is added up, since all must be won), and nothing is said against the estimate.

Of new templates or fillers little is known from the few that there are, one number each. Means of unbounded numbers are
decided by bets on those numbers, once, where there are so many that one in ten which is otherwise would be among them; means
of fewer are not decided. Accuracies and shares of pairs, which are bounded, are bet on however few there are, and how many of
the new ones are so or not (``counted``) has exact limits.
"""

import math
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import TYPE_CHECKING, Literal

import numpy as np

from circuitcheck.statistics.betting import average, log_wealth, pairs_needed
from circuitcheck.statistics.clusters import fewest
from circuitcheck.statistics.counts import speaks_above
from circuitcheck.statistics.reference_parts import SPENT, Parts

if TYPE_CHECKING:
    from collections.abc import Callable

    from circuitcheck.types import Floats

# "unrefuted": a search found no counterexample, and has not seen all pairs.
Decision = Literal["supported", "refuted", "inconclusive", "unrefuted"]
Operator = Literal[">", ">=", "<", "<="]
# Limits farther out than this are as good as none.
_FARTHEST = 1e6


@dataclass(frozen=True)
class Order:
    """In what order the pairs came: at ``places`` of a sequence of ``tried`` draws, where the others could not be used,
    without replacement from ``size`` (None: with replacement)."""

    places: tuple[int, ...]
    tried: int
    size: int | None = None

    def spread(self, numbers: "Floats") -> "Floats":
        """The numbers at their places, zeros at the others: they leave the sign of the population's mean as it is."""
        spread: Floats = np.zeros((*numbers.shape[:-1], self.tried))
        spread[..., self.places] = numbers
        return spread


@dataclass(frozen=True)
class Evidence:
    """Per-pair numbers of shape [pair].

    ``limits``: shifts lie between these by their nature, over a base of 1 (shares of pairs and accuracies); others are
    clipped, with ``base``, to ``bound`` times ``scale``, the mean gap of the reference set. ``order``: of numbers that are looked
    at as they come in; None for those that are looked at once. ``rounding`` is the relative
    size of rounding in the numbers, ``noise`` its absolute size: a result nearer than these to a threshold is not
    decided. Shifts of 0 and 1 have none of either, but may be in ``doubt`` by so much, up or down. ``clusters``: each number
    is the mean of a cluster of pairs; ``counted``: each is 1 or 0, whether a cluster is so. ``parts``: what the numbers become
    without each part of a reference set that was drawn; ``spent``: the share of alpha that another draw has taken already.
    ``others``: evidence of the same from other orders of the population, whose bets are averaged with this one's.
    """

    shift: "Floats"
    base: "Floats"
    whole: bool
    alpha: float = 0.05
    limits: tuple[float, float] | None = None
    order: Order | None = None
    scale: float = 1.0
    bound: float = 2.0
    rounding: float = 1e-6
    noise: float = 0.0
    clusters: bool = False
    doubt: "Floats | None" = None
    counted: bool = False
    parts: Parts | None = None
    spent: float = 0.0
    others: "tuple[Evidence, ...]" = ()

    @property
    def is_exact(self) -> bool:
        """The estimate is the population's own number."""
        return self.whole and not self._is_doubted

    @property
    def estimate(self) -> float:
        shift, base = (np.concatenate([getattr(one, name) for one in self._all]) for name in ("shift", "base"))
        return float(shift.mean() / base.mean())

    @property
    def _all(self) -> "tuple[Evidence, ...]":
        return self, *self.others

    def interval(self) -> tuple[float | None, float | None]:
        """Every ratio that the evidence does not speak against; None for a side on which it is unbounded."""
        if self.whole:
            doubt = float(np.mean(self.doubt)) if self.doubt is not None else 0.0
            return self.estimate - doubt, self.estimate + doubt
        low, high = self._low, self._high
        if self.limits is None:
            return low, high
        lowest, highest = self.limits
        return (lowest if low is None else max(low, lowest)), (highest if high is None else min(high, highest))

    def above(self, threshold: float) -> bool:
        """The ratio is above the threshold, at an error rate of alpha / 2."""
        return self._speaks(1, threshold) or (self._is_mixed and self._low is not None and threshold <= self._low)

    def below(self, threshold: float) -> bool:
        """The ratio is below the threshold, at an error rate of alpha / 2."""
        return self._speaks(-1, threshold) or (self._is_mixed and self._high is not None and threshold >= self._high)

    @cached_property
    def _low(self) -> float | None:
        return _edge(partial(self._speaks, 1), self.estimate, -1)

    @cached_property
    def _high(self) -> float | None:
        return _edge(partial(self._speaks, -1), self.estimate, 1)

    @property
    def _is_mixed(self) -> bool:
        """Some pairs' own base is negative: they are clipped as a threshold moves away, so that what speaks against one
        threshold must be asked at the nearer ones too."""
        return self.is_clipped and any(bool((one.base < 0).any()) for one in self._all)

    @property
    def _is_doubted(self) -> bool:
        return self.doubt is not None and bool(self.doubt.any())

    def decide(self, operator: Operator, threshold: float, together: int = 1) -> Decision:
        """Whether the ratio stands to the threshold as claimed. Equality, where it can be known, counts as it is written.
        Where a refutation refutes so many claims ``together``, it is one at as many times less than alpha."""
        if together > 1:
            decision = self.decide(operator, threshold)
            surely = replace(self, alpha=self.alpha / together)
            return surely.decide(operator, threshold) if decision == "refuted" else decision
        above, below = self.above(threshold), self.below(threshold)
        if self.is_exact and self._is_count and not above and not below:
            return "supported" if operator in (">=", "<=") else "refuted"
        holds, fails = (above, below) if operator in (">", ">=") else (below, above)
        return "supported" if holds else "refuted" if fails else "inconclusive"

    def decide_within(self, low: float, high: float) -> Decision:
        """Whether the ratio lies inside the margin (equivalence): its whole interval must."""
        if self.is_exact and self._is_count:
            return "supported" if low <= self.estimate <= high else "refuted"
        if self.above(low) and self.below(high):
            return "supported"
        return "refuted" if self.below(low) or self.above(high) else "inconclusive"

    def clipped(self, threshold: float) -> tuple[int, int]:
        """How many pairs count for less than they would at the clip, below and above the threshold."""
        if not self.is_clipped:
            return 0, 0
        numbers = np.concatenate([one._differences(1, threshold) for one in self._all]) / self.scale
        return int((numbers < -self.bound).sum()), int((numbers > self.bound).sum())

    def unseen(self, side: Literal[1, -1], threshold: float) -> float:
        """The largest share of the population's pairs that may lie beyond the clip and speak against that side."""
        beyond = (side * self._differences(side, threshold) / self.scale < -self.bound).astype(float)
        shares = replace(
            self, shift=beyond, base=np.ones(len(beyond)), limits=(0.0, 1.0), doubt=None, parts=None, others=()
        )
        return shares.interval()[1] or 0.0

    @property
    def is_clipped(self) -> bool:
        """Numbers of this kind count for no more than the bound."""
        return not self.whole and self.limits is None

    @property
    def is_too_few(self) -> bool:
        """Unbounded means of so few clusters that nothing is said about new ones."""
        return self.clusters and self.limits is None and len(self.shift) < fewest(self.alpha)

    def e_value(self, side: Literal[1, -1], threshold: float) -> float:
        """What betting one on that side of the threshold has won: the evidence that the ratio lies there."""
        if self.whole:
            return math.inf if self._speaks(side, threshold) else 0.0
        if self._alpha < self.alpha:  # a decision at the level alpha / 2 is worth 2 / alpha
            return 2 / self.alpha if self._speaks(side, threshold) else 0.0
        if self.is_too_few:
            return 0.0
        return math.exp(min(700.0, *(float(wealth[-1]) for wealth in self._wealths(side, threshold))))

    def needed(self, threshold: float) -> int | None:
        """How many pairs it would take in all, if evidence went on coming in as it has; None where it leads nowhere."""
        if self.clusters:
            return None
        side: Literal[1, -1] = 1 if self.estimate > threshold else -1
        each = [pairs_needed(wealth, self._alpha / 2) for wealth in self._wealths(side, threshold)]
        if None in each:
            return None
        needed = max(len(self.shift) + 1, *filter(None, each))
        size = self.order.size if self.order is not None else None
        return needed if size is None else min(needed, size)

    @property
    def _is_count(self) -> bool:
        return self.limits == (0.0, 1.0)

    def _speaks(self, side: Literal[1, -1], threshold: float) -> bool:
        """For side 1, that the ratio is above the threshold; for side -1, below it."""
        if self.whole:
            return side * float(self._differences(side, threshold).mean()) > self._tolerance(threshold)
        found = np.concatenate([one._differences(side, threshold) for one in self._all])
        if self.is_too_few or side * float(found.mean()) - self._reach(threshold) <= self._tolerance(threshold):
            return False
        if self.counted:
            return self._counts_speak(side, threshold)
        # What is looked at once has no order that was drawn: what all of it together has won decides.
        most = [wealth[-1] if self.order is None else wealth.max() for wealth in self._wealths(side, threshold)]
        return bool(min(most) >= math.log(2 / self._alpha))

    @property
    def _alpha(self) -> float:
        """What is left of alpha for the draw of pairs."""
        return self.alpha * (1 - self.spent - (SPENT if self.parts is not None else 0))

    def _counts_speak(self, side: Literal[1, -1], share: float) -> bool:
        """The same of how many clusters are so, where side -1 is about those that are not; in each order by itself."""

        def says(one: Evidence) -> bool:
            numbers, n = one._differences(side, 0.0), len(one.shift)
            count = math.floor(numbers.sum()) if side == 1 else math.floor(n - numbers.sum())
            return speaks_above(count, n, share if side == 1 else 1 - share, self._alpha / 2)

        return all(map(says, self._all))

    def _wealths(self, side: Literal[1, -1], threshold: float) -> "list[Floats]":
        """The log wealth of betting on that side of the threshold, after each draw: at the clip, and at its multiples up to
        the largest number that speaks against it. Of bounded numbers there is one bet, which is not clipped. What may be the
        reference set's speaks against the side. The bets on several orders are averaged: whoever has put a part of his stake on
        each plays as fairly."""
        scale = 1.0 if self.limits is not None else self.scale
        less = self._reach(threshold) / scale
        numbers = [side * one._differences(side, threshold) / scale - less for one in self._all]
        if self.limits is not None:
            reach = threshold - self.limits[0] if side == 1 else self.limits[1] - threshold
            if reach < 0:  # nothing lies beyond the limits, and whoever bets on that has won
                return [np.full(len(numbers[0]), math.inf)]
            return [average([one._wealth(some, reach + less) for one, some in zip(self._all, numbers, strict=True)])]
        worst, bounds = -min(float(some.min()) for some in numbers), [self.bound]
        while bounds[-1] < worst:
            bounds.append(2 * bounds[-1])
        return [
            average(
                [one._wealth(np.clip(some, -bound, bound), bound) for one, some in zip(self._all, numbers, strict=True)]
            )
            for bound in bounds
        ]

    @property
    def reach(self) -> float:
        """How far the estimate may lie off for the reference set's sake."""
        return self._reach(self.estimate) / abs(float(self.base.mean()))

    def _reach(self, threshold: float) -> float:
        """How far the mean difference may lie off for the reference set's sake."""
        return 0.0 if self.parts is None else self.parts.reach(threshold, SPENT * self.alpha / 2)

    def _wealth(self, numbers: "Floats", reach: float) -> "Floats":
        """Of numbers none of which is under ``-reach``. Pairs that do not count are zeros."""
        if self.order is None:
            return log_wealth(numbers, reach)
        return log_wealth(self.order.spread(numbers), max(0.0, reach), self.order.size)

    def _differences(self, side: Literal[1, -1], threshold: float) -> "Floats":
        """What each pair says for or against the threshold; what is in doubt speaks against the side."""
        shift = self.shift if self.doubt is None else self.shift - side * self.doubt
        differences: Floats = shift - threshold * self.base
        return differences

    def _tolerance(self, threshold: float) -> float:
        if self._is_count:  # the mean of zeros and ones is rounded once, as a written threshold is
            return 1e-12
        return self.noise + self.rounding * float(np.abs(self.shift).mean() + abs(threshold) * np.abs(self.base).mean())


def half_width(evidence: Evidence) -> float:
    """Half of the interval; infinite where a side of it is unbounded."""
    low, high = evidence.interval()
    return math.inf if low is None or high is None else (high - low) / 2


def _edge(speaks: "Callable[[float], bool]", start: float, away: Literal[1, -1]) -> float | None:
    """The threshold nearest to ``start``, on the side ``away`` of it, against which the evidence ``speaks``; found by
    bisection, since whatever speaks against one threshold speaks against all beyond it."""
    silent, step = start, 1e-3 * max(1.0, abs(start))
    loud = start + away * step
    while not speaks(loud):
        silent, step = loud, 2 * step
        loud = loud + away * step
        if abs(loud) > _FARTHEST:
            return None
    for _ in range(30):
        middle = (loud + silent) / 2
        loud, silent = (middle, silent) if speaks(middle) else (loud, middle)
    return loud
