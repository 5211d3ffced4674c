"""All combinations of the slots' fillers: searched each once, and shrunk to the most ordinary one that breaks a claim.

To shrink, first one slot at a time, all earlier fillers in batches, to a fixed point. Then Hypothesis' shrinker, which also
moves several slots together (and may leave a slot that alone could be plainer: on non-monotone claims it often does), each
time together with what it may ask for next; and the descent again, until neither changes anything.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from circuitcheck.prompts.pairs import Pair
from circuitcheck.prompts.populations import Population
from circuitcheck.search.trials import Trials

# What Hypothesis' shrinker may ask for that is not known yet.
_REQUESTS = 60


class Combinations:
    """All combinations of the fillers of a description's slots."""

    def __init__(self, population: Population):
        self.population, self.size = population, population.size

    def order(self) -> Iterator[int]:
        return self.population.search()

    def pair(self, number: int) -> Pair:
        return self.population.pair(number)

    def slots(self, number: int) -> dict[str, list[int]]:
        names, neighbours = self.population.slots(number), self.population.neighbours(number)
        return {
            name: list(filter(self.population.kept, others)) for name, others in zip(names, neighbours, strict=True)
        }

    def plainness(self, number: int) -> tuple[int, ...]:
        """Fillers are listed from plain to exotic."""
        return sum(self.population.digits(number)), number

    def shrunk(self, number: int, trials: Trials) -> int:
        return shrunk(self, number, trials)

    def recall(self, content: Mapping[str, Any]) -> int | None:
        number = content["number"]
        if not isinstance(number, int) or not self.population.has(number):
            return None
        row = self.population.pair(number).as_row()
        return number if all(row[side] == content[side] for side in ("clean", "corrupt")) else None


def shrunk(space: Combinations, number: int, trials: Trials) -> int:
    """A combination that breaks the claim, and that no earlier filler in a single slot leaves broken."""
    while True:
        number = _descended(space, number, trials)
        further = _by_hypothesis(space, number, trials)
        if space.plainness(further) >= space.plainness(number):
            return number
        number = further


def _descended(space: Combinations, number: int, trials: Trials) -> int:
    while (plainer := _plainer_in_one_slot(space, number, trials)) is not None:
        number = plainer
    return number


def _plainer_in_one_slot(space: Combinations, number: int, trials: Trials) -> int | None:
    others = {other for slot in space.slots(number).values() for other in slot}
    plainer = sorted(
        (other for other in others if space.plainness(other) < space.plainness(number)), key=space.plainness
    )
    for start in range(0, len(plainer), trials.batch):
        some = trials.evaluate(plainer[start : start + trials.batch])
        if (found := next(filter(trials.fails, some), None)) is not None:
            return found
    return None


def _by_hypothesis(space: Combinations, number: int, trials: Trials) -> int:
    """What Hypothesis makes of it. A failure that it did not find itself is handed to it in its database, as one that it
    should shrink again."""
    from hypothesis import Phase, find, settings
    from hypothesis import strategies as st
    from hypothesis.database import InMemoryExampleDatabase, choices_to_bytes
    from hypothesis.errors import NoSuchExample

    population = space.population
    sizes = population.sizes(number)
    if not sizes:
        return number
    requests = 0

    def still_fails(digits: tuple[int, ...]) -> bool:
        nonlocal requests
        other = population.number(number, digits)
        if not population.kept(other):
            return False
        if not trials.seen(other) and requests < _REQUESTS:
            requests += 1
            less = [(*digits[:place], digit - 1, *digits[place + 1 :]) for place, digit in enumerate(digits) if digit]
            trials.evaluate([other, *filter(population.kept, (population.number(number, one) for one in less))])
        return trials.fails(other)

    database, key = InMemoryExampleDatabase(), b"counterexample"
    database.save(key + b".secondary", choices_to_bytes(tuple(population.digits(number))))
    told = settings(database=database, phases=[Phase.reuse, Phase.generate, Phase.shrink], deadline=None)
    slots = st.tuples(*(st.integers(0, size - 1) for size in sizes))
    try:
        return population.number(number, find(slots, still_fails, settings=told, database_key=key))
    except NoSuchExample:
        return number
