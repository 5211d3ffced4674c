"""The statistics: numpy only.

    >>> Evidence(shift, base, whole=True).decide(">", 0.4)
    'supported'

Evidence is two numbers a pair, ``shift`` and ``base``, and the estimate is the ratio of their means (not the mean of
ratios: one pair with a small gap would rule it). A claim ``ratio > t`` is decided as E[shift - t * base] > 0, which is
the same where E[base] > 0 (that is established first) and divides by no pair's own number.

Where the pairs are the whole population, the statement is exact. Otherwise the pairs are a seeded sample of fixed size
without replacement, and one two-sided interval at level 1 - alpha decides: by the normal approximation for the mean of
shift - t * base, inverted for the ratio (Fieller 1954), or exact binomial limits for counts (Clopper & Pearson 1934).
No batch is looked at before the last one is in, so that nothing is gained by stopping.
"""

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import TYPE_CHECKING, Literal

import numpy as np

if TYPE_CHECKING:
    from circuitcheck.types import Floats

Decision = Literal["supported", "refuted", "inconclusive"]
Operator = Literal[">", ">=", "<", "<="]


@dataclass(frozen=True)
class Evidence:
    """Per-pair numbers of shape [pair].

    ``counts`` says that shifts are 0 or 1 over a base of 1, free of rounding; ``grain`` that they come in steps of that
    size over a base of 1. A sample that shows no step at all leaves room for a few: log(2 / alpha) of n. ``rounding`` is
    the relative size of rounding in the numbers, ``noise`` its absolute size: an exact result nearer than these to a
    threshold is not decided.
    """

    shift: "Floats"
    base: "Floats"
    whole: bool
    alpha: float = 0.05
    counts: bool = False
    grain: float = 0.0
    rounding: float = 1e-6
    noise: float = 0.0

    @property
    def estimate(self) -> float:
        return float(self.shift.mean() / self.base.mean())

    def interval(self) -> tuple[float | None, float | None]:
        """Every ratio that the evidence does not speak against; None for a side on which it is unbounded."""
        if self.whole:
            return self.estimate, self.estimate
        if self.counts:
            return _binomial_limits(int(self.shift.sum()), len(self.shift), self.alpha)
        return self._margin(0.0) if self.grain else self._inverted()

    def above(self, threshold: float) -> bool:
        """The ratio is above the threshold, at an error rate of alpha / 2."""
        if self.counts:  # the mean of zeros and ones is rounded once, as a written threshold is
            return (self.interval()[0] or 0.0) > threshold
        low, _ = self._margin(threshold)
        return low > self._tolerance(threshold)

    def below(self, threshold: float) -> bool:
        """The ratio is below the threshold, at an error rate of alpha / 2."""
        if self.counts:
            high = self.interval()[1]
            return (1.0 if high is None else high) < threshold
        _, high = self._margin(threshold)
        return high < -self._tolerance(threshold)

    def decide(self, operator: Operator, threshold: float) -> Decision:
        """Whether the ratio stands to the threshold as claimed. Equality, where it can be known, counts as it is written."""
        above, below = self.above(threshold), self.below(threshold)
        if self.whole and self.counts and not above and not below:
            return "supported" if operator in (">=", "<=") else "refuted"
        holds, fails = (above, below) if operator in (">", ">=") else (below, above)
        return "supported" if holds else "refuted" if fails else "inconclusive"

    def decide_within(self, low: float, high: float) -> Decision:
        """Whether the ratio lies inside the margin (equivalence): its whole interval must."""
        if self.whole and self.counts:
            return "supported" if low <= self.estimate <= high else "refuted"
        if self.above(low) and self.below(high):
            return "supported"
        return "refuted" if self.below(low) or self.above(high) else "inconclusive"

    def _margin(self, threshold: float) -> tuple[float, float]:
        """Limits of E[shift - threshold * base]."""
        difference = self.shift - threshold * self.base
        mean = float(difference.mean())
        if self.whole:
            return mean, mean
        if len(difference) < 2:
            return -math.inf, math.inf
        reach = self._quantile * float(difference.std(ddof=1)) / math.sqrt(len(difference))
        reach = max(reach, self.grain * math.log(2 / self.alpha) / len(difference))
        return mean - reach, mean + reach

    def _tolerance(self, threshold: float) -> float:
        if not self.whole:
            return 0.0
        return self.noise + self.rounding * float(np.abs(self.shift).mean() + abs(threshold) * np.abs(self.base).mean())

    @property
    def _quantile(self) -> float:
        return NormalDist().inv_cdf(1 - self.alpha / 2)

    def _inverted(self) -> tuple[float | None, float | None]:
        """All t for which 0 lies within the limits of E[shift - t * base]: the roots of a quadratic in t."""
        if len(self.shift) < 2:
            return None, None
        shift, base = float(self.shift.mean()), float(self.base.mean())
        spread = np.cov(self.shift, self.base) * self._quantile**2 / len(self.shift)
        a = base**2 - float(spread[1, 1])
        b = shift * base - float(spread[0, 1])
        c = shift**2 - float(spread[0, 0])
        if a <= 0:  # the mean of the bases may be 0
            return None, None
        root = math.sqrt(max(b * b - a * c, 0.0))
        return (b - root) / a, (b + root) / a


def _binomial_limits(successes: int, n: int, alpha: float) -> tuple[float, float]:
    """Clopper & Pearson's limits for a share; drawing without replacement makes them only safer."""
    low = 0.0 if successes == 0 else _share_at(successes - 1, n, 1 - alpha / 2)
    high = 1.0 if successes == n else _share_at(successes, n, alpha / 2)
    return low, high


def _share_at(successes: int, n: int, chance: float) -> float:
    """The share p at which at most so many successes of n have the given chance; it falls as p rises."""
    k = np.arange(successes + 1)
    choose = np.array([math.lgamma(n + 1) - math.lgamma(i + 1) - math.lgamma(n - i + 1) for i in k])
    low, high = 0.0, 1.0
    for _ in range(60):
        p = (low + high) / 2
        at_most = np.exp(choose + k * math.log(p) + (n - k) * math.log1p(-p)).sum()
        low, high = (p, high) if at_most > chance else (low, p)
    return (low + high) / 2
