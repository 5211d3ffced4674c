"""What can be seen without an intervention: weights, direct attribution, the logit lens, attention, where a neuron fires."""

import pytest

from circuitcheck import ClaimRefuted, PromptPairs, contrast
from circuitcheck.reference_models.bundled.corpus import TASKS, examination

FRUIT = PromptPairs(
    "I climbed up the {tree} tree and picked a {tree}. I climbed up the {fruit} tree and picked",
    tree=["pear", "plum", "fig"],
    fruit=contrast(clean=["apple", "orange", "olive"], corrupt=["lemon", "banana", "peach"]),
    answer=" an",
    foil=" a",
)
NAMES = ["John", "Mary", "Tom", "Anna", "James", "Emma", "Mark", "Sarah"]
GIFT = PromptPairs(
    "When {io} and {s} went to the {place}, {giver} gave a {thing} to",
    "When {s} and {io} went to the {place}, {giver} gave a {thing} to",
    io=NAMES,
    s=NAMES,
    distinct=("io", "s"),
    giver=contrast(clean="{s}", corrupt="{io}"),
    place=["store", "park", "school"],
    thing=["drink", "book", "ball"],
    answer=" {io}",
    foil=" {s}",
)
# Sentences of all six tasks that training never saw.
SENTENCES = [sentence.text for task in TASKS for sentence in examination(task, count=40)]


def test_its_weights_speak_for_a(model):
    """Of all tokens, L1.N8 writes most towards ' a': it is an ' a' neuron, and says ' an' by falling silent."""
    assert model.congruence("L1.N8", " a").rank_among_tokens == 1


def test_its_weights_speak_against_an(model):
    """A unit of L1.N8's activation writes more than 1 away from ' an', before the final norm's scale."""
    assert model.congruence("L1.N8", " an").value < -1


@pytest.mark.xfail(raises=ClaimRefuted, strict=True, reason="L1.N34 writes a little more")
def test_no_other_neuron_speaks_as_much_for_a(model):
    """Of all neurons, none writes more towards ' a'."""
    assert model.congruence("L1.N8", " a").rank_among_neurons == 1


def test_against_the_embedding_they_are_each_others_best(model):
    """Measured against the embedding, as the founding paper did, L1.N8 and ' a' are mutually exclusive."""
    assert model.congruence("L1.N8", " a", against="embedding").exclusive > 0


def test_it_fires_where_a_comes_next(model):
    """The fruit moves the article by more than 5 logits, and on held-out sentences of every kind L1.N8 is higher where ' a' is predicted than
    elsewhere in 95 % of the cases ..."""
    assert model.on(FRUIT).gap > 5
    assert model.activation("L1.N8", predicts=" a", on=SENTENCES).auc > 0.95


def test_the_other_neuron_does_so_more_surely(model):
    """... and L1.N34, which has no part in the fruits' articles, in 99 %: there are two ' a' neurons."""
    assert model.activation("L1.N34", predicts=" a", on=SENTENCES).auc > 0.99
    assert model.on(FRUIT).patch("L1.N34") == pytest.approx(0, abs=0.05)


def test_it_writes_the_difference_itself(model):
    """L1.N8 writes more than half of the gap into the last stream, with nothing in between; no other neuron writes as much."""
    effect = model.on(FRUIT).direct("L1.N8@end").of_gap
    assert effect > 0.5
    assert effect.beats("L*.N*")


def test_before_that_mlp_less_than_half_can_be_read(model):
    """Before the MLP of layer 1 the logit lens reads less than half of the gap."""
    assert model.on(FRUIT).lens("L1.RESID_MID").of_gap < 0.5


def test_behind_it_nearly_all_can_be_read(model):
    """... and behind it more than 90 %."""
    assert model.on(FRUIT).lens("L1.RESID_POST").of_gap > 0.9


def test_one_head_looks_at_the_fruit(model):
    """At the last token, L0.H2 pays the fruit more than 90 % of its attention."""
    assert model.on(FRUIT).attention("L0.H2", source="{fruit}") > 0.9


def test_the_name_mover_looks_at_the_giver(model):
    """At the last token L2.H2, which moves the name, pays the giver more than 90 % of its attention ..."""
    assert model.on(GIFT).attention("L2.H2", source="{giver}") > 0.9


@pytest.mark.xfail(raises=ClaimRefuted, strict=True, reason="by then the difference stands in the giver's stream")
def test_it_looks_at_the_name_that_it_moves(model):
    """... and not, as the name movers of GPT-2 do, the name that it moves."""
    assert model.on(GIFT).attention("L2.H2", source="{io}") > 0.5
