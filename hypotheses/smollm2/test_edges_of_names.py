"""Circuits of edges, found by attribution on sentences with other names (Syed et al. 2023; Hanna et al. 2024)."""

import random
from functools import cache

import pytest
from behaviours import INDIRECT, OTHER_INDIRECT

from circuitcheck import Circuit

pytestmark = pytest.mark.circuit(model="smollm2", optional=True)

FEW = INDIRECT.split("confirm", by=("io", "place", "thing"))
EDGES = 20


@cache
def found(model, steps):
    """Circuits of the edges that are attributed most, in so many steps between the two prompts, on eight pairs."""
    return model.on(OTHER_INDIRECT).find("L*.H* | L*.MLP", edges=True, steps=steps, pairs=8, sizes=(EDGES,))


def kept(model, steps):
    return model.on(FEW).keep(found(model, steps).circuits[0].circuit, "counterfactual")


def test_twenty_edges_keep_some_of_it(model):
    """Finding 44: the twenty edges that attribution puts first keep more than a quarter, with all else as in the corrupted run."""
    assert kept(model, 1) > 0.25


@pytest.mark.parametrize("seed", [0, 1])
def test_they_keep_more_than_random_edges(model, seed):
    """Finding 44: they keep more than twenty edges that were drawn from all."""
    drawn = random.Random(seed).sample(found(model, 1).attributed, EDGES)
    assert kept(model, 1) > model.on(FEW).keep(Circuit(" | ".join(map(str, drawn))), "counterfactual")


def test_integrated_gradients_choose_better_edges(model):
    """Finding 45: twenty edges by integrated gradients keep more than twenty by one slope."""
    assert kept(model, 5) > kept(model, 1)
