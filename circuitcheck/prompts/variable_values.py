"""What tells functions apart: their values over the population."""

import random
from collections.abc import Iterator
from itertools import islice
from weakref import WeakKeyDictionary

from circuitcheck.prompts.descriptions import Description
from circuitcheck.prompts.pairs import Pair
from circuitcheck.prompts.populations import FIXED_SEED, Population
from circuitcheck.texts import digest

# Of a population that is too large to be gone through, so many pairs decide.
_DRAWN = 256
_known: "WeakKeyDictionary[Description, tuple[str, dict[str, str]]]" = WeakKeyDictionary()


def values_of(description: Description) -> dict[str, str]:
    """A hash of each variable's values in the clean prompts of the population, in an order of its own."""
    return _hashes(description)[1]


def prompts_of(description: Description) -> str:
    """A hash of the clean prompts of the population, which ``where`` decides, too."""
    return _hashes(description)[0]


def _hashes(description: Description) -> tuple[str, dict[str, str]]:
    """Of the clean prompts' texts, and of each variable's values in them."""
    if description in _known:
        return _known[description]
    population = Population(description, FIXED_SEED)
    pairs: Iterator[Pair] = islice(population.draw_by(random.Random(FIXED_SEED)), _DRAWN)
    if population.is_enumerated:
        pairs = (population.pair(number) for number in range(population.combinations) if population.kept(number))
    texts, values = zip(*((pair.clean.text, description.values(pair)) for pair in pairs), strict=True)
    by_name = {name: digest([repr(one[name]) for one in values]) for name in description.variables}
    _known[description] = digest(list(texts)), by_name
    return _known[description]
