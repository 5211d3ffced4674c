"""What causal scrubbing (Chan et al. 2022) writes: at each site, what is there in another prompt that agrees on some variables.

The run of that prompt, the donor, is scrubbed itself at all sites before the one that is read there, by donors of its own. So what is
written follows a tree of runs, which has twice as many for each further hook point.
"""

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field, replace

from circuitcheck.addresses.kinds import KINDS
from circuitcheck.addresses.sites import Site
from circuitcheck.engine.chunks import Chunk
from circuitcheck.engine.hooks.hookpoints import Target, targets
from circuitcheck.engine.hooks.interventions import Intervention, Supply
from circuitcheck.engine.hooks.writes import Write, keeping
from circuitcheck.engine.making import Making, Writing
from circuitcheck.engine.memory import in_batches
from circuitcheck.engine.on_demand import torch
from circuitcheck.errors import InterventionError
from circuitcheck.prompts.aligned_pairs import AlignedPair
from circuitcheck.prompts.pairs import Side
from circuitcheck.sampling.samples import Sample

# The donor of each pair for a part of the hypothesis, by the parts that led to the pair.
Donate = Callable[[Sequence[AlignedPair], int, tuple[int, ...]], tuple[AlignedPair, ...]]


@dataclass(frozen=True)
class Part:
    """Sites that have one donor a run; ``is_scrubbed``: the donor's own run is scrubbed before them."""

    sites: tuple[Site, ...]
    is_scrubbed: bool = True

    @property
    def read(self) -> list[Target]:
        """Where the donor's run is read: the sites, of paths their beginnings."""
        return targets([site.via[0] if site.via else site for site in self.sites])


@dataclass(frozen=True, kw_only=True)
class Scrubbing(Writing):
    """The ``parts`` of a hypothesis, by donors that ``donate`` gives. ``said`` names these; ``path`` are the parts that led to the runs
    which are written in."""

    into: Side = "clean"
    parts: tuple[Part, ...]
    donate: Donate = field(compare=False, repr=False)
    said: str
    path: tuple[int, ...] = ()

    @property
    def identity(self) -> tuple[Hashable, ...]:
        return "scrub", self.said, self.held

    @property
    def of_other_run(self) -> bool:
        return False

    def direct(self, making: Making, variants: list[list[Target]]) -> Intervention:
        def values(target: Target, chunk: Chunk, start: int) -> Supply:
            found = self._donated(making, target, chunk)[:, start:]
            return lambda which, _: found[which]

        return Intervention(self.into, variants, values, from_fork=False)

    def _donated(self, making: Making, target: Target, chunk: Chunk) -> torch.Tensor:
        """What the donors of a chunk's pairs have at a target, of shape [pair, position, ...]; of components, each from its own part's."""
        found: torch.Tensor | None = None
        for number, part in enumerate(self.parts):
            here = [one for one in part.read if (one.hook, one.position) == (target.hook, target.position)]
            for components in (one.components for one in here):
                donors = Sample(self.donate(chunk.pairs, number, self.path), whole=False)
                there = self._at_donors(making, target, donors, number)
                if found is None:
                    found = there
                elif components is not None:
                    found = found.clone()
                    found[:, :, list(components)] = there[:, :, list(components)]
        if found is None:
            raise AssertionError("what is scrubbed is of some part")
        return found

    def _at_donors(self, making: Making, target: Target, donors: Sample, number: int) -> torch.Tensor:
        """What is at a target in the donors' runs, scrubbed before it."""
        every = targets([site for part in self.parts for site in part.sites])
        before = [one for one in every if _depth(one) < _depth(target)] if self.parts[number].is_scrubbed else []
        inner = replace(self, path=(*self.path, number))
        found: torch.Tensor | None = None
        for chunk in making.chunks(donors):
            there = inner._read(making, target, before, chunk)
            found = there.new_empty(len(donors.pairs), *there.shape[1:]) if found is None else found
            found[list(chunk.rows)] = there
        if found is None:
            raise AssertionError("each pair has a donor")
        return found

    def _read(self, making: Making, target: Target, before: list[Target], chunk: Chunk) -> torch.Tensor:
        """What is at a target in runs of a chunk's pairs that are scrubbed at targets before it."""
        if not before:
            return making.activation(chunk, self.into, target, 0)
        intervention = making.intervention(self, [before])
        supplies = [intervention.values(one, chunk, 0) for one in before]
        size = making.plain.shape.plain_batch(len(chunk.pairs), chunk.length, making.plain.memory.for_batch)

        def run(which: torch.Tensor) -> torch.Tensor:
            seen: dict[str, torch.Tensor] = {}
            writes = [
                _write(making, intervention, chunk, one, supply, which)
                for one, supply in zip(before, supplies, strict=True)
            ]
            hooks = [hook for write in writes for hook in write.hooks()]
            looking = keeping(target.hook, seen, target.hook)
            making.plain.blocks(chunk, self.into, which, 0, 0, 0, [*hooks, looking])
            if silent := [write.hook for write in writes if not write.fired] or [target.hook] * (not seen):
                raise InterventionError(f"the hook {silent[0]} never fired, so that nothing was scrubbed")
            return seen[target.hook]

        return torch.cat([there for _, there in in_batches(torch.arange(len(chunk.pairs)), size, run)])


def _write(
    making: Making, intervention: Intervention, chunk: Chunk, target: Target, supply: Supply, which: torch.Tensor
) -> Write:
    components = None
    if target.components is not None:
        count = making.anatomy.layers[target.layer].count(target.kind)
        components = torch.zeros(len(which), count, dtype=torch.bool)
        components[:, list(target.components)] = True
    mask = intervention.mask(chunk, target.position)[which]
    return Write(target.hook, mask, components, lambda activation: supply(which, activation))


def _depth(target: Target) -> tuple[int, int]:
    return target.layer, KINDS[target.kind].depth
