"""Claims about generated text: what they say, what they refuse, and what is remembered."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from circuitcheck import MethodError, Model, PromptPairs, generated, load, scaled
from circuitcheck.records.store import Store
from tests.conftest import Claims


def says_an(text: str) -> bool:
    return text.startswith(" an ")


def climbs(text: str) -> bool:
    return "climbed" in text


AN = generated(says_an, 4)


def test_an_effect_is_the_share_with_it_minus_the_share_without(bundled: Model, fruit: PromptPairs) -> None:
    run = bundled.on(fruit, readout=AN)
    clean = run.accuracy.measure()
    assert clean.estimate == sum(says_an(one["clean"]) for one in clean.texts) / len(clean.texts)
    for effect in (run.ablate("L*.H*", "mean"), run.steer("L1.RESID_POST", [8.0] * 128)):
        found = effect.measure()
        shares = [[says_an(one[which]) for one in found.texts] for which in ("with", "without")]
        assert found.per_pair.tolist() == [int(ours) - int(theirs) for ours, theirs in zip(*shares, strict=True)]
        assert found.exact
        assert found.unit == "prompts"
    assert run.gap.measure().estimate == 1.0
    assert run.ablate("L*.H* | L*.MLP", "zero") < -0.5
    assert run.ablate("L*.H* | L*.MLP", "zero").raw.pairs_above(-0.5) < 0.5


@pytest.mark.parametrize(
    ("ask", "why"),
    [
        (lambda run: run.patch("L1.N8"), "no other run has anything: ablate"),
        (lambda run: run.patch("L1.N8", into="clean"), "no other run has anything: ablate"),
        (lambda run: run.ablate("L1.N8", "resample"), "ablation by resample has no source at tokens"),
        (lambda run: run.ablate("L1.N8", "counterfactual"), "ablation by counterfactual has no source at tokens"),
        (lambda run: run.keep("L1.N8"), "keep L1.N8 (mean) is read from the prompts' own runs"),
        (lambda run: run.lens("L1.RESID_POST"), "is read from the prompts' own runs"),
        (lambda run: run.attention("L0.H2", "{fruit}"), "is read from the prompts' own runs"),
        (lambda run: run.completeness("L1.N8"), "is read from the prompts' own runs"),
        (lambda run: run.independence("L1.N8"), "no other run has anything"),
        (lambda run: run.ablate("L1.N8 -> L2.MLP"), "with nothing held: paths"),
        (lambda run: run.ablate("L0.H2.PATTERN", 0), "attention patterns"),
        (lambda run: run.ablate("L1.N8", ln="frozen"), "frozen scales"),
        (lambda run: run.ablate("L1.N8").of_gap, "a share of nothing else"),
        (lambda run: run.ablate("L1.N8").each.against("gradient") < 0.5, "search it against('coordinate')"),
        (lambda run: run.sweep("L1.N*"), "no other run has anything"),
    ],
)
def test_what_has_no_source_or_no_text_is_refused(
    bundled: Model, fruit: PromptPairs, ask: Callable[[Any], Any], why: str
) -> None:
    with pytest.raises(MethodError) as caught:
        ask(bundled.on(fruit, readout=AN))
    assert why in str(caught.value)


@pytest.mark.parametrize(
    ("predicate", "why"),
    [
        (lambda text: len(text), "gave 14 for the text ' an olive... I': it must say True or False, as in bool(...)"),
        (lambda text: None, "gave None for the text ' an olive... I': it must say True or False"),
        (lambda text: text[100] == "a", "raised IndexError (string index out of range) for the text ' an olive... I'"),
    ],
)
def test_a_predicate_says_true_or_false(bundled: Model, fruit: PromptPairs, predicate: Any, why: str) -> None:
    with pytest.raises(MethodError) as caught:
        bundled.on(fruit, readout=generated(predicate, 6)).accuracy.measure()
    assert why in str(caught.value)


@pytest.mark.parametrize("given", [("an", 4), (None, 4), (says_an, 0), (says_an, True), (says_an, 2.5), (says_an, "4")])
def test_what_is_no_predicate_or_no_number_of_tokens_is_refused(given: tuple[Any, Any]) -> None:
    with pytest.raises(MethodError):
        generated(*given)


def test_a_text_that_would_be_longer_than_the_model_is_made_for_is_refused(bundled: Model, fruit: PromptPairs) -> None:
    with pytest.raises(MethodError, match="a prompt of 20 tokens and 46 that are generated are more than the 64"):
        bundled.on(fruit, readout=generated(says_an, 46)).accuracy.measure()
    assert bundled.on(fruit, readout=generated(says_an, 45)).accuracy > 0.9


def test_texts_are_remembered_whatever_is_asked_of_them(
    tmp_path: Path, more_fruit: PromptPairs, monkeypatch: pytest.MonkeyPatch
) -> None:
    def measured(predicate: Any) -> list[Any]:
        with_store = load("bundled", store=Store(tmp_path / "store", print))
        run = with_store.on(more_fruit, readout=generated(predicate, 6))
        effects = run.accuracy, run.ablate("L*.MLP", "mean"), run.ablate("L*.MLP", scaled(0.5))
        found = [effect.measure() for effect in effects]
        return [(one.estimate, one.texts, one.notes) for one in found]

    first = measured(says_an)
    monkeypatch.setattr("circuitcheck.engine.generation.continuing._Run.logits", None)
    assert measured(says_an) == first
    assert [texts for _, texts, _ in measured(climbs)] == [texts for _, texts, _ in first]


def test_an_ablation_that_changes_nothing_says_so(bundled: Model, fruit: PromptPairs) -> None:
    notes = bundled.on(fruit, readout=AN).ablate("L1.MLP", scaled(1)).measure().notes
    assert any("inert" in note for note in notes)
    assert not any(
        "inert" in note for note in bundled.on(fruit, readout=AN).ablate("L1.MLP", scaled(2)).measure().notes
    )


SUITE = """
from circuitcheck import generated

def says_an(text):
    return text.startswith(" an ")

def test_articles(model):
    "It writes the article."
    run = model.on(FRUIT, readout=generated(says_an, 4))
    assert run.accuracy > 0.9
    assert run.ablate("L*.H* | L*.MLP", "zero") < -0.9
    assert run.ablate("L1.N8", 0).each > -1.5

def test_wrong(model):
    "It does not."
    assert model.on(FRUIT, readout=generated(says_an, 4)).ablate("L0.H0", 0) < -0.9
"""


def test_reports_show_texts(claims: Claims, pytester: pytest.Pytester) -> None:
    first = claims(SUITE, "--circuit-json=r.json", "--circuit-html=p.html")
    first.assert_outcomes(passed=1, failed=1)
    first.stdout.fnmatch_lines(
        ["*refuted: ablate L0.H0 (0) [[]says_an, 4 tokens] < -0.9 of the prompts: it is -0.5 (exact, n=8)*"]
    )
    first.stdout.fnmatch_lines(["*range*lowest -1 for*(without ' an apple..', with ' a apple..')*"])
    report = json.loads((pytester.path / "r.json").read_text(encoding="utf-8"))
    effects = [effect for claim in report["claims"] for effect in claim["effects"]]
    assert effects[1]["lowest"][0]["texts"]["without"].startswith(" an ")
    assert not effects[1]["lowest"][0]["texts"]["with"].startswith(" an ")
    page = (pytester.path / "p.html").read_text(encoding="utf-8")
    assert "<i>without</i> <q> an apple..</q>" in page


def test_a_lock_notices_what_is_no_longer_written(claims: Claims) -> None:
    suite = SUITE.partition("def test_wrong")[0]
    claims(suite, "--circuit-lock=update").assert_outcomes(passed=1)
    assert claims(suite, "--circuit-lock=check").ret == 0
    weaker = claims(suite.replace("< -0.9", "< -0.2"), "--circuit-lock=check")
    assert weaker.ret == 1
    weaker.stdout.fnmatch_lines(["*lock: *finding* against circuitcheck.lock*"])
