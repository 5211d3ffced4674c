"""What is claimed of several effects is told by the one that decides, in every report."""

import json
from pathlib import Path

import pytest

from tests.conftest import Claims

SUITE = """
def test_minimal(model):
    assert model.on(FRUIT).minimality("L0.H2 | L1.N8") > 0.02

def test_across(model):
    assert model.on(FRUIT).ablate("L1.N8").across(values=["counterfactual", "mean"]) > 0.9

def test_two(model):
    assert model.on(FRUIT).gap > 1
    assert model.on(FRUIT).minimality("L0.H2 | L1.N8") > 0.02
"""


def test_every_report_shows_the_member_that_decides(claims: Claims, pytester: pytest.Pytester) -> None:
    result = claims(SUITE, "--circuit-json=found.json", "--circuit-markdown=found.md")
    result.stdout.fnmatch_lines(
        [
            "supported     minimality of * the worst of 2 members > 0.02 of the behaviour: 0.* for L1.N8 (exact, n=8, bundled)  test_minimal",
            "refuted       ablate L1.N8 (mean) under several methods, the worst of 2 methods > 0.9 of the behaviour: * for *counterfactual* (exact, n=8*)  test_across",
            "supported     gap > 1 logits: * and 1 more  test_two",
        ]
    )
    minimal, across, _ = json.loads(Path(pytester.path, "found.json").read_text())["claims"]
    *members, whole = minimal["effects"]
    assert [effect.get("member") for effect in minimal["effects"]] == [True, True, None]
    assert whole["worst"] == "L1.N8"
    assert whole["estimate"] == min(effect["estimate"] for effect in members)
    assert whole["estimate"] in [effect["estimate"] for effect in members if "what L1.N8 adds" in effect["label"]]
    assert "worst" in across["effects"][-1]
    table = Path(pytester.path, "found.md").read_text()
    assert " for L1.N8 (exact)" in table
    assert "more" not in table.partition("test_minimal")[2].splitlines()[0]
