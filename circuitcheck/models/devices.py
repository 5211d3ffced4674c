"""The devices of this machine, what runs may take of them, and a model that lies on several."""

import importlib.util
import os
import sys
from typing import Any

from circuitcheck.engine.memory import default_budget
from circuitcheck.engine.on_demand import torch
from circuitcheck.errors import ModelError

# What goes to transformers' device_map as it is.
AUTO = "auto"
# Where Linux has GPUs for PyTorch: NVIDIA's, AMD's, and those of Windows around it.
_GPUS = ("/dev/nvidiactl", "/dev/nvidia0", "/dev/kfd", "/dev/dxg", "/dev/nvhost-gpu", "/dev/nvgpu")
_workers: list[int] = []
# By the name of a dtype, how weights are quantised as they are loaded.
QUANTISED = {"8bit": {"load_in_8bit": True}, "4bit": {"load_in_4bit": True}}


def gpus() -> int:
    """How many GPUs there are."""
    return torch.cuda.device_count() if _may_have_gpus() else 0


def default_device() -> str:
    """Where a model runs of which nothing is said."""
    return "cuda" if _may_have_gpus() and torch.cuda.is_available() else "cpu"


def memory_of(device: str | None) -> int:
    """Bytes that runs on a device may take."""
    return default_budget(default_device() if device in (None, AUTO) else device)


def share_threads(workers: int) -> None:
    """Torch's threads for one of several workers: together they have the cores once, when a model is loaded."""
    _workers[:] = [workers]


def settle_threads() -> None:
    """Share the threads out, where they are to be and were not yet."""
    if _workers:
        torch.set_num_threads(max(1, torch.get_num_threads() // _workers.pop()))


def _may_have_gpus() -> bool:
    """Whether this machine has what PyTorch runs GPUs by, as far as can be told without importing it."""
    return "torch" in sys.modules or not sys.platform.startswith("linux") or any(map(os.path.exists, _GPUS))


def check_auto() -> None:
    """Raise ``ModelError`` where transformers cannot spread a model over devices."""
    if importlib.util.find_spec("accelerate") is None:
        raise ModelError(
            "device='auto' is transformers' device_map, and needs the package accelerate: pip install accelerate, or name a device"
        )


def check_quantised(dtype: str, weights: str) -> None:
    """Raise ``ModelError`` where weights of so many bits cannot be loaded, or not be processed."""
    if importlib.util.find_spec("bitsandbytes") is None:
        raise ModelError(
            f"dtype={dtype!r} is of the package bitsandbytes, which is missing: pip install bitsandbytes, or take dtype='bfloat16'"
        )
    check_auto()
    if weights != "raw":
        raise ModelError(
            f"weights of {dtype} cannot be folded and centred: load them with weights='raw' (--circuit-weights=raw)"
        )


def settled(network: Any) -> str:
    """Where runs of a network that transformers spread begin. Where all of it is on the CPU, nothing was spread."""
    places = [str(place) for place in getattr(network, "hf_device_map", {}).values()]
    if set(places) == {"cpu"}:
        del network.hf_device_map
    if set(places) <= {"cpu"}:
        return str(network.device)
    first = next((place for place in places if place not in ("cpu", "disk")), "cpu")
    return f"cuda:{first}" if first.isdecimal() else first


def check_foldable(network: Any, name: str) -> None:
    """Raise ``ModelError`` for weights that lie outside the devices that run them: they cannot be folded."""
    places = getattr(network, "hf_device_map", None) or {}
    if away := [module for module, place in places.items() if str(place) in ("cpu", "disk")]:
        raise ModelError(
            f"{name} does not fit onto the devices here, so that device='auto' keeps {len(away)} of its {len(places)} parts elsewhere "
            f"({', '.join(away[:2])}{', ...' if len(away) > 2 else ''}), and offloaded weights cannot be folded and centred: load it with "
            "weights='raw' (--circuit-weights=raw), or in a smaller dtype"
        )
