"""One of a kind is one: no report says "1 claims" or "1 pairs"."""

import re
from pathlib import Path

import pytest

from circuitcheck import Circuit, CircuitError, Model, PromptPairs, contrast
from circuitcheck.units import written
from tests.conftest import Claims

ONE = PromptPairs(
    "I climbed up the {fruit} tree and picked",
    fruit=contrast(clean=["apple"], corrupt=["lemon"]),
    answer=" an",
    foil=" a",
)
SUITE = """
ONE = PromptPairs("I climbed up the {fruit} tree and picked",
    fruit=contrast(clean=["apple"], corrupt=["lemon"]), answer=" an", foil=" a")
def test_only(model):
    model.on(ONE).sweep("L1.N8")
    assert model.on(ONE).patch("L1.N8").each > 0.1
    assert model.on(ONE).patch("L2.RESID_POST") > 0.5
    assert model.on(ONE).patch("L1.N8") > 0.99
"""
_WRONG = re.compile(
    r"(?<![\d.,/:-])1 (?:drawn |reference |random |other )?(?!pass|less|loss|is\b|was\b|has\b)[a-z]+s\b|\w\(s\)"
)


def wrong(text: str) -> list[str]:
    return [found[0] for found in _WRONG.finditer(text)]


def test_a_session_of_one_claim_about_one_pair(claims: Claims, pytester: pytest.Pytester) -> None:
    assert wrong("1 claims, 1 drawn pairs and pair(s)") == ["1 claims", "1 drawn pairs", "r(s)"]
    reports = {name: Path(pytester.path, f"found.{name}") for name in ("markdown", "html", "json")}
    result = claims(SUITE, *(f"--circuit-{name}={path}" for name, path in reports.items()), "--circuit-fdr=0.05")
    result.stdout.fnmatch_lines(["1 claim: 1 refuted on bundled*", "0 of 1 claim is established*"])
    told = [line for line in result.stdout.lines if "circuitcheck-" not in line]
    for text in ("\n".join(told), *(path.read_text() for path in reports.values())):
        assert wrong(re.sub(r"<style>.*?</style>|<script>.*?</script>|<path[^>]*>", "", text, flags=re.DOTALL)) == []


def test_what_is_said_of_one_pair(bundled: Model, capsys: pytest.CaptureFixture[str]) -> None:
    run = bundled.on(ONE)
    circuit = Circuit("L1.N8")
    said = [run.patch("L1.N8"), run.sweep("L1.N8"), run.patch("L1.N8").beats("L1.N[8,9]")]
    circuit.show(bundled)
    said += [capsys.readouterr().out]
    said += [run.patch("L1.N8").each > 0.99, run.completeness(circuit).measure(), bundled]
    rows = PromptPairs.from_rows([{"clean": "the apple", "corrupt": "the lemon", "answer": " tree", "foil": " is"}])
    fit = PromptPairs(
        "the {fruit} tree", fruit=contrast(clean=["apple", "lemon"], corrupt=["lemon"]), answer=" was", foil=" is"
    )
    said += [rows, fit.fitting(bundled).left_out, bundled.on(fit).gap.measure().rejections]
    for attempt in (lambda: run.patch("L1.N8@{fruit}[2]").measure(), lambda: run.sweep("L1.N8")["L0.N0"]):
        with pytest.raises((CircuitError, KeyError)) as error:
            attempt()
        said.append(error.value)
    for one in said:
        assert wrong(f"{one!r}\n{one}") == [], one


def test_nothing_is_less_than_nothing() -> None:
    assert [written(number, "gap") for number in (-0.0, 0.0, -0.25)] == ["0", "0", "-0.25"]
