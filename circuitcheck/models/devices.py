"""The devices of this machine, and what runs may take of them."""

import torch

from circuitcheck.engine.memory import default_budget


def gpus() -> int:
    """How many GPUs there are."""
    return torch.cuda.device_count()


def default_device() -> str:
    """Where a model runs of which nothing is said."""
    return "cuda" if torch.cuda.is_available() else "cpu"


def memory_of(device: str | None) -> int:
    """Bytes that runs on a device may take."""
    return default_budget(device or default_device())


def share_threads(workers: int) -> None:
    """Torch's threads for one of several workers: together they have the cores once."""
    torch.set_num_threads(max(1, torch.get_num_threads() // workers))
