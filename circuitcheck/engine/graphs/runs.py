"""Runs in which a circuit's components hear only whom they are to hear, all else of a universe being ablated.

The logits are those of one whole hooked run in which the components that they hear stand at their own activations, and
everything else of the universe at the ablation's value. A component's own activation is computed by its sublayer from the stream
that it hears (see ``streams``), where that is known. Otherwise it is had from a whole hooked run in which those that it
hears stand at theirs, so that there are as many runs as the circuit has inputs; a head whose inputs hear different
components is then run with what they are in runs of their own: all queries, keys or values of its layer, of which it takes its own
(or its group's). Streams are trusted where both ways agreed on the first pair.
"""

from collections import defaultdict
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from circuitcheck.addresses.anatomy import Anatomy
from circuitcheck.addresses.graphs import Graph
from circuitcheck.addresses.sites import Site
from circuitcheck.engine.chunks import Chunk
from circuitcheck.engine.cone.cone import Cone
from circuitcheck.engine.graphs.streams import Live, Streams, Sublayers, all_is_ablated, reading_point
from circuitcheck.engine.hooks.batches import Batch
from circuitcheck.engine.hooks.hookpoints import Entry, Target, hook_name, targets
from circuitcheck.engine.hooks.interventions import Supply
from circuitcheck.engine.hooks.plain import Plain
from circuitcheck.engine.hooks.writes import Hold, Write, keeping
from circuitcheck.engine.memory import in_batches
from circuitcheck.engine.on_demand import torch
from circuitcheck.engine.readouts.named import Reading
from circuitcheck.engine.trust import Trust
from circuitcheck.errors import InterventionError

if TYPE_CHECKING:
    from circuitcheck.types import Floats


@dataclass(frozen=True)
class GraphRuns:
    """The clean runs of a chunk of pairs, with a graph of components kept of what is written at ``universe``.

    ``ablated`` has the values for each target of the universe, and ``identity`` says which these are; ``spared`` says where
    nothing is written, of shape [pair, position].
    """

    trust: Trust
    anatomy: Anatomy
    graph: Graph
    universe: Sequence[Target]
    ablated: Sequence[Supply]
    identity: Hashable
    spared: torch.Tensor
    chunk: Chunk
    vocabulary: torch.Tensor | None

    @property
    def plain(self) -> Plain:
        return self.trust.plain

    def read(self, reading: Reading, progress: "Callable[[str, int, int], None]") -> "Floats":
        """What the logits say of each pair, of shape [pair]; ``progress`` is called after every batch."""
        pairs, plain = len(self.chunk.pairs), self.plain
        several = [
            parts for alike in map(self._alike, self.graph.components) if len(alike) > 1 for parts in alike.values()
        ]
        self.trust.check_read(self.chunk, targets([part for parts in several for part in parts]))
        length, live = self.chunk.length_of("clean"), self._way()
        added = length * plain.shape.d_model * plain.shape.itemsize * max(1, len(self.graph.components))
        size = plain.shape.plain_batch(pairs, length, plain.memory.for_batch, self.chunk.read)
        size = max(1, min(size, plain.memory.for_batch // added))
        values = np.empty(pairs)
        for chosen, (batch, logits) in in_batches(torch.arange(pairs), size, partial(self._logits, live)):
            if silent := batch.silent():
                raise InterventionError(f"the hook {silent[0]} never fired, so that nothing was written")
            values[chosen.numpy()] = reading.read(logits, chosen)
            progress("edges", int(chosen[-1]) + 1, pairs)
        return values

    def _logits(self, live: Callable[[torch.Tensor], Live], which: torch.Tensor) -> tuple[Batch, torch.Tensor]:
        """The last run, with its logits [row, token of the vocabulary], for rows that are the pairs ``which``."""
        writes = self._writes(live(which), self.graph.said, which)
        batch = Batch(self.chunk, "clean", which, 0, Entry(0, None), writes, self.vocabulary)
        return batch, self.plain.run(batch)

    def _way(self) -> Callable[[torch.Tensor], Live]:
        """How each component's activation is had."""
        cone = self.trust.runner
        if not isinstance(cone, Cone) or not all_is_ablated(self.universe, self.anatomy, self.spared):
            return self._live
        kinds = {site: (site.kind, len(self._alike(site))) for site in self.graph.components}
        # Of each kind the first and the last: all of a large circuit would take as many whole runs.
        few = {site for kind in set(kinds.values()) for site in _ends([site for site in kinds if kinds[site] == kind])}
        fewer = replace(self, graph=self.graph.within(few))
        self.trust.check_graph(self.chunk, set(kinds.values()), fewer._sublayers(cone).live, fewer._live)
        return self._sublayers(cone).live if self.trust.runner is cone else self._live

    def _sublayers(self, cone: Cone) -> Sublayers:
        shape, length = self.plain.shape, self.chunk.length_of("clean")
        rows = shape.batch(
            len(self.chunk.pairs) * shape.n_layers, length, 0, shape.n_layers - 1, self.plain.memory.for_batch
        )
        ablated = {
            (target.layer, target.kind): supply for target, supply in zip(self.universe, self.ablated, strict=True)
        }
        return Sublayers(cone, self.anatomy, self.graph, self._streams(), ablated, self.spared, self.chunk, rows)

    def _streams(self) -> Streams:
        """Of the run with everything ablated, which is kept: circuits of one universe have it in common."""
        points = dict.fromkeys(
            reading_point(layer, attends, self.anatomy)
            for layer in range(self.anatomy.n_layers)
            for attends in (True, False)
        )
        everything = replace(self, graph=self.graph.within(()))

        def make() -> Streams:
            pairs, plain = len(self.chunk.pairs), self.plain
            size = plain.shape.plain_batch(pairs, self.chunk.length_of("clean"), plain.memory.for_batch)
            look = partial(everything._seen, list(points), {}, frozenset())
            parts = [found for _, found in in_batches(torch.arange(pairs), size, look)]
            return Streams({name: torch.cat([found[name] for found in parts]) for name in points})

        return self.plain.memory.get((self.chunk.key, "streams", self.identity, tuple(self.universe)), make)

    def _live(self, which: torch.Tensor) -> Live:
        """Each component's activation, from whole runs."""
        live: Live = {}
        for component in self.graph.components:
            live[component] = self._said(component, live, which)
        return live

    def _said(self, component: Site, live: Live, which: torch.Tensor) -> torch.Tensor:
        """A component's activation, of the shape of its hook point's, where it hears whom it is to hear."""
        own, alike = hook_name(component.layer, component.kind), self._alike(component)
        if len(alike) == 1:
            [heard] = alike
            return self._seen([own], live, heard, which)[own]
        put: list[Hold] = []
        for heard, parts in alike.items():
            hooks = [hook_name(part.layer, part.kind) for part in parts]
            put += [Hold(hook, there) for hook, there in self._seen(hooks, live, heard, which).items()]
        return self._seen([own], live, frozenset(), which, put)[own]

    def _alike(self, component: Site) -> dict[frozenset[Site], list[Site]]:
        """A component's inputs by whom they hear."""
        alike: dict[frozenset[Site], list[Site]] = defaultdict(list)
        for site, heard in self.graph.inputs(component, self.anatomy).items():
            alike[heard].append(site)
        return alike

    def _seen(
        self, looks: Sequence[str], live: Live, heard: frozenset[Site], which: torch.Tensor, put: Sequence[Hold] = ()
    ) -> dict[str, torch.Tensor]:
        """What is at some hook points, before anything is written there, by the hook point."""
        seen: dict[str, torch.Tensor] = {}
        looking = [keeping(hook, seen, hook) for hook in looks]
        held, writes = (
            [hook for one in some for hook in one.hooks()] for some in (put, self._writes(live, heard, which))
        )
        self.plain.blocks(self.chunk, "clean", which, 0, 0, 0, [*held, *looking, *writes])
        if silent := [*(hold.hook for hold in put if not hold.fired), *(hook for hook in looks if hook not in seen)]:
            raise InterventionError(f"the hook {silent[0]} did not fire: it cannot be addressed in this model")
        return seen

    def _writes(self, live: Live, heard: frozenset[Site], which: torch.Tensor) -> list[Write]:
        return [
            self._write(target, supply, live, heard, which)
            for target, supply in zip(self.universe, self.ablated, strict=True)
        ]

    def _write(self, target: Target, supply: Supply, live: Live, heard: frozenset[Site], which: torch.Tensor) -> Write:
        """All of the universe at one hook point: what is heard at its own values, everything else ablated."""
        here = [site for site in heard if site in live and (site.layer, site.kind) == (target.layer, target.kind)]

        def values(activation: torch.Tensor) -> torch.Tensor:
            found = supply(which, activation).to(activation).clone()
            for site in here:
                entries = slice(None) if site.index < 0 else site.index
                found[:, :, entries] = live[site][:, :, entries]
            return found

        components = None
        if target.components is not None:
            components = torch.zeros(len(which), self.anatomy.layers[target.layer].count(target.kind), dtype=torch.bool)
            components[:, list(target.components)] = True
        return Write(target.hook, ~self.spared[which], components, values)


def _ends(sites: Sequence[Site]) -> tuple[Site, Site]:
    return sites[0], sites[-1]
