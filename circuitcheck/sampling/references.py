"""The prompts that an ablation's values come from: a reference set for means, other prompts (donors) for resampling.

Reference activations are grouped by template and aligned by token role: a token's role is its segment and its distance
to that segment's end (at ``@{slot}.first`` and what is counted from it, to its beginning). A role that no reference prompt has
falls back on the nearest one nearer to the end (to the beginning). So a pair's number depends on the reference set alone, never
on the batch that the pair was in.

A reference set is frozen before any evidence is gathered, and the population alone decides which pairs are in it. Where it is
not all of the population it is a draw: it is divided into ``PARTS`` parts, and what becomes of a number where each in turn is
left out says how much of it is the draw's.
"""

import random
from collections import defaultdict
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from circuitcheck.errors import MethodError
from circuitcheck.prompts.aligned_pairs import AlignedPair
from circuitcheck.prompts.pairs import Side, sides
from circuitcheck.sampling.samples import Sample
from circuitcheck.statistics.weights import weights_of
from circuitcheck.texts import digest

# Parts that a reference set which is a draw is divided into.
PARTS = 12
_WHOSE = {"both": "clean and corrupted", "clean": "clean", "corrupt": "corrupted"}


@dataclass(frozen=True, eq=False)
class Reference:
    """The reference pairs of one population. ``size``: of how many pairs they were drawn without replacement (None: with
    replacement, or of more than can be counted); ``drawn``: they are not all of them."""

    sample: Sample
    drawn: bool
    size: int | None = None
    left_out: int | None = None
    _without: "dict[int, Reference]" = field(default_factory=dict, repr=False)

    @cached_property
    def _hash(self) -> str:
        """Of the pairs, whatever their order."""
        return digest(" ".join(sorted(pair.key.hex() for pair in self.sample.pairs)))

    def identity(self, of: str) -> str:
        left_out = "" if self.left_out is None else f"/without {self.left_out} of {PARTS}"
        return digest(f"{of}/{self._hash}{left_out}")

    def whole_identity(self, of: str) -> str:
        """The same with all parts in."""
        return digest(f"{of}/{self._hash}")

    def describe(self, of: str) -> str:
        """In words, with the hash that says which prompts they were."""
        there = [side for side in sides(of) if side in self.sample.sides]
        whose = " and ".join("corrupted" if side == "corrupt" else side for side in there)
        count = len(self.sample.pairs) * len(there)
        drawn = " drawn" if self.drawn else ""
        return f"{count}{drawn} {whose} prompts by template and token role (reference {self.identity(of)})"

    @cached_property
    def parts(self) -> tuple[int, ...]:
        """The part of each pair, -1 for one that is never left out: the only one of its template and shape, whose tokens
        would have no mean without it. Pairs alike in these are spread evenly over the parts."""
        alike: defaultdict[Any, list[int]] = defaultdict(list)
        pairs = self.sample.pairs
        for row in sorted(range(len(pairs)), key=lambda row: pairs[row].key):  # as the hash, whatever their order
            alike[pairs[row].pattern("clean"), pairs[row].pattern("corrupt")].append(row)
        found, number = [-1] * len(pairs), 0
        for _, rows in sorted(alike.items()):
            for row in rows if len(rows) > 1 else ():
                found[row], number = number % PARTS, number + 1
        return tuple(found)

    @property
    def correction(self) -> float:
        """What the spread of a mean over them is multiplied by, since they were drawn without replacement."""
        if not self.drawn:
            return 0.0
        return 1.0 if self.size is None else float(max(0.0, 1 - len(self.sample.pairs) / self.size) ** 0.5)

    def without(self, part: int | None) -> "Reference":
        """The same without one of its parts."""
        if part is None or not self.drawn:
            return self
        if part not in self._without:
            self._without[part] = Reference(self.sample, True, self.size, part)
        return self._without[part]


@dataclass(frozen=True, eq=False)
class Donors:
    """For each of some pairs another prompt of its template, whose activations are put into it: ``rows`` has the donor's place
    in ``sample`` and its side by the pair's prompts, which are the same where an answer is run after them."""

    sample: Sample
    rows: Mapping[Hashable, tuple[int, Side]]

    @cached_property
    def _hash(self) -> str:
        taken = (f"{prompts}:{self.sample.pairs[row].key.hex()}:{side}" for prompts, (row, side) in self.rows.items())
        return digest(" ".join(sorted(taken)))

    def identity(self, of: str) -> str:
        return digest(f"donors/{of}/{self._hash}")

    def describe(self, of: str) -> str:
        """In words."""
        return f"for each pair another of the population's {_WHOSE[of]} prompts, of the same template"

    def source(self, pair: AlignedPair) -> tuple[int, Side]:
        """The prompt that a pair is resampled from."""
        return self.rows[prompts_of(pair)]


def donors_among(sample: Sample, population: Sample, of: str, seed: int) -> Donors:
    """A donor for each pair of a sample, of all pairs of the population there are: seeded by the pair, so that the same one
    gets the same in whatever sample it is. Raises ``MethodError`` for a pair that is the only one of its template."""
    by_template: defaultdict[int, list[tuple[int, Side]]] = defaultdict(list)
    for row in sorted(range(len(population.pairs)), key=lambda row: population.pairs[row].key):
        by_template[population.pairs[row].pair.template].extend(
            (row, side) for side in sides(of) if side in population.sides
        )
    weights = weights_of(population.pairs)
    rows = {}
    for pair in sample.pairs:
        others, draw = by_template[pair.pair.template], seeded(pair, of, seed)
        own = {pair.prompt_tokens(side) for side in sides("both")}
        if all(population.pairs[row].tokens(side) in own for row, side in others):
            raise lonely(pair)
        often = None if weights is None else [float(weights[row]) for row, _ in others]
        [(row, side)] = draw.choices(others, often)
        while population.pairs[row].tokens(side) in own:
            [(row, side)] = draw.choices(others, often)
        rows[prompts_of(pair)] = row, side
    return Donors(population, rows)


def donors_of(sample: Sample, chosen: Sequence[tuple[AlignedPair, Side]]) -> Donors:
    """Donors that were drawn from the population by themselves, one for each pair of a sample."""
    places: dict[bytes, int] = {}
    for donor, _ in chosen:
        places.setdefault(donor.key, len(places))
    distinct = {donor.key: donor for donor, _ in chosen}
    rows = {
        prompts_of(pair): (places[donor.key], side) for pair, (donor, side) in zip(sample.pairs, chosen, strict=True)
    }
    return Donors(Sample(tuple(distinct.values()), whole=False), rows)


def prompts_of(pair: AlignedPair) -> Hashable:
    """What a pair's donor is known by."""
    return pair.pair.template, pair.prompt_tokens("clean"), pair.prompt_tokens("corrupt"), pair.repeat


def seeded(pair: AlignedPair, of: str, seed: int) -> random.Random:
    """What a pair's donor is drawn by."""
    clean, corrupt = (pair.prompt_tokens(side) for side in sides("both"))
    return random.Random(f"{seed}/{of}/{clean}/{corrupt}/{pair.repeat}")


def lonely(pair: AlignedPair) -> MethodError:
    return MethodError(f"resampling needs another pair of the same template, and {pair.pair.clean.text!r} has none")
