"""What components write into the stream."""

from typing import Any

from circuitcheck.addresses.sites import Site
from circuitcheck.engine.on_demand import torch


def written_by(block: Any, site: Site, change: torch.Tensor) -> torch.Tensor:
    """What a change in a component's activation, of the shape of its hook point's [row, position, ...], makes of what it writes; of
    shape [row, position, d_model]. What has no weights of its own (an MLP's output) writes its activation."""
    if site.traits.weights is None:
        return change
    module, _, weights = site.traits.weights
    own = getattr(getattr(block, module), weights)[site.index].detach().to(change)  # of shape [its width, d_model]
    part = change[:, :, site.index]
    written: torch.Tensor = part @ own if site.traits.width == "head" else part[..., None] * own
    return written * getattr(block, "residual_contribution_scale", 1.0)  # Granite's multiplier
