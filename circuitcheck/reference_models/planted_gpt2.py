"""A GPT-2 of any size, seeded random, with the founding finding planted in it: what its claims must find is known.

    >>> plant = planted_gpt2(tokenizer, vowels=["apple", "olive"], consonants=["lemon", "peach"])
    >>> plant.save("planted-gpt2-large")    # an ordinary Hugging Face folder

Miller & Neo's circuit for "a" and "an", as it might be: one head moves what the last noun is (vowel or consonant, and how
much so) to the token that is being read, where one neuron makes " an" of it; head and unembedding carry the rest directly,
and a second head goes round both. The random weights are those that GPT-2 is initialised with. They neither read nor write
the entries of the stream that the circuit uses, so that the two meet only where a LayerNorm sees both.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from circuitcheck.errors import PromptError
from circuitcheck.reference_models.planted import read, write

if TYPE_CHECKING:
    import torch

# What the stream holds, each in two entries: what a token says of itself; where it stands; what the two heads moved to a
# token; what the neuron has written. The constant is so large that a LayerNorm divides by 1, or nearly.
_EVIDENCE, _NOUN, _RECENT, _CONSTANT, _MOVED, _ROUND, _SAYS_AN = range(7)
_RESERVED = 14
# In how much of an entry a feature of 1 is written: little, beside the constant.
_SIZE = 0.5
# Attention scores: of a noun over another token, and of a token over the one before it, over so many tokens.
_OF_A_NOUN, _OF_A_STEP, _STEPS = 60.0, 2.0, 64
# The neuron's input for a vote of 1: GPT-2's activation is there as good as linear, and for a vote of -1 as good as 0.
_OPEN = 8.0


@dataclass(frozen=True)
class Blueprint:
    """Sizes of the network, where the circuit lies in it as (layer, index), and what it carries.

    ``neuron_share``: what patching the neuron restores of the gap; ``mover_share``: what patching the head does that it
    reads, its own way through the neuron included; the head ``bypass`` restores the rest. ``gap``: in logits, on average.
    """

    layers: int
    width: int
    heads: int
    neuron: tuple[int, int]
    mover: tuple[int, int]
    bypass: tuple[int, int]
    neuron_share: float = 0.45
    mover_share: float = 0.75
    gap: float = 4.0


GPT2_LARGE = Blueprint(layers=36, width=1280, heads=20, neuron=(31, 892), mover=(26, 1), bypass=(18, 13))


@dataclass(frozen=True)
class PlantedGPT2:
    """What ``planted_gpt2`` makes. ``votes``: of each noun's token, for " an" (positive) or " a".

    The numbers of a pair are in logits: what patching the clean run's part into the corrupted run restores.
    """

    network: Any
    tokenizer: Any
    blueprint: Blueprint
    votes: dict[int, float]

    def by_neuron(self, clean: int, corrupt: int) -> float:
        """What the neuron restores, where these are the nouns' tokens: it is silent for the corrupted one."""
        return self.blueprint.gap * self.blueprint.neuron_share * self.votes[clean]

    def by_mover(self, clean: int, corrupt: int) -> float:
        """What the head restores, by the neuron and directly."""
        plan = self.blueprint
        return self.by_neuron(clean, corrupt) + (plan.mover_share - plan.neuron_share) * self._apart(clean, corrupt)

    def by_all(self, clean: int, corrupt: int) -> float:
        """The gap."""
        plan = self.blueprint
        return self.by_mover(clean, corrupt) + (1 - plan.mover_share) * self._apart(clean, corrupt)

    def _apart(self, clean: int, corrupt: int) -> float:
        return self.blueprint.gap * (self.votes[clean] - self.votes[corrupt]) / 2

    def save(self, folder: str | Path) -> None:
        """Write a Hugging Face folder: config.json, safetensors, tokenizer."""
        self.network.save_pretrained(folder)
        self.tokenizer.save_pretrained(folder)


def planted_gpt2(
    tokenizer: Any,
    vowels: Sequence[str],
    consonants: Sequence[str],
    blueprint: Blueprint = GPT2_LARGE,
    seed: int = 0,
) -> PlantedGPT2:
    """A network of GPT-2's architecture that follows a blueprint.

        planted_gpt2(GPT2TokenizerFast.from_pretrained("gpt2"), ["apple", "olive"], ["lemon", "peach"])

    ``vowels`` and ``consonants`` are nouns that are one token behind a space; on average over either side a noun's vote is
    1, for " an" or for " a", so that over all couples of them the ratio of means is the blueprint's share. Raises
    ``PromptError`` for a word that is several tokens.
    """
    import torch

    votes = _votes(tokenizer, vowels, consonants, np.random.default_rng(seed))
    network = _random(len(tokenizer), int(tokenizer.bos_token_id), blueprint, seed)
    an, a = (_token(tokenizer, word) for word in ("an", "a"))
    with torch.no_grad():
        _reserve(network)
        _embed(network, votes, blueprint.width)
        for (layer, head), written in ((blueprint.mover, _MOVED), (blueprint.bypass, _ROUND)):
            _plant_head(network.transformer.h[layer].attn, head, blueprint, written)
        _plant_neuron(network.transformer.h[blueprint.neuron[0]].mlp, blueprint.neuron[1])
        _unembed(network.transformer.wte.weight, an, a, blueprint)
    return PlantedGPT2(network, tokenizer, blueprint, votes)


def _votes(
    tokenizer: Any, vowels: Sequence[str], consonants: Sequence[str], random: np.random.Generator
) -> dict[int, float]:
    votes: dict[int, float] = {}
    for sign, nouns in ((1, vowels), (-1, consonants)):
        drawn = random.uniform(0.8, 1.2, len(nouns))
        votes |= {_token(tokenizer, noun): sign * vote for noun, vote in zip(nouns, drawn / drawn.mean(), strict=True)}
    return votes


def _token(tokenizer: Any, word: str) -> int:
    found = tokenizer(f" {word}", add_special_tokens=False)["input_ids"]
    if len(found) != 1:
        raise PromptError(f"' {word}' is {len(found)} tokens; the circuit is planted on words that are one")
    return int(found[0])


def _random(vocabulary: int, end: int, blueprint: Blueprint, seed: int) -> Any:
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel

    config = GPT2Config(
        vocab_size=vocabulary,
        n_embd=blueprint.width,
        n_layer=blueprint.layers,
        n_head=blueprint.heads,
        bos_token_id=end,
        eos_token_id=end,
        architectures=["GPT2LMHeadModel"],
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return GPT2LMHeadModel(config).eval()


def _reserve(network: Any) -> None:
    """Clear the circuit's entries of the stream of all that is random."""
    for embedding in (network.transformer.wte, network.transformer.wpe):
        embedding.weight[:, :_RESERVED] = 0
    for block in network.transformer.h:
        for reader in (block.attn.c_attn, block.mlp.c_fc):
            reader.weight[:_RESERVED] = 0
        for writer in (block.attn.c_proj, block.mlp.c_proj):
            writer.weight[:, :_RESERVED] = 0


def _embed(network: Any, votes: dict[int, float], width: int) -> None:
    """What a token says of itself and where it stands."""
    for token, vote in votes.items():
        write(network.transformer.wte.weight[token], _EVIDENCE, _SIZE * vote)
        write(network.transformer.wte.weight[token], _NOUN, _SIZE)
    for place, position in enumerate(network.transformer.wpe.weight):
        write(position, _CONSTANT, (width / 2) ** 0.5)
        write(position, _RECENT, _SIZE * min(place / _STEPS, 1))


def _plant_head(attention: Any, head: int, blueprint: Blueprint, written: int) -> None:
    """Attend from any token to the last noun, and write its vote."""
    width, d_head = blueprint.width, blueprint.width // blueprint.heads
    first = head * d_head
    query, key, value = (attention.c_attn.weight[:, part * width + first :][:, :d_head] for part in range(3))
    for weights in (query, key, value):
        weights.zero_()
    attention.c_proj.weight[first : first + d_head] = 0
    for channel, (feature, score) in enumerate(((_NOUN, _OF_A_NOUN), (_RECENT, _OF_A_STEP * _STEPS))):
        read(query[:, channel], _CONSTANT, d_head**0.5 * score / (width / 2) ** 0.5)
        read(key[:, channel], feature, 1 / _SIZE)
    read(value[:, 0], _EVIDENCE, 1 / _SIZE)
    write(attention.c_proj.weight[first], written, _SIZE)


def _plant_neuron(mlp: Any, neuron: int) -> None:
    """Say " an" as much as the head has moved a vote for it."""
    mlp.c_fc.weight[:, neuron] = 0
    mlp.c_proj.weight[neuron] = 0
    read(mlp.c_fc.weight[:, neuron], _MOVED, _OPEN / _SIZE)
    write(mlp.c_proj.weight[neuron], _SAYS_AN, _SIZE / _OPEN)


def _unembed(tokens: "torch.Tensor", an: int, a: int, blueprint: Blueprint) -> None:
    """The neuron speaks for " an"; the heads directly for " an" and against " a", or the other way round."""
    gap, neuron, mover = blueprint.gap / _SIZE, blueprint.neuron_share, blueprint.mover_share
    read(tokens[an], _SAYS_AN, gap * neuron)
    for feature, share in ((_MOVED, mover - neuron), (_ROUND, 1 - mover)):
        read(tokens[an], feature, gap * share / 4)
        read(tokens[a], feature, -gap * share / 4)
