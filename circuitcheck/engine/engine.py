"""Interventions over batches of pairs: one number per pair, every write checked, nothing computed twice."""

import threading
from collections import defaultdict
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from circuitcheck.alignment import AlignedPair
from circuitcheck.edges import Graph
from circuitcheck.engine.base_runs import BaseRuns
from circuitcheck.engine.cone import Batch, Cone
from circuitcheck.engine.decoder import CannotFork, Decoder
from circuitcheck.engine.graphs import GraphRuns
from circuitcheck.engine.hookpoints import Entry, Target, targets
from circuitcheck.engine.interventions import Intervention, Rows, Supply, made_of_what_is_there
from circuitcheck.engine.memory import Memory, in_batches
from circuitcheck.engine.norms import held_scales
from circuitcheck.engine.paths import Paths
from circuitcheck.engine.plain import Plain
from circuitcheck.engine.recorded import at_last_token
from circuitcheck.engine.reference import Reference
from circuitcheck.engine.samples import Chunk, Sample, other_side
from circuitcheck.engine.shapes import rounding_of, shape_of
from circuitcheck.engine.slopes import slopes
from circuitcheck.engine.subspaces import Placebo, Subspace, whole
from circuitcheck.engine.trust import Changes, Trust
from circuitcheck.engine.writes import Hold
from circuitcheck.errors import InterventionError
from circuitcheck.methods import NOTHING_HELD, Ablation, Held, Side
from circuitcheck.readouts import Reading, Readout
from circuitcheck.sites import LOGITS, Anatomy, Site

if TYPE_CHECKING:
    from circuitcheck.types import Floats

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Outcome:
    """The readout of each pair; ``unchanged`` says that the writes put back what was there (an inert component)."""

    values: "Floats"
    unchanged: bool = False


class Engine:
    """Runs one model, within ``memory`` bytes beside the model itself (see ``--circuit-memory``).

    Base runs, reference means and results are shared by all claims on the same pairs. ``progress(what, done, total)``
    is called after every batch; replace it to show where a long claim stands.
    """

    def __init__(self, bridge: Any, anatomy: Anatomy, bos: int | None, memory: int):
        self.bridge, self.anatomy, self.bos = bridge, anatomy, bos
        self.progress: Progress = lambda what, done, total: None
        self.memory, self.shape, self.rounding = Memory(memory), shape_of(bridge, anatomy), rounding_of(bridge)
        self.plain = Plain(bridge, self.shape, self.memory)
        self._changes = Changes(bridge)
        self._lock = threading.RLock()  # modules are replaced while a cone runs
        self._means: dict[Hashable, torch.Tensor] = {}
        self._readings: dict[Hashable, Reading] = {}
        self._outcomes: dict[Hashable, Outcome] = {}

    @cached_property
    def trust(self) -> Trust:
        """Which way of running is to be trusted: cones, or plain hooked runs."""
        try:
            cone = Cone(BaseRuns(Decoder(self.bridge), self.anatomy, self.shape, self.memory), self.anatomy.parallel)
            return Trust(self._changes, self.plain, cone)
        except CannotFork as error:
            return Trust(self._changes, self.plain, None, str(error))

    @property
    def runner(self) -> Cone | Plain:
        return self.trust.runner

    def describe(self) -> str:
        """How interventions are run, in words."""
        if isinstance(self.runner, Cone):
            return "cone"
        return f"plain hooked runs of the whole model, slower and with the same numbers: {self.trust.why_plain}"

    def noise(self, sample: Sample, readout: Readout) -> "Floats":
        """What rounding can make of each pair's number, as its base runs that were read so far show it; of shape [pair]."""
        noise = np.empty(len(sample.pairs))
        for chunk in self._chunks(sample):
            noise[list(chunk.rows)] = self._reading(readout, chunk).noise
        return noise

    def base(self, sample: Sample, side: Side, readout: Readout) -> Outcome:
        """The readout of the unchanged clean or corrupted run."""
        key = (sample.identity, "base", side, readout)
        with self._lock:
            self._forget_if_changed()
            if key not in self._outcomes:
                readout.check(sample.pairs)
                values = np.empty(len(sample.pairs))
                for chunk in self._chunks(sample):
                    values[list(chunk.rows)] = self._base_chunk(chunk, side, self._reading(readout, chunk))
                self._outcomes[key] = Outcome(values)
            return self._outcomes[key]

    def activations(self, sample: Sample, side: Side, sites: Sequence[Site]) -> "Floats":
        """What is at the sites, all of one hook point, at the last of their tokens, of shape [pair, width]."""
        with self._lock:
            self._forget_if_changed()
            return at_last_token(self.trust, self._chunks(sample), side, targets(sites))

    def patched(self, sample: Sample, sites: Sequence[Site], into: Side, readout: Readout) -> Outcome:
        """The readout of the run ``into`` with the other run's activations put in at ``sites``."""
        return self.patched_each(sample, [sites], into, readout)[0]

    def patched_each(
        self,
        sample: Sample,
        sets: Sequence[Sequence[Site]],
        into: Side,
        readout: Readout,
        crossed: bool = False,
        held: Held = NOTHING_HELD,
        along: Subspace | Placebo | None = None,
    ) -> list[Outcome]:
        """As ``patched``, for each of several sets of sites, in common batches. ``crossed``: what is put in comes from the
        next pair's run of the same side, which has nothing of the behaviour in it. ``along``: that part of it alone."""

        keys = [(sample.identity, "patch", tuple(sites), into, readout, crossed, held, along) for sites in sets]
        return self._each(keys, sets, sample, readout, partial(self._patching, into, crossed, held, along))

    def patched_slopes(
        self, pair: AlignedPair, sites: Sequence[Site], into: Side, readout: Readout
    ) -> "dict[Side, Floats]":
        """How what patching shifts in a pair changes with each token's embedding, of shape [position, d_model]."""
        intervention = self._patching(into, False, NOTHING_HELD, None, [targets(sites)])
        return self._slopes(pair, intervention, readout, patched=True)

    def _patching(
        self, into: Side, crossed: bool, held: Held, along: Subspace | Placebo | None, variants: list[list[Target]]
    ) -> Intervention:
        def values(target: Target, chunk: Chunk, start: int) -> Supply:
            side, ahead = (into, 1) if crossed else (other_side(into), 0)
            source = self.runner.activation(chunk, side, target.layer, target.kind, start)
            put = along or whole
            return lambda which, there: put(there, source[(which + ahead) % len(chunk.pairs)])

        return self._held(Intervention(into, variants, values, from_fork=not crossed), held)

    def ablated_each(
        self,
        sample: Sample,
        sets: Sequence[Sequence[Site]],
        ablation: Ablation,
        reference: Reference | None,
        readout: Readout,
        held: Held = NOTHING_HELD,
        into: Side = "clean",
    ) -> list[Outcome]:
        """The readout of the run ``into`` with each of several sets of sites ablated, in common batches."""
        frozen = "" if reference is None else reference.identity(ablation.of)
        keys = [(sample.identity, "ablate", tuple(sites), ablation, frozen, readout, held, into) for sites in sets]
        return self._each(keys, sets, sample, readout, partial(self._ablating, ablation, reference, held, into))

    def kept_along(
        self,
        sample: Sample,
        graph: Graph,
        universe: Sequence[Site],
        ablation: Ablation,
        reference: Reference | None,
        readout: Readout,
    ) -> Outcome:
        """The readout of the clean run with a universe ablated but for a graph's components, which hear whom they are to."""
        frozen = "" if reference is None else reference.identity(ablation.of)
        key = (sample.identity, "graph", graph.identity, tuple(universe), ablation, frozen, readout)
        with self._lock:
            self._forget_if_changed()
            if key not in self._outcomes:
                readout.check(sample.pairs)
                values, written = np.empty(len(sample.pairs)), targets(universe)
                for chunk in self._chunks(sample):
                    ablated = [self._ablated_values(ablation, reference, target, chunk, 0) for target in written]
                    spared = torch.zeros_like(chunk.tokens("clean"), dtype=torch.bool)
                    if ablation.spares_bos and self.bos is not None:
                        spared = chunk.tokens("clean") == self.bos
                    reading = self._reading(readout, chunk)
                    runs = GraphRuns(
                        self.plain, self.anatomy, graph, written, ablated, spared, chunk, reading.vocabulary
                    )
                    values[list(chunk.rows)] = runs.read(reading, self.progress)
                self._outcomes[key] = Outcome(values)
            return self._outcomes[key]

    def ablated_slopes(
        self,
        pair: AlignedPair,
        sites: Sequence[Site],
        ablation: Ablation,
        reference: Reference | None,
        readout: Readout,
        into: Side = "clean",
    ) -> "dict[Side, Floats]":
        """How what an ablation shifts in a pair changes with each token's embedding, of shape [position, d_model]."""
        patched, ways = ablation.kind == "counterfactual", [targets(sites)]
        return self._slopes(pair, self._ablating(ablation, reference, NOTHING_HELD, into, ways), readout, patched)

    def embeddings(self) -> "Floats":
        """Every token's embedding, of shape [token, d_model]."""
        found: Floats = self.bridge.W_E.detach().double().cpu().numpy()
        return found

    def _ablating(
        self, ablation: Ablation, reference: Reference | None, held: Held, into: Side, variants: list[list[Target]]
    ) -> Intervention:
        values, spare = partial(self._ablated_values, ablation, reference), self.bos if ablation.spares_bos else None
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
        paths = Paths(self.bridge, self.anatomy, self.plain, self.runner, chunk, direct.side, begin, held)

        def followed(paths: Paths, pairs: torch.Tensor) -> torch.Tensor:
            senders = dict.fromkeys(route[0] for route in target.routes)
            supplies = {site: direct.values(one, chunk, paths.start) for site in senders for one in targets([site])}
            return paths.arriving(target, supplies, direct.mask, pairs)

        self.trust.check_paths(paths, target, followed)
        return followed(paths.by(self.runner), torch.arange(len(chunk.pairs)))[:, start - begin :]

    def _slopes(
        self, pair: AlignedPair, intervention: Intervention, readout: Readout, patched: bool
    ) -> "dict[Side, Floats]":
        with self._lock:
            [chunk] = self._chunks(Sample((pair,), whole=False))
            rows = Rows(chunk, intervention, intervention.variants, self.anatomy, self._reading(readout, chunk))
            return slopes(self.bridge, rows, patched)

    def _each(
        self,
        keys: Sequence[Hashable],
        sets: Sequence[Sequence[Site]],
        sample: Sample,
        readout: Readout,
        intervention: Callable[[list[list[Target]]], Intervention],
    ) -> list[Outcome]:
        with self._lock:
            self._forget_if_changed()
            missing = {key: sites for key, sites in zip(keys, sets, strict=True) if key not in self._outcomes}
            readout.check(sample.pairs)
            alike: dict[Hashable, list[tuple[Hashable, list[Target]]]] = defaultdict(list)
            for key, sites in missing.items():
                variant = targets(sites)
                like = tuple((target.hook, target.components is None, target.routes) for target in variant)
                alike[like].append((key, variant))
            for found in alike.values():
                outcomes = self._run(sample, readout, intervention([variant for _, variant in found]))
                self._outcomes.update(zip([key for key, _ in found], outcomes, strict=True))
            return [self._outcomes[key] for key in keys]

    def _run(self, sample: Sample, readout: Readout, intervention: Intervention) -> list[Outcome]:
        """Variants that write at the same hook points: each of them on each pair is a row."""
        base = self.base(sample, intervention.side, readout).values
        values = np.empty((len(intervention.variants), len(sample.pairs)))
        unchanged = np.ones(len(intervention.variants), dtype=bool)
        for chunk in self._chunks(sample):
            reading = self._reading(readout, chunk)
            by_start: dict[int, list[int]] = defaultdict(list)
            for number, variant in enumerate(intervention.variants):
                by_start[intervention.start(chunk, variant)].append(number)
            for start, numbers in by_start.items():
                here = base[list(chunk.rows)]
                columns = np.ix_(numbers, chunk.rows)
                if start == chunk.length:  # both runs are one where it would be written
                    values[columns] = here
                    continue
                rows = Rows(chunk, intervention, [intervention.variants[n] for n in numbers], self.anatomy, reading)
                found, moved = self._run_rows(rows, start)
                values[columns] = np.where(moved, found, here)  # where nothing was moved, rounding is not an effect
                unchanged[numbers] &= ~moved.any(axis=1)
        return [Outcome(row, bool(inert)) for row, inert in zip(values, unchanged, strict=True)]

    def _run_rows(self, rows: Rows, start: int) -> "tuple[Floats, Any]":
        """The readouts, and whether a write changed anything, both of shape [variant, pair]."""
        self.trust.check_read(rows)
        self.trust.check(rows, start)
        start = start if isinstance(self.runner, Cone) else 0
        supplies, moved = rows.supplies(start), np.zeros(len(rows), dtype=bool)

        def finished(chosen: torch.Tensor, batch: Batch) -> None:
            for write in batch.writes:
                moved[chosen] |= write.moved.numpy()

        batch = partial(rows.batch, start=start, supplies=supplies)
        values = self._read(batch, torch.arange(len(rows)), rows.reading.read, rows.label, finished)
        return values.reshape(rows.shape), moved.reshape(rows.shape)

    def _ablated_values(
        self, ablation: Ablation, reference: Reference | None, target: Target, chunk: Chunk, start: int
    ) -> Supply:
        if ablation.kind == "counterfactual":
            there = self.runner.activation(chunk, "corrupt", target.layer, target.kind, start)
            return lambda which, _: there[which]
        if reference is None:
            return made_of_what_is_there(ablation)

        def recorder(source: Chunk, side: Side) -> torch.Tensor:
            return self.runner.activation(source, side, target.layer, target.kind, 0)

        chunks = self._chunks(reference.sample)
        if ablation.kind == "resample":
            values = reference.resampled_values(chunks, recorder, ablation.of, chunk)[:, start:]
            return lambda which, _: values[which]
        key = (reference.identity(ablation.of), target.hook)
        if key not in self._means:
            self._means[key] = reference.means(chunks, recorder, ablation.of)
        return lambda which, _: reference.mean_values(self._means[key], chunk, which)[:, start:]

    def _base_chunk(self, chunk: Chunk, side: Side, reading: Reading) -> "Floats":
        batch, rows = partial(self._unchanged, chunk, side, reading.vocabulary), torch.arange(len(chunk.pairs))
        self.trust.check_base(batch(rows[:1]))
        return self._read(batch, rows, reading.read_base, f"{side} runs")

    def _unchanged(self, chunk: Chunk, side: Side, vocabulary: torch.Tensor | None, rows: torch.Tensor) -> Batch:
        return Batch(chunk, side, rows, chunk.length - 1, Entry(self.shape.n_layers, None), [], vocabulary)

    def _clean_logits(self, chunk: Chunk, which: torch.Tensor) -> torch.Tensor:
        """All logits of the clean runs of the pairs ``which`` of a chunk, of shape [row, token]."""

        def run() -> torch.Tensor:
            batch, rows = partial(self._unchanged, chunk, "clean", None), torch.arange(len(chunk.pairs))
            size = self.runner.batch_size(batch(rows[:1]), len(rows))
            return torch.cat([found for _, found in in_batches(rows, size, lambda some: self.runner.run(batch(some)))])

        return self.memory.get((chunk.key, "clean logits"), run)[which]

    def _read(
        self,
        batch: Callable[[torch.Tensor], Batch],
        rows: torch.Tensor,
        read: "Callable[[torch.Tensor, torch.Tensor], Floats]",
        what: str,
        finished: Callable[[torch.Tensor, Batch], None] = lambda rows, batch: None,
    ) -> "Floats":
        """The readout of each row."""
        values, done, runner = np.empty(len(rows)), 0, self.runner

        def run(chosen: torch.Tensor) -> tuple[Batch, torch.Tensor]:
            this = batch(chosen)
            return this, runner.run(this)

        for chosen, (this, logits) in in_batches(rows, runner.batch_size(batch(rows[:1]), len(rows)), run):
            if silent := this.silent():
                raise InterventionError(f"the hook {silent[0]} never fired, so that nothing was written")
            finished(chosen, this)
            values[chosen.numpy()] = read(logits, this.which)
            done += len(chosen)
            self.progress(what, done, len(rows))
        return values

    def _forget_if_changed(self) -> None:
        """What was computed of other weights, or under hooks that somebody put on the model, is no evidence."""
        if self.trust.model_changed():
            self.memory.clear()
            for kept in (self._means, self._outcomes):
                kept.clear()

    def _reading(self, readout: Readout, chunk: Chunk) -> Reading:
        if (readout, chunk.key) not in self._readings:
            clean = partial(self._clean_logits, chunk) if readout.looks_at_clean else None
            self._readings[readout, chunk.key] = readout.reading(chunk.pairs, self.rounding, clean)
        return self._readings[readout, chunk.key]

    def _chunks(self, sample: Sample) -> list[Chunk]:
        """A sample's pairs in chunks whose base runs take at most a half of the memory for what is kept."""
        return sample.chunks(max(1, self.memory.for_kept // (4 * self.shape.kept_per_token)))
