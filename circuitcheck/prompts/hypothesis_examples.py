"""Pairs and claims inside a user's own ``@given`` test.

@settings(deadline=None)
@given(pair=FRUIT.strategy())
def test_any_pair(model, pair):
    assert model.on(pair).patch("L1.N8") > 0.1
"""

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from circuitcheck.errors import MethodError
from circuitcheck.prompts.descriptions import Description
from circuitcheck.prompts.pairs import Pair
from circuitcheck.prompts.populations import Population

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy

_Only = TypeVar("_Only")


def is_inside() -> bool:
    """Whether a Hypothesis test is running."""
    hypothesis = sys.modules.get("hypothesis")
    return hypothesis is not None and bool(hypothesis.currently_in_test_context())


def refuse_average(pairs: Description, label: str) -> None:
    """Inside ``@given``, only claims about the example that was drawn."""
    if is_inside() and not pairs.is_example:
        raise MethodError(
            f"{label} is about a population, and inside @given it would be decided once an example, the same each time.\n"
            "  Claim it in a test of its own. Of an example, claim something about that pair alone:\n"
            "  @given(pair=PAIRS.strategy()), and assert model.on(pair)... > t"
        )


def reject(why: str) -> NoReturn:
    """End this example, which says nothing about the claim; Hypothesis' statistics count it under ``why``."""
    import hypothesis

    hypothesis.event(f"circuitcheck: {why}")
    hypothesis.reject()


def examples_of(pairs: Description, only: "Callable[[Pair], _Only]") -> "SearchStrategy[_Only]":
    """Single pairs of a description, each by itself as ``only`` makes it; they shrink towards fillers that come earlier in their lists."""
    from hypothesis import strategies as st

    population = Population(pairs, 0)

    @st.composite
    def example(draw: Any) -> _Only:
        first = draw(st.sampled_from(population.firsts))
        digits = [draw(st.integers(0, size - 1)) for size in population.sizes(first)]
        number = population.number(first, digits)
        if population.is_enumerated:
            number = population.nearest(number)
        elif not population.kept(number):
            reject("where= or distinct= leave it out")
        return only(population.pair(number))

    return example()
