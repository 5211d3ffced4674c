"""Networks that read pictures, as transformers has them."""

from collections.abc import Callable
from typing import Any

from circuitcheck.engine.checking.pictures import Sight
from circuitcheck.engine.on_demand import torch


def is_of_pictures(network: Any) -> bool:
    """Whether a network reads pictures alone."""
    return getattr(network, "main_input_name", "input_ids") == "pixel_values"


def classes_by(sight: Sight) -> Callable[[Any, torch.Tensor], torch.Tensor]:
    """What gives a network's own logits, of shape [row, 1, class], of patches' numbers [row, 1 + patch]."""

    def run(network: Any, ids: torch.Tensor) -> torch.Tensor:
        with torch.inference_mode():
            logits: torch.Tensor = network(pixel_values=sight.read(ids, network.dtype)).logits
        return logits.unsqueeze(1)

    return run
