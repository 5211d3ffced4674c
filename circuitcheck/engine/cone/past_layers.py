"""A transformers cache that hands earlier tokens' keys and values to one run. Importing it imports transformers."""

from typing import Any

from transformers.cache_utils import Cache, DynamicLayer

from circuitcheck.engine.cone.forks import Fork
from circuitcheck.engine.memory import Scratch
from circuitcheck.engine.on_demand import torch


def cache_of(fork: Fork, n_layers: int, scratch: Scratch) -> Any:
    """The cache of one run that is taken up somewhere."""
    return Cache(layers=[_PastLayer(number, fork, scratch) for number in range(n_layers)])


class _PastLayer(DynamicLayer):  # type: ignore[misc]  # transformers is not typed
    """The cache of one layer for one run: what is past is copied in front of the new keys and values."""

    def __init__(self, number: int, fork: Fork, scratch: Scratch):
        super().__init__()
        self.number, self.fork, self.scratch = number, fork, scratch

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *args: Any, **kwargs: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        if self.fork.kept is not None:
            self.fork.kept[self.number] = key_states.clone(), value_states.clone()
        if not self.fork.past.length:
            return key_states, value_states
        keys = self._behind([part.keys[self.number] for part in self.fork.past.parts], key_states, "keys")
        values = self._behind([part.values[self.number] for part in self.fork.past.parts], value_states, "values")
        return keys, values

    def _behind(self, past: list[torch.Tensor], new: torch.Tensor, name: str) -> torch.Tensor:
        rows, heads, tokens, width = new.shape
        length = self.fork.past.length
        whole = self.scratch.take(name, (rows, heads, length + tokens, width), new)
        start = 0
        for part, kept in zip(self.fork.past.parts, past, strict=True):
            kept = kept[:, :, : part.length]
            there = whole[:, :, start : start + part.length]
            if kept.shape[0] == 1:
                there.copy_(kept.expand_as(there))
            else:
                torch.index_select(kept, 0, part.index.to(kept.device), out=there)
            start += part.length
        whole[:, :, length:] = new
        return whole

    def get_seq_length(self) -> int:
        return self.fork.past.length
