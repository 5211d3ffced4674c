"""Distributed alignment search: subspaces that are trained on one half of the prompts and claimed of the other."""

import numpy as np
import pytest
import torch
from transformer_lens.tools.analysis.interchange import SubspaceInterchange, collect_activations, intervened_logits

from circuitcheck import ClaimInconclusive, ClaimRefuted, MethodError, Model
from circuitcheck.addresses.sites import Position
from circuitcheck.claims.interchanged import Interchanged
from circuitcheck.experiments.interchange import Interchange
from tests.experiments.test_interchange import gifts

HOOK = "blocks.1.hook_out"
SIX = ["John", "Mary", "Tom", "Anna", "James", "Emma"]


@pytest.fixture(scope="module")
def trained(bundled: Model) -> Interchanged:
    """Where the giver is, in the stream at its own token."""
    return bundled.on(gifts(SIX)).interchange("L1.RESID_POST@{giver}", "giver", along="trained")


@pytest.mark.slow
def test_a_trained_subspace_is_claimed_of_prompts_that_it_was_not_trained_on(trained: Interchanged) -> None:
    measured, experiment = trained.measure(), trained._estimand.experiment
    assert isinstance(experiment, Interchange)
    assert experiment.along is not None
    prompts = [{pair.clean, pair.corrupt} for pair in experiment.along.pairs]
    assert {pair.clean for pair in measured.pairs}.isdisjoint(set().union(*prompts))
    assert "trained subspace" in measured.label
    assert "subspace trained for giver" in measured.method.value
    assert measured.method.chosen.startswith("trained basis ")  # for a lock: elsewhere training ends elsewhere
    basis = experiment.along.basis
    assert basis.T @ basis == pytest.approx(np.eye(basis.shape[1]), abs=1e-5)
    assert not measured.exact


@pytest.mark.slow
def test_training_is_the_same_under_one_seed_and_moves_what_it_is_trained_for(
    bundled: Model, trained: Interchanged
) -> None:
    again = bundled.on(gifts(SIX)).interchange("L1.RESID_POST@{giver}", "giver", along="trained")
    assert isinstance(again._estimand.experiment, Interchange)
    assert isinstance(trained._estimand.experiment, Interchange)
    ours, theirs = again._estimand.experiment.along, trained._estimand.experiment.along
    assert ours is not None
    assert theirs is not None
    assert ours.identity == theirs.identity
    assert ours.basis == pytest.approx(theirs.basis, abs=1e-4)
    assert trained.of_gap.measure().estimate > 0.1


@pytest.mark.slow
def test_transformer_lens_interchanges_the_same(bundled: Model, trained: Interchanged) -> None:
    measured, experiment = trained.measure(), trained._estimand.experiment
    assert isinstance(experiment, Interchange)
    assert experiment.along is not None
    basis = torch.tensor(experiment.along.basis).float()
    for pair, ours in list(zip(measured.pairs, measured.per_pair, strict=True))[:20]:
        [giver] = pair.positions(Position(slot="giver"), "corrupt")
        base, source = (torch.tensor([pair.tokens(side)]) for side in ("corrupt", "clean"))
        where = torch.tensor([giver])
        there = collect_activations(bundled.bridge, HOOK, source, bundled.bridge, positions=where)
        logits = intervened_logits(
            bundled.bridge, HOOK, SubspaceInterchange(basis), base, there, bundled.bridge, positions=where
        )[0, -1]
        [answer] = pair.answer
        assert bool(logits[answer] > max(logits[token] for token in pair.foil if isinstance(token, int))) == bool(ours)


@pytest.mark.slow
def test_a_trained_subspace_beats_its_controls_where_the_variable_is(bundled: Model, trained: Interchanged) -> None:
    assert trained.beats_controls()
    with pytest.raises((ClaimRefuted, ClaimInconclusive)):
        bool(bundled.on(gifts(SIX)).interchange("L0.RESID_PRE@end", "giver", along="trained").beats_controls())


def test_halves_and_other_directions_are_refused(bundled: Model) -> None:
    with pytest.raises(MethodError, match="is the half 'confirm' already"):
        bundled.on(gifts(SIX).split("confirm")).interchange("L1.RESID_POST@{giver}", "giver", along="trained")
    with pytest.raises(MethodError, match="along= is a direction, or 'trained', not 'learnt'"):
        bundled.on(gifts()).interchange("L1.RESID_POST@end", "giver", along="learnt")  # type: ignore[arg-type]
    with pytest.raises(MethodError, match="has no trained subspace"):
        bundled.on(gifts()).interchange("L1.RESID_POST@end", "giver").beats_controls()
