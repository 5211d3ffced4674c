"""The BOS token: what the tokenizer's own files say, never twice and never invented."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tokenizers import processors
from transformers import AutoTokenizer, GPTNeoXConfig, LlamaConfig, PreTrainedConfig, PreTrainedTokenizerFast
from transformers.models.auto import AutoModelForCausalLM

from circuitcheck import Model, ModelError, PromptError, PromptPairs, contrast, load
from tests import oracle
from tests.architectures import ARCHITECTURES, saved
from tests.conftest import each, shared_model
from tests.tokenizers_for_tests import UNKNOWN, word_level

WORDS = ["<s>", "</s>", "<pad>", "<end>", "I", "saw", "the", "apple", "lemon", "tree", "an", "a"]
_SMALL = {"vocab_size": 14, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
_SMALL |= {"intermediate_size": 8, "max_position_embeddings": 32}
LLAMA, NEOX = LlamaConfig(**_SMALL), GPTNeoXConfig(**_SMALL)


def tokenizer(adds: str = "", **named: str) -> PreTrainedTokenizerFast:
    """Words as tokens. ``adds``: tokens that it puts in front of each text; ``named``: its bos, eos and pad."""
    backend = word_level(*WORDS).backend_tokenizer
    if adds:
        added = [(token, backend.token_to_id(token)) for token in {*adds.split(), "</s>"}]
        backend.post_processor = processors.TemplateProcessing(single=f"{adds} $A </s>", special_tokens=added)
    names = {f"{name}_token": token for name, token in named.items()}
    return PreTrainedTokenizerFast(tokenizer_object=backend, unk_token=UNKNOWN, **names)


# What the files of a tokenizer say, and the token that is put in front.
CONVENTIONS: dict[str, tuple[PreTrainedTokenizerFast, str | None]] = {
    "added": (tokenizer("<s>", bos="<s>", eos="</s>"), "<s>"),
    "added under another name": (tokenizer("<pad>", pad="<pad>"), "<pad>"),
    "added, and another is named": (tokenizer("<pad>", bos="<s>", eos="</s>"), "<pad>"),
    "several are added": (tokenizer("<pad> <s>", bos="<s>", eos="</s>"), None),
    "named, and also EOS": (tokenizer(bos="<end>", eos="<end>"), "<end>"),
    "named, and not EOS": (tokenizer(bos="<s>", eos="</s>"), None),
    "named, without EOS": (tokenizer(bos="<s>"), None),
    "EOS and padding alone": (tokenizer(eos="</s>", pad="<pad>"), None),
    "one token for EOS and padding": (tokenizer(eos="<end>", pad="<end>"), None),
    "EOS alone": (tokenizer(eos="<end>"), None),
    "padding alone": (tokenizer(pad="<pad>"), None),
    "nothing": (tokenizer(), None),
}
ROW = {"clean": "I saw the apple tree", "corrupt": "I saw the lemon tree", "answer": " an", "foil": " a"}


def folder(path: Path, config: PreTrainedConfig, words: PreTrainedTokenizerFast) -> Path:
    torch.manual_seed(0)
    AutoModelForCausalLM.from_config(config).save_pretrained(path)
    words.save_pretrained(path)
    return path


def tokens(model: Model, pairs: PromptPairs) -> list[list[str]]:
    """The clean prompts as texts of tokens."""
    shown = model.bridge.tokenizer.convert_ids_to_tokens
    return [shown(list(pair.clean)) for pair in model.on(pairs)._setup.sample.pairs]


@pytest.mark.parametrize("convention", each(CONVENTIONS, list(CONVENTIONS)[::2]))
def test_bos_is_what_the_tokenizers_own_files_say(tmp_path: Path, convention: str) -> None:
    words, expected = CONVENTIONS[convention]
    model = load(folder(tmp_path, LLAMA, words), weights="raw")
    assert model.bos == (None if expected is None else words.convert_tokens_to_ids(expected))
    in_front = [] if expected is None else [expected]
    assert tokens(model, PromptPairs.from_rows([ROW])) == [[*in_front, *str(ROW["clean"]).split()]]


ALWAYS = {
    "added": "<s>",
    "named, and also EOS": "<end>",
    "named, and not EOS": "<s>",
    "EOS alone": None,
    "nothing": None,
}


@pytest.mark.parametrize("convention", each(ALWAYS, ["named, and not EOS", "EOS alone"]))
def test_bos_is_always_or_never_there_where_that_is_said(tmp_path: Path, convention: str) -> None:
    words, expected = CONVENTIONS[convention][0], ALWAYS[convention]
    path, text = folder(tmp_path, LLAMA, words), str(ROW["clean"]).split()
    never = load(path, weights="raw", bos="never")
    assert tokens(never, PromptPairs.from_rows([ROW])) == [text]
    if expected is None:
        with pytest.raises(ModelError, match="no BOS token that could always be put in front"):
            load(path, weights="raw", bos="always")
        return
    always = load(path, weights="raw", bos="always")
    assert tokens(always, PromptPairs.from_rows([ROW])) == [[expected, *text]]
    assert tokens(always, PromptPairs.from_rows([ROW | {"clean": f"{expected} {ROW['clean']}"}])) == [[expected, *text]]
    assert always.fingerprint != never.fingerprint
    assert always.untrained(seed=0).bos == always.bos


def test_a_session_says_whether_bos_is_there(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import pytest

        @pytest.mark.circuit(claim=False)
        def test_bos(model):
            print("BOS", model.bos)
        """
    )
    for said, expected in (("--circuit-bos=never", "BOS None"), ("--circuit-bos=auto", "BOS 0")):
        result = pytester.runpytest("--circuit-model=bundled", said, "-s")
        result.stdout.fnmatch_lines([f"*{expected}*"])
    pytester.runpytest("--circuit-model=bundled,bos=never", "--circuit-bos=always", "-s").stdout.fnmatch_lines(
        ["*BOS None*"]
    )
    pytester.runpytest("--circuit-model=bundled", "--circuit-bos=often").stdout.fnmatch_lines(
        ["*bos is 'auto', 'always' or 'never'*"]
    )


@pytest.mark.parametrize(("adds", "expected"), [("<s>", "<s>"), ("", None)])
def test_what_a_tokenizer_adds_counts_in_an_architecture_that_mostly_has_none(
    tmp_path: Path, adds: str, expected: str | None
) -> None:
    words = tokenizer(adds, bos="<s>", eos="</s>")
    model = load(folder(tmp_path, NEOX, words), weights="raw")
    in_front = [] if expected is None else [expected]
    assert tokens(model, PromptPairs.from_rows([ROW])) == [[*in_front, *str(ROW["clean"]).split()]]
    assert model.untrained(seed=0).bos == model.bos


@pytest.mark.parametrize(
    ("named", "expected"),
    [
        ({"pad": "<pad>"}, None),
        ({"eos": "<end>"}, None),
        ({"bos": "<s>"}, None),
        ({"bos": "<end>", "eos": "<end>"}, "<end>"),
    ],
)
def test_a_bridge_that_is_handed_over_gets_no_invented_one(
    tmp_path: Path, named: dict[str, str], expected: str | None
) -> None:
    from transformer_lens.model_bridge import TransformerBridge

    path = folder(tmp_path, LLAMA, tokenizer(**named))
    bridge: Any = TransformerBridge.boot_transformers(str(path), device="cpu")
    model = load(bridge, weights="raw")
    assert model.bos == (None if expected is None else bridge.tokenizer.convert_tokens_to_ids(expected))
    bridge.cfg.default_prepend_bos = False
    assert load(bridge, weights="raw").bos is None


BEGIN = "<|endoftext|>"
FRUIT = {"fruit": contrast(clean=["apple", "orange"], corrupt=["lemon", "banana"])}
PLAIN = PromptPairs("I climbed up the {fruit} tree and picked", answer=" an", foil=" a", **FRUIT)
ROWS = [
    {
        "clean": f"{begin}I climbed up the apple tree and picked",
        "corrupt": f"{other}I climbed up the lemon tree and picked",
    }
    | {"answer": " an", "foil": " a"}
    for begin, other in (("", ""), (BEGIN, BEGIN), (BEGIN, ""), ("", BEGIN))
]
# Prompts that begin with BOS, and the same without.
BEGUN: dict[str, tuple[PromptPairs, PromptPairs]] = {
    "the template": (
        PromptPairs(BEGIN + "I climbed up the {fruit} tree and picked", answer=" an", foil=" a", **FRUIT),
        PLAIN,
    ),
    "a slot's filler": (
        PromptPairs("{begin}I climbed up the {fruit} tree and picked", begin=[BEGIN], answer=" an", foil=" a", **FRUIT),
        PLAIN,
    ),
    "a part of a slot's filler": (
        PromptPairs(
            "{begin} up the {fruit} tree and picked", begin=[BEGIN + "I climbed"], answer=" an", foil=" a", **FRUIT
        ),
        PLAIN,
    ),
    "a prefix": (
        PLAIN.with_prefix([BEGIN]),
        PromptPairs(" I climbed up the {fruit} tree and picked", answer=" an", foil=" a", **FRUIT),
    ),
    **{
        f"a row of text ({which})": (PromptPairs.from_rows([row]), PromptPairs.from_rows([ROWS[0]]))
        for which, row in zip(("both", "clean", "corrupt"), ROWS[1:], strict=True)
    },
}


@pytest.mark.parametrize("how", BEGUN)
def test_a_prompt_that_begins_with_bos_gets_no_second_one(bundled: Model, how: str) -> None:
    begun, plain = (bundled.on(pairs) for pairs in BEGUN[how])
    expected = {(pair.clean, pair.corrupt) for pair in plain._setup.sample.pairs}
    assert {(pair.clean, pair.corrupt) for pair in begun._setup.sample.pairs} == expected
    for effect in (
        lambda run: run.gap,
        lambda run: run.patch("L1.N8"),
        lambda run: run.ablate("L0.MLP", "mean"),
        lambda run: run.ablate("L0.ATTN", "zero"),
    ):
        there, here = (effect(run).measure().per_pair for run in (begun, plain))
        assert sorted(there) == pytest.approx(sorted(here), abs=1e-5)


def test_prompts_that_begin_with_bos_are_cut_where_they_are_read(bundled: Model) -> None:
    cut = [bundled.on(BEGUN["the template"][number], at="@{fruit}")._setup.sample.pairs for number in (0, 1)]
    assert sorted(pair.clean for pair in cut[0]) == sorted(pair.clean for pair in cut[1])
    assert sorted(pair.positions(pair.read_at)[-1] for pair in cut[0] if pair.read_at) == [5] * 4


def test_a_filler_that_is_bos_has_a_position(bundled: Model) -> None:
    [pair, *_] = bundled.on(BEGUN["a slot's filler"][0])._setup.sample.pairs
    assert [pair.segments[0], pair.slots[0]] == [0, "begin"]


def test_two_that_are_written_are_two_and_token_ids_are_as_given(bundled: Model) -> None:
    bos, clean = bundled.bos, bundled.on(PLAIN)._setup.sample.pairs[0].clean[1:]
    assert bos is not None
    for begin in ([], [bos], [bos, bos]):
        rows = [{"clean": [*begin, *clean], "corrupt": [*begin, *clean[:-1], 7], "answer": 5, "foil": 6}]
        assert bundled.on(PromptPairs.from_rows(rows))._setup.sample.pairs[0].clean == (*begin, *clean)
    twice = PromptPairs(BEGIN * 2 + "I climbed up the {fruit} tree and picked", answer=" an", foil=" a", **FRUIT)
    assert all(pair.clean[:3] == (bos, bos, clean[0]) for pair in bundled.on(twice)._setup.sample.pairs)


def test_texts_on_which_a_neuron_fires_begin_with_one(bundled: Model) -> None:
    texts = ["I climbed up the apple tree and picked", "I climbed up the lemon tree and picked a lemon. " * 60]
    plain, begun = (
        bundled.activation("L1.N8", predicts=" a", on=[begin + text for text in texts]) for begin in ("", BEGIN)
    )
    assert begun.auc.measure().estimate == plain.auc.measure().estimate
    assert begun.auc.measure().n == plain.auc.measure().n
    assert np.array_equal(begun.curve.positions, plain.curve.positions)


def test_what_is_cut_at_a_bos_in_the_middle_gets_no_second_one(bundled: Model) -> None:
    width = int(bundled.bridge.cfg.n_ctx) - 1
    read = bundled.activation("L1.N8", predicts=" a", on=[" the" * width + BEGIN + " the" * 3])._texts[0]
    assert [text[:2].count(bundled.bos) for text in read] == [1, 1]


def test_a_bos_that_the_model_has_no_embedding_for_is_told_where_text_is_read(tmp_path: Path) -> None:
    words = tokenizer(bos="beyond", eos="beyond")
    model = load(folder(tmp_path, LLAMA, words), weights="raw")
    ids = PromptPairs.from_rows([{"clean": [3, 4], "corrupt": [3, 5], "answer": 6, "foil": 7}])
    assert model.on(ids)._setup.sample.pairs[0].clean == (3, 4)
    row = {"clean": "the apple", "corrupt": "the lemon", "answer": " an"}
    for ask in (
        lambda: model.on(PromptPairs.from_rows([row])).gap.measure(),
        lambda: model.activation("L1.N0", predicts=3, on=["the apple"]).auc.measure(),
    ):
        with pytest.raises(PromptError, match=r"puts token 14 in front of text, and the model has only 14 tokens"):
            ask()


def test_zero_leaves_a_written_bos_alone_where_none_is_put_in_front(tmp_path: Path) -> None:
    model = load(saved(tmp_path, ARCHITECTURES["GPT-NeoX"], scale=0.3), bos="never")
    run = model.on(BEGUN["the template"][0])
    losses = run.ablate("L0.MLP", "zero").raw.measure().per_pair

    def zero(out: torch.Tensor, hook: Any) -> torch.Tensor:
        out[0, 1:] = 0.0
        return out

    assert model.bos is None
    for pair, loss in zip(run._setup.sample.pairs, losses, strict=True):
        assert pair.clean[0] == model.bridge.tokenizer.bos_token_id
        kept, left = (
            oracle.logit_difference(model, pair, oracle.run(model, pair.clean, hooks))
            for hooks in ([], [("blocks.0.hook_mlp_out", zero)])
        )
        assert loss == pytest.approx(kept - left, abs=1e-4)


def test_the_bundled_models_bos_is_its_eos_and_the_stories_has_one_where_that_is_said(
    bundled: Model, stories: Model
) -> None:
    assert (bundled.bos, stories.bos) == (0, 1)
    assert load(shared_model("stories260K")).bos is None
    assert AutoTokenizer.from_pretrained(bundled.bridge.tokenizer.name_or_path).bos_token_id == 0
