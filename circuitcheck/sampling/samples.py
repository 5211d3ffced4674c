"""The pairs that a number is about."""

import hashlib
from dataclasses import dataclass, field
from functools import cached_property

from circuitcheck.prompts.aligned_pairs import AlignedPair
from circuitcheck.prompts.pairs import Side


@dataclass(frozen=True, eq=False)
class Sample:
    """The pairs that a number is about. ``whole`` says that they are the whole population; ``part_of`` is the whole population
    where they are a part of one that is taken in whole. ``left_out``: the part of the reference set that is left out of the
    means which their numbers are made by (see ``Reference.without``); None, as nearly always, for all of it in."""

    pairs: tuple[AlignedPair, ...]
    whole: bool
    population: str = ""
    part_of: "Sample | None" = field(default=None, repr=False)
    left_out: int | None = None

    @property
    def taken(self) -> "Sample | None":
        """The whole population, where it is taken in whole."""
        return self if self.whole else self.part_of

    @property
    def sides(self) -> tuple[Side, ...]:
        """The sides that its pairs have."""
        return ("clean", "corrupt") if self.pairs[0].pair.is_contrast else ("clean",)

    def first(self, n: int) -> "Sample":
        """The first ``n`` of the pairs; itself where there are no more."""
        return (
            self
            if len(self.pairs) <= n
            else Sample(self.pairs[:n], whole=False, part_of=self.taken, left_out=self.left_out)
        )

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sample) and self._content == other._content

    def __hash__(self) -> int:
        return hash(self.identity)

    @property
    def _content(self) -> "tuple[str, bool, str, Sample | None, int | None]":
        return self.identity, self.whole, self.population, self.part_of, self.left_out

    @cached_property
    def identity(self) -> str:
        weights = [pair.pair.weight for pair in self.pairs]
        counted = repr(weights).encode() if any(weight != 1 for weight in weights) else b""
        return hashlib.blake2b(b"".join(pair.key for pair in self.pairs) + counted, digest_size=8).hexdigest()
