"""Paired differences: one effect against another, pair by pair.

assert model.on(FRUIT).patch("L1.N8") > model.on(FRUIT).patch("L1.N3")
"""

from dataclasses import dataclass
from typing import Self

import numpy as np

from circuitcheck.claims.estimand import Estimand
from circuitcheck.errors import MethodError
from circuitcheck.experiments.experiment import Experiment, Gathered
from circuitcheck.experiments.methods import Method, difference
from circuitcheck.sampling.samples import Sample


@dataclass(frozen=True, eq=False, kw_only=True)
class Difference(Experiment):
    """Ours minus theirs, pair by pair; ``behind`` it are the effects whose denominators must be established."""

    ours: Estimand
    theirs: Estimand

    reads_texts = True

    @classmethod
    def of(cls, ours: Estimand, theirs: Estimand) -> Self:
        """Raises ``MethodError`` for effects of different models, pairs, readouts or units."""
        _check_alike(ours, theirs)
        return cls(setup=ours.run, unit=ours.unit, ours=ours, theirs=theirs)

    @property
    def behind(self) -> tuple[Estimand, ...]:
        """What must be there for it to mean anything."""
        return self.ours, *self.ours.behind, self.theirs, *self.theirs.behind

    @property
    def label(self) -> str:
        return f"{self.ours.label} - {self.theirs.label}"

    @property
    def method(self) -> Method:
        return difference(self.ours.method, self.theirs.method)

    @property
    def limits(self) -> tuple[float, float] | None:
        """What the difference of two bounded numbers lies between."""
        ours, theirs = self.ours.bounds, self.theirs.bounds
        return None if ours is None or theirs is None else (ours[0] - theirs[1], ours[1] - theirs[0])

    def gather(self, sample: Sample) -> Gathered:
        """Each pair's difference."""
        our, their = self.ours.on(sample), self.theirs.on(sample)
        base, drawn = {self.unit: self.ours.base_on(sample)}, max(our.drawn, their.drawn)
        doubts = [one.doubt for one in (our, their) if one.doubt is not None]
        return Gathered(
            our.shift - their.shift,
            base,
            our.reference or their.reference,
            drawn,
            doubt=np.sum(doubts, axis=0) if doubts else None,
            chosen=" - ".join(dict.fromkeys(one.chosen for one in (our, their) if one.chosen)),
            spent=our.spent + their.spent,
            correction=max(our.correction, their.correction),
        )


def _check_alike(ours: Estimand, theirs: Estimand) -> None:
    if ours.run.generalise != theirs.run.generalise:
        said = " and ".join(f"generalise={run.generalise!r}" for run in (ours.run, theirs.run))
        raise MethodError(f"{ours.label} and {theirs.label} are about different populations: {said}")
    first, theirs_first = ours.run.drawn.first.sample, theirs.run.drawn.first.sample
    narrowed = ours.run.pairs is theirs.run.pairs and ours.run.corresponding != theirs.run.corresponding
    if narrowed and first.identity != theirs_first.identity:
        raise MethodError(
            f"{ours.label} and {theirs.label} are compared pair by pair, and are not of the same pairs (where prompts differ in token "
            "count, not all positions have a counterpart to put something in from): compare them at one position"
        )
    if first.identity != theirs_first.identity or ours.run.model is not theirs.run.model:
        raise MethodError("effects are compared pair by pair, so that both must be on the same model and pairs")
    if ours.run.readout != theirs.run.readout:
        raise MethodError(
            f"{ours.label} and {theirs.label} are of different readouts: {ours.run.reads}; {theirs.run.reads}"
        )
    if ours.unit != theirs.unit or not np.array_equal(ours.base_on(first), theirs.base_on(theirs_first)):
        raise MethodError(
            f"{ours.label} and {theirs.label} are shares of different things; compare them .of_gap or .raw"
        )
