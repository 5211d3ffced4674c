"""What a session makes of the lock file: written, or compared with what was found."""

import os
from collections.abc import Collection, Sequence
from pathlib import Path

import pytest

from circuitcheck.errors import LockError
from circuitcheck.records.files import one_at_a_time, reason
from circuitcheck.records.locks import files
from circuitcheck.records.locks.compare import Compared, claims_of, models_of, told
from circuitcheck.records.locks.drift import DRIFT
from circuitcheck.records.locks.findings import worst
from circuitcheck.records.locks.lock import NAME, Lock
from circuitcheck.records.locks.updating import Updated, updated
from circuitcheck.report.claims import ClaimCollector, LockReport
from circuitcheck.report.ending import Ending
from circuitcheck.settings import locked_as
from circuitcheck.texts import plural

# Options that leave a part of the suite out.
_PARTS = ("keyword", "markexpr", "deselect", "lf", "stepwise", "ignore", "ignore_glob")


def lock_path(config: pytest.Config) -> Path:
    """``--circuit-lock-file`` or ``circuit_lock_file``, seen from pytest's root; ``circuitcheck.lock`` there where neither is given."""
    given = config.getoption("circuit_lock_file")
    return config.rootpath / (given or config.getini("circuit_lock_file") or NAME)


def settle(session: pytest.Session, collector: ClaimCollector, ending: Ending) -> LockReport:
    """Compare the session's claims with the lock, or write it."""
    path, updating = lock_path(session.config), session.config.getoption("circuit_lock") == "update"
    early = ending.problem(session)
    try:
        if updating:
            with one_at_a_time(path.parent):  # nobody writes between what is compared here and what is written
                return _updated(path, collector, session.config, early)
        return _checked(path, collector, session.config, early, ending.finished)
    except LockError as error:
        return LockReport([f"lock: {error}"], False, path=path)
    except Exception as error:  # what is wrong with a lock may be anything, and takes no claim's outcome with it
        doing = f"{path.name} could not be written" if updating else f"what has changed since {path.name} is not known"
        return LockReport([f"lock: {doing}: {reason(error)}"], False, path=path)


def _locked(collector: ClaimCollector, finished: set[str] | None) -> Lock:
    """The lock of what was found; of tests that were run to their end alone, where these are given."""
    claims = [claim for claim in collector.claims.values() if finished is None or claim.nodeid in finished]
    return Lock.of_claims([claim.as_json() for claim in claims], collector.models())


def _checked(
    path: Path, collector: ClaimCollector, config: pytest.Config, early: str, finished: set[str]
) -> LockReport:
    """What has changed since the lock was written: after an early end, of those tests that were run."""
    baseline = config.getoption("circuit_baseline") or ""
    if baseline and os.path.isfile(config.rootpath / baseline):
        path, baseline = config.rootpath / baseline, ""
    old, new = files.read(path), _locked(collector, finished if early else None)
    if config.getoption("circuit_baseline") and not baseline:
        baseline = _only_model(old, path)
    expected = finished if early else {*expected_of(old, config)}
    claims = claims_of(old, new, drift_of(config), expected, baseline)
    findings = [*([] if baseline else models_of(old, new, expected)), *told(claims)]
    failing = [finding for finding in findings if finding.fails]
    held = f"{plural(len(failing), 'finding')} against {path.name}" if failing else f"as in {path.name}"
    if baseline:
        held += f", every model compared with {baseline}"
    if early:
        held = f"{path.name} is not confirmed, since the session ended early ({early})"
    states, words = _by_claim(claims)
    for nodeid, state in states.items():
        if (claim := collector.claims.get(nodeid)) is not None:
            claim.lock_state, claim.changed, claim.baseline = state, words[nodeid], baseline
    lines = [f"lock: {held}", *(f"  {line}" for finding in findings for line in finding.lines)]
    if any(one.before is None for one in claims):
        lines.append("  --circuit-lock=update takes in claims that are new")
    return LockReport(lines, not failing and not early, states, baseline, path)


def pairs_locked(config: pytest.Config) -> dict[str, int]:
    """How many pairs the lock has of each comparison (see ``settings.locked_as``); none where it cannot be read, which is reported at
    the end."""
    baseline = config.rootpath / (config.getoption("circuit_baseline") or "")
    try:
        [lock, *_], _ = files.sides(baseline if os.path.isfile(baseline) else lock_path(config))
    except LockError:
        return {}
    found: dict[str, int] = {}
    for key, entry in lock.claims.items():
        for effect, rows in zip(entry["effects"], lock.pairs.get(key, []), strict=False):
            known_as = locked_as(effect["label"], effect["unit"], str(effect.get("population_id")))
            found[known_as] = max(len(rows), found.get(known_as, 0))
    return found


def _only_model(lock: Lock, path: Path) -> str:
    names = [model.get("asked") or str(model["name"]) for model in lock.models]
    if len(set(names)) != 1:
        there = ", ".join(dict.fromkeys(names)) or "none"
        raise LockError(
            f"{path} has several models ({there}): a baseline is one of them, --circuit-baseline=NAME with --circuit-lock-file={path}"
        )
    return names[0]


def _by_claim(claims: Sequence[Compared]) -> tuple[dict[str, str], dict[str, list[str]]]:
    """Of each claim of the session that the lock has, its state, and what has changed in words."""
    states, words = dict[str, str](), dict[str, list[str]]()
    for one in claims:
        if one.now is None and one.undecided is None:
            continue
        states[one.nodeid] = worst([change.state for change in one.changes])
        words[one.nodeid] = [change.words for change in one.changes]
    return states, words


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


def _updated(path: Path, collector: ClaimCollector, config: pytest.Config, early: str) -> LockReport:
    """Write the lock, all that claims no less than before or was accepted."""
    if _narrowed(config):
        raise LockError("an update takes the whole suite: run it without -k, -m, -x and single tests")
    if early:
        raise LockError(f"nothing was written, since the session ended early ({early})")
    accepted = config.getoption("circuit_accept") or []
    sides, notes = _before(path, accepted)
    new = _locked(collector, None)
    if not new.claims and not sides:
        raise LockError("no claim was decided, so that there is nothing to lock")
    _check_accepted(accepted, [*sides, new])
    expected = {test for side in sides for test in expected_of(side, config)}
    found = updated(sides, new, drift_of(config), expected, lambda one: _accepts(accepted, one.nodeid))
    if found.written or found.accepted or notes:
        files.write(found.lock, path)
    lines = [f"lock: {_summary(found, path)}", *(f"  {note}" for note in notes)]
    fresh, known = ([one for one in found.refused if (one.before is None) == is_new] for is_new in (True, False))
    groups = ("wrote", found.written), ("accepted", found.accepted), ("left as it was:", known), ("not locked:", fresh)
    for what, claims in groups:
        for finding in told(claims):
            first, *others = finding.lines
            lines += [f"  {what} {first}", *(f"  {line}" for line in others)]
    lines += [f"  not locked: {one.test}: {one.why}" for one in found.unlocked]
    return LockReport(lines, not found.refused and not found.unlocked, path=path)


def _summary(found: Updated, path: Path) -> str:
    written = len(found.written) + len(found.accepted)
    counts = [f"{plural(written, 'claim')} written to {path.name}"] if written else []
    new = [one for one in found.refused if one.before is None]
    for count, what in ((len(found.kept), "as"), (len(found.refused) - len(new), "left as")):
        if count:
            counts.append(f"{count} {what} {'they were' if count > 1 else 'it was'}")
    if new:
        counts.append(f"{len(new)} not locked")
    advice = " (--circuit-accept=NODEID, or all, takes what claims less or does not hold)" if found.refused else ""
    return ", ".join(counts) + advice or f"{path.name} is as it was"


def _accepts(accepted: Collection[str], nodeid: str) -> bool:
    """Whether a claim may become weaker: by its test, with or without parameters, or by its file."""
    names = {"all", nodeid, nodeid.partition("[")[0], nodeid.partition("::")[0]}
    return any(one in names for one in accepted)


def _check_accepted(accepted: Collection[str], locks: Sequence[Lock]) -> None:
    """Raise ``LockError`` for a name that is no claim's."""
    tests = [entry["test"] for lock in locks for entry in lock.claims.values()]
    tests += [one.test for lock in locks for one in lock.undecided]
    for one in accepted:
        if one != "all" and not any(_accepts([one], test) for test in tests):
            raise LockError(
                f"--circuit-accept={one} names no claim of this session or of the lock; nothing was written"
            )


def _before(path: Path, accepted: Collection[str]) -> tuple[list[Lock], list[str]]:
    """The lock that an update begins with, of a merge conflict both sides; none where there is none, or none that can be read
    and all is accepted."""
    if not os.path.lexists(path):
        return [], []
    try:
        return files.sides(path)
    except LockError as error:
        if "all" in accepted:
            return [], []
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
