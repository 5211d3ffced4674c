"""Whole hooked runs that a backward pass goes through.

    for batch in Gradients(engine, readout, into="corrupt").batches(sample, ["blocks.1.mlp.hook_post"]):
        batch.change("blocks.1.mlp.hook_post") * batch.slopes["blocks.1.mlp.hook_post"]

What comes of it is first order: a guide to what to measure, and never reported as an effect.
"""

import inspect
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from circuitcheck.addresses.kinds import KINDS
from circuitcheck.addresses.sites import EVERYWHERE, Position
from circuitcheck.engine.chunks import Chunk
from circuitcheck.engine.engine import Engine
from circuitcheck.engine.hooks.hookpoints import arranged
from circuitcheck.engine.hooks.writes import Hook, keeping, last_of, quietly
from circuitcheck.engine.memory import in_batches
from circuitcheck.engine.on_demand import torch
from circuitcheck.engine.readouts.functions import NO_GRADIENT
from circuitcheck.engine.readouts.named import Reading, Readout
from circuitcheck.errors import MethodError
from circuitcheck.prompts.pairs import Side, other_side
from circuitcheck.sampling.samples import Sample

EMBEDDING = KINDS["EMBED"].hook
# What a hook returns there does not reach the skip connection (TransformerLens 4.3), which reads the very tensor.
MIDDLE = "hook_resid_mid"


def logits_of(bridge: Any, tokens: torch.Tensor, hooks: Sequence[Hook], read: int = 1) -> torch.Tensor:
    """The logits behind the last token, of shape [row, token] (see ``last_of``), with whatever graph they have."""
    takes = inspect.signature(bridge.original_model.forward).parameters
    kept = {"logits_to_keep": read} if "logits_to_keep" in takes else {}
    with quietly():
        logits: torch.Tensor = bridge.run_with_hooks(tokens.to(bridge.cfg.device), fwd_hooks=list(hooks), **kept)
    return last_of(logits, read)


def slope_of(logits: torch.Tensor, reading: Reading, which: torch.Tensor) -> torch.Tensor:
    """What a gradient climbs, of shape [row], from logits of the pairs ``which``."""
    chosen = logits if reading.vocabulary is None else logits[..., reading.vocabulary.to(logits.device)]
    return reading.slope(chosen, which)


@dataclass(frozen=True)
class GradientBatch:
    """The pairs ``which`` of a chunk. By the name of a hook point, of shape [row, position, ...]: what is ``there`` in the run that
    is written into, and in the ``other`` one, at the tokens of each; and the ``slopes`` of the former's readout, which lack hook points
    that the readout does not depend on."""

    chunk: Chunk
    into: Side
    which: torch.Tensor
    there: dict[str, torch.Tensor]
    other: dict[str, torch.Tensor]
    slopes: dict[str, torch.Tensor]

    def change(self, hook: str, position: Position = EVERYWHERE) -> torch.Tensor:
        """The other run's activation minus what is there, at the tokens that a position names: see ``counterpart``."""
        return self.counterpart(hook, position) - self.there[hook]

    def counterpart(self, hook: str, position: Position = EVERYWHERE) -> torch.Tensor:
        """The other run's activation at the tokens that correspond to those that a position names (to others, where prompts differ
        in their number of tokens, it means nothing). Raises ``PromptError`` where one has no counterpart."""
        other = self.other[hook]
        if not self.chunk.is_aligned:
            places = self.chunk.counterparts(position, self.into)[self.which].clamp(min=0).to(other.device)
            other = other[torch.arange(len(other), device=other.device).unsqueeze(1), places]
        return other

    def row_by_row(self) -> "Iterator[GradientBatch]":
        """Batches of one pair each."""
        for row in range(len(self.which)):
            there, other, slopes = (
                {hook: activation[row : row + 1] for hook, activation in each.items()}
                for each in (self.there, self.other, self.slopes)
            )
            yield GradientBatch(self.chunk, self.into, self.which[row : row + 1], there, other, slopes)


class Gradients:
    """How the readout of the run that is written ``into`` changes with its activations. With several ``steps``: the mean over as many
    runs whose embeddings lie between the two prompts' (integrated gradients; Sundararajan et al. 2017, Hanna et al. 2024)."""

    def __init__(self, engine: Engine, readout: Readout, into: Side, steps: int = 1):
        self.engine, self.readout, self.into, self.steps = engine, readout, into, steps

    def batches(self, sample: Sample, hooks: Sequence[str]) -> Iterator[GradientBatch]:
        """All pairs, in batches that fit into memory. Raises ``MethodError`` for a readout that lets no gradient through."""
        done = 0
        for chunk in self.engine.chunks(sample):
            if self.steps > 1 and not chunk.is_aligned:
                raise MethodError(
                    "integrated gradients go from one prompt's embeddings to the other's, token by token, and these pairs differ in "
                    "their number of tokens: leave out steps="
                )
            run = partial(self._run, chunk, self.engine.reading(self.readout, chunk), list(hooks))
            size = self.engine.shape.gradient_batch(chunk.length, chunk.read, self.engine.memory.for_batch)
            for which, batch in in_batches(torch.arange(len(chunk.pairs)), size, run):
                yield batch
                done += len(which)
                self.engine.progress("gradients", done, len(sample.pairs))

    def _run(self, chunk: Chunk, reading: Reading, hooks: list[str], which: torch.Tensor) -> GradientBatch:
        other = self._unchanged(chunk, other_side(self.into), hooks, which)
        if self.steps == 1:
            there, slopes = self._slopes(chunk, reading, hooks, which, None)
            return GradientBatch(chunk, self.into, which, there, other, slopes)
        there = self._unchanged(chunk, self.into, hooks, which)
        means: dict[str, torch.Tensor] = {}
        for embedding in self._embeddings(chunk, which):
            for hook, slope in self._slopes(chunk, reading, hooks, which, embedding)[1].items():
                means[hook] = means[hook] + slope / self.steps if hook in means else slope / self.steps
        return GradientBatch(chunk, self.into, which, there, other, means)

    def between(
        self, chunk: Chunk, hooks: list[str], which: torch.Tensor
    ) -> tuple[dict[str, torch.Tensor], list[torch.Tensor | None]]:
        """The other run's activations minus those of the run that is written into, by the hook point; and the embeddings of the
        runs whose slopes are to be averaged, None for that run's own."""
        other, there = (self._unchanged(chunk, side, hooks, which) for side in (other_side(self.into), self.into))
        changes = {hook: other[hook] - there[hook] for hook in hooks}
        return changes, [None] if self.steps == 1 else list(self._embeddings(chunk, which))

    def _embeddings(self, chunk: Chunk, which: torch.Tensor) -> Iterator[torch.Tensor]:
        """Of runs between the one that is written into and the other one."""
        start, end = (
            self._unchanged(chunk, side, [EMBEDDING], which)[EMBEDDING] for side in (self.into, other_side(self.into))
        )
        for step in range(self.steps):
            yield torch.lerp(start, end, (step + 0.5) / self.steps)

    def _unchanged(self, chunk: Chunk, side: Side, hooks: list[str], which: torch.Tensor) -> dict[str, torch.Tensor]:
        found: dict[str, torch.Tensor] = {}
        with torch.inference_mode(False), torch.no_grad():
            keep = [keeping(hook, found, hook) for hook in hooks]
            logits_of(self.engine.bridge, chunk.tokens(side)[which], keep)
        return found

    def _slopes(
        self, chunk: Chunk, reading: Reading, hooks: list[str], which: torch.Tensor, embedding: torch.Tensor | None
    ) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
        """What is there, and its slopes, in a run from the tokens, or from an ``embedding``."""
        there: dict[str, torch.Tensor] = {}
        added: dict[str, torch.Tensor] = {}

        def embed(activation: torch.Tensor, hook: Any) -> torch.Tensor:
            return (activation if embedding is None else embedding).detach().clone().requires_grad_()

        def watching(name: str) -> Hook:
            def watch(activation: torch.Tensor, hook: Any) -> torch.Tensor:
                there[name] = activation.detach()
                # What a hook is shown may be a view that nothing is computed from: what a zero that is added does is seen.
                added[name] = activation.new_zeros(()).expand(activation.shape).requires_grad_()
                return activation.add_(added[name]) if name.endswith(MIDDLE) else activation + added[name]

            return name, watch

        with torch.inference_mode(False), torch.enable_grad():
            watched = [(EMBEDDING, embed), *map(watching, hooks)]
            logits = logits_of(self.engine.bridge, chunk.tokens(self.into)[which], watched, chunk.read)
            read = slope_of(logits, reading, which)
            if not read.requires_grad:
                raise MethodError(f"{reading.readout} {NO_GRADIENT}")
            found = torch.autograd.grad(read.sum(), list(added.values()), allow_unused=True)
        slopes = {hook: arranged(hook, slope) for hook, slope in zip(added, found, strict=True) if slope is not None}
        return {hook: arranged(hook, activation) for hook, activation in there.items()}, slopes
