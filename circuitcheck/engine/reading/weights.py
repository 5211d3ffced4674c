"""What neurons write and tokens are read by: weights, in TransformerLens' orientation."""

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from circuitcheck.addresses.sites import Site
from circuitcheck.engine.on_demand import torch
from circuitcheck.errors import MethodError

if TYPE_CHECKING:
    from circuitcheck.types import Floats

Against = Literal["unembedding", "embedding"]
# What folding and centring in single precision may do to a dot product, as a share of the two vectors' lengths.
_ROUNDING = 1e-6
# Tokens whose vectors are in double precision at once.
_TOKENS = 4096


class WrittenWeights:
    """A model's weights, in TransformerLens' orientation. Raises ``MethodError`` where they cannot be read."""

    def __init__(self, bridge: Any, against: Against):
        self._bridge, self._against = bridge, against

    def product(self, neuron: Site, token: int) -> tuple[float, float]:
        """The dot product of a neuron's output weights with a token's vector, and by how much rounding puts it in doubt."""
        ours, theirs = self.output(neuron), self.token(token)
        return float(ours @ theirs), float(_ROUNDING * ours.norm() * theirs.norm())

    def of_neurons(self, token: int, layers: Sequence[int]) -> "tuple[Floats, Floats]":
        """Every neuron's dot product with a token, and its doubt; both of shape [neuron of those layers]."""
        return self.neurons_along(self.token(token), layers)

    def of_tokens(self, neuron: Site) -> "tuple[Floats, Floats]":
        """Every token's dot product with a neuron, and its doubt; both of shape [token]."""
        return self.tokens_along(self.output(neuron))

    def neurons_along(self, vector: torch.Tensor, layers: Sequence[int]) -> "tuple[Floats, Floats]":
        """What the neurons of some layers write along a vector of the stream, and its doubt; both of shape [neuron]."""
        return _along(vector, (self.outputs(layer) for layer in layers))

    def tokens_along(self, vector: torch.Tensor) -> "tuple[Floats, Floats]":
        """The dot product of each token's vector with one of the stream, and its doubt; both of shape [token]."""
        return _along(vector, torch.split(self.tokens, _TOKENS))

    @property
    def tokens(self) -> torch.Tensor:
        """What each token is read by, or written with; of shape [token, d_model]."""
        if self._against == "embedding":
            return readable("the embedding", lambda: self._bridge.W_E)
        return readable("the unembedding", lambda: self._bridge.W_U.T)

    def token(self, token: int) -> torch.Tensor:
        """One token's vector, of shape [d_model]."""
        return self.tokens[token].double()

    def outputs(self, layer: int) -> torch.Tensor:
        """What the neurons of a layer write, of shape [neuron, d_model]."""
        return readable(f"the output weights of L{layer}.MLP", lambda: self._bridge.blocks[layer].mlp.W_out)

    def output(self, neuron: Site) -> torch.Tensor:
        """What one neuron writes, of shape [d_model]."""
        return self.outputs(neuron.layer)[neuron.index].double()

    def inputs(self, neuron: Site) -> dict[str, torch.Tensor]:
        """What a neuron reads the stream with, each of shape [d_model]: "input", or of a gated MLP "gate" and "up"."""
        mlp = self._bridge.blocks[neuron.layer].mlp
        gated = getattr(mlp, "W_gate", None) is not None
        names = {"gate": "W_gate", "up": "W_in"} if gated else {"input": "W_in"}
        what = f"the input weights of L{neuron.layer}.MLP"
        return {
            name: readable(what, partial(getattr, mlp, weights))[:, neuron.index].double()
            for name, weights in names.items()
        }

    def mean_squared_input(self, neuron: Site) -> float:
        """The mean of the squares of what a neuron reads the stream with."""
        inputs = self.inputs(neuron)
        if "input" not in inputs:
            raise MethodError(
                f"the input-scaled form takes a neuron with one vector of input weights, and {neuron} has two: its MLP is gated"
            )
        return float(inputs["input"].square().mean())


def _along(vector: torch.Tensor, blocks: Iterable[torch.Tensor]) -> "tuple[Floats, Floats]":
    """The dot product of each row of some blocks with a vector, in double precision, and by how much rounding puts it in doubt."""
    found = []
    for block in blocks:
        rows = block.double()
        found.append(torch.stack([rows @ vector, _ROUNDING * rows.norm(dim=1) * vector.norm()]))
    values, doubts = torch.cat(found, dim=1).cpu().numpy()
    return values, doubts


def readable(what: str, read: Callable[[], torch.Tensor]) -> torch.Tensor:
    """Weights as they are; raises ``MethodError`` where a model does not show them."""
    try:
        return read().detach()
    except (AttributeError, RuntimeError, NotImplementedError, TypeError, ValueError) as error:
        raise MethodError(f"{what} cannot be read in this model: {error}") from error
