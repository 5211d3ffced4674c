"""Scores of heads beside plain transformers: its own weights, its own attention."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM

from circuitcheck import AddressError, BehaviourAbsent, MethodError, Model, PromptError, load
from circuitcheck.bundled import PATH
from circuitcheck.engine.reading import heads
from circuitcheck.records.store import Store
from tests.architectures import ARCHITECTURES, saved
from tests.conftest import each

TEXT = "The old tree and the old tree. The cat saw the old tree."


@pytest.fixture(scope="module", params=["bundled", "Llama"])
def both(request: Any, raw: Model, tmp_path_factory: pytest.TempPathFactory) -> tuple[Model, Any]:
    """A model with raw weights, and transformers' own; the second has heads that share keys and values."""
    folder = PATH
    if request.param != "bundled":
        folder = saved(tmp_path_factory.mktemp("models") / "small", ARCHITECTURES[request.param], scale=0.4)
    network = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()
    return (raw if request.param == "bundled" else load(folder, weights="raw")), network


def matrices(network: Any, layer: int, head: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """A head's value weights [d_model, d_head] and bias, and its output weights [d_head, d_model], off transformers' modules."""
    config = network.config
    width = config.hidden_size // config.num_attention_heads
    rows = slice(head * width, (head + 1) * width)
    if hasattr(network, "transformer"):
        attention = network.transformer.h[layer].attn
        whole, bias = attention.c_attn.weight, attention.c_attn.bias
        start = 2 * config.hidden_size + head * width
        return whole[:, start : start + width], bias[start : start + width], attention.c_proj.weight[rows]
    attention = network.model.layers[layer].self_attn
    group = head // (config.num_attention_heads // config.num_key_value_heads)
    values = attention.v_proj.weight[group * width : (group + 1) * width].T
    return values, torch.zeros(width), attention.o_proj.weight[:, rows].T


@pytest.mark.parametrize("head", each(["L0.H0", "L1.H2", "L2.H3"], ("L1.H2",)))
def test_copying_is_that_of_all_eigenvalues_from_token_to_logit(both: tuple[Model, Any], head: str) -> None:
    """Of the whole matrix of tokens by tokens, as it is defined."""
    model, network = both
    with torch.no_grad():
        values, _, output = matrices(network, int(head[1]), int(head[4]))
        embedding, unembedding = network.get_input_embeddings().weight, network.get_output_embeddings().weight
        whole = (embedding @ values @ output @ unembedding.T).double().numpy()
    eigenvalues = np.linalg.eigvals(whole)
    found = model.head(head).copying.measure()
    assert found.estimate == pytest.approx(float(eigenvalues.sum().real / np.abs(eigenvalues).sum()), abs=1e-4)
    assert found.exact


def test_a_head_that_copies_has_one_and_one_that_suppresses_has_minus_one(tmp_path: Path) -> None:
    """Where value and output weights are each other's transpose, and embedding and unembedding are one matrix."""
    network = AutoModelForCausalLM.from_pretrained(PATH)
    attention = network.transformer.h[1].attn
    with torch.no_grad():
        for head, sign in ((0, 1), (1, -1)):
            values = attention.c_attn.weight[:, 256 + 32 * head : 288 + 32 * head]
            attention.c_proj.weight[32 * head : 32 * head + 32] = sign * values.T
        network.lm_head.weight = network.transformer.wte.weight
    network.config.tie_word_embeddings = True
    network.save_pretrained(tmp_path)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (tmp_path / name).write_bytes((PATH / name).read_bytes())
    model = load(tmp_path, weights="raw")
    assert model.head("L1.H0").copying == pytest.approx(1, abs=1e-3)
    assert model.head("L1.H1").copying == pytest.approx(-1, abs=1e-3)
    assert model.head("L1.H0").rank_by_copying == 1


def attention_scores(
    model: Model, network: Any, sequences: list[tuple[int, ...]], layer: int, head: int
) -> tuple[float, float]:
    """Previous-token and prefix-matching score, entry by entry."""
    previous, prefix = [], []
    for tokens in sequences:
        with torch.no_grad():
            pattern = (
                network(torch.tensor([tokens]), output_attentions=True).attentions[layer][0, head].double().numpy()
            )
        previous.append(np.mean([pattern[at, at - 1] for at in range(1, len(tokens))]))
        again = [at for at in range(len(tokens)) if tokens[at] in tokens[:at]]
        prefix.append(
            np.mean([sum(pattern[at, one + 1] for one in range(at) if tokens[one] == tokens[at]) for at in again])
        )
    return float(np.mean(previous)), float(np.mean(prefix))


@pytest.mark.parametrize("given", [None, [TEXT, "A tree is a tree."]])
def test_attention_scores_are_those_of_transformers_own_patterns(both: tuple[Model, Any], given: Any) -> None:
    model, network = both
    sequences = model.head("L0.H0", on=given)._sequences[0]
    for layer, head in ((0, 1), (1, 2), (2, 0)):
        scores = model.head(f"L{layer}.H{head}", on=given)
        wanted = attention_scores(model, network, sequences, layer, head)
        assert scores.previous_token.measure().estimate == pytest.approx(wanted[0], abs=1e-5)
        assert scores.prefix_matching.measure().estimate == pytest.approx(wanted[1], abs=1e-5)


def test_sequences_are_random_tokens_said_twice_behind_bos(bundled: Model) -> None:
    sequences, words = bundled.head("L0.H0")._sequences
    assert len(sequences) == 16
    assert len(set(sequences)) == 16
    for bos, *tokens in sequences:
        once = tokens[: len(tokens) // 2]
        assert bos == 0
        assert tokens == [*once, *once]
        assert len(set(once)) == len(once) == 31, "half of the 63 tokens that the context has beside BOS"
        assert bos not in once
    assert words == "16 sequences of 31 random tokens, each said twice (fixed seed)"


def test_ranks_are_among_all_heads(bundled: Model) -> None:
    all_heads = {f"L{layer}.H{head}": bundled.head(f"L{layer}.H{head}") for layer in range(3) for head in range(4)}
    for score in ("copying", "previous_token", "prefix_matching"):
        values = {name: getattr(head, score).measure().estimate for name, head in all_heads.items()}
        best = max(values, key=lambda name: values[name])
        assert getattr(all_heads[best], f"rank_by_{score}").measure().estimate == 1
        assert getattr(all_heads["L0.H1"], f"rank_by_{score}").measure().estimate == 1 + sum(
            value > values["L0.H1"] for value in values.values()
        )


@pytest.mark.parametrize("head", ["L1.H0", "L2.H3"])
def test_copies_are_what_the_head_writes_of_a_token_alone(both: tuple[Model, Any], head: str) -> None:
    model, network = both
    words = [" apple", " pear", " tree", " old", " Mary"]
    ids = [model.bridge.tokenizer.encode(word, add_special_tokens=False)[0] for word in words]
    values, bias, output = matrices(network, int(head[1]), int(head[4]))
    inner = getattr(network, "transformer", None) or network.model
    block = (inner.h if hasattr(inner, "h") else inner.layers)[int(head[1])]
    norm, last = getattr(block, "ln_1", None) or block.input_layernorm, getattr(inner, "ln_f", None) or inner.norm
    for top in (1, 5, 100):
        hits = 0
        with torch.no_grad():
            for token in ids:
                stream = network(torch.tensor([[0, token]]), output_hidden_states=True).hidden_states[1][0, -1]
                logits = network.lm_head(last((norm(stream) @ values + bias) @ output))
                hits += token in logits.topk(top).indices
        assert model.head(head).copies(words, top).measure().estimate == hits / len(words)


def test_what_is_no_head_and_no_text_is_said(bundled: Model) -> None:
    head = bundled.head("L1.H1")
    with pytest.raises((AddressError, MethodError), match="head"):
        bundled.head("L1.MLP")
    with pytest.raises(MethodError, match="L0.H0 is in the first layer"):
        bundled.head("L0.H0").copies([" apple"])
    with pytest.raises(PromptError, match="copies takes tokens, and there are none"):
        head.copies([])
    with pytest.raises(PromptError, match="is no text file"):
        bundled.head("L1.H1", on="nowhere.txt")
    with pytest.raises(BehaviourAbsent, match="none has a token that occurs twice"):
        bundled.head("L1.H1", on=["The cat saw"]).prefix_matching.measure()
    with pytest.raises(MethodError, match="top= is a whole number of at least 1"):
        head.copies([" apple"], top=0)
    with pytest.raises(MethodError, match="lies between -1 and 1; 3 does not"):
        _ = head.copying > 3


def test_what_heads_attend_to_is_remembered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def score() -> float:
        return load("bundled", store=Store(tmp_path / "store", print)).head("L1.H2").prefix_matching.measure().estimate

    first = score()
    monkeypatch.setattr("circuitcheck.engine.reading.heads._looked", None)
    assert score() == first


def test_the_vocabulary_is_gone_through_once_for_all_heads(
    anew: Callable[..., Model], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every head's score comes of one product over the vocabulary, whichever head is asked about."""
    model, asked = anew(), []
    product = heads._unembedded
    monkeypatch.setattr(heads, "_unembedded", lambda bridge: asked.append(1) or product(bridge))
    scores = [model.head(f"L1.H{head}").copying.measure().estimate for head in range(4)]
    assert len(asked) == 1
    assert len(set(scores)) == 4
    assert model.head("L1.H0").rank_by_copying <= 12
    assert len(asked) == 1
    with torch.no_grad():
        model.bridge.original_model.transformer.wte.weight.mul_(1.5).add_(0.01)
    assert model.head("L1.H0").copying.measure().estimate != scores[0]
    assert len(asked) == 2
