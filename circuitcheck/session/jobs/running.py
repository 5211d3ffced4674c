"""What is run in a job: the tests of one file that ask one model (``-p circuitcheck.session.jobs.running``).

A job ends with whoever started it, so that no process goes on for somebody who is gone.
"""

import json
import os
import signal
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from circuitcheck.cluster.node import VARIABLE
from circuitcheck.session import guard
from circuitcheck.session.jobs.collecting import asked_by
from circuitcheck.texts import encodable, without

_LOOKS_S = 1.0
# What kept tests from being asked at all.
_told: list[str] = []


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    # Tests are chosen by their names, which were collected before.
    config.option.keyword = config.option.markexpr = ""
    config.option.deselect = None
    threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    job = _job()
    wanted = set(job["tests"])
    chosen = [
        item
        for item in items
        if guard.uses_the_fixture(item)
        and [one.text for one in asked_by(item)] == [job["model"]]
        and without(item.nodeid, job["model"]) in wanted
    ]
    config.hook.pytest_deselected(items=[item for item in items if item not in chosen])
    items[:] = chosen


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if report.when == "setup" and report.failed:
        _told.append(encodable(f"{report.nodeid}: {_first_line(report)}"))


def pytest_sessionfinish(session: pytest.Session) -> None:
    if not hasattr(session.config, "workerinput"):
        Path(_job()["outcome"]).write_text(json.dumps({"problems": _told}), encoding="utf-8")


def _first_line(report: pytest.TestReport) -> str:
    return next((line for line in reversed(report.longreprtext.splitlines()) if line.strip()), "")


def _job() -> dict[str, Any]:
    job: dict[str, Any] = json.loads(os.environ[VARIABLE])
    return job


def _end_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(_LOOKS_S)
    os.kill(os.getpid(), signal.SIGKILL)
