"""What an effect is compared with: components of an address, random circuits, random directions at its own sites."""

import random
from collections.abc import Sequence
from dataclasses import replace

from circuitcheck.addresses.sites import Site
from circuitcheck.claims.estimand import Estimand
from circuitcheck.engine.subspaces import Placebo, Subspace
from circuitcheck.errors import MethodError
from circuitcheck.experiments.experiment import Shift
from circuitcheck.sampling.samples import Sample

# Another set of sites, or a random direction at the effect's own.
Rival = tuple[Site, ...] | Placebo


def subspace_of(effect: Estimand) -> Subspace | None:
    """The subspace that an effect is about; None where it is about whole components."""
    found = effect.experiment.subspace
    return found if isinstance(found, Subspace) else None


def shifts_of(effect: Estimand, sample: Sample, rivals: Sequence[Rival]) -> list[Shift]:
    """What each of the rivals shifts."""
    experiment = effect.experiment
    if subspace_of(effect) is None:
        return experiment.shifts(sample, [rival for rival in rivals if not isinstance(rival, Placebo)])
    along = [experiment.in_subspace(rival) for rival in rivals if isinstance(rival, Placebo)]
    return [shift for one in along for shift in one.shifts(sample, [experiment.sites])]


def name_of(rival: Rival) -> str:
    return str(rival) if isinstance(rival, Placebo) else " | ".join(map(str, rival))


def seed_of(effect: Estimand) -> str:
    return f"{effect.run.model.settings.seed}/random/{effect.label}"


def matched(effect: Estimand, sites: Sequence[Site]) -> list[Site]:
    """Components of an address at the position of the effect's own, without those that it is the effect of."""
    own = {(site.layer, site.kind, site.index, site.via) for site in effect.experiment.sites}
    position = effect.experiment.sites[0].position
    others = [site for site in sites if (site.layer, site.kind, site.index, site.via) not in own]
    return [replace(site, position=position) if site.position.everywhere else site for site in others]


def some_of(sites: Sequence[Site], n: int, effect: Estimand) -> list[Site]:
    """At most ``n`` of the sites, drawn by the session's seed."""
    if len(sites) <= n:
        return list(sites)
    seeded = random.Random(f"{effect.run.model.settings.seed}/controls/{effect.label}")
    return seeded.sample(list(sites), n)


def checked_count(n: object) -> int:
    if isinstance(n, bool) or not isinstance(n, int) or n < 1:
        raise MethodError(f"n is the number of components that are drawn, not {n!r}")
    return n
