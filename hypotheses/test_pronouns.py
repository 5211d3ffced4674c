"""he / she from a name that was said once."""

import pytest

from circuitcheck import ClaimRefuted, PromptPairs, contrast

HOME = PromptPairs(
    "{name} went home because",
    "{name} went to the {place} because",
    name=contrast(
        clean=["Mary", "Anna", "Emma", "Sarah", "Alice", "Jane", "Kate", "Lucy"],
        corrupt=["John", "Tom", "James", "Mark", "Paul", "Peter", "David", "Michael"],
    ),
    place=["park", "school"],
    answer=" she",
    foil=" he",
)


EITHER = PromptPairs(
    "{name} went home because",
    name=contrast.pairs(
        [("Mary", "John"), ("John", "Mary"), ("Emma", "Mark"), ("Mark", "Emma"), ("Lucy", "Tom"), ("Tom", "Lucy")]
    ),
    answer=lambda clean: " she" if clean["name"] in ("Mary", "Emma", "Lucy") else " he",
    foil=lambda clean: " he" if clean["name"] in ("Mary", "Emma", "Lucy") else " she",
)


def test_names_have_a_pronoun(model):
    """At least 99 % of the names are followed by their own pronoun."""
    assert model.on(EITHER).accuracy >= 0.99


def test_one_head_fetches_it(model):
    """L0.H2 alone brings back more than 70 % of the ' she' - ' he' logit difference."""
    assert model.on(HOME).patch("L0.H2") > 0.7


def test_the_first_layers_attention_fetches_all_of_it(model):
    """L0.ATTN restores the whole difference."""
    assert model.on(HOME).patch("L0.ATTN") == pytest.approx(1, abs=0.05)


@pytest.mark.xfail(raises=ClaimRefuted, strict=True, reason="the MLP of layer 1 restores under a third")
def test_gender_is_worked_out_in_an_mlp(model):
    """Gender is a fact about a name, and facts are kept in MLPs: L1.MLP carries most of the difference."""
    assert model.on(HOME).patch("L1.MLP") > 0.5
