"""A transformer that is linear in its words' vectors: what probes and directions find in it can be worked out by hand."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from transformer_lens.model_bridge.sources import build_bridge_from_module

from circuitcheck import Model, load
from circuitcheck.reference_models.planted import blank
from circuitcheck.settings import Settings
from circuitcheck.types import Floats
from tests.tokenizers_for_tests import word_level

WIDTH, HEADS = 16, 2
# The answer's logit over the foil's is what stands in the stream along this, at the last token.
VOTE = np.array([1.0, -1.0] + [0.0] * (WIDTH - 2))


@dataclass(frozen=True)
class Channel:
    """A channel of a head: of each word's vector it reads the component along ``read``, and votes by ``amount`` of it."""

    head: int
    read: Floats
    amount: float


def centred(rows: Floats) -> Floats:
    """Vectors as LayerNorm leaves them alone: of mean 0."""
    found: Floats = rows - rows.mean(-1, keepdims=True)
    return found


def linear_words(vectors: Mapping[str, Floats], channels: Sequence[Channel], settings: Settings | None = None) -> Model:
    """A model that knows these words, "see", "and", "now", "yes" and "no": its heads attend to all tokens alike, so that the
    last token's vote is the sum over the prompt's words of amount * (vector . read) / tokens."""
    tokenizer = word_level("see", "and", "now", "yes", "no", *vectors)
    network = blank(len(tokenizer), WIDTH, layers=1, heads=HEADS, neurons=4)
    attention, size = network.transformer.h[0].attn, WIDTH // HEADS
    used = [0] * HEADS
    with torch.no_grad():
        for word, vector in vectors.items():
            network.transformer.wte.weight[tokenizer.convert_tokens_to_ids(word)] = torch.tensor(vector).float()
        for channel in channels:
            place = channel.head * size + used[channel.head]
            used[channel.head] += 1
            attention.c_attn.weight[:, 2 * WIDTH + place] = torch.tensor(channel.read).float()
            attention.c_proj.weight[place] = torch.tensor(channel.amount * VOTE).float()
        for word, sign in (("yes", 1.0), ("no", -1.0)):
            network.lm_head.weight[tokenizer.convert_tokens_to_ids(word)] = torch.tensor(sign * VOTE / 4).float()
    bridge = build_bridge_from_module(network, "GPT2LMHeadModel", hf_config=network.config, model_name="linear")
    bridge.tokenizer = tokenizer
    return load(bridge, settings=settings)
