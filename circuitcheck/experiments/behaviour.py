"""What is there before anything is done: whether prompts are answered rightly, and what tells clean from corrupted ones."""

from dataclasses import dataclass
from typing import Self

import numpy as np

from circuitcheck.experiments.components import told_apart
from circuitcheck.experiments.experiment import Experiment, Gathered
from circuitcheck.experiments.methods import Method
from circuitcheck.experiments.setups import Setup
from circuitcheck.prompts.pairs import sides
from circuitcheck.sampling.samples import Sample

_ONE_ANSWER = "every prompt has the same answer, so that a model that always gives it would do as well"


@dataclass(frozen=True, eq=False, kw_only=True)
class Observation(Experiment):
    """A number about unchanged runs."""

    is_share, reads_texts = False, True

    @property
    def method(self) -> Method:
        """What is read, in words."""
        return self.setup.method("observe", "", ())


class Accuracy(Observation):
    """The share of clean prompts that are answered right; see ``Run.accuracy``."""

    label, limits = "accuracy", (0.0, 1.0)

    @classmethod
    def of(cls, setup: Setup) -> Self:
        """On the pairs of a setup, whatever it reads."""
        return cls(setup=setup.of_answers(), unit="accuracy")

    def gather(self, sample: Sample) -> Gathered:
        """Whether each clean prompt is answered right."""
        found = self.setup.base(sample, "clean")
        only_one = len(sample.pairs) > len({pair.answer for pair in sample.pairs}) == 1
        notes = (_ONE_ANSWER,) if only_one and not self.setup.readout.is_text else ()
        return Gathered(
            found.values, {self.unit: np.ones(len(found.values))}, notes=notes, texts=told_apart(clean=found)
        )


class Gap(Observation):
    """Clean minus corrupted readout; see ``Run.gap``."""

    label = "gap"

    @classmethod
    def of(cls, setup: Setup) -> Self:
        """In the unit of what a setup reads."""
        setup.need_contrast("the gap")
        return cls(setup=setup, unit=setup.unit)

    def gather(self, sample: Sample) -> Gathered:
        """Each pair's gap."""
        gaps = self.setup.gaps_on(sample)
        clean, corrupted = (self.setup.base(sample, side) for side in sides("both"))
        texts = told_apart(clean=clean, corrupted=corrupted)
        return Gathered(gaps, {self.unit: np.ones(len(gaps))}, texts=texts)
