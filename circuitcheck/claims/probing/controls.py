"""What the same probe reads where there is nothing to be read."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

# Accuracies that differ by less than this are called alike in a remark.
_NOTABLE = 0.05
# Means of zeros and ones are alike where they differ by no more.
ROUNDING = 1e-9


@dataclass(frozen=True)
class ProbeControls:
    """What the same probe reads where there is nothing to be read, as balanced accuracies; all fields are JSON scalars.

    ``rank`` 1: no control reads as much as ``accuracy``, of ``of`` with it. ``chance`` is what reads nothing. ``arbitrary`` draws
    of labels that were given at random, ``untrained`` models with random weights (none where ``why_none`` says so).
    """

    rank: int
    of: int
    accuracy: float
    chance: float
    arbitrary: int
    arbitrary_median: float
    arbitrary_highest: float
    untrained: int
    untrained_median: float | None
    untrained_highest: float | None
    why_none: str = ""

    @classmethod
    def of_accuracies(
        cls, ours: float, chance: float, arbitrary: Sequence[float], untrained: Sequence[float], why_none: str
    ) -> "ProbeControls":
        """Where an accuracy stands among those of its controls."""
        others = [*arbitrary, *untrained]
        return cls(
            1 + sum(other > ours - ROUNDING for other in others),
            1 + len(others),
            ours,
            chance,
            len(arbitrary),
            float(np.median(arbitrary)),
            max(arbitrary),
            len(untrained),
            float(np.median(untrained)) if untrained else None,
            max(untrained, default=None),
            why_none,
        )

    def __str__(self) -> str:
        found = f"arbitrary labels: median {self.arbitrary_median:.3g}, highest {self.arbitrary_highest:.3g} (of {self.arbitrary})"
        if self.untrained:
            found += f"; random weights: median {self.untrained_median:.3g}, highest {self.untrained_highest:.3g} (of {self.untrained})"
        return f"rank {self.rank} of {self.of}; {found}"

    def notes(self, _: float) -> tuple[str, ...]:
        """What is odd about these."""
        found = [f"no model with random weights: {self.why_none}"] if self.why_none else []
        if self.accuracy > self.chance + _NOTABLE:
            alike = self.accuracy - _NOTABLE
            if self.arbitrary_highest > alike:
                found.append("labels given at random are read nearly as well: this says little about the concept")
            if self.untrained_highest is not None and self.untrained_highest > alike:
                found.append("a model that was never trained has it too: training did not put it there")
        return tuple(found)
