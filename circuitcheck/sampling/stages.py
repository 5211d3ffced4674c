"""The pairs that numbers are about: drawn from a population and aligned, stage by stage as they are needed.

A population of at most ``settings.whole`` pairs is taken in whole, in one stage, and its statements are exact. A larger one
is drawn from in its seeded order, in ever larger stages, as long as they are asked for. One that comes to its end that way
is taken in whole too: its samples then say so (``Sample.taken``), and with them it is its own reference set and its mean gap
the one that each pair's number is divided by. Until then the reference set is a draw of its own, frozen before any evidence
is gathered.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import chain, islice
from typing import TypeVar
from weakref import WeakKeyDictionary

from circuitcheck.addresses.sites import Position
from circuitcheck.errors import PromptError
from circuitcheck.prompts.alignment import AlignedPair, Aligner, Rejections
from circuitcheck.prompts.hypothesis_examples import is_inside, reject
from circuitcheck.prompts.populations import FIXED_SEED, Population
from circuitcheck.prompts.prompt_pairs import PromptPairs
from circuitcheck.sampling.references import Reference
from circuitcheck.sampling.samples import Sample
from circuitcheck.settings import Settings, all_stage_ends

_Kept = TypeVar("_Kept")
_REFERENCE_PAIRS = 128
# Pairs are tried so many at a time; a population is given up when most of those tried cannot be used.
_CHUNK = 64


@dataclass(frozen=True)
class Stage:
    """Pairs that are evaluated together, after those of the stages before.

    ``places`` are their places among the ``tried`` pairs of the population so far, of which some could not be used.
    ``exhausted``: the population has no more of them.
    """

    sample: Sample
    places: tuple[int, ...]
    tried: int
    exhausted: bool


class Drawn:
    """One population's pairs. ``size``: of how many pairs they are drawn without replacement (None: with replacement)."""

    def __init__(self, pairs: PromptPairs, aligner: Aligner, settings: Settings):
        population = Population(pairs.description, settings.seed)
        small = population.size is not None and population.size <= settings.whole
        self.rejections, self.size = Rejections(), population.size
        self.words = f"{population.size if population.size is not None else f'up to {population.combinations:,}'} pairs"
        self._pairs, self._aligner = pairs, aligner
        self._draws = population.draw()
        self._ready: list[tuple[int, AlignedPair]] = []
        self._tried = 0
        self._times: Counter[tuple[tuple[int, ...], tuple[int, ...]]] = Counter()
        self._ends = iter([population.combinations]) if small else all_stage_ends()
        self._end = 0
        self._stages: list[Stage] = []
        # Of a population that has come to its end all stages, with samples that know that it is taken in whole.
        self.whole: list[Stage] = []

    def stages(self, budget: int) -> Iterator[Stage]:
        """Stage by stage, within a budget of pairs (but the first), to the end of the population; raises ``PromptError``
        where most pairs cannot be used."""
        number = spent = 0
        while True:
            if number == len(self._stages):
                end = next(self._ends)
                self._stages.append(self._draw(end - self._end))
                self._end = end
            stage = self._stages[number]
            spent, number = spent + len(stage.sample.pairs), number + 1
            if number > 1 and spent > budget:
                return
            yield stage
            if stage.exhausted:
                return

    def looks(self, budget: int) -> Iterator[list[Stage]]:
        """The stages that there are after each of them; of a population that has come to its end, as taken in whole."""
        so_far: list[Stage] = []
        for stage in self.stages(budget):
            so_far = [*so_far, stage]
            yield self._taken(so_far) if stage.exhausted else so_far

    def in_whole(self, budget: int) -> list[Stage] | None:
        """All stages of a population that comes to its end within a budget of pairs; None for a larger one."""
        if self.size is None or self.size > 2 * budget:  # at least half of the pairs can be used, or ``stages`` raises
            return None
        *_, stages = self.looks(budget)
        return stages if stages[-1].exhausted else None

    @property
    def first(self) -> Stage:
        return next(self.looks(1))[0]

    def _taken(self, stages: list[Stage]) -> list[Stage]:
        if not self.whole and stages[0].sample.whole:
            self.whole = stages
        elif not self.whole:
            pairs = tuple(chain.from_iterable(stage.sample.pairs for stage in stages))
            whole = Sample(pairs, whole=True, population=self.words, rejections=self.rejections)
            self.whole = [replace(stage, sample=replace(stage.sample, part_of=whole)) for stage in stages]
        return self.whole

    def _draw(self, wanted: int) -> Stage:
        there_are_more = True
        while there_are_more and len(self._ready) <= wanted:
            there_are_more = self._try()
        if not self._ready:
            raise PromptError(f"{self._pairs!r} is an empty population: where= or distinct= leave no pair")
        taken, self._ready = self._ready[:wanted], self._ready[wanted:]
        exhausted = not self._ready and not there_are_more
        return Stage(
            Sample(
                tuple(pair for _, pair in taken),
                whole=exhausted and not self._stages,
                population=self.words,
                rejections=self.rejections,
            ),
            tuple(place for place, _ in taken),
            tried=self._tried if exhausted else taken[-1][0] + 1,
            exhausted=exhausted,
        )

    def _try(self) -> bool:
        """Align some more pairs; whether there were any."""
        chunk = list(islice(self._draws, _CHUNK))
        usable = self._aligner.align(chunk, self.rejections)
        places = iter(range(self._tried, self._tried + len(chunk)))
        for aligned in usable:
            key = aligned.clean, aligned.corrupt
            drawn = replace(aligned, repeat=self._times[key]) if self._times[key] else aligned
            self._times[key] += 1
            self._ready.append((next(place for place in places if chunk[place - self._tried] is aligned.pair), drawn))
        self._tried += len(chunk)
        used = self._tried - self.rejections.total
        if 2 * used < self._tried:
            if self._pairs.is_example and is_inside():
                reject(str(self.rejections))
            reason = f"most pairs of {self._pairs!r} cannot be used ({used} of {self._tried} can)"
            raise PromptError(f"{reason}:\n  {self.rejections}")
        return bool(chunk)


class Sampler:
    """Draws for one model under one session's settings; the same ``PromptPairs`` get the same pairs every time."""

    def __init__(self, aligner: Aligner, settings: Settings):
        self.aligner, self.settings = aligner, settings
        self._drawn: WeakKeyDictionary[PromptPairs, Drawn] = WeakKeyDictionary()
        self._references: WeakKeyDictionary[PromptPairs, Reference] = WeakKeyDictionary()
        self._of_whole: WeakKeyDictionary[PromptPairs, Reference] = WeakKeyDictionary()
        self._elsewhere: dict[Position, Sampler] = {}

    def reading_at(self, position: Position | None) -> "Sampler":
        """The same for runs that are read at a position, behind which the prompts are cut; None: where they end."""
        if position is None:
            return self
        if position not in self._elsewhere:
            self._elsewhere[position] = Sampler(self.aligner.reading_at(position), self.settings)
        return self._elsewhere[position]

    def drawn(self, pairs: PromptPairs) -> Drawn:
        """The pairs that carry the evidence; raises ``PromptError`` for what a strategy generates."""
        if pairs.generator is not None:
            raise PromptError(
                f"{pairs!r} is what Hypothesis looks for trouble with, which is no sample: an average of it, or anything that "
                "rests on one (a mean, a resampled prompt), would mean nothing.\n"
                "  Claim it of every pair, effect.each > t, or describe the prompts by slots: PromptPairs('The {thing} is', thing=[...])"
            )
        return _once(self._drawn, pairs, lambda: Drawn(pairs, self.aligner, self.settings))

    def reference(self, pairs: PromptPairs, taken: Sample | None) -> Reference:
        """The reference set of ablations, and of the scale of what is clipped: the population itself where that is ``taken``
        in whole, otherwise a draw."""
        if taken is not None:
            return _once(self._of_whole, pairs, lambda: Reference(taken, self.settings.seed))
        return _once(
            self._references, pairs, lambda: Reference(self.fixed(pairs, _REFERENCE_PAIRS), self.settings.seed)
        )

    def fixed(self, pairs: PromptPairs, n: int) -> Sample:
        """At most ``n`` usable pairs, which the population alone decides: the same under every seed."""
        taken = self.drawn(pairs).first.sample.taken
        draws = Population(pairs.description, FIXED_SEED).draw("reference")
        usable: list[AlignedPair] = []
        while len(usable) < n and (chunk := list(islice(draws, _CHUNK))):
            usable += self.aligner.align(chunk, Rejections())
        return Sample(tuple(usable[:n]), whole=False, part_of=taken)


def _once(kept: "WeakKeyDictionary[PromptPairs, _Kept]", pairs: PromptPairs, make: Callable[[], _Kept]) -> _Kept:
    if pairs not in kept:
        kept[pairs] = make()
    return kept[pairs]
