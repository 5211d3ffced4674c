"""Which job goes to which node, and what becomes of those that die.

A job goes where there is room for it and its model's paths are. One that dies is tried on another node, as often as ``TRIES`` in all; there it
begins with what the head has by then.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from circuitcheck.cluster.jobs import Job, Outcome, models_of
from circuitcheck.engine.progress import duration
from circuitcheck.records.exchange.merging import Merged
from circuitcheck.texts import plain, plural

TRIES = 3
# How long news are waited for at once, and between two lines in a log.
_WAITS_S, _LINES_S = 0.5, 60.0


@dataclass(frozen=True)
class Node:
    """A machine, or a process here: how many jobs it has room for at once, and which paths it lacks."""

    name: str
    room: int
    lacks: tuple[str, ...] = ()


class Nodes(Protocol):
    """Where jobs are run."""

    def alive(self) -> Mapping[str, Node]:
        """Those that there are now, by name."""

    def start(self, job: Job, node: str) -> None:
        """Begin a job on a node."""

    def ended(self, timeout: float) -> list[tuple[Job, str, Outcome]]:
        """Jobs that have ended since this was asked last, each with its node; waits so long, in seconds, for one."""

    def merged(self) -> Merged:
        """What came home so far."""

    def stop(self) -> None:
        """End what is running."""


@dataclass
class Gathered:
    """What became of all jobs: those that were ``lost`` after all tries, and those of which tests could not be asked (``troubled``), each with
    how it ended; ``retried``: how often a job was begun again."""

    lost: list[tuple[Job, Outcome]] = field(default_factory=list)
    troubled: list[tuple[Job, Outcome]] = field(default_factory=list)
    done: int = 0
    retried: int = 0


class Dispatch:
    """Works jobs off. ``say`` writes a line that stays, ``show`` one that the next overwrites (None where there is no screen: then there is a
    line a minute)."""

    def __init__(self, nodes: Nodes, say: Callable[[str], object], show: Callable[[str], object] | None):
        self._nodes, self._say, self._show = nodes, say, show
        self.gathered = Gathered()
        self._tried: dict[Job, list[str]] = {}
        self._running: dict[Job, str] = {}
        self._began = self._shown = time.monotonic()

    def work_off(self, jobs: Sequence[Job]) -> Gathered:
        """Run all of them; an exception, such as an interruption, ends those that are running."""
        waiting, total = _spread(jobs), len(jobs)
        try:
            while waiting or self._running:
                self._fill(waiting)
                for job, node, outcome in self._nodes.ended(_WAITS_S) if self._running else ():
                    self._take(job, node, outcome, waiting)
                self._show_progress(total)
        finally:
            self._nodes.stop()
        return self.gathered

    def _fill(self, waiting: list[Job]) -> None:
        alive = self._nodes.alive()
        for name, node in alive.items():
            for _ in range(node.room - list(self._running.values()).count(name)):
                fit = [
                    job for job in waiting if not set(job.paths) & set(node.lacks) and self._may_go(job, alive, name)
                ]
                if not fit:
                    break
                # Two jobs of one model at once would compute what they have in common twice.
                busy = {job.model for job in self._running}
                job = min(fit, key=lambda one: one.model in busy)
                waiting.remove(job)
                self._running[job] = name
                self._tried.setdefault(job, []).append(name)
                self._nodes.start(job, name)
        if waiting and not self._running:
            self._give_up(waiting, alive)

    def _may_go(self, job: Job, alive: Mapping[str, Node], name: str) -> bool:
        """Whether a job may be tried on a node: not where it has died, as long as there is another."""
        tried = self._tried.get(job, [])
        able = {other for other, node in alive.items() if node.room and not set(job.paths) & set(node.lacks)}
        return name not in tried or able <= set(tried)

    def _give_up(self, waiting: list[Job], alive: Mapping[str, Node]) -> None:
        """There is no node any more for what waits, or none that has its model."""
        why = "no node is left" if not alive else "no node that is left has room and the model's files"
        self.gathered.lost += [(job, Outcome(None, why)) for job in waiting]
        waiting.clear()

    def _take(self, job: Job, node: str, outcome: Outcome, waiting: list[Job]) -> None:
        del self._running[job]
        if outcome.is_done:
            self.gathered.done += 1
            if outcome.problems:
                self.gathered.troubled.append((job, outcome))
        elif len(self._tried[job]) < TRIES:
            self.gathered.retried += 1
            self._say(plain(f"{job} died on {node} ({outcome}): it goes on elsewhere, from what came home"))
            waiting.insert(0, job)
        else:
            self.gathered.lost.append((job, outcome))

    def _show_progress(self, total: int) -> None:
        now, done = time.monotonic(), self.gathered.done + len(self.gathered.lost)
        if self._show is None and now - self._shown < _LINES_S:
            return
        self._shown, took = now, now - self._began
        left = f", about {duration(took * (total - done) / done)} left" if 0 < done < total else ""
        numbers = plural(self._nodes.merged().new.total(), "number")
        line = f"gather: {done:,} of {plural(total, 'job')} done, {len(self._running):,} running, {numbers} home{left}"
        (self._say if self._show is None else self._show)(plain(line))


def _spread(jobs: Sequence[Job]) -> list[Job]:
    """Jobs in an order in which those of one model are far apart."""
    of = {model: [job for job in jobs if job.model == model] for model in models_of(jobs)}
    most = max(map(len, of.values()), default=0)
    return [some[place] for place in range(most) for some in of.values() if place < len(some)]
