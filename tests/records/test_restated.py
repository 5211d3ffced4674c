"""A claim that is loosened in the same edit that changes what it is about: each change is told."""

from typing import Any

import pytest

from circuitcheck.records.locks.compare import compare
from circuitcheck.records.locks.lock import Lock
from tests.conftest import Claims
from tests.locks_for_tests import EDITED, METHOD, claimed, lock_of


def effect(**changes: Any) -> dict[str, Any]:
    """A comparison of a claim."""
    [found] = claimed(**{"threshold": 0.3, **changes})["effects"]
    return dict(found)


def lock(*effects: dict[str, Any], outcome: str = "passed", verdict: str = "supported") -> Lock:
    return lock_of(claimed(outcome=outcome) | {"verdict": verdict, "effects": list(effects)})


# What the claim is about now, in place of what it was, and what is said of that.
EDITS: dict[str, tuple[dict[str, Any], str]] = {
    "prompts": (EDITED, "its prompts are others: {fruit}: 'fig' came, 'olive' went"),
    "site": ({"label": "patch L1.N9", "method": METHOD | {"component": "L1.N9"}}, "component 'L1.N8' -> 'L1.N9'"),
    "method": ({"method": METHOD | {"value": "zero"}}, "value 'clean' -> 'zero'"),
    "readout": ({"method": METHOD | {"readout": "probability"}}, "readout 'answer - foil' -> 'probability'"),
    "method, which has a field more": ({"method": METHOD | {"frozen": "L2"}}, "frozen None -> 'L2'"),
    "site and prompts": (
        {**EDITED, "label": "patch L1.N9", "method": METHOD | {"component": "L1.N9"}},
        "its prompts are others: {fruit}: 'fig' came, 'olive' went",
    ),
}
# What a comparison claimed before and claims now, and what is said of that.
LOOSENED: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "threshold": ({}, {"threshold": 0.1}, "its threshold was loosened from > 0.3 to > 0.1"),
    "threshold from above": (
        {"operator": "<"},
        {"operator": "<", "threshold": 0.9},
        "its threshold was loosened from < 0.3 to < 0.9",
    ),
    "threshold and its operator": ({}, {"operator": ">=", "threshold": 0.1}, "loosened from > 0.3 to >= 0.1"),
    "margin": (
        {"operator": "==", "margin": 0.1},
        {"operator": "==", "margin": 0.5},
        "its margin was widened from 0.1 to 0.5",
    ),
    "centre": (
        {"operator": "==", "margin": 0.1},
        {"operator": "==", "margin": 0.1, "threshold": 0.2},
        "it is compared with 0.2, not 0.3",
    ),
    "error rate": ({}, {"level": 0.8}, "its error rate is 0.2, not 0.05"),
    "side": ({}, {"operator": "<"}, "> 0.3 of the gap before, and now patch L1."),
    "unit": ({}, {"unit": "logits"}, "> 0.3 of the gap before, and now patch L1."),
}


@pytest.mark.parametrize("loosened", LOOSENED)
@pytest.mark.parametrize("edit", EDITS)
def test_whatever_is_loosened_is_told_beside_what_the_claim_is_about(edit: str, loosened: str) -> None:
    (about, said), (before, now, told) = EDITS[edit], LOOSENED[loosened]
    [found] = compare(lock(effect(**before)), lock(effect(**{**now, **about})))
    assert said in found.line
    assert [told in change.words for change in found.changes if change.weaker].count(True) == 1, found.line
    assert all(change.fails for change in found.changes)
    [unchanged] = compare(lock(effect(**before)), lock(effect(**{**before, **about})))
    assert told not in unchanged.line, "what was not loosened is not told"
    assert unchanged.weaker == (edit != "prompts"), "prompts may be edited where the claim still holds"


@pytest.mark.parametrize("edit", EDITS)
def test_verdicts_and_expectations_are_told_beside_it_too(edit: str) -> None:
    about, _ = EDITS[edit]
    for outcome, verdict, told in (
        ("xfailed", "refuted", "xfail was added"),
        ("failed", "refuted", "it was supported, and is refuted"),
        ("failed", "inconclusive", "it was supported, and is inconclusive"),
        ("passed", "unrefuted", "it was supported, and is unrefuted"),
    ):
        now = (
            lock(effect(**about, verdict=verdict), outcome=outcome, verdict=verdict) if "verdict" not in about else None
        )
        assert now is not None
        lines = [finding.line for finding in compare(lock(effect()), now) if finding.weaker]
        assert any(told in line for line in lines), lines


def test_of_several_comparisons_those_that_are_gone_and_those_that_are_loosened_are_told() -> None:
    needed = effect(label="ablate L1.N8", operator="<", threshold=0.9, method=METHOD | {"verb": "ablate"})
    rank = effect(label="rank", unit="rank", operator="<=", threshold=2)
    before = lock(effect(), needed, rank)
    found = compare(before, lock(effect(threshold=0.2, population_id="q"), rank | {"population_id": "q"}))
    lines = "\n".join(map(str, found))
    assert "it claims something else now: 2 comparisons, not 3" in lines
    assert "its prompts are others" in lines
    assert "its threshold was loosened from > 0.3 to > 0.2" in lines
    assert "a comparison is gone: ablate L1.N8 < 0.9 of the gap" in lines
    assert "rank" not in lines, "what stays is not told"
    [again] = compare(before, lock(needed, rank, effect(threshold=0.1)))
    assert again.line.count("its threshold was loosened from > 0.3 to > 0.1") == 1


def test_a_loosened_threshold_is_told_beside_an_edit_of_the_prompts_in_a_suite(claims: Claims) -> None:
    body = 'def test_it(model):\n    "It restores."\n    assert model.on(FRUIT).patch("L1.N8") > 0.3\n'
    assert claims(body, "--circuit-lock=update").ret == 0
    edited = f"FRUIT = FRUIT.split('discover')\n{body}".replace("> 0.3", "> 0.1")
    for option in ("check", "update"):
        result = claims(edited, f"--circuit-lock={option}")
        assert result.ret == 1
        result.stdout.fnmatch_lines(
            ["*its prompts are others: half: 'discover' came", "*its threshold was loosened from > 0.3 to > 0.1"]
        )
