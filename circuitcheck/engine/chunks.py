"""Pairs in chunks that run alike: of one token length on each side, differing from one token on, with as many tokens of an answer."""

from collections import defaultdict
from collections.abc import Hashable, Iterable
from dataclasses import dataclass, field
from functools import cached_property
from weakref import WeakKeyDictionary

from circuitcheck.addresses.sites import Position
from circuitcheck.engine.on_demand import torch
from circuitcheck.prompts.aligned_pairs import AlignedPair
from circuitcheck.prompts.pairs import Side
from circuitcheck.prompts.tokens import Tokens
from circuitcheck.sampling.samples import Sample
from circuitcheck.texts import hashed


@dataclass(frozen=True, eq=False)
class Chunk:
    """Pairs whose clean prompts, and whose corrupted ones, are of one token length, and that begin to differ at the token ``fork``:
    until then both runs of a pair are one.

    ``rows`` are the pairs' places in the sample; ``key`` names the chunk among all chunks of all samples. All of the pairs
    correspond token by token (``is_aligned``), or none does.
    """

    key: tuple[str, int]
    rows: tuple[int, ...]
    pairs: tuple[AlignedPair, ...]
    fork: int
    _masks: dict[tuple[Position, Side], torch.Tensor] = field(default_factory=dict, repr=False)
    _counterparts: dict[tuple[Position, Side], torch.Tensor] = field(default_factory=dict, repr=False)

    @property
    def length(self) -> int:
        """The tokens of the longer prompts."""
        return self.pairs[0].length

    def length_of(self, side: Side) -> int:
        """The tokens of one side's prompts."""
        return len(self.pairs[0].tokens(side))

    def end_of(self, side: Side) -> int:
        """The place of the token whose prediction is read, in one side's prompts."""
        return self.pairs[0].end(side)

    @property
    def lengths(self) -> tuple[int, int]:
        """Those of the clean and of the corrupted prompts."""
        return self.length_of("clean"), self.length_of("corrupt")

    @property
    def is_aligned(self) -> bool:
        return self.pairs[0].is_aligned

    @property
    def read(self) -> int:
        """How many of the last tokens have predictions that are read: the prompt's last, and those of an answer."""
        return 1 + self.pairs[0].forced

    @cached_property
    def alike(self) -> torch.Tensor:
        """The first pair that runs as each one does: a pair's answers and foils may be read in one and the same run. Of shape [pair]."""
        first: dict[Hashable, int] = {}
        runs = [(id(pair.pair), pair.clean, pair.corrupt, pair.repeat) for pair in self.pairs]
        return torch.tensor([first.setdefault(run, number) for number, run in enumerate(runs)])

    @cached_property
    def prompts(self) -> bytes:
        """16 bytes that stand for its distinct prompts, on which alone its unchanged runs depend, whatever is read of them."""
        both: tuple[Side, ...] = ("clean", "corrupt")
        return hashed(repr((self.fork, self.stems[0], *(self.tails(side)[0] for side in both))))

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

    def mask(self, position: Position, side: Side) -> torch.Tensor:
        """True at the addressed positions of one side's prompts; shape [pair, position]."""
        key: tuple[Position, Side] = (position, "clean" if self.is_aligned else side)
        if key not in self._masks:
            patterns: dict[Hashable, torch.Tensor] = {}
            for pair in self.pairs:
                if (pattern := pair.pattern(side)) not in patterns:
                    row = patterns[pattern] = torch.zeros(self.length_of(side), dtype=torch.bool)
                    row[pair.positions(position, side)] = True
            self._masks[key] = torch.stack([patterns[pair.pattern(side)] for pair in self.pairs])
        return self._masks[key]

    def counterparts(self, position: Position, side: Side) -> torch.Tensor:
        """For each token of one side's prompts the place of the one that corresponds to it in the other prompt, -1 for those that
        are not addressed; shape [pair, position]. Raises ``PromptError`` where one that is has no counterpart."""
        if (position, side) not in self._counterparts:
            found = torch.full((len(self.pairs), self.length_of(side)), -1)
            for row, pair in zip(found, self.pairs, strict=True):
                clean, corrupt = map(torch.tensor, pair.counterparts(position))
                here, there = (clean, corrupt) if side == "clean" else (corrupt, clean)
                row[here] = there
            self._counterparts[position, side] = found
        return self._counterparts[position, side]


_known: "WeakKeyDictionary[Sample, dict[int, list[Chunk]]]" = WeakKeyDictionary()


def chunks_of(sample: Sample, most_tokens: int) -> list[Chunk]:
    """All pairs, those that run alike together, at most so many tokens of one side in a chunk (but one pair)."""
    known = _known.setdefault(sample, {})
    if most_tokens not in known:
        alike: dict[tuple[int, int, int, bool, int, int], list[int]] = defaultdict(list)
        for row, pair in enumerate(sample.pairs):
            lengths = len(pair.clean), len(pair.corrupt)
            alike[pair.length, pair.fork, pair.forced, pair.is_aligned, *lengths].append(row)
        chunks: list[Chunk] = []
        for (length, fork, *_), rows in sorted(alike.items(), reverse=True):  # what holds of the longest is seen first
            rows.sort(key=lambda row: sample.pairs[row].clean)  # those that share a beginning come into one chunk
            size = max(1, most_tokens // length)
            for start in range(0, len(rows), size):
                chosen = tuple(rows[start : start + size])
                pairs = tuple(sample.pairs[row] for row in chosen)
                chunks.append(Chunk((sample.identity, len(chunks)), chosen, pairs, fork))
        known[most_tokens] = chunks
    return known[most_tokens]


def _distinct(prompts: Iterable[Tokens]) -> tuple[list[Tokens], torch.Tensor]:
    places: dict[Tokens, int] = {}
    index = [places.setdefault(prompt, len(places)) for prompt in prompts]
    return list(places), torch.tensor(index)
