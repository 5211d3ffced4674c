"""Neurons and tokens that are each other's most congruent, among all of a model.

All products of neurons' output weights with tokens' vectors are computed once, block by block, and of each block nothing
is kept but the largest in each row and column. From these maxima follow which neuron and token are each other's best, and
limits for how far both are above their seconds, so that whole rows and columns are computed for a few couples alone.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from circuitcheck.engine.on_demand import torch
from circuitcheck.engine.reading.weights import WrittenWeights

if TYPE_CHECKING:
    from circuitcheck.types import Floats, Integers

# Neurons and tokens in a block: the products are still in a processor's cache when their maxima are taken.
_NEURONS, _TOKENS = 2048, 2048
# Couples whose whole rows and columns are computed together.
_TRIED = 64
# What single precision may do to a dot product, as a share of the two vectors' lengths.
_ROUNDING = 1e-6
# How far something is above its second where no other block says that: a limit that is never reached.
_UNKNOWN = 1e100


@dataclass(frozen=True)
class Couple:
    """A neuron (its place among those of all layers) and a token that are each other's most congruent.

    ``value`` is their congruence; ``second_token`` is the neuron's best other token, ``second_neuron`` the token's best other
    neuron, and ``token_lead`` and ``neuron_lead`` say how far the couple is above these.
    """

    neuron: int
    token: int
    value: float
    second_token: int
    token_lead: float
    second_neuron: int
    neuron_lead: float

    @property
    def score(self) -> float:
        """Mutually exclusive congruence."""
        return self.token_lead * self.neuron_lead


def best_couples(weights: WrittenWeights, layers: Sequence[int], top: int) -> list[Couple]:
    """The ``top`` couples with the highest mutually exclusive congruence, the highest first; fewer where there are fewer."""
    with torch.inference_mode():
        by_neuron, by_token, block_of, rounding = _maxima(weights, layers)
        neurons, tokens = _mutual(by_neuron, by_token, block_of)
        limits = _most(by_neuron[neurons], rounding) * _most(by_token[tokens], rounding)
        order = np.argsort(-limits, kind="stable")
        found: list[Couple] = []
        for start in range(0, len(order), _TRIED):
            if len(found) == top and found[-1].score >= limits[order[start]]:
                break
            some = order[start : start + _TRIED]
            found += _couples(weights, layers, neurons[some], tokens[some])
            found = sorted(found, key=lambda couple: -couple.score)[:top]
    return found


def _maxima(weights: WrittenWeights, layers: Sequence[int]) -> "tuple[Floats, Floats, Integers, float]":
    """The largest product of each neuron in each block of tokens, of shape [neuron, block], and of each token in each block of
    neurons, of shape [token, block]; each neuron's block; and by how much rounding puts the products in doubt."""
    vectors = weights.tokens.float()
    columns = [vectors[start : start + _TOKENS].T.contiguous() for start in range(0, len(vectors), _TOKENS)]
    by_neuron: list[torch.Tensor] = []
    by_token: list[torch.Tensor] = []
    longest = 0.0
    for layer in layers:
        for rows in torch.split(weights.outputs(layer).float(), _NEURONS):
            in_rows, in_columns = [], []
            for column in columns:
                products = _product(rows, column)
                in_rows.append(products.amax(1))
                in_columns.append(products.amax(0))
            by_neuron.append(torch.stack(in_rows, 1))
            by_token.append(torch.cat(in_columns))
            longest = max(longest, float(rows.norm(dim=1).max()))
    sizes = [len(part) for part in by_neuron]
    rounding = _ROUNDING * longest * max(float(column.norm(dim=0).max()) for column in columns)
    of_neurons, of_tokens = torch.cat(by_neuron).cpu().numpy(), torch.stack(by_token, 1).cpu().numpy()
    return of_neurons, of_tokens, np.repeat(np.arange(len(sizes)), sizes), rounding


def _product(rows: torch.Tensor, column: torch.Tensor) -> torch.Tensor:
    if rows.device.type != "cpu":
        return rows @ column
    # A tenth faster than PyTorch's on AMD's processors, where a large model takes minutes.
    return torch.from_numpy(np.matmul(rows.numpy(), column.numpy()))


def _mutual(by_neuron: "Floats", by_token: "Floats", block_of: "Integers") -> "tuple[Integers, Integers]":
    """The neurons and tokens whose largest products are the same number in the same block; they are each other's best, unless
    two products of a block happen to be the same."""
    tokens: dict[tuple[float, int, int], list[int]] = defaultdict(list)
    for token, (value, block) in enumerate(zip(by_token.max(1).tolist(), by_token.argmax(1).tolist(), strict=True)):
        tokens[value, block, token // _TOKENS].append(token)
    keys = zip(by_neuron.max(1).tolist(), block_of.tolist(), by_neuron.argmax(1).tolist(), strict=True)
    found = [(neuron, token) for neuron, key in enumerate(keys) for token in tokens.get(key, ())]
    couples = np.array(found, dtype=int).reshape(-1, 2)
    return couples[:, 0], couples[:, 1]


def _most(maxima: "Floats", rounding: float) -> "Floats":
    """How far each row's largest product is above the second at most. ``maxima``: those of blocks, of shape [row, block]; the
    second largest of these is at most the second product."""
    if maxima.shape[1] == 1:
        return np.full(len(maxima), _UNKNOWN)
    second, first = np.sort(maxima.astype(float), axis=1)[:, -2:].T
    most: Floats = first - second + 2 * rounding
    return most


def _couples(
    weights: WrittenWeights, layers: Sequence[int], neurons: "Integers", tokens: "Integers"
) -> Iterator[Couple]:
    """In double precision, those of some neurons and tokens that are each other's best."""
    starts = np.cumsum([0, *(len(weights.outputs(layer)) for layer in layers)])
    homes = np.searchsorted(starts, neurons, side="right") - 1
    written = torch.stack(
        [weights.outputs(layers[home])[place] for home, place in zip(homes, neurons - starts[homes], strict=True)]
    )
    read = weights.tokens[torch.from_numpy(tokens).to(written.device)]
    of_neurons = _best_two(written, torch.split(weights.tokens, _TOKENS))
    of_tokens = _best_two(read, (weights.outputs(layer) for layer in layers))
    for neuron, token, (values, seconds), (others, rivals) in zip(
        neurons.tolist(), tokens.tolist(), of_neurons, of_tokens, strict=True
    ):
        if (seconds[0], rivals[0]) == (token, neuron):
            leads = values[0] - values[1], others[0] - others[1]
            yield Couple(neuron, token, values[0], seconds[1], leads[0], rivals[1], leads[1])


def _best_two(rows: torch.Tensor, blocks: Iterable[torch.Tensor]) -> list[tuple[list[float], list[int]]]:
    """The two largest products of each row with the rows of some blocks, and with which of them all these are."""
    values, places, start = torch.empty(len(rows), 0), torch.empty(len(rows), 0, dtype=torch.long), 0
    for block in blocks:
        products = rows.double() @ block.double().T
        here = torch.arange(start, start + len(block), device=rows.device).expand(len(rows), -1)
        values, places = torch.cat([values.to(products), products], 1), torch.cat([places.to(here), here], 1)
        values, order = values.topk(min(2, values.shape[1]), dim=1)
        places, start = places.gather(1, order), start + len(block)
    return list(zip(values.tolist(), places.tolist(), strict=True))
