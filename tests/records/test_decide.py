"""Claims decided again from what is remembered, without a model."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from circuitcheck import ClaimInconclusive, ClaimRefuted, Model, PromptPairs, contrast
from circuitcheck.cli import main
from circuitcheck.records.decisions import answer, as_text, read
from circuitcheck.records.store import NAME, Store
from circuitcheck.statistics.evidence import Evidence, Order
from circuitcheck.statistics.reference_parts import Parts
from tests.conftest import Claims

SUITE = """
def test_restores(model):
    assert model.on(FRUIT).patch("L1.N8") > 0.4
def test_twice(model):
    for _ in range(2):
        assert model.on(FRUIT).patch("L1.N8") > 0.2
def test_every(model):
    assert model.on(FRUIT).patch("L1.N8").each > 0
def test_rank(model):
    assert model.on(FRUIT).patch("L1.N8").rank_within("L1.N[8,9]") <= 1
def test_several(model):
    assert model.on(FRUIT).minimality("L0.H2 | L1.N8") > 0.02
    assert model.on(FRUIT).patch("L1.N8") > 0.2
def test_weights(model):
    assert model.congruence("L1.N8", " an").value > 0
def test_other(model):
    assert model.on(FRUIT).patch("L1.N9") <= 0.3
"""


@pytest.mark.parametrize("threshold", [0.3, 0.55, 0.597, 0.6, 0.62, 0.9])
@pytest.mark.parametrize("operator", [">", "<=", "=="])
def test_another_threshold_is_decided_as_a_run_would(bundled: Model, threshold: float, operator: str) -> None:
    """On the whole population; from a sample as much is known as the pairs that were drawn say."""
    nouns = PromptPairs(
        "We looked for the {noun} and found",
        noun=contrast(clean=["eagle", "engine", "apple"], corrupt=["lemon", "window", "bottle"]),
        answer=" an",
        foil=" a",
    )
    effect = bundled.on(nouns).patch("L1.N8")

    def compared(value: float) -> Any:
        if operator == "==":
            return effect == pytest.approx(value, abs=0.05)
        return effect > value if operator == ">" else effect <= value

    verdict = compared(0.1)
    assert verdict.evidence is not None
    kept = read("test", as_text(verdict.asked(), verdict.evidence))
    assert answer(kept, threshold, None).decision == compared(threshold).decision
    assert answer(kept, threshold, None).post_hoc == ()


def test_evidence_comes_back_as_it_was(bundled: Model, fruit: PromptPairs) -> None:
    chance = np.random.default_rng(0)
    verdict = bundled.on(fruit).patch("L1.N8") > 0.1
    verdict.evidence = Evidence(
        chance.uniform(-0.9, 0.9, size=40),
        np.ones(40),
        False,
        0.1,
        (-1.0, 1.0),
        Order(tuple(range(40)), 41, 60),
        doubt=np.zeros(40),
        parts=Parts(chance.normal(0, 0.01, 12), np.ones(12), 0.5),
        spent=0.2,
        others=(Evidence(chance.uniform(-0.9, 0.9, size=40), np.ones(40), False, 0.1, (-1.0, 1.0)),),
    )
    again = read("test", as_text(verdict.asked(), verdict.evidence)).evidence
    assert again.interval() == verdict.evidence.interval()
    assert again.order == verdict.evidence.order
    assert np.array_equal(again.shift, verdict.evidence.shift)
    for name in ("parts", "spent", "others"):
        plain = replace(
            verdict.evidence, **{name: type(getattr(verdict.evidence, name))() if name != "parts" else None}
        )
        assert plain.interval() != again.interval()


def test_decide_answers_at_another_threshold(
    claims: Claims, pytester: pytest.Pytester, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    claims(SUITE)
    monkeypatch.chdir(pytester.path)
    capsys.readouterr()
    name = "test_decide_answers_at_another_threshold.py::test_restores"
    assert main(["decide", "test_restores", "--threshold", "0.5"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        f"supported: patch L1.N8 > 0.5 of the gap: it is 0.5989 (exact, n=8, bundled)  {name}"
    ]
    assert main(["decide", "test_restores", "--threshold", "0.7"]) == 1
    assert main(["decide", "test_twice", "--threshold", "0.5"]) == 0
    assert main(["decide", "test_restores", "--alpha", "0.01", "--site", "L1.N9"]) == 1
    assert capsys.readouterr().out.splitlines()[-2:] == [
        f"refuted: patch L1.N9 > 0.4 of the gap: it is {found(pytester)} (exact, n=8, bundled)  {name}",
        "  post hoc: of L1.N9, where the test is about L1.N8; alpha 0.01, where the test has 0.05",
    ]
    assert main(["decide", "test_restores", "--site", "L9"]) == 2
    assert "  L1.N9, population" in capsys.readouterr().err
    assert main(["decide", "test_nothing"]) == 2
    capsys.readouterr()
    assert main(["decide", "test_several", "--threshold", "0.01"]) == 2
    told = capsys.readouterr()
    assert told.out.startswith("supported: patch L1.N8 > 0.01 of the gap")
    by_test = {line.partition(" is not decided again")[0].partition("::")[2]: line for line in told.err.splitlines()}
    assert list(by_test) == ["test_several"]
    assert main(["decide", "test_", "--threshold", "0.01"]) == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if "is not decided again, but run: " in line]
    named = {line.partition(" is")[0].partition("::")[2]: line.partition("run: ")[2] for line in lines}
    assert list(named) == ["test_every", "test_rank", "test_several", "test_weights"]
    assert named["test_every"].startswith("every pair's patch L1.N8 > 0 of the gap: a search looked for pairs")
    assert "<= 1: a rank rests on a comparison with each other" in named["test_rank"]
    assert ", the worst of 2 members > 0.02 of the behaviour: the worst of several" in named["test_several"]
    assert ": the number is exact, " in named["test_weights"]
    assert main(["store", "show"]) == 0
    assert ", 4 tests can be decided again" in capsys.readouterr().out
    assert main(["decide", "--alpha", "2"]) == 2


def found(pytester: pytest.Pytester) -> str:
    rows = Store(Path(pytester.path, NAME)).decisions()
    kept = [read(*row) for row in rows if "evidence" in row[1]]
    return f"{next(one for one in kept if one.site == 'L1.N9').evidence.estimate:.4g}"


def test_a_verdict_has_evidence_only_where_any_threshold_is_decided_by_it(bundled: Model, fruit: PromptPairs) -> None:
    effect = bundled.on(fruit).patch("L1.N8")
    assert (effect > 0.4).evidence is not None
    for verdict in (effect.each > 0.1, effect.rank_within("L1.N*") <= 1):
        assert verdict.evidence is None
    with pytest.raises((ClaimRefuted, ClaimInconclusive)):
        assert effect > 0.99
