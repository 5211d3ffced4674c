"""The unchanged runs: each token that prompts have in common is run once, and what later runs need of it is kept.

Of every base run its spine is kept: the stream before each block, keys and values. What happens inside a block is
recorded along with it as far as that is little, and otherwise had again by running that block alone from its stream.
"""

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import product
from typing import Any, Literal, TypeVar

from circuitcheck.addresses.anatomy import Anatomy
from circuitcheck.addresses.kinds import AFTER, ATTENDED, BEFORE, HIDDEN, KINDS, WRITTEN, kinds_within
from circuitcheck.engine.chunks import Chunk
from circuitcheck.engine.cone.decoder import Decoder
from circuitcheck.engine.cone.forks import Fork, Part, Past
from circuitcheck.engine.hooks.hookpoints import hook_name
from circuitcheck.engine.hooks.writes import Hook, keeping
from circuitcheck.engine.memory import Memory, in_batches
from circuitcheck.engine.on_demand import torch
from circuitcheck.engine.shapes import Shape
from circuitcheck.errors import InterventionError
from circuitcheck.prompts.pairs import Side
from circuitcheck.prompts.tokens import Tokens

Branch = Literal["stems", "clean", "corrupt"]
# Activations by layer and kind.
_Recorded = dict[tuple[int, str], torch.Tensor]
_Result = TypeVar("_Result")
# Of the memory for what is kept, the share that what happens inside the blocks of one run may take without being asked for.
_LITTLE = 1 / 16
# Work under which a beginning that is common to all stems is not worth a run of its own.
_SMALL_WORK = 1e9
# A whole module's output, before any norm that the block puts behind it; recorded beside the sites of a block.
ATTENTION, FEED_FORWARD = "attention", "feed-forward"
_OUTPUTS = {ATTENTION: ATTENDED, FEED_FORWARD: WRITTEN}
# What lies at one depth of a block is recorded together, and what lies at these along with the base runs.
_UNASKED = (ATTENDED, HIDDEN, WRITTEN)


@dataclass(frozen=True)
class Spine:
    """Of n prompts' tokens: ``streams`` before each block and after the last, ``keys`` and ``values`` of each block."""

    streams: list[torch.Tensor]
    keys: list[torch.Tensor]
    values: list[torch.Tensor]

    @property
    def nbytes(self) -> int:
        return sum(tensor.nbytes for tensors in (self.streams, self.keys, self.values) for tensor in tensors)

    def past(self, index: torch.Tensor, length: int) -> Part:
        """The first tokens of the prompts that ``index`` names, one a row."""
        return Part(self.keys, self.values, index, length)


@dataclass(frozen=True)
class Recording:
    """What happened at one depth of a block from the token ``start`` of a branch on: activations by kind of site, of
    shape [prompt, position, ...]."""

    start: int
    activations: dict[str, torch.Tensor]

    @property
    def nbytes(self) -> int:
        return sum(tensor.nbytes for tensor in self.activations.values())


class BaseRuns:
    """The base runs of one model, kept in ``memory``."""

    def __init__(self, decoder: Decoder, anatomy: Anatomy, shape: Shape, memory: Memory):
        self.decoder, self.anatomy, self.shape, self.memory = decoder, anatomy, shape, memory

    def stream(self, chunk: Chunk, side: Side, layer: int, start: int) -> torch.Tensor:
        """The residual stream before a block (after the last, for the number of layers), of shape [pair, position, width]."""
        return self._whole(chunk, side, start, lambda branch, at: self._spine(chunk, branch).streams[layer][:, at:])

    def activation(self, chunk: Chunk, side: Side, layer: int, kind: str, start: int) -> torch.Tensor:
        """The activation at a kind of site from position ``start`` on; shape [pair, position, ...]."""
        if _depth(kind) == BEFORE:
            return self.stream(chunk, side, layer, start)
        if _depth(kind) == AFTER:
            return self.stream(chunk, side, layer + 1, start)

        def recorded(branch: Branch, at: int) -> torch.Tensor:
            found = self._recorded(chunk, branch, layer, kind, at)
            # No token attends to later ones: what is not there in a stem is zero.
            is_pattern = kind in KINDS and KINDS[kind].width == "pattern"
            return torch.nn.functional.pad(found, (0, chunk.length_of(side) - found.shape[-1])) if is_pattern else found

        return self._whole(chunk, side, start, recorded)

    def past(self, chunk: Chunk, side: Side, which: torch.Tensor, start: int) -> Past:
        """What comes before the token ``start``, for rows that are the pairs ``which`` of the chunk."""
        parts = []
        if chunk.fork and start:
            parts.append(self._spine(chunk, "stems").past(chunk.stems[1][which], min(start, chunk.fork)))
        if start > chunk.fork:
            parts.append(self._spine(chunk, side).past(chunk.tails(side)[1][which], start - chunk.fork))
        return Past(tuple(parts))

    def _whole(self, chunk: Chunk, side: Side, start: int, of: Callable[[Branch, int], torch.Tensor]) -> torch.Tensor:
        """Stems and tails put together for every pair, from ``start`` on."""
        tails = of(side, max(0, start - chunk.fork))[chunk.tails(side)[1]]
        if start >= chunk.fork:
            return tails
        return torch.cat([of("stems", start)[chunk.stems[1]], tails], dim=1)

    def _recorded(self, chunk: Chunk, branch: Branch, layer: int, kind: str, start: int) -> torch.Tensor:
        """What was recorded of a branch, from its token ``start`` on; recorded now if it was not."""
        recording = self.memory.get(
            (chunk.prompts, branch, layer, _depth(kind)),
            lambda: self._record(chunk, branch, layer, start, _depth(kind)),
            lambda recording: recording.start <= start,
        )
        if kind not in recording.activations:
            name = kind if kind in _OUTPUTS else hook_name(layer, kind)
            raise InterventionError(f"the hook {name} did not fire: it cannot be addressed in this model")
        return recording.activations[kind][:, start - recording.start :]

    def _spine(self, chunk: Chunk, branch: Branch) -> Spine:
        return self.memory.get(
            (chunk.prompts, branch),
            lambda: self._run_stems(chunk) if branch == "stems" else self._run_tails(chunk, branch),
        )

    def _run_stems(self, chunk: Chunk) -> Spine:
        """The beginnings; of what all of them have in common, one."""
        stems = chunk.stems[0]
        common = _common(stems)
        if (len(stems) - 1) * common * self.shape.n_layers * self.shape.block_work() <= _SMALL_WORK:
            return self._run(torch.tensor(stems), Past(), (chunk.prompts, "stems"))
        root = self._run(torch.tensor(stems[:1])[:, :common], Past())
        everyone = torch.zeros(len(stems), dtype=torch.long)
        rest = self._run(torch.tensor(stems)[:, common:], Past((root.past(everyone, common),)))
        return Spine(
            _joined(root.streams, rest.streams, 1),
            _joined(root.keys, rest.keys, 2),
            _joined(root.values, rest.values, 2),
        )

    def _run_tails(self, chunk: Chunk, side: Side) -> Spine:
        tokens, past = self._tails(chunk, side)
        return self._run(tokens, past, (chunk.prompts, side))

    def _tails(self, chunk: Chunk, side: Side) -> tuple[torch.Tensor, Past]:
        """The tokens of a side's distinct prompts from the fork on, and what is past for them."""
        prompts = chunk.tails(side)[0]
        tokens = torch.tensor(prompts)[:, chunk.fork :]
        if not chunk.fork:
            return tokens, Past()
        places = {stem: place for place, stem in enumerate(chunk.stems[0])}
        index = torch.tensor([places[prompt[: chunk.fork]] for prompt in prompts])
        return tokens, Past((self._spine(chunk, "stems").past(index, chunk.fork),))

    def _run(self, tokens: torch.Tensor, past: Past, record: tuple[Hashable, ...] = ()) -> Spine:
        """All blocks, in batches of prompts; what happens inside is kept under the keys ``record`` as far as it is little."""
        n_layers = self.decoder.n_layers
        room = self.memory.for_kept * _LITTLE
        depths = [
            depth for depth in _UNASKED if record and tokens.numel() * self.shape.recorded_per_token(depth) < room
        ]

        def run(rows: torch.Tensor) -> tuple[Spine, _Recorded]:
            kept: dict[int, tuple[torch.Tensor, torch.Tensor]] = {}
            streams: dict[int, torch.Tensor] = {}
            hooks = [keeping(f"blocks.{layer}.hook_in", streams, layer) for layer in range(n_layers)]
            hooks.append(keeping(f"blocks.{n_layers - 1}.hook_out", streams, n_layers))
            fork = Fork(_rows_of(past, rows), kept=kept)
            recorded = self._watch(tokens[rows], fork, range(n_layers), depths, hooks)
            keys, values = ([kept[layer][which] for layer in range(n_layers)] for which in (0, 1))
            return Spine([streams[layer] for layer in range(n_layers + 1)], keys, values), recorded

        ran = self._in_batches(tokens, past.length, 0, run)
        batches, recordings = [spine for spine, _ in ran], [recorded for _, recorded in ran]
        for layer, depth in product(range(n_layers), depths):
            self.memory.get(
                (*record, layer, depth), partial(Recording, 0, _joined_recordings(recordings, layer, depth))
            )
        if len(batches) == 1:
            return batches[0]
        return Spine(*([torch.cat(parts) for parts in zip(*lists, strict=True)] for lists in _fields(batches)))

    def _record(self, chunk: Chunk, branch: Branch, layer: int, start: int, depth: int) -> Recording:
        """Run one block again from its stream (or, for layer -1, the embedding), and record what happens at a depth."""
        tokens, past = (torch.tensor(chunk.stems[0]), Past()) if branch == "stems" else self._tails(chunk, branch)
        spine, decoder = self._spine(chunk, branch), self.decoder
        if start:
            tokens, everyone = tokens[:, start:], torch.arange(len(tokens))
            past = Past((*past.parts, spine.past(everyone, start)))
        left_out = self._left_out(layer, depth)
        attention = getattr(decoder.blocks[layer], "attn", None) if layer >= 0 and depth > ATTENDED else None
        attended = None
        if decoder.calls(attention):
            attended = self._recorded(chunk, branch, layer, ATTENTION, start)

        def run(rows: torch.Tensor) -> _Recorded:
            stream = spine.streams[layer][rows, start:] if layer > 0 else None
            replaced = dict(left_out)
            if attended is not None:
                replaced[attention] = lambda *_, **__: decoder.returned(attention, attended[rows])
            fork = Fork(_rows_of(past, rows), max(layer, 0), layer + 1, stream, replaced)
            return self._watch(tokens[rows], fork, [layer], [depth], [])

        recordings = self._in_batches(tokens, past.length, decoder.n_layers - 1, run)
        return Recording(start, _joined_recordings(recordings, layer, depth))

    def _watch(
        self, tokens: torch.Tensor, fork: Fork, layers: Sequence[int], depths: Sequence[int], hooks: list[Hook]
    ) -> _Recorded:
        """Run, and record what happens inside the blocks of ``layers`` (-1: at the embedding)."""
        recorded: _Recorded = {}
        within = {ATTENTION: "attn", FEED_FORWARD: "mlp"}
        modules: dict[tuple[int, str], Any] = {}
        for layer in layers:
            there = kinds_within(self.anatomy.layers[layer]) if layer >= 0 else ["EMBED"]
            kinds = [kind for kind in there if _depth(kind) in depths]
            hooks = [*hooks, *(keeping(hook_name(layer, kind), recorded, (layer, kind)) for kind in kinds)]
            for name, attribute in within.items() if layer >= 0 else ():
                module = getattr(self.decoder.blocks[layer], attribute, None)
                if _depth(name) in depths and self.decoder.calls(module):
                    modules[layer, name] = module
        with self.decoder.watched(modules, recorded):
            self.decoder.run(tokens, fork, hooks, torch.zeros(1, dtype=torch.long))
        return recorded

    def _left_out(self, layer: int, depth: int) -> dict[Any, Callable[..., Any]]:
        """Modules of a block that lie deeper than what is recorded: they give zeros, and cost nothing."""
        feed_forward = getattr(self.decoder.blocks[layer], "mlp", None) if layer >= 0 else None
        if depth == WRITTEN or not self.decoder.calls(feed_forward):
            return {}
        if depth < HIDDEN:
            return {
                feed_forward: lambda hidden, *_, **__: self.decoder.returned(feed_forward, torch.zeros_like(hidden))
            }
        projection = getattr(getattr(feed_forward, "out", None), "original_component", None)
        width = self.shape.d_model
        zeros = {projection: lambda hidden: hidden.new_zeros(*hidden.shape[:-1], width)}
        return zeros if projection is not None else {}

    def _in_batches(
        self, tokens: torch.Tensor, past: int, first: int, run: Callable[[torch.Tensor], _Result]
    ) -> list[_Result]:
        rows, length = tokens.shape
        size = self.shape.batch(rows, length, past, first, self.memory.for_batch)
        return [found for _, found in in_batches(torch.arange(rows), size, run)]


def _depth(kind: str) -> int:
    return _OUTPUTS[kind] if kind in _OUTPUTS else KINDS[kind].depth


def _joined_recordings(recordings: Sequence[_Recorded], layer: int, depth: int) -> dict[str, torch.Tensor]:
    """What batches recorded at one depth of one layer."""
    kinds = [kind for at, kind in recordings[0] if at == layer and _depth(kind) == depth]
    return {kind: torch.cat([batch[layer, kind] for batch in recordings]) for kind in kinds}


def _rows_of(past: Past, rows: torch.Tensor) -> Past:
    return Past(tuple(Part(part.keys, part.values, part.index[rows], part.length) for part in past.parts))


def _joined(root: Sequence[torch.Tensor], rest: Sequence[torch.Tensor], dim: int) -> list[torch.Tensor]:
    pairs = zip(root, rest, strict=True)
    return [torch.cat([one.expand(many.shape[0], *one.shape[1:]), many], dim=dim) for one, many in pairs]


def _fields(spines: Sequence[Spine]) -> list[list[list[torch.Tensor]]]:
    return [[s.streams for s in spines], [s.keys for s in spines], [s.values for s in spines]]


def _common(prompts: Sequence[Tokens]) -> int:
    """How many tokens all prompts begin with."""
    first, last = min(prompts), max(prompts)
    return next((i for i, (a, b) in enumerate(zip(first, last, strict=True)) if a != b), len(first))
