"""The plain hooked run: whole prompts, all blocks, all logits. The oracle of the cone, and where there is none, its stead."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from circuitcheck.engine.checking.real_text import few_tokens
from circuitcheck.engine.chunks import Chunk
from circuitcheck.engine.hooks.batches import Batch
from circuitcheck.engine.hooks.hookpoints import Target, arranged, hook_name, hook_names
from circuitcheck.engine.hooks.norms import Scales, scale_hooks
from circuitcheck.engine.hooks.writes import Hook, keeping, last_of, quietly
from circuitcheck.engine.memory import Memory
from circuitcheck.engine.on_demand import torch
from circuitcheck.engine.shapes import Shape
from circuitcheck.errors import InterventionError
from circuitcheck.prompts.pairs import Side


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
        return self.shape.plain_batch(rows, batch.length, self.memory.for_batch, batch.chunk.read)

    def activation(self, chunk: Chunk, side: Side, layer: int, kind: str, start: int) -> torch.Tensor:
        """The activation at a kind of site, of shape [pair, position, ...]."""
        name = hook_name(layer, kind)
        return self.memory.get((chunk.key, side, name), lambda: self._record(chunk, side, name))[:, start:]

    def run(self, batch: Batch) -> torch.Tensor:
        """Logits at the last position, of shape [row, token of the vocabulary]; see ``last_of``."""
        tokens = batch.chunk.tokens(batch.side)[batch.which]
        logits = last_of(self.logits(tokens, batch.hooks()), batch.chunk.read)
        return logits if batch.vocabulary is None else logits[..., batch.vocabulary.to(logits.device)]

    def logits(self, tokens: torch.Tensor, hooks: Sequence[Hook]) -> torch.Tensor:
        """Of whole prompts [row, position], of shape [row, position, token]."""
        with torch.inference_mode(), quietly():
            logits: torch.Tensor = self.bridge.run_with_hooks(tokens.to(self.bridge.cfg.device), fwd_hooks=list(hooks))
        return logits

    def blocks(
        self, chunk: Chunk, side: Side, which: torch.Tensor, start: int, first: int, stop: int, hooks: Sequence[Hook]
    ) -> None:
        """Run the pairs ``which`` with hooks; of the blocks only those from ``first`` until ``stop`` matter."""
        self.logits(chunk.tokens(side)[which], hooks)

    def scales(self, chunk: Chunk, side: Side) -> Scales:
        """By what the normalisations of the unchanged run divide."""
        return self.memory.get((chunk.key, side, "scales"), lambda: self._scales(chunk, side))

    def look(self, chunk: Chunk, side: Side) -> "Look":
        """All activations of the first pair's prompt."""
        return self.memory.get((chunk.key, side, "look"), lambda: self._look(chunk, side))

    def reads(self, chunk: Chunk, target: Target) -> bool:
        """Whether the head's output, in the first pair's prompt, changes with what is put at a part of the head."""
        found: dict[str, torch.Tensor] = {}
        output = hook_name(target.layer, "H")

        def disturb(activation: torch.Tensor, hook: Any) -> torch.Tensor:
            noise = torch.randn(activation.shape, generator=torch.Generator().manual_seed(0))
            return activation.copy_(noise.to(activation))

        for name, hooks in (("before", []), ("after", [(target.hook, disturb)])):
            self.logits(chunk.tokens("clean")[:1], [*hooks, keeping(output, found, name)])
        return not torch.equal(found["before"], found["after"])

    def run_text(self) -> None:
        """Run a few words, and do nothing with what comes of it."""
        self.logits(few_tokens(self.bridge), [])

    def _look(self, chunk: Chunk, side: Side) -> "Look":
        look = Look({})
        hooks = [keeping(name, look.activations, name) for name in hook_names(self.shape.n_layers)]
        there = [(name, hook) for name, hook in hooks if name in self.bridge.hook_dict]
        with torch.inference_mode():
            self.bridge.run_with_hooks(chunk.tokens(side)[:1].to(self.bridge.cfg.device), fwd_hooks=there)
        return look

    def _record(self, chunk: Chunk, side: Side, name: str) -> torch.Tensor:
        found = self._recorded(chunk, side, [name])
        if name not in found:
            raise InterventionError(f"the hook {name} did not fire: it cannot be addressed in this model")
        return arranged(name, found[name])

    def _scales(self, chunk: Chunk, side: Side) -> Scales:
        found = self._recorded(chunk, side, scale_hooks(self.bridge))
        pairs, length = len(chunk.pairs), chunk.length_of(side)
        return Scales({name: scale.reshape(pairs, length, 1) for name, scale in found.items()})

    def _recorded(self, chunk: Chunk, side: Side, names: Sequence[str]) -> dict[str, torch.Tensor]:
        """What is at some hook points in the unchanged runs of all pairs, those that fire."""
        found: dict[str, list[torch.Tensor]] = {}

        def recording(name: str) -> Hook:
            return name, lambda activation, hook: found.setdefault(name, []).append(activation.detach().clone())

        size = self.shape.plain_batch(len(chunk.pairs), chunk.length_of(side), self.memory.for_batch)
        for start in range(0, len(chunk.pairs), size):
            self.logits(chunk.tokens(side)[start : start + size], [recording(name) for name in names])
        return {name: torch.cat(parts) for name, parts in found.items()}
