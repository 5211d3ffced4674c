"""--circuit-strict: no claim is let off, and the message says that strict is why."""

import json
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from tests.conftest import Claims

LET_OFF = """
@pytest.mark.skip(reason="not today")
def test_marked(model):
    assert model.on(FRUIT).patch(ALL) > 0.5

@pytest.mark.skipif("1 < 2", reason="on this machine")
def test_skipif(model):
    assert model.on(FRUIT).patch(ALL) > 0.5

def test_inside(model):
    pytest.skip("too slow")

@pytest.fixture
def unready():
    pytest.skip("not ready")

def test_fixture(model, unready):
    assert model.on(FRUIT).patch(ALL) > 0.5

@pytest.mark.xfail(run=False, reason="hopeless")
def test_not_run(model):
    assert model.on(FRUIT).patch(NONE) > 0.5

@pytest.mark.xfail(raises=ClaimRefuted, reason="believed false")
def test_held_all_the_same(model):
    assert model.on(FRUIT).patch(ALL) > 0.5

@pytest.mark.parametrize("site", [])
def test_of_nothing(model, site):
    assert model.on(FRUIT).patch(site) > 0.5

def test_unrefuted(model):
    assert model.on(FRUIT.with_typos()).patch(ALL).raw.each > -50
"""
FINE = """
def test_supported(model):
    assert model.on(FRUIT).patch(ALL) > 0.5

@pytest.mark.xfail(raises=ClaimRefuted, strict=True)
def test_refuted_as_expected(model):
    assert model.on(FRUIT).patch(NONE) > 0.5

@pytest.fixture
def refuted(model):
    assert model.on(FRUIT).patch(NONE) > 0.5

@pytest.mark.xfail(raises=ClaimRefuted)
def test_refuted_in_a_fixture_as_expected(refuted):
    pass

@pytest.mark.skip(reason="no claim")
def test_no_claim():
    pass

@pytest.mark.circuit(claim=False)
def test_looks(model):
    pytest.skip("only looking")
"""
WHY = {
    "test_marked": "the claim was skipped: not today",
    "test_skipif": "the claim was skipped: on this machine",
    "test_inside": "the claim was skipped: too slow",
    "test_fixture": "the claim was skipped: not ready",
    "test_not_run": "the claim was not run: [[]NOTRUN] hopeless",
    "test_held_all_the_same": "the claim was expected to be refuted (believed false), and was not",
    "test_of_nothing*": "the claim was skipped: got empty parameter set*",
    "test_unrefuted": "not refuted is not supported: unrefuted: every pair's patch L2.RESID_POST*",
}


def test_what_lets_claims_off_fails_them_and_says_that_strict_is_why(claims: Claims, tmp_path: Path) -> None:
    lax = claims(LET_OFF, "--circuit-examples=110")
    lax.assert_outcomes(passed=1, skipped=5, xfailed=1, xpassed=1)
    assert lax.ret == 0
    options = ["--circuit-examples=110", "--circuit-strict", f"--junit-xml={tmp_path}/junit.xml"]
    strict = claims(LET_OFF, *options, f"--circuit-json={tmp_path}/claims.json")
    strict.assert_outcomes(failed=8)
    assert strict.ret == pytest.ExitCode.TESTS_FAILED
    for test, why in WHY.items():
        strict.stdout.fnmatch_lines([f"*_ {test} _*", f"*--circuit-strict: {why}"])
    suite = ET.parse(tmp_path / "junit.xml").getroot()[0]
    assert [suite.attrib[what] for what in ("tests", "failures", "errors", "skipped")] == ["8", "8", "0", "0"]
    assert all("--circuit-strict" in failure.attrib["message"] for failure in suite.iter("failure"))
    found = json.loads((tmp_path / "claims.json").read_text())["claims"]
    assert {claim["outcome"] for claim in found} == {"failed"}
    assert all(claim["problem"].startswith("--circuit-strict: ") for claim in found)


def test_refutations_that_were_expected_and_tests_that_make_no_claim_stay_as_they_are(claims: Claims) -> None:
    found = claims(FINE, "--circuit-strict")
    found.assert_outcomes(passed=1, xfailed=2, skipped=2)
    assert found.ret == 0


def test_what_was_deselected_or_never_collected_is_no_claim(claims: Claims) -> None:
    assert claims(LET_OFF + FINE, "--circuit-strict", "-k", "supported").ret == 0
    module = "pytest.importorskip('no_such_library')\n" + FINE
    assert claims(module, "--circuit-strict").ret == pytest.ExitCode.NO_TESTS_COLLECTED


@pytest.mark.slow
def test_models_that_a_test_loads_itself_are_held_to_it_too(claims: Claims) -> None:
    body = """
import circuitcheck
def test_it():
    assert circuitcheck.load("bundled").on(FRUIT.with_typos()).patch(ALL).raw.each > -50
"""
    claims(body).assert_outcomes(passed=1)
    claims(body, "--circuit-strict").assert_outcomes(failed=1)


def test_a_replay_of_known_counterexamples_is_no_search_that_fell_short(claims: Claims) -> None:
    body = "def test_it(model):\n    assert model.on(FRUIT).patch(ALL).each > 0.5\n"
    claims(body, "--circuit-strict", "--circuit-replay").assert_outcomes(passed=1)


@pytest.mark.slow
def test_two_processes_say_the_same(claims: Claims) -> None:
    body = LET_OFF.partition("def test_unrefuted")[0]
    found = claims(body, "--circuit-strict", "-n", "1")
    found.assert_outcomes(failed=7)
    found.stdout.fnmatch_lines(["*--circuit-strict: the claim was skipped: not today*"])
