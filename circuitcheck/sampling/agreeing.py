"""Clean prompts that agree with others on variables: the donors of causal scrubbing."""

import random
from collections import defaultdict
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any

from circuitcheck.errors import MethodError
from circuitcheck.prompts.aligned_pairs import AlignedPair
from circuitcheck.prompts.alignment import Aligner
from circuitcheck.prompts.descriptions import Description
from circuitcheck.prompts.pairs import Pair
from circuitcheck.prompts.populations import FIXED_SEED, Population
from circuitcheck.prompts.slots import Choice
from circuitcheck.sampling.references import prompts_of

# Draws for one pair's donor, at most: before a population that can be enumerated is gone through, and of a larger one.
_TRIED, _PATIENCE = 2_000, 20_000


class Agreeing:
    """Draws of one population's clean prompts, given values of variables; the same under one ``seed``."""

    def __init__(self, description: Description, aligner: Aligner, seed: int):
        self.description, self._aligner, self._seed = description, aligner, seed
        self._known: dict[Hashable, AlignedPair] = {}
        self._grouped: dict[tuple[str, ...], defaultdict[Hashable, list[AlignedPair]]] = {}

    def donors(self, pairs: Sequence[AlignedPair], names: tuple[str, ...], place: str) -> tuple[AlignedPair, ...]:
        """For each pair a clean prompt of its template that has the same values, and as many tokens in each slot. ``place``: what the
        draw is for; draws for different places are independent. An answer that is run after a pair is run after its donor, too."""
        found = []
        for pair in pairs:
            key = prompts_of(pair), names, place
            if key not in self._known:
                self._known[key] = self._drawn(
                    _alone(pair), names, random.Random(f"{self._seed}/{place}/{prompts_of(pair)}")
                )
            donor, answer = self._known[key], pair.clean[len(pair.clean) - pair.forced :]
            found.append(donor.followed_by(answer) if pair.forced else donor)
        return tuple(found)

    def _drawn(self, pair: AlignedPair, names: tuple[str, ...], draw: random.Random) -> AlignedPair:
        """A donor, which may be the pair itself. Raises ``MethodError`` where none was drawn: a pair that is its own donor for want of
        another would keep its behaviour, whatever the site carries."""
        values, wanted = self._values(pair.pair, names), self._shared(pair, names)
        for other in self._candidates(pair.pair, names, draw):
            if self._values(other, names) == values:
                [donor] = self._aligner.align([other.alone])
                if isinstance(donor, AlignedPair) and self._shared(donor, names) == wanted:
                    return donor
        if donors := self._among_all(names).get(wanted):
            return draw.choice(donors)
        raise MethodError(
            f"none of {_PATIENCE:,} prompts that were drawn agrees with {pair.pair.clean.text!r} on {' and '.join(names) or 'nothing'} and has "
            "as many tokens in each slot: name slots, which keep their fillers, in place of variables, or describe fewer prompts"
        )

    def _candidates(self, pair: Pair, names: tuple[str, ...], draw: random.Random) -> Iterator[Pair]:
        """Clean prompts of a pair's template, drawn with its own fillers of the slots among the names."""
        of, template = self.description, pair.template
        choices, weights = of.choices(template), of.weights(template)
        own = {name: clean for name, clean, _ in pair.fillers if name in names and isinstance(of.slots[name], Choice)}
        options = {
            name: [n for n, (clean, _) in enumerate(some) if own.get(name, clean) == clean]
            for name, some in choices.items()
        }
        for number in range(_PATIENCE):
            if number == _TRIED and self._whole:
                return
            chosen = {}
            for name, places in options.items():
                often = [weights[name][n] for n in places] if name in weights else None
                chosen[name] = choices[name][draw.choices(places, often)[0]]
            if of.keeps(template, chosen):
                yield of.render(template, chosen)

    @cached_property
    def _whole(self) -> list[AlignedPair]:
        """All clean prompts of the population, where they can be enumerated."""
        population = Population(self.description, FIXED_SEED)
        if not population.is_enumerated:
            return []
        prompts = self._aligner.align([pair.alone for pair in population.draw()])
        return [prompt for prompt in prompts if isinstance(prompt, AlignedPair)]

    def _among_all(self, names: tuple[str, ...]) -> dict[Hashable, list[AlignedPair]]:
        """The whole population by what donors share."""
        if names not in self._grouped:
            self._grouped[names] = defaultdict(list)
            for prompt in self._whole:
                self._grouped[names][self._shared(prompt, names)].append(prompt)
        return self._grouped[names]

    def _shared(self, pair: AlignedPair, names: tuple[str, ...]) -> Hashable:
        """What a pair and its donors have in common."""
        return pair.pair.template, pair.pattern("clean"), self._values(pair.pair, names)

    def _values(self, pair: Pair, names: tuple[str, ...]) -> tuple[Any, ...]:
        """The values of those names that the pair's template has."""
        values = self.description.values(pair)
        return tuple(values[name] for name in names if name in values)


def _alone(pair: AlignedPair) -> AlignedPair:
    """The clean prompt of a pair by itself, without an answer that is run after it."""
    tokens = pair.prompt_tokens("clean")
    return replace(
        pair,
        pair=pair.pair.alone,
        clean=tokens,
        corrupt=tokens,
        segments=pair.segments[: len(tokens)],
        corrupt_segments=None,
        forced=0,
    )
