"""Interventions over batches of pairs: one number per pair, every write checked, nothing computed twice."""

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import repeat
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from circuitcheck.addresses.graphs import Graph
from circuitcheck.addresses.sites import Anatomy, Site
from circuitcheck.engine.ablations import NOTHING_HELD, Ablation, Held
from circuitcheck.engine.chunks import Chunk, chunks_of
from circuitcheck.engine.cone.base_runs import BaseRuns
from circuitcheck.engine.cone.cone import Cone
from circuitcheck.engine.cone.decoder import CannotFork, Decoder
from circuitcheck.engine.graph_runs import GraphRuns
from circuitcheck.engine.hooks.batches import Batch
from circuitcheck.engine.hooks.hookpoints import Entry, Target, targets
from circuitcheck.engine.hooks.interventions import Intervention, Rows
from circuitcheck.engine.hooks.plain import Plain
from circuitcheck.engine.making import Making
from circuitcheck.engine.memory import Memory, in_batches
from circuitcheck.engine.readouts import Reading, Readout
from circuitcheck.engine.recorded import at_last_token
from circuitcheck.engine.shapes import rounding_of, shape_of
from circuitcheck.engine.subspaces import Placebo, Subspace
from circuitcheck.engine.trust import Trust
from circuitcheck.engine.watching.questions import Questions
from circuitcheck.errors import InterventionError
from circuitcheck.prompts.alignment import AlignedPair
from circuitcheck.prompts.pairs import Side
from circuitcheck.sampling.references import Reference
from circuitcheck.sampling.remembered import Doing, Numbers, Remembered
from circuitcheck.sampling.samples import Sample

if TYPE_CHECKING:
    from circuitcheck.types import Booleans, Floats

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Outcome:
    """The readout of each pair; ``unchanged`` says that the writes put back what was there (an inert component). ``noise``:
    what rounding can make of each pair's, as an unchanged run shows it."""

    values: "Floats"
    unchanged: bool = False
    noise: "Floats | None" = None


class Engine:
    """Runs one model, within ``memory`` bytes beside the model itself (see ``--circuit-memory``).

    Base runs, reference means and results are shared by all claims on the same pairs, and what is ``remembered`` is not
    computed again. ``progress(what, done, total)`` is called after every batch; replace it to show where a long claim stands.
    """

    def __init__(self, bridge: Any, anatomy: Anatomy, bos: int | None, memory: int, remembered: Remembered):
        self.bridge, self.anatomy, self.bos, self.remembered = bridge, anatomy, bos, remembered
        self.progress: Progress = lambda what, done, total: None
        self.memory, self.shape, self.rounding = Memory(memory), shape_of(bridge, anatomy), rounding_of(bridge)
        self.plain = Plain(bridge, self.shape, self.memory)
        self.making = Making(bridge, anatomy, bos, self.plain, lambda: self.trust, self._chunks)
        self.questions = Questions(bridge, remembered, self._forget)
        self._readings: dict[Hashable, Reading] = {}
        self._outcomes: dict[Hashable, Outcome] = {}

    @property
    def fingerprint(self) -> str:
        """Which model it is, as it is now."""
        with self.question():
            return self.questions.fingerprint

    def question(self) -> AbstractContextManager[None]:
        """All that is asked inside is asked of one and the same model: see ``Questions``."""
        return self.questions.one()

    @contextmanager
    def mutated(self) -> Iterator[None]:
        """While the block changes weights and puts them back: nothing that is computed inside is remembered."""
        with self.question():
            was_off, self.remembered.off = self.remembered.off, True
            self._forget()
            try:
                yield
            finally:
                self._forget()
                self.remembered.off = was_off

    @cached_property
    def trust(self) -> Trust:
        """Which way of running is to be trusted: cones, or plain hooked runs."""
        changes = self.questions.changes
        with self.question(), changes.of_its_own():
            self.plain.run_text()
            try:
                decoder = Decoder(self.bridge)
            except CannotFork as error:
                return Trust(changes, self.plain, None, str(error))
            base_runs = BaseRuns(decoder, self.anatomy, self.shape, self.memory)
            return Trust(changes, self.plain, Cone(base_runs, self.anatomy.parallel))

    @property
    def runner(self) -> Cone | Plain:
        return self.trust.runner

    def describe(self) -> str:
        """How interventions are run, in words; where nothing was run, how they were."""
        if "trust" not in vars(self) and (known := self.remembered.fact("engine")):
            return known
        said = "cone"
        if not isinstance(self.runner, Cone):
            said = f"plain hooked runs of the whole model, slower and with the same numbers: {self.trust.why_plain}"
        self.remembered.note("engine", said)
        return said

    def noise(self, sample: Sample, readout: Readout) -> "Floats":
        """What rounding can make of each pair's number, as its base runs that were read so far show it; of shape [pair]."""
        noise: Floats = np.zeros(len(sample.pairs))
        for side in ("clean", "corrupt"):
            base = self._outcomes.get((sample.identity, "base", side, readout))
            if base is not None and base.noise is not None:
                noise = np.maximum(noise, base.noise)
        return noise

    def base(self, sample: Sample, side: Side, readout: Readout) -> Outcome:
        """The readout of the unchanged clean or corrupted run."""
        doing: Doing = ("base", side, readout)
        with self.question():
            if (sample.identity, *doing) not in self._outcomes:
                readout.check(sample.pairs)
                found = self.remembered.recall(doing, sample.pairs)
                for chunk in self._chunks(sample):
                    self._run_base(doing, side, self._reading(readout, chunk), chunk, found)
                self._outcomes[sample.identity, *doing] = Outcome(found.values, noise=found.beside)
            return self._outcomes[sample.identity, *doing]

    def activations(self, sample: Sample, side: Side, sites: Sequence[Site]) -> "Floats":
        """What is at the sites, all of one hook point, at the last of their tokens, of shape [pair, width]."""

        def look(chunk: Chunk) -> "Floats":
            return at_last_token(self.trust, chunk, side, targets(sites))

        return self.looked_at(sample, ("activation", side, tuple(sites)), look)

    def looked_at(self, sample: Sample, doing: Doing, look: "Callable[[Chunk], Floats]") -> "Floats":
        """What a look at each chunk's unchanged runs finds in each pair, of shape [pair, ...]."""
        with self.question():
            found = self.remembered.recall_arrays(doing, [pair.key for pair in sample.pairs])
            for chunk in self._chunks(sample):
                if all(found[row] is not None for row in chunk.rows):
                    continue
                seen = look(chunk)
                for row, one in zip(chunk.rows, seen, strict=True):
                    found[row] = one
                self.remembered.keep_arrays(doing, zip((pair.key for pair in chunk.pairs), seen, strict=True))
            return np.stack([one for one in found if one is not None])

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
        source = f"crossed in {sample.identity}" if crossed else ""
        doings = [("patch", tuple(sites), into, readout, source, held, along) for sites in sets]
        return self._each(doings, sets, sample, readout, partial(self.making.patching, into, crossed, held, along))

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
        doings = [("ablate", tuple(sites), ablation, frozen, readout, held, into) for sites in sets]
        return self._each(doings, sets, sample, readout, partial(self.making.ablating, ablation, reference, held, into))

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
        doing: Doing = ("graph", graph.identity, tuple(universe), ablation, frozen, readout)
        with self.question():
            if (sample.identity, *doing) not in self._outcomes:
                readout.check(sample.pairs)
                found, written = self.remembered.recall(doing, sample.pairs), targets(universe)
                for chunk in self._chunks(sample):
                    rows = list(chunk.rows)
                    if found.known[rows].all():
                        continue
                    ablated = [self.making.ablated_values(ablation, reference, target, chunk, 0) for target in written]
                    spared = torch.zeros_like(chunk.tokens("clean"), dtype=torch.bool)
                    if ablation.spares_bos and self.bos is not None:
                        spared = chunk.tokens("clean") == self.bos
                    reading = self._reading(readout, chunk)
                    runs = GraphRuns(
                        self.trust, self.anatomy, graph, written, ablated, spared, chunk, reading.vocabulary
                    )
                    found.values[rows] = runs.read(reading, self.progress)
                    self.remembered.keep((doing, sample.pairs[row], found.values[row], 0.0) for row in rows)
                self._outcomes[sample.identity, *doing] = Outcome(found.values)
            return self._outcomes[sample.identity, *doing]

    def embeddings(self) -> "Floats":
        """Every token's embedding, of shape [token, d_model]."""
        found: Floats = self.bridge.W_E.detach().double().cpu().numpy()
        return found

    def _each(
        self,
        doings: Sequence[Doing],
        sets: Sequence[Sequence[Site]],
        sample: Sample,
        readout: Readout,
        intervention: Callable[[list[list[Target]]], Intervention],
    ) -> list[Outcome]:
        with self.question():
            missing = {
                doing: sites
                for doing, sites in zip(doings, sets, strict=True)
                if (sample.identity, *doing) not in self._outcomes
            }
            readout.check(sample.pairs)
            found = {doing: self.remembered.recall(doing, sample.pairs) for doing in missing}
            alike: dict[Hashable, list[tuple[Doing, list[Target]]]] = defaultdict(list)
            for doing, sites in missing.items():
                if not found[doing].known.all():
                    variant = targets(sites)
                    like = tuple((target.hook, target.components is None, target.routes) for target in variant)
                    alike[like].append((doing, variant))
            for those in alike.values():
                doing_each = {doing: found[doing] for doing, _ in those}
                self._run(sample, readout, intervention([variant for _, variant in those]), doing_each)
            for doing, numbers in found.items():
                self._outcomes[sample.identity, *doing] = Outcome(numbers.values, not numbers.beside.any())
            return [self._outcomes[sample.identity, *doing] for doing in doings]

    def _run(self, sample: Sample, readout: Readout, intervention: Intervention, found: dict[Doing, Numbers]) -> None:
        """Run variants that write at the same hook points, each of them on each pair of which nothing is known: a row. Beside
        its number is whether a write moved anything."""
        base = self.base(sample, intervention.side, readout).values
        doings, numbers = list(found), list(found.values())
        for chunk in self._chunks(sample):
            by_start: dict[int, list[int]] = defaultdict(list)
            for number, variant in enumerate(intervention.variants):
                if not numbers[number].known[list(chunk.rows)].all():
                    by_start[intervention.start(chunk, variant)].append(number)
            for start, chosen in by_start.items():
                variants = [intervention.variants[number] for number in chosen]
                rows = Rows(chunk, intervention, variants, self.anatomy, self._reading(readout, chunk))
                self._run_rows(rows, start, [(doings[n], numbers[n]) for n in chosen], base)

    def _run_rows(self, rows: Rows, start: int, found: Sequence[tuple[Doing, Numbers]], base: "Floats") -> None:
        """Fill in what is not known of each variant, and keep it batch by batch. Where nothing was moved, rounding is no
        effect: there the number is that of the ``base`` run."""
        chunk, pairs = rows.chunk, len(rows.chunk.pairs)
        unknown = ~np.stack([numbers.known[list(chunk.rows)] for _, numbers in found])

        def fill(chosen: torch.Tensor, values: "Floats", moved: "Booleans") -> None:
            variant, pair = np.divmod(chosen.numpy(), pairs)
            kept: list[tuple[Doing, AlignedPair, float, float]] = []
            for number in np.unique(variant):
                (doing, numbers), here = found[number], np.flatnonzero(variant == number)
                places = np.array(chunk.rows)[pair[here]]
                numbers.values[places] = np.where(moved[here], values[here], base[places])
                numbers.beside[places], numbers.known[places] = moved[here], True
                kept += zip(
                    repeat(doing),
                    (chunk.pairs[p] for p in pair[here]),
                    numbers.values[places],
                    moved[here],
                    strict=False,
                )
            self.remembered.keep(kept)

        asked = torch.tensor(unknown.flatten().nonzero()[0])
        if start == chunk.length:  # both runs are one where it would be written
            fill(asked, np.zeros(len(asked)), np.zeros(len(asked), dtype=bool))
            return
        self.trust.check_read(rows.chunk, rows.variants[0])
        self.trust.check(rows, start)
        start = start if isinstance(self.runner, Cone) else 0
        supplies = rows.supplies(start)

        def finished(chosen: torch.Tensor, batch: Batch, values: "Floats") -> None:
            fill(chosen, values, np.stack([write.moved.numpy() for write in batch.writes]).max(0))

        self._read(partial(rows.batch, start=start, supplies=supplies), asked, rows.reading.read, rows.label, finished)

    def _run_base(self, doing: Doing, side: Side, reading: Reading, chunk: Chunk, found: Numbers) -> None:
        """Fill in what is not known of a chunk's unchanged runs. Beside each pair's number is its noise."""
        places = np.array(chunk.rows)
        rows = torch.tensor((~found.known[places]).nonzero()[0])
        if not len(rows):
            return
        batch = partial(self._unchanged, chunk, side, reading.vocabulary)

        def read(logits: torch.Tensor, which: torch.Tensor) -> "Floats":
            values = reading.read(logits, which)
            found.beside[places[which.numpy()]] = reading.noise(logits, which, values)
            return values

        def finished(chosen: torch.Tensor, _: Batch, values: "Floats") -> None:
            at = places[chosen.numpy()]
            found.values[at] = values
            self.remembered.keep(
                (doing, chunk.pairs[row], found.values[place], found.beside[place])
                for row, place in zip(chosen.tolist(), at, strict=True)
            )

        self.trust.check_base(batch(rows[:1]))
        self._read(batch, rows, read, f"{side} runs", finished)

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
        finished: "Callable[[torch.Tensor, Batch, Floats], None]",
    ) -> None:
        """Read the rows, batch by batch; each is ``finished`` with its readouts as soon as it is run."""
        done, runner = 0, self.runner

        def run(chosen: torch.Tensor) -> tuple[Batch, torch.Tensor]:
            this = batch(chosen)
            return this, runner.run(this)

        for chosen, (this, logits) in in_batches(rows, runner.batch_size(batch(rows[:1]), len(rows)), run):
            if silent := this.silent():
                raise InterventionError(f"the hook {silent[0]} never fired, so that nothing was written")
            finished(chosen, this, read(logits, this.which))
            done += len(chosen)
            self.progress(what, done, len(rows))

    def _forget(self) -> None:
        self.memory.clear()
        self.making.forget()
        self._outcomes.clear()
        self._readings.clear()
        if "trust" in vars(self):
            self.trust.forget()

    def _reading(self, readout: Readout, chunk: Chunk) -> Reading:
        if (readout, chunk.key) not in self._readings:
            clean = partial(self._clean_logits, chunk) if readout.looks_at_clean else None
            self._readings[readout, chunk.key] = readout.reading(chunk.pairs, self.rounding, clean)
        return self._readings[readout, chunk.key]

    def _chunks(self, sample: Sample) -> list[Chunk]:
        """A sample's pairs in chunks whose base runs take at most a half of the memory for what is kept."""
        return chunks_of(sample, max(1, self.memory.for_kept // (4 * self.shape.kept_per_token)))
