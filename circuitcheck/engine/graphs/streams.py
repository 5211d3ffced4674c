"""What a graph's components write, each computed by its own sublayer from the stream that it hears, and nothing else run.

Where all attention and all MLPs are ablated, the stream that a component hears is that of the run with everything ablated,
plus what the components that it hears write instead of their ablated values. So one run with everything ablated shows all
streams, and each component takes one block; components of one sublayer that hear different ones are rows of one batch.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from circuitcheck.addresses.anatomy import Anatomy
from circuitcheck.addresses.graphs import Graph
from circuitcheck.addresses.sites import EVERYWHERE, Site, written
from circuitcheck.engine.chunks import Chunk
from circuitcheck.engine.cone.cone import Cone
from circuitcheck.engine.hooks.hookpoints import Target, hook_name
from circuitcheck.engine.hooks.interventions import Supply
from circuitcheck.engine.hooks.outputs import written_by
from circuitcheck.engine.hooks.writes import Hold, Hook, keeping
from circuitcheck.engine.on_demand import torch
from circuitcheck.errors import InterventionError

# Activations of components, by the component, of shape [row, position, ...].
Live = dict[Site, torch.Tensor]


@dataclass(frozen=True)
class Streams:
    """The stream that each sublayer reads in the run with everything ablated, by its hook point, of shape [pair, position, d_model]."""

    at: dict[str, torch.Tensor]

    @property
    def nbytes(self) -> int:
        return sum(stream.nbytes for stream in self.at.values())


def reading_point(layer: int, attends: bool, anatomy: Anatomy) -> str:
    """The hook point of the stream that attention or the MLP of a layer reads."""
    before = attends or anatomy.layers[layer].parallel
    return f"blocks.{layer}.hook_in" if before else hook_name(layer, "RESID_MID")


def all_is_ablated(universe: Sequence[Target], anatomy: Anatomy, spared: torch.Tensor) -> bool:
    """Whether streams are sums of what is ablated and what is heard: all that writes is in the universe, everywhere but at the first
    token, and no normalisation comes between it and the stream."""
    whole: set[tuple[int, str]] = set()
    for target in universe:
        if target.position != EVERYWHERE or target.kind not in ("H", "ATTN", "N", "MLP"):
            return False
        letters = {"H": "ATTN", "N": "MLP"}
        count = len(target.components or ())
        if target.kind not in letters or count == anatomy.layers[target.layer].count(target.kind):
            whole.add((target.layer, letters.get(target.kind, target.kind)))
    return not bool(spared[:, 1:].any()) and all(
        (number, "ATTN") in whole
        and ((number, "MLP") in whole or layer.d_mlp is None)
        and not layer.post_norm
        and not layer.mixer
        for number, layer in enumerate(anatomy.layers)
    )


@dataclass(frozen=True)
class Sublayers:
    """The components of a graph, sublayer by sublayer; ``ablated`` has the values at each target of the universe, ``spared`` says
    where nothing is written, of shape [pair, position], and ``rows`` how many are run at once."""

    cone: Cone
    anatomy: Anatomy
    graph: Graph
    streams: Streams
    ablated: dict[tuple[int, str], Supply]
    spared: torch.Tensor
    chunk: Chunk
    rows: int

    def live(self, which: torch.Tensor) -> Live:
        """Each component's activation where it hears whom it is to hear, for rows that are the pairs ``which``."""
        live: Live = {}
        components = self.graph.components
        numbers = {site: number for number, site in enumerate(components)}
        stream = next(iter(self.streams.at.values()))
        # What each component adds to the stream of the run with everything ablated.
        added = stream.new_zeros(len(components), len(which), *stream.shape[1:])
        for (layer, after), sublayer in groupby(components, key=written):
            alike = list(sublayer)
            attends = not after
            before = (layer, 0 if attends or self.anatomy.layers[layer].parallel else 1)
            earlier = [number for number, site in enumerate(components) if written(site) < before]
            live |= self._sublayer(alike, attends, earlier, added, which)
            for site in alike:
                added[numbers[site]] = self._added(site, live[site], which)
        return live

    def _sublayer(
        self, alike: Sequence[Site], attends: bool, earlier: Sequence[int], added: torch.Tensor, which: torch.Tensor
    ) -> Live:
        """The activations of components of one sublayer."""
        layer, hook = alike[0].layer, hook_name(alike[0].layer, alike[0].kind)
        heard: dict[Site, dict[Site, frozenset[Site]]] = {site: self._heard(site) for site in alike}
        views = list(dict.fromkeys(some for parts in heard.values() for some in parts.values()))
        split = [site for site in alike if len(set(heard[site].values())) > 1]
        looks = {hook, *(hook_name(part.layer, part.kind) for site in split for part in heard[site])}
        sees = torch.tensor(
            [[self.graph.components[number] in view for number in earlier] for view in views], dtype=added.dtype
        ).reshape(len(views), len(earlier))
        base = self.streams.at[reading_point(layer, attends, self.anatomy)][which]
        stream = base + torch.einsum("vn,nrpd->vrpd", sees.to(added.device), added[list(earlier)])
        seen = self._seen(stream, layer, attends, sorted(looks), which)
        live = {site: seen[hook][views.index(heard[site][site])] for site in alike if site not in split}
        if split:
            put: dict[str, list[torch.Tensor]] = defaultdict(list)
            for site in split:
                for part, view in heard[site].items():
                    name = hook_name(part.layer, part.kind)
                    put[name].append(seen[name][views.index(view)])
            held = {name: torch.stack(parts) for name, parts in put.items()}
            again = self._seen(base.expand(len(split), *base.shape), layer, attends, [hook], which, held)
            live |= dict(zip(split, again[hook], strict=True))
        return live

    def _heard(self, component: Site) -> dict[Site, frozenset[Site]]:
        """Whom each input of a component hears; a whole one stands for all where they hear the same."""
        heard = self.graph.inputs(component, self.anatomy)
        return heard if len(set(heard.values())) > 1 else {component: next(iter(heard.values()))}

    def _seen(
        self,
        stream: torch.Tensor,
        layer: int,
        attends: bool,
        looks: Sequence[str],
        which: torch.Tensor,
        held: "dict[str, torch.Tensor] | None" = None,
    ) -> dict[str, torch.Tensor]:
        """What is at some hook points of one block, each of shape [view, row, position, ...], where its attention or MLP reads a
        ``stream`` [view, row, position, d_model], and what is ``held`` of the same shape stands at other hook points."""
        into, rows = reading_point(layer, attends, self.anatomy), stream.shape[0] * stream.shape[1]
        values = {into: stream, **(held or {})}
        parts: dict[str, list[torch.Tensor]] = {name: [] for name in looks}
        for some in torch.split(torch.arange(rows), self.rows):
            holds = [Hold(name, value.flatten(0, 1)[some]) for name, value in values.items()]
            found: dict[str, torch.Tensor] = {}
            hooks: list[Hook] = [hook for hold in holds for hook in hold.hooks()]
            hooks += [keeping(name, found, name) for name in looks]
            self.cone.blocks(self.chunk, "clean", which[some % len(which)], 0, layer, layer + 1, hooks)
            silent = [hold.hook for hold in holds if not hold.fired] + [name for name in looks if name not in found]
            if silent:
                raise InterventionError(f"the hook {silent[0]} did not fire: it cannot be addressed in this model")
            for name in looks:
                parts[name].append(found[name])
        found = {name: torch.cat(some) for name, some in parts.items()}
        return {name: value.reshape(*stream.shape[:2], *value.shape[1:]) for name, value in found.items()}

    def _added(self, site: Site, live: torch.Tensor, which: torch.Tensor) -> torch.Tensor:
        """What a component writes into the stream, over what it writes where it is ablated."""
        ablated = self.ablated[site.layer, site.kind](which, live).to(live)
        mask = self.spared[which].to(live.device)[..., None]
        difference = live - ablated
        return written_by(self.cone.decoder.blocks[site.layer], site, difference).masked_fill(mask, 0.0)
