"""How the last token comes to know which name is said twice: heads at its second mention, and what they hand on (Wang et al. 2022)."""

import pytest
from behaviours import INDIRECT

from circuitcheck import ClaimRefuted

pytestmark = pytest.mark.circuit(model="smollm2", optional=True)

PAIRS = INDIRECT.split("confirm")
FOUND = (
    "found on 62 pairs of the half 'discover' of INDIRECT (dfd281818cc798ce), by attribution patching into the corrupt prompt, then exact "
    "patches, in 1 run of find: number {} of 270 heads by attribution; here the same fillers and templates"
)


@pytest.mark.circuit(found=FOUND.format(7))
def test_an_earlier_head_matters_at_the_last_token(model):
    """Head L20.H0 at the last token brings back more than 20 % of the gap."""
    assert model.on(PAIRS).patch("L20.H0@end") > 0.2


@pytest.mark.circuit(found=FOUND.format(7))
def test_the_earlier_head_is_needed(model):
    """More than 22 % of the gap is lost without it."""
    assert model.on(PAIRS).patch("L20.H0@end", into="clean") > 0.22


@pytest.mark.circuit(found=FOUND.format(7))
def test_the_earlier_head_beats_its_layer(model):
    """No other head of layer 20 brings as much."""
    assert model.on(PAIRS).patch("L20.H0@end").beats("L20.H*")


def test_it_says_nothing_itself(model):
    """What it writes says next to nothing of either name itself: others read it."""
    assert model.on(PAIRS).direct("L20.H0") == pytest.approx(0, abs=0.2)


def test_it_looks_at_the_second_mention(model):
    """It attends to the second mention of the giver, as inhibition heads do (finding 7)."""
    assert model.on(PAIRS).attention("L20.H0", source="{giver}") > 0.65


@pytest.mark.xfail(raises=ClaimRefuted, strict=True, reason="-0.006: it does not tell the best mover where to look")
def test_it_steers_the_best_mover(model):
    """Finding 7: by way of the query of L23.H3, the best mover, it brings back at least a tenth of the gap."""
    assert model.on(PAIRS).patch("L20.H0@end -> L23.H3.Q") > 0.1


@pytest.mark.circuit(found=FOUND.format(14))
def test_a_head_at_the_second_mention_matters(model):
    """Finding 9: head L17.H4 at the giver's second mention brings back more than 13 % of the gap."""
    assert model.on(PAIRS).patch("L17.H4@{giver}") > 0.13


@pytest.mark.circuit(found=FOUND.format(14))
def test_the_head_at_the_second_mention_is_needed(model):
    """More than 15 % of the gap is lost without it."""
    assert model.on(PAIRS).patch("L17.H4@{giver}", into="clean") > 0.15


@pytest.mark.circuit(found=FOUND.format(14))
def test_the_head_at_the_second_mention_beats_its_layer(model):
    """No other head of layer 17 brings as much there."""
    assert model.on(PAIRS).patch("L17.H4@{giver}").beats("L17.H*")


def test_it_steers_the_head_that_looks_at_the_receiver(model):
    """Finding 7: what it brings by way of the query of L23.H0, which looks at the receiver, is more than a twentieth of the gap."""
    assert model.on(PAIRS).patch("L20.H0@end -> L23.H0.Q") > 0.07


def test_it_steers_layer_23_by_its_queries(model):
    """... and by the queries of all heads of layer 23 more than a quarter."""
    assert model.on(PAIRS).patch("L20.H0@end -> L23.H*.Q") > 0.28


def test_the_head_at_the_second_mention_is_an_induction_head(model):
    """Finding 9: L17.H4 looks at what followed an earlier occurrence, as induction heads do."""
    assert model.head("L17.H4").prefix_matching > 0.7


def test_it_looks_behind_the_first_mention(model):
    """In these sentences, too: at the token after the first mention of the giver."""
    assert model.on(PAIRS).attention("L17.H4", source="{s}+1", destination="{giver}") > 0.65


@pytest.mark.xfail(
    raises=ClaimRefuted, strict=True, reason="0.03: it looks at the token after that, as induction heads do"
)
def test_it_looks_at_the_first_mention(model):
    """Finding 9: it attends from the second mention to the first itself, as duplicate token heads do."""
    assert model.on(PAIRS).attention("L17.H4", source="{s}", destination="{giver}") > 0.3
