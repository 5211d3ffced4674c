"""A planted transformer that adds: ground truth for what its components carry.

    >>> plant = planted_sum()
    >>> plant.model.on(plant.pairs).interchange("L0.H0@end", "sum").measure().estimate
    1.0

A GPT-2 of two layers whose weights are set by hand answers "a1 b2 c3 =" with "6". Its first layer adds a and b at the last token and hands the
sum over to the second, whose neurons add c. Where it is not ``handed_over``, a and b go by heads of their own, and no head
carries the sum, though every answer is the same.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from circuitcheck.prompts.prompt_pairs import PromptPairs
from circuitcheck.reference_models.planted import as_model, blank, read, write

if TYPE_CHECKING:
    from circuitcheck.model import Model
    from circuitcheck.settings import Settings

# What the stream holds: a word's number, by the letter that it belongs to; at the last token what was moved there, the total, and a one.
_LETTERS = "abc"
_MOVED, _TOTAL, _ONE = (3, 4), 5, 6
_WIDTH, _HEADS, _NEURONS = 16, 2, 4
_WORDS = 4  # tokens of a prompt


@dataclass(frozen=True)
class PlantedSum:
    """A model that adds three numbers, and its prompts, with ``sum`` of the first two as their variable."""

    model: "Model"
    pairs: PromptPairs


def planted_sum(*, most: int = 3, handed_over: bool = True, settings: "Settings | None" = None) -> PlantedSum:
    """A transformer that adds numbers from 0 to ``most``.

    ``L0.H0@end`` carries a + b where that is ``handed_over``, otherwise a alone; ``L0.H1@end`` carries c, otherwise b and c. The stream after layer
    0 has both in directions of their own, ``L1.N0`` and ``L1.N1`` read them.
    """
    import torch

    words = [*(f"{letter}{number}" for letter in _LETTERS for number in range(most + 1)), "="]
    answers = [str(total) for total in range(3 * most + 1)]
    tokenizer = _tokenizer([*words, *answers])
    network = blank(len(words) + len(answers), _WIDTH, layers=2, heads=_HEADS, neurons=_NEURONS)
    with torch.no_grad():
        embedding = network.transformer.wte.weight
        for place, word in enumerate(words[:-1]):
            write(embedding[place], _LETTERS.index(word[0]), float(word[1:]))
        write(embedding[len(words) - 1], _ONE, 1.0)
        _move(network.transformer.h[0].attn, ("ab", "c") if handed_over else ("a", "bc"))
        second = network.transformer.h[1].mlp
        for neuron, feature in enumerate(_MOVED):
            read(second.c_fc.weight[:, neuron], feature, 1.0)
            write(second.c_proj.weight[neuron], _TOTAL, 1.0)
        for total in range(len(answers)):
            # Of logits k * t - k * k / 2 that of k = t is the highest, by a half or more.
            read(network.lm_head.weight[len(words) + total], _TOTAL, float(total))
            read(network.lm_head.weight[len(words) + total], _ONE, -total * total / 2)
    numbers = {letter: [f"{letter}{number}" for number in range(most + 1)] for letter in _LETTERS}
    pairs = PromptPairs(
        "{a} {b} {c} =",
        variables={"sum": lambda a, b: int(a[1:]) + int(b[1:])},
        answer=lambda sum, c: f" {sum + int(c[1:])}",  # noqa: A006
        a=numbers["a"],
        b=numbers["b"],
        c=numbers["c"],
    )
    return PlantedSum(as_model(network, "planted sum", settings, tokenizer), pairs)


def _move(attention: Any, heads: tuple[str, str]) -> None:
    """Each head attends to all tokens alike, and moves the numbers of its letters to the last one."""
    for head, (letters, feature) in enumerate(zip(heads, _MOVED, strict=True)):
        channel = head * (_WIDTH // _HEADS)
        for letter in letters:
            read(attention.c_attn.weight[:, 2 * _WIDTH + channel], _LETTERS.index(letter), float(_WORDS))
        write(attention.c_proj.weight[channel], feature, 1.0)


def _tokenizer(words: list[str]) -> Any:
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    made = Tokenizer(models.WordLevel({word: number for number, word in enumerate(words)}, unk_token="="))  # noqa: S106
    made.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(tokenizer_object=made)
