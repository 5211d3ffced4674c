"""A comparison that came out against its claim stays so, however the test goes on: a skip takes no verdict back."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Claims, each

# Each test decides its first comparison against it, catches that, and leaves in another way.
HEAD = """
import contextlib
import unittest

def decide(model, site=NONE, over=0.5):
    with contextlib.suppress(AssertionError):
        assert model.on(FRUIT).patch(site) > over
"""
INSIDE = {
    "skip": "pytest.skip('no time')",
    "importorskip": "pytest.importorskip('no_such_library')",
    "skip_test": "raise unittest.SkipTest('no time')",
    "helper": "leave()",
    "xfail": "pytest.xfail('no time')",
    "context": "with contextlib.ExitStack() as stack:\n        stack.callback(leave)",
    "thrown_again": "try:\n        leave()\n    except BaseException as error:\n        raise error",
}
WAYS = {name: f"def test_{name}(model):\n    decide(model)\n    {leave}" for name, leave in INSIDE.items()}
WAYS |= {
    "marked": "@pytest.mark.xfail(raises=ClaimRefuted)\ndef test_marked(model):\n    decide(model)\n    pytest.skip('no time')",
    "setup": "@pytest.fixture\ndef early(model):\n    decide(model)\n    pytest.skip('no time')\ndef test_setup(early):\n    pass",
    "setup_xfail": "@pytest.fixture\ndef known(model):\n    decide(model)\n    pytest.xfail('no time')\ndef test_setup_xfail(known):\n    pass",
    "teardown": "@pytest.fixture\ndef late(model):\n    yield\n    decide(model)\n    pytest.skip('no time')\ndef test_teardown(late, model):\n    assert model.on(FRUIT).patch(ALL) > 0.5",
    "inconclusive": "def test_inconclusive(model):\n    decide(model, over=0)\n    pytest.skip('no time')",
    "never_asserted": "def test_never_asserted(model):\n    model.on(FRUIT).patch(NONE) > 0.5\n    pytest.skip('no time')",
    "subtest": "def test_subtest(model, subtests):\n    with subtests.test():\n        decide(model)\n        pytest.skip('no time')",
    "after_subtests": "def test_after_subtests(model, subtests):\n    with subtests.test():\n        decide(model)\n    pytest.skip('no time')",
    "unittest": "class TestUnit(unittest.TestCase):\n    @pytest.fixture(autouse=True)\n    def _model(self, model):\n        self.model = model\n    def test_unittest(self):\n        decide(self.model)\n        self.skipTest('no time')",
}
LEAVE = "\ndef leave():\n    pytest.skip('no time')\n"


def by_test(path: Path) -> dict[str, dict[str, Any]]:
    found = json.loads(path.read_text())["claims"]
    return {claim["nodeid"].rpartition("::")[2].removeprefix("test_"): claim for claim in found}


@pytest.mark.filterwarnings("ignore")
def test_no_way_out_of_a_test_takes_a_verdict_back(claims: Claims, tmp_path: Path) -> None:
    body = HEAD + LEAVE + "\n\n".join(WAYS.values())
    result = claims(body, f"--circuit-json={tmp_path}/claims.json", "-rA")
    counted = result.parseoutcomes()
    assert (counted.get("skipped", 0), counted.get("xfailed", 0), counted.get("passed", 0)) == (0, 0, 1)
    assert counted["failed"] + counted["errors"] >= len(WAYS)
    found = by_test(tmp_path / "claims.json")
    assert set(found) == set(WAYS)
    for name, claim in found.items():
        verdict = "inconclusive" if name == "inconclusive" else "refuted"
        assert (claim["verdict"], claim["outcome"] in ("failed", "error")) == (verdict, True), name
        if name != "subtest":
            assert f"came out {verdict}, and then the test was " in claim["problem"], name
            assert claim["problem"].startswith("patch L0.H0@{tree}[1] > 0"), name
    assert "no time" in found["skip"]["problem"]
    result.stdout.no_fnmatch_line("skipped  *")


def test_a_skip_that_hides_nothing_stays_a_skip(claims: Claims, tmp_path: Path) -> None:
    body = """
import threading
@pytest.fixture
def late(model):
    yield
    pytest.skip("no more to do")
def test_before(model):
    pytest.skip("not here")
def test_supported_so_far(model):
    assert model.on(FRUIT).patch(ALL) > 0.5
    pytest.skip("the rest is slow")
def test_late(late, model):
    assert model.on(FRUIT).patch(ALL) > 0.5
def test_failed_already(late, model):
    assert model.on(FRUIT).patch(NONE) > 0.5
@pytest.mark.circuit(claim=False)
def test_looks(model):
    model.on(FRUIT).patch(NONE) > 0.5
    pytest.skip("only looking")
"""
    result = claims(body, f"--circuit-json={tmp_path}/claims.json")
    result.assert_outcomes(passed=1, failed=1, skipped=5)
    assert {name: (one["verdict"], one["outcome"]) for name, one in by_test(tmp_path / "claims.json").items()} == {
        "before": ("skipped", "skipped"),
        "supported_so_far": ("supported", "skipped"),
        "late": ("supported", "passed"),
        "failed_already": ("refuted", "failed"),
    }


def test_a_skip_in_another_thread_is_none(claims: Claims) -> None:
    body = """
import threading
@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_it(model):
    def work():
        model.on(FRUIT).patch(NONE) > 0.5
        pytest.skip("not here")
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
"""
    claims(body).assert_outcomes(failed=1)


ENDS = {
    "exit": "pytest.exit('enough')",
    "exit with 0": "pytest.exit('enough', returncode=0)",
    "Ctrl-C": "raise KeyboardInterrupt",
    "exit in a subtest": "with subtests.test():\n        pytest.exit('enough')",
}


@pytest.mark.parametrize("end", each(ENDS, ("exit", "exit in a subtest")))
def test_an_early_end_of_the_session_takes_no_verdict_back(claims: Claims, tmp_path: Path, end: str) -> None:
    body = f"{HEAD}\ndef test_it(model, subtests):\n    decide(model)\n    {ENDS[end]}\n"
    result = claims(body, f"--circuit-json={tmp_path}/claims.json")
    assert result.ret != 0
    [claim] = by_test(tmp_path / "claims.json").values()
    assert (claim["verdict"], claim["outcome"]) == ("refuted", "failed")
    assert "came out refuted, and then the session ended" in claim["problem"]


@pytest.mark.slow
def test_an_end_in_a_fixture_or_on_a_worker_takes_none_back_either(pytester: pytest.Pytester, claims: Claims) -> None:
    fixtures = {
        "setup": "    decide(model)\n    pytest.exit('enough')\n    yield",
        "teardown": "    yield\n    decide(model)\n    pytest.exit('enough')",
    }
    for name, lines in fixtures.items():
        test = "def test_it(fixture, model):\n    assert model.on(FRUIT).patch(ALL) > 0.5\n"
        for options in ((), ("-n1",)) if name == "setup" else ((),):
            path = pytester.path / f"{name}.json"
            body = f"{HEAD}\n@pytest.fixture\ndef fixture(model):\n{lines}\n{test}"
            assert claims(body, f"--circuit-json={path}", *options).ret != 0
            [claim] = by_test(path).values()
            assert (claim["verdict"], claim["outcome"]) == ("refuted", "failed"), name


NOT_ESTABLISHED = """
EIGHT = PromptPairs(
    "I climbed up the {tree} tree and picked a {tree}. I climbed up the {fruit} tree and picked",
    tree=["pear", "fig"], fruit=contrast(clean=["apple", "olive"], corrupt=["lemon", "peach"]), answer=" an", foil=" a",
)

def compare(model):
    try:
        assert model.on(EIGHT).ablate("L1.N8", "resample") > 0.52
    except ClaimInconclusive:
        pass

def test_and_skipped(model):
    compare(model)
    pytest.skip("no time")

def test_and_went_on(model):
    compare(model)
    assert model.on(FRUIT).patch(ALL) > 0.5

def test_in_a_subtest(model, subtests):
    with subtests.test():
        compare(model)
        pytest.skip("no time")
    assert model.on(FRUIT).patch(ALL) > 0.5

def test_by_itself(model):
    assert model.on(EIGHT).ablate("L1.N8", "resample") > 0.52

def test_supported(model):
    assert model.on(FRUIT).patch(ALL) > 0.5
"""


def test_a_comparison_whose_denominator_was_not_established_is_not_passed_either(claims: Claims) -> None:
    result = claims(NOT_ESTABLISHED, "-rA", "--circuit-budget=32", "--circuit-bound=50")
    assert "does not establish that it is above the floor" in result.stdout.str()
    text = result.stdout.str()
    for test in ("test_and_skipped", "test_and_went_on", "test_in_a_subtest", "test_by_itself"):
        assert f"FAILED test_a_comparison_whose_denominator_was_not_established_is_not_passed_either.py::{test}" in text
    assert text.count("was compared and came out inconclusive") >= 3
    assert (
        "PASSED test_a_comparison_whose_denominator_was_not_established_is_not_passed_either.py::test_supported" in text
    )
