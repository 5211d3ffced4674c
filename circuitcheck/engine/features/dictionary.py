"""A dictionary: a sparse autoencoder of what is at one place of a model, or a transcoder of an MLP.

features = dictionary.encode(read)                # [..., feature], of what is read [..., width]
explained = dictionary.decode(features, read)     # [..., width]: what they make up together, with the bias

Whatever the kind, it is an encoder (a matrix, a bias, a rule by which features are active) and a decoder (a matrix, a bias). What is
read may be normalised token by token before; an autoencoder then scales what it writes back.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

from circuitcheck.engine.on_demand import torch

Rule = Literal["relu", "topk", "jumprelu", "gated"]
Normalisation = Literal["none", "layer_norm", "constant_norm_rescale"]
# What SAELens adds to a standard deviation.
_EPS = 1e-5


@dataclass(frozen=True, eq=False)
class Dictionary:
    """A dictionary, ``digest`` the hash of all that it is made of.

    ``encoder`` [width read, feature] and ``bias`` [feature], ``decoder`` [feature, width written] and ``offset`` [width written]: a
    decoder's bias that is taken from what is read is in ``bias`` already. Features are active by ``rule``: "relu"; "topk", the ``k``
    largest; "jumprelu", those above their ``threshold`` [feature]; "gated", by ``bias`` alone, as large as their ``magnitudes`` (a factor
    and a bias, each [feature]) say. ``skip`` [width written, width read]: what a transcoder hands on as it is. ``is_transcoder``: it
    reads an MLP's input and writes its output. ``centres``: its encoder reads what is there less its mean. ``input_weights``: a norm's
    weight and bias, which are taken out of what is read.
    """

    name: str
    digest: str
    rule: Rule
    encoder: torch.Tensor = field(repr=False)
    bias: torch.Tensor = field(repr=False)
    decoder: torch.Tensor = field(repr=False)
    offset: torch.Tensor = field(repr=False)
    k: int = 0
    threshold: torch.Tensor | None = field(default=None, repr=False)
    magnitudes: tuple[torch.Tensor, torch.Tensor] | None = field(default=None, repr=False)
    skip: torch.Tensor | None = field(default=None, repr=False)
    is_transcoder: bool = False
    normalisation: Normalisation = "none"
    centres: bool = False
    input_weights: tuple[torch.Tensor, torch.Tensor] | None = field(default=None, repr=False)

    @property
    def n_features(self) -> int:
        return int(self.encoder.shape[1])

    def encode(self, read: torch.Tensor, chosen: Sequence[int] | None = None) -> torch.Tensor:
        """The activations of the features, or of the ``chosen`` ones alone, of shape [..., feature], of what is read [..., width]."""
        if chosen is not None and (self.rule == "topk" or self._are_most(chosen)):
            return self.encode(read)[..., list(chosen)]  # which are the largest depends on all of them
        inputs = self._normalised(self._prepared(read))
        if self.rule == "topk":
            return largest(inputs @ self.encoder + self.bias, self.k)
        columns: Callable[[torch.Tensor], torch.Tensor] = _all if chosen is None else _columns(chosen)
        before = inputs @ columns(self.encoder) + columns(self.bias)
        if self.magnitudes is not None:
            factor, bias = (columns(one) for one in self.magnitudes)
            sizes = (before - columns(self.bias)) * factor + bias
            return sizes.relu() * (before > 0)
        if self.threshold is not None:
            return before.relu() * (before > columns(self.threshold))
        return before.relu()

    def decode(self, features: torch.Tensor, read: torch.Tensor) -> torch.Tensor:
        """What all features [..., feature] make up together where that is read, of shape [..., width written]."""
        made = (features @ self.decoder + self.offset) * self.scale(read)
        if self.skip is not None:
            return made + self._prepared(read) @ self.skip.T
        if self.normalisation == "layer_norm" and not self.is_transcoder:
            return made + self._prepared(read).mean(-1, keepdim=True)
        return made

    def written(
        self, difference: torch.Tensor, read: torch.Tensor, chosen: Sequence[int] | None = None
    ) -> torch.Tensor:
        """What a difference in features (the ``chosen`` ones) [..., feature] writes where that is read."""
        if chosen is not None and self._are_most(chosen):
            every = difference.new_zeros(*difference.shape[:-1], self.n_features)
            every[..., list(chosen)] = difference
            difference, chosen = every, None
        rows = self.decoder if chosen is None else self.decoder[list(chosen)]
        return (difference @ rows) * self.scale(read)

    def _are_most(self, chosen: Sequence[int]) -> bool:
        """Whether so many features are chosen that their weights are not to be copied: a dictionary is there once."""
        return 4 * len(chosen) > self.n_features

    def scale(self, read: torch.Tensor) -> torch.Tensor | float:
        """What all that is written is multiplied by, of shape [..., 1]: what normalising has divided by."""
        if self.is_transcoder or self.normalisation == "none":
            return 1.0
        inputs = self._prepared(read)
        if self.normalisation == "layer_norm":
            return inputs.std(-1, keepdim=True)
        size: torch.Tensor = inputs.norm(dim=-1, keepdim=True) / inputs.shape[-1] ** 0.5
        return size

    def _prepared(self, read: torch.Tensor) -> torch.Tensor:
        """What is read in the form that the dictionary was trained on."""
        inputs = read.to(self.encoder)
        if self.input_weights is not None:
            weight, bias = self.input_weights
            inputs = (inputs - bias) / weight
        return inputs - inputs.mean(-1, keepdim=True) if self.centres else inputs

    def _normalised(self, inputs: torch.Tensor) -> torch.Tensor:
        if self.normalisation == "layer_norm":
            centred = inputs - inputs.mean(-1, keepdim=True)
            return centred / (centred.std(-1, keepdim=True) + _EPS)
        if self.normalisation == "constant_norm_rescale":
            factor: torch.Tensor = inputs.shape[-1] ** 0.5 / inputs.norm(dim=-1, keepdim=True)
            return inputs * factor
        return inputs


def largest(before: torch.Tensor, k: int) -> torch.Tensor:
    """All but the ``k`` largest at 0, and these where they are positive."""
    values, places = before.topk(k, dim=-1, sorted=False)
    return torch.zeros_like(before).scatter(-1, places, values.relu())


def _all(tensor: torch.Tensor) -> torch.Tensor:
    return tensor


def _columns(chosen: Sequence[int]) -> Callable[[torch.Tensor], torch.Tensor]:
    return lambda tensor: tensor[..., list(chosen)]
