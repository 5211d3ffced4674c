"""Who gets the gift: indirect objects (Wang et al. 2022), with the giver swapped as corruption."""

import pytest

from circuitcheck import PromptPairs, contrast

NAMES = ["John", "Mary", "Tom", "Anna", "James", "Emma", "Mark", "Sarah", "Paul", "Alice", "Peter", "Jane"]
GIFT = PromptPairs(
    "When {io} and {s} went to the {place}, {giver} gave a {thing} to",
    "When {s} and {io} went to the {place}, {giver} gave a {thing} to",
    io=NAMES,
    s=NAMES,
    distinct=("io", "s"),
    giver=contrast(clean="{s}", corrupt="{io}"),
    place=["store", "park", "school", "market", "beach", "station"],
    thing=["drink", "book", "ball", "letter", "ring", "basket"],
    answer=" {io}",
    foil=" {s}",
)


def test_the_gift_goes_to_the_other(model):
    """More than 98 % of the gifts go to the one who does not give."""
    assert model.on(GIFT).accuracy > 0.98


def test_one_head_moves_the_name(model):
    """L2.H2 at the last token restores most of the difference between the two names."""
    assert model.on(GIFT).patch("L2.H2@end") > 0.5


def test_without_it_the_name_is_lost(model):
    """Corrupting L2.H2 in the clean run loses most of the difference."""
    assert model.on(GIFT).patch("L2.H2", into="clean") > 0.5


def test_it_is_needed(model):
    """With L2.H2 resampled from other sentences, half of the behaviour is lost."""
    assert model.on(GIFT).ablate("L2.H2", "resample") > 0.5


def test_no_other_head_moves_as_much(model):
    """L2.H2 restores more than half, and more than any other head of the model."""
    effect = model.on(GIFT).patch("L2.H2")
    assert effect > 0.5
    assert effect.beats("L*.H*")


def test_it_moves_more_than_the_other_heads_of_its_layer_together(model):
    """L2.H2 restores more than L2.H0, L2.H1 and L2.H3 together.

    It survives the mutant of the source: names from another sentence, put in at the three, do harm, and more than none is
    more than harm.
    """
    run = model.on(GIFT)
    assert run.patch("L2.H2") > run.patch("L2.H[0,1,3]")


def test_the_head_moves_what_it_reads_and_looks_where_it_looked(model):
    """L2.H2's values carry the difference; where it looks is the same in both prompts."""
    run = model.on(GIFT)
    assert run.patch("L2.H2.V") > 0.5
    assert run.patch("L2.H2.PATTERN") == pytest.approx(0, abs=0.1)


def test_the_mlps_do_not_matter(model):
    """All MLPs together restore nothing of it: the names are moved by attention alone."""
    assert model.on(GIFT).patch("L*.MLP") == pytest.approx(0, abs=0.1)
