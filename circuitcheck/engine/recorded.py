"""Activations of the base runs, for those who only look."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch

from circuitcheck.engine.chunks import Chunk
from circuitcheck.engine.hooks.hookpoints import Target
from circuitcheck.engine.trust import Trust
from circuitcheck.prompts.pairs import Side

if TYPE_CHECKING:
    from circuitcheck.types import Floats


def at_last_token(trust: Trust, chunk: Chunk, side: Side, read: Sequence[Target]) -> "Floats":
    """What is at one target, at the last of its tokens, in each pair of a chunk; of shape [pair, width]."""
    [target] = read
    trust.check_recorded(chunk, side, target)
    there = trust.runner.activation(chunk, side, target.layer, target.kind, 0)
    last = chunk.length - 1 - chunk.mask(target.position).flip(1).int().argmax(1)
    at_last = there[torch.arange(len(there)), last.to(there.device)]
    chosen = at_last if target.components is None else at_last[:, list(target.components)]
    numbers: Floats = chosen.flatten(1).double().cpu().numpy()
    return numbers
