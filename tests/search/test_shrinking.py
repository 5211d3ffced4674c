"""What a search finds is made as ordinary as it can be: over planted failures, without a model."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from circuitcheck import PromptPairs, contrast
from circuitcheck.prompts.alignment import Aligner
from circuitcheck.prompts.populations import Population
from circuitcheck.sampling.samples import Sample
from circuitcheck.search.adversaries import Coordinate
from circuitcheck.search.combinations import Combinations
from circuitcheck.search.plans import Plan
from circuitcheck.search.search import Searched, search
from circuitcheck.search.trials import Numbers, Trials
from tests.conftest import each, examples
from tests.tokenizers_for_tests import word_level

SIZES = {"a": 8, "b": 30, "c": 16}
ALL = 8 * 30 * 16
WORDS = [f"{slot}{n}" for slot, size in SIZES.items() for n in range(size)]
TOKENIZER = word_level("yes", "no", "x", "y", *WORDS)
PAIRS = PromptPairs(
    "{a} {b} {c} {noun}",
    a=[f"a{n}" for n in range(8)],
    b=[f"b{n}" for n in range(30)],
    c=[f"c{n}" for n in range(16)],
    noun=contrast(clean=["x"], corrupt=["y"]),
    answer=" yes",
    foil=" no",
)
Digits = tuple[int, int, int]


def digits_of(text: str) -> Digits:
    a, b, c = (int(word[1:]) for word in text.split()[:3])
    return a, b, c


def searched(fails: Callable[[Digits], bool], seed: int = 0, coordinate: bool = False, examples: int = ALL) -> Searched:
    """A search for a pair that fails, where failing is a number of 0 and holding one of 1."""

    def numbers(sample: Sample) -> Numbers:
        found = np.array([0.0 if fails(digits_of(pair.pair.clean.text)) else 1.0 for pair in sample.pairs])
        return Numbers(found, np.zeros(len(found)), [True] * len(found))

    aligner = Aligner(TOKENIZER, None, len(TOKENIZER))
    trials = Trials(Combinations(Population(PAIRS.description, seed)), aligner, numbers, lambda found: 0.5 - found)
    return search(trials, Plan(examples=examples), adversary=Coordinate() if coordinate else None)


def failures() -> st.SearchStrategy[Callable[[Digits], bool]]:
    """Monotone ones, and others: sums in residue classes, single combinations, anything at all."""
    everything = [(a, b, c) for a in range(8) for b in range(30) for c in range(16)]
    return st.one_of(
        st.tuples(*(st.integers(0, size - 1) for size in SIZES.values())).map(
            lambda least: lambda d: all(x >= y for x, y in zip(d, least, strict=True))
        ),
        st.tuples(st.integers(2, 11), st.integers(0, 10), st.integers(0, 15)).map(
            lambda said: lambda d: (d[0] + d[1]) % said[0] == said[1] % said[0] and d[2] >= said[2]
        ),
        st.sets(st.sampled_from(everything), min_size=1, max_size=300).map(lambda some: lambda d: d in some),
    )


@pytest.mark.thorough
@settings(
    max_examples=examples(3, 60), deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.nested_given]
)
@given(fails=failures(), seed=st.integers(0, 5))
def test_no_earlier_filler_in_one_slot_fails_too(fails: Callable[[Digits], bool], seed: int) -> None:
    found = searched(fails, seed)
    assert found.counterexample is not None
    digits = digits_of(found.counterexample.pair.clean.text)
    assert fails(digits)
    for place in range(3):
        for earlier in range(digits[place]):
            assert not fails((*digits[:place], earlier, *digits[place + 1 :]))  # type: ignore[arg-type]
    assert found.alone <= 60


@pytest.mark.thorough
@settings(
    max_examples=examples(2, 30), deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.nested_given]
)
@given(fails=failures(), coordinate=st.booleans())
def test_the_same_seed_finds_the_same(fails: Callable[[Digits], bool], coordinate: bool) -> None:
    first, again = (searched(fails, 3, coordinate, examples=100) for _ in range(2))
    assert first == again


def test_two_slots_that_must_move_together_do() -> None:
    """One slot at a time there is no way down: only where both fillers have the same number does it fail."""
    found = searched(lambda d: d[0] == d[1] and d[2] == 15, seed=1)
    assert found.counterexample is not None
    assert found.first is not None
    assert digits_of(found.first.pair.clean.text) != (0, 0, 15)
    assert digits_of(found.counterexample.pair.clean.text) == (0, 0, 15)


def test_what_cannot_break_it_is_found_free() -> None:
    found = searched(lambda d: d[1] == 4)
    assert set(found.free) == {"a", "c"}
    assert found.tried < ALL


@pytest.mark.parametrize("examples", each([100, ALL, 2 * ALL], (100, ALL)))
def test_all_pairs_are_tried_where_they_may_be(examples: int) -> None:
    found = searched(lambda d: False, examples=examples)
    assert (found.tried, found.exhausted, found.of) == (min(examples, ALL), examples >= ALL, ALL)
