"""A planted rare failure: one pair in 10,000 breaks the claim, in which two fillers come together.

A GPT-2 of one layer whose weights are set by hand: at the last token the neuron L0.N0 sees a noun's number less what the
fillers of {first} and {second} take away. Each filler takes a little, one of each much, and only both together nearly all.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from circuitcheck.model import Model
from circuitcheck.prompts.prompt_pairs import PromptPairs
from circuitcheck.prompts.slots import contrast
from circuitcheck.reference_models.planted import as_model, blank, write
from circuitcheck.settings import Settings

FILLERS = 100
# In logits: the noun's number, what one filler of each slot takes away, and what the others take at most.
_NUMBER, _MUCH, _LITTLE = 2.0, 0.9, 0.35
THRESHOLD = 0.1
_VOTE, _EVIDENCE = 0, 1
_WIDTH, _TOKENS = 4, 4


@dataclass(frozen=True)
class RareFailure:
    """``taken``: what each filler takes away; the pair of the two that take most is the only one that breaks
    ``patch(neuron).each > THRESHOLD``."""

    model: Model
    pairs: PromptPairs
    taken: dict[str, float]
    neuron: str = "L0.N0"

    @property
    def failing(self) -> str:
        """The clean prompt of the pair that breaks the claim."""
        worst = [max((word for word in self.taken if word[0] == slot), key=self.taken.__getitem__) for slot in "ab"]
        return f"{worst[0]} {worst[1]} apple then"


def rare_failure(seed: int, examples: int | None = None) -> RareFailure:
    """One such model, with its population of 10,000 pairs."""
    chance = random.Random(seed)
    slots = {slot: [f"{slot}{number}" for number in range(FILLERS)] for slot in "ab"}
    taken = {word: chance.uniform(0, _LITTLE) for words in slots.values() for word in words}
    for words in slots.values():
        taken[chance.choice(words)] = _MUCH
    pairs = PromptPairs(
        "{first} {second} {noun} then",
        first=slots["a"],
        second=slots["b"],
        noun=contrast(clean=["apple"], corrupt=["lemon"]),
        answer=" an",
        foil=" a",
    )
    return RareFailure(_model(taken, Settings(seed=seed, examples=examples)), pairs, taken)


def _model(taken: dict[str, float], settings: Settings) -> Model:
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    words = ["an", "a", "then", "lemon", "apple", *taken, "?"]
    backend = Tokenizer(models.WordLevel({word: place for place, word in enumerate(words)}, unk_token="?"))  # noqa: S106
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    network = blank(len(words), _WIDTH, layers=1, heads=1, neurons=2)
    with torch.no_grad():
        numbers = {"apple": (_NUMBER, _NUMBER)} | {word: (0.0, -amount) for word, amount in taken.items()}
        for word, (vote, evidence) in numbers.items():
            row = network.transformer.wte.weight[words.index(word)]
            write(row, _VOTE, vote)
            write(row, _EVIDENCE, evidence)
        _hand_set(network, words.index)
    tokenizer: Any = PreTrainedTokenizerFast
    return as_model(network, "rare failure", settings, tokenizer(tokenizer_object=backend, unk_token="?"))  # noqa: S106


def _hand_set(network: Any, token: Callable[[str], int]) -> None:
    block = network.transformer.h[0]
    for channel, feature in enumerate((_VOTE, _EVIDENCE)):  # the last token sees the sum over all
        write(block.attn.c_attn.weight[:, 2 * _WIDTH + channel], feature, _TOKENS / 2)
        write(block.attn.c_proj.weight[channel], feature, 1.0)
    write(block.mlp.c_fc.weight[:, 0], _EVIDENCE, 0.5)
    write(block.mlp.c_proj.weight[0], _VOTE, 1.0)
    for answer, sign in (("an", 1.0), ("a", -1.0)):
        write(network.lm_head.weight[token(answer)], _VOTE, sign / 4)
