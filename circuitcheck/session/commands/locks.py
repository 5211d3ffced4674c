"""``circuitcheck compare``: what has changed from one lock file to another, or since a commit.

circuitcheck compare old.lock new.lock
circuitcheck compare --base origin/main

Nothing is run: the second takes the lock as it is here, and as git has it in another commit. In GitHub Actions what is given up
is annotated, at the claim's entry, and all that has changed stands in the summary of the step.
"""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from circuitcheck.errors import LockError
from circuitcheck.records.files import told_in_a_line
from circuitcheck.records.locks.compare import compare
from circuitcheck.records.locks.drift import DRIFT
from circuitcheck.records.locks.files import read, read_texts
from circuitcheck.records.locks.findings import Finding
from circuitcheck.records.locks.lock import NAME, Lock
from circuitcheck.report.annotations import command, few
from circuitcheck.report.escaping import as_code
from circuitcheck.texts import plain


def compare_files(old: Path, new: Path, margin: float | None) -> int:
    """Print what has changed; 1 where something is against the old lock, 2 where a lock cannot be read."""
    try:
        findings = compare(read(old), read(new), DRIFT if margin is None else margin)
    except LockError as error:
        print(plain(str(error)), file=sys.stderr)
        return 2
    print(plain("\n".join(map(str, findings))) or "nothing has changed")
    return int(any(finding.fails for finding in findings))


def compare_with_base(base: str, lock: Path | None, margin: float | None) -> int:
    """Print what the lock claims otherwise than in the commit ``base``; 1 where it claims less, 2 where one cannot be read."""
    path = Path(NAME) if lock is None else lock
    try:
        findings = compare(_of_commit(base, path), read(path), DRIFT if margin is None else margin)
    except LockError as error:
        print(plain(str(error)), file=sys.stderr)
        return 2
    weaker = [finding for finding in findings if finding.weaker]
    first = f"{path.name} claims less than in {base}: {len(weaker)} finding{'s' if len(weaker) > 1 else ''}"
    lines = [first if weaker else f"{path.name} claims no less than in {base}"]
    others = [finding for finding in findings if not finding.weaker]
    lines += [f"  {line}" for finding in (*weaker, *others) for line in finding.lines]
    print(plain("\n".join(lines)))
    if os.environ.get("GITHUB_ACTIONS") == "true":
        _tell_github(path, weaker, lines)
    return int(bool(weaker))


def _of_commit(base: str, path: Path) -> Lock:
    """The lock as it is in a commit; an empty one where that has none. Raises ``LockError``."""
    if _git(path.parent, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{base}^{{commit}}") is None:
        raise LockError(
            f"there is no commit {base} here: fetch it first (git fetch origin; in GitHub Actions, actions/checkout with fetch-depth: 0)"
        )
    texts = [
        _git(path.parent, "show", "--end-of-options", f"{base}:./{name}") for name in (path.name, f"{path.name}.pairs")
    ]
    if texts[0] is None:
        return Lock({}, {}, [])
    return read_texts(f"{base}:{path.name}", texts[0], texts[1])


def _git(folder: Path, *words: str) -> str | None:
    """What git says of a repository; None where it has nothing to say. Raises ``LockError`` where there is no git."""
    try:
        done = subprocess.run(["git", "-C", str(folder), *words], capture_output=True, check=False)  # noqa: S603, S607
    except OSError as error:
        raise LockError(f"git cannot be run ({error.strerror}), and --base asks it for another commit's lock") from None
    return done.stdout.decode("utf-8", "surrogateescape") if done.returncode == 0 else None


def _tell_github(path: Path, weaker: Sequence[Finding], lines: Sequence[str]) -> None:
    """An annotation for each claim that claims less, at its entry; and all of it in the summary of the step."""
    text, commands = path.read_text(encoding="utf-8").splitlines(), list[str]()
    for finding in weaker:
        tests = [f'"test": "{nodeid}"' for nodeid in finding.nodeids]
        line = next((number for number, said in enumerate(text, start=1) if any(test in said for test in tests)), 1)
        commands.append(command("warning", path, line, f"claims less: {finding.about}", "\n".join(finding.lines)))
    print("\n".join(few(commands, "warning")))
    summary, unwritten = os.environ.get("GITHUB_STEP_SUMMARY"), list[str]()
    if summary:
        with told_in_a_line(unwritten, "the step's summary could not be written"), open(summary, "ab") as file:
            told = [f"## {as_code(lines[0])}\n", *(f"- {as_code(line.strip(), 2_000)}" for line in lines[1:])]
            file.write(("\n".join(told) + "\n\n").encode())
    print("\n".join(map(plain, unwritten)), end="")
