"""What ``--circuit-strict`` does not let pass: a claim that was skipped, not refuted, or expected to be refuted and was not.

    pytest hypotheses --circuit-strict

What is inconclusive, and an expected failure that is no refutation, fails in any case.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import pytest

from circuitcheck.errors import ClaimRefuted
from circuitcheck.session.options import is_strict
from circuitcheck.texts import plain

if TYPE_CHECKING:
    from circuitcheck.claims.verdicts import Verdict

SAYS = "--circuit-strict"


def unrefuted(config: pytest.Config, verdicts: "Sequence[Verdict]") -> str:
    """Why a test that rests on searches among some of the pairs must not pass; empty where it may. A replay of known
    counterexamples searches for no others."""
    if not is_strict(config) or config.getoption("circuit_replay"):
        return ""
    found = [verdict for verdict in verdicts if verdict.decision == "unrefuted"]
    return f"{SAYS}: not refuted is not supported: {found[0].explain()}" if found else ""


def hold_to_account(item: pytest.Item, call: pytest.CallInfo[None], report: pytest.TestReport) -> None:
    """Turn what a claim is let off with into a failure of its test."""
    if not is_strict(item.config):
        return
    problem = _let_off(call, report)
    if problem:
        report.outcome, report.longrepr = "failed", plain(f"{SAYS}: {problem}")
        if report.when == "setup":
            report.when = "call"  # the test failed, and no fixture had an error
        vars(report).pop("wasxfail", None)


def _let_off(call: pytest.CallInfo[None], report: pytest.TestReport) -> str:
    """In which way a claim was let off; empty where it was not."""
    expected = getattr(report, "wasxfail", None)
    if expected is not None:
        why = f" ({expected})" if expected else ""
        if report.passed:
            return f"the claim was expected to be refuted{why}, and was not"
        refuted = call.excinfo is not None and isinstance(call.excinfo.value, ClaimRefuted)
        return "" if refuted else f"the claim was not run: {expected.removeprefix('reason: ')}"
    if not report.skipped:
        return ""
    reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longreprtext
    return f"the claim was skipped: {reason.removeprefix('Skipped: ')}"
