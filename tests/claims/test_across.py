"""One claim under several methods, about new fillers, on one half: against the same claims made one by one."""

from collections.abc import Callable

import numpy as np
import pytest

from circuitcheck import ClaimRefuted, ComparisonError, MethodError, Model, PromptError, PromptPairs, contrast
from circuitcheck.settings import Settings
from tests.claims.test_effects import LARGE
from tests.conftest import Claims


def test_a_claim_is_supported_only_if_it_is_by_every_method(bundled: Model, fruit: PromptPairs) -> None:
    effect = bundled.on(fruit).ablate("L1.N8")
    by_itself = {value: bundled.on(fruit).ablate("L1.N8", value).measure().estimate for value in ("mean", "zero")}
    assert by_itself["zero"] < 0 < by_itself["mean"]
    assert effect.across(values=["mean"]) > 0.3
    verdict = effect.across(values=["mean", "zero"]) > 0.3
    assert verdict.decision == "refuted"
    assert verdict.measurement.estimate == pytest.approx(by_itself["zero"])
    with pytest.raises(ClaimRefuted, match=r"L1.N8 \(mean\): 0\.\d+ supported; L1.N8 \(zero\): -0\.\d+ refuted"):
        assert verdict


def test_positions_are_methods_too(bundled: Model, fruit: PromptPairs) -> None:
    effect = bundled.on(fruit).patch("L1.N8")
    assert effect.across(positions=["@end", "all"]) > 0.4
    verdict = effect.across(positions=["end", "@-2"]) > 0.4
    assert verdict.decision == "refuted"
    assert verdict.line.endswith(": L1.N8@-2")
    assert verdict.measurement.method.positions == "@end, @-2"


@pytest.mark.parametrize(
    ("make", "error", "told"),
    [
        (lambda run: run.gap.across(values=["mean"]), MethodError, "no other method"),
        (lambda run: run.patch("L1.N8").across(values=["mean"]), MethodError, "an ablation's value"),
        (lambda run: run.patch("L1.N8").across(), MethodError, "across takes lists"),
        (lambda run: run.patch("L1.N8").across(values="mean"), MethodError, "across takes lists"),
        (lambda run: bool(run.patch("L1.N8").across(positions=["all"])), ComparisonError, "is no claim"),
    ],
)
def test_what_is_no_method_is_an_error(
    bundled: Model, fruit: PromptPairs, make: object, error: type[Exception], told: str
) -> None:
    with pytest.raises(error, match=told):
        make(bundled.on(fruit))  # type: ignore[operator]


# Statements about new fillers


def test_of_new_fillers_each_counts_once(bundled: Model) -> None:
    run = bundled.on(LARGE, generalise="other")
    effect = run.patch("L1.N8")
    measured, gaps, shift = (
        effect.measure(),
        run._setup.gaps_of(run._setup.described),
        effect._estimand.shift_of(run._setup.described),
    )
    own: dict[str, list[int]] = {}
    for row, pair in enumerate(measured.pairs):
        own.setdefault(next(clean for slot, clean, _ in pair.pair.fillers if slot == "other"), []).append(row)
    assert len(own) == 10
    assert {len(rows) for rows in own.values()} <= {24, 25, 26, 27}  # some cannot be used
    expected = np.mean([shift[rows].mean() for rows in own.values()]) / np.mean(
        [gaps[rows].mean() for rows in own.values()]
    )
    assert measured.estimate == pytest.approx(expected)
    assert not measured.exact
    assert "as of new fillers of {other}" in measured.population


def test_few_of_them_are_refused(bundled: Model, fruit: PromptPairs) -> None:
    with pytest.raises(MethodError, match="3 are too few"):
        bundled.on(fruit, generalise="tree").patch("L1.N8").measure()
    with pytest.raises(MethodError, match="no slot of these prompts; they have tree, fruit"):
        bundled.on(fruit, generalise="frut").patch("L1.N8").measure()
    with pytest.raises(MethodError, match="1 are too few"):
        bundled.on(fruit, generalise="template").patch("L1.N8").measure()


def test_a_filler_that_carries_the_failure_is_named(bundled: Model) -> None:
    from circuitcheck.statistics.clusters import without_one

    measured = bundled.on(LARGE).patch("L1.N8").measure()
    found = without_one(measured.pairs, measured.per_pair, np.ones(measured.n))
    (slot, filler), (value, n) = max(found.items(), key=lambda item: item[1][0])
    threshold = (measured.estimate + value) / 2
    assert measured.one_filler(lambda estimate: estimate > threshold).startswith("one filler carries it: without {")
    assert f"{{{slot}}} = {filler} it would be {value:.3g}" in measured.one_filler(
        lambda estimate: estimate > threshold
    )
    assert measured.one_filler(lambda estimate: estimate > 99) == ""
    assert n > 0


def test_effects_are_told_by_template_too(bundled: Model) -> None:
    templates = [
        "I climbed up the {fruit} tree and picked",
        "I climbed up the pear tree and picked a {fruit}. I picked",
    ]
    slots = {"fruit": contrast(clean=["apple", "olive", "orange"], corrupt=["lemon", "peach"])}
    both = bundled.on(PromptPairs(*templates, **slots, answer=" an", foil=" a")).patch("L1.N8").measure()
    told = both.as_json()["fillers"]
    assert told is not None
    assert list(told) == ["fruit", "template"]
    assert list(told["template"]) == [f"{number}: {text}" for number, text in enumerate(templates, start=1)]
    rows = np.array([pair.pair.template for pair in both.pairs])
    for number, mean in enumerate(told["template"].values()):
        assert mean == pytest.approx(both.per_pair[rows == number].mean())
    alone = bundled.on(PromptPairs(templates[0], **slots, answer=" an", foil=" a")).patch("L1.N8").measure()
    assert list(alone.as_json()["fillers"] or ()) == ["fruit"]


def test_a_template_that_carries_the_failure_is_named(bundled: Model) -> None:
    templates = [f"{start} I climbed up the {{fruit}} tree and picked" for start in ("I ran .", "I sat .", "I saw .")]
    fruit = contrast(clean=["apple", "olive", "orange"], corrupt=["lemon", "peach", "banana"])
    measured = bundled.on(PromptPairs(*templates, fruit=fruit, answer=" an", foil=" a")).patch("L1.N8").measure()
    rows = np.array([pair.pair.template for pair in measured.pairs])
    without = [measured.per_pair[rows != number].mean() for number in range(3)]
    best = int(np.argmax(without))
    is_best = lambda value: value == pytest.approx(without[best], abs=1e-9)  # noqa: E731
    told = f"one template carries it: without template {best + 1}: {templates[best]} it would be {without[best]:.3g}"
    assert measured.one_filler(is_best) == told


# Halves


def test_the_halves_are_disjoint_and_together_all(anew: Callable[..., Model], bundled: Model) -> None:
    halves = {half: LARGE.split(half) for half in ("discover", "confirm")}
    everything = anew(Settings(whole=10_000))
    texts = {
        half: {(pair.pair.clean.text, pair.pair.corrupt.text) for pair in everything.on(pairs)._setup.sample.pairs}
        for half, pairs in halves.items()
    }
    all_texts = {(pair.pair.clean.text, pair.pair.corrupt.text) for pair in everything.on(LARGE)._setup.sample.pairs}
    assert texts["discover"] | texts["confirm"] == all_texts
    assert not texts["discover"] & texts["confirm"]
    assert 0.4 < len(texts["discover"]) / len(all_texts) < 0.6
    assert LARGE.split("discover") is halves["discover"]


def test_rows_are_halved_too() -> None:
    rows = PromptPairs.from_rows([{"clean": f"a{n}", "corrupt": f"b{n}", "answer": " an"} for n in range(40)])
    both = [rows.split(half).rows for half in ("discover", "confirm")]
    assert sorted(row.clean.text for half in both for row in half) == sorted(row.clean.text for row in rows.rows)
    assert all(both)


def test_a_half_of_rows_can_be_run(bundled: Model) -> None:
    rows = [
        {
            "clean": f"I picked up the {clean} and ate",
            "corrupt": f"I picked up the {other} and ate",
            "answer": " an",
            "foil": " a",
        }
        for clean in ("apple", "olive", "orange")
        for other in ("lemon", "peach", "banana")
    ]
    pairs = PromptPairs.from_rows(rows)
    halves = [bundled.on(pairs.split(half))._setup.sample.pairs for half in ("discover", "confirm")]
    assert sorted(pair.clean for half in halves for pair in half) == sorted(
        pair.clean for pair in bundled.on(pairs)._setup.sample.pairs
    )


def test_a_half_of_a_half_and_other_halves_are_refused(fruit: PromptPairs) -> None:
    with pytest.raises(PromptError, match="a half already"):
        fruit.split("discover").split("confirm")
    with pytest.raises(PromptError, match="a half is 'discover' or 'confirm'"):
        fruit.split("left")  # type: ignore[arg-type]


# Several claims


def test_the_marker_sets_the_error_rate_of_one_test(claims: Claims) -> None:
    body = """
NOUNS = PromptPairs("They sold the {o}. We looked for the {x} and found", o=["window", "boat", "pillow", "door", "table", "ticket"],
    x=contrast(clean=["apple", "olive", "orange", "engine", "island", "office", "oven", "elephant"], corrupt=["lemon", "peach", "banana", "pillow", "window", "boat", "door", "table"]),
    distinct=("o", "x"), answer=" an", foil=" a")
@pytest.mark.circuit(alpha=0.001, bound=3)
def test_strict(model):
    verdict = model.on(NOUNS).patch("L1.N8") > 0.3
    assert verdict and verdict.measurement.level == 0.999 and "±3 mean gaps" in verdict.measurement.method.clipped
def test_usual(model):
    verdict = model.on(NOUNS).patch("L1.N8") > 0.3
    assert verdict and verdict.measurement.level == 0.95
"""
    result = claims(body)
    result.assert_outcomes(passed=2)
    result.stdout.fnmatch_lines(["*2 of 2 effects decided from samples, each at alpha 0.001 and 0.05*"])


@pytest.mark.parametrize("wrong", ["alpha=2", "budget='many'", "bound=0", "alfa=0.1"])
def test_a_marker_that_sets_nothing_sensible_is_a_usage_error(claims: Claims, wrong: str) -> None:
    result = claims(f"@pytest.mark.circuit({wrong})\ndef test_it(model): assert model.on(FRUIT).patch(ALL) > 0.9")
    assert result.ret != 0
    (result.stdout.str() + result.stderr.str()).index("@pytest.mark.circuit takes")


def test_which_claims_stand_together_is_told_on_demand(claims: Claims) -> None:
    body = """
def test_true(model):
    "It is all."
    assert model.on(FRUIT).patch(ALL) > 0.9
def test_false(model):
    assert model.on(FRUIT).patch(NONE) > 0.9
"""
    claims(body, "--circuit-fdr").stdout.fnmatch_lines(
        ["1 of 2 claims are established at a false discovery rate of 0.05*"]
    )
    claims(body, "--circuit-fdr=0.2").stdout.fnmatch_lines(["*false discovery rate of 0.2*"])
    claims(body).stdout.no_fnmatch_line("*established*")
    assert claims(body, "--circuit-fdr=3").ret == pytest.ExitCode.USAGE_ERROR


@pytest.mark.slow
def test_an_undecided_claim_says_what_budget_it_may_take(anew: Callable[..., Model]) -> None:
    """The last stage within it has as many pairs as it may take, or as there are."""
    model = anew(Settings(budget=96))
    verdict = model.on(LARGE).patch("L1.N8") > 0.57
    assert verdict.decision == "inconclusive"
    assert verdict.needed is not None
    assert 96 < verdict.needed <= 900
    budget = int(verdict.explain().partition("--circuit-budget=")[2].partition(")")[0])
    assert verdict.needed <= budget < 2 * verdict.needed
    more = anew(Settings(budget=2 * budget)).on(LARGE).patch("L1.N8") > 0.57
    assert more.decision == "supported"
