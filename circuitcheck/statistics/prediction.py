"""Where the effect in other pairs will be: prediction limits, for what was chosen because it was large."""

import math
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from circuitcheck.types import Floats

# Of what was chosen among many: those count as having been in the running whose effect is less than so many standard errors smaller.
RUNNING = 4.0


def standard_error(shift: "Floats", base: "Floats", weights: "Floats | None" = None) -> float:
    """Of the ratio of the means of shifts and bases, each of shape [pair], as often as each counts; infinite for a single pair.

    A pair that counts several times was drawn once: weights make the pairs fewer, 1 / sum(shares ** 2) (Kish 1965).
    """
    shares = _shares(shift, weights)
    mean, n = float(shares @ base), 1 / float(shares @ shares)
    if n <= 1:
        return math.inf
    residual = shift - float(shares @ shift) / mean * base
    return math.sqrt(float(shares**2 @ residual**2) * n / (n - 1)) / abs(mean)


def lower_prediction_limit(
    shift: "Floats", base: "Floats", further: int, level: float, weights: "Floats | None" = None
) -> float:
    """What the ratio of the means of so many ``further`` pairs will be above, but for a share ``level`` of cases.

    Student's t of the residuals from the ratio; both the pairs that there are and the further ones, whose weights are taken to be
    like theirs, count as draws.
    """
    from scipy.stats import t

    shares = _shares(shift, weights)
    spread = standard_error(shift, base, weights) * math.sqrt(1 + len(shift) / further)
    freedom = 1 / float(shares @ shares) - 1
    return float(shares @ shift / (shares @ base) - t.ppf(1 - level, freedom) * spread)


def _shares(numbers: "Floats", weights: "Floats | None") -> "Floats":
    """Of each pair its share of all, of shape [pair]."""
    each = np.ones(len(numbers)) if weights is None else weights
    shares: Floats = each / each.sum()
    return shares


def in_the_running(sizes: "Floats", size: float, error: float) -> int:
    """How many of some effects' ``sizes`` are so near one, or above it, that another draw of pairs might have had them in its place."""
    return int((np.abs(sizes) > abs(size) - RUNNING * error).sum())
