"""What heads carry about who receives: the place of the name that is said again, or which name it is (Wang et al. 2022, appendix).

Base and source are sentences with other names: who gives in the source may be whoever is first, or second, in the base.
"""

import pytest
from behaviours import RECEIVERS

from circuitcheck import ClaimRefuted

pytestmark = pytest.mark.circuit(model="smollm2", optional=True)

PAIRS = RECEIVERS.split("confirm")


def test_it_knows_the_receiver_wherever_the_giver_stands(model):
    """Whichever of the two gives, the other receives."""
    assert model.on(PAIRS).accuracy > 0.97


def test_the_giver_s_token_carries_who_gives(model):
    """After layer 12 the stream at the second mention of the giver carries who gives: with another giver's there, the other receives."""
    assert model.on(PAIRS).interchange("L12.RESID_POST@{giver}", "giver") > 0.9


def test_attention_of_layer_23_carries_the_receiver(model):
    """At the last token, layer 23's attention carries the name of who receives."""
    assert model.on(PAIRS).interchange("L23.ATTN@end", "receiver") > 0.8


@pytest.mark.xfail(
    raises=ClaimRefuted, strict=True, reason="never: it has the name, and not whether it was first or second"
)
def test_attention_of_layer_23_carries_the_place(model):
    """At the last token, layer 23's attention carries whether the first or the second gives."""
    assert model.on(PAIRS).interchange("L23.ATTN@end", "order") > 0.2


@pytest.mark.xfail(
    raises=ClaimRefuted,
    strict=True,
    reason="in about one sentence in six: it says which name, and the place is for others",
)
def test_the_best_mover_carries_the_place(model):
    """L23.H3 carries whether the first or the second gives, whoever they are."""
    assert model.on(PAIRS).interchange("L23.H3@end", "order") > 0.3


def test_before_layer_23_the_last_token_has_the_place(model):
    """Finding 8: before layer 23 the stream of the last token carries whether the first or the second gives, in more than a fifth."""
    assert model.on(PAIRS).interchange("L22.RESID_POST@end", "order") > 0.2


@pytest.mark.xfail(
    raises=ClaimRefuted, strict=True, reason="in a third: the place is there, and so is the name (a quarter)"
)
def test_before_layer_23_the_last_token_has_the_place_alone(model):
    """Finding 8: what is there before layer 23 is the place and nothing else: it turns most answers."""
    assert model.on(PAIRS).interchange("L22.RESID_POST@end", "order") > 0.6


def test_the_earlier_heads_carry_the_place(model):
    """Finding 8: L20.H0 and L19.H2 move the answers more than a quarter of the way to the other place."""
    assert model.on(PAIRS).interchange("L20.H0@end | L19.H2@end", "order").of_gap > 0.28


def test_nothing_of_it_is_at_the_last_token_before_layer_19(model):
    """Before layer 19 nothing at the last token says who gives, or where it stood."""
    run = model.on(PAIRS)
    assert run.interchange("L18.RESID_POST@end", "giver") < 0.1
    assert run.interchange("L18.RESID_POST@end", "order") < 0.1


def test_the_receiver_is_all_that_matters_of_layer_23(model):
    """Layer 23's attention may have what it has in any other sentence in which the same one receives: most of the behaviour stays."""
    assert model.on(PAIRS).scrub({"L23.ATTN@end": "receiver"}) > 0.7
