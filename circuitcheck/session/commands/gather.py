"""``circuitcheck gather``: have claims' numbers computed by several processes or machines, and brought home to one store.

Nothing is decided: afterwards plain pytest finds every number that it needs.
"""

import json
import os
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from circuitcheck.cluster import on_ray
from circuitcheck.cluster.dispatch import Dispatch, Gathered
from circuitcheck.cluster.head import Head
from circuitcheck.cluster.jobs import Job, Order, models_of
from circuitcheck.cluster.local import LocalNodes
from circuitcheck.cluster.on_ray import RayNodes
from circuitcheck.cluster.working_directory import missing, packed
from circuitcheck.errors import CircuitError
from circuitcheck.records.exchange.merging import Merged, named
from circuitcheck.session.jobs.collecting import VARIABLE
from circuitcheck.texts import plain, plural

_SHOWN = 12


def gather(models: Sequence[str], ray: str | None, local: int, store: Path | None, options: Sequence[str]) -> int:
    """Have numbers computed; 1 where not all of them came home or some disagree. Raises ``CircuitError``."""
    if ray is not None:
        on_ray.check(ray)
    arguments = [*(f"--circuit-model={model}" for model in models), *options]
    collected = _collected(arguments)
    if collected is None:
        return 2
    root, jobs = Path(collected["root"]), [_job(said) for said in collected["jobs"]]
    _check(jobs, collected["lacking"], root)
    path = root / collected["store"] if store is None else store
    if store is None and collected["store"] == "off":
        raise CircuitError("the store is off, and numbers have no home: name a file with --store")
    paths = tuple(dict.fromkeys(path for job in jobs for path in job.paths))
    order = Order(
        str(root), tuple(one for one in arguments if one not in collected["named"]), packed(root, paths), paths
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    print(
        plain(f"{_size(jobs)}; {len(order.archive) / 1024:,.0f} kB of hypotheses go along; numbers come home to {path}")
    )
    if ray is None:
        head = Head(path)
        most = max(job.memory for job in jobs)
        print(
            plain(f"{local} process{'es' if local > 1 else ''} here, {_gb(most)} of memory each{_short(most * local)}")
        )
        nodes: LocalNodes | RayNodes = LocalNodes(head, order, local)
    else:
        nodes = RayNodes(ray, path.resolve(), order, jobs)
        print(plain(_told(nodes)))
    screen = sys.stdout.isatty()
    try:
        gathered = Dispatch(nodes, _say, _show if screen else None).work_off(jobs)
        merged = nodes.merged()
    finally:
        if screen:
            _show("")
        if isinstance(nodes, RayNodes):
            nodes.close()
        else:
            head.close()
    return _ended(gathered, merged, [*arguments, *([] if store is None else [f"--circuit-store={path.resolve()}"])])


def _collected(arguments: Sequence[str]) -> dict[str, Any] | None:
    """What a dry collection says in a process of its own; None, with what pytest wrote, where it fails."""
    with tempfile.TemporaryDirectory() as folder:
        said = Path(folder) / "collected.json"
        command = [
            sys.executable,
            "-m",
            "pytest",
            "-p",
            "circuitcheck.session.jobs.collecting",
            "--collect-only",
            "-q",
            *arguments,
        ]
        done = subprocess.run(  # noqa: S603 - pytest, as whoever gathers would run it
            command, capture_output=True, text=True, env={**os.environ, VARIABLE: str(said)}, check=False
        )
        if done.returncode == 0:
            collected: dict[str, Any] = json.loads(said.read_text(encoding="utf-8"))
            return collected
    if done.returncode == 5:
        raise CircuitError("there are no claims among what was named")
    print(plain(f"{done.stdout}{done.stderr}".strip()), file=sys.stderr)
    return None


def _job(said: dict[str, Any]) -> Job:
    return Job(said["model"], said["file"], tuple(said["tests"]), said["weights"], said["memory"], tuple(said["paths"]))


def _check(jobs: Sequence[Job], lacking: Sequence[str], root: Path) -> None:
    if lacking:
        raise CircuitError(f"{lacking[0]} has no model: name one with --model")
    if not jobs:
        raise CircuitError("there are no claims among what was named: no test asks for the model")
    if outside := [job.file for job in jobs if job.file.startswith("..")]:
        raise CircuitError(f"{outside[0]} is outside of pytest's root, {root}, which is what goes along to the jobs")
    if gone := missing(root, [path for job in jobs for path in job.paths]):
        raise CircuitError(f"there is no {gone[0]} here")


def _size(jobs: Sequence[Job]) -> str:
    models, files = models_of(jobs), {job.file for job in jobs}
    tests = sum(len(job.tests) for job in jobs)
    largest = max(job.weights for job in jobs)
    return f"{plural(len(jobs), 'job')}: {plural(tests, 'claim')} in {plural(len(files), 'file')} about {plural(len(models), 'model')} of at most {_gb(largest)}"


def _short(needed: int) -> str:
    import psutil

    free = psutil.virtual_memory().available
    return "" if needed <= free else f": {_gb(needed)} in all, where {_gb(free)} are free"


def _told(nodes: RayNodes) -> str:
    """What each node has room for, and what it lacks. Raises ``CircuitError`` where none has room."""
    alive, needs = nodes.alive().values(), nodes.needs
    lines = [
        f"{node.name[:_SHOWN]} lacks {', '.join(node.lacks[:3])}: it gets no jobs of these"
        for node in alive
        if node.lacks
    ]
    asked = (
        f"{_gb(needs.memory)} of memory and {plural(needs.gpus, 'GPU')}"
        if needs.gpus
        else f"{_gb(needs.memory)} of memory"
    )
    room = sum(node.room for node in alive)
    if not room:
        raise CircuitError(f"none of {plural(len(alive), 'node')} has a core, {asked}, which a job takes")
    return "\n".join(
        [
            f"{plural(len(alive), 'node')} with room for {plural(room, 'job')} at once; each asks for a core, {asked}",
            *lines,
        ]
    )


def _ended(gathered: Gathered, merged: Merged, arguments: Sequence[str]) -> int:
    """Say what came of it, and what is next."""
    for job, outcome in gathered.troubled:
        print(plain(f"{job}: {'; '.join(outcome.problems[:3])}"), file=sys.stderr)
    for job, outcome in gathered.lost:
        print(plain(f"{job} was not finished: {outcome}\n{outcome.tail}"), file=sys.stderr)
    for disagreements in (merged.conflicts, merged.of_origins):
        if disagreements:
            words = (
                "numbers disagree by more than rounding; those that were there first stay"
                if disagreements is merged.conflicts
                else "numbers of different origins disagree by more than rounding; both are in the store"
            )
            print(plain(f"{words}:\n{named(disagreements)}"), file=sys.stderr)
    counted = [f"{count:,} of {origin}" for origin, count in merged.new.most_common()]
    again = f"; {plural(gathered.retried, 'job')} begun again" if gathered.retried else ""
    twice = f"; {plural(merged.known, 'number')} computed twice"
    print(plain("\n  ".join([f"{plural(merged.new.total(), 'new number')} came home{twice}{again}", *counted])))
    command = shlex.join(["pytest", *arguments])
    print(plain(f"decide with: {command}"))
    return int(bool(gathered.lost or gathered.troubled or merged.conflicts or merged.of_origins))


def _gb(size: int) -> str:
    return f"{size / 2**30:,.1f} GB" if size >= 2**30 else f"{size / 2**20:,.0f} MB"


def _say(line: str) -> None:
    print(f"\r\x1b[K{line}" if sys.stdout.isatty() else line, flush=True)


def _show(line: str) -> None:
    print(f"\r\x1b[K{line}", end="", flush=True)
