"""How evidence is gathered: how precise it becomes, when it stops, what is refused beforehand, what must be there."""

import math
from typing import Any

import numpy as np
import pytest

from circuitcheck import ClaimInconclusive, MethodError, Model, PromptPairs, contrast, ledger
from circuitcheck.settings import Settings, stage_ends
from circuitcheck.statistics.betting import log_wealth, narrowest, pairs_at_least
from tests.claims.test_effects import LARGE
from tests.conftest import Claims

ENDS = set(stage_ends(1024))


def half(measured: Any) -> float:
    return float(measured.high - measured.low) / 2


# As precise as wanted


@pytest.mark.parametrize("precision", [0.2, 0.05])
def test_an_interval_becomes_as_narrow_as_is_wanted(bundled: Model, precision: float) -> None:
    effect = bundled.on(LARGE).patch("L1.N8")
    measured = effect.measure(precision=precision)
    assert half(measured) <= precision
    assert measured.n in ENDS
    assert measured.stopped == "precision"
    before = max(end for end in ENDS if end < measured.n)
    earlier = effect._estimand.evidence(list(effect._estimand.run.drawn.stages(before)))
    low, high = earlier.interval()
    assert low is None or high is None or high - low > 2 * precision


def test_a_budget_that_does_not_buy_the_precision_says_so(bundled: Model) -> None:
    with ledger.opened({"budget": 64}):
        measured = bundled.on(LARGE).patch("L1.N8").measure(precision=0.05)
    assert (measured.n, measured.stopped) == (64, "budget")
    assert half(measured) > 0.05
    assert f"the budget is spent, and half of the interval is {half(measured):.3g}, not 0.05" in measured.notes


def test_a_verdict_goes_on_until_it_is_as_precise_as_is_wanted(bundled: Model) -> None:
    effect = bundled.on(LARGE).patch("L1.N8")
    soon = effect > 0.3
    with ledger.opened({"precision": 0.05}):
        late = bundled.on(LARGE).patch("L1.N8") > 0.3
        refuted = bundled.on(LARGE).patch("L1.N8") < 0.3
    assert (soon.decision, late.decision, refuted.decision) == ("supported", "supported", "refuted")
    assert soon.measurement.n < late.measurement.n == refuted.measurement.n
    assert half(late.measurement) <= 0.05 < half(soon.measurement)
    assert soon.measurement.stopped == "verdict"
    assert f"n={soon.measurement.n}, stopped at the verdict" in soon.line
    assert "stopped" not in late.line


@pytest.mark.parametrize("wrong", [0, -0.1, math.inf, math.nan])
def test_what_is_no_precision_is_refused(bundled: Model, wrong: float) -> None:
    with pytest.raises(MethodError, match="a precision is a positive|finite"):
        bundled.on(LARGE).patch("L1.N8").measure(precision=wrong)


def test_evidence_goes_on_until_a_bet_has_won_what_is_wanted(bundled: Model) -> None:
    """As under --circuit-fdr; a claim that is refuted, or cannot win that, stops where it would."""
    usual = bundled.on(LARGE).patch("L1.N8") > 0.3
    with ledger.opened({"e_value": 2000.0}):
        won = bundled.on(LARGE).patch("L1.N8") > 0.3
    assert 40 <= usual.e_value < 2000 <= won.e_value
    assert usual.measurement.n < won.measurement.n < 1024
    assert won.decision == "supported"


BODY = """
from tests.claims.test_effects import LARGE

def test_it(model):
    assert model.on(LARGE).patch("L1.N8") > 0.3
"""


@pytest.mark.slow
def test_the_precision_is_an_option_an_ini_key_and_a_markers(claims: Claims, pytester: pytest.Pytester) -> None:
    assert claims(BODY).stdout.str().count("stopped at the verdict") == 1
    assert "stopped" not in (said := claims(BODY, "--circuit-precision=0.05").stdout.str())
    assert "1 supported" in said
    pytester.makeini("[pytest]\ncircuit_precision = 0.05")
    assert "stopped" not in claims(BODY).stdout.str()
    marked = BODY.replace("def test_it", "@pytest.mark.circuit(precision=0.05)\ndef test_it")
    pytester.makeini("[pytest]\n")
    assert "stopped" not in claims(marked).stdout.str()
    claims(BODY, "--circuit-precision=none").stdout.fnmatch_lines(["*--circuit-precision is a number*not 'none'*"])


# Equivalences


@pytest.mark.parametrize(("alpha", "bound"), [(0.05, 2.0), (0.01, 1.0)])
def test_how_narrow_an_interval_can_be_is_what_pairs_that_do_not_differ_say(alpha: float, bound: float) -> None:
    for n in (48, 256, 1024):
        least = narrowest(n, bound, alpha / 2, None)
        assert log_wealth(np.full(n, least), bound)[-1] >= math.log(2 / alpha)
        assert log_wealth(np.full(n, 0.999 * least), bound)[-1] < math.log(2 / alpha)
        assert pairs_at_least(least, bound, alpha / 2) == n
    assert narrowest(48, 2.0, 0.025, None) == pytest.approx(0.23, abs=0.01)


@pytest.mark.parametrize("unit", ["of_gap", "raw"])
def test_an_equivalence_that_the_budget_cannot_show_is_refused_before_it_runs(anew: Any, unit: str) -> None:
    model = anew(Settings(budget=256))
    effect = getattr(model.on(LARGE).patch("L0.N3"), unit)
    scale = 1.0 if unit == "of_gap" else effect._estimand.run.scale
    with pytest.raises(
        MethodError, match=r"cannot be shown by 256 pairs: even where none differs from another"
    ) as told:
        _ = effect == pytest.approx(0, abs=0.02 * scale)
    assert "--circuit-budget=768" in str(told.value)
    assert effect._estimand._gathered == {} or unit == "raw"
    assert effect == pytest.approx(0, abs=0.1 * scale)


def test_an_equivalence_to_all_of_something_bounded_has_but_one_side_to_show(anew: Any) -> None:
    model = anew(Settings(budget=128))
    share = model.on(LARGE).patch("L1.N8").pairs_above(0.1)
    assert share == pytest.approx(1.0, abs=0.1)
    with pytest.raises(MethodError, match="cannot be shown by 128 pairs"):
        _ = share == pytest.approx(1.0, abs=0.01)


# What must be there


def test_a_gap_that_scatters_widely_is_established_all_the_same(anew: Any) -> None:
    """Gaps of 1 and, in one pair of eight, of 9: many standard errors above the floor, and far beyond one mean gap."""
    model: Model = anew(Settings(whole=8))

    def reading(logits: Any, pairs: Any) -> Any:
        import torch

        large = torch.tensor([sum(pair.clean) % 8 == 0 for pair in pairs])
        return torch.sign(logits[:, pairs[0].answer[0]] - logits[:, pairs[0].foil[0]]) * torch.where(large, 9.0, 1.0)

    effect = model.on(LARGE, readout=reading).patch("L2.RESID_POST")
    gaps = effect._estimand.run.gaps_of(effect._estimand.run.described)
    assert gaps.max() > 4 * gaps.mean()
    assert effect > 0.8


@pytest.mark.parametrize("readout", ["accuracy", "probability"])
def test_a_clean_readout_that_is_bounded_is_established_between_its_own_limits(bundled: Model, readout: Any) -> None:
    effect = bundled.on(LARGE, readout=readout).patch("L1.MLP@-2", into="clean").of_clean
    stages = list(effect._estimand.run.drawn.stages(32))
    from circuitcheck.claims.presence import _needed

    gap, clean = _needed(effect._estimand, stages)
    assert (gap.limits, clean.limits) == ((-1.0, 1.0), (0.0, 1.0))
    evidence, floor = effect._estimand.run._presence_of(stages, clean)
    assert (evidence.limits, floor) == ((0.0, 1.0), 0.05)


def test_the_sum_of_parts_is_bounded_by_nothing(bundled: Model) -> None:
    """Three parts may sum up to 3, whatever bounds each."""
    run = bundled.on(LARGE, readout="accuracy")
    assert run.patch("L2.RESID_POST | L1.RESID_POST | L2.RESID_MID").over_parts < 0.9


def test_what_is_not_established_says_how_many_pairs_it_may_take(bundled: Model) -> None:
    with ledger.opened({"budget": 32, "alpha": 1e-8}), pytest.raises(ClaimInconclusive) as told:
        _ = bundled.on(LARGE).patch("L1.N8") > 0.3
    said = str(told.value)
    assert "% interval" in said
    assert "it may take about" in said
    assert "--circuit-budget=" in said
    assert ".raw, which is a share of nothing" in said


def test_of_few_templates_most_must_have_the_behaviour(anew: Any) -> None:
    """Of eight fillers of which half have no gap, nothing is a share."""
    model: Model = anew()
    right = [("onion", "table"), ("owl", "lamp"), ("egg", "dog"), ("arrow", "horse")]
    wrong = [("umbrella", "book"), ("apple", "drum"), ("elephant", "river"), ("engine", "hammer")]
    pairs = PromptPairs(
        "They sold the {other}. We looked for the {noun} and found",
        noun=contrast.pairs([*right, *((corrupt, clean) for clean, corrupt in wrong)]),
        other=["window", "train", "airplane"],
        answer=" an",
        foil=" a",
    )
    with pytest.raises(ClaimInconclusive, match="4 of 8 are above it, which does not establish that most new ones are"):
        model.on(pairs, generalise="noun").patch("L1.N8").measure()
