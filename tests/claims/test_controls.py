"""Controls: ranks among matched components, against plain sweeps; and what is told beside every number."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import hypergeom

from circuitcheck import ClaimRefuted, ComparisonError, MethodError, Model, PromptPairs
from circuitcheck.claims.estimand import Estimand
from circuitcheck.claims.ranking.controls import described
from circuitcheck.claims.ranking.shares import most_ahead
from circuitcheck.experiments.experiment import Shift
from circuitcheck.experiments.patching import Patch
from circuitcheck.settings import Settings
from tests.conftest import Claims


def by_sweep(model: Model, pairs: PromptPairs, address: str) -> dict[str, float]:
    """Every component's effect, patched by itself."""
    return dict(model.on(pairs).sweep(address).top(1000))


@pytest.mark.parametrize(("site", "among"), [("L1.N8", "L1.N*"), ("L0.H2", "L*.H*"), ("L2.H2", "L2.H*")])
def test_the_rank_is_the_place_in_a_sweep(bundled: Model, fruit: PromptPairs, site: str, among: str) -> None:
    effects = by_sweep(bundled, fruit, among)
    place = 1 + sum(effect > effects[site] for effect in effects.values())
    effect = bundled.on(fruit).patch(site)
    assert effect.rank_within(among) == place
    assert effect.rank_within(among) <= place
    with pytest.raises(ClaimRefuted, match=f"it is {place} "):
        assert effect.rank_within(among) == place + 1
    if place > 1:
        with pytest.raises(ClaimRefuted):
            assert effect.beats(among)
    else:
        assert effect.beats(among)


def test_a_rank_in_a_sample_agrees_with_the_whole(bundled: Model) -> None:
    from tests.claims.test_effects import LARGE

    verdict = bundled.on(LARGE).patch("L1.N8").beats("L1.N*")
    assert verdict
    assert not verdict.measurement.exact
    assert verdict.measurement.n < 256
    assert (verdict.measurement.low, verdict.measurement.high) == (1, 1)


@pytest.mark.parametrize(("wanted", "n", "alpha"), [(1, None, 0.05), (2, None, 0.05), (1, 3, 0.025)])
def test_the_error_rate_of_a_rank_is_split_for_what_refutes_it_alone(
    bundled: Model, monkeypatch: pytest.MonkeyPatch, wanted: int, n: int | None, alpha: float
) -> None:
    """Each rival is beaten at alpha over the place that is claimed, however many there are, and ahead at alpha over their
    number; where rivals were drawn the draw has half of alpha."""
    from circuitcheck.statistics.evidence import Evidence
    from tests.claims.test_effects import LARGE

    seen: dict[str, list[float]] = {"above": [], "below": []}
    for name, asked in (("above", Evidence.above), ("below", Evidence.below)):

        def watched(self: Evidence, threshold: float, name: str = name, asked: Any = asked) -> bool:
            if threshold == 0 and self.limits is None:
                seen[name].append(self.alpha)
            return bool(asked(self, threshold))

        monkeypatch.setattr(Evidence, name, watched)
    assert bundled.on(LARGE).patch("L1.N8").raw.rank_within("L1.N[0,1,2,3,4]", n) <= wanted
    assert seen["above"][0] == pytest.approx(alpha / wanted)
    assert bundled.on(LARGE).patch("L1.N3").raw.rank_within("L1.N[4,8,9,10,11]", n) <= 6
    with pytest.raises(ClaimRefuted):
        assert bundled.on(LARGE).patch("L1.N3").raw.rank_within("L1.N8 | L0.H2 | L1.H2") <= wanted
    assert seen["below"][-1] == pytest.approx(0.05 / 3)


def test_a_claim_to_be_the_first_takes_as_many_pairs_whatever_the_number_of_rivals(bundled: Model) -> None:
    """The intersection-union test: what is true of two rivals is not made harder by 45 others that are far behind."""
    from tests.claims.test_effects import LARGE

    effect = bundled.on(LARGE).patch("L1.N8").raw
    numbers = {address: effect.beats(address) for address in ("L1.N*", "L1.N[3,27]")}
    assert all(numbers.values())
    found = {address: verdict.measurement.n for address, verdict in numbers.items()}
    alone = max(effect.beats(f"L1.N{rival}").measurement.n for rival in range(48) if rival != 8)
    assert found["L1.N*"] == alone


def test_the_cost_of_a_rank_is_told_before_anything_is_run(
    anew: Callable[..., Model], fruit: PromptPairs, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = anew().on(fruit)
    rank, told = run.patch("L1.N8").rank_within("L1.N*"), list[tuple[str, int, int]]()
    assert rank.runs == 47 * len(run._setup.sample.pairs)
    assert f"at most {rank.runs:,} runs" in repr(rank)
    monkeypatch.setattr(run._setup.model.answers, "progress", lambda *said: told.append(said))
    assert rank == 1
    assert told[0] == ("patch L1.N8 next to 47 others", 0, rank.runs)
    assert told[-1] == ("patch L1.N8 next to 47 others", rank.runs, rank.runs)


def test_dead_components_and_the_claimed_ones_are_no_controls(bundled: Model, fruit: PromptPairs) -> None:
    """Before the first difference nothing is moved: every control is dead there."""
    run = bundled.on(fruit)
    with pytest.raises(MethodError, match="dead"):
        assert run.patch("L0.H0@{tree}[1]").beats("L0.H*")
    with pytest.raises(MethodError, match="holds no component"):
        run.patch("L1.N8").rank_within("L1.N8")
    assert "47 others" in run.patch("L1.N8").beats("L1.N*").explain()
    some_dead = run.patch("L0.H0@{fruit}").rank_within("L0.H*@{fruit} | L0.H*@{tree}[1]") <= 7
    assert "compared with 3 others (3 dead ones left out)" in some_dead.explain()


def test_so_many_controls_are_drawn_as_are_asked_for(bundled: Model, fruit: PromptPairs) -> None:
    verdict = bundled.on(fruit).patch("L1.N8").beats("L1.N*", n=5)
    assert "compared with 5 others" in verdict.explain()
    with pytest.raises(MethodError, match="n is the number"):
        bundled.on(fruit).patch("L1.N8").beats("L1.N*", n=0)


@pytest.mark.parametrize(
    ("site", "address", "n", "there"),
    [("L1.N27", "L1.N*", 8, 47), ("L0.H2", "L*.H*", 3, 11), ("L1.N8", "L*.N*", 50, 143)],
)
def test_a_rank_among_drawn_ones_says_so(
    bundled: Model, fruit: PromptPairs, site: str, address: str, n: int, there: int
) -> None:
    """L1.N27 is not the first of its layer: what beats 8 drawn neurons has beaten 8 drawn neurons."""
    run = bundled.on(fruit)
    for verdict in (run.patch(site).beats(address, n=n), run.patch(site).rank_within(address, n) <= n + 1):
        measured = verdict.measurement
        assert f"among {address} <= " in verdict.line
        assert not measured.exact
        assert "exact" not in verdict.line
        assert verdict.e_value <= 2 / 0.05
        said = f"decided on {n} drawn of {there} others: where "
        assert said in verdict.explain()
        assert f"at most {verdict.threshold - 1:g} of all are (joint level 97.5%)" in verdict.explain()
    for every in (None, there, there + 5):
        verdict = run.patch(site).rank_within(address, every) <= there + 1
        assert f"among {address} " in verdict.line
        assert verdict.measurement.exact
        assert verdict.e_value == np.inf


@pytest.mark.parametrize(
    ("ahead", "drawn", "there"), [(0, 8, 47), (1, 8, 47), (3, 5, 6), (0, 1, 2), (5, 5, 9), (2, 100, 184_319)]
)
def test_how_many_of_all_may_be_ahead_is_what_the_hypergeometric_distribution_says(
    ahead: int, drawn: int, there: int
) -> None:
    found = most_ahead(ahead, drawn, there, 0.025)
    assert hypergeom.cdf(ahead, there, found, drawn) > 0.025
    assert found == there or hypergeom.cdf(ahead, there, found + 1, drawn) <= 0.025


def test_a_rank_among_random_circuits_is_not_exact(bundled: Model, fruit: PromptPairs) -> None:
    verdict = bundled.on(fruit).keep("L0.H2 | L1.H2 | L1.N8").beats_random(5)
    assert "among 5 random circuits like it" in verdict.line
    assert not verdict.measurement.exact
    assert verdict.e_value <= 2 / 0.05


def test_a_rank_is_compared_with_ranks_only(bundled: Model, fruit: PromptPairs) -> None:
    rank = bundled.on(fruit).patch("L1.N8").rank_within("L1.N*")
    for wrong in (0, 1.5, True, "first"):
        with pytest.raises(ComparisonError, match="a rank is a whole number"):
            assert rank == wrong
    with pytest.raises(ComparisonError):
        assert rank != 2
    with pytest.raises(ComparisonError):
        bool(rank)
    with pytest.raises(MethodError, match="not the effect of a component"):
        bundled.on(fruit).gap.beats("L1.N*")


def test_every_number_of_a_neuron_or_head_has_its_controls(bundled: Model, fruit: PromptPairs) -> None:
    controls = bundled.on(fruit).patch("L0.H2@end").measure().controls
    assert controls is not None
    effects = by_sweep(bundled, fruit, "L0.H*@end")
    others = {site: effect for site, effect in effects.items() if site != "L0.H2@end"}
    assert controls.rank == 1 + sum(effect > effects["L0.H2@end"] for effect in others.values())
    assert controls.highest == pytest.approx(max(others.values()))
    assert controls.best == max(others, key=others.__getitem__)
    assert controls.median == pytest.approx(np.median([e for e in others.values() if e]), abs=1e-6)
    assert controls.whole == pytest.approx(bundled.on(fruit).patch("L0.ATTN@end").measure().estimate)
    for address in ("L0.ATTN", "L0.H[0,1]", "L0.RESID_PRE"):
        assert bundled.on(fruit).patch(address).measure().controls is None


def test_controls_of_ablations_are_ablations(bundled: Model, fruit: PromptPairs) -> None:
    controls = bundled.on(fruit).ablate("L0.H2", "mean").measure().controls
    assert controls is not None
    others = {f"L0.H{head}": bundled.on(fruit).ablate(f"L0.H{head}", "mean").measure().estimate for head in (0, 1, 3)}
    assert controls.highest == pytest.approx(max(others.values()), abs=1e-6)


def test_controls_can_be_switched_off(claims: Claims) -> None:
    body = 'def test_it(model):\n    assert model.on(FRUIT).patch("L1.N8") > 0.99'
    claims(body).stdout.fnmatch_lines(
        ["*controls rank 1 of 17 (16 drawn of 47, on the same 8 pairs); the others' median*"]
    )
    claims(body, "--circuit-controls=off").stdout.no_fnmatch_line("*controls rank*")
    claims(body, "--circuit-controls=5").stdout.fnmatch_lines(["*controls rank 1 of 6*"])
    claims(body, "--circuit-controls=some").stdout.fnmatch_lines(["*--circuit-controls is a whole number*"])


@pytest.mark.parametrize(
    ("site", "words"),
    [
        ("L1.N8", "rank 1 of 17 (16 drawn of 47, on the same 8 pairs)"),
        ("L0.H2", "rank 2 of 4 (all 3 others, on the same 8 pairs)"),
        ("L0.H2@{tree}[1]", ""),
    ],
)
def test_every_report_says_among_what_a_rank_is(claims: Claims, tmp_path: Path, site: str, words: str) -> None:
    page = tmp_path / "page.html"
    result = claims(f'def test_it(model):\n    assert model.on(FRUIT).patch("{site}") > 0.99', f"--circuit-html={page}")
    summary = next(line for line in result.outlines if line.startswith("refuted "))
    explained = [line for line in result.outlines if " controls rank" in line]
    assert words in summary
    assert words in page.read_text(encoding="utf-8")
    assert ("rank" in summary, len(explained)) == (bool(words), int(bool(words)))
    assert all(words in line for line in explained)


def test_controls_are_in_the_json(claims: Claims, tmp_path: Path) -> None:
    path = tmp_path / "claims.json"
    claims('def test_it(model):\n    assert model.on(FRUIT).patch("L1.N8") > 0.4', f"--circuit-json={path}")
    [claim] = json.loads(path.read_text())["claims"]
    [effect] = claim["effects"]
    assert effect["controls"]["rank"] == 1
    assert (effect["controls"]["drawn_of"], effect["controls"]["dead"], effect["controls"]["pairs"]) == (47, 0, 8)
    assert set(effect["fillers"]) == {"tree", "fruit"}
    assert set(effect["fillers"]["tree"]) == {"pear", "fig"}
    assert effect["fillers"]["fruit"]["apple / lemon"] == pytest.approx(effect["estimate"], abs=0.5)


def test_a_part_with_more_effect_than_its_whole_is_remarked_upon(
    anew: Callable[..., Model], fruit: PromptPairs
) -> None:
    model = anew(Settings(controls=4))
    run = model.on(fruit)
    heads = {f"L0.H{head}": run.patch(f"L0.H{head}").measure() for head in range(4)}
    for measured in heads.values():
        controls = measured.controls
        assert controls is not None
        less = controls.whole < measured.estimate - 0.05 and measured.estimate > 0.05
        assert bool(controls.notes(measured.estimate)) == less
    assert heads["L0.H0"].controls is not None
    assert heads["L0.H0"].controls.notes(5.0) != ()


RARE = [
    {
        "clean": f"They sold the {other}. We looked for the {a} and found",
        "corrupt": f"They sold the {other}. We looked for the {b} and found",
        "answer": " an",
        "foil": " a",
    }
    for other in ("window", "train", "spoon")
    for a in ("apple", "olive", "onion", "egg", "oven", "owl", "engine", "arrow", "anchor", "island")
    for b in ("table", "lamp", "river", "dog", "horse", "book", "candle", "drum", "hammer", "mirror")
]


def test_a_control_is_dead_only_where_all_pairs_are_known(
    anew: Callable[..., Model], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A component that acts in rare pairs alone must be beaten there; being dead on the first of them is no excuse."""
    model = anew(Settings(whole=32))
    run = model.on(PromptPairs.from_rows(RARE))
    acting = Patch.shifts

    def rare(self: Patch, sample: Any, sets: Any) -> Any:
        found = acting(self, sample, sets)
        first = sample is run._setup.drawn.first.sample
        return [
            Shift(np.zeros_like(shift.values) if first else shift.values + 100, first)
            if [str(site) for site in sites] == ["L1.N3"]
            else shift
            for sites, shift in zip(sets, found, strict=True)
        ]

    monkeypatch.setattr(Patch, "shifts", rare)
    verdict = run.patch("L1.N0").beats("L1.N3")
    assert verdict.decision == "refuted"


def test_a_rank_says_what_was_decided_and_is_exact_only_as_a_whole(bundled: Model) -> None:
    pairs = PromptPairs.from_rows(RARE)
    run = bundled.on(pairs)
    others = "L1.N[1-12] | L2.RESID_POST"
    true = 1 + sum(
        bool(run.patch(str(site)).measure().estimate > run.patch("L1.N2").measure().estimate)
        for site in ["L2.RESID_POST", *(f"L1.N{n}" for n in range(1, 13) if n != 2)]
    )
    for wanted in (1, 3, 13):
        verdict = run.patch("L1.N2").rank_within(others) <= wanted
        found = verdict.measurement
        assert found.low is not None
        assert found.high is not None
        assert found.low <= found.estimate <= found.high
        assert found.low <= true <= found.high
        if found.exact:
            assert found.low == found.high
        if not found.exact:
            assert verdict.e_value <= 2 / 0.05


def test_there_are_no_controls_where_the_few_have_nothing_to_share(
    bundled: Model, fruit: PromptPairs, monkeypatch: pytest.MonkeyPatch
) -> None:
    effect = bundled.on(fruit).patch("L1.N8")
    monkeypatch.setattr(Estimand, "base_of", lambda self, stages: np.zeros(len(stages[0].sample.pairs)))
    assert described(effect._estimand, effect._estimand.run.described) is None


def test_ranks_have_a_direction_and_n_is_a_number(bundled: Model, fruit: PromptPairs) -> None:
    effect = bundled.on(fruit).patch("L1.N8")
    for wrong in (lambda: effect.rank_within("L1.N*") < 3, lambda: effect.rank_within("L1.N*") > 3):
        with pytest.raises(ComparisonError, match="1 for the largest"):
            wrong()
    for n in (2.5, "3", 0, True):
        with pytest.raises(MethodError, match="n is the number of components"):
            effect.beats("L1.N*", n=n)  # type: ignore[arg-type]
