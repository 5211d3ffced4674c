"""What components of an address are attributed on some pairs: of each its best position, the kinds apart."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np

from circuitcheck.addresses.kinds import KINDS
from circuitcheck.addresses.sites import EVERYWHERE, Position, Site
from circuitcheck.claims.gathering import Gathering
from circuitcheck.engine.gradients.attribution import attributions
from circuitcheck.prompts.aligned_pairs import AlignedPair, common_positions
from circuitcheck.prompts.pairs import Side
from circuitcheck.sampling.samples import Sample
from circuitcheck.statistics.weights import weights_of

if TYPE_CHECKING:
    from circuitcheck.types import Booleans, Floats, Integers

# Parts of the pairs of a template that are compared with each other.
_FOLDS = 4
# Every position is said to carry a component's effect only where no single one carries so much of it.
_MOST = 0.8


@dataclass(frozen=True)
class Attributed:
    """Components of one kind, each a site without a position. ``groups``: what they are attributed in each group of pairs, in the
    share of the gap, of shape [group, component, position], the mean over all pairs being the sum; ``templates``: each group's;
    ``may``: at which positions a component was asked for, of shape [component, position]."""

    kind: str
    components: tuple[Site, ...]
    positions: tuple[Position, ...]
    groups: "Floats"
    templates: tuple[int, ...]
    may: "Booleans"

    @cached_property
    def values(self) -> "Floats":
        """Of shape [component, position]; 0 where a component was not asked for."""
        found: Floats = self.groups.sum(0) * self.may
        return found

    @cached_property
    def best(self) -> "Integers":
        """Of each component the position that carries it."""
        return _best(self.values, self.may, self.positions)

    @cached_property
    def at_best(self) -> "Floats":
        """What each is attributed there."""
        found: Floats = self.values[np.arange(len(self.components)), self.best]
        return found

    def site(self, component: int, position: int | None = None) -> Site:
        """A component at a position: its best one, where none is said."""
        site, place = self.components[component], self.best[component] if position is None else position
        return replace(site, position=self.positions[place])

    def top(self, n: int) -> list[int]:
        """The components that are attributed most, either way."""
        return [int(one) for one in np.argsort(-np.abs(self.at_best), kind="stable")[:n]]

    def overlaps(self, n: int) -> "tuple[list[float], list[float]]":
        """Of each two groups, which have no pair in common, the share of the n components that are attributed most which these have
        in common: of groups of one template, and of different ones. A kind of few components is asked for a quarter of them."""
        n = max(1, min(n, len(self.components) // 4))
        tops = []
        for group in self.groups:
            each = np.abs(group[np.arange(len(group)), _best(group, self.may, self.positions)])
            tops.append(set(np.argsort(-each, kind="stable")[:n].tolist()))
        same: list[float] = []
        other: list[float] = []
        for one, two in combinations(range(len(tops)), 2):
            (same if self.templates[one] == self.templates[two] else other).append(len(tops[one] & tops[two]) / n)
        return same, other


def attributed(
    run: Gathering, sites: Sequence[Site], sample: Sample, into: Side, steps: int, gap: float
) -> list[Attributed]:
    """The components of sites, kind by kind; a site at all positions is asked for at each of them. ``gap``: the pairs' mean."""
    roles = common_positions(sample.pairs) if any(site.position.everywhere for site in sites) else []
    named = (site.position for site in sites if not site.position.everywhere)
    # ``EVERYWHERE`` is the last, where it is among the roles.
    positions = tuple(sorted(dict.fromkeys([*roles, *named]), key=lambda position: position.everywhere))
    places_of = {position: place for place, position in enumerate(positions)}
    everywhere = [places_of[role] for role in roles]
    places = dict.fromkeys((site.layer, site.kind) for site in sites)
    weights, templates = _groups(sample.pairs)
    found = attributions(run.model.answers, sample, list(places), positions, weights, into, run.readout, steps)
    # Of each component the places of its positions among all: models have a million neurons.
    kinds: dict[str, dict[tuple[int, str, int, str], set[int]]] = {}
    for site in sites:
        component = site.layer, site.kind, site.index, site.dictionary
        asked = kinds.setdefault(family_of(site.kind), {}).setdefault(component, set())
        asked.update(everywhere if site.position.everywhere else [places_of[site.position]])
    made = []
    for kind, components in kinds.items():
        groups = np.stack(
            [found[layer, name][:, :, max(index, 0)] / gap for layer, name, index, _ in components], axis=1
        )
        may = np.zeros((len(components), len(positions)), dtype=bool)
        for row, asked in zip(may, components.values(), strict=True):
            row[list(asked)] = True
        components_ = tuple(Site(layer, name, index, dictionary=of) for layer, name, index, of in components)
        made.append(Attributed(kind, components_, positions, groups, templates, may))
    return made


def family_of(kind: str) -> str:
    """What sites of a kind are ranked among, in words."""
    row = KINDS[kind]
    if row.is_stream:
        return "streams"
    if row.width == "stream" and row.in_block and not row.host:
        return "sublayers"
    return f"{row.noun[:-1]}ies" if row.noun.endswith("y") else f"{row.noun}s"


def _best(values: "Floats", may: "Booleans", positions: Sequence[Position]) -> "Integers":
    """Of values [component, position] the position at which each is largest, either way, among those at which it ``may`` be."""
    sizes = np.where(may, np.abs(values), -1.0)
    best: Integers = sizes.argmax(1)
    if positions[-1] != EVERYWHERE or len(positions) == 1:
        return best
    named = sizes[:, :-1].argmax(1)
    rows = np.arange(len(sizes))
    is_named = sizes[rows, named] >= _MOST * sizes[rows, best]
    return np.where(is_named, named, best)


def _groups(pairs: Sequence[AlignedPair]) -> "tuple[Floats, tuple[int, ...]]":
    """Weights by which pairs are summed up in groups, of shape [group, pair]: each template's pairs in a few parts; and the groups'
    templates."""
    each = weights_of(pairs)
    share = np.full(len(pairs), 1 / len(pairs)) if each is None else each / each.sum()
    seen: dict[int, int] = {}
    groups: dict[tuple[int, int], list[int]] = {}
    for place, pair in enumerate(pairs):
        template = pair.pair.template
        count = seen[template] = seen.get(template, 0) + 1
        groups.setdefault((template, count % _FOLDS), []).append(place)
    weights = np.zeros((len(groups), len(pairs)))
    for row, places in zip(weights, groups.values(), strict=True):
        row[places] = share[places]
    return weights, tuple(template for template, _ in groups)
