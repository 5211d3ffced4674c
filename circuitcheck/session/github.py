"""GitHub Actions: the summary of the step, annotations, and no commands from what claims and prompts say.

The runner takes a line that begins with ``::`` or holds ``##[`` for a command to it. So commands are stopped while what pytest
prints of claims goes by, under a token that nobody can guess, and taken again before the annotations.
"""

import os
import secrets
from collections.abc import Generator
from pathlib import Path

import pytest

from circuitcheck.records.files import told_in_a_line
from circuitcheck.report.annotations import annotations
from circuitcheck.report.markdown import LIMIT, summary
from circuitcheck.report.properties import CLAIM
from circuitcheck.report.reporter import Reporter
from circuitcheck.session.options import option

# Less room than this is not worth a summary.
_LEAST = 2_000


def is_on(config: pytest.Config) -> bool:
    """Whether this runs in GitHub Actions, and ``--circuit-github`` is not off."""
    given = option(config, "github") or "auto"
    if given not in ("auto", "off"):
        raise pytest.UsageError(f"--circuit-github is auto or off, not {given!r}")
    return given == "auto" and os.environ.get("GITHUB_ACTIONS") == "true"


class GitHubActions:
    """A pytest plugin object of one session, beside the reporter whose claims it tells."""

    def __init__(self, config: pytest.Config, reporter: Reporter):
        self.config, self.reporter = config, reporter
        self.token, self.stopped = secrets.token_hex(16), False

    @pytest.hookimpl(wrapper=True, trylast=True)
    def pytest_sessionfinish(self) -> Generator[None]:
        """After the reporter's."""
        try:
            yield
        finally:
            self._append()

    def _append(self) -> None:
        path = os.environ.get("GITHUB_STEP_SUMMARY")
        if path:
            with told_in_a_line(self.reporter.unwritten, "the step's summary could not be written"):
                append_summary(Path(path), self.reporter)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Before the first that any reporter prints of a claim."""
        terminal = self.config.pluginmanager.get_plugin("terminalreporter")
        if terminal is not None and not self.stopped and any(key == CLAIM for key, _ in report.user_properties):
            self._stop(terminal)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> Generator[None]:
        self._stop_commands(terminalreporter)
        yield

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_unconfigure(self) -> Generator[None]:
        terminal = self.config.pluginmanager.get_plugin("terminalreporter")
        if terminal is not None:
            self._stop_commands(terminal)
        yield
        if not self.stopped or terminal is None:
            return
        terminal.write_line(f"::{self.token}::")
        reporter = self.reporter
        for line in annotations(self.config.rootpath, reporter.collector, reporter.lock):
            terminal.write_line(line)

    def _stop_commands(self, terminal: pytest.TerminalReporter) -> None:
        """From here on nothing is a command, where there is anything to tell."""
        if not self.stopped and (self.reporter.collector.claims or self.reporter.lock):
            self._stop(terminal)

    def _stop(self, terminal: pytest.TerminalReporter) -> None:
        self.stopped = True
        terminal.ensure_newline()
        terminal.write_line(f"::stop-commands::{self.token}")


def append_summary(path: Path, reporter: Reporter) -> None:
    """Write the summary behind what is there, if there is room for it."""
    room = LIMIT - (path.stat().st_size if path.exists() else 0)
    text = summary(reporter.collector, reporter.lock, max(room, _LEAST))
    if text and room < _LEAST:
        reporter.unwritten.append("the step's summary has no room left for claims")
    elif text:
        with path.open("ab") as file:
            file.write(text.encode("utf-8"))
