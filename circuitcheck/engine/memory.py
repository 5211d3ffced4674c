"""What is kept of runs for later claims, within a budget; scratch memory that is used again; how large a batch is."""

from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator
from typing import Protocol, TypeVar, cast

from circuitcheck.engine.on_demand import torch
from circuitcheck.errors import EngineError

# Share of the free memory that a session takes where nothing is said, and of that the share for one batch at work.
_FREE_SHARE = 0.25
_BATCH_SHARE = 0.25
# Multiplications and additions in one batch, and tokens: enough to make what a forward pass costs by itself, and the
# reading of the weights, small beside them.
_WORK = {"cpu": 2e11, "cuda": 4e13}
_TOKENS = 1024


class Kept(Protocol):
    """Something with a size in bytes."""

    @property
    def nbytes(self) -> int: ...


_Item = TypeVar("_Item", bound=Kept)
_Result = TypeVar("_Result")


class Memory:
    """Keeps what was computed, the least recently used going first when it is more than its share of ``budget`` bytes.

    What was made last is kept even where it alone is more.
    """

    def __init__(self, budget: int):
        self.budget = budget
        self._items: OrderedDict[Hashable, Kept] = OrderedDict()
        self._sizes: dict[Hashable, int] = {}

    @property
    def for_kept(self) -> int:
        """Bytes for what is kept of finished runs."""
        return int(self.budget * (1 - _BATCH_SHARE))

    @property
    def for_batch(self) -> int:
        """Bytes for one batch at work."""
        return int(self.budget * _BATCH_SHARE)

    def rows(self, most: int, bytes_per_row: int) -> int:
        """At most so many rows in one batch at work: fewer where each takes so much that they do not fit, one at least."""
        return min(most, self.for_batch // max(1, bytes_per_row) or 1)

    def get(
        self, key: Hashable, make: Callable[[], _Item], enough: Callable[[_Item], bool] = lambda item: True
    ) -> _Item:
        """What is kept under a key, made where it is not there or not ``enough``."""
        kept = cast("_Item | None", self._items.get(key))
        if kept is None or not enough(kept):
            self._items.pop(key, None)
            self._sizes.pop(key, None)
            item = make()
            self._sizes[key] = item.nbytes
            while self._items and sum(self._sizes.values()) > self.for_kept:
                del self._sizes[self._items.popitem(last=False)[0]]
            self._items[key] = item
        self._items.move_to_end(key)
        return cast(_Item, self._items[key])

    def clear(self) -> None:
        self._items.clear()
        self._sizes.clear()


class Scratch:
    """Tensors whose memory is used again by the next batch: fresh pages cost a CPU more than the copies into them."""

    def __init__(self) -> None:
        self._flat: dict[str, torch.Tensor] = {}

    def take(self, name: str, shape: tuple[int, ...], like: torch.Tensor) -> torch.Tensor:
        """An uninitialised tensor, valid until the same name is taken again."""
        size = 1
        for extent in shape:
            size *= extent
        flat = self._flat.get(name)
        if flat is None or flat.numel() < size or flat.dtype != like.dtype or flat.device != like.device:
            flat = self._flat[name] = torch.empty(size, dtype=like.dtype, device=like.device)
        return flat[:size].view(shape)


def default_budget(device: str) -> int:
    """A quarter of the memory that is free on the device now."""
    if device.startswith("cuda"):
        return int(torch.cuda.mem_get_info(device)[0] * _FREE_SHARE)
    import psutil

    return int(psutil.virtual_memory().available * _FREE_SHARE)


def batch_size(rows: int, tokens: int, work_per_row: float, bytes_per_row: float, budget: int, device: str) -> int:
    """Rows of so many tokens in a batch: as many as hide what a pass costs by itself, no more memory than the budget,
    even parts."""
    enough = max(int(_WORK["cuda" if device.startswith("cuda") else "cpu"] // work_per_row), _TOKENS // tokens)
    fit = int(budget // bytes_per_row)
    most = max(1, min(rows, enough, fit))
    return -(-rows // -(-rows // most))


def in_batches(
    rows: torch.Tensor, size: int, run: Callable[[torch.Tensor], _Result]
) -> Iterator[tuple[torch.Tensor, _Result]]:
    """Rows with what running them gave, in batches that are halved where they do not fit into memory."""
    done = 0
    while done < len(rows):
        chosen = rows[done : done + size]
        try:
            found = run(chosen)
        except (RuntimeError, MemoryError) as error:
            if not out_of_memory(error):
                raise
            if len(chosen) == 1:
                raise EngineError(
                    "one prompt alone does not fit into memory: lower --circuit-memory, so that less is kept of "
                    "other runs, or take a smaller --circuit-dtype"
                ) from error
            size = len(chosen) // 2
            continue
        yield chosen, found
        done += len(chosen)


def out_of_memory(error: BaseException) -> bool:
    """Whether an error says that a tensor did not fit."""
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or (
        isinstance(error, RuntimeError) and ("not enough memory" in str(error) or "can't allocate" in str(error))
    )
