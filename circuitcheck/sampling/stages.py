"""The pairs that numbers are about: drawn from a population and aligned, stage by stage as they are needed.

A population of at most ``settings.whole`` pairs is taken in whole, in one stage, and its statements are exact. A larger one
is drawn from in its seeded order, in ever larger stages, as long as they are asked for. One that comes to its end that way
is taken in whole too: its samples then say so (``Sample.taken``), and with them it is its own reference set and its mean gap
the one that each pair's number is divided by. Until then the reference set is a draw of its own, frozen before any evidence
is gathered.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import chain, islice
from typing import TypeVar
from weakref import WeakKeyDictionary

from circuitcheck.addresses.sites import Position
from circuitcheck.errors import PromptError
from circuitcheck.prompts.alignment import AlignedPair, Aligner, Rejected, Rejections
from circuitcheck.prompts.hypothesis_examples import is_inside, reject
from circuitcheck.prompts.populations import FIXED_SEED, Population
from circuitcheck.prompts.prompt_pairs import PromptPairs
from circuitcheck.sampling.references import Reference
from circuitcheck.sampling.samples import Sample
from circuitcheck.settings import Settings, all_stage_ends

_Kept = TypeVar("_Kept")
_REFERENCE_PAIRS = 128
# Pairs are tried so many at a time.
_CHUNK = 64
# Of a population without end, so many are tried at most to see whether most can be used.
_TRIED = 4096


@dataclass(frozen=True)
class Stage:
    """Pairs that are evaluated together, after those of the stages before.

    ``places`` are their places among the ``tried`` pairs of the population so far, of which some could not be used
    (``rejections``). ``exhausted``: the population has no more of them.
    """

    sample: Sample
    places: tuple[int, ...]
    tried: int
    exhausted: bool
    rejections: Rejections = field(default_factory=Rejections, compare=False)


class _Tried:
    """A population's pairs as they were drawn so far: each with its place, usable or rejected."""

    def __init__(self, population: Population, aligner: Aligner, evenly: str):
        self._draws, self._aligner = population.draw(evenly=evenly), aligner
        self._times: Counter[tuple[tuple[int, ...], tuple[int, ...]]] = Counter()
        self.usable: list[tuple[int, AlignedPair]] = []
        self.rejected: list[tuple[int, Rejected]] = []
        self.are_all = False

    @property
    def count(self) -> int:
        return len(self.usable) + len(self.rejected)

    def try_more(self) -> None:
        """Align some more pairs, where there are any."""
        chunk = list(islice(self._draws, _CHUNK))
        self.are_all = not chunk
        for place, outcome in enumerate(self._aligner.align(chunk), start=self.count):
            if isinstance(outcome, Rejected):
                self.rejected.append((place, outcome))
                continue
            key = outcome.clean, outcome.corrupt
            drawn = replace(outcome, repeat=self._times[key]) if self._times[key] else outcome
            self._times[key] += 1
            self.usable.append((place, drawn))

    def rejections(self, first: int) -> Rejections:
        """Those among so many of the pairs."""
        return Rejections.of(why for place, why in self.rejected if place < first)


class Drawn:
    """One population's pairs. ``size``: of how many pairs they are drawn without replacement (None: with replacement);
    ``evenly``: from each template ("template"), or each filler of a slot, as many."""

    def __init__(self, pairs: PromptPairs, aligner: Aligner, settings: Settings, evenly: str = ""):
        population = Population(pairs.description, settings.seed)
        small = population.size is not None and population.size <= settings.whole
        self.size = population.size
        self.words = f"{population.size if population.size is not None else f'up to {population.combinations:,}'} pairs"
        self._pairs, self._aligner, self._population, self._evenly = pairs, aligner, population, evenly
        self._so_far: _Tried | None = None
        self._ends = [population.combinations] if small else []
        self._stages: list[Stage] = []
        # Of a population that has come to its end all stages, with samples that know that it is taken in whole.
        self.whole: list[Stage] = []

    def stages(self, budget: int) -> Iterator[Stage]:
        """Stage by stage, within a budget of pairs (but the first), to the end of the population; raises ``PromptError``
        where most pairs cannot be used."""
        if why := self._unusable:
            if self._pairs.is_example and is_inside():
                reject(why.splitlines()[-1].strip())
            raise PromptError(why)
        number = spent = 0
        ends = iter(self._ends or all_stage_ends())
        start, end = 0, next(ends)
        while True:
            if number == len(self._stages):
                self._stages.append(self._stage(start, end))
            stage = self._stages[number]
            spent, number = spent + len(stage.sample.pairs), number + 1
            if number > 1 and spent > budget:
                return
            yield stage
            if stage.exhausted:
                return
            start, end = end, next(ends)

    def looks(self, budget: int) -> Iterator[list[Stage]]:
        """The stages that there are after each of them; of a population that has come to its end, as taken in whole."""
        so_far: list[Stage] = []
        for stage in self.stages(budget):
            so_far = [*so_far, stage]
            yield self._taken(so_far) if stage.exhausted else so_far

    def is_spent(self, stages: Sequence[Stage], budget: int) -> bool:
        """Whether a budget of pairs has no further stage after these."""
        used = sum(len(stage.sample.pairs) for stage in stages)
        return next(end for end in all_stage_ends() if end > used) > budget

    def in_whole(self, budget: int) -> list[Stage] | None:
        """All stages of a population that comes to its end within a budget of pairs; None for a larger one."""
        if self.size is None or self.size > 2 * budget:  # at least half of the pairs can be used
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
            whole = Sample(pairs, whole=True, population=self.words)
            self.whole = [replace(stage, sample=replace(stage.sample, part_of=whole)) for stage in stages]
        return self.whole

    def _stage(self, start: int, end: int) -> Stage:
        """The usable pairs from ``start`` to before ``end``, or to the end of the population."""
        drawn = self._tried_until(lambda tried: len(tried.usable) > end)
        taken = drawn.usable[start:end]
        exhausted = drawn.are_all and len(drawn.usable) <= end
        tried = drawn.count if exhausted else taken[-1][0] + 1
        return Stage(
            Sample(tuple(pair for _, pair in taken), whole=exhausted and not start, population=self.words),
            tuple(place for place, _ in taken),
            tried,
            exhausted,
            drawn.rejections(tried),
        )

    @cached_property
    def _unusable(self) -> str:
        """Why the population cannot be used; empty where at least half of its pairs can. It is gone through until that is
        beyond doubt, so that what comes out does not depend on how far anybody has looked."""

        def is_clear(tried: _Tried) -> bool:
            ahead = len(tried.usable) - len(tried.rejected)
            without_end = self.size is None and tried.count >= _TRIED
            return without_end or ahead**2 > 36 * tried.count  # six standard deviations, were it a half

        drawn = self._tried_until(is_clear)
        used, tried = len(drawn.usable), drawn.count
        if 2 * used >= tried:
            return ""
        return f"most pairs of {self._pairs!r} cannot be used ({used} of {tried} can):\n  {drawn.rejections(tried)}"

    def _tried_until(self, enough: Callable[[_Tried], bool]) -> _Tried:
        """Pairs tried until there are enough, or no more. What is interrupted (by Ctrl-C, or an error in somebody's ``where``)
        is let go of and begun again by whoever asks next: a generator that raised would seem to have come to its end."""
        tried, self._so_far = self._so_far or _Tried(self._population, self._aligner, self._evenly), None
        while not tried.are_all and not enough(tried):
            tried.try_more()
        self._so_far = tried
        return tried


class Sampler:
    """Draws for one model under one session's settings; the same ``PromptPairs`` get the same pairs every time."""

    def __init__(self, aligner: Aligner, settings: Settings):
        self.aligner, self.settings = aligner, settings
        self._drawn: WeakKeyDictionary[PromptPairs, dict[str, Drawn]] = WeakKeyDictionary()
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

    def drawn(self, pairs: PromptPairs, evenly: str = "") -> Drawn:
        """The pairs that carry the evidence, taken ``evenly`` from each of something; raises ``PromptError`` for what a strategy generates."""
        if pairs.generator is not None:
            raise PromptError(
                f"{pairs!r} is what Hypothesis looks for trouble with, which is no sample: an average of it, or anything that "
                "rests on one (a mean, a resampled prompt), would mean nothing.\n"
                "  Claim it of every pair, effect.each > t, or describe the prompts by slots: PromptPairs('The {thing} is', thing=[...])"
            )
        known = self._drawn.setdefault(pairs, {})
        if evenly not in known:
            known[evenly] = Drawn(pairs, self.aligner, self.settings, evenly)
        return known[evenly]

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
            usable += [pair for pair in self.aligner.align(chunk) if isinstance(pair, AlignedPair)]
        return Sample(tuple(usable[:n]), whole=False, part_of=taken)


def _once(kept: "WeakKeyDictionary[PromptPairs, _Kept]", pairs: PromptPairs, make: Callable[[], _Kept]) -> _Kept:
    if pairs not in kept:
        kept[pairs] = make()
    return kept[pairs]
