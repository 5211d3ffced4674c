"""`circuitcheck init`: what it writes runs as it stands."""

from pathlib import Path

import pytest
import yaml

from circuitcheck.cli import main
from circuitcheck.records.locks.lock import NAME
from circuitcheck.version import __version__


@pytest.fixture
def _here(pytester: pytest.Pytester, _bundled_once: object) -> None:
    """Commands write where pytest runs."""


@pytest.mark.usefixtures("_here")
def test_what_it_writes_holds_can_be_locked_and_gates(
    pytester: pytest.Pytester, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["init", "my_claims"]) == 0
    said = capsys.readouterr().out
    assert "decide it:               pytest my_claims --circuit-model=bundled\n" in said
    run = "my_claims", "--circuit-model=bundled", "--circuit-strict"
    pytester.runpytest_inprocess(*run).assert_outcomes(passed=1)
    assert pytester.runpytest_inprocess(*run, "--circuit-lock=update").ret == 0
    assert (pytester.path / NAME).exists()
    assert pytester.runpytest_inprocess(*run, "--circuit-lock=check").ret == 0
    claims = pytester.path / "my_claims" / "test_first.py"
    claims.write_text(claims.read_text().replace("> 0.4", "> 0.3"))
    assert pytester.runpytest_inprocess(*run, "--circuit-lock=check").ret == 1
    workflow = yaml.safe_load(Path(".github/workflows/circuits.yml").read_text())
    steps = {step.get("name"): step for step in workflow["jobs"]["claims"]["steps"]}
    assert steps["Claims"]["run"].startswith("pytest my_claims --circuit-model=")
    assert f'"circuitcheck=={__version__}"' in steps["Install"]["run"]
    for path in pytester.path.rglob("my_claims/*.*"):
        assert "FOLDER" not in path.read_text()


@pytest.mark.parametrize(
    "there", ["hypotheses/test_first.py", "hypotheses/README.md", ".github/workflows/circuits.yml"]
)
def test_nothing_is_written_where_a_file_is_there_already(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], there: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path(there).parent.mkdir(parents=True)
    Path(there).write_text("mine")
    assert main(["init"]) == 2
    assert capsys.readouterr().err == f"there already, and nothing was written: {there}\n"
    assert [path for path in tmp_path.rglob("*.*") if path.is_file()] == [tmp_path / there]
    assert Path(there).read_text() == "mine"


@pytest.mark.parametrize("name", ["/tmp/elsewhere", "../beside", "a b", "."])  # noqa: S108 - nothing is written there
def test_a_folder_elsewhere_or_with_an_odd_name_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["init", name]) == 2
    assert "go to the root of your repository" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
