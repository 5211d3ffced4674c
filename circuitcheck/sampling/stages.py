"""The pairs that numbers are about: drawn from a population and aligned, stage by stage as they are needed.

A population of at most ``settings.whole`` pairs is taken in whole, in one stage, and its statements are exact. A larger one
is drawn from in its seeded order, in ever larger stages, as long as they are asked for. One that comes to its end that way
is taken in whole too: its samples then say so (``Sample.taken``), and with them it is its own reference set and its mean gap
the one that each pair's number is divided by. Until then the reference set is a draw of its own, frozen before any evidence
is gathered, and the same under every seed. Where each pair has a donor, a whole population comes again and again, each time
with other donors.
"""

from collections import Counter
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import chain, islice
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

from circuitcheck.addresses.sites import Position
from circuitcheck.errors import PromptError
from circuitcheck.prompts.aligned_pairs import AlignedPair
from circuitcheck.prompts.alignment import Aligner, Rejected, Rejections
from circuitcheck.prompts.hypothesis_examples import is_inside, reject
from circuitcheck.prompts.pairs import Pair, Side, sides
from circuitcheck.prompts.populations import FIXED_SEED, Population
from circuitcheck.prompts.prompt_pairs import PromptPairs
from circuitcheck.sampling.fitting import fitting
from circuitcheck.sampling.references import Donors, Reference, donors_among, donors_of, lonely, seeded
from circuitcheck.sampling.samples import Sample
from circuitcheck.settings import Settings, all_stage_ends
from circuitcheck.texts import plural

_Made = TypeVar("_Made")
# Pairs are tried so many at a time.
_CHUNK = 64
# Of a population without end, so many are tried at most to see whether most can be used.
_TRIED = 4096
# Prompts that are drawn to be one pair's donor, at most.
_DONORS_TRIED = 20_000


@dataclass(frozen=True)
class Stage:
    """Pairs that are evaluated together, after those of the stages before.

    ``places`` are their places among the ``tried`` pairs of the population so far, of which some could not be used
    (``rejections``). ``exhausted``: the population has no more of them. ``seed``: of the order that they were drawn in.
    """

    sample: Sample
    places: tuple[int, ...]
    tried: int
    exhausted: bool
    rejections: Rejections = field(default_factory=Rejections, compare=False)
    seed: int = 0


class _Tried:
    """A population's pairs as they were drawn so far: each with its place, usable or rejected."""

    def __init__(self, population: Population, purpose: str, evenly: str, aligner: Aligner):
        self._draws, self._aligner = population.draw(purpose, evenly), aligner
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
    """One population's pairs, in the order of a seed and a ``purpose``. ``size``: of how many pairs they are drawn without
    replacement (None: with replacement); ``evenly``: from each template ("template"), or each filler of a slot, as many."""

    def __init__(
        self,
        pairs: PromptPairs,
        aligner: Aligner,
        settings: Settings,
        seed: int,
        purpose: str = "evidence",
        evenly: str = "",
    ):
        population = Population(pairs.description, seed, settings.whole)
        small = population.size is not None and population.size <= settings.whole
        self.size = population.size
        size = population.size
        self.words = f"up to {plural(population.combinations, 'pair')}" if size is None else plural(size, "pair")
        self.population, self._pairs, self._aligner = population, pairs, aligner
        self._seed, self._purpose, self._evenly = seed, purpose, evenly
        self._so_far: _Tried | None = None
        self._ends = [population.combinations] if small else []
        self._stages: list[Stage] = []
        # Of a population that has come to its end all stages, with samples that know that it is taken in whole.
        self.whole: list[Stage] = []

    def stages(self, budget: int) -> Iterator[Stage]:
        """Stage by stage, within a budget of pairs (but the first), to the end of the population; raises ``PromptError``
        where most pairs cannot be used."""
        if why := self._unusable:
            if self._pairs.description.is_example and is_inside():
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

    def again(self, stages: list[Stage], budget: int) -> Iterator[list[Stage]]:
        """The stages of a whole population, and its pairs once more each time, within a budget of pairs."""
        whole, first = stages[0].sample.taken, sum(len(stage.sample.pairs) for stage in stages)
        for number in range(1, budget // first):
            for stage in self.whole:
                pairs = tuple(replace(pair, repeat=pair.repeat + number) for pair in stage.sample.pairs)
                stages = [*stages, replace(stage, sample=Sample(pairs, whole=False, part_of=whole))]
            yield stages

    def first_pairs(self, n: int) -> Stage:
        """At most so many, as one stage."""
        return self._stage(0, n)

    def is_spent(self, stages: Sequence[Stage], budget: int) -> bool:
        """Whether a budget of pairs has no further stage after these."""
        used = sum(len(stage.sample.pairs) for stage in stages if stage.seed == self._seed)
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

    @property
    def is_aligned(self) -> bool:
        """Whether the population is small, and all of its pairs correspond token by token."""
        return bool(self._ends) and all(pair.is_aligned for pair in self.first.sample.pairs)

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
            self._seed,
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
        tried = self._so_far or _Tried(self.population, self._purpose, self._evenly, self._aligner)
        self._so_far = None
        while not tried.are_all and not enough(tried):
            tried.try_more()
        self._so_far = tried
        return tried


class Sampler:
    """Draws for one model under one session's settings; the same ``PromptPairs`` get the same pairs every time. ``wider``: the same
    without regard to what corresponds."""

    def __init__(self, aligner: Aligner, settings: Settings, wider: "Sampler | None" = None):
        self.aligner, self.settings, self._wider = aligner, settings, wider
        self._known: WeakKeyDictionary[PromptPairs, dict[Hashable, Any]] = WeakKeyDictionary()
        self._donors: WeakKeyDictionary[Sample, dict[Hashable, Donors]] = WeakKeyDictionary()
        self._others: dict[Hashable, Sampler] = {}

    def reading_at(self, position: Position | None) -> "Sampler":
        """The same for runs that are read at a position, behind which the prompts are cut; None: where they end."""
        if position is None:
            return self
        return self._other(position, lambda: self.aligner.reading_at(position))

    def where_corresponding(self, positions: frozenset[Position]) -> "Sampler":
        """The same for pairs in which some positions name tokens with a counterpart in the other prompt; with none, itself."""
        if not positions:
            return self
        return self._other(positions, lambda: self.aligner.where_corresponding(positions), self)

    def _other(self, key: Hashable, aligner: Callable[[], Aligner], wider: "Sampler | None" = None) -> "Sampler":
        if key not in self._others:
            self._others[key] = Sampler(aligner(), self.settings, wider)
        return self._others[key]

    def drawn(self, pairs: PromptPairs, evenly: str = "", seed: int | None = None) -> Drawn:
        """The pairs that carry the evidence, taken ``evenly`` from each of something, in the order of a seed (the session's
        first, where none is given); raises ``PromptError`` for what a strategy generates."""
        if pairs.description.generator is not None:
            raise PromptError(
                f"{pairs!r} is what Hypothesis looks for trouble with, which is no sample: an average of it, or anything that "
                "rests on one (a mean, a resampled prompt), would mean nothing.\n"
                "  Claim it of every pair, effect.each > t, or describe the prompts by slots: PromptPairs('The {thing} is', thing=[...])"
            )
        order = self.settings.seed if seed is None else seed
        return self._once(pairs, (order, evenly), lambda: self._draw(pairs, order, "evidence", evenly))

    def _draw(self, pairs: PromptPairs, seed: int, purpose: str, evenly: str = "") -> Drawn:
        if self._wider is not None:
            wider = (
                self._wider.drawn(pairs, evenly, seed) if purpose == "evidence" else self._wider.reference_draw(pairs)
            )
            if wider.is_aligned:
                return wider
        return Drawn(pairs, self.aligner, self.settings, seed, purpose, evenly)

    def fitting(self, pairs: PromptPairs) -> PromptPairs:
        """The pairs without the fillers that can never align; see ``PromptPairs.fitting``."""
        return fitting(pairs, self.aligner)

    def reference_draw(self, pairs: PromptPairs) -> Drawn:
        """The pairs in the order that reference pairs are taken in."""
        return self._once(pairs, "reference", lambda: self._draw(pairs, FIXED_SEED, "reference"))

    def reference_pairs(self, pairs: PromptPairs, n: int) -> Stage:
        """At most ``n`` usable pairs, which the population alone decides: the same under every seed."""
        _ = self.drawn(pairs).first  # or raises where most pairs cannot be used
        return self._once(pairs, ("reference", n), lambda: self.reference_draw(pairs).first_pairs(n))

    def reference(self, pairs: PromptPairs, taken: Sample | None, n: int) -> Reference:
        """The reference set of ablations by a mean: the population itself where that is ``taken`` in whole, or no larger than
        ``n``, otherwise as many pairs of it."""
        if taken is not None:
            return self._once(pairs, "whole", lambda: Reference(taken, drawn=False))
        stage = self.reference_pairs(pairs, n)
        size = self.drawn(pairs).size
        return self._once(pairs, ("set", n), lambda: Reference(stage.sample, not stage.exhausted, size))

    def fixed(self, pairs: PromptPairs, n: int) -> Sample:
        """The first of the reference pairs, at most ``n``."""
        found = self.reference_pairs(pairs, n).sample.pairs
        return Sample(found, whole=False, part_of=self.drawn(pairs).first.sample.taken)

    def donors(self, pairs: PromptPairs, sample: Sample, of: str, others: Sample | None = None) -> Donors:
        """For each pair of a sample another prompt of its template, drawn from the whole population, or from ``others``."""
        known = self._donors.setdefault(replace(sample, left_out=None) if sample.left_out is not None else sample, {})
        key = of, None if others is None else others.identity
        if key not in known:
            there, seed = sample.taken if others is None else others, self.settings.seed
            found = None if there is None else donors_among(sample, there, of, seed)
            known[key] = found or donors_of(sample, self._drawn_donors(pairs, sample, of, seed))
        return known[key]

    def _drawn_donors(self, pairs: PromptPairs, sample: Sample, of: str, seed: int) -> list[tuple[AlignedPair, Side]]:
        population, there = self.drawn(pairs).population, [side for side in sides(of) if side in sample.sides]
        draws = {row: _candidates(population, own, of, there, seed) for row, own in enumerate(sample.pairs)}
        found: dict[int, tuple[AlignedPair, Side]] = {}
        while draws:
            tried = {row: next(draw, None) for row, draw in draws.items()}
            if lacking := [row for row, one in tried.items() if one is None]:
                raise lonely(sample.pairs[lacking[0]])
            candidates = {row: one for row, one in tried.items() if one is not None}
            aligned = self.aligner.align([pair for pair, _ in candidates.values()])
            for (row, (_, side)), outcome in zip(candidates.items(), aligned, strict=True):
                own = [sample.pairs[row].prompt_tokens(one) for one in sides("both")]
                if isinstance(outcome, AlignedPair) and outcome.tokens(side) not in own:
                    found[row] = outcome, side
                    del draws[row]
        return [found[row] for row in range(len(sample.pairs))]

    def _once(self, pairs: PromptPairs, key: Hashable, make: Callable[[], _Made]) -> _Made:
        known = self._known.setdefault(pairs, {})
        if key not in known:
            known[key] = make()
        made: _Made = known[key]
        return made


def _candidates(
    population: Population, pair: AlignedPair, of: str, there: Sequence[Side], seed: int
) -> Iterator[tuple[Pair, Side]]:
    """Prompts of the population of a pair's template, of the sides that are ``there``, each as likely as it is in the population,
    in an order that the pair decides."""
    draw = seeded(pair, of, seed)
    for other in islice(population.draw_by(draw), _DONORS_TRIED):
        side = draw.choice(there)
        if other.template == pair.pair.template:
            yield other, side
