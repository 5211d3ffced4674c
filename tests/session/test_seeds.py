"""The seed: on record, locked, and several of them together."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from circuitcheck import Model, PromptPairs, contrast
from circuitcheck.records.locks.lock import NAME
from circuitcheck.reference_models.bundled.vocabulary import A_NOUNS, AN_NOUNS
from circuitcheck.settings import Settings
from circuitcheck.statistics.evidence import Evidence
from tests.conftest import Claims, first

MANY = f"""
MANY = PromptPairs("They sold the {{other}}. We looked for the {{noun}} and found", other=["window", "train", "spoon"],
    noun=contrast(clean={AN_NOUNS[:10]}, corrupt={A_NOUNS[:10]}), answer=" an", foil=" a")
"""
SAMPLED = f'{MANY}\ndef test_it(model):\n    "Words."\n    assert model.on(MANY).patch("L1.N8") > 0.2\n'
PAIRS = PromptPairs(
    "They sold the {other}. We looked for the {noun} and found",
    other=["window", "train", "spoon"],
    noun=contrast(clean=AN_NOUNS[:10], corrupt=A_NOUNS[:10]),
    answer=" an",
    foil=" a",
)


GIVEN = [("", "0"), ("--circuit-seed=7", "7"), ("--circuit-seed=2, 0", "2,0")]


@pytest.mark.parametrize(("given", "said"), first(1, GIVEN[::-1]))
def test_the_seed_is_on_record(claims: Claims, tmp_path: Path, given: str, said: str) -> None:
    path = tmp_path / "claims.json"
    result = claims(SAMPLED, f"--circuit-json={path}", *filter(None, [given]))
    result.stdout.fnmatch_lines([f"1 claim: 1 supported on bundled *; --circuit-seed={said}"])
    assert [model["seed"] for model in json.loads(path.read_text())["models"]] == [said]


def test_another_seed_than_the_lock_s_is_a_finding(claims: Claims, pytester: pytest.Pytester) -> None:
    assert claims(SAMPLED, "--circuit-budget=48", "--circuit-lock=update").ret == 0
    locked = json.loads((pytester.path / NAME).read_text())["claims"]
    assert [entry["settings"]["seed"] for entry in locked.values()] == ["0"]
    claims(SAMPLED, "--circuit-budget=48", "--circuit-lock=check").stdout.fnmatch_lines([f"lock: as in {NAME}"])
    found = claims(SAMPLED, "--circuit-budget=48", "--circuit-lock=check", "--circuit-seed=1")
    assert found.ret != 0
    found.stdout.fnmatch_lines(["  *drawn under --circuit-seed=1, and in the lock under 0"])
    kept = claims(SAMPLED, "--circuit-budget=48", "--circuit-lock=update", "--circuit-seed=1")
    assert kept.ret != 0
    kept.stdout.fnmatch_lines(["lock: 1 left as it was (*", "  left as it was: *drawn under --circuit-seed=1*"])


@pytest.mark.parametrize("given", ["a", "0,", "1,1", "-1", "0.5"])
def test_seeds_are_whole_numbers_that_differ(claims: Claims, given: str) -> None:
    claims(SAMPLED, f"--circuit-seed={given}").stdout.fnmatch_lines(
        [f"*--circuit-seed is a whole number, or several that differ, such as 0,1,2; not '{given}'*"]
    )


def test_several_seeds_are_as_good_as_their_e_values_in_the_mean(anew: Callable[..., Model]) -> None:
    def found(*seeds: int) -> Evidence:
        settings = Settings(seed=seeds[0], other_seeds=seeds[1:], whole=32, budget=48)
        effect = anew(settings).on(PAIRS).patch("L1.N8").raw
        *_, stages = effect._estimand.looks()
        return effect._estimand.evidence(stages)

    alone, together = [found(seed) for seed in range(3)], found(0, 1, 2)
    for threshold in (4.0, 6.0):
        assert together.e_value(1, threshold) == pytest.approx(sum(one.e_value(1, threshold) for one in alone) / 3)


def test_a_verdict_says_of_which_seeds_it_is(claims: Claims) -> None:
    body = SAMPLED.replace("> 0.2", "> 0.9")
    result = claims(body, "--circuit-seed=0,1,2", "--circuit-budget=64")
    result.stdout.fnmatch_lines(["*the evidence of 3 orders, averaged (seeds 0, 1, 2)*"])
    whole = claims('def test_it(model):\n    assert model.on(FRUIT).patch("L1.N8") > 0.2', "--circuit-seed=0,1,2")
    whole.stdout.no_fnmatch_line("*averaged*")
    whole.stdout.fnmatch_lines(["*exact, n=8*"])
