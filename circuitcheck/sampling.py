"""The pairs that numbers are about: drawn from a population and aligned, once a session.

A population of at most ``settings.whole`` pairs is taken whole, and its statements are exact. From a larger one
``settings.sample`` pairs are drawn. The reference set of ablations is the population itself where that is taken whole,
otherwise a draw of its own, so that it is frozen before any evidence is gathered.
"""

from collections.abc import Callable, Iterator
from itertools import islice
from typing import TypeVar
from weakref import WeakKeyDictionary

from circuitcheck.alignment import AlignedPair, Aligner, Rejections
from circuitcheck.engine.reference import Reference
from circuitcheck.engine.samples import Sample
from circuitcheck.errors import PromptError
from circuitcheck.pairs import Pair
from circuitcheck.populations import Population
from circuitcheck.prompts import PromptPairs
from circuitcheck.settings import Settings

_Kept = TypeVar("_Kept")
_REFERENCE_PAIRS = 128
# Pairs are drawn so many at a time; a population is given up when most of those tried cannot be used.
_CHUNK = 64


class Sampler:
    """Draws for one model under one session's settings; the same ``PromptPairs`` get the same sample every time."""

    def __init__(self, aligner: Aligner, settings: Settings):
        self.aligner, self.settings = aligner, settings
        self._samples: WeakKeyDictionary[PromptPairs, Sample] = WeakKeyDictionary()
        self._references: WeakKeyDictionary[PromptPairs, Reference] = WeakKeyDictionary()

    def sample(self, pairs: PromptPairs) -> Sample:
        """The pairs that carry the evidence; raises ``PromptError`` where most cannot be used."""
        return _once(self._samples, pairs, self._draw_sample)

    def reference(self, pairs: PromptPairs) -> Reference:
        """The reference set of ablations."""
        return _once(self._references, pairs, self._draw_reference)

    def _draw_sample(self, pairs: PromptPairs) -> Sample:
        population, rejections = Population(pairs, self.settings.seed), Rejections()
        small = population.size is not None and population.size <= self.settings.whole
        wanted = population.combinations if small else self.settings.sample
        aligned, exhausted = self._draw(pairs, population.draw(), wanted, rejections)
        size = population.size if population.size is not None else f"up to {population.combinations:,}"
        return Sample(aligned, whole=exhausted, population=f"{size} pairs", rejections=rejections)

    def _draw_reference(self, pairs: PromptPairs) -> Reference:
        sample = self.sample(pairs)
        if not sample.whole:
            draws = Population(pairs, self.settings.seed).draw("reference")
            sample = Sample(self._draw(pairs, draws, _REFERENCE_PAIRS, Rejections())[0], whole=False)
        return Reference(sample, self.settings.seed)

    def _draw(
        self, pairs: PromptPairs, draws: Iterator[Pair], wanted: int, rejections: Rejections
    ) -> tuple[tuple[AlignedPair, ...], bool]:
        """At most ``wanted`` usable pairs, and whether those are all there are."""
        aligned: list[AlignedPair] = []
        tried = 0
        while len(aligned) <= wanted:
            chunk = list(islice(draws, _CHUNK))
            tried += len(chunk)
            aligned += self.aligner.align(chunk, rejections)
            if 2 * len(aligned) < tried:
                reason = f"most pairs of {pairs!r} cannot be used ({len(aligned)} of {tried} can)"
                raise PromptError(f"{reason}:\n  {rejections}")
            if not chunk:
                break
        if not aligned:
            raise PromptError(f"{pairs!r} is an empty population: where= or distinct= leave no pair")
        return tuple(aligned[:wanted]), len(aligned) <= wanted


def _once(
    kept: "WeakKeyDictionary[PromptPairs, _Kept]", pairs: PromptPairs, make: Callable[[PromptPairs], _Kept]
) -> _Kept:
    if pairs not in kept:
        kept[pairs] = make(pairs)
    return kept[pairs]
