"""Circuits: sets of components that are claimed to do the work together.

IOI = Circuit("L0.H1", movers="L9.H6 | L9.H9", inhibitors="L7.H3 | L7.H9")

assert model.on(NAMES).keep(IOI) > 0.8                                 # faithfulness
assert model.on(NAMES).ablate(IOI) > 0.8                               # necessity
assert model.on(NAMES).completeness(IOI) == pytest.approx(0, abs=0.1)  # without any part of both, too
assert model.on(NAMES).minimality(IOI) > 0.02                          # every member matters, given some of the others
assert model.on(NAMES).independence(IOI) < 0.05                        # nothing gets past it
assert model.on(NAMES).keep(IOI).beats_random(n=50)
"""

import random
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from circuitcheck.addresses.anatomy import Anatomy
from circuitcheck.addresses.graphs import graph_of
from circuitcheck.addresses.kinds import KINDS
from circuitcheck.addresses.parsing import parse
from circuitcheck.addresses.sites import EVERYWHERE, Position, Site
from circuitcheck.errors import MethodError
from circuitcheck.texts import plural


class Circuit:
    """Nodes, some of them in named groups; wherever an address is taken, a circuit may stand.

        Circuit("L9.H6 | L9.H9")
        Circuit(movers="L9.H[6,9]", inhibitors="L7.H3 | L8.H6")
        IOI.groups["movers"], IOI.without("L9.H9"), str(IOI), IOI.show(model)

    ``Circuit()`` is the empty one. Which addresses there are is known where a model is: ``show`` and all verbs raise
    ``AddressError``.
    """

    def __init__(self, nodes: str = "", **groups: str):
        for name, address in {"nodes": nodes, **groups}.items():
            if not isinstance(address, str) or (name != "nodes" and not address.strip()):
                raise MethodError(
                    f"{name}={address!r} is no address: a circuit is made of text such as 'L9.H6 | L9.H9'"
                )
        self.groups = {name: address for name, address in {"": nodes, **groups}.items() if address.strip()}

    def __str__(self) -> str:
        return " | ".join(dict.fromkeys(self.groups.values()))

    def __repr__(self) -> str:
        groups = [f"{name}={address!r}" if name else repr(address) for name, address in self.groups.items()]
        return f"Circuit({', '.join(groups)})"

    def sites(self, anatomy: Anatomy) -> tuple[Site, ...]:
        """Its members in a model of that anatomy, each once."""
        return tuple(dict.fromkeys(site for address in self.groups.values() for site in parse(address, anatomy)))

    def show(self, model: Any) -> None:
        """Prints its members by group, checked against a model.

            Circuit(movers="L9.H6 | L9.H9").show(model)

        Raises ``AddressError`` for members that the model does not have.
        """
        width = max((len(name) for name in self.groups), default=0)
        lines = [
            f"{name:>{width}}  {', '.join(map(str, parse(address, model.anatomy)))}"
            for name, address in self.groups.items()
        ]
        print("\n".join([f"{plural(len(self.sites(model.anatomy)), 'member')} in {model.name}", *lines]))


def sites_of(circuit: "str | Circuit", anatomy: Anatomy) -> tuple[Site, ...]:
    """The members of a circuit, or the sites of an address."""
    return circuit.sites(anatomy) if isinstance(circuit, Circuit) else parse(circuit, anatomy)


def rest_of(
    circuit: Sequence[Site], universe: Sequence[Site], anatomy: Anatomy
) -> tuple[tuple[Site, ...], tuple[Site, ...]]:
    """What of a universe a circuit leaves out, and that universe as finely as the circuit divides it.

    Where the circuit has a neuron, its layer's MLP is taken apart into neurons, where it has a head, attention into heads.
    Raises ``MethodError`` for members outside the universe.
    """
    finer = tuple(_taken_apart(universe, circuit, anatomy))
    members: dict[tuple[int, str, int], list[Position]] = {}
    for site in _taken_apart(circuit, finer, anatomy):
        members.setdefault(_component(site), []).append(site.position)
    there = {_component(site) for site in finer}
    outside = [
        site for site in circuit if not {_component(part) for part in _taken_apart([site], finer, anatomy)} <= there
    ]
    if outside:
        raise MethodError(f"{outside[0]} lies outside within={_written(universe)!r}, of which all else is ablated")
    rest = []
    for site in finer:
        positions = members.get(_component(site), [])
        if not positions:
            rest.append(site)
        elif len(set(positions)) > 1:
            raise MethodError(
                f"{site} is kept at several positions: what is left of it cannot be written; keep all of it"
            )
        elif positions[0] != EVERYWHERE:
            rest.append(replace(site, position=replace(positions[0], outside=True)))
    return tuple(rest), finer


def divided(circuit: Sequence[Site], universe: Sequence[Site], anatomy: Anatomy) -> tuple[Site, ...]:
    """A universe as finely as a circuit, which may have edges, divides it; raises ``MethodError`` for parts outside it."""
    if not any(site.via for site in circuit):
        return rest_of(circuit, universe, anatomy)[1]
    components = graph_of(circuit, anatomy).components
    finer = rest_of(components, universe, anatomy)[1]
    if coarse := next((site for site in components if site not in finer), None):
        raise MethodError(f"{coarse} is kept as its parts: name those that the circuit's edges are about")
    return finer


def as_wholes(sites: Sequence[Site], anatomy: Anatomy) -> tuple[Site, ...]:
    """The sites; where all features of a dictionary and its error are among them, what they make up."""
    found = list(sites)
    for error in [site for site in sites if site.traits.host and site.index < 0 and not site.via]:
        host, layer = error.traits.host, error.layer
        features = {
            replace(error, kind=f"{host}.F", index=index) for index in range(anatomy.layers[layer].count(f"{host}.F"))
        }
        if features <= set(found):
            parts = features | {error}
            found = [site for site in found if site not in parts] + [replace(error, kind=host, dictionary="")]
    return tuple(found)


def overlap(circuit: Sequence[Site], universe: Sequence[Site], anatomy: Anatomy) -> tuple[Site, Site] | None:
    """Two members that have a component in common, where there are such."""
    owners: dict[tuple[int, str, int], Site] = {}
    for site in circuit:
        for part in _taken_apart([site], universe, anatomy):
            if owners.setdefault(_component(part), site) != site:
                return owners[_component(part)], site
    return None


def random_like(
    circuit: Sequence[Site], universe: Sequence[Site], anatomy: Anatomy, n: int, seed: str
) -> list[tuple[Site, ...]]:
    """At most ``n`` other circuits of as many components of each kind, drawn from a universe; all different."""
    chance = random.Random(seed)
    finer = rest_of(circuit, universe, anatomy)[1]
    own = frozenset(map(_component, circuit))
    found: dict[frozenset[tuple[int, str, int]], tuple[Site, ...]] = {}
    for _ in range(20 * n):
        if len(found) == n:
            break
        drawn = []
        for kind in dict.fromkeys(site.kind for site in circuit):
            members = [site for site in circuit if site.kind == kind]
            pool = [site for site in finer if site.kind == kind]
            chosen = chance.sample(pool, min(len(members), len(pool)))
            drawn += [replace(new, position=old.position) for new, old in zip(chosen, members, strict=False)]
        key = frozenset(map(_component, drawn))
        if key != own:
            found.setdefault(key, tuple(drawn))
    return list(found.values())


def _taken_apart(sites: Sequence[Site], others: Sequence[Site], anatomy: Anatomy) -> Iterator[Site]:
    """The sites, coarse ones as their parts where ``others`` name such parts."""
    fine = {(site.layer, site.kind) for site in others}
    for site in sites:
        parts = [name for name, kind in KINDS.items() if site.kind in (kind.whole, kind.host)]
        if (named := [part for part in parts if (site.layer, part) in fine]) and KINDS[named[0]].host:
            yield from _as_features(site, anatomy)
        elif named:
            count = anatomy.layers[site.layer].count(named[0])
            yield from (replace(site, kind=named[0], index=index) for index in range(count))
        else:
            yield site


def _as_features(site: Site, anatomy: Anatomy) -> Iterator[Site]:
    """What a dictionary makes of a site: all its features, and its error."""
    found = parse(f"{site}.F* | {site}.ERROR", anatomy) if site.position == EVERYWHERE else ()
    if not found:
        raise MethodError(f"{site} is taken apart into features at all positions alone: leave out its own")
    yield from found


def _component(site: Site) -> tuple[int, str, int]:
    return site.layer, site.kind, site.index


def _written(sites: Sequence[Site]) -> str:
    names = [str(site) for site in sites[:4]]
    return " | ".join([*names, "..."] if len(sites) > len(names) else names)
