"""Interventions on pairs of unequal length beside a model as transformers loads it, with PyTorch's own hooks alone."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

from circuitcheck import Model, PromptPairs, contrast, load
from circuitcheck.prompts.aligned_pairs import AlignedPair
from circuitcheck.prompts.pairs import Side, other_side
from differential.configurations import saved
from differential.oracle import LOGITS, Entries, Part, Place, Plain
from differential.places import places
from tests.conftest import each

# {x} has one to three tokens: one of the pairs has prompts of one length.
PAIRS = PromptPairs(
    "the {x} by the {place} and the {x} found",
    x=contrast.pairs(
        [("apple", "pear tree"), ("old pear tree", "lemon"), ("big old fig", "red boat"), ("fig", "olive")]
    ),
    place=["old river"],
    answer=" an",
    foil=" a",
)
X1, PLACE, X2 = 1, 3, 5


class Words:
    """Where the tokens of a prompt are, by the tokens of its beginnings."""

    def __init__(self, model: Model, pair: AlignedPair, side: Side):
        self._tokenizer, self._segments = model.bridge.tokenizer, pair.prompt(side).segments
        self._front = int(pair.tokens(side)[0] == model.bridge.tokenizer.bos_token_id)
        self.length = self.after(len(self._segments) - 1)

    def after(self, segment: int) -> int:
        text = "".join(one.text for one in self._segments[: segment + 1]).rstrip()
        return self._front + len(self._tokenizer.encode(text, add_special_tokens=False))

    def first(self, segment: int) -> int:
        return self.after(segment - 1)

    def last(self, segment: int) -> int:
        return self.after(segment) - 1


SPOTS: dict[str, Callable[[Words], int]] = {
    "@end": lambda words: words.length - 1,
    "@{x}[1].first": lambda words: words.first(X1),
    "@{x}[1].last": lambda words: words.last(X1),
    "@{x}[1]+2": lambda words: words.last(X1) + 2,
    "@{x}[2].first-1": lambda words: words.first(X2) - 1,
    "@{x}[2].last": lambda words: words.last(X2),
    "@{place}.last": lambda words: words.last(PLACE),
}


class Unequal(Plain):
    """The oracle for prompts of unequal length: what is at the token ``source_at`` of the other prompt is put at the token ``at``."""

    at = source_at = 0

    def value(self, part: Part, into: torch.Tensor, source: torch.Tensor) -> torch.Tensor:
        entries = self.entries(part)
        found = self.base(into).at(entries).clone()
        found[:, self.at] = self.base(source).at(entries)[:, self.source_at]
        return found


def loaded(architecture: str, folder: Path) -> tuple[Model, Unequal]:
    saved(architecture, folder, "float32")
    plain = Unequal(folder, torch.float32)
    plain.where = dict(BY_HAND[architecture]) if architecture in BY_HAND else places(plain)
    return load(folder, weights="raw"), plain


def _parts(block: str, heads: str, neurons: str, mlp: str, attention: str) -> dict[Part, Entries]:
    """Some parts, by the modules' names, where all of them are beside each other in a block."""
    found = {}
    for layer in range(3):
        name = block.format(layer)
        found[Part(layer, "RESID_PRE")] = Entries(Place(name, "input"))
        found[Part(layer, "RESID_POST")] = Entries(Place(name, "output"))
        found[Part(layer, "MLP")] = Entries(Place(f"{name}.{mlp}", "output"))
        found[Part(layer, "ATTN")] = Entries(Place(f"{name}.{attention}", "output"))
        for head in range(4):
            columns = tuple(range(8 * head, 8 * head + 8))
            found[Part(layer, "H", head)] = Entries(Place(f"{name}.{attention}.{heads}", "input"), columns)
        for neuron in range(48):
            found[Part(layer, "N", neuron)] = Entries(Place(f"{name}.{mlp}.{neurons}", "input"), (neuron,))
    return found


BY_HAND = {
    "GPT2LMHeadModel": _parts("transformer.h.{}", "c_proj", "c_proj", "mlp", "attn"),
    "LlamaForCausalLM": _parts("model.layers.{}", "o_proj", "down_proj", "mlp", "self_attn"),
    "MistralForCausalLM": _parts("model.layers.{}", "o_proj", "down_proj", "mlp", "self_attn"),
}
USUAL = ("GPT2LMHeadModel", "MistralForCausalLM")  # absolute positions; rotary ones, in a window of four tokens
OTHERS = ("LlamaForCausalLM", "Gemma2ForCausalLM", "GPTNeoXForCausalLM", "BloomForCausalLM", "Qwen3ForCausalLM")


@pytest.fixture(scope="module", params=each((*USUAL, *OTHERS), USUAL))
def both(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Model, Unequal]:
    return loaded(request.param, tmp_path_factory.mktemp("model"))


PARTS = {
    "L0.RESID_PRE": [Part(0, "RESID_PRE")],
    "L1.RESID_POST": [Part(1, "RESID_POST")],
    "L1.ATTN": [Part(1, "ATTN")],
    "L2.MLP": [Part(2, "MLP")],
    "L1.H2": [Part(1, "H", 2)],
    "L0.N7": [Part(0, "N", 7)],
    "L0.H1 -> L2.MLP": [Part(0, "H", 1), Part(2, "MLP")],
    "L0.MLP -> LOGITS": [Part(0, "MLP"), Part(2, LOGITS)],
}


# An address a kind of part and of position; of the others there is a slow test.
FEW = [
    ("L0.RESID_PRE", "@{x}[1].last"),
    ("L1.H2", "@{x}[2].first-1"),
    ("L2.MLP", "@end"),
    ("L0.N7", "@{x}[1].first"),
    ("L0.H1 -> L2.MLP", "@{x}[2].last"),
]


@pytest.mark.parametrize("into", ["corrupt", pytest.param("clean", marks=pytest.mark.slow)])
def test_what_corresponds_is_put_in_as_hooks_on_the_model_put_it(both: tuple[Model, Unequal], into: Side) -> None:
    assert moved_as_by_hooks(*both, FEW[::2], into)
    assert moved_as_by_hooks(*both, FEW[1::2], other_side(into))
    assert both[0]._loaded.answers.describe() == "cone"


@pytest.mark.slow
@pytest.mark.parametrize("into", ["corrupt", "clean"])
def test_every_part_at_every_position_is_as_hooks_on_the_model_have_it(both: tuple[Model, Unequal], into: Side) -> None:
    assert moved_as_by_hooks(*both, [(name, where) for name in PARTS for where in SPOTS], into) > 15


def moved_as_by_hooks(model: Model, plain: Unequal, addresses: Sequence[tuple[str, str]], into: Side) -> int:
    """How many of the addresses move anything, having seen that circuitcheck's numbers of all pairs are those of hooks."""
    run, moved = model.on(PAIRS), 0
    assert len({len(pair.clean) - len(pair.corrupt) for pair in run._setup.sample.pairs}) == 4
    for name, where in addresses:
        first, *rest = name.split(" -> ")
        effect = run.patch(" -> ".join([f"{first}{where}", *rest]), into=into).raw
        pairs = effect._estimand.run.sample.pairs
        wanted = np.array([by_hooks(model, plain, pair, PARTS[name], where, into) for pair in pairs])
        assert len(pairs) == 4
        assert effect._estimand.shift_of(effect._estimand.run.described) == pytest.approx(wanted, abs=1e-4), (
            name,
            where,
        )
        moved += bool(np.abs(wanted).max() > 1e-3)
    return moved


def by_hooks(model: Model, plain: Unequal, pair: AlignedPair, path: Sequence[Part], where: str, into: Side) -> float:
    """What putting in what is there in the other prompt moves in one pair, in logits."""
    there, source = (torch.tensor([pair.tokens(side)]) for side in (into, other_side(into)))
    plain.at, plain.source_at = (SPOTS[where](Words(model, pair, side)) for side in (into, other_side(into)))
    parts = [Part(path[0].layer, path[0].kind, path[0].index, plain.at), *path[1:]]
    moved = read(plain.along(parts, there, source), pair) - read(plain.base(there).logits, pair)
    return moved if into == "corrupt" else -moved


def read(logits: torch.Tensor, pair: AlignedPair) -> float:
    return float(logits[0, pair.answer[0]].double() - logits[0, pair.foil[0]].double())
