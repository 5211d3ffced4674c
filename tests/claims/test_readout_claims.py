"""Claims about other readouts than the logit difference: what they are a share of, what bounds them, what they refuse."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from circuitcheck import BehaviourAbsent, ClaimInconclusive, MethodError, Model, PromptPairs, contrast, load
from tests import oracle
from tests.claims.test_effects import LARGE
from tests.conftest import Claims, each

NAMES = ["accuracy", "probability", "log_probability", "rank", "kl"]
SETS = PromptPairs(
    "The {event} lasted from the year 17{start} to the year 17",
    event=["war", "siege", "voyage", "trial"],
    start=contrast(clean=["60", "61", "65", "70", "72"], corrupt=["01"]),
    answer=lambda clean: [f"{year:02d}" for year in range(int(clean["start"]) + 1, 100)],
    foil=lambda clean: [f"{year:02d}" for year in range(int(clean["start"]) + 1)],
)


@pytest.mark.parametrize("name", each(["probability", "log_probability", "rank", "kl"], ("rank",)))
def test_answer_sets_are_read_as_sets(bundled: Model, name: Any) -> None:
    """Their probabilities are summed, and of their ranks the best counts."""
    effect = bundled.on(SETS, readout=name).patch("L0.H*")
    sample = effect._estimand.run.sample
    assert min(len(pair.answer) for pair in sample.pairs) > 20
    for pair, shift in zip(sample.pairs, effect._estimand.shift_on(sample), strict=True):
        source = oracle.activations(bundled, pair.clean)["blocks.0.attn.hook_z"]

        def put(z: torch.Tensor, hook: Any, source: Any = source) -> torch.Tensor:
            z[:] = source
            return z

        clean, before, after = (
            oracle.run(bundled, tokens, hooks)[0, -1]
            for tokens, hooks in (
                (pair.clean, []),
                (pair.corrupt, []),
                (pair.corrupt, [("blocks.0.attn.hook_z", put)]),
            )
        )
        expected = oracle.read(name, pair, after, clean) - oracle.read(name, pair, before, clean)
        assert shift == pytest.approx(expected, abs=1e-4)


def test_a_share_of_a_divergence_is_what_is_left_of_it(bundled: Model, fruit: PromptPairs) -> None:
    """1 - KL(clean || patched) / KL(clean || corrupted); an ablation's is KL(clean || ablated)."""
    run = bundled.on(fruit, readout="kl")
    assert run.gap.measure().estimate > 1
    everything = run.patch("L2.RESID_POST").measure()
    assert everything.estimate == pytest.approx(1, abs=1e-6)
    assert everything.estimate <= 1
    assert (run.ablate("L1.N8", "zero").raw.measure().per_pair >= 0).all()


def test_a_change_of_probability_is_bounded_by_nature(bundled: Model) -> None:
    """So that of a sample nothing is clipped; shares and logarithms have no bounds."""
    assert bundled.on(LARGE).gap.measure().exact is False
    for name, clipped in (("probability", "nothing"), ("accuracy", "nothing"), ("log_probability", "mean gaps of")):
        run = bundled.on(LARGE, readout=name)  # type: ignore[arg-type]
        assert clipped in run.gap.measure().method.clipped
    of_gap = bundled.on(LARGE, readout="probability").patch("L1.N8").measure()
    assert "mean gaps of" in of_gap.method.clipped
    assert "in probability" in of_gap.method.clipped
    shift = bundled.on(LARGE, readout="probability").patch("L1.N8").raw.measure()
    assert shift.method.clipped == "nothing"
    assert shift.low is not None
    assert shift.high is not None
    assert -1 <= shift.low < shift.estimate < shift.high <= 1


@pytest.mark.parametrize(
    ("name", "floor"), [("accuracy", 0.05), ("probability", 0.05), ("log_probability", 0.5), ("rank", 0.5), ("kl", 0.5)]
)
def test_a_behaviour_is_there_above_a_floor_in_its_own_unit(bundled: Model, name: Any, floor: float) -> None:
    weak = PromptPairs(
        "I climbed up the {tree} tree and picked a {tree}. I climbed up the {fruit} tree and picked",
        tree=contrast(clean=["pear", "plum"], corrupt=["fig", "peach"]),
        fruit=["apple", "olive"],
        answer=" an",
        foil=" a",
    )
    run = bundled.on(weak, readout=name)
    assert abs(run.gap.measure().estimate) < floor
    with pytest.raises(BehaviourAbsent, match=f"not above the floor of {floor}"):
        run.patch("L1.N8").measure()


def test_of_a_function_whatever_is_more_than_rounding_is_there(bundled: Model, fruit: PromptPairs) -> None:
    """Nobody has told its unit: a gap of a millionth may be much."""
    small = bundled.on(fruit, readout=lambda logits, pairs: 1e-6 * (logits[:, pairs[0].answer[0]]))
    whole = bundled.on(fruit, readout=lambda logits, pairs: logits[:, pairs[0].answer[0]])
    assert small.gap.measure().estimate < 1e-4
    share = small.patch("L1.N8").measure().estimate
    assert share == pytest.approx(whole.patch("L1.N8").measure().estimate, rel=1e-4)
    nothing = bundled.on(fruit, readout=lambda logits, pairs: 0 * logits[:, 0])
    with pytest.raises(BehaviourAbsent, match="is 0 .n=12., not above the floor of 0"):
        nothing.patch("L1.N8").measure()


def test_a_sample_on_which_a_function_says_nothing_decides_nothing(bundled: Model) -> None:
    run = bundled.on(LARGE, readout=lambda logits, pairs: 0 * logits[:, 0])
    with pytest.raises(ClaimInconclusive, match="does not establish"):
        run.patch("L1.N8").measure()
    assert run.gap.measure().estimate == 0


@pytest.mark.parametrize("name", NAMES)
def test_the_other_ways_of_asking_keep_working(bundled: Model, fruit: PromptPairs, name: Any) -> None:
    run = bundled.on(fruit, readout=name)
    effect = run.patch("L1.N8")
    assert effect.pairs_above(-0.5) > 0.99
    assert effect.each > -0.5
    assert effect.each.against("coordinate") > -0.5
    assert run.sweep("L1.N*").top(1)[0][0] == "L1.N8"
    controls = effect.measure().controls
    assert controls is not None
    assert controls.rank == 1
    assert effect.rank_within("L1.N*") <= 1
    assert effect > run.patch("L1.N3")
    assert effect.raw > 0.1 if name == "accuracy" else effect.of_gap > 0.1
    assert run.keep("L*.H* | L*.MLP").measure().estimate == pytest.approx(1)
    assert effect.across(positions=["@end", "all"]) > 0.1


def test_there_are_no_shares_of_a_distance_from_the_best(bundled: Model, fruit: PromptPairs) -> None:
    for name in ("log_probability", "rank", "kl"):
        with pytest.raises(MethodError, match=r"there are no shares of a .*: take \.of_gap or \.raw"):
            _ = bundled.on(fruit, readout=name).patch("L1.N8").of_clean  # type: ignore[arg-type]
    assert bundled.on(fruit, readout="probability").patch("L2.RESID_POST").of_clean.measure().estimate > 0.9


@pytest.mark.parametrize(
    ("name", "unit"),
    [("logit_diff", "logits"), ("probability", "probability"), ("kl", "nats"), ("rank", "places"), (len, "function")],
)
def test_each_readout_has_a_unit_of_its_own(bundled: Model, fruit: PromptPairs, name: Any, unit: str) -> None:
    function = (lambda logits, pairs: logits[:, pairs[0].answer[0]]) if name is len else name
    run = bundled.on(fruit, readout=function)
    raw, share = run.patch("L1.N8").raw.measure(), run.patch("L1.N8").measure()
    assert (raw.unit, share.unit) == (unit, "gap")
    assert raw.estimate == pytest.approx(share.estimate * run.gap.measure().estimate)


def test_a_share_of_the_behaviour_is_one_whatever_it_was_before(bundled: Model, fruit: PromptPairs) -> None:
    run = bundled.on(fruit)
    lost = run.ablate("L1.N8").measure()
    assert lost.unit == "behaviour"
    assert run.ablate("L1.N8").of_gap.of_behaviour.measure().estimate == lost.estimate
    with pytest.raises(MethodError, match=r"is no share of the behaviour: take another unit, such as \.of_gap"):
        run.patch("L1.N8").of_behaviour.measure()


def test_effects_of_different_readouts_are_not_compared(bundled: Model, fruit: PromptPairs) -> None:
    """Both are in nats, and mean different things."""
    kl, surprise = (bundled.on(fruit, readout=name).patch("L1.N8") for name in ("kl", "log_probability"))  # type: ignore[arg-type]
    with pytest.raises(
        MethodError, match="are of different readouts: minus the KL divergence from the clean run, last"
    ):
        _ = kl.raw > surprise.raw


def test_a_rank_that_rounding_may_change_decides_nothing(bundled: Model, fruit: PromptPairs) -> None:
    """In half precision many tokens stand as high as the answer does."""
    exact, rough = bundled.on(fruit, readout="rank"), load("bundled", dtype="bfloat16").on(fruit, readout="rank")
    assert exact.gap > exact.gap.measure().estimate - 0.01
    assert exact._setup.noise == 0
    assert rough.gap.measure().estimate > 0
    assert rough._setup.noise >= 1
    with pytest.raises(ClaimInconclusive):
        assert rough.gap > rough.gap.measure().estimate - 0.5


def test_reports_say_what_was_read(claims: Claims, tmp_path: Path) -> None:
    path = tmp_path / "claims.json"
    body = """
def of_an(logits, pairs):
    return logits[:, pairs[0].answer[0]]

def test_it(model):
    assert model.on(FRUIT, readout="probability").patch(ALL) > 0.9

def test_function(model):
    assert model.on(FRUIT, readout=of_an, at="@{fruit}+3").patch("L0.RESID_PRE@{fruit}") > 0.9
"""
    result = claims(body, f"--circuit-json={path}")
    result.assert_outcomes(passed=2)
    result.stdout.fnmatch_lines(
        [
            "supported * patch L2.RESID_POST [[]probability[]] > 0.9 of the gap: 1 (exact*",
            "supported * patch L0.RESID_PRE@{fruit} [[]of_an[]] [[]@{fruit}+3[]] > 0.9 of the gap: 1 (exact*",
        ]
    )
    found = [test["effects"][0]["method"]["readout"] for test in json.loads(path.read_text())["claims"]]
    assert found[0] == "probability of the answer, last position"
    assert found[1].endswith(".of_an, behind @{fruit}+3")
