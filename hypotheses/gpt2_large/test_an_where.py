"""Where the article of GPT-2-Large comes from: sublayers at the fruit and at the last token, and heads (Miller & Neo 2023)."""

import pytest
from nouns import FRUIT, ORIGINAL

pytestmark = pytest.mark.circuit(model="gpt2-large", optional=True)


@pytest.mark.parametrize(
    ("site", "share"),
    [
        ("L0.ATTN@{fruit}", 0.944),
        ("L0.MLP@{fruit}", 0.840),
        ("L15.MLP@{fruit}", 0.177),
        ("L26.ATTN@end", 0.543),
        ("L31.MLP@end", 0.452),
        ("L23.ATTN@end", 0.229),
        ("L35.MLP@end", 0.148),
        ("L33.MLP@end", -0.124),
        ("L26.H1", 0.380),
        ("L18.H13", 0.108),
        ("L22.H0", 0.088),
        ("L23.H12", 0.079),
    ],
)
def test_a_part_restores_what_the_paper_says(model, site, share):
    """For apple and lemon, each sublayer and head restores its part of the gap."""
    assert model.on(ORIGINAL).patch(site) == pytest.approx(share, abs=0.05)


def test_the_first_attention_stands_out_at_the_fruit(model):
    """At the fruit, the first attention restores more than half of the gap, and more than any other."""
    effect = model.on(FRUIT).patch("L0.ATTN@{fruit}")
    assert effect > 0.5
    assert effect.beats("L*.ATTN")


def test_the_first_mlp_stands_out_at_the_fruit(model):
    """At the fruit, the first MLP restores more than half of the gap, and more than any other."""
    effect = model.on(FRUIT).patch("L0.MLP@{fruit}")
    assert effect > 0.5
    assert effect.beats("L*.MLP")


def test_attention_26_stands_out_at_the_last_token(model):
    """At the last token, attention 26 restores more than 0.4 of the gap, and more than any other."""
    effect = model.on(FRUIT).patch("L26.ATTN@end")
    assert effect > 0.4
    assert effect.beats("L*.ATTN")


def test_mlp_31_stands_out_at_the_last_token(model):
    """At the last token, MLP 31 restores more than 0.4 of the gap, and more than any other."""
    effect = model.on(FRUIT).patch("L31.MLP@end")
    assert effect > 0.4
    assert effect.beats("L*.MLP")


def test_mlp_33_works_against_it(model):
    """At the last token, MLP 33 takes a twentieth of the gap away: -0.124 in the paper."""
    assert model.on(FRUIT).patch("L33.MLP@end") < -0.05


def test_one_head_stands_out(model):
    """L26.H1 restores more than 0.3 of the gap, more than any other head of its layer, and than 60 of all layers."""
    effect = model.on(FRUIT).patch("L26.H1")
    assert effect > 0.3
    assert effect.beats("L26.H*")
    assert effect.beats("L*.H*", n=60)
