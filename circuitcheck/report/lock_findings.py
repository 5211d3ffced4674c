"""What a session makes of the lock file: written, or compared with what was found."""

import os
from collections.abc import Sequence
from pathlib import Path

import pytest

from circuitcheck.errors import LockError
from circuitcheck.records.drift import DRIFT, compare
from circuitcheck.records.files import one_at_a_time, reason
from circuitcheck.records.lock import NAME, Lock
from circuitcheck.records.restated import Finding
from circuitcheck.report.claims import ClaimCollector
from circuitcheck.report.ending import Ending

# Options that leave a part of the suite out.
_PARTS = ("keyword", "markexpr", "deselect", "lf", "stepwise", "ignore", "ignore_glob")


def settle(session: pytest.Session, collector: ClaimCollector, ending: Ending) -> tuple[list[str], bool]:
    """Lines about the lock, and whether it holds (or was written)."""
    path, updating = session.config.rootpath / NAME, session.config.getoption("circuit_lock") == "update"
    early = ending.problem(session)
    try:
        if updating:
            with one_at_a_time(path.parent):  # nobody writes between what is compared here and what is written
                return _updated(path, collector, session.config, early), True
        return _checked(path, collector, session.config, early, ending.finished)
    except LockError as error:
        return [f"lock: {error}"], False
    except Exception as error:  # what is wrong with a lock may be anything, and takes no claim's outcome with it
        doing = f"{path.name} could not be written" if updating else f"what has changed since {path.name} is not known"
        return [f"lock: {doing}: {reason(error)}"], False


def _locked(collector: ClaimCollector, finished: set[str] | None) -> Lock:
    """The lock of what was found; of tests that were run to their end alone, where these are given."""
    claims = [claim for claim in collector.claims.values() if finished is None or claim.nodeid in finished]
    return Lock.of_claims([claim.as_json() for claim in claims], collector.models())


def _checked(
    path: Path, collector: ClaimCollector, config: pytest.Config, early: str, finished: set[str]
) -> tuple[list[str], bool]:
    """What has changed since the lock was written: after an early end, of those tests that were run."""
    old, new = Lock.read(path), _locked(collector, finished if early else None)
    expected = sorted(finished) if early else expected_of(old, config)
    findings = compare(old, new, drift_of(config), expected)
    failing = [finding for finding in findings if finding.fails]
    count = f"{len(failing)} finding{'s' if len(failing) > 1 else ''}"
    held = f"{count} against {path.name}" if failing else f"as in {path.name}"
    if early:
        held = f"{path.name} is not confirmed, since the session ended early ({early})"
    return [f"lock: {held}", *(f"  {finding}" for finding in findings)], not failing and not early


def drift_of(config: pytest.Config) -> float:
    """``--circuit-drift`` or ``circuit_drift``; raises ``LockError`` for what is no margin."""
    given = config.getoption("circuit_drift")
    given = config.getini("circuit_drift") if given is None else given
    try:
        margin = DRIFT if given is None else float(given)
    except ValueError:
        margin = -1.0
    if not 0 < margin < 10:
        raise LockError(f"--circuit-drift is a margin such as 0.05, not {given!r}")
    return margin


def _updated(path: Path, collector: ClaimCollector, config: pytest.Config, early: str) -> list[str]:
    """Write the lock; raises ``LockError`` where it would claim less, and nobody has accepted that."""
    if _narrowed(config):
        raise LockError("an update takes the whole suite: run it without -k, -m, -x and single tests")
    if early:
        raise LockError(f"nothing was written, since the session ended early ({early})")
    new = _locked(collector, None)
    if not new.claims:
        raise LockError("no claim was decided, so that there is nothing to lock")
    accepted = config.getoption("circuit_accept_weaker")
    old = _before(path, accepted)
    undecided = [claim.nodeid for claim in collector.claims.values() if claim.failed or claim.outcome == "xpassed"]
    undecided += [claim.nodeid for claim in collector.claims.values() if claim.outcome == "skipped" and claim.effects]
    findings: Sequence[Finding] = [] if old is None else compare(old, new, drift_of(config))
    weaker = [f"  {finding}" for finding in findings if finding.weaker]
    weaker += [f"  {test}: it does not hold now" for test in undecided]
    if weaker and not accepted:
        advice = "--circuit-accept-weaker takes it as it is"
        raise LockError("\n".join([f"{path.name} is left as it was, since it would claim less ({advice}):", *weaker]))
    new.write(path)
    return [f"lock: {len(new.claims)} claim{'s' if len(new.claims) > 1 else ''} written to {path.name}"]


def _before(path: Path, accepted: bool) -> Lock | None:
    """The lock that an update replaces; None where there is none, or none that can be read and that is accepted."""
    if not os.path.lexists(path):
        return None
    try:
        return Lock.read(path)
    except LockError as error:
        if accepted:
            return None
        raise LockError(
            f"{error}\n  {path.name} is left as it was, since nobody knows whether a new one would claim less"
        ) from None


def expected_of(old: Lock, config: pytest.Config) -> list[str]:
    """The tests of a lock that this session would have found."""
    if _narrowed(config):
        return []
    roots = [Path(str(given).partition("::")[0]) for given in config.args]
    asked = [(config.invocation_params.dir / root).resolve() for root in roots]
    tests = [entry["test"] for entry in old.claims.values()]
    return [test for test in tests if any(map(_file_of(test, config.rootpath).is_relative_to, asked))]


def _file_of(test: str, root: Path) -> Path:
    """The file that a test is in; the root for what names none, which is missed where the whole suite is asked for."""
    try:
        return (root / test.partition("::")[0]).resolve()
    except (OSError, ValueError, RuntimeError):
        return root.resolve()


def _narrowed(config: pytest.Config) -> bool:
    """Whether only some tests of the suite were asked for."""
    return any(config.getoption(name, None) for name in _PARTS) or any("::" in str(given) for given in config.args)
