"""Paired differences: one effect against another, pair by pair.

assert model.on(FRUIT).patch("L1.N8") > model.on(FRUIT).patch("L1.N3")
"""

import numpy as np

from circuitcheck.claims.estimand import Estimand
from circuitcheck.errors import MethodError
from circuitcheck.experiments.experiment import Experiment, Gathered
from circuitcheck.experiments.methods import difference
from circuitcheck.sampling.samples import Sample


def difference_of(ours: Estimand, theirs: Estimand) -> tuple[Experiment, tuple[Estimand, ...]]:
    """The paired difference ours - theirs, and the effects whose denominators must be established for it to mean anything.

    Raises ``MethodError`` for effects of different models, pairs, readouts or units.
    """
    _check_alike(ours, theirs)

    def gather(sample: Sample) -> Gathered:
        our, their = ours.on(sample), theirs.on(sample)
        return Gathered(
            our.shift - their.shift,
            {ours.unit: ours.base_on(sample)},
            our.reference or their.reference,
            our.drawn or their.drawn,
        )

    label, method = f"{ours.label} - {theirs.label}", difference(ours.method, theirs.method)
    experiment = Experiment(ours.run, label, method, ours.unit, gather, _limits(ours, theirs))
    return experiment, (ours, *ours.behind, theirs, *theirs.behind)


def _check_alike(ours: Estimand, theirs: Estimand) -> None:
    first, theirs_first = ours.run.drawn.first.sample, theirs.run.drawn.first.sample
    if first.identity != theirs_first.identity or ours.run.model is not theirs.run.model:
        raise MethodError("effects are compared pair by pair, so that both must be on the same model and pairs")
    if ours.run.generalise != theirs.run.generalise:
        said = " and ".join(f"generalise={run.generalise!r}" for run in (ours.run, theirs.run))
        raise MethodError(f"{ours.label} and {theirs.label} are about different populations: {said}")
    if ours.run.readout != theirs.run.readout:
        raise MethodError(
            f"{ours.label} and {theirs.label} are of different readouts: {ours.run.reads}; {theirs.run.reads}"
        )
    if ours.unit != theirs.unit or not np.array_equal(ours.base_on(first), theirs.base_on(theirs_first)):
        raise MethodError(
            f"{ours.label} and {theirs.label} are shares of different things; compare them .of_gap or .in_logits"
        )


def _limits(ours: Estimand, theirs: Estimand) -> tuple[float, float] | None:
    """What the difference of two bounded numbers lies between."""
    if ours.bounds is None or theirs.bounds is None:
        return None
    return ours.bounds[0] - theirs.bounds[1], ours.bounds[1] - theirs.bounds[0]
