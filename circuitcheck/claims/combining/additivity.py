"""Whether several components do more together than each by itself.

    assert model.on(NAMES).ablate("L9.H9 | L9.H6 | L10.H0").over_parts > 1.5

Name movers of GPT-2 that are ablated together cost 1.9 times what they cost one by one: the others back up the one that is
missing (Wang et al. 2022). Below 1, they get in each other's way, or carry the same.
"""

import numpy as np

from circuitcheck.claims.estimand import Estimand
from circuitcheck.errors import MethodError
from circuitcheck.experiments.ablating import Keeping
from circuitcheck.experiments.experiment import Experiment, Gathered
from circuitcheck.experiments.mutants import current
from circuitcheck.sampling.samples import Sample


def over_parts(effect: Estimand) -> Experiment:
    """The joint shift over the sum of the shifts of each site by itself, as a ratio of means."""
    act, run, mutant = effect.act, effect.run, current()
    if act is None or isinstance(act.verb, Keeping):
        raise MethodError(f"{effect.label} is not the sum of anything: patch, ablate or steer several sites")
    if len(act.sites) < 2:
        raise MethodError(f"{effect.label} is the effect of one site: several have parts, as in 'L9.H9 | L9.H6'")

    def gather(sample: Sample) -> Gathered:
        with run.as_mutated(mutant, act.sites):
            singles = act.verb.shifts(run, sample, [[site] for site in act.sites])
        joint, parts = effect.on(sample), np.sum([single.values for single in singles], axis=0)
        return Gathered(joint.shift, {"parts": parts}, joint.reference, joint.drawn, joint.notes)

    return Experiment(run, f"{effect.experiment.label} over its parts", effect.method, "parts", gather)
