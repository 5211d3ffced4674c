"""Circuits with edges: who hears whom.

A component hears all that its circuit keeps, unless edges into it, or into one of its parts, are named: then only what
they say. It is heard by all, unless it only stands at the beginnings of edges: then by what they end at.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace

from circuitcheck.addresses.anatomy import Anatomy
from circuitcheck.addresses.kinds import LOGITS
from circuitcheck.addresses.sites import EVERYWHERE, Site, written
from circuitcheck.errors import MethodError

# The parts by which a head hears; other components have one input, named "".
_HEARING = ("Q", "K", "V")


@dataclass(frozen=True)
class Graph:
    """Components in the order in which they write, and of each of their inputs whom it hears, by (component, part)."""

    components: tuple[Site, ...]
    heard: "dict[tuple[Site, str], frozenset[Site]]"

    @property
    def identity(self) -> tuple[object, ...]:
        return self.components, tuple((at, tuple(sorted(heard))) for at, heard in self.heard.items())

    def within(self, sites: Collection[Site]) -> "Graph":
        """The graph of those of its components that are among some sites."""
        inside = frozenset(sites).intersection(self.components)
        heard = {(at, part): some & inside for (at, part), some in self.heard.items() if at in inside or at == _END}
        return Graph(tuple(site for site in self.components if site in inside), heard)

    def inputs(self, component: Site, anatomy: Anatomy) -> dict[Site, frozenset[Site]]:
        """Whom each input of a component hears."""
        return {site: self.heard[component, part] for part, site in inputs_of(component, anatomy).items()}

    @property
    def said(self) -> frozenset[Site]:
        """The components that are heard by the logits."""
        return self.heard[_END, ""]


_END = Site(0, LOGITS)


def graph_of(circuit: Sequence[Site], anatomy: Anatomy) -> Graph:
    """The graph of a circuit's components and edges. Raises ``MethodError`` for what is no edge."""
    edges = [site for site in circuit if site.via]
    for edge in edges:
        _see_that_it_is_one(edge)
    if featured := [part for site in circuit for part in (site, *site.via) if part.traits.host]:
        raise MethodError(
            f"a circuit with edges is of heads, neurons and sublayers: {featured[0]} is kept without edges, and patched along a path"
        )
    if placed := [part for site in circuit for part in (site, *site.via) if part.position != EVERYWHERE]:
        raise MethodError(f"a circuit with edges is kept at all positions: leave out that of {placed[0]}")
    named = {site for site in circuit if not site.via}
    beginnings = {_component(edge.via[0]) for edge in edges}
    ends = {_component(edge) for edge in edges if edge.letter != "KV"}
    everywhere = named | (ends - {_END}) | (beginnings - {Site(-1, "EMBED")})
    components = tuple(sorted(everywhere, key=lambda site: (*written(site), site)))
    for edge in edges:
        _see_that_it_ends_inside(components, edge, anatomy)
    said = frozenset(site for site in components if site in named or site not in beginnings)
    starts: dict[Site, set[Site]] = defaultdict(set)
    for edge in edges:
        starts[_end(edge)].add(_component(edge.via[0]))
    heard = {}
    for component in (*components, _END):
        for part, site in inputs_of(component, anatomy).items():
            into = {start for end in {component, site} for start in starts[end]}
            by_name = {site for site in into if site.kind != "EMBED"}
            heard[component, part] = frozenset(by_name) if into and component != _END else said | by_name
    return Graph(components, heard)


def _see_that_it_is_one(edge: Site) -> None:
    if len(edge.via) > 1:
        steps = " | ".join(str(replace(end, via=(start,))) for start, end in zip(edge.via, _steps(edge), strict=True))
        raise MethodError(f"a circuit's edges are named one by one: {steps} instead of {edge}")
    if not edge.traits.reads or edge.traits.width == "pattern":
        raise MethodError(f"a circuit's edge ends at a component, or at a head's Q, K or V; {edge} does not")


def _see_that_it_ends_inside(circuit: Sequence[Site], edge: Site, anatomy: Anatomy) -> None:
    """Every other edge makes what it ends at a member."""
    sharing = anatomy.layers[edge.layer].heads_of(edge.index) if edge.letter == "KV" else ()
    heads = [Site(edge.layer, "H", head) for head in sharing]
    if heads and not any(head in circuit for head in heads):
        named = " | ".join(map(str, heads))
        raise MethodError(
            f"no head of {_end(edge)} is in the circuit, so that nobody hears {edge}: name which of {named} is"
        )


def inputs_of(component: Site, anatomy: Anatomy) -> dict[str, Site]:
    """The inputs of a component, by the part: a head's query, key and value; of others the component itself."""
    if component.kind != "H":
        return {"": component}
    return {part: _part_of(component, part, anatomy) for part in _HEARING}


def _part_of(head: Site, part: str, anatomy: Anatomy) -> Site:
    """What a head has as its Q, K or V: its own, or the key or value that its group has in common."""
    layer = anatomy.layers[head.layer]
    if layer.n_groups is None or part == "Q":
        return replace(head, kind=f"H.{part}")
    [group] = [group for group in range(layer.n_groups) if head.index in layer.heads_of(group)]
    return replace(head, kind=f"KV.{part}", index=group)


def _steps(edge: Site) -> Iterable[Site]:
    return (*edge.via[1:], _end(edge))


def _end(edge: Site) -> Site:
    """What an edge ends at."""
    return _END if edge.kind == LOGITS else replace(edge, via=())


def _component(site: Site) -> Site:
    """The component that a part belongs to."""
    return _END if site.kind == LOGITS else Site(site.layer, site.letter, site.index)
