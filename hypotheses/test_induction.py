"""A list that is said again goes on as it went the first time."""

import pytest

from circuitcheck import ClaimRefuted, PromptPairs, contrast

LIST = PromptPairs(
    "{a} {b} {c} {d} {again}",
    a=["onion", "egg", "oven", "owl", "ant", "island", "office"],
    b=["table", "chair", "lamp", "river"],
    c=contrast.pairs([("horse", "boat"), ("house", "book"), ("castle", "cup"), ("drum", "farm")]),
    d=["engine", "arrow"],
    again="{a} {b}",
    answer=" {c}",
    foil=lambda clean: {"horse": " boat", "house": " book", "castle": " cup", "drum": " farm"}[clean["c"]],
)


def test_the_list_goes_on(model):
    """At least 99 % of the repeated lists go on with the word that came next the first time."""
    assert model.on(LIST).accuracy >= 0.99


def test_one_head_looks_back_in_the_first_layer(model):
    """L0.H0 alone restores more than 90 % of the difference between the two next words."""
    assert model.on(LIST).patch("L0.H0") > 0.9


def test_the_second_layer_reads_it_as_values_not_as_keys(model):
    """What L0.H0 found is moved on by the second layer's values; the textbook's way, by its keys, carries nothing."""
    run = model.on(LIST)
    assert run.patch("L0.H0 -> L1.H*.V") > 0.6
    assert run.patch("L0.H0 -> L1.H*.K") == pytest.approx(0, abs=0.05)


def test_the_mlps_do_not_matter(model):
    """No MLP restores anything: induction is attention's work."""
    assert model.on(LIST).patch("L*.MLP") == pytest.approx(0, abs=0.05)


@pytest.mark.xfail(raises=ClaimRefuted, strict=True, reason="the four heads of layer 1 share the work")
def test_there_is_one_induction_head(model):
    """One head of the second layer, L1.H1, restores most of the difference: the textbook's induction head."""
    assert model.on(LIST).patch("L1.H1") > 0.5
