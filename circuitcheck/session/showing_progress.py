"""Where a session shows how far long work is: on the screen, as plain lines in a log, from workers by way of standard error."""

import sys
from collections.abc import Callable
from typing import Any

import pytest

from circuitcheck.engine.progress import Progress


def progress_of(config: pytest.Config) -> Callable[[str, int, int], None]:
    """What is shown after every batch; nothing under ``-q``."""
    if config.getoption("verbose") < 0:
        return lambda what, done, total: None
    if hasattr(config, "workerinput"):
        return Progress(lambda line: _say_beside_capture(config, line), None)
    terminal: Any = config.pluginmanager.get_plugin("terminalreporter")
    if terminal is None:
        return lambda what, done, total: None

    def say(line: str) -> None:
        terminal.ensure_newline()
        terminal.write_line(line)

    def show(line: str) -> None:
        terminal.rewrite(line, erase=True)

    return Progress(say, show if terminal.isatty else None)


def _say_beside_capture(config: pytest.Config, line: str) -> None:
    """A line of a worker, which has no terminal and whose output is captured; its standard error is that of pytest itself."""
    capture: Any = config.pluginmanager.get_plugin("capturemanager")
    with capture.global_and_fixture_disabled():
        print(f"\n{config.workerinput['workerid']}: {line}", file=sys.stderr, flush=True)  # type: ignore[attr-defined]
