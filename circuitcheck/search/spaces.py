"""What can be searched: pairs by number, each once, with those that differ from them in one slot."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Protocol

from circuitcheck.pairs import Pair
from circuitcheck.populations import Population
from circuitcheck.search.shrinking import shrunk

if TYPE_CHECKING:
    from circuitcheck.search.trials import Trials


class Space(Protocol):
    """``size``: how many pairs there are, None for more than can be counted."""

    size: int | None

    def order(self) -> Iterator[int]:
        """Every pair, once, in a seeded order that is no sample's."""

    def pair(self, number: int) -> Pair:
        """The pair of a number."""

    def slots(self, number: int) -> dict[str, list[int]]:
        """For each slot of a pair, the pairs with any of its fillers and all else as it is."""

    def plainness(self, number: int) -> tuple[int, ...]:
        """What is smaller for a more ordinary pair."""

    def shrunk(self, number: int, trials: "Trials") -> int:
        """A pair that breaks the claim, made as ordinary as it can be."""

    def recall(self, content: Mapping[str, Any]) -> int | None:
        """The number of a pair that was kept as a counterexample; None where there is no such pair any more."""


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

    def shrunk(self, number: int, trials: "Trials") -> int:
        return shrunk(self, number, trials)

    def recall(self, content: Mapping[str, Any]) -> int | None:
        number = content["number"]
        if not isinstance(number, int) or not self.population.has(number):
            return None
        pair = self.population.pair(number)
        return number if (pair.clean.written, pair.corrupt.written) == (content["clean"], content["corrupt"]) else None
