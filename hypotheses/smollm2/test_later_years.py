"""A war ends after it began: greater-than. (Hanna, Liu and Variengien 2023, arXiv:2305.00586, of GPT-2 Small.)

SmolLM2 reads years digit by digit, so that these are decades: "17[4]4 to the year 17" goes on with 5 to 9. Looked at on the half
"discover", claimed of the half "confirm"; thresholds are the published ones, or about four fifths of what was seen on the half "discover".
"""

import pytest
from behaviours import ERA, YEARS

from circuitcheck import ClaimRefuted

pytestmark = pytest.mark.circuit(model="smollm2", optional=True)

MOVERS = "L6.H0@end | L18.H6@end | L20.H8@end | L23.H0@end"
EIGHT = "L29.N[571,593,709,741,904,1066,1133,1482]@end"
THERE, ERAS = YEARS.split("confirm"), ERA.split("confirm")


def test_late_mlps_write_what_is_later(model):
    """The MLPs of the last third of the layers restore more than half of it at the last token (finding 13)."""
    assert model.on(THERE).patch("L20-29.MLP@end") > 0.5


def test_those_of_the_middle_have_no_part_in_it(model):
    """The MLPs of the middle third restore nothing there."""
    assert model.on(THERE).patch("L10-19.MLP@end") == pytest.approx(0, abs=0.05)


def test_the_model_does_it_without_the_middle_mlps(model):
    """With every MLP of the middle third at its mean, half of the behaviour stays (finding 13)."""
    assert model.on(THERE).keep("L*.ATTN | L0-9.MLP | L20-29.MLP") > 0.5


def test_four_heads_bring_the_year(model):
    """Four heads at the last token restore more than half of it together (finding 14), and even seven tenths."""
    effect = model.on(THERE).patch(MOVERS)
    assert effect > 0.5
    assert effect > 0.7


def test_they_are_no_four_heads_of_any_kind(model):
    """Of twenty draws of four other heads none restores as much."""
    assert model.on(THERE).patch(MOVERS).beats_random(n=20)


def test_they_need_each_other(model):
    """Together they restore at least a quarter more than the sum of what each does."""
    assert model.on(THERE).patch(MOVERS).over_parts > 1.25


@pytest.mark.parametrize("head", ["L6.H0", "L18.H6", "L20.H8"])
def test_they_attend_to_the_first_year(model, head):
    """Each of the first three pays more than two fifths of its attention to the one digit that matters (finding 14)."""
    assert model.on(THERE).attention(head, source="{start}") > 0.4


@pytest.mark.xfail(
    raises=ClaimRefuted,
    strict=True,
    reason="0.097: it is one head of layer 6 and two of layers 20 and 23 that do, besides L18.H6",
)
def test_heads_of_the_middle_bring_it(model):
    """As in GPT-2 Small, heads of the middle third of the layers restore half (finding 14)."""
    assert model.on(THERE).patch("L10-19.H*@end") > 0.5


def test_a_few_neurons_of_one_layer_do_a_quarter(model):
    """Eight neurons of the last layer, all of its ten most attributed that bring it, restore a quarter (finding 15)."""
    assert model.on(THERE).patch(EIGHT) > 0.25


def test_every_year_has_it(model):
    """Whichever event and whichever years: the four heads restore two fifths of the mean difference."""
    assert model.on(THERE).patch(MOVERS).each > 0.4


def test_new_events(model):
    """Of events like these, not just these, most have it."""
    assert model.on(THERE, generalise="event").patch(MOVERS).new_above(0.5) > 0.5


def test_the_four_heads_carry_the_era(model):
    """With what the four heads have in a sentence about another war, this one ends when that one would."""
    assert model.on(ERAS).interchange(MOVERS, "era") > 0.8


@pytest.mark.xfail(raises=ClaimRefuted, strict=True, reason="0.378: it takes the four, which together decide all")
def test_the_strongest_head_carries_it_alone(model):
    """L20.H8, which restores more than any other, decides by itself between early and late."""
    assert model.on(ERAS).interchange("L20.H8@end", "era") > 0.8


def test_the_late_mlps_carry_the_era(model):
    """So it is with what the late MLPs write."""
    assert model.on(ERAS).interchange("L20-29.MLP@end", "era") > 0.7


@pytest.mark.xfail(
    raises=ClaimRefuted, strict=True, reason="0.267: most of it comes in layers 19 and 20, after which it is 1"
)
def test_it_is_at_the_last_token_by_layer_18(model):
    """As in GPT-2 Small, it is known at the last token at two thirds of the depth."""
    assert model.on(ERAS).interchange("L18.RESID_POST@end", "era") > 0.5


def test_it_is_there_two_layers_later(model):
    """After layer 20, the stream at the last token carries it."""
    assert model.on(ERAS).interchange("L20.RESID_POST@end", "era") > 0.8
