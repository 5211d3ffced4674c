"""Where the effect in other pairs will be: prediction limits, for what was chosen because it was large."""

import math
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from circuitcheck.types import Floats

# Of what was chosen among many: those count as having been in the running whose effect is less than so many standard errors smaller.
RUNNING = 4.0


def standard_error(shift: "Floats", base: "Floats") -> float:
    """Of the ratio of the means of shifts and bases, each of shape [pair]."""
    residual = shift - shift.mean() / base.mean() * base
    return float(residual.std(ddof=1) / abs(base.mean()) / math.sqrt(len(shift)))


def lower_prediction_limit(shift: "Floats", base: "Floats", further: int, level: float) -> float:
    """What the ratio of the means of so many ``further`` pairs will be above, but for a share ``level`` of cases.

    Student's t of the residuals from the ratio; both the pairs that there are and the further ones count as draws.
    """
    from scipy.stats import t

    spread = standard_error(shift, base) * math.sqrt(1 + len(shift) / further)
    return float(shift.mean() / base.mean() - t.ppf(1 - level, len(shift) - 1) * spread)


def in_the_running(sizes: "Floats", size: float, error: float) -> int:
    """How many of some effects' ``sizes`` are so near one, or above it, that another draw of pairs might have had them in its place."""
    return int((np.abs(sizes) > abs(size) - RUNNING * error).sum())
