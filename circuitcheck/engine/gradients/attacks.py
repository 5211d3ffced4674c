"""Adversarial pictures: iterated FGSM (Goodfellow et al. 2015, Kurakin et al. 2017) and PGD (Madry et al. 2018) on one model."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from circuitcheck.engine.checking.pictures import Sight
from circuitcheck.engine.hooks.writes import quietly
from circuitcheck.engine.on_demand import torch
from circuitcheck.prompts.images.pictures import Asked, Attack, Changed


def attacked(bridge: Any, sight: Sight, pictures: Sequence[Asked], recipe: Attack) -> list[Changed]:
    """The pictures as they are attacked, all in one batch, with whether each one's class is then what it was to be: one of the foils, or no
    answer."""
    clean = torch.from_numpy(np.stack([one.pixels for one in pictures])).to(bridge.cfg.device)
    there = torch.from_numpy(np.stack([recipe.begun(one.pixels) for one in pictures])).to(clean)
    aims = [one.foil if recipe.targeted else one.answer for one in pictures]
    for _ in range(recipe.steps):
        there = there + recipe.step * _uphill(bridge, sight, there, aims, recipe.targeted).sign()
        there = torch.clamp(torch.minimum(torch.maximum(there, clean - recipe.eps), clean + recipe.eps), 0, 1)
    with torch.inference_mode(), quietly():
        best = bridge(sight.normalised(there.to(bridge.cfg.dtype)))[:, 0].argmax(-1).tolist()
    fooled = [(one in aim) == recipe.targeted for one, aim in zip(best, aims, strict=True)]
    return [Changed(*both) for both in zip(there.float().cpu().numpy(), fooled, strict=True)]


def _uphill(
    bridge: Any, sight: Sight, pixels: torch.Tensor, aims: Sequence[Sequence[int]], towards: bool
) -> torch.Tensor:
    """The gradient of the log-probability of the aims together (or of its negative) with the pixels, of their shape."""
    with torch.inference_mode(False), torch.enable_grad(), quietly():
        leaf = pixels.detach().clone().requires_grad_()
        chances = bridge(sight.normalised(leaf.to(bridge.cfg.dtype)))[:, 0].log_softmax(-1)
        total = torch.stack([row[list(aim)].logsumexp(0) for row, aim in zip(chances, aims, strict=True)]).sum()
        [slope] = torch.autograd.grad(total if towards else -total, leaf)
    return slope
