"""Annotations: claims that failed, and those that ``--circuit-strict`` would fail, at their tests' lines in a pull request.

    ::error file=hypotheses/test_articles.py,line=12,title=refuted%3A L1.N8 restores ...::refuted: patch L1.N8 > 0.9 ...

They are commands to GitHub's runner, which shows ten of a kind a step. What claims say is escaped in them.
"""

import os
from pathlib import Path

from circuitcheck.report.claims import Claim, ClaimCollector, LockReport
from circuitcheck.texts import printable

_SHOWN = 10
_MESSAGE, _TITLE = 4_000, 200


def annotations(root: Path, collector: ClaimCollector, lock: LockReport | None) -> list[str]:
    """The commands, one a line. ``root`` is pytest's."""
    claims = list(collector.claims.values())
    errors = []
    if lock is not None and not lock.holds:
        errors.append(command("error", lock.path, 1, lock.path.name, "\n".join(lock.lines)))
    for claim in claims:
        if claim.failed or claim.is_off:
            words = [*(f"lock: {line}" for line in claim.changed), claim.explanation]
            title, message = f"{claim.standing}: {claim.title}", "\n".join(filter(None, words)) or claim.nodeid
            errors.append(command("error", root / claim.file, claim.line, title, message))
    why: dict[str, list[Claim]] = {}
    for claim in claims:
        if told := _let_off(claim):
            why.setdefault(told, []).append(claim)
    warnings = [_warning(root, told, found) for told, found in why.items()]
    return [*few(errors, "error"), *few(warnings, "warning")]


def _let_off(claim: Claim) -> str:
    """Why ``--circuit-strict`` would fail a claim that did not; empty where it would not."""
    if claim.failed or claim.is_off:
        return ""
    if claim.outcome == "skipped":
        return f"skipped: {claim.problem}"
    if claim.outcome == "xpassed":
        return "expected to be refuted, and was not"
    if claim.outcome == "xfailed" and claim.verdict != "refuted":
        return f"not run: {claim.problem}"
    return "searched among some of the pairs, and not refuted" if claim.verdict == "unrefuted" else ""


def _warning(root: Path, why: str, claims: list[Claim]) -> str:
    """One for all that are let off alike, at the first of them."""
    first, many = claims[0], f"{len(claims)} claims were" if len(claims) > 1 else "a claim was"
    title = f"{many} {why}"
    message = f"{first.title}\n{first.nodeid}\n--circuit-strict does not let this pass."
    return command("warning", root / first.file, first.line, title, message)


def few(commands: list[str], level: str) -> list[str]:
    """As many as are shown, the last of which says how many there are beside them."""
    if len(commands) <= _SHOWN:
        return commands
    more = len(commands) - _SHOWN + 1
    return [*commands[: _SHOWN - 1], f"::{level}::{more} more are in the step's summary"]


def command(level: str, path: Path, line: int | None, title: str, message: str) -> str:
    """A command of the runner: an annotation of a line, or of a file where the line is not known."""
    properties = {"file": _in_workspace(path), "line": "" if line is None else str(line), "title": title[:_TITLE]}
    told = ",".join(f"{name}={_property(value)}" for name, value in properties.items() if value)
    return f"::{level} {told}::{_data(message[:_MESSAGE])}"


def _in_workspace(path: Path) -> str:
    """The path from the repository's root, which need not be pytest's."""
    workspace = os.environ.get("GITHUB_WORKSPACE")
    whole = path.resolve()
    if workspace and whole.is_relative_to(Path(workspace).resolve()):
        whole = whole.relative_to(Path(workspace).resolve())
    return whole.as_posix()


def _data(text: str) -> str:
    return printable(text).replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
