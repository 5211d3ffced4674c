"""Independence: whether anything of a behaviour gets past a circuit (a question of Shi et al. 2024).

    assert model.on(NAMES).independence(IOI) < 0.05

With the circuit held as it is in the corrupted run, the clean prompt should be answered as the corrupted one is, in every pair.
What the other pairs make up for is not forgiven, as it would be in the mean of ``patch(circuit, into="clean")``.
"""

import numpy as np

from circuitcheck.addresses.circuits import Circuit, sites_of
from circuitcheck.experiments.experiment import Experiment, Gathered
from circuitcheck.experiments.mutants import current, mutated
from circuitcheck.experiments.patching import Patching
from circuitcheck.experiments.setups import Setup
from circuitcheck.sampling.samples import Sample


def independence(setup: Setup, circuit: str | Circuit) -> Experiment:
    """What of the gap gets past the circuit; see ``Run.independence``."""
    anatomy = setup.model.anatomy
    name, sites = mutated(str(circuit), sites_of(circuit, anatomy), anatomy)
    mutant = current()
    verb = Patching("clean", crossed=mutant is not None and mutant.crossed)
    method = setup.method(
        "independence",
        name,
        sites,
        value="corrupted activation",
        direction="the circuit as if corrupted, all else clean",
    )

    def gather(sample: Sample) -> Gathered:
        with setup.as_mutated(mutant, sites):
            [taken] = verb.shifts(setup, sample, [sites])
            past = np.abs(setup.gaps_on(sample) - taken.values)
            return Gathered(past, setup.bases(sample))

    return Experiment(setup, f"independence from {name}", method, "gap", gather)
