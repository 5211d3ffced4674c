"""Whether the wrapped model says what the untouched one says: TransformerLens computes attention of many architectures itself.

untouched = Untouched(network)                        # before TransformerLens wraps the network
bridge = ...boot_transformers(hf_model=network)
untouched.expected(bridge).compare(bridge, "llama")   # raises ModelError, with both logits, where they differ
"""

from collections.abc import Sequence
from copy import deepcopy
from typing import TYPE_CHECKING, Any

from circuitcheck.engine.real_text import real_tokens
from circuitcheck.errors import ModelError

if TYPE_CHECKING:
    import torch

# Lengths at which runs are compared, in tokens; and the longest at which a limit of the configuration is stepped over.
_LENGTHS = (6, 40)
_LONGEST = 160
_MOST = ("max_position_embeddings", "n_positions", "n_ctx")
_LIMITS = ("original_max_position_embeddings", "sliding_window", "attention_chunk_size", "local_attention")
# By how much more than its own attentions differ from each other the wrapped model may differ: and, as a share of the largest
# logit, by how much it may in any case.
_MORE = 4
_FLOOR = {8: 1e-8, 4: 1e-4, 2: 2e-2}
_FOLDED = 10  # folding sums weights otherwise


class Expected:
    """What a model says of some texts: tokens, its logits for them, and by how much its own ways of attention differ there."""

    def __init__(self, runs: "Sequence[tuple[torch.Tensor, torch.Tensor, float]]"):
        self._runs = runs

    @staticmethod
    def of_bridge(bridge: Any) -> "Expected":
        """Of a bridge as it is."""
        tokens = [_text(bridge, length) for length in _LENGTHS if length <= int(bridge.cfg.n_ctx)]
        return Expected([(some, logits, 0.0) for some, logits in zip(tokens, _logits(bridge, tokens), strict=True)])

    def compare(self, bridge: Any, name: str, folded: bool = False) -> None:
        """See that a bridge says the same; where its weights are ``folded``, in log-probabilities."""
        import torch

        for tokens, wanted, own in self._runs:
            [found] = _logits(bridge, [tokens])
            if folded:
                found, wanted = found.log_softmax(-1), wanted.log_softmax(-1)
            size = max(1.0, float(wanted.nan_to_num().abs().max()))
            reach = max(_MORE * own, _FLOOR[wanted.dtype.itemsize] * size) * (_FOLDED if folded else 1)
            same = found.shape == wanted.shape
            if not same or not torch.allclose(found.double(), wanted.double(), rtol=0, atol=reach, equal_nan=True):
                raise ModelError(_differs(name, tokens, wanted, found, reach, folded))


class Untouched:
    """A network as it was loaded: its modules copied, its weights shared."""

    def __init__(self, network: Any):
        shared = {id(weight): weight for weight in network.parameters()}
        self._network = deepcopy(network, shared).eval()

    def expected(self, bridge: Any) -> Expected:
        """What it says of texts in a bridge's vocabulary, by its own attention."""
        tokens = [_text(bridge, length) for length in self._lengths()]
        wanted = _logits(self._network, tokens)
        config = getattr(self._network, "config", None)
        if getattr(config, "_attn_implementation", "eager") != "eager":
            self._network.set_attn_implementation("eager")
        eager = _logits(self._network, tokens)
        own = [float((one - other).nan_to_num().abs().max()) for one, other in zip(wanted, eager, strict=True)]
        return Expected(list(zip(tokens, wanted, own, strict=True)))

    def _lengths(self) -> list[int]:
        """Those at which a configuration's limits make no difference, and those just beyond a limit."""
        config = getattr(self._network, "config", None) or self._network.cfg
        config = config.get_text_config(decoder=True) if hasattr(config, "get_text_config") else config
        ropes = [getattr(config, "rope_parameters", None), getattr(config, "rope_scaling", None)]
        limits = [getattr(config, name, None) for name in _LIMITS]
        limits += [rope.get(name) for rope in ropes if isinstance(rope, dict) for name in _LIMITS]
        beyond = {limit + 2 for limit in limits if isinstance(limit, int) and 0 < limit < _LONGEST}
        most = next((n for name in _MOST if (n := getattr(config, name, None))), _LONGEST)
        return sorted({min(length, most) for length in (*_LENGTHS, *beyond)})


def _text(bridge: Any, length: int) -> "torch.Tensor":
    return real_tokens(bridge.tokenizer, int(bridge.cfg.d_vocab), length).to(bridge.cfg.device)


def _logits(network: Any, texts: "Sequence[torch.Tensor]") -> "list[torch.Tensor]":
    import torch

    with torch.inference_mode():
        found = [network(some) for some in texts]
    return [getattr(one, "logits", one) for one in found]


def _differs(
    name: str, tokens: "torch.Tensor", wanted: "torch.Tensor", found: "torch.Tensor", reach: float, folded: bool
) -> str:
    """Both numbers, where they differ most."""
    if found.shape != wanted.shape:
        return (
            f"{name} gives logits of shape {tuple(wanted.shape)}, and TransformerLens' model of it {tuple(found.shape)}"
        )
    difference = (found.double() - wanted.double()).abs().nan_to_num(float("inf"))
    worst = int(difference.argmax())
    both = f"{float(wanted.flatten()[worst]):.4g} and {float(found.flatten()[worst]):.4g}"
    what = "log-probabilities" if folded else "logits"
    said = f"on {tokens.shape[1]} tokens of text they differ by up to {float(difference.max()):.2g} ({both}; rounding allows {reach:.1g})"
    if folded:
        advice = 'load it with weights="raw" (--circuit-weights=raw)'
        return f"folding and centring the weights of {name} changed its {what}: {said}; {advice}"
    return (
        f"{name} cannot be measured: TransformerLens' model of it gives other {what} than transformers' own: {said}. "
        "TransformerLens computes something of this configuration otherwise; numbers of it would be another model's"
    )
