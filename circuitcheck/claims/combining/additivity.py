"""Whether several components do more together than each by itself.

    assert model.on(NAMES).ablate("L9.H9 | L9.H6 | L10.H0").over_parts > 1.5

Name movers of GPT-2 that are ablated together cost 1.9 times what they cost one by one: the others back up the one that is
missing (Wang et al. 2022). Below 1, they get in each other's way, or carry the same.
"""

from dataclasses import dataclass, replace
from typing import Self

import numpy as np

from circuitcheck.claims.estimand import Estimand
from circuitcheck.errors import MethodError
from circuitcheck.experiments.experiment import Experiment, Gathered
from circuitcheck.experiments.methods import Method
from circuitcheck.experiments.mutants import Mutant, current
from circuitcheck.sampling.samples import Sample


@dataclass(frozen=True, eq=False, kw_only=True)
class OverParts(Experiment):
    """The joint shift over the sum of the shifts of each site by itself, as a ratio of means."""

    effect: Estimand
    mutant: Mutant | None

    is_share, reads_texts = False, True

    @classmethod
    def of(cls, effect: Estimand) -> Self:
        """Of an effect of several sites; raises ``MethodError`` for what is the sum of nothing."""
        if not effect.experiment.is_sum:
            raise MethodError(f"{effect.label} is not the sum of anything: patch, ablate or steer several sites")
        if len(effect.experiment.sites) < 2:
            raise MethodError(f"{effect.label} is the effect of one site: several have parts, as in 'L9.H9 | L9.H6'")
        return cls(setup=effect.run, unit="parts", effect=effect, mutant=current())

    @property
    def label(self) -> str:
        return f"{self.effect.experiment.label} over its parts"

    @property
    def method(self) -> Method:
        return self.effect.method

    def gather(self, sample: Sample) -> Gathered:
        """Each pair's joint shift, and the sum of its parts'."""
        together = self.effect.experiment
        with self.setup.as_mutated(self.mutant, together.sites):
            singles = together.shifts(sample, [[site] for site in together.sites])
        joint, parts = self.effect.on(sample), np.sum([single.values for single in singles], axis=0)
        return replace(joint, bases={"parts": parts})
