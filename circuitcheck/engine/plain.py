"""The plain hooked run: whole prompts, all blocks, all logits. The oracle of the cone, and where there is none, its stead."""

from dataclasses import dataclass
from typing import Any

import torch

from circuitcheck.engine.cone import Batch
from circuitcheck.engine.hookpoints import hook_name, hook_names
from circuitcheck.engine.memory import Memory
from circuitcheck.engine.samples import Chunk
from circuitcheck.engine.shapes import Shape
from circuitcheck.engine.writes import keeping
from circuitcheck.errors import InterventionError
from circuitcheck.methods import Side


@dataclass(frozen=True)
class Look:
    """One prompt's activations, by the name of the hook point, of shape [1, position, ...]."""

    activations: dict[str, torch.Tensor]

    @property
    def nbytes(self) -> int:
        return sum(tensor.nbytes for tensor in self.activations.values())


class Plain:
    """Runs batches with TransformerLens' hooks; every batch starts at the first token."""

    def __init__(self, bridge: Any, shape: Shape, memory: Memory):
        self.bridge, self.shape, self.memory = bridge, shape, memory

    def batch_size(self, batch: Batch, rows: int) -> int:
        """Rows like those of ``batch`` that are best run together."""
        return self.shape.plain_batch(rows, batch.chunk.length, self.memory.for_batch)

    def activation(self, chunk: Chunk, side: Side, layer: int, kind: str, start: int) -> torch.Tensor:
        """The activation at a kind of site, of shape [pair, position, ...]."""
        name = hook_name(layer, kind)
        return self.memory.get((chunk.key, side, name), lambda: self._record(chunk, side, name))[:, start:]

    def run(self, batch: Batch) -> torch.Tensor:
        """Logits at the last position, of shape [row, token of the vocabulary]."""
        tokens = batch.chunk.tokens(batch.side)[batch.which]
        hooks = [hook for write in batch.writes for hook in write.hooks()]
        with torch.inference_mode():
            logits: torch.Tensor = self.bridge.run_with_hooks(tokens.to(self.bridge.cfg.device), fwd_hooks=hooks)
        last = logits[:, -1]
        return last if batch.vocabulary is None else last[:, batch.vocabulary.to(last.device)]

    def look(self, chunk: Chunk, side: Side) -> "Look":
        """All activations of the first pair's prompt."""
        return self.memory.get((chunk.key, side, "look"), lambda: self._look(chunk, side))

    def _look(self, chunk: Chunk, side: Side) -> "Look":
        look = Look({})
        hooks = [keeping(name, look.activations, name) for name in hook_names(self.shape.n_layers)]
        there = [(name, hook) for name, hook in hooks if name in self.bridge.hook_dict]
        with torch.inference_mode():
            self.bridge.run_with_hooks(chunk.tokens(side)[:1].to(self.bridge.cfg.device), fwd_hooks=there)
        return look

    def _record(self, chunk: Chunk, side: Side, name: str) -> torch.Tensor:
        found: list[torch.Tensor] = []
        hooks = [(name, lambda activation, hook: found.append(activation.detach().clone()))]
        size = self.shape.plain_batch(len(chunk.pairs), chunk.length, self.memory.for_batch)
        with torch.inference_mode():
            for start in range(0, len(chunk.pairs), size):
                tokens = chunk.tokens(side)[start : start + size]
                self.bridge.run_with_hooks(tokens.to(self.bridge.cfg.device), fwd_hooks=hooks)
        if not found:
            raise InterventionError(f"the hook {name} did not fire: it cannot be addressed in this model")
        return torch.cat(found)
