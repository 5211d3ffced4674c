"""Steering: a vector added to what is there.

    model.on(FRUIT).steer("L1.RESID_POST@end", direction) > 0.4

Unlike what a patch or an ablation puts in, what is added comes from neither run and no reference set, and goes into either
run: so that it is a verb of its own. A factor goes with the ablations: ``ablate("L1.N8", scaled(-1))``.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from circuitcheck.addresses.circuits import Circuit
from circuitcheck.addresses.sites import Site
from circuitcheck.engine.ablations import Ablation, Added, finite
from circuitcheck.engine.gradients.slopes import slopes_of
from circuitcheck.engine.making import Ablating
from circuitcheck.errors import MethodError
from circuitcheck.experiments.components import ComponentExperiment, shifted
from circuitcheck.experiments.experiment import Gathered, Sets, Shift
from circuitcheck.experiments.outcomes import ablated
from circuitcheck.experiments.probing.directions import Direction
from circuitcheck.experiments.setups import Setup
from circuitcheck.prompts.aligned_pairs import AlignedPair
from circuitcheck.prompts.pairs import Side
from circuitcheck.sampling.samples import Sample
from circuitcheck.texts import plural

if TYPE_CHECKING:
    from circuitcheck.types import Floats

# Numbers in any form of array, or what has them as ``.vector``.
Vector = Any
# So many of an array's entries say which one it is.
_LARGEST = 4


@dataclass(frozen=True, eq=False, kw_only=True)
class Steer(ComponentExperiment):
    """A ``direction``'s ``vector``, added ``scale`` times ``side`` in."""

    side: Side
    direction: Vector
    vector: "Floats"
    scale: float

    verb, takes, no_source = "steer", "what steers is a vector", "what is added has no source"
    reads_texts = True
    has_controls = False  # what is added to a part is no vector for its whole

    @classmethod
    def at(cls, address: str | Circuit, setup: Setup, direction: Vector, scale: float, side: Side) -> Self:
        """At an address; see ``Run.steer``."""
        if side not in ("clean", "corrupt"):
            raise MethodError(
                f"steer goes into='corrupt' (what comes back?) or into='clean' (what is lost?), not {side!r}"
            )
        if side == "corrupt":
            setup.need_contrast("steering into the corrupted run")
        place, vector = cls.placed(setup, address), _vector(direction)
        for one in place.sites:
            _check_width(setup, one, vector)
        factor = finite(scale, "a steering scale")
        unit = setup.unit if setup.readout.is_text else "gap"
        return cls(**place._asdict(), unit=unit, side=side, direction=direction, vector=vector, scale=factor)

    @property
    def label(self) -> str:
        times = "" if self.scale == 1 else f" ({self.scale:g}x)"
        return f"steer {self.address}{times}{'' if self.side == 'corrupt' else ' into clean'}"

    def fields(self) -> dict[str, Any]:
        return {
            "value": f"plus {self.scale:g} times {self._vector_in_words}",
            "direction": f"steering the {self.side} run",
        }

    @property
    def _vector_in_words(self) -> str:
        """Which vector it is, in words that do not hang on rounding: a direction's own name, or where an array is largest."""
        if isinstance(self.direction, Direction):
            return f"the {self.direction}"
        largest = sorted(np.argsort(-np.abs(self.vector), kind="stable")[:_LARGEST])
        signed = ", ".join(
            f"{'-' if self.vector[place] < 0 else '+'}{place}" for place in largest if self.vector[place]
        )
        return f"a vector of norm {np.linalg.norm(self.vector):.4g} (largest at {signed or 'no entry'})"

    @property
    def how(self) -> Ablation:
        """What is put in."""
        return Added(tuple((self.scale * self.vector).tolist()))

    def moved(self, address: str, value: "str | float | Ablation | None" = None) -> Self:
        self.refuse(value)
        return self.at(address, self.setup, self.direction, self.scale, self.side)

    def gathered(self, sample: Sample, shift: Shift) -> Gathered:
        found = super().gathered(sample, shift)
        return self.direction.noted(found, sample.pairs) if isinstance(self.direction, Direction) else found

    def shifts(self, sample: Sample, sets: Sets) -> list[Shift]:
        """What comes back in the corrupted run, or is lost in the clean one."""
        found = ablated(self.setup, sample, sets, self.how, into=self.side)
        return shifted(found, self.setup.base(sample, self.side), self.side)

    def slopes(self, pair: AlignedPair) -> "dict[Side, Floats]":
        answers, readout = self.setup.model.answers, self.setup.readout
        writing = Ablating(into=self.side, how=self.how, source=None)
        return slopes_of(answers, pair, self.sites, writing, readout)


def _vector(direction: Vector) -> "Floats":
    """A direction's numbers, of shape [width]."""
    given: Any = getattr(direction, "vector", direction)
    if hasattr(given, "detach"):
        given = given.detach().cpu().double().numpy()
    try:
        vector = np.atleast_1d(np.asarray(given, dtype=np.float64))
    except (TypeError, ValueError):
        raise MethodError(
            f"a direction is an array of numbers, or has one as .vector; {direction!r} is neither"
        ) from None
    if vector.ndim != 1 or not len(vector):
        raise MethodError(f"a direction is one vector, of shape [width], not an array of shape {vector.shape}")
    if not np.isfinite(vector).all():
        raise MethodError("a direction's numbers must be finite")
    return vector


def _check_width(setup: Setup, site: Site, vector: "Floats") -> None:
    if site.via or site.traits.width == "pattern":
        raise MethodError(f"{site} is no place for a vector: steer takes components, queries, keys, values and streams")
    profile = setup.model.profile
    width = {"one": 1, "head": profile.d_head, "stream": profile.d_model}[site.traits.width]
    if len(vector) != width:
        raise MethodError(f"{site} has a width of {width}, and the direction has {plural(len(vector), 'number')}")
