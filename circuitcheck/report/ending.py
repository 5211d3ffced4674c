"""How a session ended: whether all that was collected was run to its end, or what kept it from that.

What ended it may be Ctrl-C, ``pytest.exit``, ``-x``, a file that cannot be imported, a lost worker or another plugin. So it
is not asked for these one by one: what was collected is compared with what was reported on.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from circuitcheck.texts import plural

_BROKEN_OFF = (pytest.ExitCode.INTERRUPTED, pytest.ExitCode.INTERNAL_ERROR, pytest.ExitCode.USAGE_ERROR)


@dataclass(eq=False)
class Ending:
    """A pytest plugin object. ``collected``: the nodeids of the tests that were to be run, in order; ``uncollected``: the
    files and folders that could not be collected; ``finished``: tests that were reported on, their teardown included;
    ``broken_off``: what ended the session from outside its tests, in words."""

    collected: list[str] = field(default_factory=list)
    uncollected: list[str] = field(default_factory=list)
    finished: set[str] = field(default_factory=set)
    broken_off: str = ""
    _decided: set[str] = field(default_factory=set)

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        self.collected = [item.nodeid for item in session.items]

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_node_collection_finished(self, ids: list[str]) -> None:
        self.collected = ids

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            self.uncollected.append(report.nodeid or "the root folder")

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        # A lost worker's report has no phase, and --setup-only reports no call.
        if report.when == "call" or (report.when == "setup" and not report.passed):
            self._decided.add(report.nodeid)
        if report.when == "teardown" and report.nodeid in self._decided:
            self.finished.add(report.nodeid)

    def pytest_keyboard_interrupt(self, excinfo: pytest.ExceptionInfo[BaseException]) -> None:
        self.end(excinfo.value)

    def end(self, error: BaseException) -> None:
        """The session ends by an error: Ctrl-C, ``pytest.exit``, or what a hook has raised."""
        what = "pytest.exit" if isinstance(error, pytest.exit.Exception) else type(error).__name__
        if isinstance(error, KeyboardInterrupt):
            self.broken_off = str(error) or what
        else:
            self.broken_off = f"{what}: {error}" if str(error) else what

    def pytest_internalerror(self, excinfo: pytest.ExceptionInfo[BaseException]) -> None:
        self.broken_off = f"an internal error: {excinfo.exconly(tryshort=True)}"

    def problem(self, session: pytest.Session) -> str:
        """Why not all that was collected was run to its end, in a line; empty where it was."""
        told = list(dict.fromkeys(line for said in self._problems(session) for line in said.splitlines()[:1]))
        unfinished = [nodeid for nodeid in self.collected if nodeid not in self.finished]
        if unfinished:
            count = len(self.collected)
            told.append(
                f"{len(unfinished)} of {plural(count, 'test')} {'was' if len(unfinished) == 1 else 'were'} not run to the end"
            )
        return "; ".join(told)

    def _problems(self, session: pytest.Session) -> Iterator[str]:
        yield self.broken_off
        yield str(session.shouldfail or session.shouldstop or "")
        if self.uncollected:
            more = f" and {len(self.uncollected) - 1} more" if len(self.uncollected) > 1 else ""
            yield f"{self.uncollected[0]}{more} could not be collected"
        if session.exitstatus in _BROKEN_OFF and not self.broken_off:
            yield f"pytest ended with {pytest.ExitCode(session.exitstatus).name.lower().replace('_', ' ')}"
