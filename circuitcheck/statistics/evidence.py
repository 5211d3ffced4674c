"""The statistics: numpy only.

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
pair counts for more than ``bound`` mean gaps, for or against: shift - t * base is clipped there, and a claim is not
decided while more than 1 % of the pairs are clipped on the side that would speak against it.

Of new templates or fillers little is known from the few that are given, one number each: no method decides on clipped
numbers alone from ten of them. There Student's t is used, once, on the numbers that have been gathered by then; it is
right for cluster means that scatter symmetrically (see docs/evidence.md for what skewed ones do to it), and says nothing
where they do not scatter at all. Accuracies and shares of pairs, which are bounded, are bet on there too.
"""

import math
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache, partial
from typing import TYPE_CHECKING, Literal

import numpy as np

from circuitcheck.statistics.betting import log_wealth, pairs_needed

if TYPE_CHECKING:
    from collections.abc import Callable

    from circuitcheck.types import Floats

# "unrefuted": a search found no counterexample, and has not seen all pairs.
Decision = Literal["supported", "refuted", "inconclusive", "unrefuted"]
Operator = Literal[">", ">=", "<", "<="]
MOST_CLIPPED = 0.01
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
    size of rounding in the numbers, ``noise`` its absolute size: an exact result nearer than these to a threshold is not
    decided. Shifts of 0 and 1 have none of either, but may be in ``doubt`` by so much, up or down. ``clusters``: each number
    is the mean of a cluster of pairs.
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

    @property
    def is_exact(self) -> bool:
        """The estimate is the population's own number."""
        return self.whole and not self._is_doubted

    @property
    def estimate(self) -> float:
        return float(self.shift.mean() / self.base.mean())

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
        return not (self.whole or self.clusters) and self.limits is None and bool((self.base < 0).any())

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
        """How many pairs count for less than they would, below and above the threshold."""
        if self.whole or self.clusters or self.limits is not None:
            return 0, 0
        numbers = self._residuals(1, threshold)
        return int((numbers < -self.bound).sum()), int((numbers > self.bound).sum())

    def e_value(self, side: Literal[1, -1], threshold: float) -> float:
        """What betting one on that side of the threshold has won: the evidence that the ratio lies there."""
        if self.whole:
            return math.inf if self._speaks(side, threshold) else 0.0
        if self._is_t:  # a decision at the level alpha / 2 is worth 2 / alpha
            return 2 / self.alpha if self._speaks(side, threshold) else 0.0
        if self._is_clipped(side, threshold):
            return 0.0
        return math.exp(min(float(self._wealth(side, threshold)[-1]), 700.0))

    def needed(self, threshold: float) -> int | None:
        """How many pairs it would take in all, if evidence went on coming in as it has; None where it leads nowhere."""
        if self.clusters:
            return None
        side: Literal[1, -1] = 1 if self.estimate > threshold else -1
        needed = pairs_needed(self._wealth(side, threshold), self.alpha / 2)
        if needed is None:
            return None
        needed = max(needed, len(self.shift) + 1)
        size = self.order.size if self.order is not None else None
        return needed if size is None else min(needed, size)

    @property
    def _is_count(self) -> bool:
        return self.limits == (0.0, 1.0)

    def _speaks(self, side: Literal[1, -1], threshold: float) -> bool:
        """For side 1, that the ratio is above the threshold; for side -1, below it."""
        if self.whole:
            return side * float(self._differences(side, threshold).mean()) > self._tolerance(threshold)
        if self._is_t:
            numbers, least = self._differences(side, threshold), self._tolerance(threshold)
            return _students_t(side * numbers, least) > _critical_t(len(self.shift), self.alpha)
        if self._is_clipped(side, threshold):
            return False
        wealth = self._wealth(side, threshold)
        most = wealth[-1] if self.order is None else wealth.max()
        return bool(most >= math.log(2 / self.alpha))

    def _is_clipped(self, side: Literal[1, -1], threshold: float) -> bool:
        """Whether so many pairs are clipped that would speak against that side, that nothing is said for it."""
        return self.clipped(threshold)[0 if side == 1 else 1] > MOST_CLIPPED * len(self.shift)

    def _wealth(self, side: Literal[1, -1], threshold: float) -> "Floats":
        """The log wealth of betting on that side of the threshold, after each draw."""
        numbers, reach = self._residuals(side, threshold), self.bound
        if self.limits is None:
            numbers = np.clip(numbers, -self.bound, self.bound)
        else:
            # Pairs that do not count are zeros, also where the threshold lies beyond the limits.
            reach = max(0.0, threshold - self.limits[0] if side == 1 else self.limits[1] - threshold)
        numbers = side * numbers if self.order is None else self.order.spread(side * numbers)
        if reach < 0:  # nothing lies beyond the limits, and whoever bets on that has won
            return np.full(len(numbers), math.inf)
        return log_wealth(numbers, reach, None if self.order is None else self.order.size)

    @property
    def _is_t(self) -> bool:
        return self.clusters and self.limits is None

    def _residuals(self, side: Literal[1, -1], threshold: float) -> "Floats":
        """What each pair says for or against the threshold, in mean gaps."""
        residuals: Floats = self._differences(side, threshold) / (1.0 if self.limits is not None else self.scale)
        return residuals

    def _differences(self, side: Literal[1, -1], threshold: float) -> "Floats":
        """The same as it was measured; what is in doubt speaks against the side."""
        shift = self.shift if self.doubt is None else self.shift - side * self.doubt
        differences: Floats = shift - threshold * self.base
        return differences

    def _tolerance(self, threshold: float) -> float:
        if self._is_count:  # the mean of zeros and ones is rounded once, as a written threshold is
            return 1e-12
        return self.noise + self.rounding * float(np.abs(self.shift).mean() + abs(threshold) * np.abs(self.base).mean())


def _students_t(numbers: "Floats", least: float) -> float:
    """How many standard errors their mean lies above 0; none where they scatter by no more than ``least``."""
    scatter = float(numbers.std(ddof=1))
    return float(numbers.mean()) / scatter * math.sqrt(len(numbers)) if scatter > least else 0.0


@lru_cache
def _critical_t(n: int, alpha: float) -> float:
    from scipy.special import stdtrit

    return float(stdtrit(n - 1, 1 - alpha / 2))


def _edge(speaks: "Callable[[float], bool]", start: float, away: Literal[1, -1]) -> float | None:
    """The threshold nearest to ``start``, on the side ``away`` of it, against which the evidence ``speaks``; found by
    bisection, since whatever speaks against one threshold speaks against all beyond it."""
    silent, step = start, 1e-3 * max(1.0, abs(start))
    if speaks(start):  # what was clipped moved the estimate beyond its own interval
        away = -1 if away == 1 else 1
        loud = start
        while speaks(silent):
            loud, silent, step = silent, silent + away * step, 2 * step
            if abs(silent) > _FARTHEST:
                return None
    else:
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
