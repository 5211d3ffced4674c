"""What is drawn from a description: uniformly, in an order that only description and seed decide."""

import itertools
import math
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from circuitcheck.errors import PromptError
from circuitcheck.prompts.pairs import Pair
from circuitcheck.prompts.populations import ENUMERATED, Population
from circuitcheck.prompts.prompt_pairs import PromptPairs, contrast

WORDS = [f"w{number}" for number in range(200)]


def texts(drawn: Sequence[Pair]) -> list[tuple[str, str]]:
    return [(pair.clean.text, pair.corrupt.text) for pair in drawn]


def draw(pairs: PromptPairs, seed: int = 0, purpose: str = "evidence", n: int | None = None) -> list[tuple[str, str]]:
    return texts(list(itertools.islice(Population(pairs.description, seed).draw(purpose), n)))


def numbers(n: int = 6, **arguments: Any) -> PromptPairs:
    """A small population of n times n pairs."""
    return PromptPairs("{a}+{b}", **{"a": WORDS[:n], "b": WORDS[:n], "answer": "x", **arguments})


def large(**arguments: Any) -> PromptPairs:
    """A population of 200 cubed pairs, too many to enumerate."""
    return PromptPairs("{a} {b} {c}", **{"a": WORDS, "b": WORDS, "c": WORDS, "answer": "x", **arguments})


# Small populations, against a reading by brute force

Side = dict[str, str]
FILTERS: list[Callable[[Side, Side], bool]] = [
    lambda clean, corrupt: True,
    lambda clean, corrupt: clean != corrupt,
    lambda clean, corrupt: sum(map(ord, "".join(clean.values()) + "".join(corrupt.values()))) % 3 > 0,
]
lists = st.lists(st.sampled_from(["p", "q", "r", "s", "t"]), min_size=1, max_size=4, unique=True)
couples = st.tuples(lists, lists)
templates = st.lists(
    st.lists(st.sampled_from("abc"), min_size=1, max_size=3), min_size=1, max_size=3, unique_by=lambda t: tuple(t)
)


@settings(deadline=None)
@given(templates, lists, couples, lists, st.booleans(), st.sampled_from(FILTERS), st.integers(0, 3))
def test_a_population_is_the_product_of_its_fillers_less_what_is_filtered(
    used: list[list[str]],
    a: list[str],
    b: tuple[list[str], list[str]],
    c: list[str],
    are_distinct: bool,
    where: Callable[[Side, Side], bool],
    seed: int,
) -> None:
    options = {"a": [(f, f) for f in a], "b": list(itertools.product(*b)), "c": [(f, f) for f in c]}
    slots = {"a": a, "b": contrast(clean=b[0], corrupt=b[1]), "c": c}
    mentioned = [slot for slot in "abc" if any(slot in template for template in used)]
    distinct = tuple(mentioned) if are_distinct and len(mentioned) > 1 else ()

    expected = []
    for template in used:
        here = list(dict.fromkeys(template))
        for chosen in itertools.product(*(options[slot] for slot in here)):
            sides: list[Side] = [dict(zip(here, (pair[side] for pair in chosen), strict=True)) for side in (0, 1)]
            bound = [[side[slot] for slot in distinct if slot in side] for side in sides]
            if all(len(set(values)) == len(values) for values in bound) and where(*sides):
                expected.append(tuple(" ".join(f"{slot}:{side[slot]}" for slot in template) for side in sides))

    pairs = PromptPairs(
        *(" ".join(f"{slot}:{{{slot}}}" for slot in template) for template in used),
        **{slot: slots[slot] for slot in mentioned},
        distinct=distinct,
        where=where,
        answer="x",
    )
    if not expected:
        with pytest.raises(PromptError, match="is an empty population: where= or distinct= leave no pair"):
            Population(pairs.description, seed)
        return
    population = Population(pairs.description, seed)
    assert population.size == len(expected)
    assert sorted(texts(list(population.draw()))) == sorted(expected)


def test_the_fillers_that_a_pair_was_made_of_are_told() -> None:
    pairs = PromptPairs("{b}", a=contrast(clean=["p"], corrupt=["q"]), b="<{a}>", answer="x")
    (pair,) = Population(pairs.description, 0).draw()
    assert sorted(pair.fillers) == [("a", "p", "q"), ("b", "<p>", "<q>")]


def test_rows_are_drawn_as_any_other_pairs() -> None:
    rows = PromptPairs.from_rows([{"clean": word, "corrupt": word + "!", "answer": "x"} for word in WORDS[:20]])
    assert Population(rows.description, 0).size == 20
    assert draw(rows) != [(word, word + "!") for word in WORDS[:20]]
    assert sorted(draw(rows)) == sorted((word, word + "!") for word in WORDS[:20])


# Order


@pytest.mark.parametrize("make", [numbers, large])
def test_the_seed_decides_the_order(make: Callable[[], PromptPairs]) -> None:
    assert draw(make(), seed=1, n=30) == draw(make(), seed=1, n=30)
    assert draw(make(), seed=1, n=30) != draw(make(), seed=2, n=30)


@pytest.mark.parametrize("make", [numbers, large])
def test_a_longer_draw_begins_as_a_shorter_one(make: Callable[[], PromptPairs]) -> None:
    assert draw(make(), n=30)[:7] == draw(make(), n=7)


@pytest.mark.parametrize("make", [numbers, large])
def test_drawing_twice_from_one_population_gives_the_same_pairs(make: Callable[[], PromptPairs]) -> None:
    population = Population(make().description, 0)
    first = texts(list(itertools.islice(population.draw(), 30)))
    assert first == texts(list(itertools.islice(population.draw(), 30)))


def test_another_purpose_has_an_order_of_its_own() -> None:
    assert draw(numbers(), purpose="reference") != draw(numbers())
    assert sorted(draw(numbers(), purpose="reference")) == sorted(draw(numbers()))


def test_the_order_in_which_slots_are_given_changes_nothing() -> None:
    one = PromptPairs("{a}+{b}", a=WORDS[:9], b=WORDS[:9], answer="x")
    other = PromptPairs("{a}+{b}", answer="x", b=tuple(WORDS[:9]), a=WORDS[:9])
    assert draw(one) == draw(other)
    assert one.identity == other.identity


def test_what_a_filter_is_called_changes_nothing() -> None:
    def different(clean: Any, corrupt: Any) -> bool:
        return bool(clean["a"] != clean["b"])

    assert draw(numbers(where=different)) == draw(numbers(where=lambda ours, theirs: ours["a"] != ours["b"]))


def test_claims_that_ask_for_another_answer_share_their_prompts_in_order() -> None:
    assert draw(numbers(answer=" y")) == draw(numbers(answer=" x")) == draw(numbers(answer=lambda _: " x", foil=" z"))


def test_another_description_has_another_order_and_identity() -> None:
    assert numbers().identity != numbers(b=WORDS[1:7]).identity
    mapped = [clean.split("+") for clean, _ in draw(numbers(b=WORDS[1:7]))]
    assert [f"{a}+{WORDS[WORDS.index(b) - 1]}" for a, b in mapped] != [clean for clean, _ in draw(numbers())]


# Populations too large to enumerate


def test_a_population_is_counted_up_to_the_limit_of_enumeration() -> None:
    slots = {"a": [str(n) for n in range(200)], "b": [str(n) for n in range(ENUMERATED // 200)]}
    counted = Population(PromptPairs("{a} {b}", **slots, answer="x").description, 0)
    assert (counted.size, counted.combinations) == (ENUMERATED, ENUMERATED)
    uncounted = Population(PromptPairs("{a} {b}", "one more", **slots, answer="x").description, 0)
    assert (uncounted.size, uncounted.combinations) == (None, ENUMERATED + 1)


def test_a_population_too_large_to_enumerate_is_drawn_with_replacement_and_all_of_it_comes() -> None:
    """Of m pairs that are drawn m times, all but 1 in e come at least once."""
    slots = {"a": [str(n) for n in range(201)], "b": [str(n) for n in range(100)]}
    drawn = draw(PromptPairs("{a} {b}", **slots, answer="x"), n=20_100)
    assert len(set(drawn)) == pytest.approx(20_100 * (1 - math.exp(-1)), rel=0.02)
    assert drawn[:50] == draw(PromptPairs("{a} {b}", **slots, answer="x"), n=50)


def test_a_large_population_is_drawn_within_its_filters() -> None:
    drawn = draw(large(distinct=("a", "b"), where=lambda clean, _: clean["c"] in WORDS[:20]), n=2000)
    for clean, _ in drawn:
        a, b, c = clean.split()
        assert a != b
        assert c in WORDS[:20]


def test_a_large_population_is_drawn_uniformly_over_fillers_and_templates() -> None:
    """Within five standard deviations of what uniform draws would give."""
    pairs = PromptPairs("{a} {b} {c}", "{a} {b} {d}", a=WORDS, b=WORDS, c=["1"], d=["2", "3", "4"], answer="x")
    n = 4000
    drawn = [clean.split() for clean, _ in draw(pairs, n=n)]
    for place, share in ((0, 1 / 200), (1, 1 / 200), (2, 1 / 4)):
        counts = Counter(words[place] for words in drawn)
        reach = 5 * math.sqrt(n * share * (1 - share))
        assert len(counts) == round(1 / share)
        assert all(abs(count - n * share) < reach for count in counts.values())


def test_the_two_orders_of_one_small_population_are_uniform() -> None:
    firsts = Counter(draw(numbers(2), seed=seed, n=1)[0] for seed in range(800))
    assert len(firsts) == 4
    assert all(abs(count - 200) < 5 * math.sqrt(800 * 0.25 * 0.75) for count in firsts.values())


def test_a_filter_that_leaves_next_to_nothing_of_a_large_population_is_refused_and_not_taken_for_all_of_it() -> None:
    pairs = large(where=lambda clean, _: clean["a"] == clean["b"] == clean["c"] == "w0")
    with pytest.raises(PromptError, match=r"where= or distinct="):
        draw(pairs)


# Fillers that are not equally likely


def test_fillers_come_as_often_as_their_weights_say() -> None:
    """Within five standard deviations of 4,000 draws."""
    pairs = PromptPairs("{who} saw {what}", who={"Mary": 3, "Tom": 1}, what=["a", "b"], answer="x")
    drawn = draw(pairs, n=4000)
    counts = Counter(clean.split()[0] for clean, _ in drawn)
    assert counts["Mary"] == pytest.approx(3000, abs=5 * 27)
    assert len(set(drawn)) == 4
    assert Population(pairs.description, 0).size is None
    assert drawn[:20] == draw(pairs, n=20) != draw(pairs, seed=1, n=20)


@pytest.mark.parametrize("weight", [0, -1, float("inf"), True, "much"])
def test_a_weight_is_a_positive_number(weight: Any) -> None:
    with pytest.raises(PromptError, match="the weight"):
        PromptPairs("{who}", who={"Mary": weight, "Tom": 1}, answer="x")
