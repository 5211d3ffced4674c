"""How a model is asked for: what is made of its files, and where it runs.

how = how_of(device=None, dtype="float32", weights="processed", bos="auto")
"""

from dataclasses import dataclass
from typing import Any, Literal

from circuitcheck.engine.on_demand import torch
from circuitcheck.errors import ModelError
from circuitcheck.models.bos import Bos
from circuitcheck.models.devices import AUTO, QUANTISED, check_auto, check_quantised, default_device

Weights = Literal["processed", "raw"]
_DTYPES = ("float32", "float64", "bfloat16", "float16")


@dataclass(frozen=True)
class How:
    """How a model is asked for; a ``dtype`` by its name."""

    weights: Weights
    bos: Bos
    device: str
    dtype: str

    @property
    def place(self) -> dict[str, Any]:
        """As transformers takes it."""
        return {"device": self.device, "dtype": self.dtype if self.dtype in QUANTISED else getattr(torch, self.dtype)}


def how_of(device: str | None, dtype: str, weights: Weights, bos: Bos) -> How:
    """A device and a dtype by their names; raises ``ModelError`` for what is none here."""
    if dtype not in (*_DTYPES, *QUANTISED):
        raise ModelError(f"a dtype is one of {', '.join((*_DTYPES, *QUANTISED))}, not {dtype!r}")
    if dtype in QUANTISED:
        check_quantised(dtype, weights)
        if device not in (None, AUTO):
            raise ModelError(f"weights of {dtype} lie where transformers puts them: device='auto', not {device!r}")
        return How(weights, bos, AUTO, dtype)
    if device == AUTO:
        check_auto()
        return How(weights, bos, AUTO, dtype)
    device = device or default_device()
    try:
        _ = device == "cpu" or torch.empty(0, device=device)
    except Exception as error:
        raise ModelError(
            f"there is no device {device!r} here ({str(error).splitlines()[0]}); 'cpu' always is"
        ) from None
    return How(weights, bos, device, dtype)
