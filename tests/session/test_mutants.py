"""Mutants: what kills a claim that means something, and what lets one live that does not."""

import json
from pathlib import Path

import pytest
import torch

from circuitcheck import Model, PromptPairs
from circuitcheck.addresses.parsing import parse
from circuitcheck.experiments.mutants import NotApplicable, under
from circuitcheck.models.shuffled_weights import shuffled_weights
from circuitcheck.session.mutation import MUTANTS
from tests import oracle
from tests.conftest import Claims

BY_NAME = {mutant.name: mutant for mutant in MUTANTS}


def test_a_claim_with_teeth_kills_its_mutants_and_one_without_does_not(claims: Claims, tmp_path: Path) -> None:
    path = tmp_path / "claims.json"
    body = """
def test_teeth(model):
    "One neuron at the end."
    assert model.on(FRUIT).patch("L1.N8@end") > 0.3
def test_toothless(model):
    "A neuron restores something or nothing."
    assert model.on(FRUIT).patch("L1.N8@end") > -1
def test_nothing(model):
    assert model.on(FRUIT).patch("L2.MLP") == pytest.approx(0, abs=0.1)
def test_accuracy(model):
    assert model.on(FRUIT).accuracy > 0.5
@pytest.mark.xfail(raises=ClaimRefuted, strict=True)
def test_refuted(model):
    assert model.on(FRUIT).patch("L1.N8@end") > 0.9
"""
    result = claims(body, "--circuit-mutate", f"--circuit-json={path}")
    result.assert_outcomes(passed=4, xfailed=1)
    result.stdout.fnmatch_lines(
        [
            "mutants: 5 killed, 4 survived, 4 not applicable",
            "  survived: neighbour: A neuron restores something*test_toothless)",
        ]
    )
    by_test = {
        claim["nodeid"].rpartition("::")[2]: claim["mutants"] for claim in json.loads(path.read_text())["claims"]
    }
    assert by_test["test_teeth"] == dict.fromkeys(["neighbour", "position", "source", "weights"], "killed")
    assert by_test["test_toothless"] == dict.fromkeys(["neighbour", "position", "source", "weights"], "survived")
    assert by_test["test_nothing"] == {"known_to_matter": "killed"}
    assert set(by_test["test_accuracy"].values()) == {"not applicable"}
    assert by_test["test_refuted"] == {}


def test_without_the_option_there_are_none(claims: Claims) -> None:
    result = claims('def test_it(model):\n    assert model.on(FRUIT).patch("L1.N8") > 0.3')
    result.assert_outcomes(passed=1)
    result.stdout.no_fnmatch_line("mutants:*")


def test_mutants_leave_model_and_verdicts_as_they_were(claims: Claims) -> None:
    body = """
def test_first(model):
    assert model.on(FRUIT).patch("L1.N8") > 0.3
def test_second(model):
    from circuitcheck import load
    fresh = load("bundled")
    assert model.fingerprint == fresh.fingerprint
    mine, theirs = (m.on(FRUIT).patch("L1.N8") for m in (model, fresh))
    assert mine.measure().estimate == pytest.approx(theirs.measure().estimate, abs=1e-6)
    assert mine > 0.3
"""
    claims(body, "--circuit-mutate").assert_outcomes(passed=2)


@pytest.mark.parametrize(
    ("mutant", "address", "becomes"),
    [
        ("neighbour", "L1.N8", "L1.N9"),
        ("neighbour", "L0.H3@end", "L0.H0@end"),
        ("neighbour", "L0.H[0,1]", "L0.H2 | L0.H3"),
        ("neighbour", "L2.MLP", "L0.MLP"),
        ("position", "L1.N8@end", "L1.N8@-2"),
        ("position", "L1.N8@{fruit}", "L1.N8@{fruit}-1"),
        ("neighbour", "L0.H[0,1,3]", None),
        ("neighbour", "L0.RESID_PRE", None),
        ("position", "L1.N8", None),
    ],
)
def test_what_a_mutant_makes_of_an_address(bundled: Model, mutant: str, address: str, becomes: str | None) -> None:
    sites = parse(address, bundled.anatomy)
    if becomes is None:
        with pytest.raises(NotApplicable):
            BY_NAME[mutant].sites(sites, bundled.anatomy)
        return
    assert " | ".join(map(str, BY_NAME[mutant].sites(sites, bundled.anatomy))) == becomes


def test_under_the_source_mutant_the_next_pairs_own_run_is_put_in(bundled: Model, fruit: PromptPairs) -> None:
    run = bundled.on(fruit)
    [chunk] = bundled._loaded.answers.engine.chunks(run._setup.sample)
    with under(BY_NAME["source"]):
        found = run.patch("L1.MLP").raw._estimand.shift_of(run._setup.described)
    hook = "blocks.1.hook_mlp_out"
    for row, place in enumerate(chunk.rows):
        pair, following = chunk.pairs[row], chunk.pairs[(row + 1) % len(chunk.pairs)]
        source = oracle.activations(bundled, following.corrupt)[hook]
        patched = oracle.run(bundled, pair.corrupt, [(hook, lambda activation, hook, source=source: source)])
        before = oracle.logit_difference(bundled, pair, oracle.run(bundled, pair.corrupt))
        assert found[place] == pytest.approx(oracle.logit_difference(bundled, pair, patched) - before, abs=1e-3)


@pytest.mark.parametrize("address", ["L1.N8", "L0.H2"])
def test_shuffled_weights_are_those_of_the_component_alone_and_come_back(bundled: Model, address: str) -> None:
    before = {name: tensor.clone() for name, tensor in bundled.bridge.state_dict().items()}
    with shuffled_weights(bundled._loaded, parse(address, bundled.anatomy)):
        changed = {name: int((tensor != before[name]).sum()) for name, tensor in bundled.bridge.state_dict().items()}
        width = 1 if ".N" in address else int(bundled.bridge.cfg.d_head)
        most = width * int(bundled.bridge.cfg.d_model)
        assert {count for count in changed.values() if count} <= set(range(most // 2, most + 1))
        assert any(changed.values())
    assert all(torch.equal(tensor, before[name]) for name, tensor in bundled.bridge.state_dict().items())


def test_only_heads_and_neurons_have_weights_to_be_shuffled(bundled: Model, fruit: PromptPairs) -> None:
    run, sites = bundled.on(fruit), parse("L1.MLP", bundled.anatomy)
    with pytest.raises(NotApplicable):
        run._setup.as_mutated(BY_NAME["weights"], sites)


def test_what_a_test_does_beside_its_claim_is_no_fault_of_the_claim(claims: Claims, tmp_path: Path) -> None:
    path = tmp_path / "claims.json"
    body = """
@pytest.fixture
def effect(model):
    return model.on(FRUIT).patch("L1.N8@end")
def test_measures(model):
    effect = model.on(FRUIT).patch("L1.N8@end")
    assert effect.measure().estimate > 0.3
    assert effect > 0.3
def test_makes_a_folder(model, tmp_path):
    (tmp_path / "out").mkdir()
    assert model.on(FRUIT).patch("L1.N8@end") > 0.3
def test_skips(model):
    if model.on(FRUIT).patch("L1.N8@end").measure().estimate < 0.3:
        pytest.skip("nothing to see")
    assert model.on(FRUIT).patch("L1.N8@end") > 0.3
def test_of_a_fixture(effect):
    assert effect > 0.3
"""
    claims(body, "--circuit-mutate", f"--circuit-json={path}").assert_outcomes(passed=4)
    found = {
        claim["nodeid"].rpartition("::")[2]: set(claim["mutants"].values())
        for claim in json.loads(path.read_text())["claims"]
    }
    assert found["test_of_a_fixture"] == {"not applicable"}
    assert found["test_makes_a_folder"] == {"not applicable"}
    assert "survived" not in found["test_measures"] | found["test_skips"]
