"""Circuits of edges: attribution of every edge, and what circuits of the best of them keep on the other half of the pairs.

found = model.on(NAMES).find("L*.H* | L*.MLP", edges=True)
found                        # what circuits of 5, 10, 20 ... edges keep
found.smallest(above=0.8)    # the first that keeps enough; .address is what run.keep takes
"""

import heapq
from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from circuitcheck.addresses.anatomy import Anatomy
from circuitcheck.addresses.circuits import Circuit, divided
from circuitcheck.addresses.graphs import inputs_of
from circuitcheck.addresses.kinds import LOGITS
from circuitcheck.addresses.parsing import parse
from circuitcheck.addresses.sites import EVERYWHERE, Site
from circuitcheck.claims.gathering import Gathering
from circuitcheck.drawing.layers import Line, layers
from circuitcheck.engine.gradients.edges import edge_attributions
from circuitcheck.engine.watching.one_question import one_question
from circuitcheck.errors import MethodError
from circuitcheck.experiments.ablating import behaviours_of
from circuitcheck.experiments.keeping import Keep
from circuitcheck.finding import tables
from circuitcheck.finding.measured import mean_gap
from circuitcheck.prompts.pairs import Side
from circuitcheck.statistics.weights import mean_over

if TYPE_CHECKING:
    from circuitcheck.types import Floats

# Edges of the circuits that are measured, where nothing is said.
SIZES = (5, 10, 20, 50, 100, 200)
# What all else is ablated by: what is there in the corrupted run, whose difference is what is attributed.
_VALUE = "counterfactual"
_END = Site(0, LOGITS)


@dataclass(frozen=True)
class Edge:
    """An edge, and what patching it alone would bring back to first order, in the share of the gap."""

    sender: Site
    receiver: Site
    attributed: float

    def __str__(self) -> str:
        return str(replace(self.receiver, via=(self.sender,)))


@dataclass(frozen=True)
class EdgeCircuit:
    """The ``edges`` of largest attribution that lead to the logits, and the share of the behaviour that is ``kept`` with them
    alone, on pairs that they were not found on."""

    edges: tuple[Edge, ...]
    kept: float
    anatomy: Anatomy = field(repr=False)

    @property
    def address(self) -> str:
        """As ``run.keep`` takes it: inputs into which no edge leads hear the embedding alone."""
        return _address(self.edges, self.anatomy)

    @property
    def circuit(self) -> Circuit:
        return Circuit(self.address)

    def svg(self) -> str:
        """The picture: layers upwards, edges as wide as they are large."""
        members = {edge.sender for edge in self.edges}
        places = {LOGITS: (self.anatomy.n_layers, False)}
        places |= {str(site): (site.layer, site.kind == "MLP") for site in members}
        lines = [
            Line(str(edge.sender), owner, edge.attributed, f"{edge}: {edge.attributed:.3g} of the gap")
            for edge in self.edges
            for owner in _owners(edge.receiver, members, self.anatomy)
        ]
        return layers(f"{len(self.edges)} edges keep {self.kept:.3g} of the behaviour", places, lines)

    def _repr_svg_(self) -> str:
        return self.svg()


@dataclass(frozen=True)
class EdgeCircuits:
    """What ``run.find(address, edges=True)`` gives: circuits by their number of edges, each of which has those before it.

    ``circuits`` with what each keeps on the other half of the pairs; ``attributed`` has all edges, the largest first. It decides nothing:
    claim what was chosen with ``run.keep(found.smallest(above=0.8).circuit, "counterfactual")``.
    """

    title: str
    circuits: "tuple[EdgeCircuit, ...]"
    attributed: tuple[Edge, ...] = field(repr=False)

    def smallest(self, above: float) -> EdgeCircuit:
        """The first circuit that keeps more. Raises ``MethodError`` where none does."""
        for circuit in self.circuits:
            if circuit.kept > above:
                return circuit
        most = max(circuit.kept for circuit in self.circuits)
        raise MethodError(
            f"no circuit of these keeps more than {above:g}; the most is {most:.3g}: ask for larger sizes="
        )

    @property
    def rows(self) -> list[dict[str, object]]:
        """A row a circuit."""
        return [
            {
                "edges": len(one.edges),
                "kept": one.kept,
                "smallest edge": str(one.edges[-1]),
                "attributed": one.edges[-1].attributed,
            }
            for one in self.circuits
        ]

    def as_frame(self) -> Any:
        """All edges as a pandas ``DataFrame``; raises ``MethodError`` where pandas is not installed."""
        return tables.as_frame(self._edges)

    def svg(self) -> str:
        """The picture of the first circuit that keeps nine tenths of what any keeps."""
        most = max(one.kept for one in self.circuits)
        return next(one for one in self.circuits if one.kept >= most - abs(most) / 10).svg()

    def save(self, path: str | Path) -> None:
        """Write the picture (.svg) or all edges (.csv)."""
        tables.save(path, self.svg(), self._edges)

    def __str__(self) -> str:
        return "\n".join([self.title, *(f"  {line}" for line in tables.as_text(self.rows))])

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return self.svg()

    @property
    def _edges(self) -> list[dict[str, object]]:
        return [
            {"sender": str(edge.sender), "receiver": str(edge.receiver), "attributed": edge.attributed}
            for edge in self.attributed
        ]


@one_question
def find_edges(run: Gathering, address: str, into: Side, steps: int, pairs: int, sizes: Sequence[int]) -> EdgeCircuits:
    """See ``Run.find``."""
    for name, numbers in (("steps", [steps]), ("pairs", [pairs]), ("sizes", [*sizes] or [0])):
        if not all(isinstance(number, int) and number > 0 for number in numbers):
            raise MethodError(f"{name}= is made of whole numbers of at least 1, not {numbers}")
    if run.pairs.description.half:
        raise MethodError(
            "find(edges=True) attributes on one half of the pairs and measures on the other: give it all of them, not a half"
        )
    discover, confirm = (run.again(pairs=run.pairs.split(half)) for half in ("discover", "confirm"))
    anatomy, senders = run.model.anatomy, run.sites(address)
    for site in senders:
        if site.via or site.position != EVERYWHERE or site.kind not in ("H", "MLP"):
            raise MethodError(f"edges are looked for between heads and MLPs, at all positions; {site} is none")
    receivers = _receivers(senders, anatomy)
    sample = discover.put_in_from_other_run(senders).fixed(pairs)
    gap = mean_gap(discover, sample)
    scores = edge_attributions(run.model.answers, sample, senders, receivers, into, run.readout, steps) / gap
    edges = sorted(_edges(scores, senders, receivers), key=lambda edge: -abs(edge.attributed))
    how = f"{steps} steps" if steps > 1 else "one step"
    title = f"circuits of the best of {len(edges):,} edges of {address}, attributed in {how} on {len(sample.pairs)} pairs, on the other half"
    return EdgeCircuits(title, circuits(confirm, edges, address, pairs, sizes), tuple(edges))


def circuits(
    run: Gathering, edges: Sequence[Edge], within: str, pairs: int, sizes: Sequence[int]
) -> tuple[EdgeCircuit, ...]:
    """Circuits of the first of some edges that lead to the logits, and what each keeps of the behaviour on so many pairs of a run."""
    anatomy = run.model.anatomy
    nested = list(_nested(edges, anatomy, max(sizes)))
    families = [tuple(nested[:size]) for size in sorted({min(size, len(nested)) for size in sizes})]
    sets = [parse(_address(family, anatomy), anatomy) for family in families]
    whole = Keep.at(_address(families[-1], anatomy), run, _VALUE, within)
    sample = whole.setup.fixed(pairs)
    universes = [divided(sites, whole.everything, anatomy) for sites in sets]
    behaviours = behaviours_of(whole.setup, sample, whole.how, universes)
    shares = [
        float(mean_over(sample.pairs, shift.values) / mean_over(sample.pairs, behaviour))
        for shift, behaviour in zip(whole.shifts(sample, sets), behaviours, strict=True)
    ]
    return tuple(EdgeCircuit(family, share, anatomy) for family, share in zip(families, shares, strict=True))


def _receivers(components: Sequence[Site], anatomy: Anatomy) -> list[Site]:
    """The inputs of components, and the logits."""
    inputs = [site for component in components for site in inputs_of(component, anatomy).values()]
    return [*dict.fromkeys(inputs), _END]


def _edges(scores: "Floats", senders: Sequence[Site], receivers: Sequence[Site]) -> Iterator[Edge]:
    for row, column in zip(*np.nonzero(~np.isnan(scores)), strict=True):
        yield Edge(senders[row], receivers[column], float(scores[row, column]))


def _nested(edges: Sequence[Edge], anatomy: Anatomy, most: int) -> Iterator[Edge]:
    """Edges by their size, each one when what it ends at leads to the logits."""
    into: dict[Site, list[tuple[float, int]]] = defaultdict(list)
    for number, edge in enumerate(edges):
        into[edge.receiver].append((-abs(edge.attributed), number))
    waiting, opened = list(into.pop(_END, ())), {_END}
    heapq.heapify(waiting)
    while waiting and most:
        _, number = heapq.heappop(waiting)
        yield edges[number]
        most -= 1
        for receiver in _receivers([edges[number].sender], anatomy):
            if receiver not in opened:
                opened.add(receiver)
                for one in into.get(receiver, ()):
                    heapq.heappush(waiting, one)


def _address(edges: Sequence[Edge], anatomy: Anatomy) -> str:
    """The edges, and for each input of their components into which none leads that it hears the embedding."""
    heard = {edge.receiver for edge in edges}
    components = dict.fromkeys(edge.sender for edge in edges)
    deaf = [
        receiver for receiver in _receivers(list(components), anatomy) if receiver not in heard and receiver != _END
    ]
    return " | ".join([*map(str, edges), *(f"EMBED -> {receiver}" for receiver in deaf)])


def _owners(receiver: Site, members: Collection[Site], anatomy: Anatomy) -> list[str]:
    """The components that an edge leads to: those heads of a circuit that share the keys or values that it ends at."""
    if receiver.letter != "KV":
        return [LOGITS if receiver == _END else str(replace(receiver, kind=receiver.letter))]
    heads = (Site(receiver.layer, "H", head) for head in anatomy.layers[receiver.layer].heads_of(receiver.index))
    return [str(head) for head in heads if head in members]
