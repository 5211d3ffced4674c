"""The JSON report is what its schema says, field by field, and its page says what the schema does; JUnit stays XML."""

import json
import math
import shutil
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from circuitcheck import __version__
from circuitcheck.report.claims import ClaimCollector
from circuitcheck.report.properties import from_properties, to_properties
from circuitcheck.report.schema import read, with_tables
from tests.conftest import Claims, each

ROOT = Path(__file__).parents[2]
VALIDATOR = Draft202012Validator(read())
OWN = """
from hypothesis import given, settings, strategies as st

def test_share(model):
    assert model.on(FRUIT).patch("L1.N8") > 0.3
def test_refuted(model):
    assert model.on(FRUIT).patch("L1.N8") > 0.9
def test_rank(model):
    assert model.on(FRUIT).patch("L1.N8").rank_within("L1.N*") <= 2
def test_random_circuits(model):
    assert model.on(FRUIT).keep("L*.H* | L1.N8", "mean").beats_random(5)
def test_behaviour(model):
    assert model.on(FRUIT).ablate("L1.N8", "mean") == pytest.approx(0.5, abs=0.4)
def test_completeness(model):
    assert model.on(FRUIT).completeness("L*.H*", n=5) == pytest.approx(0, abs=3)
def test_agreement(model):
    assert model.on(FRUIT).agreement("L*.H* | L*.MLP", on="right") > 0.5
def test_path(model):
    assert model.on(FRUIT).patch("L0.H* -> L1.N8") > 0.1
def test_weights(model):
    assert model.congruence("L1.N8", " a").rank_among_tokens == 1
    assert model.congruence("L1.N8", " an").value < 0
def test_where_it_fires(model):
    assert model.activation("L1.N8", predicts=" a", on=FRUIT).auc >= 0
def test_every(model):
    assert model.on(FRUIT).patch("L1.N8").each > 0.99
def test_against(model):
    assert model.on(FRUIT.with_typos()).patch(ALL).each.against("coordinate") > 5
def test_generated(model):
    rows = st.builds(lambda x: {"clean": f"We looked for the {x} and found", "corrupt": "We looked for the lemon and found",
        "answer": " an", "foil": " a"}, st.sampled_from(["apple", "olive", "orange"]))
    assert model.on(PromptPairs.from_strategy(rows)).patch(ALL).each > 0.5
@settings(max_examples=3, deadline=None)
@given(pair=FRUIT.strategy())
def test_examples(model, pair):
    assert model.on(pair).patch("L1.N8").raw > 0.1
def test_misspelt(model):
    assert model.on(FRUIT).patch("L9.H9") > 0.5
def test_forgotten(model):
    model.on(FRUIT).patch("L1.N8") > 0.1
@pytest.fixture
def broken(model):
    raise RuntimeError("broken")
def test_error(broken):
    pass
@pytest.mark.skip("not today")
def test_skipped(model):
    pass
@pytest.mark.xfail(raises=ClaimRefuted)
def test_expected(model):
    assert model.on(FRUIT).patch(NONE) > 0.5
@pytest.mark.xfail(raises=ClaimRefuted)
def test_not_as_expected(model):
    assert model.on(FRUIT).patch(ALL) > 0.5
"""


def valid(path: Path) -> dict[str, Any]:
    """A report, which its schema describes to the last field."""
    report: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    problems = [f"{error.json_path}: {error.message}" for error in VALIDATOR.iter_errors(report)]
    assert not problems
    return report


def test_the_schema_is_one_and_describes_every_field_and_knows_no_other() -> None:
    schema = read()
    Draft202012Validator.check_schema(schema)
    for name, part in [("report", schema), *schema["$defs"].items()]:
        assert part["additionalProperties"] is False, name
        for field, content in part["properties"].items():
            assert len(content["description"]) > 8, f"{name}.{field}"


@pytest.mark.parametrize("mutated", each(["test_share", "test"], ("test_share",)))
def test_every_kind_of_claim_is_described(claims: Claims, tmp_path: Path, mutated: str) -> None:
    path = tmp_path / "claims.json"
    options = (
        f"--circuit-json={path}",
        "--circuit-fdr",
        "--circuit-lock=update",
        "--circuit-examples=20",
        "--circuit-budget=64",
    )
    claims(OWN, *options)
    report = valid(path)
    assert report["circuitcheck"] == __version__
    assert report["fdr"] == 0.05
    assert report["lock"]["holds"] is False
    found = {claim["nodeid"].rpartition("::")[2]: claim for claim in report["claims"]}
    outcomes = {claim["outcome"] for claim in found.values()}
    assert outcomes == {"passed", "failed", "error", "skipped", "xfailed", "xpassed"}
    assert {claim["verdict"] for claim in found.values()} == {
        *("supported", "refuted", "inconclusive", "undecided", "skipped")
    }
    assert len(found["test_share"]["effects"][0]["pairs"]) == 8
    assert found["test_every"]["effects"][0]["searched"]["clean"].startswith("I climbed")
    assert found["test_against"]["effects"][0]["searched"]["duel"]["name"] == "coordinate"
    assert found["test_weights"]["effects"][0]["fillers"] == {}
    assert found["test_refuted"]["explanation"].startswith("circuitcheck.ClaimRefuted: refuted: patch L1.N8 > 0.9 of")
    assert found["test_refuted"]["explanation"].splitlines()[0] == found["test_refuted"]["problem"]
    assert "controls rank 1 of 17" in found["test_refuted"]["explanation"]
    assert found["test_error"]["problem"] == "RuntimeError: broken"
    for name, claim in found.items():
        text = Path(claim["file"]).read_text().splitlines()
        around = text[claim["line"] - 1 : claim["line"] + 2]
        assert any(line.startswith(f"def {name}(") for line in around)
    claims(OWN, *options, "--circuit-mutate", "-k", mutated)
    [share] = [claim for claim in valid(path)["claims"] if claim["nodeid"].endswith("::test_share")]
    assert share["mutants"]["neighbour"] == "killed"


@pytest.mark.parametrize(
    ("file", "chosen"),
    [
        ("test_observation.py", "weights or fires or looks_at_the_fruit"),
        ("test_probes.py", "from_the_start or one_direction_carries"),
        ("test_articles.py", "knows or new_nouns or rare or last_mlp"),
        ("test_readouts.py", "probability or prediction or negated"),
        ("gpt2_large/test_an_weights.py", ""),
    ],
)
def test_reports_of_the_hypotheses_here_are_described(
    claims: Claims, pytester: pytest.Pytester, tmp_path: Path, file: str, chosen: str
) -> None:
    shutil.copytree(ROOT / "hypotheses", pytester.path / "hypotheses")
    claims("", f"hypotheses/{file}", "-k", chosen, f"--circuit-json={tmp_path}/claims.json", model=None)
    assert len(valid(tmp_path / "claims.json")["claims"]) >= 2


def test_a_field_that_is_not_described_is_found(claims: Claims, tmp_path: Path) -> None:
    path = tmp_path / "claims.json"
    claims("def test_it(model):\n    assert model.on(FRUIT).patch(ALL) > 0.5\n", f"--circuit-json={path}")
    report = valid(path)
    for place in (report, report["claims"][0], report["claims"][0]["effects"][0], report["models"][0]):
        place["new"] = 1
        assert not VALIDATOR.is_valid(report)
        del place["new"]
    assert VALIDATOR.is_valid(report)


def test_the_page_has_every_field_as_the_schema_describes_it() -> None:
    page = (ROOT / "docs" / "reference" / "reports.md").read_text(encoding="utf-8")
    assert with_tables(page) == page, "run python -m circuitcheck.report.schema docs/reference/reports.md"
    assert "| `e_value` | number or null | Evidence for the claim" in page


def test_numbers_that_json_does_not_have_are_null() -> None:
    content = {"0": {"estimate": math.nan, "ends": [math.inf, 1.0], "by": {"a b": -math.inf}}}
    assert from_properties(to_properties(content)) == {
        "0": {"estimate": None, "ends": [None, 1.0], "by": {"a b": None}}
    }


def test_what_travels_as_properties_comes_back_as_it_was() -> None:
    content = {"0": {"fillers": {}, "by": {"a b": {"c.d": 1.0}}, "n": 1, "none": None}, "word": "é ☃ 😀"}
    assert from_properties(to_properties(content)) == content


STRANGE = r"""
ODD = PromptPairs(
    "I climbed up the {tree} tree. I picked a {fruit} and \x1b[31m\x00 😀 <script>]]> & | ::error::",
    tree=["pear", "fig\x07"], fruit=contrast(clean=["apple"], corrupt=["lemon"]), answer=" an", foil=" a",
)
ROWS = PromptPairs.from_rows([
    {"clean": f"I climbed up the {tree} tree and picked a {tree}. 😀 \x1b \x0b I climbed up the {a} tree and picked",
     "corrupt": f"I climbed up the {tree} tree and picked a {tree}. 😀 \x1b \x0b I climbed up the {b} tree and picked",
     "answer": " an", "foil": " a"} for tree in ("pear", "fig") for a, b in (("apple", "lemon"), ("olive", "peach"))])

def test_odd(model):
    "It \ud800 \x1b[31m\x00 \x08 😀 <b>]]> & restores."
    assert model.on(ROWS).patch("L0.H0") > 0.99
def test_halves(model):
    assert model.on(ODD).patch("L0.H0") > 0.99
@pytest.mark.skip("\x1b 😀 ]]>")
def test_skipped(model):
    pass
"""


@pytest.mark.parametrize("workers", [[], pytest.param(["-n", "1"], marks=pytest.mark.slow)])
def test_strange_characters_leave_every_report_whole(claims: Claims, tmp_path: Path, workers: list[str]) -> None:
    result = claims(STRANGE, f"--circuit-json={tmp_path}/claims.json", f"--junit-xml={tmp_path}/junit.xml", *workers)
    result.assert_outcomes(failed=2, skipped=1)
    found = {claim["nodeid"].rpartition("::")[2]: claim for claim in valid(tmp_path / "claims.json")["claims"]}
    assert "😀 <b>]]> & restores." in found["test_odd"]["claim"]
    assert "\\ud800" in found["test_odd"]["claim"]
    cases = {case.attrib["name"]: case for case in ET.parse(tmp_path / "junit.xml").iter("testcase")}
    properties = {p.attrib["name"]: p.attrib["value"] for p in cases["test_odd"].iter("property")}
    assert "😀 <b>]]> & restores." in properties["circuit.claim"]
    assert properties["circuit.0.verdict"] == "refuted"
    assert float(properties["circuit.0.threshold"]) == 0.99


def test_a_claim_knows_its_test_without_the_models_id() -> None:
    def report(nodeid: str, **more: object) -> pytest.TestReport:
        properties = to_properties({"claim": "It restores it.", **more})
        return pytest.TestReport(nodeid, ("t.py", 4, "t"), {}, "passed", None, "call", user_properties=properties)

    collector = ClaimCollector()
    collector.add(report("t.py::t[small]", test="t.py::t"))
    collector.add(report("t.py::alone"))
    found = [(claim.test, claim.file, claim.line) for claim in collector.claims.values()]
    assert found == [("t.py::t", "t.py", 5), ("t.py::alone", "t.py", 5)]
