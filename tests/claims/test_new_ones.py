"""Claims about new templates and fillers."""

import numpy as np
import pytest
from scipy import stats

from circuitcheck import ClaimInconclusive, MethodError, Model, PromptPairs, contrast

NOUNS = [
    ("onion", "table"),
    ("owl", "lamp"),
    ("egg", "dog"),
    ("arrow", "horse"),
    ("umbrella", "book"),
    ("apple", "drum"),
]
NOUNS += [("elephant", "river"), ("engine", "hammer"), ("envelope", "lemon"), ("oven", "peach"), ("olive", "candle")]
FEW = PromptPairs(
    "They sold the {other}. We looked for the {noun} and found",
    noun=contrast.pairs(NOUNS),
    other=["window", "train", "airplane", "island"],
    answer=" an",
    foil=" a",
)


def test_a_mean_of_few_new_ones_is_not_decided_and_says_what_can_be_claimed(bundled: Model) -> None:
    verdict = bundled.on(FEW, generalise="noun").patch("L2.RESID_POST") > 0.5
    assert verdict.decision == "inconclusive"
    said = verdict.explain()
    limit = stats.binomtest(11, 11).proportion_ci().low
    assert "takes at least 36 (one in ten may fail), and there are 11" in said
    assert f".new_above(0.5) > {np.floor(100 * limit) / 100:g} (11 of 11 here)" in said
    assert "11 fillers of {noun}, each by 4 pairs" in said
    with pytest.raises(ClaimInconclusive):
        bool(verdict)
    upwards = bundled.on(FEW, generalise="noun").patch("L0.N3") < 0.5
    assert f".new_above(0.5) < {np.ceil(100 * (1 - limit)) / 100:g} (0 of 11 here)" in upwards.explain()


@pytest.mark.parametrize("threshold", [0.3, 0.6, 2.0])
def test_what_can_be_claimed_is_claimed_by_counting_each_new_one(bundled: Model, threshold: float) -> None:
    """Against the effects of each filler, by hand, and the limits of SciPy."""
    run = bundled.on(FEW, generalise="noun")
    effect = run.patch("L1.N8")
    shift, gaps = effect._estimand.shift_of(run._setup.described), run._setup.gaps_of(run._setup.described)
    own: dict[str, list[int]] = {}
    for row, pair in enumerate(run._setup.described[0].sample.pairs):
        own.setdefault({slot: clean for slot, clean, _ in pair.pair.fillers}["noun"], []).append(row)
    above = sum(shift[rows].mean() / gaps[rows].mean() > threshold for rows in own.values())
    exact = stats.binomtest(int(above), 11).proportion_ci()
    counted = effect.new_above(threshold)
    measured = counted.measure()
    assert (measured.estimate, measured.low, measured.high) == pytest.approx(
        (above / 11, exact.low, exact.high), abs=1e-6
    )
    assert str(measured).startswith(f"new fillers of {{noun}} with patch L1.N8 > {threshold:g} of the gap")
    assert not measured.exact
    if exact.low > 0.02:
        assert counted > exact.low - 0.01
        assert (counted > exact.low + 0.01).decision == "inconclusive"
    if exact.high < 0.98:
        assert counted < exact.high + 0.01


def test_a_new_one_without_the_behaviour_is_none_that_is_above(bundled: Model) -> None:
    """Two pairs the wrong way round have a gap below 0, and twice that is less than what is restored."""
    nouns = [*NOUNS[:6], ("river", "engine"), ("lemon", "elephant")]
    pairs = PromptPairs(*FEW.templates, noun=contrast.pairs(nouns), other=["window", "train"], answer=" an", foil=" a")
    effect = bundled.on(pairs, generalise="noun").patch("L2.RESID_POST")
    residual = effect._estimand.shift_of(effect._estimand.run.described) - 2 * effect._estimand.run.gaps_of(
        effect._estimand.run.described
    )
    assert (residual > 0).sum() == 4
    assert effect.new_above(2.0).measure().estimate == 0


def test_new_ones_are_counted_where_the_run_is_about_new_ones(bundled: Model) -> None:
    with pytest.raises(MethodError, match=r"say what is new, model.on\(pairs, generalise='template'\)"):
        bundled.on(FEW).patch("L1.N8").new_above(0.4)
    with pytest.raises(MethodError, match="40 % is written 0.4"):
        bundled.on(FEW, generalise="noun").patch("L1.N8").new_above(40)


def test_what_is_bounded_is_decided_of_few_new_ones_too(bundled: Model) -> None:
    run = bundled.on(FEW, generalise="noun")
    assert run.patch("L2.RESID_POST").pairs_above(0.5) > 0.4
    accuracy = bundled.on(FEW, readout="accuracy", generalise="noun")
    assert accuracy.patch("L2.RESID_POST").raw > 0.2
