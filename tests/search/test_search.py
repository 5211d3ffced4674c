"""The search for a counterexample: against a plain look at every pair."""

import json
import os
from pathlib import Path

import numpy as np
import pytest

from circuitcheck import (
    ClaimInconclusive,
    ClaimRefuted,
    ComparisonError,
    MethodError,
    Model,
    PromptPairs,
    contrast,
    load,
)
from circuitcheck.claims.every_pair import EachVerdict
from circuitcheck.prompts.aligned_pairs import AlignedPair
from circuitcheck.settings import Settings
from circuitcheck.statistics.evidence import Evidence
from tests.claims.test_effects import LARGE
from tests.conftest import Claims

NOUNS = PromptPairs(
    "They sold the {other}. We looked for the {x} and found",
    other=["window", "boat", "pillow", "door", "table", "ticket"],
    x=contrast(clean=["apple", "olive", "engine", "island"], corrupt=["lemon", "peach", "boat", "door"]),
    distinct=("other", "x"),
    answer=" an",
    foil=" a",
)


def every_pair(pairs: PromptPairs, site: str = "L1.N8") -> tuple[tuple[AlignedPair, ...], np.ndarray]:
    """Every pair of a population with its number, measured as a whole."""
    measured = load("bundled", settings=Settings(whole=10_000)).on(pairs).patch(site).measure()
    return measured.pairs, measured.per_pair


def test_a_claim_about_every_pair_is_decided_as_a_look_at_every_pair_would(bundled: Model) -> None:
    _, numbers = every_pair(NOUNS)
    low, high = float(numbers.min()), float(numbers.max())
    effect = bundled.on(NOUNS).patch("L1.N8")
    for verdict in (
        effect.each > low - 0.01,
        effect.each >= low - 0.01,
        effect.each < high + 0.01,
        effect.each <= high + 0.01,
    ):
        assert verdict
        assert verdict.decision == "supported"
        assert verdict.searched.exhausted
        assert verdict.searched.tried == len(numbers)
    for verdict in (effect.each > low + 0.01, effect.each < high - 0.01):
        with pytest.raises(ClaimRefuted):
            assert verdict
    assert (effect.each > low).decision == "inconclusive"  # the worst pair is at the threshold


def test_a_counterexample_is_one_and_no_plainer_filler_is(bundled: Model) -> None:
    pairs, numbers = every_pair(NOUNS)
    by_text = {(p.pair.clean.text, p.pair.corrupt.text): float(n) for p, n in zip(pairs, numbers, strict=True)}
    threshold = float(np.quantile(numbers, 0.4))
    verdict = bundled.on(NOUNS).patch("L1.N8").each > threshold
    found = verdict.searched.counterexample
    assert found is not None
    texts = found.pair.clean.text, found.pair.corrupt.text
    assert by_text[texts] < threshold
    assert verdict.measurement.estimate == pytest.approx(by_text[texts], abs=1e-5)
    fillers = {name: (clean, corrupt) for name, clean, corrupt in found.pair.fillers}
    others = ["window", "boat", "pillow", "door", "table", "ticket"]
    for plainer in others[: others.index(fillers["other"][0])]:
        changed = tuple(text.replace(f"the {fillers['other'][0]}.", f"the {plainer}.") for text in texts)
        assert by_text.get(changed, 99.0) > threshold  # type: ignore[call-overload]


def test_slots_that_do_not_matter_are_named(bundled: Model) -> None:
    verdict = bundled.on(NOUNS).patch("L1.N8").each > 5
    assert set(verdict.searched.free) == {"other", "x"}
    assert "or any other {other} or {x}" in verdict.explain()
    assert verdict.searched.counterexample is not None
    first_fillers = [clean for _, clean, _ in verdict.searched.counterexample.pair.fillers]
    assert first_fillers == ["window", "apple"]


def test_the_line_that_replays_it_gives_the_same_pair(bundled: Model) -> None:
    verdict = bundled.on(NOUNS).patch("L1.N8").each > 0.7
    [line] = [line for line in verdict.explain().splitlines() if line.startswith("  replay")]
    again = eval(line.partition("replay")[2])  # noqa: S307
    measured = bundled.on(again).patch("L1.N8").raw.measure()
    ruler = bundled.on(NOUNS).gap.measure().estimate
    assert measured.estimate / ruler == pytest.approx(verdict.measurement.estimate, abs=1e-4)


def test_what_was_not_all_tried_is_unrefuted(claims: Claims, tmp_path: Path) -> None:
    path = tmp_path / "claims.json"
    body = """
NOUNS = PromptPairs("They sold the {o}. We looked for the {x} and found", o=["window", "boat", "pillow", "door", "table", "ticket"],
    x=contrast(clean=["apple", "olive", "orange", "engine", "island", "office"], corrupt=["lemon", "peach", "banana", "pillow", "window", "boat"]),
    distinct=("o", "x"), answer=" an", foil=" a")
def test_it(model):
    assert model.on(NOUNS).patch("L1.N8").each > -1
"""
    few = claims(body, "--circuit-examples=120", f"--circuit-json={path}")
    few.assert_outcomes(passed=1)
    few.stdout.fnmatch_lines(
        ["unrefuted*every pair's patch L1.N8 > -1 of the gap*no counterexample in 120 of 1?? pairs*"]
    )
    [effect] = json.loads(path.read_text())["claims"][0]["effects"]
    assert (effect["verdict"], effect["low"], effect["high"], effect["fillers"]) == ("unrefuted", None, None, None)
    assert effect["searched"]["tried"] == 120
    strict = claims(body, "--circuit-examples=120", "--circuit-strict")
    strict.assert_outcomes(failed=1)
    strict.stdout.fnmatch_lines(
        ["--circuit-strict: not refuted is not supported: unrefuted: every pair's patch L1.N8*"]
    )
    claims(body).stdout.fnmatch_lines(["supported*no counterexample in 1?? of 1?? pairs*"])
    claims(body, "--circuit-examples=20").stdout.fnmatch_lines(["*ClaimInconclusive*", "*too few pairs were tried*"])


def test_no_number_of_a_search_becomes_evidence(bundled: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    """Evidence is made of the population's own pairs alone, whatever the search drew."""
    run = bundled.on(LARGE)
    sampled = {pair.clean for stage in run._setup.described for pair in stage.sample.pairs}
    seen = []
    made = Evidence.__init__

    def watched(self: Evidence, shift: np.ndarray, *rest: object, **more: object) -> None:
        seen.append(len(shift))
        made(self, shift, *rest, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(Evidence, "__init__", watched)
    verdict = run.patch("L1.N8").each > 0.0
    assert isinstance(verdict, EachVerdict)
    assert verdict.searched.tried > len(sampled)
    assert max(seen) <= 256


def test_pairs_without_the_behaviour_are_no_counterexamples(bundled: Model) -> None:
    """The second half of these couples asks for the other article: their gap is negative."""
    pairs = PromptPairs(
        "We looked for the {x} and found",
        x=contrast.pairs([("apple", "lemon"), ("olive", "peach"), ("engine", "boat"), ("lemon", "apple")]),
        answer=" an",
        foil=" a",
    )
    verdict = bundled.on(pairs).patch("L2.RESID_POST").each > 0.1
    assert verdict
    assert verdict.searched.absent == 1
    assert verdict.measurement.n == 3


@pytest.mark.parametrize("rows", [True, False])
def test_rows_are_searched_but_not_shrunk(bundled: Model, rows: bool) -> None:
    pairs = PromptPairs.from_rows(
        [
            {
                "clean": f"We looked for the {a} and found",
                "corrupt": f"We looked for the {b} and found",
                "answer": " an",
                "foil": " a",
            }
            for a, b in [("apple", "lemon"), ("olive", "peach"), ("engine", "boat")]
        ]
    )
    verdict = bundled.on(pairs).patch("L1.N8").each > (5 if rows else -5)
    assert verdict.decision == ("refuted" if rows else "supported")
    assert verdict.searched.free == ()


def test_a_population_too_large_to_count_is_searched_without_repeats() -> None:
    from circuitcheck.prompts.populations import Population

    slots = {name: [f"{name}{n}" for n in range(40)] for name in "abc"}
    population = Population(PromptPairs("{a} {b} {c}", **slots, answer="x").description, 0)
    drawn = [number for number, _ in zip(population.search(), range(3000), strict=False)]
    assert len(set(drawn)) == 3000
    for number in drawn[:50]:
        digits = population.digits(number)
        assert population.pair(number).clean.text == " ".join(
            f"{name}{d}" for name, d in zip("abc", digits, strict=True)
        )
        for place, neighbours in enumerate(population.neighbours(number)):
            assert [population.digits(other)[place] for other in neighbours] == list(range(40))
            assert number in neighbours


def test_an_effect_of_every_pair_is_compared_with_a_number_only(bundled: Model, fruit: PromptPairs) -> None:
    each = bundled.on(fruit).patch("L1.N8").each
    for wrong in (lambda: each == 0.4, lambda: each != 0.4, lambda: bool(each), lambda: each > "much"):
        with pytest.raises(ComparisonError):
            wrong()
    with pytest.raises(MethodError, match="40 % is written 0.4"):
        _ = each > 40
    with pytest.raises(ClaimInconclusive):
        assert load("bundled", settings=Settings(examples=2)).on(LARGE).patch("L1.N8").each > 0


# Counterexamples that stay

BODY = """
def test_it(model):
    "A neuron in every pair."
    assert model.on(FRUIT).patch("L1.N8").each > {}
"""


def kept(folder: Path) -> list[Path]:
    return sorted((folder / ".circuitcheck" / "counterexamples").glob("*.json"))


def test_a_counterexample_is_kept_and_tried_first_the_next_time(claims: Claims, pytester: pytest.Pytester) -> None:
    claims(BODY.format(0.6)).assert_outcomes(failed=1)
    [path] = kept(pytester.path)
    content = json.loads(path.read_text())
    assert content["said"] == "patch L1.N8 > 0.6"
    assert content["test"].endswith("::test_it")
    assert set(content["slots"]) == {"tree", "fruit"}
    assert content["effect"] < 0.6
    assert content["model"]["name"] == "bundled"
    written = path.read_text()
    claims(BODY.format(0.6)).stdout.fnmatch_lines(
        ["*1 of 8 pairs tried, 1 breaks the claim; 1 known before fails still*"]
    )
    assert path.read_text() == written  # no run deletes or changes what is kept


STRICTER = "1 known before breaks the stricter threshold that it was found under still"


def test_a_looser_threshold_fixes_no_counterexample(claims: Claims, pytester: pytest.Pytester) -> None:
    """Only another model does, or another site."""
    claims(BODY.format(0.6)).assert_outcomes(failed=1)
    [path] = kept(pytester.path)
    written = json.loads(path.read_text())
    claims(BODY.format(0.1), "--circuit-json=found.json").stdout.fnmatch_lines([f"supported*8 of 8 pairs; {STRICTER}*"])
    [claim] = json.loads((pytester.path / "found.json").read_text())["claims"]
    searched = claim["effects"][0]["searched"]
    assert (searched["known_fixed"], searched["known_loosened"], searched["fixed"]) == (0, 1, [])
    # Files of the first format say it in words alone.
    first = {name: value for name, value in written.items() if name not in ("operator", "threshold")} | {"schema": 1}
    path.write_text(json.dumps(first))
    os.utime(path, (0, 0))
    claims(BODY.format(0.1)).stdout.fnmatch_lines([f"supported*8 of 8 pairs; {STRICTER}*"])
    # What breaks the claim neither as it is nor as it was is fixed.
    path.write_text(json.dumps(written | {"threshold": 0.05}))
    os.utime(path, (0, 0))
    claims(BODY.format(0.1)).stdout.fnmatch_lines(["supported*8 of 8 pairs; 1 known before is fixed*"])


def test_what_another_model_never_broke_is_not_fixed(claims: Claims, pytester: pytest.Pytester) -> None:
    """A counterexample belongs to the model that it was found on: any other tries it, and keeps its own."""
    claims(BODY.format(0.6)).assert_outcomes(failed=1)
    [path] = kept(pytester.path)
    written = json.loads(path.read_text())
    path.write_text(json.dumps(written | {"threshold": 0.05, "model": written["model"] | {"name": "another"}}))
    os.utime(path, (0, 0))
    result = claims(BODY.format(0.1))
    result.stdout.fnmatch_lines(["supported*8 of 8 pairs*"])
    result.stdout.no_fnmatch_line("*known before are fixed*")
    claims(BODY.format(0.6)).stdout.fnmatch_lines(["*1 known before fails still*"])
    assert len(kept(pytester.path)) == 2
    assert sorted(json.loads(one.read_text())["model"]["name"] for one in kept(pytester.path)) == ["another", "bundled"]


def test_what_one_claim_finds_is_not_known_to_others_of_its_session(claims: Claims) -> None:
    """Or what a claim is told would depend on those before it."""
    body = BODY.format(0.6) + BODY.format(0.55).replace("test_it", "test_other")
    result = claims(body)
    result.assert_outcomes(failed=2)
    result.stdout.no_fnmatch_line("*known before*")
    claims(body).stdout.fnmatch_lines(["*1 known before fails still*"] * 2)


def test_another_claims_counterexamples_are_its_own(claims: Claims, pytester: pytest.Pytester) -> None:
    claims(BODY.format(0.6))
    other = BODY.format(5).replace("L1.N8", "L0.H2")
    claims(other).stdout.no_fnmatch_line("*known before*")
    assert len(kept(pytester.path)) == 2


def test_damaged_files_are_left_alone(claims: Claims, pytester: pytest.Pytester) -> None:
    folder = pytester.path / ".circuitcheck" / "counterexamples"
    folder.mkdir(parents=True)
    for name, text in {"a": "{", "b": "[]", "c": '{"schema": 1}', "d": '{"schema": 9, "claim": "x"}'}.items():
        (folder / f"{name}.json").write_text(text)
    claims(BODY.format(0.1)).assert_outcomes(passed=1)
    assert len(kept(pytester.path)) == 4


def test_mutants_keep_no_counterexamples(claims: Claims, pytester: pytest.Pytester) -> None:
    claims(BODY.format(0.1), "--circuit-mutate").stdout.fnmatch_lines(["mutants: 3 killed*"])
    assert kept(pytester.path) == []


@pytest.mark.slow
def test_replay_tries_them_alone_and_prunes_what_is_fixed(claims: Claims, pytester: pytest.Pytester) -> None:
    import sys

    replay = [sys.executable, "-m", "circuitcheck.cli", "replay", "--circuit-model=bundled", "-p", "no:cacheprovider"]
    pytester.run(*replay).stdout.fnmatch_lines(["there are no counterexamples in *"])
    claims(BODY.format(0.6))
    failing = pytester.run(*replay, "--prune")
    assert failing.ret == 1
    failing.stdout.fnmatch_lines(["*1 of 8 pairs tried, 1 breaks the claim; 1 known before fails still*"])
    assert len(kept(pytester.path)) == 1
    pytester.makepyfile(**{next(pytester.path.glob("test_*.py")).stem: ""})
    [test] = pytester.path.glob("test_*.py")
    from tests.conftest import HEAD

    test.write_text(HEAD + BODY.format(0.1))
    loosened = pytester.run(*replay, "--prune")
    assert loosened.ret == 0
    loosened.stdout.fnmatch_lines([f"*{STRICTER}*"])
    [path] = kept(pytester.path)
    path.write_text(json.dumps(json.loads(path.read_text()) | {"threshold": 0.05, "said": "patch L1.N8 > 0.05"}))
    os.utime(path, (0, 0))
    fixed = pytester.run(*replay)
    assert fixed.ret == 0
    fixed.stdout.fnmatch_lines(["fixed *: patch L1.N8 > 0.05 (--prune removes it)"])
    assert len(kept(pytester.path)) == 1
    pruned = pytester.run(*replay, "--prune")
    pruned.stdout.fnmatch_lines(
        ["*no counterexample in 1 of *; 1 known before is fixed*", "removed *: patch L1.N8 > 0.05 holds for *"]
    )
    assert kept(pytester.path) == []
