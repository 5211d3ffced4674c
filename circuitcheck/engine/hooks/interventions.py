"""What an intervention writes: rows that are pairs under variants, as batches of checked writes."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from circuitcheck.addresses.anatomy import Anatomy
from circuitcheck.addresses.kinds import KINDS
from circuitcheck.addresses.sites import Position
from circuitcheck.engine.chunks import Chunk
from circuitcheck.engine.hooks.attached import Attached
from circuitcheck.engine.hooks.batches import Batch
from circuitcheck.engine.hooks.feature_writes import FeatureWrite, Part
from circuitcheck.engine.hooks.hookpoints import Entry, Target, hook_name
from circuitcheck.engine.hooks.writes import Hold, Write
from circuitcheck.engine.on_demand import torch
from circuitcheck.engine.readouts.named import Reading
from circuitcheck.prompts.pairs import Side

# For rows that are certain pairs, and the activation that is there: what is put in its place, of the same shape.
Supply = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
# The supply of one target of a chunk from a position on. All that must be run for it is run before.
Values = Callable[[Target, Chunk, int], Supply]
# What is held in rows that are certain pairs of a chunk, from a position on, where a variant is written.
Holding = Callable[[Sequence[Target], Chunk, torch.Tensor, int], list[Hold]]


@dataclass(frozen=True)
class Intervention:
    """What is written into one side of the pairs: one variant for each set of sites, all with the same kind of values.

    ``from_fork``: where both prompts are the same up to the fork, and each token corresponds to the same one, the values are those
    that are there, so that nothing is written. ``spared``: a token
    at which nothing is written. ``attached``: the dictionaries whose features are written. ``holding``: what is held beside that.
    """

    side: Side
    variants: list[list[Target]]
    values: Values
    from_fork: bool
    spared: int | None = None
    attached: Attached | None = None
    holding: Holding = lambda variant, chunk, which, start: []

    def mask(self, chunk: Chunk, position: Position) -> torch.Tensor:
        """Where it writes, of shape [pair, position]."""
        mask = chunk.mask(position, self.side)
        return mask if self.spared is None else mask & (chunk.tokens(self.side) != self.spared)

    def start(self, chunk: Chunk, variant: Sequence[Target]) -> int:
        """The first token that a variant can change in any pair; the prompts' length where it can change none."""
        written = torch.stack([self.mask(chunk, target.position) for target in variant]).any(0).any(0)
        if self.from_fork and chunk.is_aligned:
            written[: chunk.fork] = False
        found = written.nonzero()
        return int(found[0]) if len(found) else chunk.length_of(self.side)


@dataclass(frozen=True)
class Rows:
    """One chunk of pairs under variants that write at the same hook points: row v * pairs + p is variant v on pair p."""

    chunk: Chunk
    intervention: Intervention
    variants: list[list[Target]]
    anatomy: Anatomy
    reading: Reading

    def __len__(self) -> int:
        return len(self.variants) * len(self.chunk.pairs)

    @property
    def shape(self) -> tuple[int, int]:
        return len(self.variants), len(self.chunk.pairs)

    @property
    def entry(self) -> Entry:
        return Entry.of(self.variants[0])

    @property
    def label(self) -> str:
        """What is being done, for a progress line."""
        places = dict.fromkeys(
            target.kind if target.layer < 0 else f"L{target.layer}.{target.kind}" for target in self.variants[0]
        )
        return " | ".join(list(places)[:3])

    def supplies(self, start: int) -> list[Supply]:
        """Where the values of each hook point come from, from the token ``start`` on."""
        return [self.intervention.values(target, self.chunk, start) for target in self.written]

    def batch(self, rows: torch.Tensor, start: int, supplies: Sequence[Supply], written_from: int = 0) -> Batch:
        """The rows, run from the token ``start`` on; nothing is written before ``written_from``."""
        which = rows % len(self.chunk.pairs)
        present, variant = torch.unique(rows // len(self.chunk.pairs), return_inverse=True)
        writes: list[Write] = []
        features: dict[tuple[int, str], list[Part]] = defaultdict(list)
        for number, supply in enumerate(supplies):
            slot = [self.variants[at][number] for at in present.tolist()]
            mask = self._masks(slot)[variant, which]
            mask[:, :written_from] = False
            values = _from(supply, which)
            if slot[0].is_of_dictionary:
                chosen = self.written[number].components
                part = Part(mask[:, start:], chosen, self._features(slot, variant, chosen), values)
                features[slot[0].layer, KINDS[slot[0].kind].host].append(part)
                continue
            writes.append(Write(slot[0].hook, mask[:, start:], self._components(slot, variant), values))
        writes += [self._feature_write(layer, f"{host}.F", parts) for (layer, host), parts in features.items()]
        side, vocabulary = self.intervention.side, self.reading.vocabulary
        holds = self.intervention.holding(self.variants[0], self.chunk, which, start)
        return Batch(self.chunk, side, which, start, self.entry, writes, vocabulary, holds)

    @cached_property
    def written(self) -> list[Target]:
        """The targets; those of features with all that any variant writes there."""

        def whole(number: int, target: Target) -> Target:
            if not target.is_of_dictionary or target.components is None:
                return target
            every = {one for variant in self.variants for one in variant[number].components or ()}
            return replace(target, components=tuple(sorted(every)))

        return [whole(number, target) for number, target in enumerate(self.variants[0])]

    def _features(
        self, slot: Sequence[Target], variant: torch.Tensor, chosen: tuple[int, ...] | None
    ) -> torch.Tensor | None:
        """Which of the ``chosen`` features each row writes, of shape [row, feature]; None for an error."""
        if chosen is None:
            return None
        place = {number: at for at, number in enumerate(chosen)}
        found = torch.zeros(len(slot), len(chosen), dtype=torch.bool)
        for row, target in enumerate(slot):
            found[row, [place[number] for number in target.components or ()]] = True
        return found[variant]

    def _feature_write(self, layer: int, kind: str, parts: Sequence[Part]) -> Write:
        if (attached := self.intervention.attached) is None:
            raise AssertionError("features are those of an attached dictionary")
        return FeatureWrite(hook_name(layer, kind), attached.read_at(layer, kind), attached.of(layer, kind), parts)

    def _masks(self, slot: Sequence[Target]) -> torch.Tensor:
        """Where variants write at one hook point, of shape [variant, pair, position]."""
        places: dict[Position, int] = {}
        place = torch.tensor([places.setdefault(target.position, len(places)) for target in slot])
        return torch.stack([self.intervention.mask(self.chunk, position) for position in places])[place]

    def _components(self, slot: Sequence[Target], variant: torch.Tensor) -> torch.Tensor | None:
        """Which heads or neurons each row writes at one hook point, of shape [row, component]."""
        if slot[0].components is None:
            return None
        components = torch.zeros(len(slot), self.anatomy.layers[slot[0].layer].count(slot[0].kind), dtype=torch.bool)
        for row, target in enumerate(slot):
            components[row, list(target.components or ())] = True
        return components[variant]


def _from(supply: Supply, which: torch.Tensor) -> Callable[[torch.Tensor], torch.Tensor]:
    return lambda activation: supply(which, activation)
