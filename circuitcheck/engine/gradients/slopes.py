"""How an intervention's shift changes with the embeddings of the prompts' tokens: one backward pass.

Whole hooked runs with all activations, as a first-order guide to what to run next: nothing that is reported rests on it.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from circuitcheck.addresses.sites import Site
from circuitcheck.engine.answers import Answers
from circuitcheck.engine.chunks import Chunk
from circuitcheck.engine.gradients.runs import EMBEDDING, logits_of, slope_of
from circuitcheck.engine.hooks.hookpoints import Target, arranged, targets
from circuitcheck.engine.hooks.interventions import Rows, Supply
from circuitcheck.engine.hooks.writes import Hook
from circuitcheck.engine.making import Writing
from circuitcheck.engine.on_demand import torch
from circuitcheck.engine.readouts.functions import NO_GRADIENT
from circuitcheck.engine.readouts.named import Readout
from circuitcheck.errors import MethodError
from circuitcheck.prompts.aligned_pairs import AlignedPair
from circuitcheck.prompts.pairs import Side, other_side, sides
from circuitcheck.sampling.samples import Sample

if TYPE_CHECKING:
    from circuitcheck.types import Floats


def slopes_of(
    answers: Answers, pair: AlignedPair, sites: Sequence[Site], writing: Writing, readout: Readout
) -> "dict[Side, Floats]":
    """How what is shifted in a pair changes with each token's embedding, of shape [position, d_model]."""
    if any(site.traits.host for site in sites):
        raise MethodError(
            "an adversary with gradients takes components, not features: search these against('coordinate')"
        )
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
    by_token = found.reshape(len(pair.clean) + len(pair.corrupt), -1)
    both: dict[Side, Floats] = {"clean": by_token[: len(pair.clean)], "corrupt": by_token[len(pair.clean) :]}
    return {side: slope for side, slope in both.items() if slope.any()}


def _slopes(bridge: Any, rows: Rows, patched: bool) -> "Floats":
    """The derivative of one pair's shift, of shape [position of the clean and then of the corrupted prompt, d_model], flat.
    ``patched``: the values come from the other side's run, and change with its tokens; otherwise only one side has a say."""
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
    width = next(iter(by_side.values())).shape[1]
    nothing: dict[Side, Floats] = {one: np.zeros((rows.chunk.length_of(one), width)) for one in sides("both")}
    return np.concatenate([by_side.get(one, nothing[one]).ravel() for one in sides("both")])


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
        return [_constantly(self._brought(kept[target.hook], target)) for target in targets]

    def _brought(self, there: torch.Tensor, target: Target) -> torch.Tensor:
        """What is there in the other run, at the tokens that correspond to those of the run that is written into."""
        chunk, into = self.rows.chunk, self.rows.intervention.side
        if chunk.is_aligned:
            return there
        return there[:, chunk.counterparts(target.position, into)[0].clamp(min=0)]

    def read(self, side: Side, hooks: Sequence[Hook]) -> torch.Tensor:
        """The readout, or what stands for it, at the last position."""
        return slope_of(self._logits(side, hooks), self.rows.reading, torch.arange(1)).sum()

    def _logits(self, side: Side, hooks: Sequence[Hook]) -> torch.Tensor:
        def embed(activation: torch.Tensor, hook: Any) -> torch.Tensor:
            if side not in self.leaves:
                self.leaves[side] = activation.detach().clone().requires_grad_()
            return self.leaves[side] * 1.0  # a write may be made in place

        return logits_of(self.bridge, self.rows.chunk.tokens(side)[:1], [(EMBEDDING, embed), *hooks])


def _constantly(value: torch.Tensor) -> Supply:
    return lambda which, activation: value
