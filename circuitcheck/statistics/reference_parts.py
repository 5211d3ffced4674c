"""How much of a number is the reference set's, where that was drawn: what the number becomes without each part of the set.

    >>> Parts(shift=np.array([0.49, 0.51, 0.5]), base=np.ones(3), correction=1.0).reach(threshold=0.4, alpha=0.005)
    0.11...

A mean ablation puts in the mean of so many reference prompts, and the number that all of the population's prompts would give
lies elsewhere. The set is divided into parts, each of which is left out once (the jackknife): how far these numbers lie apart
says how far another set's number would lie, and Student's t with as many degrees of freedom as there are parts but one says
how far at most. Each part's mean is one of many prompts, so that it is nearly normal however single prompts scatter. The set is
drawn once and never looked at again, so that this takes its part of alpha (``SPENT``) once, however often pairs are looked at.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from circuitcheck.types import Floats

# Of alpha, the share for a draw that was made once before any evidence: what comes of pairs has the rest.
SPENT = 0.2


@dataclass(frozen=True)
class Parts:
    """The mean shift and the mean base of some pairs without each part of the reference set, of shape [part].
    ``correction``: what their spread is multiplied by, where the set was drawn without replacement."""

    shift: "Floats"
    base: "Floats"
    correction: float = 1.0

    def reach(self, threshold: float, alpha: float) -> float:
        """How far the mean of shift - threshold * base lies at most from that of the whole population as reference set, on
        either side at an error rate of ``alpha``."""
        return self._critical(alpha) * float(self.spread(self.shift - threshold * self.base))

    def of_each(self, numbers: "Floats", alpha: float) -> "Floats":
        """The same of each of some numbers by itself, given without each part; shapes [part, number] and [number]."""
        return self._critical(alpha) * self.spread(numbers)

    def spread(self, numbers: "Floats") -> "Floats":
        """The standard error that is the reference set's (the jackknife's), over the first axis."""
        count = len(numbers)
        squares = ((numbers - numbers.mean(axis=0)) ** 2).sum(axis=0)
        error: Floats = self.correction * np.sqrt((count - 1) / count * squares)
        return error

    def _critical(self, alpha: float) -> float:
        return _critical_t(len(self.shift), alpha)


@lru_cache
def _critical_t(count: int, alpha: float) -> float:
    from scipy.special import stdtrit

    return float(stdtrit(count - 1, 1 - alpha))
