"""The tensors of dictionaries' files, read one by one: safetensors and npz, no pickles."""

import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from circuitcheck.engine.on_demand import torch
from circuitcheck.errors import DictionaryMissing, ModelError
from circuitcheck.records.files import reason

CONFIG, WEIGHTS, PARAMETERS, SCALER = "cfg.json", "sae_weights.safetensors", "params.npz", "activation_scaler.json"
_PICKLES = (".pt", ".pth", ".pkl", ".pickle", ".bin", ".ckpt", ".npy")


def files_of(path: Path) -> dict[str, Path]:
    """The files of a dictionary: a SAELens folder's, or Gemma Scope's one. Raises ``ModelError`` for what is none."""
    if path.suffix in _PICKLES:
        raise ModelError(
            f"{path} may be a pickle, which can run any code: dictionaries are read from {WEIGHTS} with {CONFIG}, or from {PARAMETERS}"
        )
    if path.is_file():
        if path.suffix != ".npz":
            raise ModelError(
                f"{path} is no dictionary: give the folder that holds {CONFIG} and {WEIGHTS}, or {PARAMETERS}"
            )
        return {PARAMETERS: path}
    if not path.is_dir():
        raise DictionaryMissing(str(path))
    found = {name: path / name for name in (CONFIG, WEIGHTS, SCALER) if (path / name).is_file()}
    if CONFIG in found and WEIGHTS in found:
        return found
    if (path / PARAMETERS).is_file() and not found:
        return {PARAMETERS: path / PARAMETERS}
    missing = WEIGHTS if CONFIG in found else CONFIG
    others = sorted(one.name for one in path.iterdir() if one.suffix in _PICKLES)
    advice = f" ({', '.join(others)} may be pickles, which can run any code: save it as safetensors)" if others else ""
    raise ModelError(f"the dictionary's folder {path} has no {missing}{advice}")


def tensors_of(files: dict[str, Path], device: str) -> dict[str, torch.Tensor]:
    """The tensors by name, on a device, in single precision where they are in half. Each is there once."""
    read = _of_npz(files[PARAMETERS]) if PARAMETERS in files else _of_safetensors(files[WEIGHTS])
    return {name: _usable(name, tensor).to(device) for name, tensor in read}


def _of_safetensors(path: Path) -> Iterator[tuple[str, torch.Tensor]]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            names = file.keys()  # it is no mapping
            for name in names:
                yield name, file.get_tensor(name)
    except (SafetensorError, OSError) as error:
        raise ModelError(f"{path} cannot be read as safetensors: {reason(error)}") from error


def _of_npz(path: Path) -> Iterator[tuple[str, torch.Tensor]]:
    """Names as SAELens has them. An array of objects would be a pickle, and is not read."""
    try:
        with np.load(path, allow_pickle=False) as arrays:
            if isinstance(arrays, np.ndarray):
                raise ValueError("it is one array")
            for name in arrays.files:
                yield f"W_{name[2:]}" if name.startswith("w_") else name, torch.from_numpy(arrays[name])
    except (ValueError, TypeError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise ModelError(f"{path} cannot be read as npz of numbers: {reason(error)}") from error


def _usable(name: str, tensor: Any) -> torch.Tensor:
    if not tensor.is_floating_point():
        raise ModelError(
            f"{name} of the dictionary holds {str(tensor.dtype).removeprefix('torch.')}, not floating point numbers"
        )
    if not bool(tensor.isfinite().all()):
        raise ModelError(f"{name} of the dictionary holds NaN or infinite numbers")
    usable: torch.Tensor = tensor if tensor.dtype.itemsize > 2 else tensor.float()
    return usable
