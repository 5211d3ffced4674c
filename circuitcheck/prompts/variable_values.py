"""What tells functions apart: their values over the population."""

import random
from collections.abc import Iterator
from itertools import islice
from typing import Any
from weakref import WeakKeyDictionary

from circuitcheck.prompts.descriptions import Description
from circuitcheck.prompts.pairs import Pair
from circuitcheck.prompts.populations import FIXED_SEED, Population
from circuitcheck.texts import digest

# Of a population that is too large to be gone through, so many pairs decide.
_DRAWN = 256
_known: "WeakKeyDictionary[Description, dict[str, str]]" = WeakKeyDictionary()


def values_of(description: Description) -> dict[str, str]:
    """A hash of each variable's values in the clean prompts of the population, in an order of its own."""
    if description not in _known:
        _known[description] = _values_of(description)
    return _known[description]


def _values_of(description: Description) -> dict[str, str]:
    population = Population(description, FIXED_SEED)
    pairs: Iterator[Pair] = islice(population.draw_by(random.Random(FIXED_SEED)), _DRAWN)
    if population.is_enumerated:
        pairs = (population.pair(number) for number in range(population.combinations) if population.kept(number))
    clean = [description.algorithm.values({name: clean for name, clean, _ in pair.fillers}) for pair in pairs]
    found: dict[str, list[Any]] = {name: [repr(values[name]) for values in clean] for name in description.variables}
    return {name: digest(values) for name, values in found.items()}
