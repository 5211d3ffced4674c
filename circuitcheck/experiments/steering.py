"""Steering: a vector added to what is there.

    model.on(FRUIT).steer("L1.RESID_POST@end", direction) > 0.4

Unlike what a patch or an ablation puts in, what is added comes from neither run and no reference set, and goes into either
run: so that it is a verb of its own. A factor goes with the ablations: ``ablate("L1.N8", scaled(-1))``.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from circuitcheck.addresses.circuits import Circuit, sites_of
from circuitcheck.addresses.sites import Site
from circuitcheck.engine.ablations import Ablation, finite
from circuitcheck.engine.reading import slopes
from circuitcheck.errors import MethodError
from circuitcheck.experiments.experiment import Act, Experiment, Gathered, Sets, Shift
from circuitcheck.experiments.mutants import NotApplicable, current, mutated
from circuitcheck.experiments.probing.directions import Direction
from circuitcheck.experiments.setups import Setup
from circuitcheck.prompts.alignment import AlignedPair
from circuitcheck.prompts.pairs import Side
from circuitcheck.sampling.samples import Sample

if TYPE_CHECKING:
    from circuitcheck.types import Floats

# Numbers in any form of array, or what has them as ``.vector``.
Vector = Any


@dataclass(frozen=True)
class Steering:
    """A vector, added ``side`` in."""

    side: Side
    how: Ablation

    def shifts(self, setup: Setup, sample: Sample, sets: Sets) -> list[Shift]:
        """What comes back in the corrupted run, or is lost in the clean one."""
        answers = setup.model.answers
        before = answers.base(sample, self.side, setup.readout).values
        sign = 1 if self.side == "corrupt" else -1
        found = answers.ablated_each(sample, sets, self.how, None, setup.readout, into=self.side)
        return [Shift(sign * (outcome.values - before), outcome.unchanged) for outcome in found]

    def slopes(self, setup: Setup, pair: AlignedPair, sites: Sequence[Site]) -> "dict[Side, Floats]":
        """How what it shifts changes with each token's embedding, of shape [position, d_model]."""
        return slopes.of_ablation(setup.model.answers, pair, sites, self.how, None, setup.readout, self.side)


def steering(setup: Setup, address: str | Circuit, direction: Vector, scale: float, into: Side) -> Experiment:
    """A vector added at the sites of an address; see ``Run.steer``."""
    if into not in ("clean", "corrupt"):
        raise MethodError(f"steer goes into='corrupt' (what comes back?) or into='clean' (what is lost?), not {into!r}")
    name, sites = mutated(str(address), sites_of(address, setup.model.anatomy), setup.model.anatomy)
    mutant = current()
    if mutant is not None and mutant.crossed:
        raise NotApplicable("what is added has no source")
    vector = _vector(direction)
    for one in sites:
        _check_width(setup, one, vector)
    factor = finite(scale, "a steering scale")
    verb = Steering(into, Ablation("added", vector=tuple((factor * vector).tolist())))
    value = f"plus {factor:g} times a vector of norm {np.linalg.norm(vector):.4g} ({_hash(vector)})"
    method = setup.method("steer", name, sites, value=value, direction=f"steering the {into} run")

    def gather(sample: Sample) -> Gathered:
        made = isinstance(direction, Direction)
        notes, drawn = (direction.notes_on(sample.pairs), direction.drawn) if made else ((), False)
        with setup.as_mutated(mutant, sites):
            [shift] = verb.shifts(setup, sample, [sites])
            return Gathered(shift.values, setup.bases(sample), drawn=drawn, notes=(*shift.notes, *notes))

    def at(other: str, value: "str | float | Ablation | None") -> Experiment:
        if value is not None:
            raise MethodError(f"what steers is a vector; {value!r} is an ablation's value")
        return steering(setup, other, direction, scale, into)

    times = "" if factor == 1 else f" ({factor:g}x)"
    label = f"steer {name}{times}" if into == "corrupt" else f"steer {name}{times} into clean"
    return Experiment(setup, label, method, "gap", gather, act=Act(verb, sites, at))


def _vector(direction: Vector) -> "np.ndarray[Any, np.dtype[np.float64]]":
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


def _check_width(setup: Setup, site: Site, vector: "np.ndarray[Any, np.dtype[np.float64]]") -> None:
    if site.via or site.kind == "H.PATTERN":
        raise MethodError(f"{site} is no place for a vector: steer takes components, queries, keys, values and streams")
    cfg = setup.model.bridge.cfg
    width = 1 if site.kind == "N" else int(cfg.d_head) if site.index >= 0 else int(cfg.d_model)
    if len(vector) != width:
        raise MethodError(f"{site} has a width of {width}, and the direction has {len(vector)} numbers")


def _hash(vector: "np.ndarray[Any, np.dtype[np.float64]]") -> str:
    return hashlib.sha256(vector.tobytes()).hexdigest()[:12]
