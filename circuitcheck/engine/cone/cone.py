"""The cone of an intervention: the blocks and tokens that it can change, run from the base run; nothing else is."""

from collections.abc import Callable, Sequence
from typing import Any

from circuitcheck.addresses import kinds
from circuitcheck.addresses.kinds import HIDDEN, KINDS, WRITTEN
from circuitcheck.engine.chunks import Chunk
from circuitcheck.engine.cone.base_runs import ATTENTION, FEED_FORWARD, BaseRuns
from circuitcheck.engine.cone.forks import Fork, Past
from circuitcheck.engine.hooks.batches import Batch
from circuitcheck.engine.hooks.hookpoints import output_projection
from circuitcheck.engine.hooks.writes import Hook
from circuitcheck.engine.on_demand import torch
from circuitcheck.prompts.pairs import Side


class Cone:
    """Runs batches from their entries on. ``replaying`` False: a block that is written in is run from its input."""

    def __init__(self, base_runs: BaseRuns):
        self.base_runs, self.decoder = base_runs, base_runs.decoder
        self.replaying = True

    def activation(self, chunk: Chunk, side: Side, layer: int, kind: str, start: int) -> torch.Tensor:
        return self.base_runs.activation(chunk, side, layer, kind, start)

    def batch_size(self, batch: Batch, rows: int) -> int:
        """Rows like those of ``batch`` that are best run together."""
        shape, memory = self.base_runs.shape, self.base_runs.memory
        tokens, read = batch.length - batch.start, shape.d_vocab if batch.vocabulary is None else 0
        read *= batch.chunk.read
        return shape.batch(rows, tokens, batch.start, batch.entry.first, memory.for_batch, read)

    def run(self, batch: Batch) -> torch.Tensor:
        """Logits at the last position, of shape [row, token of the vocabulary]; see ``last_of``."""
        first, chunk, which = batch.entry.first, batch.chunk, batch.which
        stream = None
        if first:
            stream = self.base_runs.stream(chunk, batch.side, first, batch.start)[which]
        runs_blocks = first < self.decoder.n_layers
        past = self.base_runs.past(chunk, batch.side, which, batch.start) if runs_blocks else Past()
        tokens = chunk.tokens(batch.side)[:, batch.start :][which]
        fork = Fork(past, first, stream=stream, replaced=self._narrowed(batch) | self._replayed(batch))
        return self.decoder.run(tokens, fork, batch.hooks(), batch.vocabulary, chunk.read)

    def blocks(
        self, chunk: Chunk, side: Side, which: torch.Tensor, start: int, first: int, stop: int, hooks: Sequence[Hook]
    ) -> None:
        """Run the pairs ``which`` from the token ``start`` on, with hooks, through the blocks from ``first`` until ``stop``."""
        stream = self.base_runs.stream(chunk, side, first, start)[which] if first else None
        past = self.base_runs.past(chunk, side, which, start)
        tokens = chunk.tokens(side)[:, start:][which]
        self.decoder.run(tokens, Fork(past, first, stop, stream), hooks, torch.zeros(1, dtype=torch.long))

    def _narrowed(self, batch: Batch) -> dict[Any, Callable[..., Any]]:
        """The last block's feed-forward at the positions that are read: nobody reads the others, unless that block is written in."""
        module: Any = getattr(self.decoder.blocks[-1], "mlp", None)
        written = any(write.hook.startswith(f"blocks.{self.decoder.n_layers - 1}.") for write in batch.writes)
        if written or not self.decoder.calls(module):
            return {}

        def narrowed(hidden: torch.Tensor, *rest: Any, **named: Any) -> Any:
            read = batch.chunk.read
            output = type(module).forward(module, hidden[:, -read:].contiguous(), *rest, **named)
            value = output[0] if isinstance(output, tuple) else output
            others = value[:, :1].expand(-1, hidden.shape[1] - read, -1)
            whole = value.expand(-1, hidden.shape[1], -1) if read == 1 else torch.cat([others, value], 1)
            return self.decoder.returned(module, whole)

        return {module: narrowed}

    def _replayed(self, batch: Batch) -> dict[Any, Callable[..., Any]]:
        """For modules of the first block that give what they gave in the base run: that, or what follows the write."""
        written = batch.entry.written
        if written is None or not self.replaying:
            return {}
        block, replayed = self.decoder.blocks[batch.entry.first], {}
        attention, feed_forward = getattr(block, "attn", None), getattr(block, "mlp", None)
        depths = {KINDS[kind].depth for kind in written - {"N"}}
        parallel = self.base_runs.anatomy.layers[batch.entry.first].parallel
        if self.decoder.calls(attention) and kinds.ATTENTION not in depths:
            replayed[attention] = self._replay(batch, attention, ATTENTION, "H")
        if self.decoder.calls(feed_forward) and HIDDEN not in depths and (parallel or depths <= {WRITTEN}):
            replayed[feed_forward] = self._replay(batch, feed_forward, FEED_FORWARD, "N")
        return replayed

    def _replay(self, batch: Batch, module: Any, name: str, part: str) -> Callable[..., Any]:
        """A forward that gives what a module gave in the base run; through its output projection from the part that
        is written, where that is."""
        through = part in (batch.entry.written or ())
        project = output_projection(self.decoder.blocks[batch.entry.first], part) if through else None
        known = self.base_runs.activation(
            batch.chunk, batch.side, batch.entry.first, part if through else name, batch.start
        )

        def replay(*_: Any, **__: Any) -> Any:
            value = known[batch.which]
            value = value if project is None else project(value.flatten(2))
            return self.decoder.returned(module, module.hook_out(value))

        return replay
