"""In GitHub Actions: annotations at the lines of tests, the summary of the step, and no commands from anybody's text."""

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from circuitcheck.report.annotations import annotations
from circuitcheck.report.claims import LockReport
from circuitcheck.report.markdown import LIMIT
from tests.claims_for_tests import claim, collected
from tests.conftest import Claims, each

SUITE = """
def test_restores(model):
    assert model.on(FRUIT).patch("L1.N8") > 0.3
def test_most(model):
    '''Nearly all: 100 %, it restores.
    ::error::injected
    '''
    print("::error::printed ##[error]printed")
    assert model.on(FRUIT).patch("L1.N8") > 0.9
@pytest.mark.skip("not today")
def test_skipped(model):
    pass
@pytest.mark.skip("not today")
def test_skipped_too(model):
    pass
@pytest.mark.xfail(raises=ClaimRefuted)
def test_held(model):
    assert model.on(FRUIT).patch(ALL) > 0.5
"""
COMMANDS = {
    "error",
    "warning",
    "notice",
    "debug",
    "group",
    "endgroup",
    "add-mask",
    "add-matcher",
    "stop-commands",
    "echo",
}


class Runner:
    """What the runner of GitHub Actions makes of a step's output, by its documentation and source: a line that begins with
    ``::name`` (blanks before it do not matter), or that holds ``##[name``, is a command, unless commands are stopped."""

    def __init__(self, lines: list[str]):
        self.commands: list[tuple[str, dict[str, str], str]] = []
        self.token: str | None = None
        for line in lines:
            self._take(line)

    def _take(self, line: str) -> None:
        new = re.match(r"\s*::([^ :]+)(?: ([^:]*))?::(.*)$", line)
        old = re.search(r"##\[([^ \]]+)(?: ([^\]]*))?\](.*)$", line)
        found = new or old
        if found is None:
            return
        name, told, data = found[1], found[2] or "", found[3]
        if self.token is not None:
            self.token = None if name == self.token else self.token
        elif name == "stop-commands":
            self.token = data
        elif name in COMMANDS:
            pairs = (one.partition("=") for one in told.split(",") if one)
            self.commands.append((name, {key: self._read(value) for key, _, value in pairs}, self._read(data)))

    @staticmethod
    def _read(text: str) -> str:
        for written, meant in (("%0D", "\r"), ("%0A", "\n"), ("%3A", ":"), ("%2C", ","), ("%25", "%")):
            text = text.replace(written, meant)
        return text


@pytest.fixture
def actions(monkeypatch: pytest.MonkeyPatch, pytester: pytest.Pytester) -> Path:
    """A step of a workflow, whose repository holds the folder of the tests; gives the file of its summary."""
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_WORKSPACE", str(pytester.path.parent))
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(pytester.path / "step.md"))
    return pytester.path / "step.md"


def test_claims_are_annotated_at_their_tests(claims: Claims, pytester: pytest.Pytester, actions: Path) -> None:
    result = claims(SUITE)
    folder, file = pytester.path.name, "test_claims_are_annotated_at_their_tests.py"
    text = (pytester.path / file).read_text().splitlines()
    found = Runner(result.outlines).commands
    assert [name for name, _, _ in found] == ["error", "warning", "warning"]
    [error, skipped, held] = found
    assert error[1] == {
        "file": f"{folder}/{file}",
        "line": str(1 + text.index("def test_most(model):")),
        "title": "refuted: Nearly all: 100 %, it restores.",
    }
    assert error[2].startswith("circuitcheck.ClaimRefuted: refuted: patch L1.N8 > 0.9 of the gap: it is 0.5989")
    assert "\n  controls rank 1 of 17" in error[2]
    assert skipped[1]["title"] == "2 claims were skipped: not today"
    assert held[1]["title"] == "a claim was expected to be refuted, and was not"
    assert "--circuit-strict does not let this pass" in held[2]
    assert "## Circuit claims" in actions.read_text()
    assert "5 claims" in actions.read_text()


def test_strictly_they_are_errors(claims: Claims, actions: Path) -> None:
    found = Runner(claims(SUITE, "--circuit-strict").outlines).commands
    assert [name for name, _, _ in found] == ["error"] * 4
    assert found[1][2] == "--circuit-strict: the claim was skipped: not today"


def test_a_lock_that_does_not_hold_is_an_error_at_the_lock(
    claims: Claims, pytester: pytest.Pytester, actions: Path
) -> None:
    body = "def test_it(model):\n    assert model.on(FRUIT).patch(ALL) > 0.5\n"
    assert Runner(claims(body, "--circuit-lock=update").outlines).commands == []
    found = Runner(claims(body.replace("0.5", "0.4"), "--circuit-lock=check").outlines).commands
    (level, told, message), (_, claim, changed) = found
    assert (claim["title"], changed) == (
        "supported, changed: test_it",
        "lock: its threshold was loosened from > 0.5 to > 0.4",
    )
    assert (level, told["file"]) == ("error", f"{pytester.path.name}/circuitcheck.lock")
    assert message.splitlines()[0] == "lock: 1 finding against circuitcheck.lock"
    assert "its threshold was loosened from > 0.5 to > 0.4" in message
    assert actions.read_text().count("## Circuit claims") == 2
    assert "loosened" in actions.read_text()


@pytest.mark.parametrize("off", ["environment", "option", "ini"])
def test_elsewhere_nothing_of_it_is_said(
    claims: Claims, pytester: pytest.Pytester, actions: Path, monkeypatch: pytest.MonkeyPatch, off: str
) -> None:
    if off == "environment":
        monkeypatch.delenv("GITHUB_ACTIONS")
    if off == "ini":
        pytester.makeini("[pytest]\ncircuit_github = off\n")
    result = claims(SUITE, *(["--circuit-github=off"] if off == "option" else []))
    assert not [line for line in result.outlines if line.startswith("::") and "printed" not in line]
    assert not actions.exists()
    assert claims(SUITE, "--circuit-github=on").ret == pytest.ExitCode.USAGE_ERROR


def test_a_suite_without_claims_is_left_alone(claims: Claims, actions: Path) -> None:
    result = claims("def test_unrelated():\n    print('::error::mine')\n    assert 0\n")
    assert [data for _, _, data in Runner(result.outlines).commands] == ["mine"]
    assert not actions.exists()


def test_a_summary_that_cannot_be_written_or_is_full_is_said_and_no_more(
    claims: Claims, actions: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    body = "def test_it(model):\n    assert model.on(FRUIT).patch(ALL) > 0.5\n"
    actions.write_bytes(b"x" * (LIMIT - 1_000))
    full = claims(body)
    full.stdout.fnmatch_lines(["the step's summary has no room left for claims"])
    assert actions.stat().st_size == LIMIT - 1_000
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path))
    broken = claims(body)
    broken.stdout.fnmatch_lines(["the step's summary could not be written: *"])
    assert full.ret == broken.ret == 0


@pytest.mark.parametrize("more", each(["", "-rA --tb=native", "--tb=line", "-v --showlocals"], ("", "-rA --tb=native")))
@pytest.mark.usefixtures("actions")
def test_commands_of_claims_and_prompts_are_not_taken(claims: Claims, more: str) -> None:
    body = '''
ROWS = PromptPairs.from_rows([{
    "clean": f"##[add-mask]s ::add-mask::s\\n::error::s\\r::error::s I climbed up the {tree} tree and picked a {tree}. I climbed up the apple tree and picked",
    "corrupt": f"##[add-mask]s ::add-mask::s\\n::error::s\\r::error::s I climbed up the {tree} tree and picked a {tree}. I climbed up the lemon tree and picked",
    "answer": " an", "foil": " a"} for tree in ("pear", "fig")])
def test_it(model):
    """##[error]words
    ::error::words"""
    print("::error::printed")
    assert model.on(ROWS).patch("L0.H0") > 0.99, "::error::said"
@pytest.mark.skip("x\\n::error::reason ##[error]reason")
def test_skipped(model):
    pass
'''
    result = claims(body, *more.split())
    found = Runner(result.outlines).commands
    assert [(name, told["line"] != "") for name, told, _ in found] == [("error", True), ("warning", True)]
    assert any("::error::" in line or "##[error]" in line for line in result.outlines)
    tokens = re.findall(r"^::stop-commands::(\w{32})$", "\n".join(result.outlines), re.MULTILINE)
    assert len(tokens) == 1


def test_only_so_many_are_told_as_are_shown(tmp_path: Path) -> None:
    refuted = [claim(f"t.py::t{n}", "refuted", "failed", explanation="no", file="t.py", line=n + 1) for n in range(25)]
    searched = [claim(f"u.py::u{n}", "unrefuted", file="u.py", line=n + 1) for n in range(12)]
    found = annotations(
        tmp_path, collected(*refuted, *searched), LockReport(["lock: no"], False, path=tmp_path / "circuitcheck.lock")
    )
    assert len([line for line in found if line.startswith("::error ")]) == 9
    assert found[0] == f"::error file={tmp_path}/circuitcheck.lock,line=1,title=circuitcheck.lock::lock: no"
    assert found[9] == "::error::17 more are in the step's summary"
    title = "title=12 claims were searched among some of the pairs%2C and not refuted"
    assert [line.partition("::u0")[0] for line in found[10:]] == [f"::warning file={tmp_path}/u.py,line=1,{title}"]


@given(st.text(), st.text())
def test_any_text_comes_through_a_command_as_it_was(words: str, said: str) -> None:
    one = claim("t.py::test", "refuted", "failed", words=words, explanation=f"x{said}", file="a b,c:d.py", line=3)
    [line] = annotations(Path("/nowhere"), collected(one), None)
    assert len(line.splitlines()) == 1
    [(name, told, message)] = Runner([line]).commands
    assert (name, told["file"], told["line"]) == ("error", "/nowhere/a b,c:d.py", "3")
    if said.isascii() and said.isprintable():
        assert message == f"x{said}"
