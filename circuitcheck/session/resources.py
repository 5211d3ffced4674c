"""What a machine has for the processes of one session: how many there should be, and what each takes of it."""

import os
from collections.abc import Sequence
from pathlib import Path

import pytest

from circuitcheck.bundled import BUNDLED
from circuitcheck.session.models_asked import Asked

# A process with torch and TransformerLens loaded; a model while it is loaded, beside its bridge and runs, as a multiple of its file.
_PROCESS = 2**30
_MODEL = 4


def processes(models: Sequence[Asked], root: Path, device: str | None) -> int | None:
    """How many workers there should be: one a GPU, or as many as have room in memory, at most one a core. None where there is
    no model to count for."""
    if not models:
        return None
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if device is None or device == "cuda":
        from circuitcheck.models.devices import gpus

        if there := gpus():
            return there
    elif device.startswith("cuda:") or device == "auto":
        return 1
    import psutil

    largest = need(max(size(model.source(root)) for model in models))
    return max(1, min(cores, int(psutil.virtual_memory().available // largest)))


def need(weights: int) -> int:
    """Bytes of memory that a process takes that loads a model with so many bytes of weights."""
    return _PROCESS + _MODEL * weights


def size(model: Path | str) -> int:
    """Bytes of a model's weights on disk; 0 where there are none here."""
    path = Path(model)
    if str(model) in BUNDLED:
        path = BUNDLED[str(model)]
    if path.is_file():
        return path.stat().st_size
    if not path.is_dir():
        from huggingface_hub.constants import HF_HUB_CACHE

        path = Path(HF_HUB_CACHE) / f"models--{str(model).replace('/', '--')}" / "blobs"
        return max((file.stat().st_size for file in path.glob("*")), default=0)
    return sum(file.stat().st_size for file in path.glob("*.safetensors"))


def share(config: pytest.Config) -> tuple[int, int]:
    """Which of how many workers this process is; (0, 1) where it is the only one."""
    told = getattr(config, "workerinput", None)
    return (0, 1) if told is None else (int(told["workerid"].removeprefix("gw")), int(told["workercount"]))


def memory(device: str | None, workers: int) -> int | None:
    """Bytes for the runs of one of several workers; None where it is the only one, and takes what it finds."""
    if workers == 1:
        return None
    from circuitcheck.models.devices import memory_of

    return memory_of(device) // workers


def settle_threads(workers: int) -> None:
    """Torch's threads for one of several workers: together they have the cores once."""
    if workers > 1 and "OMP_NUM_THREADS" not in os.environ:
        from circuitcheck.models.devices import share_threads

        share_threads(workers)


def device_of(given: str | None, worker: int, workers: int) -> str | None:
    """A device for one of several workers, where they have GPUs to share out."""
    if workers == 1 or given not in (None, "cuda"):
        return given
    from circuitcheck.models.devices import gpus

    there = gpus()
    return f"cuda:{worker % there}" if there > 1 else given
