"""Interventions over batches of pairs: one number per pair, every write checked, nothing computed twice."""

from collections import defaultdict
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from circuitcheck.engine.base_runs import BaseRuns
from circuitcheck.engine.cone import Batch, Cone, Entry
from circuitcheck.engine.decoder import CannotFork, Decoder, agree
from circuitcheck.engine.hookpoints import Target, targets
from circuitcheck.engine.memory import Memory, out_of_memory
from circuitcheck.engine.plain import Plain
from circuitcheck.engine.reference import Reference
from circuitcheck.engine.samples import Chunk, Sample, other_side
from circuitcheck.engine.shapes import shape_of
from circuitcheck.engine.writes import Write
from circuitcheck.errors import CircuitError, EngineError, InterventionError
from circuitcheck.methods import Ablation, Side
from circuitcheck.readouts import Reading, Readout
from circuitcheck.sites import Anatomy, Position, Site

if TYPE_CHECKING:
    from circuitcheck.types import Floats

Progress = Callable[[str, int, int], None]
# For rows that are certain pairs, and the activation that is there: what is put in its place, of the same shape.
_Supply = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
# The supply of one target of a chunk from a position on. All that must be run for it is run before.
_Values = Callable[[Target, Chunk, int], _Supply]


@dataclass(frozen=True)
class Outcome:
    """The readout of each pair; ``unchanged`` says that the writes put back what was there (an inert component)."""

    values: "Floats"
    unchanged: bool = False


@dataclass(frozen=True)
class _Intervention:
    """What is written into one side of the pairs: one variant for each set of sites, all with the same kind of values.

    ``from_fork``: before the fork the values are those that are there, so that nothing is written.
    """

    side: Side
    variants: list[list[Target]]
    values: _Values
    from_fork: bool
    spare_bos: bool = False


class Engine:
    """Runs one model, within ``memory`` bytes beside the model itself (see ``--circuit-memory``).

    Base runs, reference means and results are shared by all claims on the same pairs. ``progress(what, done, total)``
    is called after every batch; replace it to show where a long claim stands.
    """

    def __init__(self, bridge: Any, anatomy: Anatomy, bos: int | None, memory: int):
        self.bridge, self.anatomy, self.bos = bridge, anatomy, bos
        self.progress: Progress = lambda what, done, total: None
        self.memory, self.shape = Memory(memory), shape_of(bridge, anatomy)
        self.plain = Plain(bridge, self.shape, self.memory)
        self.why_plain = ""
        self._agreed: set[Hashable] = set()
        self._means: dict[Hashable, torch.Tensor] = {}
        self._readings: dict[Hashable, Reading] = {}
        self._outcomes: dict[Hashable, Outcome] = {}

    @cached_property
    def cone(self) -> Cone | None:
        """Cone execution, None (and ``why_plain``) for an architecture that has none."""
        try:
            return Cone(BaseRuns(Decoder(self.bridge), self.anatomy, self.shape, self.memory), self.anatomy.parallel)
        except CannotFork as error:
            self.why_plain = str(error)
            return None

    @property
    def runner(self) -> Cone | Plain:
        return self.plain if self.cone is None or self.why_plain else self.cone

    def describe(self) -> str:
        """How interventions are run, in words."""
        runner = self.runner
        return "cone" if isinstance(runner, Cone) else f"plain hooked runs, all of the model: {self.why_plain}"

    def base(self, sample: Sample, side: Side, readout: Readout) -> Outcome:
        """The readout of the unchanged clean or corrupted run."""
        key = (sample.identity, "base", side, readout)
        if key not in self._outcomes:
            readout.check(sample.pairs)
            values = np.empty(len(sample.pairs))
            for chunk in self._chunks(sample):
                values[list(chunk.rows)] = self._base_chunk(chunk, side, self._reading(readout, chunk))
            self._outcomes[key] = Outcome(values)
        return self._outcomes[key]

    def patched(self, sample: Sample, sites: Sequence[Site], into: Side, readout: Readout) -> Outcome:
        """The readout of the run ``into`` with the other run's activations put in at ``sites``."""
        return self.patched_each(sample, [sites], into, readout)[0]

    def patched_each(
        self, sample: Sample, sets: Sequence[Sequence[Site]], into: Side, readout: Readout
    ) -> list[Outcome]:
        """As ``patched``, for each of several sets of sites, in common batches."""

        def values(target: Target, chunk: Chunk, start: int) -> _Supply:
            source = self.runner.activation(chunk, other_side(into), target.layer, target.kind, start)
            return lambda which, _: source[which]

        keys = [(sample.identity, "patch", tuple(sites), into, readout) for sites in sets]
        return self._each(
            keys, sets, sample, readout, lambda variants: _Intervention(into, variants, values, from_fork=True)
        )

    def ablated(
        self, sample: Sample, sites: Sequence[Site], ablation: Ablation, reference: Reference, readout: Readout
    ) -> Outcome:
        """The readout of the clean run with ``sites`` ablated."""
        return self.ablated_each(sample, [sites], ablation, reference, readout)[0]

    def ablated_each(
        self,
        sample: Sample,
        sets: Sequence[Sequence[Site]],
        ablation: Ablation,
        reference: Reference,
        readout: Readout,
    ) -> list[Outcome]:
        """As ``ablated``, for each of several sets of sites, in common batches."""
        frozen = reference.identity(ablation.of) if ablation.needs_reference else ""
        keys = [(sample.identity, "ablate", tuple(sites), ablation, frozen, readout) for sites in sets]
        values = partial(self._ablated_values, ablation, reference)
        spare = not ablation.needs_reference
        return self._each(
            keys, sets, sample, readout, lambda variants: _Intervention("clean", variants, values, False, spare)
        )

    def _each(
        self,
        keys: Sequence[Hashable],
        sets: Sequence[Sequence[Site]],
        sample: Sample,
        readout: Readout,
        intervention: Callable[[list[list[Target]]], _Intervention],
    ) -> list[Outcome]:
        missing = {key: sites for key, sites in zip(keys, sets, strict=True) if key not in self._outcomes}
        if missing:
            readout.check(sample.pairs)
            alike: dict[Hashable, list[tuple[Hashable, list[Target]]]] = defaultdict(list)
            for key, sites in missing.items():
                variant = targets(sites)
                alike[tuple((target.hook, target.components is None) for target in variant)].append((key, variant))
            for found in alike.values():
                outcomes = self._run(sample, readout, intervention([variant for _, variant in found]))
                self._outcomes.update(zip([key for key, _ in found], outcomes, strict=True))
        return [self._outcomes[key] for key in keys]

    def _run(self, sample: Sample, readout: Readout, intervention: _Intervention) -> list[Outcome]:
        """Variants that write at the same hook points: each of them on each pair is a row."""
        values = np.empty((len(intervention.variants), len(sample.pairs)))
        unchanged = np.ones(len(intervention.variants), dtype=bool)
        for chunk in self._chunks(sample):
            reading = self._reading(readout, chunk)
            by_start: dict[int, list[int]] = defaultdict(list)
            for number, variant in enumerate(intervention.variants):
                by_start[self._start(chunk, variant, intervention)].append(number)
            for start, numbers in by_start.items():
                columns = np.ix_(numbers, chunk.rows)
                if start == chunk.length:  # both runs are one where it would be written
                    values[columns] = self.base(sample, intervention.side, readout).values[list(chunk.rows)]
                    continue
                found, moved = self._run_chunk(chunk, reading, intervention, numbers, start)
                values[columns] = found
                unchanged[numbers] &= ~moved
        return [Outcome(row, bool(inert)) for row, inert in zip(values, unchanged, strict=True)]

    def _run_chunk(
        self, chunk: Chunk, reading: Reading, intervention: _Intervention, numbers: list[int], first: int
    ) -> "tuple[Floats, Any]":
        """Numbers of shape [variant, pair], and which variants changed anything."""
        variants = [intervention.variants[number] for number in numbers]
        entry, pairs = Entry.of(variants[0]), len(chunk.pairs)
        moved = np.zeros(len(variants), dtype=bool)

        def batch(rows: torch.Tensor, start: int) -> Batch:
            which, variant = rows % pairs, rows // pairs
            slots = range(len(variants[0]))
            writes = [
                self._write(chunk, intervention, [v[slot] for v in variants], which, variant, start) for slot in slots
            ]
            return Batch(chunk, intervention.side, which, start, entry, writes, reading.vocabulary)

        def finished(rows: torch.Tensor, done: Batch) -> None:
            for write in done.writes:
                moved[np.unique((rows // pairs)[write.moved].numpy())] = True

        rows = torch.arange(len(variants) * pairs)
        one, kinds = rows[:1], tuple(sorted({target.kind for target in variants[0]}))
        self._agree((entry.written, entry.first == 0, kinds), lambda: (batch(one, 0), batch(one, first)))
        start = first if isinstance(self.runner, Cone) else 0
        values = self._read(partial(batch, start=start), rows, reading, variants[0][0].hook, finished)
        return values.reshape(len(variants), pairs), moved

    def _write(
        self,
        chunk: Chunk,
        intervention: _Intervention,
        slot: list[Target],
        which: torch.Tensor,
        variant: torch.Tensor,
        start: int,
    ) -> Write:
        """The write at one hook point for rows that are the pairs ``which`` under the variants ``variant``."""
        places: dict[Position, int] = {}
        place = torch.tensor([places.setdefault(target.position, len(places)) for target in slot])
        masks = torch.stack([self._mask(chunk, position, intervention) for position in places])
        mask = masks[place[variant], which][:, start:]
        components = None
        if slot[0].components is not None:
            components = torch.zeros(len(slot), self.anatomy.count(slot[0].kind), dtype=torch.bool)
            for row, target in enumerate(slot):
                components[row, list(target.components or ())] = True
            components = components[variant]
        supply = intervention.values(slot[0], chunk, start)
        return Write(slot[0].hook, mask, components, lambda activation: supply(which, activation))

    def _mask(self, chunk: Chunk, position: Position, intervention: _Intervention) -> torch.Tensor:
        mask = chunk.mask(position)
        if intervention.spare_bos and self.bos is not None:
            mask = mask & (chunk.tokens(intervention.side) != self.bos)
        return mask

    def _start(self, chunk: Chunk, variant: list[Target], intervention: _Intervention) -> int:
        """The first token that a variant can change in any pair; the chunk's length where it can change none."""
        written = torch.stack([self._mask(chunk, target.position, intervention) for target in variant]).any(0).any(0)
        if intervention.from_fork:
            written[: chunk.fork] = False
        found = written.nonzero()
        return int(found[0]) if len(found) else chunk.length

    def _ablated_values(
        self, ablation: Ablation, reference: Reference, target: Target, chunk: Chunk, start: int
    ) -> _Supply:
        if not ablation.needs_reference:
            return lambda _, activation: torch.full_like(activation, ablation.value)

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
        behind_all_blocks = Entry(self.shape.n_layers, None)

        def batch(rows: torch.Tensor) -> Batch:
            return Batch(chunk, side, rows, chunk.length - 1, behind_all_blocks, [], reading.vocabulary)

        rows = torch.arange(len(chunk.pairs))
        self._agree("base", lambda: (batch(rows[:1]), batch(rows[:1])))
        return self._read(batch, rows, reading, f"{side} runs")

    def _read(
        self,
        batch: Callable[[torch.Tensor], Batch],
        rows: torch.Tensor,
        reading: Reading,
        what: str,
        finished: Callable[[torch.Tensor, Batch], None] = lambda rows, batch: None,
    ) -> "Floats":
        """The readout of each row, in batches that are halved where they do not fit."""
        values, done = np.empty(len(rows)), 0
        first = batch(rows[:1])
        size = self.runner.batch_size(first, len(rows))
        while done < len(rows):
            chosen = rows[done : done + size]
            this = batch(chosen)
            try:
                logits = self.runner.run(this)
            except (RuntimeError, MemoryError) as error:
                if not out_of_memory(error):
                    raise
                if len(chosen) == 1:
                    raise EngineError(
                        "one prompt alone does not fit into memory: lower --circuit-memory, so that less is kept of "
                        "other runs, or take a smaller --circuit-dtype"
                    ) from error
                size = len(chosen) // 2
                continue
            for write in this.writes:
                if not write.fired:
                    raise InterventionError(f"the hook {write.hook} never fired, so that nothing was written")
            finished(chosen, this)
            values[done : done + len(chosen)] = reading.read(logits, this.which)
            done += len(chosen)
            self.progress(what, done, len(rows))
        return values

    def _agree(self, kind: Hashable, batches: Callable[[], tuple[Batch, Batch]]) -> None:
        """The first time that this kind of cone is run: see that it gives what the plain hooked run gives."""
        cone = self.cone
        if cone is None or self.why_plain or kind in self._agreed:
            return
        whole, part = batches()
        why = _disagreement(self.plain, cone, whole, part)
        if why and cone.replaying:
            cone.replaying = False
            why = _disagreement(self.plain, cone, whole, part)
        self._agreed.add(kind)
        self.why_plain = why

    def _reading(self, readout: Readout, chunk: Chunk) -> Reading:
        if (readout, chunk.key) not in self._readings:
            self._readings[readout, chunk.key] = readout.reading(chunk.pairs)
        return self._readings[readout, chunk.key]

    def _chunks(self, sample: Sample) -> list[Chunk]:
        """A sample's pairs in chunks whose base runs take at most a half of the memory for what is kept."""
        return sample.chunks(max(1, self.memory.for_kept // (4 * self.shape.kept_per_token)))


def _disagreement(plain: Plain, cone: Cone, whole: Batch, part: Batch) -> str:
    """What speaks against a cone; empty if nothing does."""
    wanted = plain.run(whole)
    try:
        found = cone.run(part)
    except CircuitError:
        raise
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    if agree(wanted, found):
        return ""
    return f"a cone's logits were off by {float((wanted - found).abs().max()):.2g} from those of a plain hooked run"
