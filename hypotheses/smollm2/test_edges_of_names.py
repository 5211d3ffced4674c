"""Circuits of edges, found by attribution on sentences with other names (Syed et al. 2023; Hanna et al. 2024)."""

from functools import cache

import pytest
from behaviours import INDIRECT, OTHER_INDIRECT

from circuitcheck import ClaimRefuted

pytestmark = pytest.mark.circuit(model="smollm2", optional=True)

FEW = INDIRECT.split("confirm", by=("io", "place", "thing"))
EDGES = 20


@cache
def found(model, steps):
    """Circuits of the edges that are attributed most, in so many steps between the two prompts, on eight pairs."""
    return model.on(OTHER_INDIRECT).find("L*.H* | L*.MLP", edges=True, steps=steps, pairs=8, sizes=(EDGES,))


def kept(model, steps):
    return model.on(FEW).keep(found(model, steps).circuits[0].circuit, "counterfactual")


@pytest.mark.xfail(raises=ClaimRefuted, strict=True, reason="in no pair a quarter: from 0.09 to 0.23")
def test_twenty_edges_keep_some_of_it(model):
    """Finding 44: the twenty edges that attribution puts first keep more than a quarter, with all else as in the corrupted run."""
    assert kept(model, 1) > 0.25


def test_integrated_gradients_choose_better_edges(model):
    """Finding 45: twenty edges by integrated gradients keep more than twenty by one slope."""
    assert kept(model, 5) > kept(model, 1)
