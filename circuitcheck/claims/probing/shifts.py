"""How far what a probe reads moves when a picture is changed: claims about attacks, layer by layer."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from circuitcheck.claims.effects import Effect
from circuitcheck.claims.gathering import Gathering
from circuitcheck.experiments.experiment import Experiment, Gathered
from circuitcheck.experiments.methods import Method
from circuitcheck.sampling.samples import Sample

if TYPE_CHECKING:
    from circuitcheck.types import Floats


@dataclass(frozen=True, eq=False, kw_only=True)
class Reading(Experiment):
    """What a probe reads in the clean picture minus what it reads in the changed one: the probability of the clean one's class."""

    named: str
    way: Method
    shifts_of: "Callable[[Sample], Floats]"

    is_share, limits = False, (-1.0, 1.0)

    @property
    def label(self) -> str:
        return self.named

    @property
    def method(self) -> Method:
        return self.way

    def gather(self, sample: Sample) -> Gathered:
        """Each pair's own."""
        moved = self.shifts_of(sample)
        return Gathered(moved, {self.unit: np.ones(len(moved))})


def shift(run: Gathering, label: str, method: Method, moved: "Callable[[Sample], Floats]") -> Effect:
    """The effect of a change on what a probe reads."""
    return Effect(Reading(setup=run, unit="probability", named=f"{label}, shift", way=method, shifts_of=moved))
