"""Subspaces that are trained to carry variables, on the half "discover" of a population's prompts."""

from collections.abc import Sequence
from importlib.metadata import version

from circuitcheck.addresses.parsing import parse
from circuitcheck.engine.training.alignment_search import trained_basis
from circuitcheck.errors import MethodError
from circuitcheck.experiments.probing.directions import Direction, readable
from circuitcheck.experiments.setups import Setup
from circuitcheck.prompts.interchange.interchanges import InterchangePair, interchanges
from circuitcheck.sampling.samples import Sample

# Pairs that a subspace is trained on at most, steps, and dimensions: one less than the variable has values, at most so many.
_PAIRS, _STEPS, _MOST = 256, 100, 16


def trained(setup: Setup, address: str, names: Sequence[str], number: int = 0, shuffled: bool = False) -> Direction:
    """A subspace of a component by distributed alignment search, from the seed and the ``number`` of a try. Raises ``MethodError`` for
    several components, and for pairs that are a half already."""
    if setup.pairs.description.half:
        raise MethodError(
            f"{setup.pairs!r} is the half {setup.pairs.description.half!r} already, and along='trained' takes halves itself: one to "
            "train on, the other to claim of"
        )
    sites = readable(parse(address, setup.model.anatomy))
    if sites[0].traits.width == "pattern":
        raise MethodError("an attention pattern has no subspaces to train: address the head")
    if sites[0].traits.host:
        raise MethodError(
            f"a subspace is trained in the model's own activations, and {address} is a part of a dictionary: interchange it as a whole, or "
            f"train at L{sites[0].layer}.{sites[0].traits.host}"
        )
    pairs = interchanges(setup.pairs.split("discover"), names)
    there = setup.again(pairs=pairs).put_in_from_other_run(sites)
    sample, seed = there.fixed(_PAIRS), 1_000 * setup.settings.seed + number
    width = setup.model.answers.activations(sample.first(1), "clean", sites).shape[1]
    rank = max(1, min(_count(setup, sample, names) - 1, _MOST, width // 2))
    basis = trained_basis(setup.model.answers, sample, sites, rank, _STEPS, seed, shuffled)
    found = f"subspace trained for {' and '.join(names)}{' dealt out at random' if shuffled else ''}"
    recipe = f"{pairs.identity} {rank} dimensions, {_STEPS} steps, seed {seed}, transformer_lens {version('transformer_lens')}"
    return Direction(sites, basis, found, setup.model.fingerprint, sample.pairs, recipe, drawn=True, trained=1 + number)


def _count(setup: Setup, sample: Sample, names: Sequence[str]) -> int:
    """How many values the variables have in the pairs' prompts."""
    values = [
        setup.pairs.description.values(prompt)
        for pair in sample.pairs
        if isinstance(pair.pair, InterchangePair)
        for prompt in pair.pair.prompts
    ]
    return len({tuple(one[name] for name in names) for one in values})
