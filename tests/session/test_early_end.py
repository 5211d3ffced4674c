"""A session that ended before all that was collected was run: the lock is neither written nor confirmed."""

import json
from dataclasses import dataclass
from typing import ClassVar

import pytest

from circuitcheck.records.locks.lock import NAME
from tests.conftest import HEAD as CLAIMS_HEAD
from tests.conftest import Claims, each

FIRST = """
def test_first(model):
    "One neuron restores a third."
    assert model.on(FRUIT).patch("L1.N8") > 0.3
"""
SECOND = """
def test_second(model):
    "It is needed."
    assert model.on(FRUIT).ablate("L1.N8", "mean") > 0.3
"""


@dataclass
class End:
    """What ends the session: put between the two claims, before them, in a conftest or another file, or by an option."""

    between: str = ""
    before: str = ""
    conftest: str = ""
    other: str = ""
    behind: str = ""
    options: tuple[str, ...] = ()
    runs_first: bool = True


FAILS = "def test_fails():\n    assert False\n"
# An end by an interrupt, by pytest.exit, by pytest's own options, by a file that fails to import, by an error in a hook.
USUAL = ("Ctrl-C in a claim", "a file that fails to import")
ENDS = {
    "Ctrl-C in a test": End("def test_it():\n    raise KeyboardInterrupt\n"),
    "Ctrl-C in a claim": End("def test_it(model):\n    model.on(FRUIT)\n    raise KeyboardInterrupt\n"),
    "Ctrl-C in a fixture": End("@pytest.fixture\ndef it():\n    raise KeyboardInterrupt\ndef test_it(it):\n    pass\n"),
    "exit in a test": End("def test_it():\n    pytest.exit('enough')\n"),
    "exit with 0": End("def test_it():\n    pytest.exit('enough', returncode=0)\n"),
    "exit with a status of its own": End("def test_it():\n    pytest.exit('enough', returncode=9)\n"),
    "exit in a setup": End("@pytest.fixture\ndef it():\n    pytest.exit('enough')\ndef test_it(it):\n    pass\n"),
    "exit in a teardown": End(
        "@pytest.fixture\ndef it():\n    yield\n    pytest.exit('enough')\ndef test_it(it):\n    pass\n"
    ),
    "exit in the last teardown": End(
        behind="@pytest.fixture\ndef it():\n    yield\n    pytest.exit('enough')\ndef test_it(it):\n    pass\n"
    ),
    "exit in a hook": End(
        conftest="import pytest\ndef pytest_runtest_logfinish(nodeid):\n    if 'first' in nodeid:\n        pytest.exit('enough')\n"
    ),
    "exit behind the last test": End(
        conftest="import pytest\ndef pytest_runtest_logfinish(nodeid):\n    if 'second' in nodeid:\n        pytest.exit('enough', returncode=0)\n"
    ),
    "-x": End(FAILS, options=("-x",)),
    "--maxfail": End(FAILS + "def test_too():\n    assert False\n", options=("--maxfail=2",)),
    "shouldstop": End("def test_it(request):\n    request.session.shouldstop = 'enough'\n"),
    "shouldfail": End("def test_it(request):\n    request.session.shouldfail = 'enough'\n"),
    "a file that fails to import": End(other="import no_such_module\n", runs_first=False),
    "the same, and the others are run": End(
        other="import no_such_module\n", options=("--continue-on-collection-errors",)
    ),
    "an error in a hook": End(
        conftest="def pytest_runtest_logfinish(nodeid):\n    if 'first' in nodeid:\n        raise RuntimeError('broken')\n"
    ),
    "a loop that leaves tests out": End(
        conftest="""
import pytest
@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop(session):
    for item in session.items[:1]:
        item.config.hook.pytest_runtest_protocol(item=item, nextitem=None)
    return True
"""
    ),
    "a protocol that reports nothing": End(
        conftest="""
import pytest
@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item):
    return True if 'second' in item.nodeid else None
"""
    ),
    "--setup-only": End(options=("--setup-only",), runs_first=False),
    "--collect-only": End(options=("--collect-only",), runs_first=False),
}


LATE = {
    "exit": ("pytest.exit('enough')", 1),
    "exit with 0": ("pytest.exit('enough', returncode=0)", 1),
    "exit with a status of its own": ("pytest.exit('enough', returncode=9)", 9),
}


@pytest.mark.parametrize("name", each(LATE, ("exit with 0",)))
def test_an_end_in_a_folders_own_sessionfinish_takes_no_report_with_it(
    claims: Claims, pytester: pytest.Pytester, name: str
) -> None:
    """Of a conftest that is found late, whose hooks are called before those of plugins."""
    end, status = LATE[name]
    folder = pytester.mkdir("hypotheses")
    (folder / "conftest.py").write_text(f"import pytest\ndef pytest_sessionfinish():\n    {end}\n")
    (folder / "test_claims.py").write_text(CLAIMS_HEAD + FIRST)
    result = pytester.runpytest_inprocess(
        ".", "--circuit-model=bundled", "-p", "no:cacheprovider", "--circuit-json=found.json", "--circuit-lock=update"
    )
    assert result.ret == status
    result.stdout.fnmatch_lines(["1 claim: 1 supported*", "lock: nothing was written, *pytest.exit: enough*"])
    assert '"holds": false' in (pytester.path / "found.json").read_text()
    assert not (pytester.path / NAME).exists()


class Suite:
    """Two claims, with what ends the session in the places where it does."""

    locked: ClassVar[dict[str, str]] = {}  # the lock of a whole session, by file

    def __init__(self, claims: Claims, pytester: pytest.Pytester):
        self.claims, self.pytester = claims, pytester
        self.path = pytester.path / NAME

    def run(self, *options: str, end: End | None = None, change: tuple[str, str] = ("", "")) -> pytest.RunResult:
        end = end or End()
        self.pytester.makeconftest(end.conftest)
        self.pytester.makepyfile(test_zz=end.other or "def test_other():\n    pass\n")
        body = f"{end.before}{FIRST}{end.between}{SECOND}{end.behind}".replace(*change, 1)
        return self.claims(body, *end.options, *options)

    def lock(self) -> str:
        """Lock the claims as a whole session does; gives the lock's text."""
        if not self.locked:
            assert self.run("--circuit-lock=update").ret == 0
            self.locked.update({name: (self.pytester.path / name).read_text() for name in (NAME, f"{NAME}.pairs")})
        for name, text in self.locked.items():
            (self.pytester.path / name).write_text(text)
        return self.locked[NAME]


@pytest.fixture
def suite(claims: Claims, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Suite:
    pytester.makeini("[pytest]")
    made = Suite(claims, pytester)
    monkeypatch.setattr(pytester, "_name", "test_claims")  # the file has one name in all tests
    return made


def about_the_lock(result: pytest.RunResult) -> list[str]:
    """The lines about the lock, and what belongs to them."""
    start = next((n for n, line in enumerate(result.outlines) if line.startswith("lock:")), None)
    assert start is not None, result.stdout.str()
    more = [line for line in result.outlines[start + 1 :] if line.startswith("  ")]
    return [result.outlines[start], *more]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", each(ENDS, USUAL))
def test_an_early_end_of_any_kind_neither_writes_nor_confirms_the_lock(suite: Suite, name: str) -> None:
    end, written = ENDS[name], suite.lock()
    updated = suite.run("--circuit-lock=update", "--circuit-accept=all", end=end, change=("> 0.3", "> 0.2"))
    assert (updated.ret != 0, suite.path.read_text()) == (True, written)
    assert about_the_lock(updated)[0].startswith("lock: nothing was written, since the session ended early (")

    checked = suite.run("--circuit-lock=check", end=end, change=("> 0.3", "> 0.2"))
    assert checked.ret != 0
    first, *findings = about_the_lock(checked)
    assert first.startswith(f"lock: {NAME} is not confirmed, since the session ended early (")
    loosened = [line for line in findings if "test_first" in line and "loosened from > 0.3 to > 0.2" in line]
    assert findings == (loosened if end.runs_first else []), "what was run is compared, and what was not is not missed"
    assert len(loosened) == end.runs_first


@pytest.mark.parametrize("name", each(["Ctrl-C in a claim", "exit with 0", "-x"], ("exit with 0",)))
def test_there_is_no_lock_after_a_first_session_that_ended_early(suite: Suite, name: str) -> None:
    assert suite.run("--circuit-lock=update", end=ENDS[name]).ret != 0
    assert list(suite.pytester.path.glob(f"*{NAME}*")) == []


def test_a_claim_that_is_skipped_before_an_early_end_is_told(suite: Suite) -> None:
    suite.lock()
    skips = ("    assert", "    pytest.skip()\n    assert")
    checked = suite.run("--circuit-lock=check", end=ENDS["exit in a test"], change=skips)
    [line] = about_the_lock(checked)[1:]
    assert "test_first (One neuron restores a third.): it was skipped" in line


@pytest.mark.slow
def test_whole_sessions_are_locked_and_confirmed_in_one_process_and_in_two(suite: Suite) -> None:
    marked = (
        "@pytest.mark.skip\ndef test_it():\n    pass\n@pytest.mark.xfail(run=False)\ndef test_not_run():\n    pass\n"
    )
    deselects = """
def pytest_collection_modifyitems(config, items):
    config.hook.pytest_deselected(items=[one for one in items if 'other' in one.name])
    items[:] = [one for one in items if 'other' not in one.name]
"""
    for end in (End(options=("-x",)), End(marked), End(conftest=deselects), End(options=("-n2", "-x"))):
        updated = suite.run("--circuit-lock=update", end=end)
        assert (updated.ret, about_the_lock(updated)[0]) == (0, f"lock: 2 claims written to {NAME}"), end
        checked = suite.run("--circuit-lock=check", end=None if "-n2" in end.options else end)
        assert (checked.ret, about_the_lock(checked)) == (0, [f"lock: as in {NAME}"]), end
        suite.path.unlink()


WORKERS = {
    "a lost worker": End("def test_it():\n    import os\n    os._exit(3)\n", options=("--max-worker-restart=0",)),
    "-x": End(FAILS, options=("-x",)),
    "exit with 0": End("def test_it():\n    pytest.exit('enough', returncode=0)\n"),
    "Ctrl-C": End("def test_it():\n    raise KeyboardInterrupt\n"),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", WORKERS)
def test_workers_that_end_early_do_not_write_it(suite: Suite, name: str) -> None:
    written = suite.lock()
    result = suite.run("--circuit-lock=update", "--circuit-accept=all", "-n1", end=WORKERS[name])
    assert (result.ret != 0, suite.path.read_text()) == (True, written)
    assert about_the_lock(result)[0].startswith("lock: nothing was written, since the session ended early (")


def test_a_step_by_step_run_is_no_whole_suite(suite: Suite) -> None:
    assert suite.run("--circuit-lock=update").ret == 0
    result = suite.pytester.runpytest_inprocess("--circuit-model=bundled", "--circuit-lock=update", "--stepwise")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    assert about_the_lock(result)[0].startswith("lock: an update takes the whole suite")


def test_a_claim_that_came_to_no_verdict_is_not_locked_and_that_is_told(suite: Suite) -> None:
    broken = End("def test_broken(model):\n    assert model.on(FRUIT).patch('L99.H0') > 0.5\n")
    result = suite.run("--circuit-lock=update", end=broken)
    assert result.ret != 0
    assert any(
        "not locked: " in line and "test_broken: it came to no verdict" in line for line in about_the_lock(result)
    )
    assert len(json.loads(suite.path.read_text())["claims"]) == 2


def test_a_listing_does_not_miss_the_claims_of_a_file_that_fails_to_import(suite: Suite) -> None:
    suite.lock()
    result = suite.run("--circuit-list", "--circuit-lock=check", end=End(before="import no_such_module\n"))
    assert result.ret == pytest.ExitCode.INTERRUPTED
    line, *more = about_the_lock(result)
    assert line == f"lock: {NAME} was not compared, since test_claims.py could not be collected"
    assert not [one for one in more if "not among the claims" in one]


@pytest.mark.parametrize("spelled", ["claims", "claims/../claims", ".", "linked"])
def test_a_claim_that_is_gone_is_missed_however_the_folder_is_spelled(
    pytester: pytest.Pytester, claims: Claims, spelled: str
) -> None:
    folder = pytester.mkdir("claims")
    (pytester.path / "linked").symlink_to(folder)
    body = 'def test_{}(model):\n    """{}"""\n    assert model.on(FRUIT).patch({}) > 0.5\n'
    for name, site in (("one", "ALL"), ("two", '"L1.N8"')):
        (folder / f"test_{name}.py").write_text(CLAIMS_HEAD + body.format(name, name, site))
    options = ["--circuit-model=bundled", "-p", "no:cacheprovider"]
    assert pytester.runpytest_inprocess("claims", "--circuit-lock=update", *options).ret == 0
    (folder / "test_two.py").unlink()
    result = pytester.runpytest_inprocess(spelled, "--circuit-lock=check", *options)
    result.stdout.fnmatch_lines(["*test_two (two): the claim is gone"])
    assert result.ret == 1
