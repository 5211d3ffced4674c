"""The share of new templates, or fillers, whose own effect is above a threshold.

assert model.on(FRUIT, generalise="template").patch("L1.N8").new_above(0.4) > 0.7

Of a mean of new ones few of them say nothing, since one that fails may fail badly; of how many fail they say exactly what any
draw says.
"""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Self

import numpy as np

from circuitcheck.errors import MethodError
from circuitcheck.experiments.experiment import Experiment, Gathered
from circuitcheck.experiments.methods import Method
from circuitcheck.sampling.samples import Sample
from circuitcheck.units import UNITS

if TYPE_CHECKING:
    from circuitcheck.claims.estimand import Estimand


@dataclass(frozen=True, eq=False, kw_only=True)
class NewAbove(Experiment):
    """By how much each pair's effect is above a limit times what it is a share of, and that by how much above the floor: of
    each new template or filler both means are to be above 0."""

    effect: "Estimand"
    limit: float

    is_share, is_counted, reads_texts, limits = False, True, True, (0.0, 1.0)

    @classmethod
    def of(cls, effect: "Estimand", limit: float) -> Self:
        """Raises ``MethodError`` for an effect that is not about new ones, or whose pairs have no number of their own."""
        if not effect.run.generalise:
            raise MethodError(
                f"new_above counts new templates or fillers, and {effect.label} is about pairs: say what is new, "
                "model.on(pairs, generalise='template') or a slot, or claim .pairs_above"
            )
        return cls(setup=effect.run, unit="new ones", effect=effect, limit=limit)

    @property
    def label(self) -> str:
        by = self.effect.run.generalise
        which = "templates" if by == "template" else f"fillers of {{{by}}}"
        inner = self.effect.experiment
        return f"new {which} with {inner.label} > {self.limit:g} {UNITS[inner.unit].phrase}".rstrip()

    @property
    def method(self) -> Method:
        return self.effect.method

    def gather(self, sample: Sample) -> Gathered:
        """Of each pair."""
        found, base = self.effect.on(sample), self.effect.base_on(sample)
        there = base - self.effect.run.floor if UNITS[self.effect.unit].is_share else np.ones(len(base))
        return replace(found, shift=found.shift - self.limit * base, bases={"new ones": there}, notes=(), chosen="")
