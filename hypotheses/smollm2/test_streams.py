"""Streams: what can be read where, and what it depends on (findings 33, 35, 37, 38, 39, 40, 41, 43)."""

import pytest
from behaviours import BEGINNINGS, CAPITALS, INDUCTION, OPINIONS, OTHERS

from circuitcheck import ClaimRefuted

pytestmark = pytest.mark.circuit(model="smollm2", optional=True)

SHORT, REPEATED, FILMS, LANGUAGES = (one.split("confirm") for one in (CAPITALS, INDUCTION, OPINIONS, BEGINNINGS))


@pytest.mark.xfail(raises=ClaimRefuted, strict=True, reason="?")
def test_the_lens_has_half_of_the_capital_at_two_thirds(model):
    """The stream after layer 19, read by the unembedding, has half of the final logit difference of capitals (finding 35)."""
    assert model.on(SHORT).lens("L19.RESID_POST").of_gap > 0.5


@pytest.mark.xfail(raises=ClaimRefuted, strict=True, reason="?")
def test_the_lens_has_half_of_the_repeated_word_at_two_thirds(model):
    """The stream after layer 19, read by the unembedding, has half of the final logit difference of repeated words (finding 35)."""
    assert model.on(REPEATED).lens("L19.RESID_POST").of_gap > 0.5


def test_the_lens_has_half_of_the_capital_after_layer_23(model):
    """Four layers later it has more than half."""
    assert model.on(SHORT).lens("L23.RESID_POST").of_gap > 0.5


@pytest.mark.parametrize("head", ["L15.H0", "L18.H4", "L21.H1", "L24.H8", "L27.H5"])
def test_attention_goes_to_the_first_token(model, head):
    """Heads of the last half, of which five were named before any was looked at, attend to the first token by more than half (finding 38)."""
    assert model.on(REPEATED).attention(head, source="{first}") > 0.5


def test_without_one_mlp_at_the_first_token_most_is_lost(model):
    """With nothing from the MLP of layer 11 at the first token, most of the repeated word is lost (finding 39)."""
    assert model.on(REPEATED).ablate("L11.MLP@{first}", "zero") > 0.5


def test_what_it_writes_there_is_always_the_same(model):
    """With its mean there nothing is lost: it is a constant, as massive activations are (finding 39)."""
    assert model.on(REPEATED).ablate("L11.MLP@{first}", "mean") == pytest.approx(0, abs=0.05)


def test_the_comma_carries_the_opinion(model):
    """The stream at the comma after the adjective restores a quarter of the opinion in the middle of the layers (finding 43)."""
    assert model.on(FILMS).patch("L14.RESID_POST@{adjective}+1") > 0.25


def test_truth_of_capitals_is_linear(model):
    """At the full stop after layer 15 a probe tells true from false statements about other countries' capitals in four of five (finding 37)."""
    assert model.on(OTHERS, generalise="country").probe("L15.RESID_POST@end", "truth").accuracy > 0.8


def test_language_is_known_of_new_sentences(model):
    """After French beginnings that nobody wrote yet a French article comes in more than three of five."""
    assert model.on(LANGUAGES, generalise="text").accuracy > 0.6


def test_the_article_is_french_after_most_new_beginnings(model):
    """Of more than half of new beginnings the stream after layer 20 at the last token restores more than half of the article's language."""
    assert model.on(LANGUAGES, generalise="text").patch("L20.RESID_POST@end").new_above(0.5) > 0.5


def test_there_is_no_beginning_without_it(model):
    """There is no beginning for which it restores nothing."""
    assert model.on(LANGUAGES).patch("L20.RESID_POST@end").each > 0


def test_every_opinion_is_told_from_its_contrary(model):
    """Every opinion of a film moves the last word by some of the gap where the comma's stream is put in after layer 14."""
    assert model.on(FILMS).patch("L14.RESID_POST@{adjective}+1").each > 0


def test_one_neuron_tells_french_from_english(model):
    """L23.N424 alone, before an article, tells French from English beginnings that the probe has not seen: in more than six of ten (finding 33)."""
    assert model.on(LANGUAGES).probe("L23.N424@end", "side").accuracy > 0.6


def test_and_brings_some_of_the_language(model):
    """... and it restores more than a twentieth of the article's language: it was the first among 46,080 neurons on the discovering half."""
    assert model.on(LANGUAGES).patch("L23.N424@end") > 0.05
