"""Small random models whose heads share keys and values, and their runs with all heads and MLPs frozen by name: plain
transformers with PyTorch's hooks."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from transformers import (
    Gemma2Config,
    GraniteConfig,
    LlamaConfig,
    MistralConfig,
    Olmo2Config,
    PhiConfig,
    PreTrainedConfig,
    Qwen2Config,
    Qwen3Config,
)

from differential.oracle import Entries, Part, Place, Plain, Put
from differential.places import places

N_LAYERS = 3
_SMALL = {"vocab_size": 850, "num_hidden_layers": N_LAYERS, "intermediate_size": 48, "max_position_embeddings": 64}


def _sized(heads: int, groups: int) -> dict[str, Any]:
    return {**_SMALL, "num_attention_heads": heads, "num_key_value_heads": groups, "hidden_size": 8 * heads}


GROUPED: dict[str, PreTrainedConfig] = {
    "Llama, 6 heads in 3 groups": LlamaConfig(**_sized(6, 3)),
    "Llama, 6 heads in 2 groups": LlamaConfig(**_sized(6, 2)),
    "Mistral, 4 heads in 1 group": MistralConfig(**_sized(4, 1), sliding_window=4),
    "Qwen 2, 4 heads in 2 groups": Qwen2Config(**_sized(4, 2)),
    "Qwen 3, 4 heads in 2 groups": Qwen3Config(**_sized(4, 2), head_dim=8),
    "Gemma 2, 6 heads in 3 groups": Gemma2Config(
        **_sized(6, 3), head_dim=8, sliding_window=4, attn_logit_softcapping=2.0, query_pre_attn_scalar=8
    ),
    "OLMo 2, 4 heads in 2 groups": Olmo2Config(**_sized(4, 2)),
    "Granite, 4 heads in 2 groups": GraniteConfig(**_sized(4, 2), residual_multiplier=0.3, embedding_multiplier=2.0),
    "Phi, 4 heads in 2 groups": PhiConfig(**_sized(4, 2)),
}

# What is at "L1.H2", "L1.MLP", or of a head's or a group's part at "L1.H2.Q", "L1.KV0.K": of shape [prompt, position, width].
Values = Mapping[str, torch.Tensor]


# The names of parts by their kinds.
_NAMES = {"EMBED": "EMBED", "MLP": "L{}.MLP", "H": "L{}.H{}", "Q": "L{}.H{}.Q", "K": "L{}.KV{}.K", "V": "L{}.KV{}.V"}


@dataclass(frozen=True)
class Seen:
    """Runs of prompts of one length: the logits [prompt, token] at the last position, and what its parts gave before anything was put there."""

    logits: torch.Tensor
    values: Values


class PlainTransformer:
    """A model as transformers loads it."""

    def __init__(self, folder: Any):
        self.plain = Plain(folder, torch.float32)
        self.model = self.plain.model
        config = self.model.config
        self.n_heads, self.n_groups = config.num_attention_heads, config.num_key_value_heads
        self.width = getattr(config, "head_dim", None) or config.hidden_size // self.n_heads
        self.heads = [f"L{layer}.H{head}" for layer in range(N_LAYERS) for head in range(self.n_heads)]
        self.mlps = [f"L{layer}.MLP" for layer in range(N_LAYERS)]
        embedding = Entries(Place("model.embed_tokens", "output"))
        self.plain.where = {**places(self.plain), Part(-1, "EMBED"): embedding}
        self._entries = {
            _NAMES[part.kind].format(part.layer, part.index): entries
            for part, entries in self.plain.where.items()
            if part.kind in _NAMES
        }

    def group_of(self, head: int) -> int:
        return head // (self.n_heads // self.n_groups)

    def readers(self, part: str) -> list[str]:
        """The heads that read a part of a head or of a group; none where a component itself is named."""
        component, _, letter = part.rpartition(".")
        if letter == "Q":
            return [component]
        layer = component.partition(".")[0]
        return [f"{layer}.H{head}" for head in range(self.n_heads) if f"{layer}.KV{self.group_of(head)}" == component]

    def normalised_with(self, part: str) -> list[str]:
        """A part, with all that is divided by one normalisation together with it."""
        layer, owner, letter = part.split(".")
        norm = getattr(self.model.model.layers[0].self_attn, f"{letter.lower()}_norm", None)
        count = self.n_heads if letter == "Q" else self.n_groups
        if norm is None or norm.weight.numel() != count * self.width:
            return [part]
        return [f"{layer}.{owner.rstrip('0123456789')}{number}.{letter}" for number in range(count)]

    def run(self, prompts: torch.Tensor, put: Values | None = None) -> Seen:
        """Runs of prompts [prompt, position] with values put at some parts."""
        seen = self.plain.run(prompts, [Put(self._entries[name], value) for name, value in (put or {}).items()])
        return Seen(seen.logits, {name: seen.at(entries) for name, entries in self._entries.items()})
