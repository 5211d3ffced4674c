"""What a test's report carries: nested content as flat, indexed JSON scalars, and back."""

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from circuitcheck.report.claims import ClaimCollector
from circuitcheck.report.properties import from_properties, to_properties

keys = st.text(st.characters(categories=("Ll", "Nd"), include_characters="_"), min_size=1, max_size=8)
scalars = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=12)
)
contents = st.dictionaries(
    keys,
    st.recursive(scalars, lambda inner: st.dictionaries(keys, inner, min_size=1, max_size=3), max_leaves=8),
    max_size=4,
)


@settings(deadline=None)
@given(contents)
def test_content_comes_back_as_it_went(content: dict[str, Any]) -> None:
    assert from_properties(to_properties(content)) == content


@settings(deadline=None)
@given(contents)
def test_properties_are_scalars_under_unique_keys_of_ours(content: dict[str, Any]) -> None:
    properties = to_properties(content)
    assert len({key for key, _ in properties}) == len(properties)
    for key, value in properties:
        assert key.startswith("circuit.")
        assert value is None or isinstance(value, bool | int | float | str)
        assert json.loads(json.dumps(value)) == value


@settings(deadline=None)
@given(contents, st.lists(st.tuples(keys, scalars), max_size=4), st.randoms())
def test_others_properties_are_left_alone_wherever_they_stand(
    content: dict[str, Any], others: list[tuple[str, Any]], random: Any
) -> None:
    mixed = [*to_properties(content), *others, ("circuitry.x", 1), ("circuit", 2), ("my.circuit.x", 3)]
    random.shuffle(mixed)
    assert from_properties(mixed) == content


def test_keys_are_dotted_and_indexed() -> None:
    content = {"claim": "it does", "0": {"estimate": 0.5, "method": {"value": "mean"}}, "model": {"name": "gpt2.xl"}}
    assert to_properties(content) == [
        ("circuit.claim", "it does"),
        ("circuit.0.estimate", 0.5),
        ("circuit.0.method.value", "mean"),
        ("circuit.model.name", "gpt2.xl"),
    ]


def test_where_nothing_is_ours_there_is_no_content() -> None:
    assert from_properties([]) == {}
    assert from_properties([("record", "x")]) == {}


def report(when: str, outcome: str = "passed", **more: Any) -> pytest.TestReport:
    content = {"claim": "it does", "model": {"name": "bundled", "fingerprint": "f"}} | more.pop("content", {})
    made = pytest.TestReport(
        "t.py::t", ("t.py", 1, "t"), {}, outcome, None, when, user_properties=to_properties(content)
    )  # type: ignore[arg-type]
    vars(made).update(more)
    return made


def verdicts(*words: str) -> dict[str, Any]:
    return {str(number): {"verdict": word, "label": word[:3]} for number, word in enumerate(words)}


@pytest.mark.parametrize(
    ("reached", "verdict"),
    [
        ([], "undecided"),
        (["supported"], "supported"),
        (["supported", "inconclusive"], "inconclusive"),
        (["supported", "refuted", "inconclusive"], "refuted"),
    ],
)
def test_a_claim_that_is_read_from_reports_is_as_good_as_its_worst_comparison(reached: list[str], verdict: str) -> None:
    collector = ClaimCollector()
    for when in ("setup", "call", "teardown"):
        collector.add(report(when, content=verdicts(*reached)))
    (claim,) = collector.claims.values()
    assert (claim.verdict, claim.words, claim.outcome) == (verdict, "it does", "passed")
    assert (claim.decisive or {}).get("verdict", "undecided") == verdict
    assert collector.models() == [{"name": "bundled", "fingerprint": "f", "asked": None}]
    assert json.loads(json.dumps(claim.as_json()))["effects"] == list(verdicts(*reached).values())


@pytest.mark.parametrize(
    ("phases", "outcome"),
    [
        ([("setup", "passed"), ("call", "failed"), ("teardown", "passed")], "failed"),
        ([("setup", "failed"), ("teardown", "passed")], "error"),
        ([("setup", "passed"), ("call", "passed"), ("teardown", "failed")], "error"),
        ([("setup", "skipped"), ("teardown", "passed")], "skipped"),
    ],
)
def test_the_outcome_of_a_claim_is_told_by_all_of_its_phases(phases: list[tuple[str, str]], outcome: str) -> None:
    collector = ClaimCollector()
    for when, word in phases:
        collector.add(report(when, word))
    assert collector.claims["t.py::t"].outcome == outcome


@pytest.mark.parametrize(("outcome", "word"), [("skipped", "xfailed"), ("passed", "xpassed")])
def test_an_expected_failure_is_told_as_one(outcome: str, word: str) -> None:
    collector = ClaimCollector()
    collector.add(report("call", outcome, wasxfail="why"))
    collector.add(report("teardown"))
    assert collector.claims["t.py::t"].outcome == word


def test_a_test_without_a_claim_is_none() -> None:
    collector = ClaimCollector()
    collector.add(pytest.TestReport("t", ("t.py", 1, "t"), {}, "passed", None, "call"))
    assert collector.claims == {}


def test_numbers_are_pythons_own() -> None:
    """Under xdist what goes to the controller is written by a library that knows no others."""
    content = {"a": np.float64(0.5), "b": {"c": np.int64(3), "d": np.bool_(True)}}
    assert [type(value) for _, value in to_properties(content)] == [float, int, bool]
