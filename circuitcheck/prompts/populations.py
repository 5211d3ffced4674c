"""Pairs drawn from a description: uniform, in an order of its own.

    >>> [pair.clean.text for pair in Population(pairs.description, seed=0).draw()]

The order is seeded by the description and the session's seed, never by the test that asks: claims on one population
share their pairs, and renaming a test changes nothing. Draws are without replacement from a population that can be
enumerated, and with replacement from a larger one (where a pair hardly ever comes again) and from one whose fillers are
not equally likely, or whose rows do not count alike and are too many to be taken in whole: so the draws' order is one that
the statistics know. A statement about new templates or fillers takes its pairs evenly from those that there are, however many
pairs each of them has.
"""

import math
import random
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import accumulate, zip_longest

from circuitcheck.errors import PromptError
from circuitcheck.prompts.descriptions import Description
from circuitcheck.prompts.pairs import Pair
from circuitcheck.texts import digest

# Up to this many combinations of fillers are enumerated, so that the population's size is known exactly.
ENUMERATED = 20_000
# The seed of what the population alone decides, whatever the session's seed is.
FIXED_SEED = 0
# So many combinations in a row that `where` or `distinct` leave out make a population that cannot be drawn from.
_PATIENCE = 100_000

# A template, and for each of its slots the clean and the corrupted filler.
_Chosen = tuple[int, dict[str, tuple[str, str]]]


class Population:
    """The pairs of a description under a session seed. ``size`` is None where it is too large to count, and where pairs are
    drawn by their weight: rows that do not count alike, where they are more than ``whole``."""

    def __init__(self, pairs: Description, seed: int, whole: int = ENUMERATED):
        self.pairs = pairs
        # Other answers to the same prompts are drawn in the same order.
        prompts = {key: value for key, value in pairs.as_json().items() if key not in ("answer", "foil")}
        self._seed = f"{digest(prompts, 16)}/{seed}"
        count = len(pairs.rows) or len(pairs.templates)
        self._choices = [{} if pairs.rows else pairs.choices(template) for template in range(count)]
        self._weights = [{} if pairs.rows else pairs.weights(template) for template in range(count)]
        self._sizes = [math.prod(len(options) for options in choices.values()) for choices in self._choices]
        by_weight = len(pairs.rows) > whole and any(row.weight != 1 for row in pairs.rows)
        self._likely = list(accumulate(row.weight for row in pairs.rows)) if by_weight else []
        self.combinations = sum(self._sizes)
        # The first combination of each template.
        self.firsts = [0, *accumulate(self._sizes)][:-1]
        self._all = list(filter(self.kept, range(self.combinations))) if self.is_enumerated else []
        self.size = len(self._all) if self.is_enumerated else None
        if self.size == 0:
            raise PromptError(f"{pairs!r} is an empty population: where= or distinct= leave no pair")

    @property
    def is_enumerated(self) -> bool:
        return self.combinations <= ENUMERATED and not any(self._weights) and not self._likely

    def draw(self, purpose: str = "evidence", evenly: str = "") -> Iterator[Pair]:
        """The pairs in the seeded order: each once, or endlessly where they are not enumerated. Another ``purpose`` (the
        reference set) has an order of its own. ``evenly``: one pair of each template ("template"), or of each filler of a slot,
        then another of each that has one."""
        shuffler = random.Random(f"{self._seed}/{purpose}")
        if evenly:
            yield from self._in_turn(shuffler, evenly)
            return
        if self.is_enumerated:
            yield from map(self.pair, shuffler.sample(self._all, len(self._all)))
        else:
            yield from self.draw_by(shuffler)

    def draw_by(self, shuffler: random.Random) -> Iterator[Pair]:
        """Pairs one by one, endlessly, and any of them again."""
        while self.is_enumerated:
            yield self.pair(shuffler.choice(self._all))
        left_out = 0
        while True:
            if left_out == _PATIENCE:
                raise self._cannot_be_drawn(left_out)
            template, chosen = self._random(shuffler)
            if self.pairs.keeps(template, chosen):
                left_out = 0
                pair = self.pairs.render(template, chosen)
                yield replace(pair, weight=1.0) if self._likely else pair
            else:
                left_out += 1

    def _in_turn(self, shuffler: random.Random, by: str) -> Iterator[Pair]:
        """Each cluster's pairs in an order of their own, the clusters taking turns. Where pairs are not enumerated, they are
        those of so many draws, in which the templates are equally likely."""
        if self.is_enumerated:
            chosen = [self._chosen(number) for number in shuffler.sample(self._all, len(self._all))]
        else:
            draws = (self._random(shuffler, by) for _ in range(ENUMERATED))
            chosen = [one for one in draws if self.pairs.keeps(*one)]
        if not chosen:
            raise self._cannot_be_drawn(ENUMERATED)
        clusters: dict[str | None, list[_Chosen]] = {}
        for one in chosen:
            clusters.setdefault(self.pairs.cluster(*one, by), []).append(one)
        turns = [clusters[name] for name in shuffler.sample(sorted(clusters, key=str), len(clusters))]
        for turn in zip_longest(*turns):
            yield from (self.pairs.render(*one) for one in turn if one is not None)

    def _cannot_be_drawn(self, left_out: int) -> PromptError:
        return PromptError(
            f"{self.pairs!r} cannot be drawn from: where= or distinct= left out {left_out:,} combinations of"
            " fillers in a row; write the slots so that fewer are left out"
        )

    def search(self) -> Iterator[int]:
        """Every combination that is kept, once, by its number, in a seeded order that is no sample's."""
        shuffler = random.Random(f"{self._seed}/search")
        if self.combinations <= ENUMERATED:
            yield from filter(self.kept, shuffler.sample(range(self.combinations), self.combinations))
            return
        seen: set[int] = set()
        left_out = 0
        while len(seen) < self.combinations and left_out < _PATIENCE:
            number = shuffler.randrange(self.combinations)
            left_out += 1
            if number not in seen:
                seen.add(number)
                if self.kept(number):
                    left_out = 0
                    yield number

    def has(self, number: int) -> bool:
        """Whether there is such a combination, and it is kept."""
        return 0 <= number < self.combinations and self.kept(number)

    def kept(self, number: int) -> bool:
        """Whether ``where`` and ``distinct`` keep a combination."""
        return self.pairs.keeps(*self._chosen(number))

    def pair(self, number: int) -> Pair:
        """The pair of a combination."""
        return self.pairs.render(*self._chosen(number))

    def chosen(self, number: int) -> list[tuple[str, tuple[str, str]]]:
        """The slots that are chosen in a combination, each with its clean and its corrupted filler."""
        return list(self._chosen(number)[1].items())

    def slots(self, number: int) -> list[str]:
        """The slots that are chosen in a combination."""
        return list(self._choices[self._within(number)[0]])

    def digits(self, number: int) -> list[int]:
        """Which option of each slot a combination has."""
        template, number = self._within(number)
        digits = []
        for options in self._choices[template].values():
            number, digit = divmod(number, len(options))
            digits.append(digit)
        return digits

    def sizes(self, number: int) -> list[int]:
        """How many options each slot of a combination has."""
        return [len(options) for options in self._choices[self._within(number)[0]].values()]

    def nearest(self, number: int) -> int:
        """The next combination that is kept, or the last; of a population that is enumerated."""
        return self._all[min(bisect_left(self._all, number), len(self._all) - 1)]

    def number(self, like: int, digits: Sequence[int]) -> int:
        """The combination of a template's slots with these options; the template is that of another combination."""
        template, _ = self._within(like)
        number, place = self.firsts[template], 1
        for digit, options in zip(digits, self._choices[template].values(), strict=True):
            number, place = number + digit * place, place * len(options)
        return number

    def neighbours(self, number: int) -> list[list[int]]:
        """For each slot, the combinations with any of its options and all else as it is."""
        template, _ = self._within(number)
        found, place = [], 1
        for digit, options in zip(self.digits(number), self._choices[template].values(), strict=True):
            found.append([number + (other - digit) * place for other in range(len(options))])
            place *= len(options)
        return found

    def _random(self, shuffler: random.Random, evenly: str = "") -> _Chosen:
        likely = {"cum_weights": self._likely} if self._likely else {"weights": None if evenly else self._sizes}
        [template] = shuffler.choices(range(len(self._sizes)), **likely)
        weights = {name: one for name, one in self._weights[template].items() if name != evenly}
        return template, self.pairs.random(template, self._choices[template], weights, shuffler)

    def _chosen(self, number: int) -> _Chosen:
        """The fillers of a combination: the template first, then a digit a slot."""
        choices = self._choices[template := self._within(number)[0]]
        digits = self.digits(number)
        return template, {name: options[digit] for digit, (name, options) in zip(digits, choices.items(), strict=True)}

    def _within(self, number: int) -> tuple[int, int]:
        """A combination's template, and its number among those of the template."""
        template = bisect_right(self.firsts, number) - 1
        return template, number - self.firsts[template]
