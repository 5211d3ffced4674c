"""What a model answers: one number per pair, recalled where it is remembered, computed where it is missing.

    answers = model.answers
    answers.base(sample, "clean", readout).values          # of shape [pair]
    answers.each(sample, [sites], Patching("corrupt"), readout)[0].values

The engine, which runs the model, is made when the first number is missing.
"""

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import cached_property, partial
from typing import TYPE_CHECKING

import numpy as np

from circuitcheck.addresses.anatomy import Anatomy
from circuitcheck.addresses.circuits import as_wholes
from circuitcheck.addresses.graphs import Graph
from circuitcheck.addresses.sites import Site
from circuitcheck.engine.chunks import Chunk
from circuitcheck.engine.engine import Engine
from circuitcheck.engine.features.dictionary import Dictionary
from circuitcheck.engine.generation.speakers import Speaker
from circuitcheck.engine.hooks.hookpoints import targets
from circuitcheck.engine.making import Ablating, Writing
from circuitcheck.engine.progress import on_stderr
from circuitcheck.engine.readouts.forced import FORCED, GREEDY
from circuitcheck.engine.readouts.generated import Generated
from circuitcheck.engine.readouts.named import Readout
from circuitcheck.engine.watching.held import Held
from circuitcheck.engine.watching.questions import Questions
from circuitcheck.errors import MethodError
from circuitcheck.prompts.pairs import Side
from circuitcheck.sampling.forced import branches_of
from circuitcheck.sampling.remembered import Doing, NotRemembered, Numbers, Remembered
from circuitcheck.sampling.samples import Sample

if TYPE_CHECKING:
    from circuitcheck.types import Floats


@dataclass(frozen=True)
class Outcome:
    """The readout of each pair; ``unchanged`` says that the writes put back what was there (an inert component). ``noise``:
    what rounding can make of each pair's, as an unchanged run shows it; ``texts``: what was written after each pair's prompt, where that
    is read."""

    values: "Floats"
    unchanged: bool = False
    noise: "Floats | None" = None
    texts: tuple[str, ...] = ()


class Answers:
    """The answers of one model, whose engine takes ``memory`` bytes beside the model itself (see ``--circuit-memory``).

    Numbers are shared by all claims on the same pairs, and what is ``remembered`` is not computed again.
    ``progress(what, done, total)`` is called after every batch; replace it to show where a long claim stands. ``see_length(n)`` is
    called before prompts of n tokens are run, unless the model is not as it was loaded: it raises where these cannot be trusted.
    """

    def __init__(
        self,
        held: Held,
        anatomy: Anatomy,
        bos: int | None,
        memory: int,
        remembered: Remembered,
        speaker: Speaker,
        dictionaries: "Mapping[tuple[int, str], Callable[[], Dictionary]] | None" = None,
    ):
        self.remembered = remembered
        self.questions = Questions(held, remembered, self._forget)
        self.progress: Callable[[str, int, int], None] = on_stderr()
        self.see_length: Callable[[int], None] = lambda length: None
        self._anatomy, self._speaker = anatomy, speaker

        def make() -> Engine:
            bridge, tell, see_length = held.bridge, self._tell, self._see_length
            attached = {place: read() for place, read in (dictionaries or {}).items()}
            return Engine(bridge, anatomy, bos, memory, self.questions, tell, see_length, attached)

        self._make = make
        self._by_origin: defaultdict[str, dict[Hashable, Outcome]] = defaultdict(dict)

    @property
    def engine(self) -> Engine:
        """Raises ``NotRemembered`` where nothing is to be computed."""
        if self.remembered.recalls_alone:
            raise NotRemembered
        return self._engine

    @cached_property
    def _engine(self) -> Engine:
        return self._make()

    @property
    def _outcomes(self) -> dict[Hashable, Outcome]:
        """Those of the origin whose numbers are asked for."""
        return self._by_origin[self.remembered.origin]

    @property
    def fingerprint(self) -> str:
        """Which model it is, as it is now."""
        with self.question():
            return self.questions.fingerprint

    @property
    def other_origin(self) -> str | None:
        """What computed the numbers that are asked for, where that is not this session."""
        return None if self.remembered.origin == self.remembered.own else self.remembered.origin

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

    def describe(self) -> str:
        """How interventions are run, in words; where nothing was run, how they were."""
        has_run = "_engine" in vars(self) and self._engine.has_run
        if not has_run and (known := self.remembered.fact("engine", others=True)):
            return known
        said = self._engine.describe()
        self.remembered.note("engine", said)
        return said

    def noise(self, sample: Sample, readout: Readout) -> "Floats":
        """What rounding can make of each pair's number, as its base runs show it; of shape [pair]. Both runs, whoever asks:
        those alone that were read so far would make it another number after other questions."""
        if readout.is_text:  # where rounding has a say, a prompt is run alone
            return np.zeros(len(sample.pairs))
        noises = [self.base(sample, side, readout).noise for side in sample.sides]
        found: Floats = np.max([noise for noise in noises if noise is not None], axis=0)
        return found

    def base(self, sample: Sample, side: Side, readout: Readout) -> Outcome:
        """The readout of the unchanged clean or corrupted run."""
        if isinstance(readout, Generated):
            [written] = self._texts(sample, side, readout, [()], None)
            return written
        if branches_of(sample) is not None:
            [joined] = self._joined(sample, readout, lambda some, read: [self.base(some, side, read)])
            return joined
        doing: Doing = ("base", side, readout)
        with self.question():
            if (sample.identity, *doing) not in self._outcomes:
                found = self._recalled(doing, sample, readout)
                if not found.known.all():
                    self.engine.run_unchanged(sample, side, readout, doing, found)
                self._outcomes[sample.identity, *doing] = Outcome(found.values, noise=found.beside)
            return self._outcomes[sample.identity, *doing]

    def activations(self, sample: Sample, side: Side, sites: Sequence[Site]) -> "Floats":
        """What is at the sites, all of one hook point, at the last of their tokens, of shape [pair, width]."""

        def look(chunk: Chunk) -> "Floats":
            return self.engine.at_last_token(chunk, side, sites)

        return self.looked_at(sample, ("activation", side, tuple(sites)), look)

    def looked_at(self, sample: Sample, doing: Doing, look: "Callable[[Chunk], Floats]") -> "Floats":
        """What a look at each chunk's unchanged runs finds in each pair, of shape [pair, ...]."""
        with self.question():
            found = self.remembered.recall_arrays(doing, [pair.key for pair in sample.pairs])
            for chunk in self.engine.chunks(sample) if any(one is None for one in found) else ():
                if all(found[row] is not None for row in chunk.rows):
                    continue
                seen = look(chunk)
                for row, one in zip(chunk.rows, seen, strict=True):
                    found[row] = one
                self.remembered.keep_arrays(doing, zip((pair.key for pair in chunk.pairs), seen, strict=True))
            return np.stack([one for one in found if one is not None])

    def worked_out(self, doing: Doing, make: "Callable[[], Floats]", on: bytes = b"") -> "Floats":
        """What is no number of pairs, such as of weights alone, or ``on`` all of a sample (its identity) at once: an array of whatever shape,
        made once for what is done. Raises ``NotRemembered`` where nothing is to be computed."""
        with self.question():
            [known] = self.remembered.recall_arrays(doing, [on])
            if known is None:
                if self.remembered.recalls_alone:
                    raise NotRemembered
                made = self.engine.memory.get((*doing, on), make)
                self.remembered.keep_arrays(doing, [(on, np.array([made.ndim, *made.shape, *made.flatten()]))])
                return made
            shape = known[1 : 1 + int(known[0])].astype(int)
            return known[1 + len(shape) :].reshape(shape)

    def each(self, sample: Sample, sets: Sequence[Sequence[Site]], writing: Writing, readout: Readout) -> list[Outcome]:
        """The readout of the run that is written into, for each of several sets of sites, in common batches."""
        if isinstance(readout, Generated):
            return self._texts(sample, writing.into, readout, sets, writing)
        if branches_of(sample) is not None:
            return self._joined(sample, readout, lambda some, read: self._each(some, sets, writing, read))
        _refuse_answer([site for sites in sets for site in sites])
        return self._each(sample, sets, writing, readout)

    def _each(
        self, sample: Sample, sets: Sequence[Sequence[Site]], writing: Writing, readout: Readout
    ) -> list[Outcome]:
        doings: list[Doing] = [(*writing.identity, tuple(sites), readout) for sites in sets]
        with self.question():
            missing = {
                doing: sites
                for doing, sites in zip(doings, sets, strict=True)
                if (sample.identity, *doing) not in self._outcomes
            }
            found = {doing: self._recalled(doing, sample, readout) for doing in missing}
            written = partial(as_wholes, anatomy=self._anatomy) if writing.of_single_runs else tuple
            lacking = {
                doing: targets(written(sites)) for doing, sites in missing.items() if not found[doing].known.all()
            }
            if lacking:
                base = self.base(sample, writing.into, readout).values
                self.engine.run_each(sample, readout, lacking, found, base, writing)
            for doing, numbers in found.items():
                self._outcomes[sample.identity, *doing] = Outcome(numbers.values, not numbers.beside.any())
            return [self._outcomes[sample.identity, *doing] for doing in doings]

    def kept_along(
        self, sample: Sample, graph: Graph, universe: Sequence[Site], ablating: Ablating, readout: Readout
    ) -> Outcome:
        """The readout of the clean run with a universe ablated but for a graph's components, which hear whom they are to."""
        if branches_of(sample) is not None:
            [joined] = self._joined(
                sample, readout, lambda some, read: [self.kept_along(some, graph, universe, ablating, read)]
            )
            return joined
        doing: Doing = ("graph", graph.identity, tuple(universe), *ablating.identity, readout)
        with self.question():
            if (sample.identity, *doing) not in self._outcomes:
                found = self._recalled(doing, sample, readout)
                if not found.known.all():
                    self.engine.run_graph(sample, graph, universe, ablating, readout, doing, found)
                self._outcomes[sample.identity, *doing] = Outcome(found.values)
            return self._outcomes[sample.identity, *doing]

    def _texts(
        self, sample: Sample, side: Side, readout: Generated, sets: Sequence[Sequence[Site]], writing: Writing | None
    ) -> list[Outcome]:
        """What a predicate says of the texts that are written after one side's prompts, for each set of sites (of an empty one, after the
        unchanged ones). Texts are remembered, so that another predicate costs nothing."""
        from circuitcheck.engine.generation.recalled import texts_of

        identity = () if writing is None else writing.identity
        doings: list[Doing] = [("text", readout.max_tokens, side, *identity, tuple(sites)) for sites in sets]
        with self.question():
            missing = {
                doing: sites
                for doing, sites in zip(doings, sets, strict=True)
                if (sample.identity, *doing, readout) not in self._outcomes
            }
            found = (
                texts_of(self._speaker, self.remembered, lambda: self.engine, sample, side, readout, missing, writing)
                if missing
                else {}
            )
            for doing, (texts, moved) in found.items():
                values = readout.judged(texts)
                self._outcomes[sample.identity, *doing, readout] = Outcome(
                    values, not moved, np.zeros(len(values)), texts
                )
            return [self._outcomes[sample.identity, *doing, readout] for doing in doings]

    def _joined(
        self, sample: Sample, readout: Readout, outcomes: Callable[[Sample, Readout], list[Outcome]]
    ) -> list[Outcome]:
        """The outcomes of a sample in which answers have several tokens, from those of its branches and of its other pairs."""
        branches = branches_of(sample)
        if branches is None:
            raise AssertionError("all answers have one token")
        readout.check(sample.pairs)
        with self.question():
            forced = outcomes(branches.sample, FORCED)
            greedy = outcomes(branches.sample, GREEDY) if readout.reads_greedily(sample.pairs) else [None] * len(forced)
            others = outcomes(branches.others, readout) if branches.others.pairs else [None] * len(forced)
        joined = []
        for one, top, other in zip(forced, greedy, others, strict=True):
            values, noise = np.zeros(len(sample.pairs)), np.zeros(len(sample.pairs))
            values[branches.places] = readout.of_several(branches, one.values, None if top is None else top.values)
            if one.noise is not None:
                noise[branches.places] = readout.noise_of_several(branches, one.noise)
            if other is not None:
                values[branches.elsewhere] = other.values
                noise[branches.elsewhere] = 0.0 if other.noise is None else other.noise
            unchanged = one.unchanged and (other is None or other.unchanged)
            joined.append(Outcome(values, unchanged, None if one.noise is None else noise))
        return joined

    def _recalled(self, doing: Doing, sample: Sample, readout: Readout) -> Numbers:
        readout.check(sample.pairs)
        return self.remembered.recall(doing, sample.pairs)

    def _tell(self, what: str, done: int, total: int) -> None:
        self.progress(what, done, total)

    def _see_length(self, length: int) -> None:
        if not self.questions.is_changed:
            self.see_length(length)

    def _forget(self) -> None:
        self._by_origin.clear()
        if "_engine" in vars(self):
            self._engine.forget()


def _refuse_answer(sites: Sequence[Site]) -> None:
    """Raise ``MethodError`` for sites at the answer's own tokens, where none are run."""
    parts = [part for site in sites for part in (*site.via, site) if part.position.answer]
    if parts:
        raise MethodError(
            f"{parts[0]} is at the answer's own tokens, of which none is run where answers have one token each: it is read at @end"
        )
