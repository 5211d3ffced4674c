"""Pairs in chunks that run alike: of one token length, differing from one token on, with as many tokens of an answer."""

from collections import defaultdict
from collections.abc import Hashable, Iterable
from dataclasses import dataclass, field
from functools import cached_property
from weakref import WeakKeyDictionary

import torch

from circuitcheck.addresses.sites import Position
from circuitcheck.prompts.alignment import AlignedPair
from circuitcheck.prompts.pairs import Side
from circuitcheck.prompts.tokens import Tokens
from circuitcheck.sampling.samples import Sample


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

    @property
    def read(self) -> int:
        """How many of the last tokens have predictions that are read: the prompt's last, and those of an answer."""
        return 1 + self.pairs[0].forced

    @cached_property
    def alike(self) -> torch.Tensor:
        """The first pair that runs as each one does: a pair's answers and foils may be read in one and the same run. Of shape [pair]."""
        if self.read == 1:
            return torch.arange(len(self.pairs))
        first: dict[Hashable, int] = {}
        runs = [(pair.pair, pair.clean, pair.corrupt, pair.repeat) for pair in self.pairs]
        return torch.tensor([first.setdefault(run, number) for number, run in enumerate(runs)])

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


_known: "WeakKeyDictionary[Sample, dict[int, list[Chunk]]]" = WeakKeyDictionary()


def chunks_of(sample: Sample, most_tokens: int) -> list[Chunk]:
    """All pairs, those that run alike together, at most so many tokens of one side in a chunk (but one pair)."""
    known = _known.setdefault(sample, {})
    if most_tokens not in known:
        alike: dict[tuple[int, int, int], list[int]] = defaultdict(list)
        for row, pair in enumerate(sample.pairs):
            alike[pair.length, _fork(pair), pair.forced].append(row)
        chunks: list[Chunk] = []
        for (length, fork, _), rows in sorted(alike.items(), reverse=True):  # what holds of the longest is seen first
            rows.sort(key=lambda row: sample.pairs[row].clean)  # those that share a beginning come into one chunk
            size = max(1, most_tokens // length)
            for start in range(0, len(rows), size):
                chosen = tuple(rows[start : start + size])
                pairs = tuple(sample.pairs[row] for row in chosen)
                chunks.append(Chunk((sample.identity, len(chunks)), chosen, pairs, fork))
        known[most_tokens] = chunks
    return known[most_tokens]


def _fork(pair: AlignedPair) -> int:
    differ = (i for i, (a, b) in enumerate(zip(pair.clean, pair.corrupt, strict=True)) if a != b)
    return next(differ, pair.length - 1)


def _distinct(prompts: Iterable[Tokens]) -> tuple[list[Tokens], torch.Tensor]:
    places: dict[Tokens, int] = {}
    index = [places.setdefault(prompt, len(places)) for prompt in prompts]
    return list(places), torch.tensor(index)
