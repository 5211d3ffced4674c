"""``pytest --circuit-list``: the claims that would be made, of which model, and where they stand. No model is loaded."""

from collections.abc import Generator, Iterator

import pytest

from circuitcheck.errors import LockError
from circuitcheck.records.locks.files import read
from circuitcheck.report.ending import Ending
from circuitcheck.session import guard
from circuitcheck.session.models_asked import asked_of
from circuitcheck.texts import plain

# What is written of decided claims alone.
OF_VERDICTS = ("json", "markdown", "html", "mutate", "fdr", "replay")


class Listing:
    """A pytest plugin object of one session, in the place of the reporter."""

    def __init__(self, config: pytest.Config):
        for name in OF_VERDICTS:
            if config.getoption(f"circuit_{name}", None) not in (None, False):
                raise pytest.UsageError(f"--circuit-list decides nothing, so that --circuit-{name} has nothing to tell")
        if config.getoption("circuit_lock") == "update":
            raise pytest.UsageError("--circuit-list decides nothing that could be locked; --circuit-lock=check goes")
        self.config = config
        self.lock_problems: list[str] = []
        self.ending = Ending()
        config.pluginmanager.register(self.ending, "circuitcheck-ending")

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        claims = [item for item in items if guard.makes_a_claim(item)]
        self.config.hook.pytest_deselected(items=[item for item in items if item not in claims])
        items[:] = claims

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_collection_finish(self, session: pytest.Session) -> Generator[None]:
        claims, session.items = session.items, []  # of which pytest would print its own tree
        yield
        terminal = self.config.pluginmanager.get_plugin("terminalreporter")
        if terminal is None:
            return
        quiet = -self.config.get_verbosity()
        for item in claims if quiet < 2 else ():
            terminal.write_line(plain(item.nodeid))
            for line in _details(item) if quiet < 1 else ():
                terminal.write_line(plain(f"  {line}"))
        if self.config.getoption("circuit_lock"):
            self.lock_problems, held = _locked(self.config, claims, self.ending.uncollected)
            for line in self.lock_problems or [held]:
                terminal.write_line(plain(line))

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if self.lock_problems and session.exitstatus in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED):
            session.exitstatus = pytest.ExitCode.TESTS_FAILED


def _details(item: pytest.Item) -> Iterator[str]:
    """The claim in words; its model, its place and what its markers say of it."""
    if words := guard.words(item):
        yield words.splitlines()[0]
    file, line, _ = item.location
    place = file if line is None else f"{file}:{line + 1}"
    yield "; ".join([f"of {_model(item)}", place, *_marks(item)])


def _model(item: pytest.Item) -> str:
    """The model that would be asked."""
    callspec = getattr(item, "callspec", None)
    named = callspec.params.get("model") if callspec is not None else None
    return ", ".join(map(str, [named] if named else asked_of(item.config))) or "no model: none is given"


def _marks(item: pytest.Item) -> Iterator[str]:
    if guard.marked(item, "optional"):
        yield "optional"
    for name, value in guard.settings_of(item).items():
        yield f"{name}={value:g}"
    for name in ("xfail", "skip", "skipif"):
        for marker in item.iter_markers(name):
            told = marker.kwargs.get("reason") or next((str(one) for one in marker.args if name == "skip"), "")
            yield f"{name}: {told}" if told else name


def _may_be_skipped(item: pytest.Item) -> bool:
    """Whether a lock need not have an entry for it: it locks what was decided."""
    return bool(guard.marked(item, "optional")) or any(map(item.get_closest_marker, ("skip", "skipif")))


def _locked(config: pytest.Config, claims: list[pytest.Item], uncollected: list[str]) -> tuple[list[str], str]:
    """What the lock and the claims do not have in common, or a line that says that they go together. Names are compared,
    and words where a name is another: whether a test claims the same as before is known when it is decided."""
    from circuitcheck.report.lock_findings import expected_of, lock_path

    path = lock_path(config)
    if uncollected:
        return [f"lock: {path.name} was not compared, since {uncollected[0]} could not be collected"], ""
    try:
        lock = read(path)
    except LockError as error:
        return [f"lock: {error}"], ""
    locked = {entry["test"]: entry["claim"] for entry in lock.claims.values()}
    found = {item.nodeid: guard.words(item).partition("\n")[0] for item in claims}
    gone = {test: locked[test] for test in expected_of(lock, config) if test not in found}
    sure = {item.nodeid for item in claims if not _may_be_skipped(item)}
    new = {test: words for test, words in found.items() if test in sure and test not in locked}
    renamed = {words for words in gone.values() if words} & set(new.values())
    told = [f"  {test}: in the lock, and not among the claims" for test, words in gone.items() if words not in renamed]
    told += [f"  {test}: a claim that is not in the lock" for test, words in new.items() if words not in renamed]
    if not told:
        return [], f"lock: {path.name} has an entry for every claim"
    return [f"lock: {path.name} names other claims (--circuit-lock=update writes it again)", *told], ""
