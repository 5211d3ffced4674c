"""Claims about who receives that take minutes each, and are asked by name: `pytest hypotheses/smollm2/long_receivers.py`."""

import pytest
from behaviours import RECEIVERS

from circuitcheck import ClaimRefuted

pytestmark = pytest.mark.circuit(model="smollm2", optional=True)

PAIRS = RECEIVERS.split("confirm")


def test_the_best_mover_carries_who_gives(model):
    """Its strongest head, L23.H3, carries who gives: by itself it turns the answer in a third of the sentences or more."""
    assert model.on(PAIRS).interchange("L23.H3@end", "giver") > 0.3


@pytest.mark.xfail(
    raises=ClaimRefuted,
    strict=True,
    reason="half, as the name alone would have it: one of the two by chance (finding 9)",
)
def test_the_giver_s_token_carries_its_place(model):
    """After layer 12 it carries whether that was the first or the second of the two, whoever they are."""
    assert model.on(PAIRS).interchange("L12.RESID_POST@{giver}", "order") > 0.7


def test_one_direction_before_layer_23_is_the_place(model):
    """One dimension of the stream before layer 23, found on other sentences, carries the place: with it most answers turn."""
    assert model.on(RECEIVERS).interchange("L22.RESID_POST@end", "order", along="trained") > 0.5
