"""Reference sets and donors: which prompts they are, and how much of a number is theirs."""

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from circuitcheck import Model, PromptPairs, contrast
from circuitcheck.claims.mean_bases import mean_base_of
from circuitcheck.reference_models.bundled.vocabulary import A_NOUNS, AN_NOUNS
from circuitcheck.reference_models.planted import Planted, planted
from circuitcheck.reference_models.reference_draws import examine, populations
from circuitcheck.sampling.references import PARTS, prompts_of
from circuitcheck.settings import Settings
from tests.conftest import Claims, first

# Of 300 pairs.
PAIRS = PromptPairs(
    "They sold the {other}. We looked for the {noun} and found",
    other=["window", "train", "spoon"],
    noun=contrast(clean=AN_NOUNS[:10], corrupt=A_NOUNS[:10]),
    answer=" an",
    foil=" a",
)


def settings(seed: int = 0, reference: int = 64) -> Settings:
    return Settings(seed=seed, whole=32, budget=96, reference=reference)


@cache
def plant_of(reference: int) -> Planted:
    return planted(0.5, noise="skewed", scatter=0.3, nouns=20, settings=settings(reference=reference))


def test_a_reference_set_is_the_same_whatever_the_seed_and_whatever_was_asked_before(
    anew: Callable[..., Model],
) -> None:
    runs = [anew(settings(seed)).on(PAIRS) for seed in range(3)]
    runs[1]._setup.sampler.fixed(PAIRS, 200)
    runs[2]._setup.sampler.donors(PAIRS, runs[2]._setup.sample, "both")
    references = [run._setup.reference for run in runs]
    assert len({reference.identity("both") for reference in references}) == 1
    assert [len(reference.sample.pairs) for reference in references] == [64] * 3
    orders = {tuple(pair.key for pair in run._setup.sample.pairs) for run in runs}
    assert len(orders) == 3  # of the pairs themselves


def test_it_is_the_population_itself_where_that_is_no_larger(anew: Callable[..., Model]) -> None:
    for seed, reference in ((0, 300), (1, 1000)):
        run = anew(settings(seed, reference)).on(PAIRS)
        assert not run._setup.reference.drawn
        whole = anew(Settings(seed=seed, whole=300)).on(PAIRS)
        assert run._setup.reference.identity("both") == whole._setup.reference.identity("both")
    assert run.ablate("L1.H2").measure().n < 300
    assert run.ablate("L1.H2")._estimand.evidence(run._setup.described).parts is None


WAYS = [("", ["--circuit-reference=48"], ""), ("", [], "circuit_reference = 48"), ("reference=48", [], "")]


@pytest.mark.parametrize(("marker", "options", "ini"), first(1, WAYS[::-1]))
def test_its_size_is_a_setting(
    claims: Claims, pytester: pytest.Pytester, marker: str, options: list[str], ini: str
) -> None:
    pytester.makeini(f"[pytest]\n{ini}")
    claims(
        f"""
MANY = PromptPairs("They sold the {{other}}. We looked for the {{noun}} and found", other=["window", "train", "spoon"],
    noun=contrast(clean={AN_NOUNS[:10]}, corrupt={A_NOUNS[:10]}), answer=" an", foil=" a")

@pytest.mark.circuit({marker})
def test_it(model):
    verdict = model.on(MANY).ablate("L1.H2") > -5
    assert "96 drawn clean and corrupted prompts" in verdict.explain()
    assert verdict
""",
        *options,
    ).assert_outcomes(passed=1)


def test_a_size_that_is_none_is_refused(claims: Claims) -> None:
    body = "def test_it(model):\n    assert model.on(FRUIT).gap > 0"
    claims(body, "--circuit-reference=11").stdout.fnmatch_lines(
        ["*--circuit-reference is a whole number of at least 12, not '11'*"]
    )


@pytest.mark.slow
def test_numbers_of_other_reference_sets_are_remembered_apart(claims: Claims, tmp_path: Path) -> None:
    body = f"""
MANY = PromptPairs("They sold the {{other}}. We looked for the {{noun}} and found", other=["window", "train", "spoon"],
    noun=contrast(clean={AN_NOUNS[:10]}, corrupt={A_NOUNS[:10]}), answer=" an", foil=" a")

@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.circuit(claim=False)
def test_it(model, seed):
    print("found", seed, model.on(MANY).ablate("L1.H2").raw.measure().estimate)
"""
    found = {}
    for size in (48, 96, 48):
        lines = claims(body, f"--circuit-reference={size}", f"--circuit-store={tmp_path / 'kept'}", "-s").outlines
        said = {line.partition("found")[2] for line in lines if "found" in line and "nouns" not in line}
        assert found.setdefault(size, said) == said
    assert found[48] != found[96]


def test_without_a_part_a_number_is_that_of_the_others_mean(anew: Callable[..., Model]) -> None:
    """Against the planted numbers: what is lost is what the neuron has over the mean of the reference prompts that are left."""
    plant = plant_of(64)
    run = plant.model.on(plant.pairs)
    reference, first = run._setup.reference, run._setup.sample
    effect = run.ablate(plant.neuron).raw
    carried = {}  # by the noun: what patching brings is that of the clean one less that of the corrupted one
    for row, shift, removed in zip(plant.pairs.rows, plant.shift, plant.removed, strict=True):
        assert row.clean.ids is not None
        assert row.corrupt.ids is not None
        carried[row.clean.ids] = removed
        carried[row.corrupt.ids] = removed - shift
    values = np.array([[carried[pair.clean], carried[pair.corrupt]] for pair in reference.sample.pairs])
    parts = np.array(reference.parts)
    assert sorted(set(parts)) == list(range(PARTS))
    for part in (None, 0, 7):
        mean = values[parts != (-9 if part is None else part)].mean()
        expected = [carried[pair.clean] - mean for pair in first.pairs]
        assert effect._estimand.shift_on(replace(first, left_out=part)) == pytest.approx(expected, abs=1e-4)


def test_an_interval_holds_what_the_whole_population_as_reference_set_gives(anew: Callable[..., Model]) -> None:
    plant = plant_of(16)
    run = plant.model.on(plant.pairs)
    effect = run.ablate(plant.neuron).raw
    measured, evidence = effect.measure(), effect._estimand.evidence(run._setup.described)
    truth = plant.removed.mean()
    assert evidence.parts is not None
    assert not measured.exact
    assert measured.low < truth < measured.high  # type: ignore[operator]
    taken_for_granted = replace(evidence, parts=None).interval()
    narrow, wide = (high - low for low, high in (taken_for_granted, (measured.low, measured.high)))  # type: ignore[operator]
    assert wide > narrow + 2 * 0.9 * evidence.parts.reach(0.0, 0.005)
    assert evidence.e_value(1, measured.low - 1) == 2 / 0.05  # type: ignore[operator]


def test_intervals_that_take_a_drawn_reference_set_for_granted_miss_and_ours_do_not() -> None:
    """With other sets of the same population (see ``circuitcheck.reference_models.reference_draws``)."""
    skewed = next(one for one in populations() if one.name == "references alone")
    found = examine(skewed, Settings(budget=512), draws=200)
    assert found.coverage >= 0.95
    assert found.ignoring < 0.6


@pytest.mark.slow
@pytest.mark.parametrize("number", range(5))
def test_over_10_000_reference_sets_the_truth_is_covered(number: int) -> None:
    assert examine(populations()[number], Settings(), draws=10_000).coverage_lower >= 0.94


def test_donors_come_from_all_of_the_population(anew: Callable[..., Model]) -> None:
    run = anew(settings()).on(PAIRS)
    *_, stages = run._setup.looks()
    reference = {tokens for pair in run._setup.reference.sample.pairs for tokens in (pair.clean, pair.corrupt)}
    seen = []
    for stage in stages:
        donors = run._setup.sampler.donors(PAIRS, stage.sample, "both")
        for pair in stage.sample.pairs:
            row, side = donors.source(pair)
            tokens = donors.sample.pairs[row].tokens(side)
            assert tokens not in (pair.clean, pair.corrupt)
            seen.append(tokens)
    assert len(set(seen)) > 45  # of 60 prompts
    assert set(seen) - reference


def test_a_pair_has_the_same_donor_in_whatever_sample_it_is(anew: Callable[..., Model]) -> None:
    for one in (Settings(), settings()):
        run = anew(one).on(PAIRS if one.whole == 32 else PAIRS.split("confirm"))
        pairs = run._setup.sample.pairs
        few = replace(run._setup.sample.first(5), part_of=run._setup.sample.taken)
        numbers = run.ablate("L1.H2", "resample").raw
        assert numbers._estimand.shift_on(few) == pytest.approx(
            numbers._estimand.shift_on(run._setup.sample)[:5], abs=1e-5
        )
        other = anew(replace(one, seed=1)).on(run._setup.pairs)
        assert other._setup.sampler.donors(run._setup.pairs, few, "both").rows.keys() == set(map(prompts_of, pairs[:5]))
        drawn = [one._setup.sampler.donors(run._setup.pairs, few, "both").identity("both") for one in (run, other)]
        assert drawn[0] != drawn[1]


def test_other_donors_are_drawn_until_a_claim_is_decided_or_the_budget_spent(anew: Callable[..., Model]) -> None:
    rows = [
        {
            "clean": f"They sold the {thing}. We looked for the {a} and found",
            "corrupt": f"They sold the {thing}. We looked for the {b} and found",
            "answer": " an",
            "foil": " a",
        }
        for thing in ("window", "train")
        for a in AN_NOUNS[:4]
        for b in A_NOUNS[:4]
    ]
    effect = anew().on(PromptPairs.from_rows(rows)).ablate("L1.H2", "resample").raw
    once = effect.measure()
    assert (once.n, once.exact) == (32, False)
    decided = effect > once.estimate - 1.5
    assert decided.decision == "supported"
    assert 32 < decided.measurement.n <= 1024
    assert decided.measurement.n % 32 == 0
    assert f"each pair with {decided.measurement.n // 32} donors" in decided.explain()
    spent = anew(Settings(budget=64)).on(PromptPairs.from_rows(rows)).ablate("L1.H2", "resample").raw
    undecided = spent > once.estimate
    assert (undecided.decision, undecided.measurement.n) == ("inconclusive", 64)
    assert "all pairs there are were used" not in undecided.explain()


def test_what_the_mean_gap_decides_is_in_doubt_where_that_is_not_known(anew: Callable[..., Model]) -> None:
    """Each pair that is near the limit of its share of the mean gap speaks for neither side, in samples."""
    plant = plant_of(64)
    run = plant.model.on(plant.pairs)
    effect = run.patch(plant.neuron)
    known = mean_base_of(effect._estimand, run._setup.sample)
    assert known.low < plant.gap.mean() < known.high
    share = effect.pairs_above(0.5)
    truth = float((plant.shift > 0.5 * plant.gap.mean()).mean())
    measured, evidence = share.measure(), share._estimand.evidence(run._setup.described)
    shifts = np.concatenate([effect._estimand.shift_on(stage.sample) for stage in run._setup.described])
    in_doubt = np.abs(shifts - 0.5 * known.mean) <= known.doubt(0.5)
    assert evidence.doubt == pytest.approx(in_doubt * 0.5)
    assert 0.05 < in_doubt.mean() < 0.6
    assert measured.low < truth < measured.high  # type: ignore[operator]
    near = effect.each > float((shifts.min() + 1e-3) / known.mean)
    assert near.decision != "refuted" or near.measurement.estimate * known.mean < shifts.min() - 1e-3
