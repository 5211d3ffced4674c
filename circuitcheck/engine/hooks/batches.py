"""Rows that are run together, with what is written in each."""

from dataclasses import dataclass, field

from circuitcheck.engine.chunks import Chunk
from circuitcheck.engine.hooks.hookpoints import Entry
from circuitcheck.engine.hooks.writes import Hold, Hook, Write
from circuitcheck.engine.on_demand import torch
from circuitcheck.prompts.pairs import Side


@dataclass(frozen=True)
class Batch:
    """Rows to be run: the pairs ``which`` of a chunk, one side of them, from the token ``start`` on, with ``writes`` and
    what is held."""

    chunk: Chunk
    side: Side
    which: torch.Tensor
    start: int
    entry: Entry
    writes: list[Write]
    vocabulary: torch.Tensor | None
    holds: list[Hold] = field(default_factory=list)

    @property
    def length(self) -> int:
        """The tokens of each row's prompt."""
        return self.chunk.length_of(self.side)

    def hooks(self) -> list[Hook]:
        holds = [hook for hold in self.holds for hook in hold.hooks()]
        return holds + [hook for write in self.writes for hook in write.hooks()]

    @property
    def bytes_per_row(self) -> int:
        """What one row takes beside what blocks need: the features that are written in it."""
        return sum(write.bytes_per_row for write in self.writes)

    def silent(self) -> list[str]:
        """The hook points that were to be written at, or held, and did not fire."""
        holds = [hold.hook for hold in self.holds if not hold.fired]
        return holds + [write.hook for write in self.writes if not write.fired]
