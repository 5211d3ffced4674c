"""The nodes of a Ray cluster: ``circuitcheck gather --ray auto``.

Ray starts processes and carries what they say; which job goes where is decided by ``Dispatch``, and what is finished by the head, an actor on
the machine that gathers.
"""

import importlib.util
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from circuitcheck.cluster.dispatch import Node
from circuitcheck.cluster.gpus import memory_of_gpus
from circuitcheck.cluster.head import Head
from circuitcheck.cluster.jobs import Job, Order, Outcome
from circuitcheck.cluster.node import run
from circuitcheck.cluster.working_directory import missing
from circuitcheck.errors import CircuitError
from circuitcheck.records.exchange.merging import Merged
from circuitcheck.records.files import reason

# How long a node's look at its paths is waited for, in seconds.
_LOOK_S = 120
# Weights, in memory of GPUs: what they need with runs besides.
_ON_GPU = 1.5


@dataclass(frozen=True)
class Needs:
    """What each job asks Ray for: bytes of memory, and GPUs where the cluster has any."""

    memory: int
    gpus: int


class RayNodes:
    """The cluster at an address, from the machine on which ``path`` is the store. Raises ``CircuitError`` where it cannot be reached."""

    def __init__(self, address: str, path: Path, order: Order, jobs: Sequence[Job]):
        self._ray = _connected(address)
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        self._on = NodeAffinitySchedulingStrategy
        here = self._ray.get_runtime_context().get_node_id()
        self._head = self._remote(_Head, here, num_cpus=0, max_concurrency=8).remote(path)
        self._get(self._head.merged.remote(), _LOOK_S)
        self._order = self._ray.put(order)
        self._paths, self._root = order.paths, order.root
        self._looked: dict[str, tuple[tuple[str, ...], int]] = {}
        self._refs: dict[Any, tuple[Job, str]] = {}
        self._weights = max(job.weights for job in jobs)
        self._memory = max(job.memory for job in jobs)
        self.alive()
        self.needs = Needs(self._memory, self._gpus())

    def alive(self) -> Mapping[str, Node]:
        """All nodes that Ray says are alive, each asked once which paths it lacks."""
        there = {one["NodeID"]: one["Resources"] for one in self._ray.nodes() if one["Alive"]}
        looks = {
            name: self._remote(_look, name, num_cpus=0).remote(self._root, self._paths)
            for name in there
            if name not in self._looked
        }
        for name, look in looks.items():
            try:
                self._looked[name] = self._get(look, _LOOK_S)
            except CircuitError:  # it was lost meanwhile, or does not have this circuitcheck
                self._looked[name] = (self._paths, 0)
        return {name: Node(name, self._room(resources), self._looked[name][0]) for name, resources in there.items()}

    def start(self, job: Job, node: str) -> None:
        needs = {"num_cpus": 1, "memory": self.needs.memory, "num_gpus": self.needs.gpus, "max_retries": 0}
        ref = self._remote(_run, node, **needs).remote(self._head, job, self._order, node, self.needs.gpus)
        self._refs[ref] = job, node

    def ended(self, timeout: float) -> list[tuple[Job, str, Outcome]]:
        ready, _ = self._ray.wait(list(self._refs), timeout=timeout)
        found = []
        for ref in ready:
            job, node = self._refs.pop(ref)
            try:
                outcome: Outcome = self._ray.get(ref)
            except self._ray.exceptions.RayTaskError as error:
                outcome = Outcome(None, str(error))
            except self._ray.exceptions.RayError as error:
                outcome = Outcome(None, reason(error))
            found.append((job, node, outcome))
        return found

    def merged(self) -> Merged:
        found: Merged = self._get(self._head.merged.remote(), _LOOK_S)
        return found

    def stop(self) -> None:
        for ref in self._refs:
            self._ray.cancel(ref, force=True)

    def close(self) -> None:
        self._ray.shutdown()

    def _remote(self, what: Any, node: str, **options: Any) -> Any:
        """Something of ours as a task or an actor on one node and no other."""
        return self._ray.remote(what).options(scheduling_strategy=self._on(node_id=node, soft=False), **options)

    def _get(self, ref: Any, timeout: float) -> Any:
        try:
            return self._ray.get(ref, timeout=timeout)
        except self._ray.exceptions.RayTaskError as error:
            raise CircuitError(str(error.cause or error)) from None
        except self._ray.exceptions.RayError as error:
            raise CircuitError(f"Ray: {reason(error)}") from None

    def _gpus(self) -> int:
        """GPUs of one job: none where there are none, otherwise as many of the smallest as the largest model needs."""
        smallest = min((memory for _, memory in self._looked.values() if memory), default=0)
        return -int(-_ON_GPU * self._weights // smallest) if smallest else 0

    def _room(self, resources: Mapping[str, float]) -> int:
        gpus = self.needs.gpus if hasattr(self, "needs") else 0
        room = [resources.get("CPU", 0), resources.get("memory", 0) // self._memory]
        return int(min(room + ([resources.get("GPU", 0) // gpus] if gpus else [])))


class _Head:
    """The head in a process of its own; see ``circuitcheck.cluster.head``."""

    def __init__(self, path: Path):
        self._head = Head(path)

    def known(self, job: Job) -> list[str]:
        return list(self._head.known(job))

    def take(self, job: Job, batch: str, place: str) -> int:
        return self._head.take(job, batch, place)

    def merged(self) -> Merged:
        return self._head.merged()


def _look(root: str, paths: Sequence[str]) -> tuple[tuple[str, ...], int]:
    """The paths that a node lacks, and the memory of its smallest GPU in bytes; 0 without one."""
    return missing(Path(root), paths), min(memory_of_gpus(), default=0)


def _run(head: Any, job: Job, order: Order, node: str, gpus: int) -> Outcome:
    """A job in a Ray task."""
    import ray

    if gpus > 1 and not any(one.startswith("--circuit-device") for one in order.options):
        order = Order(order.root, (*order.options, "--circuit-device=auto"), order.archive, order.paths)

    def known() -> Iterator[str]:
        yield from ray.get(head.known.remote(job))

    def send(batch: str) -> None:
        ray.get(head.take.remote(job, batch, node))

    with tempfile.TemporaryDirectory(prefix=f"circuitcheck-{node[:12]}-", ignore_cleanup_errors=True) as folder:
        return run(job, order, known(), send, Path(folder), {})


def check(address: str) -> None:
    """Raise ``CircuitError`` where Ray is missing, or the address is none that numbers can come home from."""
    if importlib.util.find_spec("ray") is None:
        raise CircuitError("gather --ray needs Ray: pip install 'circuitcheck[ray]' (--local N needs nothing)")
    if "://" in address:
        raise CircuitError(
            f"{address} is a client's address, and numbers come home to a machine of the cluster: gather on one of its machines, with --ray auto"
        )


def _connected(address: str) -> Any:
    """Ray, connected. Raises ``CircuitError`` where no cluster is there."""
    import ray

    try:
        ray.init(address=address, log_to_driver=False, logging_level="ERROR")
    except Exception as error:
        raise CircuitError(
            f"there is no Ray cluster at {address!r} ({reason(error)}): start one with ray start --head, or say --local N"
        ) from None
    return ray
