"""The files that a session can be reported in: one row each. What a file needs is imported when it is written."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest

    from circuitcheck.report.claims import ClaimCollector, LockReport


@dataclass(frozen=True)
class Told:
    """What there is to report of a session: its claims, and the lock's findings, where one was asked for."""

    config: "pytest.Config"
    collector: "ClaimCollector"
    fdr: float | None
    lock: "LockReport | None"


@dataclass(frozen=True)
class Format:
    """A format, which ``--circuit-NAME=PATH`` asks for: ``words`` are the option's help, ``needs`` the packages of the extra of
    its name."""

    words: str
    write: Callable[[Path, Told], None]
    needs: tuple[str, ...] = ()


def _json(path: Path, told: Told) -> None:
    from circuitcheck.report.json_file import write_json

    write_json(path, told.collector, told.fdr, told.lock)


def _markdown(path: Path, told: Told) -> None:
    from circuitcheck.report.markdown import write_markdown

    write_markdown(path, told.collector, told.lock)


def _page(path: Path, told: Told) -> None:
    from circuitcheck.report.page.page import write_page

    write_page(path, told.collector, told.config, told.lock)


FORMATS = {
    "json": Format("write what was found as JSON", _json),
    "markdown": Format("write what was found as Markdown: a summary for people, of at most 1 MiB", _markdown),
    "html": Format(
        "write what was found as one page for a browser (pip install 'circuitcheck[html]')",
        _page,
        ("jinja2", "matplotlib"),
    ),
}
