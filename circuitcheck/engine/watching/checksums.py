"""The content of tensors: integer sums over the rows and columns of their bytes, which no change that is not made to leaves.

No version counter tells that ``weight.data[8] = 0`` or ``weight.detach().numpy()[:] = 0`` wrote to a weight: only its content does.
"""

import zlib
from collections.abc import Hashable
from typing import Any

import numpy as np

from circuitcheck.engine.on_demand import torch

Integers = np.ndarray[Any, np.dtype[np.int64]]

# A prime, so that rows of a matrix that change places do not fall into the same rows here.
_COLUMNS, _ROWS = 1021, 32
# Read by one thread: waking others takes longer.
_SMALL_BYTES = 2**20
_SAMPLED = 4096


def checksum(tensor: torch.Tensor) -> Hashable:
    """Of a tensor's dtype, shape and every byte.

    >>> checksum(weight) == checksum(weight.clone())
    True
    """
    data = _flat_bytes(tensor)
    meta = tensor.dtype, tuple(tensor.shape), str(tensor.device)
    if data.device.type == "cpu" and data.numel() <= _SMALL_BYTES:
        return *meta, zlib.crc32(data.numpy().data)
    row = 8 * _COLUMNS
    whole = data.numel() // row * row
    table, rest = data[:whole].view(torch.int64).view(-1, _COLUMNS), data[whole:].cpu().numpy().tobytes()
    if data.device.type != "cpu":
        return *meta, zlib.crc32(torch.cat([table.sum(0), table.sum(1)]).cpu().numpy().tobytes() + rest)
    columns, rows = _sums(table.numpy())
    return *meta, zlib.crc32(columns.tobytes() + rows.tobytes() + rest)


def _sums(table: "Integers") -> "tuple[Integers, Integers]":
    """The sums of the columns and of the rows; several threads at it would wait for each other."""
    columns, rows = np.zeros(_COLUMNS, np.int64), np.empty(len(table), np.int64)
    for start in range(0, len(table), _ROWS):  # each few rows are summed both ways while they are in the cache
        some = table[start : start + _ROWS]
        columns += np.add.reduce(some, 0)
        rows[start : start + _ROWS] = np.add.reduce(some, 1)
    return columns, rows


def sample(tensor: torch.Tensor) -> Hashable:
    """The same of at most 4,096 entries that are spread over it, with where it lies and how often PyTorch saw it written."""
    flat = tensor.detach().flatten() if tensor.is_contiguous() else tensor.detach().contiguous().flatten()
    version = 0 if tensor.is_inference() else tensor._version
    return tensor.data_ptr(), version, checksum(flat[:: max(1, flat.numel() // _SAMPLED)].contiguous())


def _flat_bytes(tensor: torch.Tensor) -> torch.Tensor:
    data = tensor.detach()
    if data.layout != torch.strided:
        data = data.to_dense()
    if data.is_complex():
        data = torch.view_as_real(data)
    # A slice's data begins anywhere: eight bytes are read together, from an address that is a multiple of eight.
    flat = data.contiguous().flatten().view(torch.uint8)
    return flat if flat.data_ptr() % 8 == 0 else flat.clone()
