"""Effects in a notebook: units, samples, differences, shares of pairs."""

from collections.abc import Callable

import numpy as np
import pytest

from circuitcheck import (
    BehaviourAbsent,
    ClaimInconclusive,
    ClaimRefuted,
    MethodError,
    Model,
    PromptPairs,
    contrast,
    load,
)
from circuitcheck.claims.combining.differences import Difference
from circuitcheck.claims.estimand import Estimand
from circuitcheck.claims.presence import e_value_of_presence
from circuitcheck.settings import Settings


def test_nothing_is_computed_before_it_is_asked_for(
    bundled: Model, fruit: PromptPairs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bundled._loaded.answers.engine, "_read", None)
    run = bundled.on(fruit)
    effects = [
        run.accuracy,
        run.gap,
        run.patch("L0.H0@end"),
        run.ablate("L1.MLP", "resample"),
        run.patch("L2.N8").of_clean,
    ]
    effects.append(run.patch("L2.N8").pairs_above(0.1))
    assert all("effect" in repr(effect) for effect in effects)


def test_units_are_the_same_shift_over_another_base(bundled: Model, fruit: PromptPairs) -> None:
    effect = bundled.on(fruit).patch("L0.H0 | L2.N8")
    logits, gap, clean = (e.measure().estimate for e in (effect.raw, effect.of_gap, effect.of_clean))
    run = bundled.on(fruit)
    assert gap == pytest.approx(logits / run.gap.measure().estimate)
    assert clean == pytest.approx(
        logits / bundled._loaded.answers.base(run._setup.sample, "clean", run._setup.readout).values.mean()
    )
    assert effect.measure().estimate == gap == effect.measure().value
    lost = run.ablate("L2.N8", "zero")
    assert lost.of_gap.measure().estimate == pytest.approx(lost.raw.measure().estimate / run.gap.measure().estimate)


def test_numbers_per_pair_average_to_the_estimate(bundled: Model, fruit: PromptPairs) -> None:
    measured = bundled.on(fruit).patch("L2.N8").measure()
    assert measured.per_pair.shape == (measured.n,) == (len(measured.pairs),)
    assert measured.per_pair.mean() == pytest.approx(measured.estimate)
    assert bundled.on(fruit).patch("L2.N8").measure().per_pair == pytest.approx(measured.per_pair)


def test_a_measurement_says_all_that_it_depends_on(bundled: Model, fruit: PromptPairs) -> None:
    method = bundled.on(fruit).ablate("L1.H2@end | L1.H3@end", "mean").measure().method
    assert (method.verb, method.granularity, method.value, method.direction) == ("ablate", "head", "mean", "ablation")
    assert (method.positions, method.sites, method.universe) == ("@end", 2, "L*.H* | L*.MLP")
    assert "clean and corrupted prompts" in method.reference
    method = bundled.on(fruit).patch("L2.N8", into="clean").measure().method
    assert (method.value, method.direction, method.positions) == ("corrupted activation", "noising", "all")


def test_a_paired_difference_compares_two_sites_on_the_same_pairs(bundled: Model, fruit: PromptPairs) -> None:
    run = bundled.on(fruit)
    shares = {site: run.patch(site).measure().estimate for site in ("L0.ATTN", "L1.H0")}
    better, worse = sorted(shares, key=shares.__getitem__, reverse=True)
    verdict = run.patch(better) > run.patch(worse)
    assert verdict
    assert verdict.measurement.estimate == pytest.approx(shares[better] - shares[worse])
    with pytest.raises(ClaimRefuted):
        assert run.patch(better) < run.patch(worse)


def test_differences_of_other_things_are_refused(bundled: Model, fruit: PromptPairs) -> None:
    run = bundled.on(fruit)
    other = PromptPairs(
        "I saw the {x} and took", x=contrast(clean=["apple"], corrupt=["lemon"]), answer=" an", foil=" a"
    )
    with pytest.raises(MethodError, match="same model and pairs"):
        _ = run.patch("L0.H0") > bundled.on(other).patch("L0.H0")
    with pytest.raises(MethodError, match="shares of different things"):
        _ = run.patch("L0.H0") > run.ablate("L0.H0")
    assert (run.patch("L0.ATTN").raw > run.ablate("L1.H0").raw).decision in ("supported", "refuted")


def test_the_share_of_pairs_above_a_threshold_is_counted(bundled: Model, fruit: PromptPairs) -> None:
    effect = bundled.on(fruit).patch("L0.ATTN")
    middle = float(np.median(effect.measure().per_pair)) + 1e-3
    share = float((effect.measure().per_pair > middle).mean())
    assert effect.pairs_above(middle).measure().estimate == pytest.approx(share)
    assert effect.pairs_above(-9) >= 1
    with pytest.raises(MethodError, match="lies between 0 and 1"):
        _ = effect.pairs_above(0.5) > 95


def test_shares_of_an_absent_behaviour_are_errors_and_raw_numbers_are_not(bundled: Model) -> None:
    nothing = PromptPairs("The {x} is", x=contrast(clean=["apple"], corrupt=["lemon"]), answer=" an", foil=" a")
    run = bundled.on(nothing)
    for share in (
        run.patch("L0.H0"),
        run.ablate("L0.H0"),
        run.patch("L0.H0").of_clean,
        run.patch("L0.H0").pairs_above(0),
    ):
        with pytest.raises(BehaviourAbsent, match="not above the floor of 0.5"):
            share.measure()
    assert np.isfinite(run.patch("L0.H0").raw.measure().estimate)


LARGE = PromptPairs(
    "They sold the {other}. We looked for the {x} and found",
    other=["window", "boat", "pillow", "airplane", "apple", "engine", "door", "table", "ticket", "garden"],
    x=contrast(
        clean=["apple", "olive", "orange", "engine", "airplane", "island", "office", "oven", "elephant", "umbrella"],
        corrupt=["lemon", "peach", "banana", "pillow", "window", "boat", "door", "table", "book", "garden"],
    ),
    distinct=("other", "x"),
    answer=" an",
    foil=" a",
)


def test_a_large_population_is_sampled_and_says_so(bundled: Model) -> None:
    measured = bundled.on(LARGE).patch("L0.ATTN").measure()
    assert (measured.n, measured.exact, measured.level) == (256, False, 0.95)
    assert measured.low is not None
    assert measured.high is not None
    assert measured.low < measured.estimate < measured.high
    assert "interval" in str(measured)


@pytest.mark.slow
def test_samples_differ_by_seed_and_agree_with_the_whole(anew: Callable[..., Model]) -> None:
    whole = anew(Settings(whole=1000)).on(LARGE).patch("L2.N8").measure()
    assert whole.exact
    estimates = set()
    for seed in range(3):
        sampled = anew(Settings(budget=128, seed=seed)).on(LARGE).patch("L2.N8").measure()
        assert sampled.estimate == pytest.approx(whole.estimate, abs=0.1)
        estimates.add(sampled.estimate)
    assert len(estimates) == 3


def test_claims_on_one_population_share_their_pairs(bundled: Model) -> None:
    again = PromptPairs(
        "We looked for the {x} and found", x=contrast(clean=["apple"], corrupt=["lemon"]), answer=" an", foil=" a"
    )
    assert bundled.on(again)._setup.sample is bundled.on(again)._setup.sample
    assert bundled.on(LARGE).patch("L0.H0").measure().pairs == bundled.on(LARGE).ablate("L1.H0").measure().pairs


def test_a_sampled_population_has_a_reference_set_of_its_own(bundled: Model) -> None:
    reference = bundled.on(LARGE)._setup.reference
    assert len(reference.sample.pairs) == 256
    assert (
        reference.identity("both") == bundled.on(LARGE)._setup.reference.identity("both") != reference.identity("clean")
    )
    assert bundled.on(LARGE).ablate("L0.ATTN", "mean").measure().n == 256


def test_answers_may_be_sets(bundled: Model) -> None:
    """The difference is then of log-sum-exps; with the same set on top of one another, of nothing."""
    pairs = PromptPairs(
        "We looked for the {x} and found",
        x=contrast(clean=["apple"], corrupt=["lemon"]),
        answer=[" an", " the"],
        foil=[" a"],
    )
    run = bundled.on(pairs)
    import torch

    from tests import oracle

    pair = run._setup.sample.pairs[0]
    last = oracle.run(bundled, pair.clean)[0, -1].double()
    expected = torch.logsumexp(last[list(pair.answer)], 0) - last[pair.foil[0]]
    assert len(pair.answer) == 2
    assert run.gap.measure().estimate == pytest.approx(
        float(expected) - oracle.logit_difference(bundled, pair, oracle.run(bundled, pair.corrupt)), abs=1e-4
    )


def test_show_marks_the_slots(bundled: Model, fruit: PromptPairs, capsys: pytest.CaptureFixture[str]) -> None:
    fruit.show(bundled, n=1)
    text = capsys.readouterr().out
    assert "12 of 12 pairs" in text
    assert "·[ " in text
    assert "answer  ' an'  foil  ' a'" in text


def test_the_same_tokens_under_other_slot_names_are_another_population(bundled: Model) -> None:
    """What `@{y}` addresses is not known from the tokens alone."""
    template = "I climbed up the {%s} tree and picked a pear. I climbed up the {%s} tree and picked"
    differing = contrast(clean=["apple"], corrupt=["lemon"])
    second = PromptPairs(template % ("x", "y"), x=["pear"], y=differing, answer=" an", foil=" a")
    first = PromptPairs(template % ("y", "x"), y=["pear"], x=differing, answer=" an", foil=" a")
    assert bundled.on(second).patch("L0.RESID_PRE@{y}").measure().estimate == pytest.approx(1, abs=1e-5)
    assert bundled.on(first).patch("L0.RESID_PRE@{y}").measure().estimate == pytest.approx(0, abs=1e-5)


def test_an_accuracy_that_a_bias_could_reach_says_so(bundled: Model, fruit: PromptPairs) -> None:
    assert "the same answer" in bundled.on(fruit).accuracy.measure().notes[0]
    kinds = contrast.pairs([("apple", "lemon"), ("lemon", "apple")])
    both = PromptPairs(
        "We looked for the {x} and found", x=kinds, answer=lambda c: " an" if c["x"] == "apple" else " a"
    )
    assert bundled.on(both).accuracy.measure().notes == ()


def test_reference_sets_that_share_tokens_but_not_templates_are_told_apart(anew: Callable[..., Model]) -> None:
    """What a mean is taken over depends on templates and segments, so that its cache must."""
    templates = ("I climbed up the {fruit} tree and picked", "Anna saw near the {fruit} tree and picked")
    slots = PromptPairs(*templates, fruit=contrast.pairs([("apple", "lemon")]), answer=" an", foil=" a")
    texts = [(t.format(fruit="apple"), t.format(fruit="lemon")) for t in templates]
    as_rows = [{"clean": a, "corrupt": b, "answer": " an", "foil": " a"} for a, b in texts]
    rows = [PromptPairs.from_rows(order) for order in (as_rows, as_rows[::-1])]
    alone = [anew().on(pairs).ablate("L1.N8").raw.measure().estimate for pairs in (slots, *rows)]
    model = anew()
    together = [model.on(pairs).ablate("L1.N8").raw.measure().estimate for pairs in (slots, *rows)]
    assert together == pytest.approx(alone, abs=1e-4)
    assert abs(alone[0] - alone[1]) > 0.005


def test_a_resampled_number_is_a_sample_even_of_a_whole_population(bundled: Model, more_fruit: PromptPairs) -> None:
    assert bundled.on(more_fruit).ablate("L1.N8", "mean").measure().exact
    assert not bundled.on(more_fruit).ablate("L1.N8", "resample").measure().exact


def test_a_sample_without_any_change_leaves_room_for_some(bundled: Model) -> None:
    measured = bundled.on(LARGE, readout="accuracy").patch("L1.MLP@-2", into="clean").raw.measure()
    assert measured.estimate == 0
    assert measured.low is not None
    assert measured.high is not None
    assert -0.03 < measured.low < 0 < measured.high < 0.03


def test_a_difference_of_shares_of_pairs_checks_the_behaviour_of_both(bundled: Model) -> None:
    nothing = PromptPairs("The {x} is", x=contrast(clean=["apple"], corrupt=["lemon"]), answer=" an", foil=" a")
    run = bundled.on(nothing)
    with pytest.raises(BehaviourAbsent):
        _ = run.patch("L0.ATTN").pairs_above(0) > run.patch("L2.N7").pairs_above(0.5)


def test_pairs_within_rounding_of_the_limit_are_in_doubt(bundled: Model, fruit: PromptPairs) -> None:
    """Nothing that the last block does before the last token is read: all that moves is rounding."""
    above = bundled.on(fruit).ablate("L2.MLP@-2", "mean").pairs_above(0.0)
    for claim in (lambda: above > 0.5, lambda: above <= 0, lambda: above >= 0.01):
        with pytest.raises(ClaimInconclusive):
            assert claim()
    assert bundled.on(fruit).ablate("L2.MLP@-2", "mean").pairs_above(0.01) <= 0


def test_a_share_of_pairs_has_no_other_unit(bundled: Model, fruit: PromptPairs) -> None:
    for unit in ("of_gap", "of_clean", "raw"):
        with pytest.raises(MethodError, match="is not a share of anything"):
            getattr(bundled.on(fruit).patch("L1.N8").pairs_above(0.1), unit)


def test_differences_of_accuracies_reach_twice_as_far(bundled: Model, fruit: PromptPairs) -> None:
    run = bundled.on(fruit, readout="accuracy")
    restored, lost = run.patch("L1.N8").raw, run.patch("L0.H0", into="clean").raw
    assert Estimand(Difference.of(restored._estimand, lost._estimand)).bounds == (-2.0, 2.0)
    shares = (bundled.on(fruit).patch(site).pairs_above(0.1)._estimand for site in ("L1.N8", "L1.N3"))
    assert Estimand(Difference.of(*shares)).bounds == (-1.0, 1.0)


def test_effects_about_different_populations_are_not_compared(bundled: Model) -> None:
    about_new = bundled.on(
        LARGE,
        generalise="other" if "other" in LARGE.description.choices(0) else next(iter(LARGE.description.choices(0))),
    )
    with pytest.raises(MethodError, match="are about different populations: generalise=''"):
        assert bundled.on(LARGE).patch("L1.N8") > about_new.patch("L1.N3")


def test_the_pairs_of_a_whole_that_is_resampled_come_again_with_other_donors(bundled: Model) -> None:
    few = PromptPairs(
        "I climbed up the {fruit} tree and picked",
        fruit=contrast.pairs([("apple", "lemon"), ("olive", "peach"), ("orange", "fig"), ("avocado", "lime")]),
        answer=" an",
        foil=" a",
    )
    verdict = bundled.on(few).ablate("L1.N8", "resample").raw.pairs_above(0.0) > 0.3
    assert verdict.decision == "supported"
    assert verdict.measurement.n > 4
    assert verdict.measurement.n % 4 == 0
    assert f"each pair with {verdict.measurement.n // 4} donors" in verdict.explain()


@pytest.mark.slow
def test_weighted_pairs_that_come_again_are_resampled_anew(bundled: Model) -> None:
    """Donors that belonged to the pair alone made 256 draws of three pairs look like 256 donors."""
    text = "I climbed up the {tree} tree and picked a {tree}. I climbed up the {fruit} tree and picked"
    pairs = PromptPairs(
        text, tree={"pear": 1, "fig": 1, "plum": 1}, fruit=contrast.pairs([("olive", "lemon")]), answer=" an", foil=" a"
    )
    found = [
        load(bundled.bridge, weights="raw", settings=Settings(seed=seed))
        .on(pairs)
        .ablate("L1.N8", "resample")
        .raw.measure()
        for seed in range(8)
    ]
    true = np.mean([one.estimate for one in found])
    held = [one.low is not None and one.high is not None and one.low <= true <= one.high for one in found]
    assert all(held)


@pytest.mark.parametrize("approx", [pytest.approx(0, rel=0.1), pytest.approx(40, abs=5)])
def test_margins_that_mean_nothing_are_refused(bundled: Model, fruit: PromptPairs, approx: object) -> None:
    with pytest.raises(MethodError):
        assert bundled.on(fruit).patch("L1.N8") == approx


def test_presence_is_part_of_the_evidence(bundled: Model) -> None:
    """What a bet on the share has won says nothing where the bet on there being anything to share has won little."""
    effect = bundled.on(LARGE).patch("L1.N8")
    verdict = effect > 0.1
    stages = list(effect._estimand.run.drawn.stages(verdict.measurement.n))
    assert verdict.e_value <= e_value_of_presence(effect._estimand, stages)
