"""``circuitcheck replay`` runs the tests of this suite that found counterexamples, and nothing else that a file may name."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from circuitcheck import cli
from circuitcheck.records.counterexamples import FOLDER, read
from tests.conftest import HEAD, Claims

SEARCH = "def test_it(model):\n    assert model.on(FRUIT).patch('L1.N8').each > 0.6\n"
OTHER = "def test_other(model):\n    assert model.on(FRUIT).patch(ALL) > 0.5\n"
IMPORTED = "import pathlib\npathlib.Path('imported').write_text(__file__)\ndef test_it():\n    pass\n"


@pytest.fixture
def suite(claims: Claims, pytester: pytest.Pytester) -> Path:
    """A suite in which one test has found a counterexample; gives that one's file."""
    claims(SEARCH + OTHER)
    [path] = (pytester.path / FOLDER).glob("*.json")
    for place in ("tool.py", "test_elsewhere.py", ".hidden/test_hidden.py", "-k.py", "@names"):
        file = pytester.path / place
        file.parent.mkdir(exist_ok=True)
        file.write_text(IMPORTED)
    outside = pytester.path.parent / f"{pytester.path.name}-outside"
    outside.mkdir()
    (outside / "test_outside.py").write_text(IMPORTED)
    (pytester.path / "test_broken.py").write_text("import no_such_module\n")
    return path


def replay(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, *options: str) -> tuple[int, list[str]]:
    """``circuitcheck replay``, whose pytest is run in this process."""
    given = list[str]()

    def run(command: list[str], cwd: Path, check: bool) -> Any:
        given[:] = command[3:]
        assert cwd == pytester.path
        result = pytester.runpytest_inprocess("--circuit-model=bundled", "-p", "no:cacheprovider", *given)
        return subprocess.CompletedProcess(command, int(result.ret))

    with monkeypatch.context() as patched:
        patched.setattr(subprocess, "run", run)
        patched.chdir(pytester.path)
        return cli.main(["replay", *options]), given


def test_a_test_of_the_suite_is_run_alone(
    suite: Path, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code, _ = replay(pytester, monkeypatch)
    told = capsys.readouterr().out
    assert code == 1
    assert "1 failed, 1 deselected" in told
    assert "1 known before fails still" in told
    assert not (pytester.path / "imported").exists()
    assert len(read(suite.parent)) == 1


NAMES = [
    "",
    "::test_it",
    ".",
    "./",
    "-k",
    "--co",
    "-k.py::test_it",
    "@names",
    "@names::test_it",
    "tool.py",
    "tool.py::test_it",
    "test_elsewhere.py",
    "test_elsewhere.py::",
    "test_elsewhere.py::test_it[x]",
    ".hidden/test_hidden.py::test_it",
    "../{root}-outside/test_outside.py::test_it",
    "{path}-outside/test_outside.py::test_it",
    "{path}/test_elsewhere.py::test_it",
    "x/../test_elsewhere.py::test_it",
    "./test_elsewhere.py::test_it",
    "test_elsewhere.py::test_it -k x",
    "\x1b[31m::error::x",
    "a\x00b",
    "test_\ud800.py::test_it",
    "x" * 5000,
    "x/" * 2000,
]


def test_nothing_else_is_run_whatever_a_file_names(
    suite: Path, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    content = json.loads(suite.read_text())
    names = [name.format(root=pytester.path.name, path=pytester.path) for name in NAMES]
    for number, name in enumerate(names):
        (suite.parent / f"{number:03}.json").write_text(json.dumps(content | {"test": name}))
    suite.unlink()
    assert len(read(suite.parent)) == len(names)
    before = sorted(path.name for path in suite.parent.iterdir())
    code, given = replay(pytester, monkeypatch, "--prune")
    told = capsys.readouterr().out
    assert code in (pytest.ExitCode.NO_TESTS_COLLECTED, pytest.ExitCode.INTERRUPTED)
    assert not any(name in given for name in names if name not in ("./",))
    assert told.count("\nnot run ") == len(names)
    assert "\x1b[31m" not in told
    assert (pytester.path / "imported").exists() is False or "test_elsewhere" in (
        pytester.path / "imported"
    ).read_text(), "a file of the suite is imported where it is named, and none of its tests is run"
    assert "passed" not in told
    assert sorted(path.name for path in suite.parent.iterdir()) == before


def test_a_counterexample_of_another_folder_of_the_suite_is_found(
    pytester: pytest.Pytester, claims: Claims, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Wherever ``testpaths`` says that tests are."""
    pytester.makeini("[pytest]\ntestpaths = nowhere\n")
    (pytester.mkdir("hypotheses") / "test_claims.py").write_text(HEAD + SEARCH)
    pytester.runpytest_inprocess("hypotheses", "--circuit-model=bundled", "-p", "no:cacheprovider")
    assert replay(pytester, monkeypatch)[0] == 1
    assert "1 known before fails still" in capsys.readouterr().out
