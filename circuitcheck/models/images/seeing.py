"""Bridges of models that read pictures: what runs them gives patches' numbers, as it gives others tokens."""

import json
from pathlib import Path
from typing import Any

import torch
from transformer_lens.model_bridge import TransformerBridge

from circuitcheck.engine.checking.pictures import Colours, Sight
from circuitcheck.errors import ModelError
from circuitcheck.prompts.images.patches import Grid

_PROCESSOR = "preprocessor_config.json"


class SeeingBridge(TransformerBridge):  # type: ignore[misc]
    """A bridge that reads patches' numbers [row, 1 + patch], or normalised pixels; its logits, of shape [row, 1, class], are those of the one
    prediction that there is."""

    sight: Sight

    @property
    def W_U(self) -> torch.Tensor:  # noqa: N802
        """The head's weights as those of an unembedding, of shape [d_model, class]."""
        weight: torch.Tensor = self.unembed.original_component.weight
        return weight.T

    @property
    def b_U(self) -> torch.Tensor:  # noqa: N802
        """Its biases, of shape [class]."""
        bias: torch.Tensor = self.unembed.original_component.bias
        return bias

    def forward(self, tokens: torch.Tensor, *given: Any, **named: Any) -> Any:
        """A run of the network."""
        pixels = tokens if tokens.is_floating_point() else self.sight.read(tokens, self.cfg.dtype)
        return super().forward(pixels, *given, **named).unsqueeze(1)


def seeing(bridge: Any, sight: Sight) -> Any:
    """The bridge, which now reads patches' numbers."""
    bridge.__class__ = SeeingBridge
    bridge.sight = sight
    bridge.tokenizer = None
    # TransformerLens has no names for these of pictures.
    bridge.cfg.n_ctx, bridge.cfg.d_vocab = sight.grid.length, len(sight.classes)
    return bridge


def sight_of(folder: Path, network: Any) -> Sight:
    """How a folder's network reads pictures. Raises ``ModelError`` where the folder does not say, and for networks without classes."""
    config = network.config
    if not hasattr(network, "classifier") or not config.num_labels > 1:
        raise ModelError(
            f"{folder} is a {type(network).__name__}, which has no head of classes, and claims about pictures are about these"
        )
    if config.model_type != "vit":
        raise ModelError(
            f"{folder} is a {type(network).__name__}: of models that read pictures ViTForImageClassification can be asked, which has one class token in "
            "front of its patches and nothing else"
        )
    height, width = _both(config.image_size)
    patch, other = _both(config.patch_size)
    if patch != other or height % patch or width % patch:
        raise ModelError(
            f"{folder} cuts pictures of {height} x {width} pixels into patches of {patch} x {other}, and only squares that fit can be addressed"
        )
    classes = tuple(str(config.id2label[number]) for number in range(config.num_labels))
    if len(set(classes)) < len(classes):
        raise ModelError(f"{folder} has several classes of one name: config.json must tell them apart (id2label)")
    return Sight(Grid(height, width, patch), *_normalisation(folder), classes)


def _normalisation(folder: Path) -> tuple[Colours, Colours]:
    """By which mean and standard deviation pixels in [0, 1] are normalised."""
    try:
        said = json.loads((folder / _PROCESSOR).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(
            f"{folder} does not say how pixels are normalised: {_PROCESSOR} is missing, or no JSON"
        ) from error
    scale = 255 * float(said.get("rescale_factor", 1 / 255)) if said.get("do_rescale", True) else 255.0
    mean, std = (said.get(name) for name in ("image_mean", "image_std"))
    if not said.get("do_normalize", True):
        mean, std = [0.0] * 3, [1.0] * 3
    if not all(isinstance(one, list) and len(one) == 3 for one in (mean, std)):
        raise ModelError(f"{folder / _PROCESSOR} has no image_mean and image_std of three colours")
    red, green, blue = (float(one) / scale for one in mean)
    wide = tuple(float(one) / scale for one in std)
    return (red, green, blue), (wide[0], wide[1], wide[2])


def _both(size: Any) -> tuple[int, int]:
    """A height and a width, of a number that is both, or of two."""
    return (int(size), int(size)) if isinstance(size, int) else (int(size[0]), int(size[1]))
