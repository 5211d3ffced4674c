"""PyTorch's own settings that a forward pass depends on."""

import os
import sys
from collections.abc import Callable, Hashable
from typing import Any

from circuitcheck.engine.on_demand import torch

# By which PyTorch begins with another precision.
_OVERRIDE = "TORCH_ALLOW_TF32_CUBLAS_OVERRIDE"
PRECISION = "the precision of matrix products, or the default dtype"


def settings_now(device: str) -> dict[str, Hashable]:
    """Each by what it is called in words: autocast, hooks on all modules, modes, precision."""
    from torch.overrides import _get_current_function_mode_stack
    from torch.utils._device import DeviceContext

    kind = torch.device(device).type
    autocast = str(torch.get_autocast_dtype(kind)) if torch.is_autocast_enabled(kind) else ""
    hooks = [
        id(hook)
        for name, table in sorted(vars(torch.nn.modules.module).items())
        if name.startswith("_global_forward") and name.endswith("_hooks")
        for hook in table.values()
    ]
    # A default device is such a mode, too, and moves nothing that is there.
    modes = [
        id(mode)
        for mode in _get_current_function_mode_stack()  # type: ignore[no-untyped-call]
        if not isinstance(mode, DeviceContext)
    ]
    return {
        "torch.autocast": autocast,
        "PyTorch's hooks on all modules": tuple(hooks),
        "a torch function or dispatch mode": (*modes, *[None] * torch._C._len_torch_dispatch_stack()),
        PRECISION: precision(),
    }


def precision() -> str:
    """How PyTorch rounds, where that is not its standard; empty where it is, and as long as nobody has imported it.

    >>> torch.set_float32_matmul_precision("medium"); precision()
    'float32 matmul medium, mkldnn matmul bf16, cuda matmul tf32'
    """
    if "torch" not in sys.modules and _OVERRIDE not in os.environ:
        return ""
    matmul, mkldnn = torch.backends.cuda.matmul, torch.backends.mkldnn
    found = {
        "float32 matmul": (_read(torch.get_float32_matmul_precision), "highest"),
        "mkldnn matmul": (_fp32_precision(getattr(mkldnn, "matmul", None)), "none"),
        "cuda matmul": (_fp32_precision(matmul), "none"),
        "bf16 sums": (matmul.allow_bf16_reduced_precision_reduction, True),
        "fp16 sums": (matmul.allow_fp16_reduced_precision_reduction, True),
        "mkldnn": (bool(mkldnn.enabled), True),
        "default dtype": (str(torch.get_default_dtype()), "torch.float32"),
    }
    return ", ".join(f"{name} {now}" for name, (now, standard) in found.items() if now != standard)


def _fp32_precision(backend: Any) -> str:
    """Of a backend; "ieee", which is set, and "none", which is not, are the same."""
    set_to = str(_read(lambda: getattr(backend, "fp32_precision", "none")))
    return "none" if set_to == "ieee" else set_to


def _read(setting: Callable[[], Any]) -> Any:
    """A setting; where PyTorch's older and newer ways of setting it were mixed it cannot be read, and is no standard."""
    try:
        return setting()
    except RuntimeError:
        return "mixed"
