"""How interventions are made: what is put in the place of activations, and what is held beside that."""

from collections.abc import Callable, Hashable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any
from weakref import WeakKeyDictionary

import torch

from circuitcheck.addresses.sites import LOGITS, Anatomy
from circuitcheck.engine.ablations import Ablation, Held
from circuitcheck.engine.chunks import Chunk
from circuitcheck.engine.hooks.hookpoints import Target, targets
from circuitcheck.engine.hooks.interventions import Intervention, Supply, made_of_what_is_there
from circuitcheck.engine.hooks.norms import held_scales
from circuitcheck.engine.hooks.plain import Plain
from circuitcheck.engine.hooks.writes import Hold
from circuitcheck.engine.paths import Paths
from circuitcheck.engine.reference_values import ReferenceValues
from circuitcheck.engine.subspaces import Placebo, Subspace, whole
from circuitcheck.engine.trust import Trust
from circuitcheck.prompts.pairs import Side, other_side
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
            source = self._trust().runner.activation(chunk, side, target.layer, target.kind, start)
            put = along or whole
            return lambda which, there: put(there, source[(which + ahead) % len(chunk.pairs)])

        return self._held(Intervention(into, variants, values, from_fork=not crossed), held)

    def ablating(
        self, ablation: Ablation, reference: Reference | None, held: Held, into: Side, variants: list[list[Target]]
    ) -> Intervention:
        values, spare = partial(self.ablated_values, ablation, reference), self.bos if ablation.spares_bos else None
        return self._held(Intervention(into, variants, values, ablation.kind == "counterfactual", spare), held)

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
        if ablation.kind == "counterfactual":
            there = self._trust().runner.activation(chunk, "corrupt", target.layer, target.kind, start)
            return lambda which, _: there[which]
        if reference is None:
            return made_of_what_is_there(ablation)

        def recorder(source: Chunk, side: Side) -> torch.Tensor:
            return self._trust().runner.activation(source, side, target.layer, target.kind, 0)

        chunks = self._chunks(reference.sample)
        known = ReferenceValues(reference, self._known.setdefault(reference, {}))
        if ablation.kind == "resample":
            values = known.resampled_values(chunks, recorder, ablation.of, chunk)[:, start:]
            return lambda which, _: values[which]
        key = (reference.identity(ablation.of), target.hook)
        if key not in self._means:
            self._means[key] = known.means(chunks, recorder, ablation.of)
        return lambda which, _: known.mean_values(self._means[key], chunk, which)[:, start:]
