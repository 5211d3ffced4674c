"""What cannot be written or read costs a line: never the failures, the counts, or another file."""

import errno
import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

# What a run inside imports first is forgotten after it, and takes seconds.
import circuitcheck.report.page.page  # noqa: F401
from circuitcheck.cli import main
from circuitcheck.records import files
from circuitcheck.records.locks.lock import NAME
from tests.conftest import Claims, each

REPORTS = ("json", "markdown", "html")
SUITE = """
def test_held(model):
    assert model.on(FRUIT).patch(ALL) > 0.5
"""
REFUTED = """
def test_refuted(model):
    assert model.on(FRUIT).patch(NONE) > 0.5
"""


def below_a_file(folder: Path) -> Path:
    (folder / "file").write_text("text")
    return folder / "file" / "below"


def a_name_too_long(folder: Path) -> Path:
    return folder / ("x" * 300)


def a_folder_made_meanwhile(folder: Path) -> Path:
    return folder / "made"  # by the suite, when it was started already


def a_full_device(folder: Path) -> Path:
    return Path("/dev/full")


def a_circle(folder: Path) -> Path:
    (folder / "circle").symlink_to(folder / "circle")
    return folder / "circle" / "below"


PLACES: dict[Callable[[Path], Path], str] = {
    below_a_file: "Not a directory|File exists",
    a_name_too_long: "File name too long",
    a_folder_made_meanwhile: "Is a directory",
    a_full_device: "No space left on device",
    a_circle: "Too many levels|File exists|Symlink loop",
}
MADE = """
def test_made(pytestconfig):
    (pytestconfig.rootpath / "made").mkdir(exist_ok=True)
"""


@pytest.mark.parametrize("place", each(PLACES, (a_folder_made_meanwhile, a_full_device)))
def test_a_report_that_cannot_be_written_costs_a_line(
    claims: Claims, pytester: pytest.Pytester, place: Callable[[Path], Path]
) -> None:
    path = place(pytester.path)
    where = {"json": path, "markdown": path, "html": path}
    result = claims(MADE + SUITE + REFUTED, *(f"--circuit-{name}={path}" for name, path in where.items()))
    result.assert_outcomes(passed=2, failed=1)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    lines = [line for line in result.outlines if line.startswith(f"could not write {path}: ")]
    assert len(lines) == 3
    assert all(any(reason in line for reason in PLACES[place].split("|")) for line in lines), lines
    result.stdout.fnmatch_lines(["*= circuit claims =*", "2 claims: 1 supported, 1 refuted*", "FAILED *test_refuted*"])
    result.stdout.no_fnmatch_line("*INTERNALERROR*")
    assert not list(pytester.path.glob(".circuitcheck-*"))


@pytest.mark.parametrize("broken", REPORTS)
def test_the_other_files_are_written_and_a_green_session_is_red(
    claims: Claims, pytester: pytest.Pytester, broken: str
) -> None:
    where = {name: pytester.path / "out" / name for name in REPORTS} | {broken: below_a_file(pytester.path)}
    result = claims(SUITE, *(f"--circuit-{name}={path}" for name, path in where.items()), "--circuit-lock=update")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines([f"lock: 1 claim written to {NAME}", f"could not write {where[broken]}: *"])
    assert [name for name in REPORTS if name != broken and not where[name].read_text()] == []


@pytest.mark.parametrize("broken", each(REPORTS, ("html",)))
def test_an_error_of_any_kind_while_a_report_is_made_costs_a_line_too(
    claims: Claims, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    module = {"json": "json_file.established", "markdown": "markdown.summary", "html": "page.page.page"}[broken]
    monkeypatch.setattr(f"circuitcheck.report.{module}", lambda *_, **__: 1 / 0)
    result = claims(SUITE, "--circuit-fdr", *(f"--circuit-{name}={pytester.path}/{name}" for name in REPORTS))
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines([f"could not write {pytester.path}/{broken}: ZeroDivisionError: *"])
    assert [name for name in REPORTS if (pytester.path / name).exists()] == [name for name in REPORTS if name != broken]


def test_what_was_there_stays_where_a_file_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, write_bytes = tmp_path / "report", Path.write_bytes
    path.write_text("before")

    def half(self: Path, content: bytes) -> int:
        write_bytes(self, content[: len(content) // 2])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "write_bytes", half)
    with pytest.raises(OSError, match="No space left"):
        files.write(path, b"after, and longer")
    assert (path.read_text(), os.listdir(tmp_path)) == ("before", ["report"])


def test_devices_links_and_modes_stay_what_they_are(tmp_path: Path) -> None:
    files.write(Path("/dev/null"), b"text")
    assert Path("/dev/null").is_char_device()
    target, link = tmp_path / "target", tmp_path / "link"
    target.write_text("before")
    target.chmod(0o640)
    link.symlink_to(target)
    files.write(link, b"after")
    assert (link.is_symlink(), target.read_text(), target.stat().st_mode & 0o777) == (True, "after", 0o640)
    files.write(tmp_path / "new" / ("x" * 250), b"text")
    assert (tmp_path / "new" / ("x" * 250)).read_bytes() == b"text"


@pytest.mark.parametrize("stuck", [NAME, f"{NAME}.pairs"])
def test_a_lock_is_written_with_its_numbers_or_not_at_all(
    claims: Claims, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, stuck: str
) -> None:
    assert claims(SUITE, "--circuit-lock=update").ret == 0
    before = {name: (pytester.path / name).read_bytes() for name in (NAME, f"{NAME}.pairs")}
    replace = os.replace

    def refuses(new: Path, place: Path) -> None:
        if Path(place).name == stuck:
            raise OSError(errno.EBUSY, os.strerror(errno.EBUSY))
        replace(new, place)

    monkeypatch.setattr(os, "replace", refuses)
    more = SUITE.replace("test_held", "test_more").replace("> 0.5", "> 0.4").replace("ALL", "'L1.N8'")
    result = claims(SUITE + more, "--circuit-lock=update", f"--circuit-json={pytester.path}/claims.json")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.assert_outcomes(passed=2)
    result.stdout.fnmatch_lines([f"lock: {NAME} could not be written: Device or resource busy"])
    assert {name: (pytester.path / name).read_bytes() for name in before} == before
    assert not json.loads((pytester.path / "claims.json").read_text())["lock"]["holds"]
    assert not list(pytester.path.glob(".circuitcheck-*"))


def test_folders_in_the_place_of_a_lock_cost_a_line(claims: Claims, pytester: pytest.Pytester) -> None:
    for name in (NAME, f"{NAME}.pairs"):
        (pytester.path / name).mkdir()
        for options in (("check",), ("update",), ("update", "--circuit-accept=all")):
            result = claims(SUITE + REFUTED, f"--circuit-lock={options[0]}", *options[1:])
            result.assert_outcomes(passed=1, failed=1)
            assert sum(line.startswith("lock: ") for line in result.outlines) == 1
            assert not [path for path in pytester.path.glob(f"*{NAME}*") if path.is_file()], options
        (pytester.path / name).rmdir()


def test_the_summary_of_a_step_takes_nothing_with_it(
    claims: Claims, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody has asked for it by an option, and so a green session stays green."""
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    for place in (below_a_file(pytester.path), Path("/dev/full"), pytester.path):
        monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(place))
        result = claims(SUITE)
        assert result.ret == 0
        result.stdout.fnmatch_lines(
            ["1 claim: 1 supported*", "the step's summary could not be written: *", "*1 passed*"]
        )


@pytest.mark.parametrize("file", ["counterexamples", "store"])
def test_what_a_search_finds_is_told_where_its_counterexample_cannot_be_kept(
    claims: Claims, pytester: pytest.Pytester, file: str
) -> None:
    if file == "store":
        (pytester.path / ".circuitcheck").write_text("no folder")
    else:
        (pytester.path / ".circuitcheck").mkdir()
        (pytester.path / ".circuitcheck" / "counterexamples").write_text("no folder")
    result = claims("def test_it(model):\n    assert model.on(FRUIT).patch(NONE).each > 0.5\n")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*ClaimRefuted: refuted: every pair's patch *"])
    result.stdout.fnmatch_lines([f"could not write {pytester.path}/.circuitcheck/counterexamples/*.json: *"])


def test_the_line_is_told_where_pytest_asks_for_no_summary(claims: Claims, pytester: pytest.Pytester) -> None:
    body = SUITE + "\ndef test_end():\n    pytest.exit('enough', returncode=9)\n"
    path = below_a_file(pytester.path)
    result = claims(body, f"--circuit-json={path}", "--circuit-lock=update")
    assert result.ret == 9
    result.stdout.fnmatch_lines(["lock: nothing was written, *pytest.exit: enough*", f"could not write {path}: *"])


def test_what_the_doctor_measured_is_printed_where_its_file_cannot_be_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("circuitcheck.reference_models.doctor.examine", lambda *_: ([], []))
    monkeypatch.setattr("circuitcheck.reference_models.doctor.as_markdown", lambda *_: "the table")
    path = below_a_file(tmp_path)
    assert main(["doctor", f"--json={path}"]) == 1
    told = capsys.readouterr()
    assert "the table" in told.out
    assert f"could not write {path}: " in told.err


def test_what_is_linked_to_a_device_is_written_to_and_never_replaced(tmp_path: Path) -> None:
    link, plain = tmp_path / "link", tmp_path / "plain"
    link.symlink_to(os.devnull)
    files.write_together({link: b"one", plain: b"two"})
    assert link.is_symlink()
    assert not Path(os.devnull).is_file()
    assert plain.read_bytes() == b"two"


def test_a_lock_is_not_read_from_a_pipe(claims: Claims, pytester: pytest.Pytester) -> None:
    os.mkfifo(pytester.path / NAME)
    for option in ("--circuit-lock=check", "--circuit-lock=update"):
        result = claims(SUITE, option)
        result.assert_outcomes(passed=1)
        result.stdout.fnmatch_lines([f"lock: *{NAME} is a device or a pipe*"])
        assert result.ret == 1
