"""The parameter that a docstring comes to next. (Heimersheim and Janiak 2023, *A circuit for Python docstrings in a 4-layer attention-only transformer*)

Looked at on the half "discover", claimed of the half "confirm".
"""

import pytest
from behaviours import DOCSTRING

from circuitcheck import ClaimRefuted

pytestmark = pytest.mark.circuit(model="smollm2", optional=True)

THREE = "L23.H0@end | L24.H6@end | L29.H1@end"
SEVEN = f"{THREE} | L18.H6@end | L22.H7@end | L23.H[2,7]@end"
THERE = DOCSTRING.split("confirm")


@pytest.mark.xfail(raises=ClaimRefuted, strict=True, reason="0.365; it takes seven to restore two thirds")
def test_three_heads_move_the_argument(model):
    """Three heads at the last token restore half of it, as 3.0 and 3.6 do in a model of four layers (finding 16)."""
    assert model.on(THERE).patch(THREE) > 0.5


def test_seven_heads_do(model):
    """With four more of the layers around them they restore half."""
    assert model.on(THERE).patch(SEVEN) > 0.5


def test_late_attention_moves_it(model):
    """Attention of the last ten layers restores three quarters of it at the last token."""
    assert model.on(THERE).patch("L20-29.ATTN@end") > 0.75


def test_one_layer_does_most_of_that(model):
    """The attention of layer 23 alone restores more than a third."""
    assert model.on(THERE).patch("L23.ATTN@end") > 0.37


@pytest.mark.parametrize("head", ["L24.H6", "L23.H0"])
def test_heads_look_for_the_argument(model, head):
    """The first two of the three attend to the argument that has not been described yet, more than to all else together."""
    assert model.on(THERE).attention(head, source="{z}") > 0.45


def test_the_first_of_its_layer(model):
    """No other head of its layer restores as much as L24.H6."""
    assert model.on(THERE).patch("L24.H6@end").beats("L24.H*")


@pytest.mark.xfail(raises=ClaimRefuted, strict=True, reason="0.243 in the pair load, files, model, shape")
def test_three_heads_do_in_every_pair(model):
    """In every pair the three heads restore a quarter of the mean difference."""
    assert model.on(THERE).patch(THREE).each > 0.25
