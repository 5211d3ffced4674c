"""What a session says at its end: the closing section, JSON, JUnit."""

import json
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from circuitcheck import Model
from tests.conftest import Claims

SUITE = """
def test_supported(model):
    '''All of the stream restores all of the gap.

    More words.
    '''
    assert model.on(FRUIT).patch(ALL) > 0.5

def test_chain(model):
    assert 0.5 < model.on(FRUIT).ablate("L*.H* | L*.MLP", "zero") < 1.5

@pytest.mark.xfail(raises=ClaimRefuted, strict=True, reason="believed, but false")
def test_believed(model):
    "Nothing restores everything."
    assert model.on(FRUIT).patch(NONE) > 0.5

def test_equal(model):
    assert model.on(FRUIT).patch(NONE) == pytest.approx(0, abs=0.05)

def test_broken(model):
    assert model.on(FRUIT).patch("L9.H9") > 0.5

@pytest.mark.skip(reason="not today")
def test_skipped(model):
    assert model.on(FRUIT).patch(ALL) > 0.5

def test_unrelated():
    pass
"""
EFFECT = {
    "site",
    "method",
    "unit",
    "estimate",
    "low",
    "high",
    "level",
    "exact",
    "n",
    "rejected",
    "operator",
    "threshold",
}
METHOD = {"granularity", "component", "value", "reference", "positions", "direction", "sites", "universe", "frozen"}


def test_the_closing_section_has_a_line_a_claim(claims: Claims) -> None:
    result = claims(SUITE)
    result.assert_outcomes(passed=4, failed=1, xfailed=1, skipped=1)
    result.stdout.fnmatch_lines(
        [
            "*= circuit claims =*",
            "supported     patch L2.RESID_POST > 0.5 of the gap: 1 (exact, n=8, bundled)  All of the stream*",
            "supported     ablate L*.H[*] | L*.MLP (zero) > 0.5 of the behaviour: 1 (exact, n=8, bundled) and 1 more  test_chain",
            "refuted, as expected patch L0.H0@{tree}[[]1] > 0.5 of the gap: * (exact, n=8, bundled)  Nothing restores*",
            "supported     patch L0.H0@{tree}[[]1] == 0 ± 0.05 of the gap: * (exact, n=8, bundled)  test_equal",
            "undecided     failed: circuitcheck.AddressError: bundled has layers 0-2  test_broken",
            "skipped       test_skipped",
            "6 claims: 3 supported, 1 refuted, as expected, 1 undecided, 1 skipped on bundled (fingerprint *)*",
            "1 skipped: not today",
        ]
    )
    result.stdout.no_fnmatch_line("*test_unrelated*")


def test_the_json_report_has_every_number_with_its_method(
    claims: Claims, pytester: pytest.Pytester, bundled: Model
) -> None:
    path = Path(pytester.path, "out", "claims.json")
    claims(SUITE, f"--circuit-json={path}")
    report = json.loads(path.read_text())
    assert report["schema"] == 2
    assert report["models"] == [{**bundled._loaded.describe(), "asked": None}]
    by_name = {claim["nodeid"].rpartition("::")[2]: claim for claim in report["claims"]}
    assert {name: (claim["verdict"], claim["outcome"]) for name, claim in by_name.items()} == {
        "test_supported": ("supported", "passed"),
        "test_chain": ("supported", "passed"),
        "test_believed": ("refuted", "xfailed"),
        "test_equal": ("supported", "passed"),
        "test_broken": ("undecided", "failed"),
        "test_skipped": ("skipped", "skipped"),
    }
    assert by_name["test_supported"]["claim"].startswith("All of the stream restores all of the gap.\n")
    effects = [effect for claim in report["claims"] for effect in claim["effects"]]
    assert len(effects) == 5
    for effect in effects:
        assert set(effect) >= EFFECT
        assert set(effect["method"]) >= METHOD
        assert effect["exact"]
        assert effect["low"] == effect["estimate"] == effect["high"]
    chain = by_name["test_chain"]["effects"]
    assert [(effect["operator"], effect["threshold"]) for effect in chain] == [(">", 0.5), ("<", 1.5)]
    assert chain[0]["method"]["universe"] == "L*.H* | L*.MLP"
    assert by_name["test_equal"]["effects"][0]["margin"] == 0.05


def test_junit_carries_the_same(claims: Claims, pytester: pytest.Pytester) -> None:
    path = Path(pytester.path, "junit.xml")
    claims(SUITE, f"--junit-xml={path}")
    cases = {case.attrib["name"]: case for case in ET.parse(path).iter("testcase")}
    properties = {p.attrib["name"]: p.attrib["value"] for p in cases["test_supported"].iter("property")}
    assert properties["circuit.0.verdict"] == "supported"
    assert properties["circuit.0.method.direction"] == "denoising"
    assert float(properties["circuit.0.estimate"]) == pytest.approx(1)
    assert not list(cases["test_unrelated"].iter("property"))


def test_a_json_path_that_is_a_folder_is_a_usage_error(claims: Claims, tmp_path: Path) -> None:
    result = claims(SUITE, f"--circuit-json={tmp_path}")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*--circuit-json=* is a folder; name a file*"])


def test_exit_codes_are_pytests_own(claims: Claims) -> None:
    assert claims("def test_it(model):\n    assert model.on(FRUIT).patch(ALL) > 0.5").ret == pytest.ExitCode.OK
    assert (
        claims("def test_it(model):\n    assert model.on(FRUIT).patch(NONE) > 0.5").ret == pytest.ExitCode.TESTS_FAILED
    )


def test_what_a_fixture_refuted_is_in_the_report(claims: Claims, tmp_path: Path) -> None:
    path = tmp_path / "claims.json"
    body = """
@pytest.fixture
def early(model):
    assert model.on(FRUIT).patch("L1.N8") > 5
@pytest.fixture
def late(model):
    yield
    assert model.on(FRUIT).patch("L1.N8") > 5
def test_early(model, early):
    assert model.on(FRUIT).patch("L1.N8") > 0.1
def test_late(model, late):
    assert model.on(FRUIT).patch("L1.N8") > 0.1
"""
    claims(body, f"--circuit-json={path}").assert_outcomes(errors=2, passed=1)
    verdicts = {
        claim["nodeid"].rpartition("::")[2]: [effect["verdict"] for effect in claim["effects"]]
        for claim in json.loads(path.read_text())["claims"]
    }
    assert verdicts == {"test_early": ["refuted"], "test_late": ["supported", "refuted"]}


def test_each_number_names_its_own_model(claims: Claims, tmp_path: Path) -> None:
    path = tmp_path / "claims.json"
    body = """
from circuitcheck import load
def test_two(model):
    assert model.on(FRUIT).patch("L1.N8") > 0.1
    assert load("bundled", weights="raw").on(FRUIT).patch("L1.N8") > 0.1
"""
    claims(body, f"--circuit-json={path}").assert_outcomes(passed=1)
    [claim] = json.loads(path.read_text())["claims"]
    assert len({effect["fingerprint"] for effect in claim["effects"]}) == 2


def test_a_claim_without_a_verdict_counts_among_those_that_may_be_established(claims: Claims) -> None:
    body = """
def test_held(model):
    assert model.on(FRUIT).patch("L1.N8") > 0.1
@pytest.mark.parametrize("n", range(3))
def test_absent(model, n):
    assert model.on(FRUIT).patch("L1.N8@nowhere") > 0.1
@pytest.mark.skip(reason="not today")
def test_skipped(model):
    assert model.on(FRUIT).patch("L1.N8") > 0.1
"""
    found = claims(body, "--circuit-fdr")
    found.stdout.fnmatch_lines(["1 of 4 claims are established *"])
    found.stdout.fnmatch_lines(["skipped *"])


@pytest.mark.parametrize(("written", "strict"), [("on", True), ("true", True), ("no", False)])
def test_the_ini_file_can_be_strict(claims: Claims, pytester: pytest.Pytester, written: str, strict: bool) -> None:
    pytester.makeini(f"[pytest]\ncircuit_strict = {written}\n")
    body = "@pytest.mark.skip('not today')\ndef test_it(model):\n    assert model.on(FRUIT).patch(ALL) > 0.5\n"
    claims(body).assert_outcomes(**({"failed": 1} if strict else {"skipped": 1}))


@pytest.mark.slow
def test_an_unrefuted_verdict_may_be_asserted_by_several_tests(claims: Claims) -> None:
    body = """
@pytest.fixture(scope="module")
def verdict(model):
    return model.on(FRUIT.with_typos()).patch("L1.N8").raw.each > -50
def test_one(verdict):
    assert verdict
def test_two(verdict):
    assert verdict
"""
    claims(body, "--circuit-examples=110").assert_outcomes(passed=2)


def test_a_marker_that_says_nothing_ends_the_session_before_it_begins(claims: Claims) -> None:
    body = "def test_fine(model):\n    assert model.on(FRUIT).gap > 1\n@pytest.mark.circuit(alpha=7)\ndef test_it():\n    pass\n"
    claims(body).stdout.no_fnmatch_line("*1 passed*")


def test_a_small_error_rate_is_told_in_full(bundled: Model) -> None:
    from circuitcheck.units import certainty

    assert certainty(False, 1 - 0.001, 0.1, 0.2) == "99.9% interval 0.1 to 0.2"
