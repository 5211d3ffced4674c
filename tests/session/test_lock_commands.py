"""``circuitcheck compare --base``: what a branch gives up, from the committed files alone."""

import shutil
import subprocess
from pathlib import Path

import pytest

from circuitcheck.cli import main
from circuitcheck.records.locks.files import write
from circuitcheck.records.locks.lock import NAME, Lock
from tests.locks_for_tests import claimed, lock_of

ONE = claimed(test="t.py::one", words="one")
LOOSER = claimed(test="t.py::one", words="one", threshold=0.05)
TWO = claimed(test="t.py::two", words="two", label="patch L1.N9")
GIT = shutil.which("git") or "git"


def git(folder: Path, *words: str) -> None:
    who = ["-c", "user.name=someone", "-c", "user.email=someone@example.org"]
    subprocess.run([GIT, "-C", str(folder), *who, *words], check=True, capture_output=True)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository whose lock, below its root, has two claims in the branch ``base``."""
    below = tmp_path / "below"
    below.mkdir()
    git(tmp_path, "init", "-q", "-b", "base")
    git(tmp_path, "commit", "-q", "--allow-empty", "-m", "Begin")
    git(tmp_path, "branch", "before")
    write(lock_of(ONE, TWO), below / NAME)
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-q", "-m", "Lock two claims")
    monkeypatch.chdir(below)
    return below


@pytest.mark.parametrize(
    ("lock", "code", "said"),
    [
        (lock_of(ONE, TWO), 0, ["circuitcheck.lock claims no less than in base"]),
        (
            lock_of(LOOSER, TWO),
            1,
            [
                "circuitcheck.lock claims less than in base: 1 finding",
                "  t.py::one (one): its threshold was loosened from > 0.1 to > 0.05",
            ],
        ),
        (
            lock_of(TWO),
            1,
            ["circuitcheck.lock claims less than in base: 1 finding", "  t.py::one (one): the claim is gone"],
        ),
        (
            lock_of(claimed(test="t.py::one", words="one", threshold=0.3), TWO),
            0,
            [
                "circuitcheck.lock claims no less than in base",
                "  t.py::one (one): its threshold was tightened from > 0.1 to > 0.3",
            ],
        ),
    ],
    ids=["nothing", "loosened", "gone", "tightened"],
)
def test_what_a_branch_gives_up_is_said_and_returned(
    folder: Path, capsys: pytest.CaptureFixture[str], lock: Lock, code: int, said: list[str]
) -> None:
    write(lock, folder / NAME)
    assert main(["compare", "--base", "base"]) == code
    assert capsys.readouterr().out.splitlines() == said
    assert main(["compare", "--base", "base", str(folder / NAME)]) == code


def test_it_stands_in_annotations_at_the_entry_and_in_the_summary(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    evil = "</code>::error::x\n::warning::y"
    write(lock_of(LOOSER | {"claim": evil}, TWO), folder / NAME)
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(folder / "summary.md"))
    assert main(["compare", "--base", "base"]) == 1
    [command] = [line for line in capsys.readouterr().out.splitlines() if line.startswith("::")]
    line = next(
        n for n, text in enumerate((folder / NAME).read_text().splitlines(), 1) if '"test": "t.py::one"' in text
    )
    assert command.startswith(f"::warning file={folder / NAME},line={line},title=claims less%3A t.py%3A%3Aone")
    assert "its threshold was loosened from > 0.1 to > 0.05" in command
    summary = (folder / "summary.md").read_text()
    assert summary.startswith("## <code>circuitcheck.lock claims less than in base: 1 finding</code>\n")
    assert "its threshold was loosened" in summary
    assert "</code>:" not in summary


def test_a_commit_without_a_lock_gives_up_nothing_and_one_that_is_not_there_is_told(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["compare", "--base", "before"]) == 0
    assert capsys.readouterr().out == "circuitcheck.lock claims no less than in before\n"
    for base in ("origin/none", "--output=x"):
        assert main(["compare", f"--base={base}"]) == 2
        assert f"there is no commit {base} here: fetch it first" in capsys.readouterr().err
    (folder / NAME).unlink()
    assert main(["compare", "--base", "base"]) == 2
    assert "there is no circuitcheck.lock" in capsys.readouterr().err


@pytest.mark.parametrize("words", [["compare"], ["compare", "a"], ["compare", "a", "b", "--base", "c"]])
def test_two_files_are_named_or_a_commit(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(words)
    assert "name two lock files, or --base COMMIT" in capsys.readouterr().err
