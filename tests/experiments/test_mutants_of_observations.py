"""Mutants of what is only seen: of attention, direct attribution and the lens."""

import json
from pathlib import Path

from tests.conftest import Claims

SUITE = """
def test_attends(model):
    assert model.on(FRUIT).attention("L0.H2", source="{fruit}") > 0.9

def test_writes(model):
    assert model.on(FRUIT).direct("L1.N8@end").of_gap > 0.4

def test_reads(model):
    assert model.on(FRUIT).lens("L1.RESID_POST").of_gap > 0.9

def test_not_yet(model):
    assert model.on(FRUIT).lens("L0.RESID_PRE").of_gap == pytest.approx(0, abs=0.05)
"""


def test_mutants_break_what_can_be_broken(claims: Claims) -> None:
    """A neighbour in the component's place, its output weights shuffled; what is only seen has no source."""
    result = claims(SUITE, "--circuit-mutate", "--circuit-json=claims.json")
    result.assert_outcomes(passed=4)
    found = {
        claim["nodeid"].rpartition("::")[2]: claim["mutants"]
        for claim in json.loads(Path("claims.json").read_text())["claims"]
    }
    nothing = dict.fromkeys(("neighbour", "position", "source", "weights"), "not applicable")
    assert found == {
        "test_attends": {**nothing, "neighbour": "killed"},
        "test_writes": {**nothing, "neighbour": "killed", "weights": "killed"},
        "test_reads": nothing,
        "test_not_yet": {"known_to_matter": "killed"},
    }
