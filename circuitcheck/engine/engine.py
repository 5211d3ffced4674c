"""Interventions over batches of pairs: one number per pair, every write checked, nothing computed twice."""

from collections import defaultdict
from collections.abc import Callable, Hashable, Mapping, Sequence
from functools import cached_property, partial
from itertools import repeat
from typing import TYPE_CHECKING, Any

import numpy as np

from circuitcheck.addresses.anatomy import Anatomy
from circuitcheck.addresses.graphs import Graph
from circuitcheck.addresses.sites import Site
from circuitcheck.engine.chunks import Chunk, chunks_of
from circuitcheck.engine.cone.base_runs import BaseRuns
from circuitcheck.engine.cone.cone import Cone
from circuitcheck.engine.cone.decoder import CannotFork, Decoder
from circuitcheck.engine.features.dictionary import Dictionary
from circuitcheck.engine.graphs.runs import GraphRuns
from circuitcheck.engine.hooks.attached import Attached
from circuitcheck.engine.hooks.batches import Batch
from circuitcheck.engine.hooks.hookpoints import Entry, Target, targets
from circuitcheck.engine.hooks.interventions import Intervention, Rows
from circuitcheck.engine.hooks.plain import Plain
from circuitcheck.engine.making import Ablating, Making, Writing
from circuitcheck.engine.memory import Memory, in_batches
from circuitcheck.engine.on_demand import torch
from circuitcheck.engine.readouts.named import Reading, Readout
from circuitcheck.engine.shapes import rounding_of, shape_of
from circuitcheck.engine.trust import Trust
from circuitcheck.engine.watching.changes import Changes
from circuitcheck.engine.watching.questions import Questions
from circuitcheck.errors import InterventionError
from circuitcheck.prompts.aligned_pairs import AlignedPair
from circuitcheck.prompts.pairs import Side
from circuitcheck.sampling.remembered import Doing, Numbers
from circuitcheck.sampling.samples import Sample

if TYPE_CHECKING:
    from circuitcheck.types import Booleans, Floats

Progress = Callable[[str, int, int], None]
# Features whose values are worked out together.
_FEATURES = 256


class Engine:
    """Runs one model, within ``memory`` bytes beside the model itself, and fills in numbers that are missing.

    Base runs and reference means are shared by all that is run on the same pairs; each number is kept in the store as soon
    as it is there. ``progress(what, done, total)`` is called after every batch, ``see_length(n)`` before prompts of n tokens are run.
    """

    def __init__(
        self,
        bridge: Any,
        anatomy: Anatomy,
        bos: int | None,
        memory: int,
        questions: Questions,
        progress: Progress,
        see_length: Callable[[int], None],
        dictionaries: Mapping[tuple[int, str], Dictionary],
    ):
        self.bridge, self.anatomy, self.bos, self.progress = bridge, anatomy, bos, progress
        self.see_length = see_length
        self.questions, self.remembered = questions, questions.remembered
        self.memory, self.shape, self.rounding = Memory(memory), shape_of(bridge, anatomy), rounding_of(bridge)
        self.plain = Plain(bridge, self.shape, self.memory)
        self.attached = Attached(bridge, dictionaries)
        self.making = Making(bridge, anatomy, bos, self.plain, lambda: self.trust, self.chunks, self.attached)
        self._readings: dict[Hashable, Reading] = {}

    @cached_property
    def trust(self) -> Trust:
        """Which way of running is to be trusted: cones, or plain hooked runs."""
        with self.questions.one(), self.changes.of_its_own():
            self.plain.run_text()
            try:
                decoder = Decoder(self.bridge)
            except CannotFork as error:
                return Trust(self.changes, self.plain, None, str(error))
            base_runs = BaseRuns(decoder, self.anatomy, self.shape, self.memory)
            return Trust(self.changes, self.plain, Cone(base_runs))

    @property
    def changes(self) -> Changes:
        """What watches the model."""
        if self.questions.changes is None:
            raise AssertionError("a model that is run is loaded, and watched")
        return self.questions.changes

    @property
    def runner(self) -> Cone | Plain:
        return self.trust.runner

    @property
    def has_run(self) -> bool:
        """Whether anything was run, so that it is known which way of running is to be trusted."""
        return "trust" in vars(self)

    def describe(self) -> str:
        """How interventions are run, in words."""
        if isinstance(self.runner, Cone):
            return "cone"
        return f"plain hooked runs of the whole model, slower and with the same numbers: {self.trust.why_plain}"

    def run_unchanged(self, sample: Sample, side: Side, readout: Readout, doing: Doing, found: Numbers) -> None:
        """Fill in what is not known of one side's unchanged runs."""
        for chunk in self.chunks(sample):
            self._run_base(doing, side, self.reading(readout, chunk), chunk, found)

    def run_each(
        self,
        sample: Sample,
        readout: Readout,
        written: Mapping[Doing, list[Target]],
        found: Mapping[Doing, Numbers],
        base: "Floats",
        writing: Writing,
    ) -> None:
        """Fill in what is not known of what is written at targets, those at the same hook points in common batches. ``base``:
        the readout of the run that is written into, of shape [pair]."""
        alike: dict[Hashable, list[Doing]] = defaultdict(list)
        for doing, variant in written.items():
            alike[run_with(variant)].append(doing)
        for doings in alike.values():
            intervention = self.making.intervention(writing, [written[doing] for doing in doings])
            self._run(sample, readout, intervention, {doing: found[doing] for doing in doings}, base)

    def run_graph(
        self,
        sample: Sample,
        graph: Graph,
        universe: Sequence[Site],
        ablating: Ablating,
        readout: Readout,
        doing: Doing,
        found: Numbers,
    ) -> None:
        """Fill in what is not known of clean runs with a universe ablated but for a graph's components."""
        written = targets(universe)
        for chunk in self.chunks(sample):
            rows = list(chunk.rows)
            if found.known[rows].all():
                continue
            ablated = [ablating.values(self.making, target, chunk, 0) for target in written]
            spared = torch.zeros_like(chunk.tokens("clean"), dtype=torch.bool)
            if ablating.how.spares_bos and self.bos is not None:
                spared = chunk.tokens("clean") == self.bos
            reading = self.reading(readout, chunk)
            runs = GraphRuns(
                self.trust, self.anatomy, graph, written, ablated, ablating.identity, spared, chunk, reading.vocabulary
            )
            found.values[rows] = runs.read(reading, self.progress)
            self.remembered.keep((doing, sample.pairs[row], found.values[row], 0.0) for row in rows)

    def recorded(self, chunk: Chunk, side: Side, target: Target, start: int = 0) -> torch.Tensor:
        """What is at a target in a chunk's unchanged runs, from a token on; of shape [pair, position, ...]."""
        self.trust.check_recorded(chunk, side, target, start)
        return self.making.activation(chunk, side, target, start)

    def at_last_token(self, chunk: Chunk, side: Side, sites: Sequence[Site]) -> "Floats":
        """What is at sites of one hook point, at the last of their tokens; of shape [pair, width]."""
        [target] = targets(sites)
        there = self.recorded(chunk, side, target)
        last = chunk.length_of(side) - 1 - chunk.mask(target.position, side).flip(1).int().argmax(1)
        at_last = there[torch.arange(len(there)), last.to(there.device)]
        whole = target.components is None or target.is_of_dictionary
        chosen = at_last if whole or target.components is None else at_last[:, list(target.components)]
        numbers: Floats = chosen.flatten(1).double().cpu().numpy()
        return numbers

    def _run(
        self,
        sample: Sample,
        readout: Readout,
        intervention: Intervention,
        found: Mapping[Doing, Numbers],
        base: "Floats",
    ) -> None:
        """Run variants that write at the same hook points, each of them on each pair of which nothing is known: a row. Beside
        its number is whether a write moved anything."""
        doings, numbers = list(found), list(found.values())
        for chunk in self.chunks(sample):
            by_start: dict[int, list[int]] = defaultdict(list)
            for number, variant in enumerate(intervention.variants):
                if not numbers[number].known[list(chunk.rows)].all():
                    by_start[intervention.start(chunk, variant)].append(number)
            for start, chosen in by_start.items():
                variants = [intervention.variants[number] for number in chosen]
                rows = Rows(chunk, intervention, variants, self.anatomy, self.reading(readout, chunk))
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
        if start == chunk.length_of(rows.intervention.side):  # both runs are one where it would be written
            fill(asked, np.zeros(len(asked)), np.zeros(len(asked), dtype=bool))
            return
        start = min(start, chunk.length - chunk.read)  # what is read is run, too
        self.trust.check_read(rows.chunk, rows.variants[0])
        self.trust.check(rows, start)
        begin = start if isinstance(self.runner, Cone) else 0
        supplies = rows.supplies(begin)
        if begin and not isinstance(self.runner, Cone):  # a look at what is to be put in has ended the trust in cones
            begin, supplies = 0, rows.supplies(0)

        def finished(chosen: torch.Tensor, batch: Batch, ran: torch.Tensor, values: "Floats") -> None:
            fill(chosen, values, np.stack([write.moved.numpy() for write in batch.writes]).max(0)[ran.numpy()])

        run = partial(rows.batch, start=begin, supplies=supplies)
        self._read(chunk, run, asked, rows.reading.read, rows.label, finished)

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

        def finished(chosen: torch.Tensor, _: Batch, __: torch.Tensor, values: "Floats") -> None:
            at = places[chosen.numpy()]
            found.values[at] = values
            self.remembered.keep(
                (doing, chunk.pairs[row], found.values[place], found.beside[place])
                for row, place in zip(chosen.tolist(), at, strict=True)
            )

        self.trust.check_base(batch(rows[:1]))
        self._read(chunk, batch, rows, read, f"{side} runs", finished)

    def _unchanged(self, chunk: Chunk, side: Side, vocabulary: torch.Tensor | None, rows: torch.Tensor) -> Batch:
        start = chunk.length_of(side) - chunk.read
        return Batch(chunk, side, rows, start, Entry(self.shape.n_layers, None), [], vocabulary)

    def _clean_logits(self, chunk: Chunk, which: torch.Tensor) -> torch.Tensor:
        """All logits of the clean runs of the pairs ``which`` of a chunk, of shape [row, token]."""

        def run() -> torch.Tensor:
            return self.last_logits(chunk, "clean", torch.arange(len(chunk.pairs)))

        return self.memory.get((chunk.key, "clean logits"), run)[which]

    def last_logits(self, chunk: Chunk, side: Side, which: torch.Tensor) -> torch.Tensor:
        """All logits of the unchanged runs of the pairs ``which`` of a chunk, of shape [row, token]."""
        batch = partial(self._unchanged, chunk, side, None)
        size = self.runner.batch_size(batch(which[:1]), len(which))
        return torch.cat([found for _, found in in_batches(which, size, lambda some: self.runner.run(batch(some)))])

    def _read(
        self,
        chunk: Chunk,
        batch: Callable[[torch.Tensor], Batch],
        rows: torch.Tensor,
        read: "Callable[[torch.Tensor, torch.Tensor], Floats]",
        what: str,
        finished: "Callable[[torch.Tensor, Batch, torch.Tensor, Floats], None]",
    ) -> None:
        """Read the rows, batch by batch, of which those that run alike are run once; each is ``finished`` with the rows of the batch
        that they are and their readouts as soon as it is run."""
        done, runner, pairs = 0, self.runner, len(chunk.pairs)
        runs, ran = torch.unique(rows - rows % pairs + chunk.alike[rows % pairs], return_inverse=True)

        def run(chosen: torch.Tensor) -> tuple[Batch, torch.Tensor]:
            this = batch(chosen)
            return this, runner.run(this)

        one = batch(runs[:1])
        size = self.memory.rows(runner.batch_size(one, len(runs)), one.bytes_per_row)
        for chosen, (this, logits) in in_batches(runs, size, run):
            if silent := this.silent():
                raise InterventionError(f"the hook {silent[0]} never fired, so that nothing was written")
            here = ((ran >= done) & (ran < done + len(chosen))).nonzero()[:, 0]
            at = ran[here] - done
            logits = logits if len(runs) == len(rows) else logits[at.to(logits.device)]
            finished(rows[here], this, at, read(logits, rows[here] % pairs))
            done += len(chosen)
            self.progress(what, done, len(runs))

    def forget(self) -> None:
        """Forget what was computed: the model has changed."""
        self.memory.clear()
        self.making.forget()
        self._readings.clear()
        if "trust" in vars(self):
            self.trust.forget()

    def reading(self, readout: Readout, chunk: Chunk) -> Reading:
        if (readout, chunk.key) not in self._readings:
            clean = partial(self._clean_logits, chunk) if readout.looks_at_clean else None
            self._readings[readout, chunk.key] = Reading(readout, chunk.pairs, self.rounding, clean)
        return self._readings[readout, chunk.key]

    def chunks(self, sample: Sample) -> list[Chunk]:
        """A sample's pairs in chunks whose base runs take at most a half of the memory for what is kept."""
        chunks = chunks_of(sample, max(1, self.memory.for_kept // (4 * self.shape.kept_per_token)))
        for length in dict.fromkeys(length for chunk in chunks for length in chunk.lengths):
            self.see_length(length)
        return chunks


def run_with(variant: Sequence[Target]) -> Hashable:
    """What sets of targets have in common that are run together: hook points, and of features, of which there are many, neighbours."""

    def each(target: Target) -> Hashable:
        near = target.components[0] // _FEATURES if target.is_of_dictionary and target.components else None
        return target.hook, target.kind, target.components is None, target.routes, near

    return tuple(map(each, variant))
