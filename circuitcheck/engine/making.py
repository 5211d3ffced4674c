"""How interventions are made: what is put in the place of activations, and what is held beside that."""

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any
from weakref import WeakKeyDictionary

import torch

from circuitcheck.addresses.anatomy import Anatomy
from circuitcheck.addresses.kinds import LOGITS
from circuitcheck.engine.ablations import Ablation, Held
from circuitcheck.engine.chunks import Chunk
from circuitcheck.engine.hooks.hookpoints import Target, targets
from circuitcheck.engine.hooks.interventions import Intervention, Supply
from circuitcheck.engine.hooks.norms import held_scales
from circuitcheck.engine.hooks.plain import Plain
from circuitcheck.engine.hooks.writes import Hold
from circuitcheck.engine.paths import Paths
from circuitcheck.engine.reference_values import ReferenceValues
from circuitcheck.engine.subspaces import Placebo, Subspace, whole
from circuitcheck.engine.trust import Trust
from circuitcheck.prompts.pairs import Side, Sides, other_side
from circuitcheck.sampling.references import Reference
from circuitcheck.sampling.samples import Sample


class Making:
    """Makes the interventions of one model. ``trust`` says, when values are needed, by what they are run; ``chunks`` divides
    a reference sample."""

    def __init__(
        self,
        bridge: Any,
        anatomy: Anatomy,
        bos: int | None,
        plain: Plain,
        trust: Callable[[], Trust],
        chunks: Callable[[Sample], list[Chunk]],
    ):
        self.bridge, self.anatomy, self.bos, self.plain = bridge, anatomy, bos, plain
        self._trust, self._chunks = trust, chunks
        self._means: dict[Hashable, torch.Tensor] = {}
        self._known: WeakKeyDictionary[Reference, dict[Hashable, torch.Tensor]] = WeakKeyDictionary()

    def forget(self) -> None:
        """Forget the reference means: the model has changed."""
        self._means.clear()

    def patching(
        self, into: Side, crossed: bool, held: Held, along: Subspace | Placebo | None, variants: list[list[Target]]
    ) -> Intervention:
        def values(target: Target, chunk: Chunk, start: int) -> Supply:
            side, ahead = (into, 1) if crossed else (other_side(into), 0)
            source = self.activation(chunk, side, target, start)
            put = along or whole
            return lambda which, there: put(there, source[(which + ahead) % len(chunk.pairs)])

        return self._held(Intervention(into, variants, values, from_fork=not crossed), held)

    def ablating(
        self, ablation: Ablation, reference: Reference | None, held: Held, into: Side, variants: list[list[Target]]
    ) -> Intervention:
        values, spare = partial(self.ablated_values, ablation, reference), self.bos if ablation.spares_bos else None
        return self._held(Intervention(into, variants, values, ablation.of_other_run, spare), held)

    def _held(self, direct: Intervention, held: Held) -> Intervention:
        """An intervention whose ends of paths get what arrives there, and in which what is to be held is."""

        def values(target: Target, chunk: Chunk, start: int) -> Supply:
            if not target.routes:
                return direct.values(target, chunk, start)
            arrived = self._arriving(direct, held, target, chunk, start)
            if target.kind == LOGITS:
                return lambda which, activation: activation + arrived[which]
            return lambda which, _: arrived[which]

        def holding(variant: Sequence[Target], chunk: Chunk, which: torch.Tensor, start: int) -> list[Hold]:
            if not held.norms:
                return []
            hooks = held_scales(self.bridge, variant)
            return self.plain.scales(chunk, direct.side).holds(hooks, which, start)

        return replace(direct, values=values, holding=holding)

    def _arriving(self, direct: Intervention, held: Held, target: Target, chunk: Chunk, start: int) -> torch.Tensor:
        """What arrives at the end of a target's paths, of shape [pair, position from ``start``, ...]."""
        sites = [site for route in target.routes for site in route]
        begin = min(start, direct.start(chunk, targets(sites)))
        paths = Paths(self.bridge, self.anatomy, self.plain, self._trust().runner, chunk, direct.side, begin, held)

        def followed(paths: Paths, pairs: torch.Tensor) -> torch.Tensor:
            senders = dict.fromkeys(route[0] for route in target.routes)
            supplies = {site: direct.values(one, chunk, paths.start) for site in senders for one in targets([site])}
            return paths.arriving(target, supplies, direct.mask, pairs)

        self._trust().check_paths(paths, target, followed)
        return followed(paths.by(self._trust().runner), torch.arange(len(chunk.pairs)))[:, start - begin :]

    def ablated_values(
        self, ablation: Ablation, reference: Reference | None, target: Target, chunk: Chunk, start: int
    ) -> Supply:
        return ablation.supply(_At(self, reference, target, chunk, start))

    def activation(self, chunk: Chunk, side: Side, target: Target, start: int) -> torch.Tensor:
        """What is at a target in a chunk's unchanged runs."""
        return self._trust().runner.activation(chunk, side, target.layer, target.kind, start)

    def means(self, reference: Reference, target: Target, of: Sides) -> torch.Tensor:
        """The means over a reference set, worked out once."""
        key = (reference.identity(of), target.hook)
        if key not in self._means:
            self._means[key] = self.known(reference).means(self.chunks_of(reference), self.recorder(target), of)
        return self._means[key]

    def known(self, reference: Reference) -> ReferenceValues:
        """What is known of a reference set."""
        return ReferenceValues(reference, self._known.setdefault(reference, {}))

    def chunks_of(self, reference: Reference) -> list[Chunk]:
        return self._chunks(reference.sample)

    def recorder(self, target: Target) -> Callable[[Chunk, Side], torch.Tensor]:
        return lambda source, side: self.activation(source, side, target, 0)


@dataclass(frozen=True)
class _At:
    """Where an ablation takes its values from: one target of a chunk, from a position on."""

    making: Making
    reference: Reference | None
    target: Target
    chunk: Chunk
    start: int

    def other_run(self) -> Supply:
        there = self.making.activation(self.chunk, "corrupt", self.target, self.start)
        return lambda which, _: there[which]

    def means(self, of: Sides) -> Supply:
        means, known = self.making.means(self._needed, self.target, of), self.making.known(self._needed)
        return lambda which, _: known.mean_values(means, self.chunk, which)[:, self.start :]

    def drawn(self, of: Sides) -> Supply:
        making, reference = self.making, self._needed
        chunks, recorder = making.chunks_of(reference), making.recorder(self.target)
        values = making.known(reference).resampled_values(chunks, recorder, of, self.chunk)[:, self.start :]
        return lambda which, _: values[which]

    @property
    def _needed(self) -> Reference:
        if self.reference is None:
            raise AssertionError("its values are those of a reference set")
        return self.reference
