"""What docs/how_to/ci.md tells people to copy works as it stands."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from circuitcheck.records.locks.lock import NAME
from circuitcheck.session.commands import init
from tests.conftest import HEAD

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "how_to" / "ci.md").read_text(encoding="utf-8")
SUITE = "def test_it(model):\n    'It restores all.'\n    assert model.on(FRUIT).patch(ALL) > 0.5\n"


def workflow() -> dict[str, Any]:
    [text] = re.findall(r"<!-- the workflow.*?-->\n```yaml\n(.*?)```", PAGE, re.DOTALL)
    content: dict[str, Any] = yaml.safe_load(text)
    return content


def command(name: str) -> list[str]:
    """The words of a step's command."""
    [step] = [step for step in workflow()["jobs"]["claims"]["steps"] if step.get("name") == name]
    return shlex.split(step["run"])


def in_a_shell(words: list[str], folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    settings = {**os.environ, "PATH": path, "PYTHONPATH": str(ROOT), **environment}
    # A quoted variable is one word to shlex, and its value to the shell.
    text = " ".join(word if "$" in word else shlex.quote(word) for word in words)
    return subprocess.run(["/bin/bash", "-e", "-c", text], cwd=folder, env=settings, capture_output=True, text=True)


def test_the_workflow_of_the_page_is_the_one_that_init_writes() -> None:
    assert f"```yaml\n{init.workflow('hypotheses')}```" in PAGE


def test_the_workflow_asks_for_no_more_than_it_needs() -> None:
    content = workflow()
    assert content["permissions"] == {"contents": "read"}
    assert set(content[True]) == {"push", "pull_request"}  # YAML reads `on` so
    steps = content["jobs"]["claims"]["steps"]
    for step in steps:
        assert ("run" in step) != ("uses" in step)
        if "uses" in step:
            assert re.fullmatch(r"actions/[a-z/-]+@v\d+", step["uses"])
        assert "${{" not in step.get("run", ""), "an expression in a command is run as it comes"
    by_name = {step.get("name", step.get("uses")): step for step in steps}
    assert by_name["Restore evidence"]["with"]["path"] == by_name["Keep evidence"]["with"]["path"]
    assert by_name["Restore evidence"]["with"]["key"] == by_name["Keep evidence"]["with"]["key"]
    for name in ("Keep evidence", "Keep reports"):
        assert by_name[name]["if"] == "${{ !cancelled() }}"
    written = {Path(word.partition("=")[2]).parts[0] for word in command("Claims") if "=reports" in word}
    assert written == {Path(by_name["Keep reports"]["with"]["path"]).name}


@pytest.mark.slow
def test_the_claims_step_gates(tmp_path: Path) -> None:
    """As a step runs it: green where nothing has changed, red with annotations where a threshold was loosened."""
    (tmp_path / "hypotheses").mkdir()
    file = tmp_path / "hypotheses" / "test_claims.py"
    file.write_text(HEAD + SUITE)
    step = {"MODEL": "bundled", "GITHUB_ACTIONS": "true", "GITHUB_STEP_SUMMARY": str(tmp_path / "step.md")}
    locked = in_a_shell(["pytest", "hypotheses", "--circuit-model=bundled", "--circuit-lock=update"], tmp_path)
    assert locked.returncode == 0, locked.stdout
    green = in_a_shell(command("Claims"), tmp_path, **step)
    assert green.returncode == 0, green.stdout + green.stderr
    assert {path.name for path in (tmp_path / "reports").iterdir()} == {"junit.xml", "claims.json", "claims.html"}
    file.write_text(HEAD + SUITE.replace("0.5", "0.4"))
    red = in_a_shell(command("Claims"), tmp_path, **step)
    assert red.returncode == 1
    assert f"::error file={tmp_path}/{NAME},line=1,title={NAME}::lock: 1 finding" in red.stdout
    assert "its threshold was loosened" in (tmp_path / "step.md").read_text()


@pytest.mark.slow
def test_the_hooks_run_what_there_is(tmp_path: Path) -> None:
    hooks = {hook["id"]: hook for hook in yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text())}
    assert set(hooks) == set(re.findall(r"- id: (circuitcheck-\w+)", PAGE))
    assert hooks["circuitcheck-lock"]["stages"] == ["pre-push"]
    (tmp_path / "hypotheses").mkdir()
    (tmp_path / "hypotheses" / "test_claims.py").write_text(HEAD + SUITE)
    for hook in hooks.values():
        assert re.search(hook["files"], "hypotheses/test_claims.py")
        assert re.search(hook["files"], NAME)
        assert not re.search(hook["files"], "README.md")
        words = [*shlex.split(hook["entry"]), *hook["args"], "--circuit-model=bundled"]
        done = in_a_shell(words, tmp_path)
        assert done.returncode == 1
        assert f"lock: there is no {tmp_path}/{NAME}" in done.stdout


def test_every_option_that_pages_tell_of_is_there(pytestconfig: pytest.Config) -> None:
    pages = [*(ROOT / "docs").rglob("*.md"), ROOT / "README.md", ROOT / ".pre-commit-hooks.yaml"]
    told = {name for page in pages for name in re.findall(r"--circuit-[a-z]+(?:-[a-z]+)*", page.read_text())}
    there = set(pytestconfig._parser.optparser._option_string_actions)
    assert told <= there
