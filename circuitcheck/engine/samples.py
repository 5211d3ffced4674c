"""Aligned pairs as batches of token tensors: pairs of one length together, so that nothing is padded."""

import hashlib
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from circuitcheck.alignment import AlignedPair, Rejections
from circuitcheck.methods import Side

if TYPE_CHECKING:
    import torch

# A batch's logits hold at most so many numbers, and a batch at most so many pairs.
_LOGITS = 2**26
_PAIRS = 256


@dataclass(frozen=True)
class Batch:
    """Pairs of one token length. ``rows`` are their places in the sample."""

    rows: tuple[int, ...]
    pairs: tuple[AlignedPair, ...]

    @property
    def length(self) -> int:
        return self.pairs[0].length

    def tokens(self, side: Side) -> "torch.Tensor":
        """Token ids of shape [pair, position]."""
        import torch

        return torch.tensor([pair.tokens(side) for pair in self.pairs])


@dataclass(frozen=True)
class Sample:
    """The pairs that a number is about. ``whole`` says that they are the whole population."""

    pairs: tuple[AlignedPair, ...]
    whole: bool
    population: str = ""
    rejections: Rejections = field(default_factory=Rejections, compare=False)

    @cached_property
    def identity(self) -> str:
        content = repr(
            [
                (pair.clean, pair.corrupt, pair.answer, pair.foil, pair.segments, pair.slots, pair.pair.template)
                for pair in self.pairs
            ]
        )
        return hashlib.sha256(content.encode()).hexdigest()[:16]

    def batches(self, vocabulary: int) -> Iterator[Batch]:
        by_length: dict[int, list[int]] = defaultdict(list)
        for row, pair in enumerate(self.pairs):
            by_length[pair.length].append(row)
        for length, rows in sorted(by_length.items()):
            size = max(1, min(_PAIRS, _LOGITS // (length * vocabulary)))
            for start in range(0, len(rows), size):
                chosen = rows[start : start + size]
                yield Batch(tuple(chosen), tuple(self.pairs[row] for row in chosen))


def other_side(side: Side) -> Side:
    return "corrupt" if side == "clean" else "clean"


def sides(of: str) -> Sequence[Side]:
    return ("clean", "corrupt") if of == "both" else ("clean",) if of == "clean" else ("corrupt",)
