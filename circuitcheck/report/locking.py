"""What a session makes of the lock file: written, or compared with what was found."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from circuitcheck.drift import DRIFT, Finding, compare
from circuitcheck.errors import LockError
from circuitcheck.lock import NAME, Lock
from circuitcheck.report.claims import ClaimCollector


def settle(config: pytest.Config, collector: ClaimCollector, stopped: bool) -> tuple[list[str], bool]:
    """Lines about the lock, and whether it holds (or was written). ``stopped``: the session ended before its end."""
    path, updating = config.rootpath / NAME, config.getoption("circuit_lock") == "update"
    new = Lock.of_claims([claim.as_json() for claim in collector.claims.values()], collector.models())
    try:
        old = None if updating and not path.exists() else Lock.read(path)
        if updating:
            return _updated(path, old, new, config, stopped), True
        expected = None if old is None else expected_of(old, config, stopped)
        findings = [] if old is None else compare(old, new, drift_of(config), expected)
    except LockError as error:
        return [f"lock: {error}"], False
    failing = [finding for finding in findings if finding.fails]
    count = f"{len(failing)} finding{'s' if len(failing) > 1 else ''}"
    held = f"{count} against" if failing else "as in"
    return [f"lock: {held} {path.name}", *(f"  {finding}" for finding in findings)], not failing


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


def _updated(path: Path, old: Lock | None, new: Lock, config: pytest.Config, stopped: bool) -> list[str]:
    """Write the lock; raises ``LockError`` where it would claim less, and nobody has accepted that."""
    if _narrowed(config) or stopped:
        raise LockError("an update takes the whole suite: run it without -k, -m, -x and single tests")
    if not new.claims:
        raise LockError("no claim was decided, so that there is nothing to lock")
    undecided = [entry["test"] for entry in new.claims.values() if entry["outcome"] not in ("passed", "xfailed")]
    findings: Sequence[Finding] = [] if old is None else compare(old, new, drift_of(config))
    weaker = [f"  {finding}" for finding in findings if finding.weaker]
    weaker += [f"  {test}: it does not hold now" for test in undecided]
    if weaker and not config.getoption("circuit_accept_weaker"):
        advice = "--circuit-accept-weaker takes it as it is"
        raise LockError("\n".join([f"{path.name} is left as it was, since it would claim less ({advice}):", *weaker]))
    new.write(path)
    return [f"lock: {len(new.claims)} claim{'s' if len(new.claims) > 1 else ''} written to {path.name}"]


def expected_of(old: Lock, config: pytest.Config, stopped: bool) -> list[str]:
    """The tests of a lock that this session would have found."""
    if _narrowed(config) or stopped:
        return []
    roots = [Path(str(given).partition("::")[0]) for given in config.args]
    asked = [root if root.is_absolute() else config.invocation_params.dir / root for root in roots]
    tests = [entry["test"] for entry in old.claims.values()]
    return [test for test in tests if any((config.rootpath / test.partition("::")[0]).is_relative_to(a) for a in asked)]


def _narrowed(config: pytest.Config) -> bool:
    """Whether only some tests of the suite were asked for."""
    chosen = [
        config.getoption(name, None) for name in ("keyword", "markexpr", "deselect", "lf", "last_failed", "ignore")
    ]
    return any(chosen) or any("::" in str(given) for given in config.args)
