"""What claims, prompts, models and other people's files say is text on a terminal and in a log, whatever is in it."""

import json
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from circuitcheck import AddressError
from circuitcheck.cli import main
from circuitcheck.records.locks.lock import NAME
from circuitcheck.records.store import Store
from circuitcheck.texts import plain
from tests.conftest import Claims
from tests.report.test_annotations import Runner

EVIL = "\x1b[2J\x1b[31mall supported\r\u202e\n::error::words\n  ::add-mask::s ##[error]x ##vso[task]y\x07\u2028::error::z\x85"
SUITE = f"""
import json
EVIL = {EVIL!r}

@pytest.mark.parametrize("site", [pytest.param(ALL, id=EVIL), pytest.param(NONE, id="::error::id")])
def test_it(model, site):
    assert model.on(FRUIT).patch(site) > 0.5
test_it.__doc__ = EVIL

def test_address(model):
    assert model.on(FRUIT).patch("L1.N8" + EVIL) > 0.5
test_address.__doc__ = "::error::begins"

def test_slot(model):
    pairs = PromptPairs("We looked for the {{x}} and found", answer=" an", foil=" a",
                        x=contrast(clean=["apple", "olive"], corrupt=["lemon", EVIL]))
    assert model.on(pairs).patch("L1.N8@{{" + EVIL + "}}") > 0.5

def test_readout(model):
    assert model.on(FRUIT, readout=EVIL).patch(ALL) > 0.5

def test_name(model):
    model.name = EVIL
    try:
        model.on(FRUIT).patch(ALL) > 0.5
    finally:
        model.name = "bundled"

@pytest.mark.skip(EVIL)
def test_skipped(model):
    pass

def test_after(model):
    try:
        assert model.on(FRUIT).patch(NONE) > 0.5
    except ClaimRefuted:
        pytest.skip(EVIL)
"""


def harmless(lines: list[str]) -> None:
    """No line moves a cursor, turns its text around or is a command."""
    for line in lines:
        assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u202a-\u202e]", line), repr(line)
    assert Runner(lines).commands == []


def of_ours(lines: list[str]) -> list[str]:
    """The closing section, and what errors say: pytest itself shows the lines of a test as they stand in its file."""
    start = next(n for n, line in enumerate(lines) if "circuit claims" in line)
    end = next((n for n, line in enumerate(lines) if n > start and "short test summary" in line), len(lines))
    return [*lines[start:end], *(line for line in lines if line.startswith("E  "))]


def test_the_closing_section_and_every_error_are_text(claims: Claims, pytester: pytest.Pytester) -> None:
    result = claims(SUITE, "--circuit-json=found.json", "--circuit-lock=update", "--circuit-accept=all")
    harmless(of_ours(result.outlines))
    told = "\n".join(of_ours(result.outlines))
    assert "\\x1b[2J\\x1b[31mall supported" in told
    assert any(line.startswith(r"E       circuitcheck.AddressError") for line in result.outlines)
    claim = json.loads((pytester.path / "found.json").read_text())["claims"][0]["claim"]
    assert claim.startswith("\x1b[2J"), "in a file of data it is what it was"


@pytest.mark.parametrize("style", ["native", "line", "short"])
def test_under_any_style_no_line_of_an_error_is_a_command(claims: Claims, style: str) -> None:
    body = SUITE[: SUITE.index("def test_slot")].replace("def test_it", "def not_it").replace("test_it.", "not_it.")
    result = claims(body, f"--tb={style}")
    harmless([line for line in result.outlines if "assert model" not in line])


def test_a_listing_is_text(claims: Claims) -> None:
    harmless([line for line in claims(SUITE, "--circuit-list").outlines if line])


def test_another_ones_lock_is_text(
    claims: Claims, pytester: pytest.Pytester, capsys: pytest.CaptureFixture[str]
) -> None:
    body = "def test_it(model):\n    'It restores all.'\n    assert model.on(FRUIT).patch(ALL) > 0.5\n"
    claims(body, "--circuit-lock=update")
    path = pytester.path / NAME
    content = json.loads(path.read_text())
    [entry] = content["claims"].values()
    for field in ("test", "claim", "verdict", "outcome"):
        entry[field] = f"{EVIL}{field}"
    for field in ("label", "unit", "population", "population_id"):
        entry["effects"][0][field] = f"{EVIL}{field}"
    entry["effects"][0] |= {"operator": "<"}
    entry["effects"][0]["method"] = dict.fromkeys(entry["effects"][0]["method"], EVIL)
    content["models"][0] |= {"name": EVIL, "fingerprint": EVIL}
    content["claims"] = {EVIL: entry, **content["claims"]}
    new = path.with_name("new.lock")
    new.write_text(path.read_text())
    new.with_name("new.lock.pairs").write_text("{}")
    path.write_text(json.dumps(content))
    for option in ("check", "update"):
        result = claims(body, f"--circuit-lock={option}")
        harmless(of_ours(result.outlines))
        assert "edited by hand" in result.stdout.str()
    harmless(claims(body, "--circuit-list", "--circuit-lock=check").outlines)
    for bad in (content | {"format": EVIL}, content | {"models": [EVIL]}, EVIL):
        capsys.readouterr()
        path.write_text(json.dumps(bad))
        harmless(of_ours(claims(body, "--circuit-lock=check").outlines))
        capsys.readouterr()
        assert main(["compare", str(path), str(new)]) == 2
        harmless(capsys.readouterr().err.split("\n"))
    path.write_text(json.dumps(content))
    main(["compare", str(path), str(new)])
    harmless(capsys.readouterr().out.split("\n"))


def test_stores_and_reports_of_others_are_text(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = Store(tmp_path / "evidence.sqlite")
    store.decided(EVIL, "model", [EVIL])
    store.close()
    for words in (["store"], ["decide"], ["decide", "nothing"]):
        main([*words, f"--store={tmp_path}/evidence.sqlite"])
    reports = tmp_path / "old.json", tmp_path / "new.json"
    for number, path in enumerate(reports):
        path.write_text(
            json.dumps({"claims": [{"nodeid": EVIL, EVIL: EVIL, "x": number}, {"nodeid": f"{EVIL}{number}"}]})
        )
    assert main(["reports", *map(str, reports)]) == 1
    told = capsys.readouterr()
    assert "all supported" in told.out
    harmless(told.out.split("\n"))
    harmless(told.err.split("\n"))


INSTANT = """
import pytest

@pytest.hookimpl(trylast=True)
def pytest_runtest_logreport(report):
    # What pytest-instafail and the like do: failures are shown as they come.
    if report.failed:
        print("\\n" + report.longreprtext)
"""


def test_a_reporter_that_shows_failures_at_once_lets_no_command_through(
    claims: Claims, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    pytester.makeconftest(INSTANT)
    body = '''
def test_it(model):
    """
::error::words
##[error]words
"""
    assert model.on(FRUIT).patch(NONE) > 0.5
'''
    result = claims(body, "-s", "--tb=long")
    assert any(line.strip() == "::error::words" for line in result.outlines), "pytest shows the test's own lines"
    assert [name for name, told, _ in Runner(result.outlines).commands if "line" not in told] == []


@given(st.text(st.characters() | st.sampled_from(":#[]\n\r\t \x1b\x85\u2028\u202e\ud800")))
def test_whatever_a_text_holds_its_plain_form_is_harmless_and_stays_so(text: str) -> None:
    shown = plain(text)
    harmless(shown.split("\n"))
    assert plain(shown) == shown
    assert str(AddressError(text)) == shown
    shown.encode("utf-8")


def test_what_is_no_command_stays_as_it_was() -> None:
    text = "t.py::test_it[a:b] ## [x] #[y] a ::b\n\tand more: it's 0.4"
    assert plain(text) == text
