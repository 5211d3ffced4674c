"""A first handful of claims about a language model that nobody planted anything in (`circuitcheck fetch smollm2`)."""

import pytest

from circuitcheck import ClaimRefuted, PromptPairs, contrast

pytestmark = pytest.mark.circuit(model="smollm2", optional=True)

# Who receives: the one of two names that does not give.
RECEIVER = PromptPairs(
    "When {receiver} and {giver} went to the store, {giver} gave a {thing} to",
    receiver=contrast(clean=["John", "Mary", "Tom"], corrupt=["Anna", "James", "Peter"]),
    giver=["David", "Lucy"],
    thing=["book", "drink"],
    answer=" {receiver}",
    foil=" {giver}",
)


def test_it_knows_who_receives(model):
    """After 'John and David went to the store, David gave a book to' comes John, and not David."""
    assert model.on(RECEIVER).accuracy > 0.95


def test_attention_of_layer_23_brings_the_name(model):
    """At the last token, layer 23's attention alone restores most of what tells the receivers apart."""
    assert model.on(RECEIVER).patch("L23.ATTN@end") > 0.6


@pytest.mark.xfail(raises=ClaimRefuted, reason="it restores about a third; other heads of the layer bring the rest")
def test_one_head_brings_it_alone(model):
    """Head 0 of that layer restores most of it by itself."""
    assert model.on(RECEIVER).patch("L23.H0@end") > 0.5


def test_one_head_brings_more_of_it_than_any_other(model):
    """... but more than any other head of the layer."""
    assert model.on(RECEIVER).patch("L23.H0@end").rank_within("L23.H*") == 1
