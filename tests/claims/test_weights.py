"""Congruence against the weights themselves; exact figures and ranks, and how reports tell them."""

import json
import math
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch

from circuitcheck import ClaimInconclusive, ClaimRefuted, ComparisonError, MethodError, Model, PromptError, load
from circuitcheck.units import written
from tests.architectures import ARCHITECTURES, saved
from tests.conftest import Claims


def vectors(model: Model, against: str) -> torch.Tensor:
    """Each token's vector as a row, read from the modules themselves."""
    weight = model.bridge.unembed.W_U.T if against == "unembedding" else model.bridge.embed.weight
    return weight.detach().double()


def outputs(model: Model) -> torch.Tensor:
    """What each neuron of all layers writes, seen as what one unit of its activation adds to the MLP's output."""
    rows = []
    for block in model.bridge.blocks:
        with torch.inference_mode():
            width = model.anatomy.layers[0].count("N")
            one_each = torch.eye(width, dtype=model.bridge.cfg.dtype).unsqueeze(0)
            rows.append(block.mlp.out(one_each)[0] - block.mlp.out(torch.zeros_like(one_each))[0])
    return torch.cat(rows).double()


@pytest.mark.parametrize("against", ["unembedding", "embedding"])
@pytest.mark.parametrize(("neuron", "token"), [("L1.N8", " a"), ("L1.N8", " an"), ("L0.N3", " lemon"), ("L2.N47", 31)])
def test_congruence_is_what_a_unit_of_activation_adds(
    bundled: Model, neuron: str, token: str | int, against: Any
) -> None:
    number = token if isinstance(token, int) else bundled.bridge.tokenizer.convert_tokens_to_ids(f"Ġ{token[1:]}")
    layer, index = int(neuron[1]), int(neuron[4:])
    place = 48 * layer + index
    table = outputs(bundled) @ vectors(bundled, against).T
    of_token, of_neuron = table[:, number], table[place]
    found = bundled.congruence(neuron, token, against)
    assert found.value.measure().estimate == pytest.approx(float(table[place, number]), abs=1e-5)
    assert found.rank_among_neurons.measure().estimate == 1 + int((of_token > of_token[place]).sum())
    assert found.rank_among_tokens.measure().estimate == 1 + int((of_neuron > of_neuron[number]).sum())
    squares = bundled.bridge.blocks[layer].mlp.W_in[:, index].detach().double().square().mean()
    scaled = float(table[place, number] * squares)
    assert found.input_scaled.measure().estimate == pytest.approx(scaled, abs=1e-6)


def test_only_pairs_that_are_each_others_best_are_exclusive(bundled: Model) -> None:
    """Over all neurons and tokens at once, as the follow-up to the paper has it."""
    table = outputs(bundled) @ vectors(bundled, "unembedding").T
    best_tokens, best_neurons = table.argmax(1), table.argmax(0)
    leads = table.topk(2, dim=1).values.diff(dim=1)[:, 0].abs(), table.topk(2, dim=0).values.diff(dim=0)[0].abs()
    mutual = [place for place, token in enumerate(best_tokens) if best_neurons[token] == place]
    assert mutual
    for place in (*mutual[:5], 0, 56):
        token = int(best_tokens[place])
        found = bundled.congruence(f"L{place // 48}.N{place % 48}", token).exclusive.measure()
        expected = float(leads[0][place] * leads[1][token]) if place in mutual else 0.0
        assert found.estimate == pytest.approx(expected, abs=1e-5)
        assert (found.estimate > 0) == (place in mutual)
    [note] = bundled.congruence("L1.N8", " a").exclusive.measure().notes
    assert note == "the neuron's best token is ' a', the token's best neuron L1.N34"


def test_a_gated_neuron_is_what_its_output_projection_writes(stories: Model) -> None:
    table = outputs(stories) @ vectors(stories, "unembedding").T
    she = stories.bridge.tokenizer.convert_tokens_to_ids("▁She")
    width = stories.anatomy.layers[0].count("N")
    found = stories.congruence("L4.N7", " She")
    assert found.value.measure().estimate == pytest.approx(float(table[4 * width + 7, she]), abs=1e-5)
    assert found.rank_among_neurons.measure().n == 5 * width
    best = int(table[:, she].argmax())
    assert stories.congruence(f"L{best // width}.N{best % width}", " She").rank_among_neurons == 1
    with pytest.raises(MethodError, match=r"takes a neuron with one vector of input weights, and L4.N7 has two"):
        found.input_scaled.measure()


def test_it_is_lazy_and_about_the_weights_as_they_are(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Whatever is asked of one neuron and one token never makes a table of all neurons and all tokens."""
    model = load(saved(tmp_path, ARCHITECTURES["GPT-2"]))
    largest = []
    plain = torch.Tensor.__matmul__

    def watched(left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
        product = plain(left, right)
        largest.append(product.numel())
        return product

    monkeypatch.setattr(torch.Tensor, "__matmul__", watched)
    found = model.congruence("L1.N8", " a")
    assert repr(found) == "<congruence of L1.N8 with ' a'>"
    figures = [found.value, found.exclusive, found.input_scaled, found.rank_among_neurons, found.rank_among_tokens]
    assert [repr(figure) for figure in figures][:2] == [
        "<congruence of L1.N8 with ' a'>",
        "<mutually exclusive congruence of L1.N8 with ' a'>",
    ]
    assert not largest
    for figure in figures:
        figure.measure()
    assert max(largest) <= 850


def test_values_are_compared_as_exact_numbers(bundled: Model) -> None:
    value = bundled.congruence("L1.N8", " a").value
    number = value.measure().estimate
    assert value > 1.2
    assert value >= 1.2
    assert value < 1.3
    assert 1.2 < value < 1.3
    assert value == pytest.approx(1.25, abs=0.01)
    with pytest.raises(
        ClaimRefuted, match=r"refuted: congruence of L1.N8 with ' a' > 1.3: it is 1.254 \(exact, 1 neuron\)"
    ):
        assert value > 1.3
    with pytest.raises(ClaimRefuted):
        assert value == pytest.approx(1.3, abs=0.01)
    with pytest.raises(ClaimInconclusive, match="equals the threshold to within rounding"):
        assert value > number
    for near in (number - 1e-8, number + 1e-8):
        with pytest.raises(ClaimInconclusive):
            assert value > near
    with pytest.raises(ClaimInconclusive):
        assert value == pytest.approx(number + 0.01, abs=0.01)
    assert (value > 1.2).e_value == math.inf
    nonsense = [lambda: value == number, lambda: value != 1, lambda: bool(value), lambda: value > "much"]
    nonsense += [lambda: value > bundled.congruence("L1.N8", " an").value, lambda: value + 1, lambda: value > True]
    for comparison in nonsense:
        with pytest.raises(ComparisonError):
            comparison()


def test_ranks_are_compared_as_ranks(bundled: Model) -> None:
    found = bundled.congruence("L1.N8", " a")
    assert found.rank_among_tokens == 1
    assert found.rank_among_neurons == 2
    assert found.rank_among_neurons <= 5
    with pytest.raises(ClaimRefuted) as caught:
        assert found.rank_among_neurons == 1
    assert str(caught.value).splitlines() == [
        "refuted: rank among neurons of the congruence of L1.N8 with ' a' == 1: it is 2 (exact, 144 neurons)",
        "  model    bundled",
        "  method   processed weights: output weights · unembedding of ' a'",
        "  of       all 144 neurons of the model",
        "  note     its congruence is 1.254; the best of the others is L1.N34, 1.303",
    ]
    for nonsense in (lambda: found.rank_among_tokens > 1, lambda: found.rank_among_tokens == 1.5):
        with pytest.raises(ComparisonError):
            nonsense()


@contextmanager
def duplicated(model: Model, source: int, copy: int) -> Iterator[None]:
    """Two neurons of L0 with the same output weights, while the block lasts."""
    weight = model.bridge.blocks[0].mlp.W_out
    with torch.no_grad():
        before = weight[copy].clone()
        weight[copy] = weight[source]
        try:
            yield
        finally:
            weight[copy] = before


def test_ranks_are_written_in_full() -> None:
    assert (written(123_456, "rank"), written(123_456, "congruence")) == ("123,456", "1.23e+05")


def test_a_tie_is_neither_first_nor_second() -> None:
    model = load("bundled")  # whose weights are changed
    token = int((outputs(model) @ vectors(model, "unembedding").T)[5].argmax())
    alone = int(model.congruence("L0.N5", token).rank_among_neurons.measure().estimate)
    with duplicated(model, 5, 6):
        tied = model.congruence("L0.N5", token).rank_among_neurons
        assert tied <= alone + 1
        with pytest.raises(ClaimInconclusive, match="1 other is as good to within rounding"):
            assert tied == alone
        exclusive = model.congruence("L0.N5", token).exclusive
        with pytest.raises((ClaimInconclusive, ClaimRefuted)):
            assert exclusive > 0


@pytest.mark.parametrize(
    ("neuron", "token", "error", "words"),
    [
        ("L1.N8", " elephantine", PromptError, "' elephantine' is not one token but"),
        ("L1.N8", "an", PromptError, r"'an' is not one token but \['a', 'n'\]; ' an' is one"),
        ("L1.N8", 850, PromptError, "token 850 is outside the model's vocabulary of 850 tokens"),
        ("L1.N8", 2.5, PromptError, "a token is a text such as ' an', or a token id, not 2.5"),
        ("L1.N8", True, PromptError, "token True is outside"),
        ("L1.N[8,9]", " a", MethodError, "is not one neuron: write one, such as L2.N0"),
        ("L1.H0", " a", MethodError, "'L1.H0' is not one neuron"),
        ("L1.N8@end", " a", MethodError, "names a position, which means nothing here"),
    ],
)
def test_what_is_not_one_neuron_and_one_token_is_an_error(
    bundled: Model, neuron: str, token: Any, error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        bundled.congruence(neuron, token)


def test_congruence_is_against_the_unembedding_or_the_embedding(bundled: Model) -> None:
    with pytest.raises(MethodError, match="against='unembedding' or against='embedding', not 'logits'"):
        bundled.congruence("L1.N8", " a", "logits")  # type: ignore[arg-type]


def test_weights_that_cannot_be_read_are_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Any) -> torch.Tensor:
        raise NotImplementedError("quantised")

    model = load("bundled")
    monkeypatch.setattr(type(model.bridge.blocks[1].mlp), "W_out", property(refuse))
    with pytest.raises(MethodError, match=r"the output weights of L1.MLP cannot be read in this model: quantised"):
        model.congruence("L1.N8", " a").value.measure()


SUITE = """
def test_weights_agree(model):
    "Of all tokens, L1.N8 speaks most for ' a'."
    assert model.congruence("L1.N8", " a").rank_among_tokens == 1

def test_value(model):
    assert model.congruence("L1.N8", " an").value < -1

@pytest.mark.xfail(raises=ClaimRefuted, strict=True)
def test_wrong(model):
    assert model.congruence("L1.N8", " an").rank_among_neurons == 1

def test_forgotten(model):
    model.congruence("L1.N8", " a").rank_among_tokens == 1

def test_never_compared(model):
    model.congruence("L1.N8", " a")
"""


def test_claims_about_weights_are_reported_like_others(
    claims: Claims, pytester: pytest.Pytester, bundled: Model
) -> None:
    report, junit = Path(pytester.path, "claims.json"), Path(pytester.path, "junit.xml")
    options = (f"--circuit-json={report}", f"--junit-xml={junit}", "--circuit-fdr", "--circuit-mutate")
    result = claims(SUITE, *options)
    result.assert_outcomes(passed=2, failed=2, xfailed=1)
    result.stdout.fnmatch_lines(
        [
            "*a comparison was made and never asserted: rank among tokens *",
            "*passed without deciding a claim*",
            "supported     rank among tokens of the congruence of L1.N8 with ' a' == 1: 1 (exact, 850 tokens, bundled)  Of all tokens*",
            "supported     congruence of L1.N8 with ' an' < -1: -1.09 (exact, 1 neuron, bundled)  test_value",
            "refuted, as expected rank among neurons * == 1: 144 (exact, 144 neurons, bundled)*",
            "2 of 5 claims are established *",
            "mutants: 8 not applicable",
        ]
    )
    found = {claim["nodeid"].rpartition("::")[2]: claim for claim in json.loads(report.read_text())["claims"]}
    [effect] = found["test_weights_agree"]["effects"]
    assert (effect["verdict"], effect["estimate"], effect["low"], effect["high"]) == ("supported", 1, 1, 1)
    assert (effect["n"], effect["counted"], effect["unit"], effect["exact"]) == (850, "tokens", "rank", True)
    assert effect["method"]["value"] == "output weights · unembedding of ' a'"
    assert effect["fingerprint"] == bundled.fingerprint
    cases = {case.attrib["name"]: case for case in ET.parse(junit).iter("testcase")}
    properties = {p.attrib["name"]: p.attrib["value"] for p in cases["test_value"].iter("property")}
    assert properties["circuit.0.verdict"] == "supported"
    assert float(properties["circuit.0.estimate"]) == pytest.approx(-1.09, abs=0.01)
