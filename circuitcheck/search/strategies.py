"""Pairs that a user's own Hypothesis strategy generates: scouted, evaluated in batches, and shrunk from memory.

Hypothesis is run once with a body that only records; what it tried is evaluated in full batches; then it is run again
from the same seed, shrinking this time, and answered from memory. That the same seed gives the same pairs is not
promised by Hypothesis: where it did not, a pair is run by itself, which costs time and nothing else.
"""

import random
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from circuitcheck.errors import CircuitError, PromptError
from circuitcheck.prompts.pairs import Pair
from circuitcheck.prompts.prompt_pairs import PromptPairs

if TYPE_CHECKING:
    from hypothesis import Phase
    from hypothesis.strategies import SearchStrategy

    from circuitcheck.search.trials import Trials

# Pairs that Hypothesis' shrinker may ask for beside those in memory.
_MISSES = 60


class Generated:
    """What a strategy generates: at most so many ``examples``. ``misses`` counts what a replay asked for that had
    not been scouted, ``early`` those of them before it came to the pair that broke the claim."""

    size: int | None = None

    def __init__(self, strategy: "SearchStrategy[Any]", seed: int, examples: int):
        self.strategy, self.examples = strategy, examples
        self.misses = self.early = 0
        self._seed = f"{strategy!r}/{seed}"
        self._pairs: list[Pair] = []
        self._numbers: dict[Pair, int] = {}

    def order(self) -> Iterator[int]:
        """What Hypothesis would try, each pair once."""
        from hypothesis import Phase

        before = set(self._numbers)

        def record(pair: Pair) -> bool:
            self._number(pair)
            return False

        self._find(record, [Phase.generate])
        yield from (number for pair, number in list(self._numbers.items()) if pair not in before)

    def pair(self, number: int) -> Pair:
        return self._pairs[number]

    def slots(self, number: int) -> dict[str, list[int]]:
        """None: what a strategy generates has no slots."""
        return {}

    def plainness(self, number: int) -> tuple[int, ...]:
        """Shorter ones first, those that Hypothesis tried earlier before the others."""
        pair = self._pairs[number]
        return len(pair.clean.text) + len(pair.corrupt.text), number

    def shrunk(self, number: int, trials: "Trials") -> int:
        """What Hypothesis makes of it, answered from memory where it can be."""
        from hypothesis import Phase

        found_one = False

        def still_fails(pair: Pair) -> bool:
            nonlocal found_one
            other = self._number(pair)
            if not trials.seen(other):
                if self.misses == _MISSES:
                    return False
                self.misses += 1
                self.early += not found_one
                trials.evaluate([other])
            found_one = found_one or trials.fails(other)
            return trials.fails(other)

        shrunk = self._find(still_fails, [Phase.generate, Phase.shrink])
        return number if shrunk is None else self._number(shrunk)

    def recall(self, content: Mapping[str, Any]) -> int | None:
        """A kept pair, as it was kept; None where what is there is no pair."""
        row = {key: content[key] for key in ("clean", "corrupt", "answer", "foil")}
        try:
            return self._number(PromptPairs.from_rows([row]).rows[0])
        except (CircuitError, AttributeError, LookupError, TypeError, ValueError):
            return None

    def _number(self, pair: Pair) -> int:
        if pair not in self._numbers:
            self._numbers[pair] = len(self._pairs)
            self._pairs.append(pair)
        return self._numbers[pair]

    def _find(self, condition: Callable[[Pair], bool], phases: "list[Phase]") -> Pair | None:
        from hypothesis import find, settings
        from hypothesis.errors import NoSuchExample

        told = settings(max_examples=self.examples, phases=phases, deadline=None, database=None)
        try:
            found = find(
                self.strategy, lambda value: condition(as_pair(value)), settings=told, random=random.Random(self._seed)
            )
        except NoSuchExample:
            return None
        return as_pair(found)


def as_pair(value: object) -> Pair:
    """What a strategy generated as a pair; raises ``PromptError`` for what is none."""
    if isinstance(value, PromptPairs) and len(value.rows) == 1:
        return value.rows[0]
    if isinstance(value, Mapping):
        return PromptPairs.from_rows([value]).rows[0]
    raise PromptError(
        f"the strategy generated {value!r}, which is no pair: a pair is a mapping with clean, corrupt, answer and, if there "
        "is one, foil, or what pairs.strategy() generates"
    )
