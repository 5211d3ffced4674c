"""What a claim test may not do: end undecided, leave a verdict unasserted, or expect a failure that is no refutation."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import pytest

from circuitcheck import session
from circuitcheck.errors import CircuitError, ClaimRefuted
from circuitcheck.verdicts import Verdict, noting

_PACKAGE = __file__.removesuffix("guard.py")
_LOOKING = "A test that only looks is marked @pytest.mark.circuit(claim=False)."


@contextmanager
def watching(item: pytest.Item, makes_a_claim: bool) -> Iterator[None]:
    """Around a test's call: what it decided goes into its report, and a misuse of claims fails it."""
    with noting() as verdicts:
        try:
            yield
        except BaseException as error:
            _cut_traceback(item, error)
            raise
        finally:
            if makes_a_claim:
                item.user_properties += session.properties(getattr(item, "funcargs", {}).get("model"), verdicts)
        problem = _misuse(verdicts) if makes_a_claim else ""
    if problem:
        pytest.fail(problem, pytrace=False)


def only_refutation_is_expected(item: pytest.Item, call: pytest.CallInfo[None], report: pytest.TestReport) -> None:
    """Turn an expected failure back into a failure unless a claim was refuted, or the test was not to be run at all."""
    if not (hasattr(report, "wasxfail") and report.skipped and call.excinfo is not None):
        return
    error = call.excinfo.value
    not_to_be_run = isinstance(error, pytest.xfail.Exception) and call.when == "setup"
    if isinstance(error, ClaimRefuted) or not_to_be_run:
        return
    report.outcome = "failed"
    report.longrepr = item.repr_failure(call.excinfo)
    report.sections.append(("circuitcheck", "Only ClaimRefuted can be an expected failure (xfail) of a claim."))
    del report.wasxfail


def _misuse(verdicts: Sequence[Verdict]) -> str:
    """Why a test that passed so far must not pass; empty where it may."""
    if not verdicts:
        return f"this test used the model and passed without deciding a claim: assert a comparison of an effect.\n{_LOOKING}"
    forgotten = [verdict for verdict in verdicts if not verdict.asserted]
    if forgotten:
        return f"a comparison was made and never asserted: {forgotten[0].claim} came out {forgotten[0].decision}.\n{_LOOKING}"
    return ""


def _cut_traceback(item: pytest.Item, error: BaseException) -> None:
    """End the traceback of a deliberate error where the user's code called into circuitcheck."""
    if not isinstance(error, CircuitError):
        return
    in_test, frame = False, error.__traceback__
    while frame is not None and frame.tb_next is not None:
        in_test = in_test or frame.tb_frame.f_code.co_filename == str(item.path)
        if in_test and frame.tb_next.tb_frame.f_code.co_filename.startswith(_PACKAGE):
            frame.tb_next = None
            return
        frame = frame.tb_next
