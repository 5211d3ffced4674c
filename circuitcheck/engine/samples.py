"""The pairs that a number is about, in chunks that run alike: of one token length, and differing from one token on."""

import hashlib
from collections import defaultdict
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import torch

from circuitcheck.alignment import AlignedPair, Rejections
from circuitcheck.methods import Side
from circuitcheck.sites import Position

Tokens = tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Chunk:
    """Pairs of one token length that begin to differ at the token ``fork``: until then both runs of a pair are one.

    ``rows`` are the pairs' places in the sample; ``key`` names the chunk among all chunks of all samples.
    """

    key: tuple[str, int]
    rows: tuple[int, ...]
    pairs: tuple[AlignedPair, ...]
    fork: int
    _masks: dict[Position, torch.Tensor] = field(default_factory=dict, repr=False)

    @property
    def length(self) -> int:
        return self.pairs[0].length

    @cached_property
    def stems(self) -> tuple[list[Tokens], torch.Tensor]:
        """The distinct beginnings before the fork, and which of them each pair has, of shape [pair]."""
        return _distinct(pair.clean[: self.fork] for pair in self.pairs)

    def tails(self, side: Side) -> tuple[list[Tokens], torch.Tensor]:
        """The distinct prompts of one side, which go on from their stems, and which of them each pair has."""
        return self._tails[side]

    @cached_property
    def _tails(self) -> dict[Side, tuple[list[Tokens], torch.Tensor]]:
        both: tuple[Side, ...] = ("clean", "corrupt")
        return {side: _distinct(pair.tokens(side) for pair in self.pairs) for side in both}

    def tokens(self, side: Side) -> torch.Tensor:
        """Token ids of shape [pair, position]."""
        return self._tokens[side]

    @cached_property
    def _tokens(self) -> dict[Side, torch.Tensor]:
        both: tuple[Side, ...] = ("clean", "corrupt")
        return {side: torch.tensor([pair.tokens(side) for pair in self.pairs]) for side in both}

    def mask(self, position: Position) -> torch.Tensor:
        """True at the addressed positions; shape [pair, position]."""
        if position not in self._masks:
            patterns: dict[Hashable, torch.Tensor] = {}
            for pair in self.pairs:
                if pair.pattern not in patterns:
                    row = patterns[pair.pattern] = torch.zeros(self.length, dtype=torch.bool)
                    row[pair.positions(position)] = True
            self._masks[position] = torch.stack([patterns[pair.pattern] for pair in self.pairs])
        return self._masks[position]


@dataclass(frozen=True)
class Sample:
    """The pairs that a number is about. ``whole`` says that they are the whole population; ``part_of`` is the whole population
    where they are a part of one that is taken in whole."""

    pairs: tuple[AlignedPair, ...]
    whole: bool
    population: str = ""
    rejections: Rejections = field(default_factory=Rejections, compare=False)
    part_of: "Sample | None" = field(default=None, repr=False)
    _chunks: dict[int, list[Chunk]] = field(default_factory=dict, compare=False, repr=False)

    @property
    def taken(self) -> "Sample | None":
        """The whole population, where it is taken in whole."""
        return self if self.whole else self.part_of

    def first(self, n: int) -> "Sample":
        """The first ``n`` of the pairs; itself where there are no more."""
        return self if len(self.pairs) <= n else Sample(self.pairs[:n], whole=False, part_of=self.taken)

    def __hash__(self) -> int:
        return hash(self.identity)

    @cached_property
    def identity(self) -> str:
        return hashlib.blake2b(b"".join(pair.key for pair in self.pairs), digest_size=8).hexdigest()

    def chunks(self, most_tokens: int) -> list[Chunk]:
        """All pairs, those that run alike together, at most so many tokens of one side in a chunk (but one pair)."""
        if most_tokens not in self._chunks:
            alike: dict[tuple[int, int], list[int]] = defaultdict(list)
            for row, pair in enumerate(self.pairs):
                alike[pair.length, _fork(pair)].append(row)
            chunks: list[Chunk] = []
            for (length, fork), rows in sorted(alike.items(), reverse=True):  # what holds of the longest is seen first
                rows.sort(key=lambda row: self.pairs[row].clean)  # those that share a beginning come into one chunk
                size = max(1, most_tokens // length)
                for start in range(0, len(rows), size):
                    chosen = tuple(rows[start : start + size])
                    pairs = tuple(self.pairs[row] for row in chosen)
                    chunks.append(Chunk((self.identity, len(chunks)), chosen, pairs, fork))
            self._chunks[most_tokens] = chunks
        return self._chunks[most_tokens]


def other_side(side: Side) -> Side:
    return "corrupt" if side == "clean" else "clean"


def sides(of: str) -> Sequence[Side]:
    return ("clean", "corrupt") if of == "both" else ("clean",) if of == "clean" else ("corrupt",)


def _fork(pair: AlignedPair) -> int:
    return next(i for i, (a, b) in enumerate(zip(pair.clean, pair.corrupt, strict=True)) if a != b)


def _distinct(prompts: Iterable[Tokens]) -> tuple[list[Tokens], torch.Tensor]:
    places: dict[Tokens, int] = {}
    index = [places.setdefault(prompt, len(places)) for prompt in prompts]
    return list(places), torch.tensor(index)
