"""A model with some components' output weights permuted, for as long as a block lasts."""

import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from circuitcheck.addresses.sites import EVERYWHERE, Site
from circuitcheck.engine.hooks.hookpoints import output_projection
from circuitcheck.engine.on_demand import torch
from circuitcheck.models.loaded import LoadedModel


@contextmanager
def shuffled_weights(model: LoadedModel, sites: Sequence[Site]) -> Iterator[None]:
    """The output weights of heads and neurons permuted while the block lasts; of others nothing can be."""
    with model.answers.mutated():
        kept = []
        try:
            with torch.no_grad():
                for site in dict.fromkeys(replace(site, position=EVERYWHERE) for site in sites):
                    rows = _output_rows(model, site)
                    order = list(range(rows.shape[-1]))
                    random.Random(f"shuffle/{site}").shuffle(order)
                    kept.append((rows, rows.clone()))
                    rows.copy_(rows[:, order])
            yield
        finally:
            with torch.no_grad():
                for rows, before in reversed(kept):
                    rows.copy_(before)


def _output_rows(model: LoadedModel, site: Site) -> Any:
    """What a head or a neuron writes into the stream: a view of the weights, of shape [its width, d_model]."""
    linear = output_projection(model.bridge.blocks[site.layer], site.kind).original_component
    weight = linear.weight.detach()
    by_input = weight if type(linear).__name__ == "Conv1D" else weight.T
    width = len(by_input) // model.anatomy.layers[site.layer].count(site.kind)
    return by_input[site.index * width : (site.index + 1) * width]
