"""What a dictionary explains, with how many features, and what of the model's loss it keeps: numbers of each pair's clean prompt."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Literal, Self

import numpy as np

from circuitcheck.engine.reading.dictionaries import Directions, fit, losses
from circuitcheck.experiments.experiment import Experiment, Gathered
from circuitcheck.experiments.methods import Method
from circuitcheck.experiments.setups import Setup
from circuitcheck.models.dictionaries.attaching import Attachment
from circuitcheck.sampling.samples import Sample

if TYPE_CHECKING:
    from circuitcheck.types import Floats

What = Literal["explained", "l0", "loss_recovered"]
_UNITS = {"explained": "variance", "l0": "features", "loss_recovered": "loss"}
# Pairs whose prompts say how much there is to be explained, or lost; the same under every seed.
_RULER = 64
# What a pair counts for at least and at most: a dictionary may explain less than nothing, and lose more than there is.
_LIMITS = {"explained": (-1.0, 1.0), "loss_recovered": (-1.0, 2.0)}


@dataclass(frozen=True, eq=False, kw_only=True)
class Fit(Experiment):
    """How well an attached dictionary fits, or as many ``against`` it."""

    what: What
    attachment: Attachment
    against: Directions | None = None

    is_share = False

    @classmethod
    def of(cls, setup: Setup, what: What, attachment: Attachment, against: Directions | None = None) -> Self:
        return cls(setup=setup, unit=_UNITS[what], what=what, attachment=attachment, against=against)

    @property
    def label(self) -> str:
        return f"{self.what} by {self.against or f'the dictionary at {self._site}'}"

    @property
    def method(self) -> Method:
        method = self.setup.method("observe", self._site, (), value=self.label)
        return replace(method, granularity=f"dictionary {self.attachment}", sites=1, positions="all but BOS")

    @property
    def limits(self) -> tuple[float, float]:
        return _LIMITS.get(self.what, (0.0, float(self.attachment.n_features)))

    def gather(self, sample: Sample) -> Gathered:
        """A pair's number: its own part over what the ruler's prompts have in the mean."""
        numbers = self._numbers(sample)
        low, high = self.limits
        kept = np.clip(numbers, low, high)
        notes = (f"pairs count for {low:g} at least and {high:g} at most",) if (kept != numbers).any() else ()
        return Gathered(kept, {self.unit: np.ones(len(kept))}, notes=notes)

    def _numbers(self, sample: Sample) -> "Floats":
        if self.what == "loss_recovered":
            _, replaced, zeroed = self._losses(sample).T
            lost: Floats = (zeroed - replaced) / self._ruler
            return lost
        tokens, _, left, active = self._fit(sample).T
        found: Floats = active / tokens if self.what == "l0" else 1 - left / tokens / self._ruler
        return found

    @cached_property
    def _ruler(self) -> float:
        """How much there is in the mean: squares at a token, or what zero in the site's place costs, in nats."""
        some = self.setup.fixed(_RULER)
        if self.what == "loss_recovered":
            clean, _, zeroed = self._losses(some).T
            return float((zeroed - clean).mean())
        tokens, whole, *_ = self._fit(some).sum(0)
        return float(whole / tokens)

    def _fit(self, sample: Sample) -> "Floats":
        one = self.attachment
        center = self.setup.fixed(_RULER)
        return fit(self.setup.model.answers, sample, center, one.layer, f"{one.kind}.F", one.digest, self.against)

    def _losses(self, sample: Sample) -> "Floats":
        one = self.attachment
        return losses(self.setup.model.answers, sample, one.layer, f"{one.kind}.F", one.digest)

    @property
    def _site(self) -> str:
        return f"L{self.attachment.layer}.{self.attachment.kind}"


def controls(seeds: Sequence[int]) -> list[Directions]:
    """What a dictionary is compared with: so many draws of random directions, and the axes."""
    return [*(Directions(seed) for seed in seeds), Directions()]
