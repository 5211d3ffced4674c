"""What arrives at the end of a path: the base run's input of its last part, plus the change in what the first one writes.

Along the way every head and every MLP is held at the base run (``Held.mlps`` False lets the MLPs between move, as in Wang
et al. 2022), so that a change is carried on by the stream alone. A part on the way reads its input with the change, its
normalisation computed anew (``Held.norms`` holds the scale), and what it writes then differs from the base run is what is
carried on from there. Changes that arrive at the same part by several paths add up.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

from circuitcheck.addresses.anatomy import Anatomy
from circuitcheck.addresses.kinds import AFTER, KINDS, LOGITS, is_part, lacking
from circuitcheck.addresses.sites import Position, Site
from circuitcheck.engine.ablations import Held
from circuitcheck.engine.chunks import Chunk
from circuitcheck.engine.cone.cone import Cone
from circuitcheck.engine.hooks.attached import Attached
from circuitcheck.engine.hooks.hookpoints import Target, hook_name
from circuitcheck.engine.hooks.interventions import Supply
from circuitcheck.engine.hooks.norms import BEHIND_ATTENTION, BEHIND_MLP, scale_hook, scale_hooks
from circuitcheck.engine.hooks.outputs import written_by
from circuitcheck.engine.hooks.plain import Plain
from circuitcheck.engine.hooks.writes import Hold, Hook, adding, hooked, keeping, quietly
from circuitcheck.engine.memory import in_batches
from circuitcheck.engine.on_demand import torch
from circuitcheck.errors import MethodError
from circuitcheck.prompts.pairs import Side

# What is put in at the first part of each path, from the token on from which paths are followed.
Sent = Mapping[Site, Supply]
# Where a position is in each pair of a chunk, of shape [pair, position].
Where = Callable[[Chunk, Position], torch.Tensor]


@dataclass(frozen=True)
class Paths:
    """Follows paths through the runs of one side of a chunk of pairs, from the token ``start`` on.

    ``plain`` has the scales of the base runs' normalisations; ``runner`` runs blocks, and has the base runs' activations.
    """

    bridge: Any
    anatomy: Anatomy
    plain: Plain
    runner: Cone | Plain
    chunk: Chunk
    side: Side
    start: int
    held: Held
    attached: Attached

    def arriving(self, target: Target, sent: Sent, where: Where, pairs: torch.Tensor) -> torch.Tensor:
        """The activation at the end of the target's paths, of shape [pair, position, ...], for some of the pairs; at LOGITS
        the change in the stream alone, which comes to what is there."""

        def run(which: torch.Tensor) -> torch.Tensor:
            end = Site(target.layer, target.kind)
            changes = [self._followed((*route, end), sent, where, which) for route in target.routes]
            return self._received(end, torch.stack(changes).sum(0), which, target.components)

        shape = self.plain.shape
        tokens = self.chunk.length_of(self.side) - self.start
        size = shape.batch(len(pairs), tokens, self.start, shape.n_layers - 2, self.plain.memory.for_batch)
        with torch.inference_mode():
            return torch.cat([found for _, found in in_batches(pairs, size, run)])

    def _followed(self, path: Sequence[Site], sent: Sent, where: Where, which: torch.Tensor) -> torch.Tensor:
        """The change in the stream that the end of a path reads, of shape [row, position, d_model]."""
        sender = path[0]
        there = self._base(sender.kind, sender.layer, which, _features(sender))
        difference = sent[sender](which, there).to(there) - there
        change = self._written(sender, difference * self._at(sender, where, which, there), which)
        for site, receiver in pairwise(path):
            change = self._carried(change, site, receiver, which)
            if receiver is not path[-1]:
                change = self._handed_on(receiver, change, where, which)
        return change

    def _at(self, site: Site, where: Where, which: torch.Tensor, activation: torch.Tensor) -> torch.Tensor:
        """Where a part of a path is meant, in as many dimensions as its activation has."""
        return _over(where(self.chunk, site.position)[which, self.start :], activation)

    def _written(self, site: Site, difference: torch.Tensor, which: torch.Tensor) -> torch.Tensor:
        """What a difference in a part's activation makes of what it writes into the stream."""
        if site.traits.host and site.traits.numbered:
            read = self.attached.read(self.runner, self.chunk, self.side, site.layer, site.kind, self.start)[which]
            return self.attached.of(site.layer, site.kind).written(difference, read, _features(site))
        if site.traits.weights is None:
            return difference
        difference = written_by(self.bridge.blocks[site.layer], site, difference)
        return self._behind_norm(site, difference, which) if self.anatomy.layers[site.layer].post_norm else difference

    def _behind_norm(self, site: Site, difference: torch.Tensor, which: torch.Tensor) -> torch.Tensor:
        """The same behind the normalisation that follows a sublayer; its scale is held, which makes it linear."""
        norm = BEHIND_ATTENTION if site.traits.attends else BEHIND_MLP
        hook = scale_hook(site.layer, norm)
        scale = self.plain.scales(self.chunk, self.side).found[hook][which, self.start :]
        module = getattr(self.bridge.blocks[site.layer], norm)
        with quietly(), hooked(self.bridge.hook_dict, Hold(hook, scale).hooks()):
            changed: torch.Tensor = module(difference)
            return changed

    def _carried(self, change: torch.Tensor, site: Site, receiver: Site, which: torch.Tensor) -> torch.Tensor:
        """The change that a part has written, where the next part of the path reads the stream."""
        stop = receiver.layer + (receiver.traits.depth == AFTER)
        layers = self.anatomy.layers
        # The MLP of its own layer is on the way, too.
        beside = site.traits.attends and not layers[site.layer].parallel
        first = site.layer if beside else site.layer + 1
        if self.held.mlps or all(layer.d_mlp is None for layer in layers[first:stop]):
            return change
        if mixing := next(
            (n for n in range(site.layer + 1, stop) if layers[n].mixer or lacking("ATTN", layers[n])), None
        ):
            raise MethodError(
                f"L{mixing} of {self.anatomy.name}, which is on the way, mixes tokens by {layers[mixing].mixer}, and that cannot "
                "be frozen: leave out through="
            )
        into = hook_name(first, "RESID_MID") if beside else f"blocks.{first}.hook_in"
        attention = [self._at_base("ATTN", layer, which) for layer in range(first, stop)]
        behind: dict[str, torch.Tensor] = {}
        leaving = keeping(f"blocks.{stop - 1}.hook_out", behind, "stream")
        scales = self._scales(scale_hooks(self.bridge, first, stop), which)
        self._run(which, first, stop, [*attention, *scales, adding(into, change), leaving])
        moved = behind["stream"] - self._stream(stop, which)
        return torch.where(_there(change), moved, 0.0)

    def _received(
        self, site: Site, change: torch.Tensor, which: torch.Tensor, chosen: Sequence[int] | None = None
    ) -> torch.Tensor:
        """A part's activation where it reads the stream with a change in it; where that reaches nothing, the base run's. Of features,
        the ``chosen`` ones."""
        if site.kind == LOGITS:
            return change
        if site.traits.depth == AFTER:  # features of the stream itself
            stream = self._stream(site.layer + 1, which) + change
            return self.attached.made(site.layer, site.kind, stream, stream, chosen)
        # What attention writes in this layer is the base run's: the change goes in after it.
        after = not site.traits.attends and not self.anatomy.layers[site.layer].parallel
        into = hook_name(site.layer, "RESID_MID") if after else f"blocks.{site.layer}.hook_in"
        found: dict[str, torch.Tensor] = {}
        looking = keeping(hook_name(site.layer, site.kind), found, "value")
        scales = self._scales(scale_hooks(self.bridge, site.layer, site.layer + 1), which)
        hooks = [adding(into, change), *scales, looking]
        if site.traits.host:
            hooks.append(keeping(self.attached.read_at(site.layer, site.kind), found, "read"))
        self._run(which, site.layer, site.layer + 1, hooks)
        if site.traits.host:
            found["value"] = self.attached.made(site.layer, site.kind, found["value"], found["read"], chosen)
        base = self._base(site.kind, site.layer, which, chosen)
        reached = _reached(change) if site.traits.mixes else _there(change)
        return torch.where(_over(reached[..., 0], base), found["value"], base)

    def _handed_on(self, site: Site, change: torch.Tensor, where: Where, which: torch.Tensor) -> torch.Tensor:
        """What a part on the way writes differently, having read the stream with a change in it."""
        chosen = _features(site)
        value, base = self._received(site, change, which, chosen), self._base(site.kind, site.layer, which, chosen)
        difference = (value - base) * self._at(site, where, which, base)
        if not is_part(site.kind):
            return self._written(site, difference, which)
        component = torch.zeros(base.shape[2], dtype=torch.bool, device=base.device)
        component[site.index] = True
        put = difference * component.reshape(-1, *[1] * (base.dim() - 3))
        found: dict[str, torch.Tensor] = {}
        hooks = [adding(hook_name(site.layer, site.kind), put), keeping(hook_name(site.layer, "H"), found, "z")]
        self._run(which, site.layer, site.layer + 1, hooks)
        reached = _reached(put.flatten(2)).unsqueeze(-1)
        moved = torch.where(reached, found["z"] - self._base("H", site.layer, which), 0.0)
        heads = self.anatomy.layers[site.layer].heads_of(site.index) if site.kind.startswith("KV") else [site.index]
        return torch.stack([self._written(Site(site.layer, "H", head), moved, which) for head in heads]).sum(0)

    def _run(self, which: torch.Tensor, first: int, stop: int, hooks: Sequence[Hook]) -> None:
        self.runner.blocks(self.chunk, self.side, which, self.start, first, stop, hooks)

    def _scales(self, hooks: Sequence[str], which: torch.Tensor) -> list[Hook]:
        """The base run's scales at some hook points held, if they are to be."""
        if not self.held.norms:
            return []
        scales = self.plain.scales(self.chunk, self.side)
        return [hook for hold in scales.holds(list(hooks), which, self.start) for hook in hold.hooks()]

    def _at_base(self, kind: str, layer: int, which: torch.Tensor) -> Hook:
        base = self._base(kind, layer, which)
        return hook_name(layer, kind), lambda activation, hook: activation.copy_(base.to(activation))

    def _base(self, kind: str, layer: int, which: torch.Tensor, chosen: Sequence[int] | None = None) -> torch.Tensor:
        if KINDS[kind].host:
            found = self.attached.activation(self.runner, self.chunk, self.side, layer, kind, self.start, chosen)
            return found[which]
        return self.runner.activation(self.chunk, self.side, layer, kind, self.start)[which]

    def _stream(self, layer: int, which: torch.Tensor) -> torch.Tensor:
        """The residual stream before a block, or behind the last."""
        return self._base("RESID_POST", layer - 1, which) if layer else self._base("RESID_PRE", 0, which)

    def base_of_change(self, target: Target, which: torch.Tensor) -> torch.Tensor | None:
        """The stream that what arrives at a target is a change of, and rounds as; None where it is the activation itself."""
        return self._stream(len(self.anatomy.layers), which) if target.kind == LOGITS else None

    def by(self, runner: Cone | Plain) -> "Paths":
        """The same by another runner; a plain one always starts at the first token."""
        return replace(self, runner=runner, start=self.start if isinstance(runner, Cone) else 0)


def _features(site: Site) -> tuple[int, ...] | None:
    """The feature that a site is, None where it is none."""
    return (site.index,) if site.traits.host and site.index >= 0 else None


def _there(change: torch.Tensor) -> torch.Tensor:
    """The positions at which there is a change. Shape [row, position, 1]."""
    return (change != 0).any(-1, keepdim=True)


def _reached(change: torch.Tensor) -> torch.Tensor:
    """The positions that a change reaches through attention: it and all that follow. Shape [row, position, 1]."""
    return _there(change).cumsum(1) > 0


def _over(mask: torch.Tensor, activation: torch.Tensor) -> torch.Tensor:
    """A mask [row, position] in as many dimensions as an activation has."""
    return mask.to(activation.device).reshape(*mask.shape, *[1] * (activation.dim() - 2))
