""" "We Found An Neuron in GPT-2" (Miller & Neo 2023): one neuron and the article. The numbers of the paper are of one pair."""

import pytest
from nouns import EITHER, FRUIT, NOUNS, ORIGINAL

from circuitcheck import ClaimRefuted, scaled

pytestmark = pytest.mark.circuit(model="gpt2-large", optional=True)


def test_the_original_pair_has_its_gap(model):
    """Apple for lemon moves ' an' - ' a' from -3.29 to 0.99, by 4.28 logits."""
    assert model.on(ORIGINAL).gap == pytest.approx(4.28, abs=0.05)


def test_the_neuron_restores_what_the_paper_says(model):
    """For apple and lemon L31.N892 restores 0.447 to 0.50 of the gap, as the paper's two runs have it."""
    assert model.on(ORIGINAL).patch("L31.N892") == pytest.approx(0.475, abs=0.035)


def test_the_model_knows_its_articles(model):
    """Nine in ten of a hundred nouns get their own article."""
    assert model.on(EITHER).accuracy > 0.9


def test_the_article_depends_on_the_noun(model):
    """A vowel for a consonant moves ' an' - ' a' by more than 2 logits, whatever the noun."""
    assert model.on(NOUNS).gap > 2


def test_the_neuron_restores_the_article(model):
    """L31.N892 alone restores more than 0.4 of the gap between fruits."""
    assert model.on(FRUIT).patch("L31.N892") > 0.4


def test_the_neuron_restores_the_article_of_any_noun(model):
    """L31.N892 alone restores more than 0.4 of the gap between nouns that grow on no tree."""
    assert model.on(NOUNS).patch("L31.N892") > 0.4


# On pairs that are evaluated whole, so that it comes out one way or the other. On one pair the paper has just under a half;
# what more pairs say is not foreseen here.
@pytest.mark.xfail(raises=ClaimRefuted, strict=False, reason="for apple and lemon it is 0.447 to 0.50")
def test_the_neuron_carries_most_of_it(model):
    """L31.N892 carries most of the gap, as one says of it."""
    assert model.on(FRUIT).patch("L31.N892") > 0.5


def test_no_other_neuron_of_its_layer_does_this(model):
    """L31.N892 restores more than 200 others of its layer, the runner-up of the paper's sweep among the 5,119."""
    effect = model.on(FRUIT).patch("L31.N892")
    assert effect.beats("L31.N*", n=200)
    assert effect.beats("L31.N4799")


def test_its_layer_does_little_beside(model):
    """The whole L31 MLP restores 0.49 for apple and lemon: nothing much beside its neuron."""
    assert model.on(ORIGINAL).patch("L31.MLP") == pytest.approx(0.49, abs=0.05)


def test_it_acts_where_the_article_is_predicted(model):
    """At the last token alone L31.N892 restores as much."""
    assert model.on(FRUIT).patch("L31.N892@end") > 0.4


@pytest.mark.parametrize(("value", "lost"), [(scaled(-1), 1.02), ("zero", 0.42)], ids=["negated", "zero"])
def test_without_it_is_lost_what_the_paper_says(model, value, lost):
    """In the apple run, L31.N892 negated takes 1.02 of the gap away, its input negated (near zero behind GELU) 0.42."""
    assert model.on(ORIGINAL).ablate("L31.N892", value).of_gap == pytest.approx(lost, abs=0.05)


def test_the_neuron_is_needed(model):
    """With its mean over both kinds of nouns in its place, more than 0.3 of the behaviour is lost."""
    assert model.on(NOUNS).ablate("L31.N892", "mean") > 0.3


def test_without_it_the_gap_is_smaller(model):
    """The corrupted run's activation in the clean run takes more than 0.3 of the gap away."""
    assert model.on(NOUNS).patch("L31.N892", into="clean") > 0.3


def test_no_noun_breaks_it(model):
    """Whatever two nouns: L31.N892 restores a tenth of the mean gap at least. The paper has one pair, and was told so."""
    assert model.on(NOUNS).patch("L31.N892").each > 0.1
