"""Claims are made in tests: a comparison elsewhere is an error, and one in a thread is of the test that started the thread."""

import json
from pathlib import Path
from typing import Any

import pytest

from circuitcheck.ledger import current
from tests.conftest import HEAD, Claims, each

MADE = "import circuitcheck\nEFFECT = circuitcheck.load('bundled').on(FRUIT).patch(ALL)\n"
HELD = "def test_it(model):\n    assert model.on(FRUIT).patch(ALL) > 0.5\n"
ELSEWHERE = {
    "import": f"{MADE}VERDICT = EFFECT > 0.5\n{HELD}",
    "an assertion at import": f"{MADE}assert EFFECT > 0.5\n{HELD}",
    "parametrize": f"{MADE}@pytest.mark.parametrize('verdict', [EFFECT > 0.5])\ndef test_it(verdict):\n    assert verdict\n",
    "a class": f"{MADE}class TestIt:\n    verdict = EFFECT > 0.5\n    def test_it(self):\n        assert self.verdict\n",
    "a default": f"{MADE}def test_it(verdict=EFFECT > 0.5):\n    assert verdict\n",
    "skipif": f"{MADE}@pytest.mark.skipif(bool(EFFECT > 0.5), reason='so')\ndef test_it(model):\n    pass\n",
    "a search": f"{MADE}VERDICT = EFFECT.each > 0\n{HELD}",
    "a rank": f"{MADE}VERDICT = circuitcheck.load('bundled').on(FRUIT).patch('L1.N8').rank_within('L1.N*') == 1\n{HELD}",
    "a generated test": f"{MADE}def pytest_generate_tests(metafunc):\n    metafunc.parametrize('v', [EFFECT > 0.5])\ndef test_it(v):\n    assert v\n",
}


@pytest.mark.parametrize("place", each(ELSEWHERE, ("import", "parametrize")))
def test_a_comparison_before_there_is_a_test_is_an_error_that_says_where_claims_are_made(
    claims: Claims, place: str
) -> None:
    result = claims(ELSEWHERE[place])
    assert result.parseoutcomes().get("errors") == 1
    assert "passed" not in result.parseoutcomes()
    result.stdout.fnmatch_lines(["*ComparisonError: claims are made in tests, *compare inside a test function*"])


def test_an_effect_may_be_made_and_measured_anywhere(claims: Claims) -> None:
    body = f"{MADE}SIZE = EFFECT.measure().estimate\ndef test_it():\n    assert SIZE > 0.5\n    assert EFFECT > 0.5\n"
    claims(body).assert_outcomes(passed=1)


@pytest.mark.slow
def test_nor_in_a_conftest(claims: Claims, pytester: pytest.Pytester) -> None:
    pytester.makeconftest(f"{HEAD}{MADE}def pytest_sessionstart():\n    EFFECT > 0.5\n")
    result = claims(HELD)
    assert result.ret != 0
    assert "claims are made in tests" in result.stdout.str() + result.stderr.str()


def test_after_a_session_and_outside_of_one_comparisons_are_nobodys_business(claims: Claims) -> None:
    claims(HELD)
    assert not current().outside


THREADS = """
import threading, time
GO = threading.Event()

def test_starts(model):
    effect = model.on(FRUIT).patch(NONE)
    def work():
        GO.wait(20)
        try:
            assert effect > 0.5
        except ClaimRefuted:
            pass
        DONE.set()
    threading.Thread(target=work, daemon=True).start()
    assert model.on(FRUIT).patch(ALL) > 0.5

DONE = threading.Event()

def test_next(model):
    GO.set()
    DONE.wait(20)
    assert model.on(FRUIT).patch(ALL) > 0.5
"""


def outcomes(folder: Path) -> dict[str, tuple[str, str]]:
    found: list[dict[str, Any]] = json.loads((folder / "found.json").read_text())["claims"]
    return {one["nodeid"].rpartition("::")[2]: (one["verdict"], one["outcome"]) for one in found}


def test_what_a_thread_refutes_fails_the_test_that_started_it_and_no_other(
    claims: Claims, pytester: pytest.Pytester
) -> None:
    result = claims(THREADS, "--circuit-json=found.json", "-rA")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.assert_outcomes(passed=2, failed=1)
    assert outcomes(pytester.path) == {"test_starts": ("refuted", "failed"), "test_next": ("supported", "passed")}
    assert "came out refuted in a thread of the test, after the test had ended: join it" in result.stdout.str()


def test_a_thread_that_decides_at_the_end_of_the_session_is_waited_for(
    claims: Claims, pytester: pytest.Pytester
) -> None:
    last = THREADS.partition("DONE = ")[0].replace("GO.wait(20)", "time.sleep(0.5)").replace("DONE.set()", "pass")
    result = claims(last, "--circuit-json=found.json")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    assert outcomes(pytester.path) == {"test_starts": ("refuted", "failed")}


POOLS = """
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.pool import ThreadPool
POOL, OTHER = ThreadPoolExecutor(1), ThreadPool(1)

def claim(effect):
    return bool(effect > 0.5)

@pytest.mark.parametrize("number", range(2))
@pytest.mark.parametrize("site", [ALL, NONE])
def test_pool(model, number, site):
    POOL.submit(claim, model.on(FRUIT).patch(site)).result()

@pytest.mark.parametrize("number", range(2))
@pytest.mark.parametrize("site", [ALL, NONE])
def test_other(model, number, site):
    OTHER.apply(claim, (model.on(FRUIT).patch(site),))

def test_end():
    POOL.shutdown()
    OTHER.close()
    OTHER.join()
"""


def test_a_pools_threads_work_for_whoever_has_something_to_do(claims: Claims) -> None:
    claims(POOLS).assert_outcomes(passed=5, failed=4)


FORKS = """
import os

def in_a_fork(work):
    if not (child := os.fork()):
        try:
            work()
        except BaseException as error:
            os._exit(3 if "forked" in str(error) else 4)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

def test_refuted_there(model):
    effect = model.on(FRUIT).patch(NONE)
    assert effect > -1
    assert in_a_fork(lambda: effect > 0.5) == 3

def test_there_alone(model):
    effect = model.on(FRUIT).patch(ALL)
    assert effect.measure().estimate > 0.5
    assert in_a_fork(lambda: effect > 0.5) == 3
"""


def test_a_comparison_in_a_forked_process_is_an_error_there(claims: Claims) -> None:
    result = claims(FORKS)
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(["*passed without deciding a claim*"])


FORKED = """
import os, pickle
from _pytest.runner import runtestprotocol

def pytest_runtest_protocol(item):
    # What pytest-forked does: the whole test in a process of its own, and its reports sent back.
    read, write = os.pipe()
    if not (child := os.fork()):
        reports = [(one.outcome, one.when, one.user_properties) for one in runtestprotocol(item, log=False)]
        with os.fdopen(write, "wb") as file:
            pickle.dump(reports, file)
        os._exit(0)
    os.close(write)
    with os.fdopen(read, "rb") as file:
        reports = pickle.load(file)
    os.waitpid(child, 0)
    import pytest
    for outcome, when, properties in reports:
        report = pytest.TestReport(item.nodeid, item.location, {}, outcome, None, when, user_properties=properties)
        item.ihook.pytest_runtest_logreport(report=report)
    return True
"""


def test_a_test_that_is_run_whole_in_a_forked_process_is_one_like_any_other(
    claims: Claims, pytester: pytest.Pytester
) -> None:
    pytester.makeconftest(FORKED)
    body = HELD + "def test_refuted(model):\n    assert model.on(FRUIT).patch(NONE) > 0.5\n"
    result = claims(body, "--circuit-json=found.json")
    result.assert_outcomes(passed=1, failed=1)
    assert outcomes(pytester.path) == {"test_it": ("supported", "passed"), "test_refuted": ("refuted", "failed")}


RERUNS = """
from _pytest.runner import runtestprotocol

def pytest_runtest_protocol(item, nextitem):
    # What pytest-rerunfailures does: a failure's report is one of the outcome "rerun", and the test begins again.
    for attempt in range(3):
        item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
        for report in runtestprotocol(item, nextitem=nextitem, log=False):
            if report.failed and attempt < 2:
                report.outcome = "rerun"
                item.ihook.pytest_runtest_logreport(report=report)
                item._initrequest()
                break
            item.ihook.pytest_runtest_logreport(report=report)
        else:
            break
    item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
    return True

def pytest_report_teststatus(report):
    return ("rerun", "R", "RERUN") if report.outcome == "rerun" else None
"""
FLAKY = """
ATTEMPTS = []

def test_flaky(model):
    ATTEMPTS.append(1)
    for site in (ALL, "L1.N8")[len(ATTEMPTS) - 1 :]:
        assert model.on(FRUIT).patch(site) > 0.3
    assert model.on(FRUIT).patch(NONE if len(ATTEMPTS) == 1 else ALL) > 0.5

@pytest.fixture
def early(model):
    ATTEMPTS.append(1)
    assert len(ATTEMPTS) > 3, "not yet"

def test_in_setup(early, model):
    assert model.on(FRUIT).patch(ALL) > 0.5

def test_never(model):
    assert model.on(FRUIT).patch(NONE) > 0.5

@pytest.mark.xfail(strict=True)
def test_expected(model):
    assert model.on(FRUIT).patch(NONE) > 0.5
"""


def test_reruns_are_one_test_with_what_its_last_attempt_came_to(claims: Claims, pytester: pytest.Pytester) -> None:
    pytester.makeconftest(RERUNS)
    result = claims(FLAKY, "--circuit-json=found.json", "--circuit-lock=update", "--circuit-accept=all")
    assert result.parseoutcomes() == {"passed": 2, "failed": 1, "xfailed": 1, "rerun": 4}
    assert outcomes(pytester.path) == {
        "test_flaky": ("supported", "passed"),
        "test_in_setup": ("supported", "passed"),
        "test_never": ("refuted", "failed"),
        "test_expected": ("refuted", "xfailed"),
    }
    flaky, setup, never, _ = json.loads((pytester.path / "found.json").read_text())["claims"]
    assert [effect["site"] for effect in flaky["effects"]] == ["L1.N8", "L2.RESID_POST"]
    assert (flaky["explanation"], setup["explanation"], len(never["effects"])) == ("", "", 1)
    result.stdout.fnmatch_lines(["lock: 4 claims written to circuitcheck.lock"])
