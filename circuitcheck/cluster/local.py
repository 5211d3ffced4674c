"""Processes of this machine as nodes: ``circuitcheck gather --local 4``."""

import os
import queue
import tempfile
import threading
from collections.abc import Mapping
from pathlib import Path

from circuitcheck.cluster.dispatch import Node
from circuitcheck.cluster.gpus import memory_of_gpus
from circuitcheck.cluster.head import Head
from circuitcheck.cluster.jobs import Job, Order, Outcome
from circuitcheck.cluster.node import run
from circuitcheck.records.exchange.merging import Merged


class LocalNodes:
    """So many processes, each with a store of its own for each of its jobs; they have cores and GPUs together once."""

    def __init__(self, head: Head, order: Order, processes: int):
        self._head, self._order = head, order
        self._nodes = {f"process {place + 1}": Node(f"process {place + 1}", 1) for place in range(processes)}
        self._ended: queue.Queue[tuple[Job, str, Outcome | BaseException]] = queue.Queue()
        self._stopped = threading.Event()
        self._threads: list[threading.Thread] = []
        self._gpus = len(memory_of_gpus())

    def alive(self) -> Mapping[str, Node]:
        return self._nodes

    def start(self, job: Job, node: str) -> None:
        thread = threading.Thread(target=self._work, args=(job, node), daemon=True)
        self._threads.append(thread)
        thread.start()

    def ended(self, timeout: float) -> list[tuple[Job, str, Outcome]]:
        found = []
        try:
            found.append(self._ended.get(timeout=timeout))
            while True:
                found.append(self._ended.get_nowait())
        except queue.Empty:
            pass
        told = []
        for job, node, outcome in found:
            if isinstance(outcome, BaseException):
                raise outcome
            told.append((job, node, outcome))
        return told

    def merged(self) -> Merged:
        return self._head.merged()

    def stop(self) -> None:
        self._stopped.set()
        for thread in self._threads:
            thread.join()

    def _work(self, job: Job, node: str) -> None:
        try:
            with tempfile.TemporaryDirectory(prefix="circuitcheck-job-", ignore_cleanup_errors=True) as folder:
                outcome: Outcome | BaseException = run(
                    job,
                    self._order,
                    self._head.known(job),
                    lambda batch: self._head.take(job, batch, node),
                    Path(folder),
                    self._environment(node),
                    self._stopped.is_set,
                )
        except BaseException as error:  # told where jobs are waited for
            outcome = error
        self._ended.put((job, node, outcome))

    def _environment(self, node: str) -> dict[str, str]:
        found = {}
        place = list(self._nodes).index(node)
        if "OMP_NUM_THREADS" not in os.environ:
            found["OMP_NUM_THREADS"] = str(max(1, (os.cpu_count() or 1) // len(self._nodes)))
        if self._gpus > 1 and "CUDA_VISIBLE_DEVICES" not in os.environ:
            found["CUDA_VISIBLE_DEVICES"] = str(place % self._gpus)
        return found
