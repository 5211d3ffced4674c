"""Steering: a vector added to what is there.

    model.on(FRUIT).steer("L1.RESID_POST@end", direction) > 0.4

Unlike what a patch or an ablation puts in, what is added comes from neither run and no reference set, and goes into either
run: so that it is a verb of its own. A factor goes with the ablations: ``ablate("L1.N8", scaled(-1))``.
"""

import hashlib
from typing import TYPE_CHECKING, Any

import numpy as np

from circuitcheck.circuits import sites_of
from circuitcheck.directions import Direction
from circuitcheck.effects import Effect
from circuitcheck.errors import MethodError
from circuitcheck.gathered import Gathered
from circuitcheck.methods import Ablation, finite
from circuitcheck.mutants import NotApplicable, current, mutated
from circuitcheck.verbs import Act, Steering

if TYPE_CHECKING:
    from circuitcheck.circuits import Circuit
    from circuitcheck.engine import Sample
    from circuitcheck.methods import Side
    from circuitcheck.runs import Run
    from circuitcheck.sites import Site

# Numbers in any form of array, or what has them as ``.vector``.
Vector = Any


def steer(run: "Run", site: "str | Circuit", direction: Vector, scale: float = 1.0, into: "Side" = "corrupt") -> Effect:
    """A vector added to the activation at the sites of an address, in the share of the gap.

        model.on(FRUIT).steer("L15.RESID_POST@{fruit}", vowel - consonant) > 0.4
        model.on(FRUIT).steer("L31.N892", 3.0, into="clean") < 0

    ``direction``: numbers of shape [width] (that of the stream, of a head, or 1 for a neuron), or what has them as
    ``.vector``; it is added ``scale`` times, at every addressed token but BOS. ``into="corrupt"``: how much comes back?
    ``into="clean"``: how much is lost? (Turner et al. 2023; Rimsky et al. 2024.) Raises ``MethodError`` for another width. A
    direction made of prompts needs others to be claimed on: see ``pairs.split``.
    """
    if into not in ("clean", "corrupt"):
        raise MethodError(f"steer goes into='corrupt' (what comes back?) or into='clean' (what is lost?), not {into!r}")
    address, sites = mutated(str(site), sites_of(site, run.model.anatomy), run.model.anatomy)
    mutant = current()
    if mutant is not None and mutant.crossed:
        raise NotApplicable("what is added has no source")
    vector = _vector(direction)
    for one in sites:
        _check_width(run, one, vector)
    factor = finite(scale, "a steering scale")
    verb = Steering(into, Ablation("added", vector=tuple((factor * vector).tolist())))
    value = f"plus {factor:g} times a vector of norm {np.linalg.norm(vector):.4g} ({_hash(vector)})"
    method = run._method("steer", address, sites, value=value, direction=f"steering the {into} run")

    def gather(sample: "Sample") -> Gathered:
        made = isinstance(direction, Direction)
        notes, drawn = (direction.notes_on(sample.pairs), direction.drawn) if made else ((), False)
        with run._as_mutated(mutant, sites):
            [shift] = verb.shifts(run, sample, [sites])
            return Gathered(shift.values, run._bases(sample), drawn=drawn, notes=(*shift.notes, *notes))

    def at(other: str, value: "str | float | Ablation | None") -> Effect:
        if value is not None:
            raise MethodError(f"what steers is a vector; {value!r} is an ablation's value")
        return steer(run, other, direction, scale, into)

    times = "" if factor == 1 else f" ({factor:g}x)"
    label = f"steer {address}{times}" if into == "corrupt" else f"steer {address}{times} into clean"
    return Effect(run, label, method, "gap", gather, act=Act(verb, sites, at))


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


def _check_width(run: "Run", site: "Site", vector: "np.ndarray[Any, np.dtype[np.float64]]") -> None:
    if site.via or site.kind == "H.PATTERN":
        raise MethodError(f"{site} is no place for a vector: steer takes components, queries, keys, values and streams")
    cfg = run.model.bridge.cfg
    width = 1 if site.kind == "N" else int(cfg.d_head) if site.index >= 0 else int(cfg.d_model)
    if len(vector) != width:
        raise MethodError(f"{site} has a width of {width}, and the direction has {len(vector)} numbers")


def _hash(vector: "np.ndarray[Any, np.dtype[np.float64]]") -> str:
    return hashlib.sha256(vector.tobytes()).hexdigest()[:12]
