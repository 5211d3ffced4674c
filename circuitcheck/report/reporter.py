"""Takes in the reports of a session; at its end writes the closing section and the files that were asked for."""

import os
from collections.abc import Generator
from importlib.util import find_spec
from pathlib import Path

import pytest

from circuitcheck.records.files import told_in_a_line
from circuitcheck.report.claims import ClaimCollector, LockReport
from circuitcheck.report.ending import Ending
from circuitcheck.report.formats import FORMATS, Told
from circuitcheck.texts import plain


def check_files(config: pytest.Config) -> None:
    """Raises ``UsageError`` for files that were asked for and could not be written at the end."""
    for option, wanted in FORMATS.items():
        path = config.getoption(f"circuit_{option}")
        if path is None:
            continue
        if os.path.isdir(path):
            raise pytest.UsageError(f"--circuit-{option}={path} is a folder; name a file")
        if missing := [name for name in wanted.needs if find_spec(name) is None]:
            extra = f"pip install 'circuitcheck[{option}]'"
            raise pytest.UsageError(f"--circuit-{option} needs {' and '.join(missing)}: {extra}")


class Reporter:
    """A pytest plugin object of one session: the controller's under xdist, otherwise the only one. ``unwritten``: a line for
    each file that could not be written."""

    def __init__(self, config: pytest.Config, fdr: float | None = None):
        self.config, self.fdr = config, fdr
        self.collector, self.ending = ClaimCollector(), Ending()
        config.pluginmanager.register(self.ending, "circuitcheck-ending")
        self.lock: LockReport | None = None
        self.unwritten: list[str] = []
        self._is_told = False

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self.collector.add(report)

    @pytest.hookimpl(wrapper=True, trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> Generator[None]:
        """After those of all conftests, one of which may end pytest with a status of its own, and before the summary."""
        try:
            yield
        except BaseException as error:
            self.ending.end(error)
            self._finish(session)
            failed = session.exitstatus == pytest.ExitCode.TESTS_FAILED
            if failed and isinstance(error, pytest.exit.Exception) and not error.returncode:
                error.returncode = int(session.exitstatus)
            raise
        self._finish(session)

    def _finish(self, session: pytest.Session) -> None:
        self.collector.in_order(self.ending.collected)
        if self.config.getoption("circuit_lock") or self.config.getoption("circuit_baseline"):
            from circuitcheck.report.lock_findings import settle

            self.lock = settle(session, self.collector, self.ending)
        told = Told(self.config, self.collector, self.fdr, self.lock)
        for option, wanted in FORMATS.items():
            if (path := self.config.getoption(f"circuit_{option}")) is not None:
                with told_in_a_line(self.unwritten, f"could not write {path}"):
                    wanted.write(Path(path), told)
        # pytest.exit(returncode=0) undoes no claim that failed before it.
        hidden = self.ending.broken_off and any(claim.failed for claim in self.collector.claims.values())
        if session.exitstatus == pytest.ExitCode.OK and (
            hidden or self.unwritten or (self.lock is not None and not self.lock.holds)
        ):
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    @pytest.hookimpl(wrapper=True, trylast=True)
    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> Generator[None]:
        self._tell(terminalreporter)
        yield

    @pytest.hookimpl(tryfirst=True)
    def pytest_unconfigure(self) -> None:
        """Tell what was not told yet: where pytest ends with a status of its own it asks for no summary."""
        terminal = self.config.pluginmanager.get_plugin("terminalreporter")
        if terminal is not None and not self._is_told:
            self._tell(terminal)

    def _tell(self, terminal: pytest.TerminalReporter) -> None:
        """The closing section, with the lines about the lock and about files that could not be written."""
        from circuitcheck.report.terminal import write_summary

        self._is_told = True
        write_summary(terminal, self.collector, self.fdr)
        for line in (*([] if self.lock is None else self.lock.lines), *self.unwritten):
            terminal.write_line(plain(line))
