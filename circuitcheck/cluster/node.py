"""A job on its node: a pytest process with a store of its own, whose new numbers are sent home as they are written.

    outcome = run(job, order, known, send, folder, environment, stopped)

``send`` returns when the head has what it was sent: finished means acknowledged.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import closing
from pathlib import Path

from circuitcheck.cluster.jobs import Job, Order, Outcome
from circuitcheck.cluster.working_directory import lay_out
from circuitcheck.records.exchange import lines
from circuitcheck.records.exchange.merging import merge
from circuitcheck.records.exchange.outbox import Outbox

# What the process reads of its job: see circuitcheck.session.jobs.running.
VARIABLE = "CIRCUITCHECK_JOB"
_LOOKS_S = 0.2
_TAIL = 4_000
_PLUGIN = ("-p", "circuitcheck.session.jobs.running")


def run(
    job: Job,
    order: Order,
    known: Iterable[str],
    send: Callable[[str], object],
    folder: Path,
    environment: Mapping[str, str],
    stopped: Callable[[], bool] = lambda: False,
) -> Outcome:
    """Run a job in a folder of its own, which is empty. ``known``: lines of what the head has of the model."""
    work = lay_out(order.archive, Path(order.root), folder, order.paths)
    store, outcome, output = folder / "evidence.sqlite", folder / "outcome.json", folder / "output"
    merge(store, {"the head": lines.read(known, "the head")})
    said = {"model": job.model, "tests": job.tests, "outcome": str(outcome)}
    command = [
        sys.executable,
        "-m",
        "pytest",
        *_PLUGIN,
        *order.options,
        f"--rootdir={work}",
        f"--circuit-store={store}",
    ]
    command += ["-q", "--no-header", "--tb=short", "--circuit-github=off", "-p", "no:cacheprovider", job.file]
    with closing(Outbox(store)) as outbox, open(output, "wb") as written:
        process = subprocess.Popen(  # noqa: S603 - pytest, as whoever gathers would run it
            command,
            cwd=work,
            stdin=subprocess.DEVNULL,
            stdout=written,
            stderr=subprocess.STDOUT,
            env={**os.environ, **environment, VARIABLE: json.dumps(said)},
        )
        try:
            while process.poll() is None and not stopped():
                _send_new(outbox, send)
                time.sleep(_LOOKS_S)
        finally:
            if process.poll() is None:
                process.kill()
            process.wait()
        _send_new(outbox, send)
    tail = output.read_bytes()[-_TAIL:].decode("utf-8", "replace")
    return Outcome(process.returncode, tail, _problems(outcome))


def _send_new(outbox: Outbox, send: Callable[[str], object]) -> None:
    while True:
        last, content = outbox.part()
        if not last:
            return
        send("".join(lines.written([content])))
        outbox.forget(last)


def _problems(outcome: Path) -> tuple[str, ...]:
    try:
        return tuple(map(str, json.loads(outcome.read_text(encoding="utf-8"))["problems"]))
    except (OSError, ValueError, KeyError):
        return ()
