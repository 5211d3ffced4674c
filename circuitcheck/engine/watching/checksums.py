"""The content of tensors: integer sums over the rows and columns of their bytes, which no change that is not made to leaves.

No version counter tells that ``weight.data[8] = 0`` or ``weight.detach().numpy()[:] = 0`` wrote to a weight: only its content does.
"""

import zlib
from collections.abc import Hashable

import torch

# A prime, so that rows of a matrix that change places do not fall into the same rows here.
_COLUMNS, _ROWS = 1021, 128
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
        return *meta, zlib.crc32(data.numpy().tobytes())
    row = 8 * _COLUMNS
    whole = data.numel() // row * row
    table = data[:whole].view(torch.int64).view(-1, _COLUMNS)
    columns, rows = torch.zeros_like(table[0]), []
    for some in torch.split(table, _ROWS):  # each part is summed both ways while it is in the cache
        columns += some.sum(0)
        rows.append(some.sum(1))
    sums = torch.cat([columns, *rows, data[whole:].to(torch.int64)])
    return *meta, zlib.crc32(sums.cpu().numpy().tobytes())


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
