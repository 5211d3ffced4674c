"""Indirect objects in GPT-2 Small: which heads do what (Wang et al. 2022, arXiv:2211.00593). What is said of a number is where the paper has it.

Paths are patched from prompts with three other names into the clean ones, MLPs on the way recomputed, heads held (appendix B). Where the
paper gives an effect as a picture alone, the claim is its sign, by more than 2 % of the mean logit difference of 3.56 logits: the smallest
effect that the paper counts (appendix F).
"""

import pytest
from names import (
    ABC,
    CIRCUIT,
    NAMES,
    OTHER_PLACE_ANY_NAME,
    OTHER_PLACE_OTHER_NAME,
    OTHER_PLACE_SAME_NAME,
    SAME_PLACE_ANY_NAME,
    SAME_PLACE_OTHER_NAME,
    SENTENCES,
)

pytestmark = pytest.mark.circuit(model="gpt2,bos=never", optional=True, reference=1024)

SMALL = 0.02 * 3.56
MOVERS, NEGATIVE = ["L9.H9", "L9.H6", "L10.H0"], ["L10.H7", "L11.H10"]
INHIBITION = ["L7.H3", "L7.H9", "L8.H6", "L8.H10"]


def to_all(sender, *ends):
    """The paths from one sender to several ends."""
    return " | ".join(f"{sender} -> {end}" for end in ends)


def noised(run, path):
    """What is lost of the logit difference, in logits, where a path carries what the prompt with other names has."""
    return run.patch(path, into="clean", through="mlps").raw


def test_the_mean_logit_difference(model):
    """Section 2: over the sentences, the receiver's logit is 3.56 above the subject's."""
    assert model.on(SENTENCES).lens("L11.RESID_POST") == pytest.approx(3.56, abs=0.25)


def test_the_receiver_is_preferred(model):
    """Section 2: in 99.3 % of the sentences."""
    assert model.on(SENTENCES).accuracy == pytest.approx(0.993, abs=0.02)


def test_the_receiver_is_probable(model):
    """Section 2: its probability is 49 % in the mean."""
    assert model.on(SENTENCES, readout="probability").lens("L11.RESID_POST") == pytest.approx(0.49, abs=0.06)


@pytest.mark.parametrize("head", MOVERS)
def test_name_movers_write_to_the_logits(model, head):
    """Section 3.1, figure 3b: patching the direct path from 9.9, 9.6 or 10.0 costs logit difference."""
    assert noised(model.on(SENTENCES), f"{head}@end -> LOGITS") > SMALL


@pytest.mark.parametrize("head", NEGATIVE)
def test_negative_name_movers_write_against_it(model, head):
    """Section 3.1, figure 3b: patching the direct path from 10.7 or 11.10 adds to it."""
    assert noised(model.on(SENTENCES), f"{head}@end -> LOGITS") < -SMALL


@pytest.mark.parametrize("head", MOVERS)
def test_name_movers_look_at_the_receiver(model, head):
    """Section 3.1: 0.59 of the attention, in the mean over the three heads; half of that for each."""
    assert model.on(SENTENCES).attention(head, source="{io}") > 0.59 / 2


@pytest.mark.parametrize("head", MOVERS)
def test_name_movers_copy_names(model, head):
    """Section 3.1: of more than 95 % of the names, what the head writes of the name has it among its five first tokens."""
    assert model.head(head).copies([f" {name}" for name in NAMES]) > 0.95


@pytest.mark.parametrize("head", NEGATIVE)
def test_negative_name_movers_write_against_what_they_read(model, head):
    """Section 3.1 has 98 % for the negated head; here it is the sign of the eigenvalues of what the head makes of a token."""
    assert model.head(head).copying < 0


@pytest.mark.parametrize("head", INHIBITION)
def test_inhibition_heads_steer_name_movers(model, head):
    """Section 3.2, figure 4b: patching 7.3, 7.9, 8.6 or 8.10 into the queries of the name movers costs logit difference."""
    assert noised(model.on(SENTENCES), to_all(f"{head}@end", "L9.H[6,9].Q", "L10.H0.Q")) > SMALL


@pytest.mark.parametrize("head", INHIBITION)
def test_inhibition_heads_look_at_the_second_mention(model, head):
    """Section 3.2: 0.51 of the attention, in the mean over the four heads; half of that for each."""
    assert model.on(SENTENCES).attention(head, source="{giver}") > 0.51 / 2


@pytest.mark.parametrize(
    ("pairs", "left"),
    [
        pytest.param(SAME_PLACE_ANY_NAME, 2.45, id="same place, any name"),
        pytest.param(SAME_PLACE_OTHER_NAME, 1.77, id="same place, other name"),
        pytest.param(OTHER_PLACE_SAME_NAME, -0.99, id="other place, same name"),
        pytest.param(OTHER_PLACE_ANY_NAME, -1.96, id="other place, any name"),
        pytest.param(OTHER_PLACE_OTHER_NAME, -3.16, id="other place, other name"),
    ],
)
def test_inhibition_is_by_place_and_by_name(model, pairs, left):
    """Figure 9: what is left of 3.55 logits with the four heads as they are where the one named twice is in another place, or another one."""
    effect = model.on(pairs).patch(CIRCUIT.groups["inhibition"], into="clean").raw
    assert effect == pytest.approx(3.55 - left, abs=0.5)


@pytest.mark.parametrize("head", ["L0.H1", "L3.H0", "L5.H5", "L6.H9"])
def test_inhibition_hears_who_is_named_twice(model, head):
    """Section 3.3, figure 5b: 0.1 and 3.0 (duplicate tokens), 5.5 and 6.9 (induction), at the second mention, into the values of the four."""
    assert noised(model.on(SENTENCES), to_all(f"{head}@{{giver}}", "L7.H[3,9].V", "L8.H[6,10].V")) > SMALL


@pytest.mark.parametrize("head", ["L0.H10", "L5.H8", "L5.H9"])
def test_less_clear_heads_are_heard_by_the_keys(model, head):
    """Appendix C, figure 12b: 0.10, 5.8 and 5.9 add to it by the keys of the four. They are heads of less effect: the sign alone."""
    assert noised(model.on(SENTENCES), to_all(f"{head}@{{giver}}", "L7.H[3,9].K", "L8.H[6,10].K")) > 0


@pytest.mark.parametrize("head", ["L4.H11", "L2.H2"])
def test_previous_token_heads_tell_induction_heads(model, head):
    """Appendix D, figure 13: 4.11 and 2.2, at the token after the first mention, into the keys of 5.5 and 6.9."""
    assert noised(model.on(SENTENCES), to_all(f"{head}@{{s}}+1", "L5.H5.K", "L6.H9.K")) > SMALL


@pytest.mark.parametrize("head", ["L5.H5", "L6.H9"])
def test_induction_heads_match_prefixes(model, head):
    """Appendix H: 5.5 and 6.9 are among the five heads with the highest induction score on repeated random tokens."""
    assert model.head(head).rank_by_prefix_matching <= 5


@pytest.mark.parametrize("head", ["L4.H11", "L2.H2"])
def test_previous_token_heads_look_one_back(model, head):
    """Appendix H: 4.11 and 2.2 have the two highest previous token scores there."""
    assert model.head(head).rank_by_previous_token <= 2


def test_without_the_name_movers_little_is_lost(model):
    """Section 3.4: with all three name movers at their mean only 5 % of the logit difference is lost: others step in."""
    lost = model.on(SENTENCES).ablate(CIRCUIT.groups["movers"], ABC, within="L*.H*").raw
    assert lost == pytest.approx(0.05 * 3.56, abs=0.2)


def test_mlps_after_the_first_layer_are_needed_together(model):
    """Appendix J: with all MLPs but the first layer's at their mean the logit difference is -1.1."""
    lost = model.on(SENTENCES).ablate("L1-11.MLP", ABC, within="L*.MLP").raw
    assert lost == pytest.approx(3.56 + 1.1, abs=0.5)
