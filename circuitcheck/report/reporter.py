"""Takes in the reports of a session; at its end writes the closing section and the files that were asked for."""

from pathlib import Path

import pytest

from circuitcheck.report.claims import ClaimCollector


class Reporter:
    """A pytest plugin object of one session: the controller's under xdist, otherwise the only one."""

    def __init__(self, config: pytest.Config, json_path: str | None, fdr: float | None = None):
        self.config, self.json_path, self.fdr = config, json_path, fdr
        self.collector = ClaimCollector()
        self.lock_lines: list[str] = []
        self.lock_holds = True

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self.collector.add(report)

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if self.config.getoption("circuit_lock"):
            from circuitcheck.report.locking import settle

            self.lock_lines, self.lock_holds = settle(
                self.config, self.collector, bool(session.shouldstop or session.shouldfail)
            )
            if not self.lock_holds and session.exitstatus == pytest.ExitCode.OK:
                session.exitstatus = pytest.ExitCode.TESTS_FAILED
        if self.json_path is not None:
            from circuitcheck.report.json_file import write_json

            lock = {"holds": self.lock_holds, "lines": self.lock_lines} if self.lock_lines else None
            write_json(Path(self.json_path), self.collector, self.fdr, lock)

        markdown_path = self.config.getoption("circuit_markdown")
        if markdown_path is not None:
            from circuitcheck.report.markdown import write_markdown

            write_markdown(Path(markdown_path), self.collector, self.lock_lines)

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        from circuitcheck.report.terminal import write_summary

        write_summary(terminalreporter, self.collector, self.fdr)
        for line in self.lock_lines:
            terminalreporter.write_line(line)
