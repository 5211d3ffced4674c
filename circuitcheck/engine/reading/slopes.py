"""How an intervention's shift changes with the embeddings of the prompts' tokens: one backward pass.

Whole hooked runs with all activations, as a first-order guide to what to run next: nothing that is reported rests on it.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from circuitcheck.addresses.sites import Site
from circuitcheck.engine.answers import Answers
from circuitcheck.engine.chunks import Chunk
from circuitcheck.engine.hooks.hookpoints import Target, arranged, targets
from circuitcheck.engine.hooks.interventions import Rows, Supply
from circuitcheck.engine.hooks.writes import Hook
from circuitcheck.engine.making import Writing
from circuitcheck.engine.readouts.functions import NO_GRADIENT
from circuitcheck.engine.readouts.named import Readout
from circuitcheck.errors import MethodError
from circuitcheck.prompts.alignment import AlignedPair
from circuitcheck.prompts.pairs import Side, other_side
from circuitcheck.sampling.samples import Sample

if TYPE_CHECKING:
    from circuitcheck.types import Floats

_EMBED = "hook_embed"


def slopes_of(
    answers: Answers, pair: AlignedPair, sites: Sequence[Site], writing: Writing, readout: Readout
) -> "dict[Side, Floats]":
    """How what is shifted in a pair changes with each token's embedding, of shape [position, d_model]."""

    if pair.has_several:
        raise MethodError(
            f"an adversary with gradients takes answers of one token, and after {pair.pair.clean.text!r} there are several: search "
            "against('coordinate')"
        )

    def look(chunk: Chunk) -> "Floats":
        engine = answers.engine
        intervention = engine.making.intervention(writing, [targets(sites)])
        rows = Rows(chunk, intervention, intervention.variants, engine.anatomy, engine.reading(readout, chunk))
        return _slopes(engine.bridge, rows, writing.of_other_run)[None]

    doing = ("slopes", *writing.identity, tuple(sites), readout)
    found = answers.looked_at(Sample((pair,), whole=False), doing, look)
    both: tuple[Side, ...] = ("clean", "corrupt")
    return {side: slope for side, slope in zip(both, found.reshape(2, pair.length, -1), strict=True) if slope.any()}


def _slopes(bridge: Any, rows: Rows, patched: bool) -> "Floats":
    """The derivative of one pair's shift, of shape [side (clean, corrupted), position, d_model], flat. ``patched``: the values
    come from the other side's run, and change with its tokens; otherwise only one side has a say."""
    side, targets = rows.intervention.side, rows.variants[0]
    runs = _Runs(bridge, rows)
    with torch.inference_mode(False), torch.enable_grad():
        supplies = runs.activations(other_side(side), targets) if patched else rows.supplies(0)
        writes = rows.batch(torch.arange(1), 0, supplies).writes
        before = runs.read(side, [])
        after = runs.read(side, [write.differentiable() for write in writes])
        shift = after - before if side == "corrupt" else before - after
        if not shift.requires_grad:
            raise MethodError(f"{rows.reading.readout} {NO_GRADIENT}")
        found = torch.autograd.grad(shift, list(runs.leaves.values()), allow_unused=True)
    by_side = {
        side: slope[0].double().cpu().numpy()
        for side, slope in zip(runs.leaves, found, strict=True)
        if slope is not None
    }
    nothing: Floats = np.zeros_like(next(iter(by_side.values())))
    return np.stack([by_side.get("clean", nothing), by_side.get("corrupt", nothing)]).ravel()


class _Runs:
    """Runs of one pair whose embeddings are leaves of one graph."""

    def __init__(self, bridge: Any, rows: Rows):
        self.bridge, self.rows = bridge, rows
        self.leaves: dict[Side, torch.Tensor] = {}

    def activations(self, side: Side, targets: Sequence[Target]) -> list[Supply]:
        """What is there at the targets in a run of one side."""
        kept: dict[str, torch.Tensor] = {}

        def keeping(name: str) -> Hook:
            def keep(activation: torch.Tensor, hook: Any) -> None:
                kept[name] = arranged(name, activation).clone()

            return name, keep

        self._logits(side, [keeping(target.hook) for target in targets])
        return [_constantly(kept[target.hook]) for target in targets]

    def read(self, side: Side, hooks: Sequence[Hook]) -> torch.Tensor:
        """The readout, or what stands for it, at the last position."""
        logits = self._logits(side, hooks)[:, -1].double().cpu()
        reading = self.rows.reading
        chosen = logits if reading.vocabulary is None else logits[:, reading.vocabulary]
        return reading.slope(chosen, torch.arange(1)).sum()

    def _logits(self, side: Side, hooks: Sequence[Hook]) -> torch.Tensor:
        def embed(activation: torch.Tensor, hook: Any) -> torch.Tensor:
            if side not in self.leaves:
                self.leaves[side] = activation.detach().clone().requires_grad_()
            return self.leaves[side] * 1.0  # a write may be made in place

        tokens = self.rows.chunk.tokens(side)[:1].to(self.bridge.cfg.device)
        logits: torch.Tensor = self.bridge.run_with_hooks(tokens, fwd_hooks=[(_EMBED, embed), *hooks])
        return logits


def _constantly(value: torch.Tensor) -> Supply:
    return lambda which, activation: value
