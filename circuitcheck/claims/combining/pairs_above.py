"""The share of pairs whose own effect is above a threshold.

assert model.on(FRUIT).patch("L1.N8").pairs_above(0.1) > 0.95
"""

from dataclasses import dataclass

import numpy as np

from circuitcheck.claims.estimand import Estimand
from circuitcheck.claims.mean_bases import mean_base_of
from circuitcheck.experiments.experiment import Experiment, Gathered
from circuitcheck.experiments.methods import Method
from circuitcheck.sampling.samples import Sample
from circuitcheck.units import UNITS


@dataclass(frozen=True, eq=False, kw_only=True)
class PairsAbove(Experiment):
    """Whether each pair's effect, over the mean base, is above a limit; a half where rounding leaves that open, or what is not
    known of the mean base (see ``circuitcheck.claims.mean_bases``)."""

    effect: Estimand
    limit: float

    is_share, reads_texts, limits = False, True, (0.0, 1.0)

    @property
    def label(self) -> str:
        inner = self.effect.experiment
        return f"pairs with {inner.label} > {self.limit:g} {UNITS[inner.unit].phrase}"

    @property
    def method(self) -> Method:
        return self.effect.method

    def gather(self, sample: Sample) -> Gathered:
        """For each pair 1, 0, or a half."""
        found, base = self.effect.on(sample), mean_base_of(self.effect, sample)
        over = found.shift - self.limit * base.mean
        noise = self.setup.noise_on(sample) + self.setup.model.rounding * abs(self.limit * base.mean)
        near = np.abs(over) <= noise + base.doubt(self.limit)
        above = np.where(near, 0.5, over > 0)
        return Gathered(
            above,
            {"pairs": np.ones(len(above))},
            drawn=found.drawn,
            doubt=near * 0.5,
            spent=base.spent,
            texts=found.texts,
        )
