"""A statement about new templates or fillers takes its pairs evenly from those that there are."""

from collections import Counter
from itertools import islice

import pytest

from circuitcheck import Model, PromptPairs, contrast
from circuitcheck.prompts.populations import ENUMERATED, Population
from circuitcheck.settings import Settings

NOUNS = ("onion", "umbrella", "elephant", "owl", "engine", "arrow", "envelope", "egg", "oven", "apple")
OTHERS = ("table", "lamp", "river", "dog", "horse", "book", "candle", "drum", "hammer", "lemon")


def uneven(many: int) -> PromptPairs:
    """Twenty templates, of which half have ``many`` times as many pairs as the others."""
    few = [f"Number {n}: we looked for the {{noun}} and found" for n in range(10)]
    full = [f"Number {n}: they sold the {{other}} and found the {{noun}} for" for n in range(10, 20)]
    noun = contrast.pairs(list(zip(NOUNS, OTHERS, strict=True)))
    return PromptPairs(*few, *full, noun=noun, other=[f"thing {n}" for n in range(many)], answer=" an", foil=" a")


@pytest.mark.parametrize("many", [100, 1000])
def test_each_template_gives_as_many_pairs_as_the_others(many: int) -> None:
    population = Population(uneven(many).description, seed=0)
    assert (population.size is None) == (many == 1000)
    first = list(islice(population.draw(evenly="template"), 200))
    assert set(Counter(pair.template for pair in first).values()) == {10}
    assert len({(pair.template, pair.fillers) for pair in first}) > 150
    plain = Counter(pair.template for pair in islice(population.draw(), 200))
    assert sum(plain[template] for template in range(10)) < 20


def test_a_template_that_has_no_more_pairs_leaves_its_turns_to_the_others() -> None:
    population = Population(uneven(100).description, seed=0)
    drawn = list(population.draw(evenly="template"))
    assert population.size == len(drawn) == 10 * 10 + 10 * 1000
    assert len({(pair.template, pair.fillers) for pair in drawn}) == len(drawn)


def test_each_filler_gives_as_many_pairs_as_the_others_however_likely_it_is() -> None:
    rare = {"onion": 100.0, "umbrella": 1.0, "owl": 1.0}
    nouns = PromptPairs("The {noun} and the {other} met", noun=rare, other=[*OTHERS], answer=" an", foil=" a")
    population = Population(nouns.description, seed=0)
    first = list(islice(population.draw(evenly="noun"), 60))
    assert Counter({name: clean for name, clean, _ in pair.fillers}["noun"] for pair in first) == {
        "onion": 20,
        "umbrella": 20,
        "owl": 20,
    }


def test_fillers_that_where_leaves_few_pairs_get_their_turns() -> None:
    kept = PromptPairs(
        "The {noun} and the {other} met",
        noun=list(NOUNS),
        other=[f"thing {n}" for n in range(50)],
        where=lambda clean, corrupt: clean["noun"] == "owl" or clean["other"] == "thing 3",
        answer=" an",
        foil=" a",
    )
    first = list(islice(Population(kept.description, seed=0).draw(evenly="noun"), 10))
    assert len({pair.fillers[0] for pair in first}) == 10


def test_the_order_of_clusters_does_not_go_by_their_size() -> None:
    """Of 20 templates the first turn is cut off after five: the small ones are as often among those."""
    small = 0
    pairs = uneven(4)
    for seed in range(200):
        first = islice(Population(pairs.description, seed).draw(evenly="template"), 5)
        small += sum(pair.template < 10 for pair in first)
    assert 400 < small < 600


def test_a_run_about_new_ones_draws_evenly_and_others_as_they_come(anew: object) -> None:
    model: Model = anew(Settings(whole=8))  # type: ignore[operator]
    pairs = PromptPairs(
        "We looked for the {noun} and found",
        "They sold the {other}. We looked for the {noun} and found",
        noun=contrast(clean=["onion", "umbrella", "elephant", "owl"], corrupt=["table", "lamp", "river"]),
        other=["window", "train", "airplane", "island", "spoon", "anchor", "dog", "horse", "book", "candle"],
        answer=" an",
        foil=" a",
    )
    count = Counter(
        pair.pair.template for pair in model.on(pairs, generalise="template")._setup.drawn.first.sample.pairs
    )
    assert count[0] == 12  # all that it has
    assert model.on(pairs)._setup.drawn is not model.on(pairs, generalise="template")._setup.drawn
    plain = Counter(pair.pair.template for pair in model.on(pairs)._setup.drawn.first.sample.pairs)
    assert plain[0] < 8
    assert ENUMERATED > 1000
