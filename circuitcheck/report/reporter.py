"""Takes in the reports of a session; at its end writes the closing section and the files that were asked for."""

from importlib.util import find_spec
from pathlib import Path

import pytest

from circuitcheck.report.claims import ClaimCollector


def check_files(config: pytest.Config) -> None:
    """Raises ``UsageError`` for files that were asked for and could not be written at the end."""
    for option in ("json", "markdown", "html"):
        path = config.getoption(f"circuit_{option}")
        if path is not None and Path(path).is_dir():
            raise pytest.UsageError(f"--circuit-{option}={path} is a folder; name a file")
    missing = [name for name in ("jinja2", "matplotlib") if find_spec(name) is None]
    if config.getoption("circuit_html") is not None and missing:
        raise pytest.UsageError(f"--circuit-html needs {' and '.join(missing)}: pip install 'circuitcheck[html]'")


class Reporter:
    """A pytest plugin object of one session: the controller's under xdist, otherwise the only one."""

    def __init__(self, config: pytest.Config, json_path: str | None, fdr: float | None = None):
        self.config, self.json_path, self.fdr = config, json_path, fdr
        self.collector = ClaimCollector()
        self.lock_lines: list[str] = []
        self.lock_holds = True
        self.collected: list[str] = []

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_node_collection_finished(self, ids: list[str]) -> None:
        self.collected = ids

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self.collector.add(report)

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        self.collector.in_order(self.collected)
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
        if (page := self.config.getoption("circuit_html")) is not None:
            from circuitcheck.report.page.page import write_page

            write_page(Path(page), self.collector, self.config)

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        from circuitcheck.report.terminal import write_summary

        write_summary(terminalreporter, self.collector, self.fdr)
        for line in self.lock_lines:
            terminalreporter.write_line(line)
