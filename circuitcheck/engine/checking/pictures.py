"""How a model reads pictures: batches of patches' numbers become pixels, normalised as its own image processor does it."""

from dataclasses import dataclass, field

import numpy as np

from circuitcheck.engine.on_demand import torch
from circuitcheck.prompts.images.patches import CLS, Grid, Pixels

Colours = tuple[float, float, float]


@dataclass(frozen=True)
class Sight:
    """The ``grid`` of a model's pictures, and the ``mean`` and ``std`` by which pixels in [0, 1] are normalised; ``classes``: the names of its
    head's classes, in order."""

    grid: Grid
    mean: Colours
    std: Colours
    classes: tuple[str, ...]
    _kept: list[tuple[Pixels, ...]] = field(default_factory=list, compare=False, repr=False)

    def normalised(self, pixels: torch.Tensor) -> torch.Tensor:
        """Pixels [row, height, width, colour] as the network reads them, [row, colour, height, width]."""
        mean, std = (torch.tensor(one, dtype=pixels.dtype, device=pixels.device) for one in (self.mean, self.std))
        return ((pixels - mean) / std).permute(0, 3, 1, 2)

    def read(self, ids: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
        """The same of patches' numbers, of shape [row, 1 + patch], on their device."""
        pixels = torch.from_numpy(self.grid.joined(ids.tolist())).to(ids.device, dtype)
        return self.normalised(pixels)

    def some(self) -> torch.Tensor:
        """A picture of noise in numbers, of shape [1, 1 + patch], always the same: what runs are compared on."""
        noise = np.random.default_rng(0).uniform(size=(self.grid.height, self.grid.width, 3))
        ids, patches = self.grid.cut(noise.astype(np.float32))
        if not self._kept:
            self._kept.append(patches)
        return torch.tensor([(CLS, *ids)])
