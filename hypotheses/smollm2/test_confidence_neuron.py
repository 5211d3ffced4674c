"""Entropy neurons: of large norm, congruent with no token, they change how sure the model is. (Gurnee et al. 2024, arXiv:2401.12181; Stolfo et al.
2024, arXiv:2406.16254, of GPT-2 and Llama 2)

By its weights L28.N678 is one: of the 1,536 neurons of the last layer but one it has the fifth largest norm, and of all the least variance of
what it writes over tokens. In the last layer none is so: those of small variance have small norms there.
"""

import pytest
from behaviours import ARTICLES

from circuitcheck import ClaimRefuted

pytestmark = pytest.mark.circuit(model="smollm2", optional=True)

NEURON, OTHER = "L28.N678@end", "L28.N1149@end"
THERE = ARTICLES.split("confirm")


def entropy(logits, pairs):
    """Of the next token, in nats."""
    odds = logits.log_softmax(-1)
    return -(odds.exp() * odds).sum(-1)


def test_it_writes_for_no_article(model):
    """It is congruent with neither article: what it writes of either is less than a quarter of what the article neuron writes for ' an'."""
    assert -3.1 < model.congruence("L28.N678", " an").value < 3.1
    assert -3.1 < model.congruence("L28.N678", " a").value < 3.1


def test_more_of_it_makes_the_model_surer(model):
    """Eight units more of it take 0.1 nats off the entropy of the next token, eight less add 0.13 (finding 34)."""
    run = model.on(THERE, readout=entropy)
    assert run.steer(NEURON, 8.0, into="clean").raw > 0.1
    assert run.steer(NEURON, -8.0, into="clean").raw < -0.13


def test_it_does_more_than_a_neuron_of_its_norm(model):
    """L28.N1149, whose norm is as large, changes the entropy less."""
    run = model.on(THERE, readout=entropy)
    assert run.steer(OTHER, -8.0, into="clean").raw < 0.08
    assert run.steer(OTHER, 8.0, into="clean").raw > -0.08


def test_it_hardly_moves_the_article(model):
    """As much of it moves the article's logit difference by less than a sixth of the gap (finding 34)."""
    assert model.on(THERE).steer(NEURON, -8.0, into="clean") == pytest.approx(0, abs=1 / 6)


@pytest.mark.xfail(
    raises=ClaimRefuted, strict=True, reason="it is silent in these sentences: nothing at all is lost without it"
)
def test_it_says_how_sure_the_model_is_here(model):
    """Without it the model is less sure of the article, by a twentieth of a nat (finding 34)."""
    assert model.on(THERE, readout=entropy).ablate(NEURON, 0.0).raw < -0.05
