"""Controls: where an effect stands among others like it, on its own pairs. A description, not a claim."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace

import numpy as np

from circuitcheck.addresses.sites import Site
from circuitcheck.claims.estimand import Estimand
from circuitcheck.claims.measuring.rank_words import place
from circuitcheck.claims.ranking.rivals import Rival, matched, name_of, seed_of, shifts_of, some_of, subspace_of
from circuitcheck.sampling.stages import Stage
from circuitcheck.units import UNITS

# A part has more effect than its whole where it is so much more, as a share.
_NOTABLE = 0.05


@dataclass(frozen=True)
class MatchedControls:
    """Where an effect stands among matched components, on the ``pairs`` pairs that it was measured on: a description, not a
    claim.

    ``rank`` 1 is the largest of ``of``, the claimed one among them; ``median``, ``highest`` and ``best`` are of the others
    alone; ``whole`` is the effect of what the component is a part of, None where that has none. The others of a direction
    are random ones. ``drawn_of``: of how many the others were drawn, None where all were taken; ``dead``: how many of them
    change nothing on these pairs, and are left out.
    """

    rank: int
    of: int
    median: float
    highest: float
    best: str
    whole: float | None
    pairs: int
    of_directions: bool = False
    drawn_of: int | None = None
    dead: int = 0

    def __str__(self) -> str:
        others = f"the others' median {self.median:.3g}, highest {self.highest:.3g} ({self.best})"
        return f"{place(asdict(self))}; {others}"

    def notes(self, estimate: float) -> tuple[str, ...]:
        """What is odd about these."""
        if self.whole is not None and estimate > _NOTABLE and self.whole < estimate - _NOTABLE:
            why = "it may move what the model leaves alone" if self.of_directions else "other parts work against it"
            return (f"the whole that it is a part of has less effect, {self.whole:.3g}: {why}",)
        return ()


def described(effect: Estimand, stages: Sequence[Stage]) -> MatchedControls | None:
    """Where a neuron's or a head's effect stands among drawn others of its layer, a direction's among random ones, on the
    pairs of some stages; None for other effects."""
    experiment, run, wanted = effect.experiment, effect.run, effect.run.model.settings.controls
    # Each would be as many texts as the claim's own.
    if not experiment.has_controls or not wanted or run.readout.is_text:
        return None
    site, subspace = experiment.sites[0], subspace_of(effect)
    of_all, drawn, whole, drawn_of = experiment, list[Rival](), list(experiment.sites), None
    if subspace is not None:
        of_all, drawn = experiment.in_subspace(None), [*subspace.placebos(wanted, seed_of(effect))]
    elif len(experiment.sites) == 1 and site.traits.whole and not site.via:
        others = matched(effect, [replace(site, index=i) for i in _indices(effect, site)])
        drawn = [(other,) for other in some_of(others, wanted, effect)]
        drawn_of = len(others) if len(drawn) < len(others) else None
        whole = [replace(site, kind=site.traits.whole, index=-1, dictionary="")]
    else:
        return None
    base = run.mean_on(stages, effect.base_of(stages))
    if UNITS[effect.unit].is_share and base <= run.floor:
        return None  # these have nothing that there could be shares of
    theirs = [shifts_of(effect, stage.sample, drawn) for stage in stages]
    each = {name_of(rival): [stage[number] for stage in theirs] for number, rival in enumerate(drawn)}
    alive = {
        name: run.mean_on(stages, np.concatenate([one.values for one in parts]))
        for name, parts in each.items()
        if not all(one.inert for one in parts)
    }
    if not alive:
        return None
    effects = {name: shift / base for name, shift in alive.items()}
    ours = run.mean_on(stages, effect.shift_of(stages))
    of_whole = [of_all.shifts(stage.sample, [whole])[0].values for stage in stages] if experiment.of_wholes else []
    best = max(effects, key=lambda name: effects[name])
    return MatchedControls(
        rank=1 + sum(shift > ours for shift in alive.values()),
        of=1 + len(alive),
        median=float(np.median(list(effects.values()))),
        highest=effects[best],
        best=best,
        whole=run.mean_on(stages, np.concatenate(of_whole)) / base if of_whole else None,
        pairs=sum(len(stage.sample.pairs) for stage in stages),
        of_directions=subspace is not None,
        drawn_of=drawn_of,
        dead=len(drawn) - len(alive),
    )


def _indices(effect: Estimand, site: Site) -> range:
    return range(effect.run.model.anatomy.layers[site.layer].count(site.kind))
