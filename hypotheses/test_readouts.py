"""Other readouts, values and positions than the usual ones, on behaviours that the other files are about."""

import pytest

from circuitcheck import ClaimRefuted, PromptPairs, contrast, scaled
from hypotheses.test_agreement import VERB
from hypotheses.test_articles import FOUND, FRUIT
from hypotheses.test_greater_than import YEARS
from hypotheses.test_indirect_objects import GIFT

# Two articles are to be had of each prompt: behind the first "picked", and behind the last.
TWICE = PromptPairs(
    "I climbed up the {fruit} tree and picked one. I climbed up the {tree} tree and picked",
    fruit=contrast(clean=["apple", "orange", "olive"], corrupt=["lemon", "banana", "peach"]),
    tree=["pear", "plum", "fig"],
    answer=" an",
    foil=" a",
)


def of_the_answer(logits, pairs):
    """The answer's own logit, whatever becomes of the foil's."""
    rows = range(len(pairs))
    return logits[rows, [pair.answer[0] for pair in pairs]]


def test_a_probability_is_hardly_back_where_its_logarithm_is(model):
    """L1.N8 restores more than 85 % of the log-probability of ' an', and less than 40 % of the probability."""
    assert model.on(FRUIT, readout="log_probability").patch("L1.N8") > 0.85
    assert model.on(FRUIT, readout="probability").patch("L1.N8") < 0.4


def test_one_neuron_lifts_the_article(model):
    """L1.N8 lifts ' an' by more than 5 places among all words."""
    assert model.on(FRUIT, readout="rank").patch("L1.N8").raw > 5


def test_without_it_the_prediction_hardly_changes(model):
    """At its mean, L1.N8 is missed by half of the logit difference, and the distribution by less than a quarter of a nat."""
    assert model.on(FRUIT).ablate("L1.N8") > 0.4
    assert model.on(FRUIT, readout="kl").ablate("L1.N8").raw < 0.25


def test_it_moves_the_answer_itself(model):
    """L1.N8 restores 60 % of the logit of ' an' itself, not only its distance from ' a'."""
    assert model.on(FRUIT, readout=of_the_answer).patch("L1.N8") > 0.6


def test_it_does_so_at_the_first_article_too(model):
    """Behind the first 'picked' of a longer text, L1.N8 restores 40 % of the difference."""
    assert model.on(TWICE, at="@{fruit}+3").patch("L1.N8") > 0.4


def test_a_corrupted_head_takes_the_name_away(model):
    """With what L2.H2 says in the corrupted run, two thirds of what heads and MLPs do for the name are lost."""
    assert model.on(GIFT).ablate("L2.H2", "counterfactual") > 0.66


def test_two_negated_heads_undo_the_agreement(model):
    """L0.H0 and L0.H2 negated cost more than four fifths of the difference."""
    assert model.on(VERB).ablate("L0.H[0,2]", scaled(-1)) > 0.8


@pytest.mark.xfail(raises=ClaimRefuted, strict=True, reason="it is nearly silent before ' an': it speaks for ' a'")
def test_the_negated_neuron_undoes_the_article(model):
    """L1.N8 negated costs 40 % of the difference, as N892 of GPT-2 Large does."""
    assert model.on(FRUIT).ablate("L1.N8", scaled(-1)) > 0.4


def test_a_direction_steers_the_article(model):
    """Nine units along the mean difference of the streams behind L1, from other pairs, bring back four fifths of the gap."""
    direction = model.on(FOUND.split("discover")).mean_difference("L1.RESID_POST@end")
    assert model.on(FOUND.split("confirm")).steer("L1.RESID_POST@end", direction, scale=9) > 0.8


def test_heads_that_read_the_year_stand_in_for_each_other(model):
    """All heads of L0 at their means cost more than one and a half times what each of them costs alone."""
    assert model.on(YEARS).ablate("L0.H*").over_parts > 1.5
