"""Induction: what came after a word comes after it again (findings 17 and 18: Olsson et al. 2022; 18 and 19: Elhage et al. 2021).

Thresholds are from the discovering halves, where L23.ATTN restored 0.54, L23.H7 0.18, L18.H6 0.14 at the last token; where L16.H0 at the two nouns
restored 0.42 of which of them follows the word, its path to L18's keys 0.19, and L11.H1 0.03; and where the exchange of the two words before
the nouns at L16.H0 and L19.H3 turned 0.56 of the answers (0.70 with other words, where the whole stream turned 0.15, and which of the two is asked
for, at L18.H6, 0.09).
"""

import pytest
from behaviours import FOLLOWS, INDUCTION, MATCH

from circuitcheck import ClaimRefuted

pytestmark = pytest.mark.circuit(model="smollm2", optional=True)

REPEATED, MATCHED, ASKED = INDUCTION.split("confirm"), MATCH.split("confirm"), FOLLOWS.split("confirm")


def test_it_repeats_what_came_next(model):
    """In more than nineteen of twenty cases it goes on with the word that came next the first time."""
    assert model.on(REPEATED).accuracy > 0.95


def test_a_head_attends_to_what_came_next(model):
    """L18.H6 attends to the token after the earlier occurrence by more than half, in random sequences (finding 17) ..."""
    assert model.head("L18.H6").prefix_matching > 0.5


def test_no_other_head_does_so_as_much(model):
    """... and more than any other of the 270 heads."""
    assert model.head("L18.H6").rank_by_prefix_matching == 1


def test_that_head_writes_what_it_attends_to(model):
    """L18.H6's output raises the token that it reads: a copying score above 0.5 (finding 19)."""
    assert model.head("L18.H6").copying > 0.5


@pytest.mark.xfail(
    raises=ClaimRefuted,
    strict=True,
    reason="its copying score is -0.09: of the heads that restore most, the first writes no token's own logit by its weights",
)
def test_the_head_that_restores_most_copies(model):
    """L23.H7, which restores most of the repeated word, has a copying score above 0.5, as induction heads do (finding 19)."""
    assert model.head("L23.H7").copying > 0.5


def test_that_head_restores_more_than_the_best_prefix_matcher(model):
    """L23.H7 restores more of the word than L18.H6 does, which attends to it more."""
    run = model.on(REPEATED)
    assert run.patch("L23.H7@end") > run.patch("L18.H6@end")


def test_layer_23_brings_most_of_the_word(model):
    """The attention of layer 23 at the last token restores more than two fifths of the word."""
    assert model.on(REPEATED).patch("L23.ATTN@end") > 0.4


def test_it_does_so_for_every_list(model):
    """There is no list of words for which the attention of layer 23 restores less than a tenth."""
    assert model.on(REPEATED).patch("L23.ATTN@end").each > 0.1


def test_no_adversary_finds_a_list_without_it(model):
    """Climbing from list to list finds none for which it restores nothing."""
    assert model.on(REPEATED).patch("L23.ATTN@end").each.against("coordinate") > 0


@pytest.mark.xfail(raises=ClaimRefuted, strict=True, reason="a sixth: several heads of layers 18 to 29 share the work")
def test_there_is_one_induction_head(model):
    """One head, L23.H7, restores half of the word by itself (finding 17, as the two-layer models of Elhage et al. have it)."""
    assert model.on(REPEATED).patch("L23.H7@end") > 0.5


def test_a_head_attends_to_the_token_before(model):
    """L16.H0 attends to the token before by more than half, in random sequences (finding 18) ..."""
    assert model.head("L16.H0").previous_token > 0.5


def test_it_says_at_a_noun_which_word_came_before(model):
    """... and what it writes at two nouns restores more than a quarter of which of them follows the word that is said again ..."""
    assert model.on(MATCHED).patch("L16.H0@{a} | L16.H0@{b}") > 0.25


def test_it_tells_the_keys_of_the_induction_head(model):
    """... of which more than a tenth goes by its path to the keys that L18.H6 reads (finding 18)."""
    assert model.on(MATCHED).patch("L16.H0 -> L18.KV2.K") > 0.1


@pytest.mark.xfail(
    raises=ClaimRefuted, strict=True, reason="nothing: of the two best previous-token heads one alone serves induction"
)
def test_any_previous_token_head_tells_them(model):
    """L11.H1, whose previous-token score is 0.85, tells the same keys a twentieth of it (finding 18)."""
    assert model.on(MATCHED).patch("L11.H1 -> L18.KV2.K") > 0.05


def test_two_heads_carry_the_word_before(model):
    """What L16.H0 and L19.H3 write at two nouns is the word before each: with those exchanged, more than a third of the answers follow."""
    effect = model.on(ASKED).interchange("L16.H0@{a} | L16.H0@{b} | L19.H3@{a} | L19.H3@{b}", ("x", "y"))
    assert effect > 0.35


@pytest.mark.xfail(
    raises=ClaimRefuted, strict=True, reason="the stream carries the noun itself, too: the source's nouns come with it"
)
def test_the_whole_stream_there_carries_the_word_before_alone(model):
    """The stream before layer 17 at the two nouns carries the word before each."""
    assert model.on(ASKED).interchange("L17.RESID_PRE@{a} | L17.RESID_PRE@{b}", ("x", "y")) > 0.5


@pytest.mark.xfail(
    raises=ClaimRefuted,
    strict=True,
    reason="of a tenth of answers: it brings the word that came next, not which of the two is asked for",
)
def test_the_induction_head_carries_which_is_asked_for(model):
    """L18.H6 at the last token carries whether the first or the second word is said again."""
    assert model.on(ASKED).interchange("L18.H6@end", "place") > 0.5


def test_the_stream_after_it_does(model):
    """The stream after layer 18 at the last token does carry that."""
    assert model.on(ASKED).interchange("L18.RESID_POST@end", "place") > 0.75
