"""Planted transformers: ground truth that no measurement had a part in.

    >>> plant = planted(share=0.5, noise="skewed", scatter=0.3)
    >>> plant.share, plant.model.on(plant.pairs).patch(plant.neuron).measure().estimate
    (0.5, 0.5)

A GPT-2 of two layers whose weights are set by hand. Every noun has a vote for the answer against the foil; of that vote
one MLP neuron carries a share, a head moves the rest to the last token. What patching the neuron restores in each pair
follows from the nouns' numbers.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from circuitcheck.prompts.prompt_pairs import PromptPairs

if TYPE_CHECKING:
    import torch

    from circuitcheck.model import Model
    from circuitcheck.settings import Settings
    from circuitcheck.types import Floats

Noise = Literal["normal", "skewed", "heavy-tailed", "catastrophe"]
# Of mean 0 and, but for the heavy tails, scatter 1.
_DRAWS: "dict[Noise, Callable[[np.random.Generator, int], Floats]]" = {
    "normal": lambda random, n: random.normal(0, 1, n),
    "skewed": lambda random, n: random.exponential(1, n) - 1,
    "heavy-tailed": lambda random, n: random.standard_t(2, n),
    "catastrophe": lambda random, n: random.normal(0, 1, n),
}
_CATASTROPHE = -1.8
_GAP = 4.0
_WITHIN_CLUSTER = 1 / 3
# Tokens; nouns follow, clean ones first.
_ANSWER, _FOIL, _FRAME, _END, _FIRST_NOUN = range(5)
# What the stream holds: the vote on the answer (the last token's is read out), what the neurons read of a noun, and what
# the planted neuron has written, for the backup to miss.
_VOTE, _EVIDENCE, _AGAINST, _WRITTEN = range(4)
_WIDTH, _HEADS, _NEURONS = 8, 2, 4
# So large that a LayerNorm divides by a constant, which its weight undoes.
_EPSILON = 1e10


@dataclass(frozen=True)
class Planted:
    """A planted transformer, as ``planted`` makes it.

        >>> plant = planted(share=0.25, backup=0.5)
        >>> plant.model.on(plant.pairs).patch(plant.neuron) > 0.2

    ``shift``: the logits that patching the neuron restores in each pair, of shape [pair], in the order of ``pairs.rows``;
    ``gap``: that pair's clean minus corrupted logit difference. ``removed``: what is lost of the clean logit difference
    where the neuron is held at its mean. All are sums of planted numbers.
    """

    model: "Model"
    pairs: PromptPairs
    shift: "Floats"
    removed: "Floats"
    gap: "Floats"
    neuron: str = "L0.N0"
    negative: str = "L0.N1"
    backup: str = "L1.N0"
    direct: str = "L0.H0"

    @property
    def share(self) -> float:
        """What patching the neuron restores of the gap: the ratio of the population's means."""
        return float(self.shift.mean() / self.gap.mean())


@dataclass(frozen=True)
class _Nouns:
    """Of each noun, in logits: its vote, and how much of that goes through the planted neuron. Clean nouns come first."""

    vote: "Floats"
    carried: "Floats"

    def across(self, numbers: "Floats") -> "Floats":
        """Clean minus corrupted, of shape [clean noun * corrupted noun]."""
        clean, corrupt = np.split(numbers, 2)
        across: Floats = (clean[:, None] - corrupt[None, :]).ravel()
        return across


def planted(
    share: float,
    *,
    noise: Noise = "normal",
    scatter: float = 0.15,
    nouns: int = 40,
    clusters: int = 0,
    backup: float = 0.0,
    negative: float = 0.0,
    seed: int = 0,
    settings: "Settings | None" = None,
) -> Planted:
    """A transformer in which ``L0.N0`` carries a share of the gap, on every clean noun with every corrupted one.

        planted(share=0.5, noise="normal", scatter=0.15, nouns=40, backup=0.5, negative=0.25)

    ``nouns``: on either side. ``scatter``: of a pair's effect about the share of its own gap, in mean gaps, distributed
    as ``noise`` says ("catastrophe": one clean noun's is 1.8 mean gaps lower). ``clusters``: so many groups of nouns
    deviate together. ``backup``: ``L1.N0`` brings this part of what it misses of the neuron's output. ``negative``:
    ``L0.N1`` takes this share of the gap away, and the head ``L0.H0`` brings as much more.
    """
    found = _nouns(share, noise, scatter, nouns, clusters, np.random.default_rng(seed))
    shift = found.across(found.carried)
    # A neuron that is held at its mean lacks this much of what it has in the clean run, where it has more.
    missing = np.repeat(found.carried[:nouns] - found.carried.mean(), nouns)
    return Planted(
        _model(found, backup, negative, settings),
        _pairs(nouns),
        shift=shift + backup * np.maximum(-shift, 0),
        removed=missing - backup * np.maximum(missing, 0),
        gap=found.across(found.vote),
    )


def _nouns(
    share: float, noise: Noise, scatter: float, nouns: int, clusters: int, random: np.random.Generator
) -> _Nouns:
    votes, carried = [], []
    for side in (1, -1):
        vote = random.gamma(8.0, 1.0, nouns)
        vote *= side * _GAP / 2 / vote.mean()
        deviation = scatter / np.sqrt(2) * _deviations(noise, nouns, clusters, random)
        if noise == "catastrophe" and side == 1:
            deviation[0] += _CATASTROPHE
        votes.append(vote)
        # Deviations whose mean is 0 leave the ratio of the means at the share.
        carried.append(share * vote + side * _GAP * (deviation - deviation.mean()))
    return _Nouns(np.concatenate(votes), np.concatenate(carried))


def _deviations(noise: Noise, nouns: int, clusters: int, random: np.random.Generator) -> "Floats":
    alone = _DRAWS[noise](random, nouns)
    if not clusters:
        return alone
    shared = _DRAWS[noise](random, clusters)[np.arange(nouns) % clusters]
    together: Floats = np.sqrt(1 - _WITHIN_CLUSTER**2) * shared + _WITHIN_CLUSTER * alone
    return together


def _pairs(nouns: int) -> PromptPairs:
    clean, corrupt = (range(first, first + nouns) for first in (_FIRST_NOUN, _FIRST_NOUN + nouns))
    return PromptPairs.from_rows(
        [
            {
                "clean": [_FRAME, one, _END],
                "corrupt": [_FRAME, other, _END],
                "answer": _ANSWER,
                "foil": _FOIL,
            }
            for one in clean
            for other in corrupt
        ]
    )


def _model(nouns: _Nouns, backup: float, negative: float, settings: "Settings | None") -> "Model":
    import torch

    network = blank(_FIRST_NOUN + len(nouns.vote), _WIDTH, layers=2, heads=_HEADS, neurons=_NEURONS)
    with torch.no_grad():
        _embed(network, nouns, negative)
        _move(network)
        _plant(network, backup)
    return as_model(network, "planted", settings)


def blank(vocabulary: int, width: int, layers: int, heads: int, neurons: int) -> Any:
    """A GPT-2 that does nothing yet: all weights are 0, but that its LayerNorms leave a stream of mean 0 as it is."""
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel

    config = GPT2Config(
        vocab_size=vocabulary,
        n_positions=16,
        n_embd=width,
        n_layer=layers,
        n_head=heads,
        n_inner=neurons,
        activation_function="relu",
        layer_norm_epsilon=_EPSILON,
        tie_word_embeddings=False,
        bos_token_id=None,
        eos_token_id=None,
        architectures=["GPT2LMHeadModel"],
    )
    network = GPT2LMHeadModel(config)
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            parameter.fill_(_EPSILON**0.5 if ".ln_" in name and name.endswith("weight") else 0.0)
    return network


def as_model(network: Any, name: str, settings: "Settings | None", tokenizer: Any = None) -> "Model":
    """A network whose weights were set by hand, loaded."""
    from transformer_lens.model_bridge.sources import build_bridge_from_module

    from circuitcheck.model import load

    bridge = build_bridge_from_module(
        network, "GPT2LMHeadModel", hf_config=network.config, model_name=name, tokenizer=tokenizer
    )
    return load(bridge, settings=settings)


def _embed(network: Any, nouns: _Nouns, negative: float) -> None:
    """What each noun is read as; what a neuron reads is lifted until none is negative, and its layer lowers it again."""
    against = negative * nouns.vote
    lifts = [float(1 - numbers.min()) for numbers in (nouns.carried, against)]
    embedding = network.transformer.wte.weight[_FIRST_NOUN:]
    # The head carries what the neurons do not: the votes are the nouns' whole effect.
    for feature, numbers in (
        (_VOTE, nouns.vote - nouns.carried + against),
        (_EVIDENCE, nouns.carried + lifts[0]),
        (_AGAINST, against + lifts[1]),
    ):
        for sign, entry in zip((1, -1), _entries(feature), strict=True):
            embedding[:, entry] = sign * _tensor(numbers)
    write(network.transformer.h[0].mlp.c_proj.bias, _VOTE, lifts[1] - lifts[0])
    read(network.lm_head.weight[_ANSWER], _VOTE, 0.5)
    read(network.lm_head.weight[_FOIL], _VOTE, -0.5)


def _move(network: Any) -> None:
    """Head 0 moves the noun's vote to the last token, head 1 what the neurons read; each attends to all three alike."""
    attention, head = network.transformer.h[0].attn, _WIDTH // _HEADS
    for channel, feature in ((0, _VOTE), (head, _EVIDENCE), (head + 1, _AGAINST)):
        read(attention.c_attn.weight[:, 2 * _WIDTH + channel], feature, 3.0)
        write(attention.c_proj.weight[channel], feature, 1.0)


def _plant(network: Any, backup: float) -> None:
    first, second = (block.mlp for block in network.transformer.h)
    read(first.c_fc.weight[:, 0], _EVIDENCE, 1.0)
    write(first.c_proj.weight[0], _VOTE, 1.0)
    write(first.c_proj.weight[0], _WRITTEN, 1.0)
    read(first.c_fc.weight[:, 1], _AGAINST, 1.0)
    write(first.c_proj.weight[1], _VOTE, -1.0)
    read(second.c_fc.weight[:, 0], _EVIDENCE, backup)
    read(second.c_fc.weight[:, 0], _WRITTEN, -backup)
    write(second.c_proj.weight[0], _VOTE, 1.0)


def _entries(feature: int) -> tuple[int, int]:
    """A feature is a difference of two entries of the stream, so that LayerNorm finds a mean of 0."""
    return 2 * feature, 2 * feature + 1


def write(weights: "torch.Tensor", feature: int, amount: float) -> None:
    """Add an amount of a feature to weights of shape [width]."""
    plus, minus = _entries(feature)
    weights[plus] += amount
    weights[minus] -= amount


def read(weights: "torch.Tensor", feature: int, amount: float) -> None:
    """Make weights of shape [width] give so much of an amount of a feature that was written."""
    write(weights, feature, amount / 2)


def _tensor(numbers: "Floats") -> "torch.Tensor":
    import torch

    return torch.tensor(numbers, dtype=torch.float32)
