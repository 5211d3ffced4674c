"""Independence: whether anything of a behaviour gets past a circuit (a question of Shi et al. 2024).

    assert model.on(NAMES).independence(IOI) < 0.05

With the circuit held as it is in the corrupted run, the clean prompt should be answered as the corrupted one is, in every pair.
What the other pairs make up for is not forgiven, as it would be in the mean of ``patch(circuit, into="clean")``.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np

from circuitcheck.addresses.circuits import Circuit
from circuitcheck.experiments.experiment import Experiment, Gathered
from circuitcheck.experiments.methods import Method
from circuitcheck.experiments.patching import Patch
from circuitcheck.experiments.setups import Setup
from circuitcheck.sampling.samples import Sample


@dataclass(frozen=True, eq=False, kw_only=True)
class Independence(Experiment):
    """What of the gap gets past a circuit that is as in the corrupted run."""

    patch: Patch

    @classmethod
    def of(cls, circuit: str | Circuit, setup: Setup) -> Self:
        """Of a circuit; see ``Run.independence``."""
        patch = Patch.at(circuit, setup, "clean")
        return cls(setup=patch.setup, unit="gap", patch=patch)

    @property
    def label(self) -> str:
        return f"independence from {self.patch.address}"

    @property
    def method(self) -> Method:
        return self.setup.method(
            "independence",
            self.patch.address,
            self.patch.sites,
            value="corrupted activation",
            direction="the circuit as if corrupted, all else clean",
        )

    def gather(self, sample: Sample) -> Gathered:
        lost = self.patch.gather(sample)
        return Gathered(np.abs(lost.bases["gap"] - lost.shift), lost.bases)
