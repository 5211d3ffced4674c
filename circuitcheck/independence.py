"""Independence: whether anything of a behaviour gets past a circuit (a question of Shi et al. 2024).

    assert model.on(NAMES).independence(IOI) < 0.05

With the circuit held as it is in the corrupted run, the clean prompt should be answered as the corrupted one is, in every pair.
What the other pairs make up for is not forgiven, as it would be in the mean of ``patch(circuit, into="clean")``.
"""

from typing import TYPE_CHECKING

import numpy as np

from circuitcheck.circuits import sites_of
from circuitcheck.effects import Effect
from circuitcheck.gathered import Gathered
from circuitcheck.mutants import current, mutated
from circuitcheck.verbs import Patching

if TYPE_CHECKING:
    from circuitcheck.circuits import Circuit
    from circuitcheck.engine import Sample
    from circuitcheck.runs import Run


def independence(run: "Run", circuit: "str | Circuit") -> Effect:
    """What of the gap gets past the circuit: how far each pair's answer still moves where the circuit stays as it is.

        model.on(NAMES).independence(IOI) < 0.05

    In the share of the gap: E|m(clean, the circuit's activations corrupted) - m(corrupted)| / E[gap]; 0 where all else says
    nothing of what differs between clean and corrupted prompts. Of other differences between prompts it says nothing.
    """
    anatomy = run.model.anatomy
    name, sites = mutated(str(circuit), sites_of(circuit, anatomy), anatomy)
    mutant = current()
    verb = Patching("clean", crossed=mutant is not None and mutant.crossed)
    method = run._method(
        "independence",
        name,
        sites,
        value="corrupted activation",
        direction="the circuit as if corrupted, all else clean",
    )

    def gather(sample: "Sample") -> Gathered:
        with run._as_mutated(mutant, sites):
            [taken] = verb.shifts(run, sample, [sites])
            past = np.abs(run._gaps(sample) - taken.values)
            return Gathered(past, run._bases(sample))

    return Effect(run, f"independence from {name}", method, "gap", gather)
