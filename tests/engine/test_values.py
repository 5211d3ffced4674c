"""What is put in: counterfactual, scaled and added values, and what several sites do together; against plain hooks and plants."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from circuitcheck import BehaviourAbsent, Circuit, ClaimRefuted, MethodError, Model, PromptPairs, scaled
from circuitcheck.reference_models.planted import planted
from tests import oracle
from tests.conftest import Claims

MLPS = [f"blocks.{layer}.hook_mlp_out" for layer in range(3)]
HEADS = [f"blocks.{layer}.attn.hook_z" for layer in range(3)]


def counterfactual(model: Model, pair: Any, hooks: list[str], entries: Any = ...) -> float:
    """The clean run's logit difference with what the corrupted run has at some hook points."""
    there = oracle.activations(model, pair.corrupt)

    def put(activation: torch.Tensor, hook: Any) -> torch.Tensor:
        activation[entries] = there[hook.name][entries]
        return activation

    return oracle.logit_difference(model, pair, oracle.run(model, pair.clean, [(hook, put) for hook in hooks]))


def test_a_counterfactual_ablation_is_in_the_share_of_what_the_corrupted_run_takes_away(
    bundled: Model, fruit: PromptPairs
) -> None:
    """Everything else by the same value: the behaviour is not the gap, since the embeddings stay clean."""
    measured = bundled.on(fruit).ablate("L1.N8", "counterfactual").measure()
    lost, behaviour = [], []
    for pair in measured.pairs:
        clean = oracle.logit_difference(bundled, pair, oracle.run(bundled, pair.clean))
        lost.append(clean - counterfactual(bundled, pair, ["blocks.1.mlp.out.hook_in"], (..., 8)))
        behaviour.append(clean - counterfactual(bundled, pair, MLPS + HEADS))
    assert measured.estimate == pytest.approx(np.mean(lost) / np.mean(behaviour), abs=1e-5)
    assert measured.method.value == "counterfactual"
    noising = bundled.on(fruit).patch("L1.N8", into="clean").raw.measure()
    assert bundled.on(fruit).ablate("L1.N8", "counterfactual").raw.measure().per_pair == pytest.approx(noising.per_pair)


def test_what_is_kept_of_a_counterfactual_is_0_of_nothing_and_1_of_everything(
    bundled: Model, fruit: PromptPairs
) -> None:
    run = bundled.on(fruit)
    assert run.keep("L*.H* | L*.MLP", "counterfactual").measure().estimate == pytest.approx(1)
    assert run.keep(Circuit(), "counterfactual").measure().estimate == pytest.approx(0)
    assert run.ablate("L*.H* | L*.MLP", "counterfactual").measure().estimate == pytest.approx(1)


@pytest.mark.parametrize("factor", [-1.0, 0.0, 2.0])
def test_a_factor_scales_what_is_there_but_at_the_bos_token(bundled: Model, fruit: PromptPairs, factor: float) -> None:
    measured = bundled.on(fruit).ablate("L0.ATTN", scaled(factor)).raw.measure()
    assert measured.pairs[0].clean[0] == bundled.bos

    def write(out: torch.Tensor, hook: Any) -> torch.Tensor:
        out[0, 1:] *= factor
        return out

    for pair, loss in zip(measured.pairs, measured.per_pair, strict=True):
        clean = oracle.logit_difference(bundled, pair, oracle.run(bundled, pair.clean))
        hooks = [("blocks.0.hook_attn_out", write)]
        written = oracle.logit_difference(bundled, pair, oracle.run(bundled, pair.clean, hooks))
        assert loss == pytest.approx(clean - written, abs=1e-4)
    if not factor:
        zero = bundled.on(fruit).ablate("L0.ATTN", "zero").raw
        assert measured.per_pair == pytest.approx(zero.measure().per_pair)


def test_what_is_scaled_is_a_share_of_the_gap_and_of_no_behaviour(bundled: Model, fruit: PromptPairs) -> None:
    """With everything negated there is no model left whose difference from this one would be its behaviour."""
    effect = bundled.on(fruit).ablate("L0.H2", scaled(-1))
    assert effect.measure().unit == "gap"
    assert effect.measure().method.value == "scaled(-1)"
    with pytest.raises(MethodError, match=r"is no share of the behaviour: take another unit, such as \.of_gap"):
        _ = bundled.on(fruit).ablate("L0.H2").across(values=["mean", scaled(-1)]) > 0.1
    with pytest.raises(MethodError, match="what is scaled is still there"):
        bundled.on(fruit).keep("L0.H2", scaled(-1))


def test_paths_carry_these_values_too(bundled: Model, fruit: PromptPairs) -> None:
    """By each value's other name: noising is counterfactual, and a factor of 0 is zero."""
    run, path = bundled.on(fruit), "L0.H2 -> L1.N8"
    noised = run.patch(path, into="clean").raw.measure()
    assert np.abs(noised.per_pair).max() > 0.1
    assert run.ablate(path, "counterfactual").raw.measure().per_pair == pytest.approx(noised.per_pair, abs=1e-5)
    zeroed = run.ablate(path, "zero").raw.measure().per_pair
    assert run.ablate(path, scaled(0)).raw.measure().per_pair == pytest.approx(zeroed, abs=1e-5)
    assert np.abs(run.ablate(path, scaled(-1)).raw.measure().per_pair - zeroed).max() > 0.1


@pytest.mark.parametrize("into", ["corrupt", "clean"])
def test_a_steered_neuron_moves_the_logits_by_as_much_as_was_planted(into: Any) -> None:
    """The planted neuron writes what it fires onto the logit difference; a backup makes up for what it lacks alone."""
    plant = planted(share=0.5, nouns=6)
    run = plant.model.on(plant.pairs)
    sign = 1 if into == "corrupt" else -1
    for scale in (1.5, -0.5):
        shift = run.steer(f"{plant.neuron}@end", 2.0, scale, into=into).raw.measure()
        assert shift.per_pair == pytest.approx(sign * 2 * scale, abs=1e-4)
    backed = planted(share=0.5, nouns=6, backup=0.4)
    less = backed.model.on(backed.pairs).steer("L0.N0@end", -1.0).raw.measure()
    assert less.per_pair == pytest.approx(-0.6, abs=1e-4)


def test_what_steers_is_an_array_or_has_one(bundled: Model, fruit: PromptPairs) -> None:
    run, vector = bundled.on(fruit), np.linspace(-1, 1, 128)
    forms: list[Any] = [vector, vector.tolist(), torch.tensor(vector), SimpleNamespace(vector=vector)]
    found = [run.steer("L1.RESID_POST@end", form).raw.measure() for form in forms]
    for measured in found[1:]:
        assert measured.per_pair == pytest.approx(found[0].per_pair, abs=1e-5)
        assert measured.method == found[0].method
    other = run.steer("L1.RESID_POST@end", vector[::-1].copy()).measure().method.value
    assert other != found[0].method.value  # a vector of the same norm is another one
    assert found[0].method.value == "plus 1 times a vector of norm 6.583 (largest at -0, -1, +126, +127)"
    rounded = run.steer("L1.RESID_POST@end", vector * (1 + 1e-7)).measure().method.value
    assert rounded == found[0].method.value  # as another machine might have worked it out
    mean = bundled.on(fruit.split("discover")).mean_difference("L1.RESID_POST@end")
    assert str(mean) in bundled.on(fruit.split("confirm")).steer("L1.RESID_POST@end", mean).measure().method.value
    assert found[0].method.direction == "steering the corrupt run"


def test_what_is_added_is_not_added_to_bos(bundled: Model, fruit: PromptPairs) -> None:
    assert bundled.on(fruit).steer("L0.RESID_PRE@-20", np.ones(128)).raw.measure().notes[0].endswith("inert here")


@pytest.mark.parametrize(
    ("site", "direction", "more", "message"),
    [
        ("L1.N8", [1.0, 2.0], {}, "L1.N8 has a width of 1, and the direction has 2 numbers"),
        ("L1.H2", np.ones(128), {}, "L1.H2 has a width of 32, and the direction has 128 numbers"),
        ("L1.N8 | L1.MLP", 1.0, {}, "L1.MLP has a width of 128, and the direction has 1 number"),
        ("L1.MLP", "up", {}, r"a direction is an array of numbers, or has one as \.vector; 'up' is neither"),
        ("L1.MLP", np.ones((2, 128)), {}, r"of shape \[width\], not an array of shape \(2, 128\)"),
        ("L1.N8", float("nan"), {}, "must be finite"),
        ("L0.H2 -> L1.N8", 1.0, {}, "L0.H2 -> L1.N8 is no place for a vector: steer takes components"),
        ("L1.H2.PATTERN", 1.0, {}, "L1.H2.PATTERN is no place for a vector"),
        ("L1.N8", 1.0, {"scale": "much"}, "a steering scale is a number, not 'much'"),
        ("L1.N8", 1.0, {"into": "both"}, r"into='corrupt' \(what comes back\?\) or into='clean'"),
    ],
)
def test_what_cannot_steer_is_told_why(
    bundled: Model, fruit: PromptPairs, site: str, direction: Any, more: Any, message: str
) -> None:
    with pytest.raises(MethodError, match=message):
        bundled.on(fruit).steer(site, direction, **more)


def test_steering_is_compared_with_other_components_but_not_with_its_whole(bundled: Model, fruit: PromptPairs) -> None:
    effect = bundled.on(fruit).steer("L1.N8", -2.0)
    assert effect.measure().controls is None
    assert effect.beats("L1.N*")
    with pytest.raises(MethodError, match="'mean' is an ablation's value"):
        effect.across(values=["mean"])


def test_a_backup_makes_a_pair_more_than_the_sum_of_its_parts() -> None:
    """The backup brings back 0.6 of what the ablated neuron lacks, and alone changes nothing: its mean is 0."""
    alone, backed = (planted(share=1.0, scatter=0.3, backup=backup, nouns=12) for backup in (0.0, 0.6))
    run = backed.model.on(backed.pairs)
    effect = run.ablate(f"{backed.neuron} | {backed.backup}", "mean").over_parts
    missing = alone.removed  # what an ablation removes where nothing makes up for it
    expected = missing.mean() / backed.removed.mean()
    assert effect.measure().estimate == pytest.approx(expected, abs=1e-3)
    assert expected > 1.5
    assert effect > 1.5
    with pytest.raises(ClaimRefuted, match="times the sum of its parts"):
        assert effect < 1.5


def test_without_a_backup_the_parts_add_up() -> None:
    plant = planted(share=0.75, negative=0.25, nouns=6)
    run = plant.model.on(plant.pairs)
    for address in (f"{plant.neuron} | {plant.direct}", f"{plant.neuron} | {plant.negative}"):
        for effect in (run.patch(address), run.patch(address, into="clean"), run.ablate(address)):
            assert effect.over_parts.measure().estimate == pytest.approx(1, abs=1e-4)
    measured = run.patch(f"{plant.neuron} | {plant.direct}").over_parts.measure()
    assert str(measured) == "patch L0.N0 | L0.H0 over its parts = 1 times the sum of its parts (exact, n=36)"
    assert not any("over 1" in note for note in measured.notes)


def test_a_sum_of_nothing_has_no_multiples() -> None:
    """A perfect backup: neither is missed alone, and twice nothing is no measure of what both are worth."""
    plant = planted(share=0.5, scatter=0.0, backup=1.0, nouns=6)
    effect = plant.model.on(plant.pairs).ablate(f"{plant.neuron} | {plant.backup}", "mean")
    with pytest.raises(BehaviourAbsent, match="the sum of its parts is"):
        effect.over_parts.measure()


def test_only_what_has_parts_is_more_than_their_sum(bundled: Model, fruit: PromptPairs) -> None:
    run = bundled.on(fruit)
    for effect in (run.keep("L0.H2 | L1.N8"), run.gap):
        with pytest.raises(MethodError, match="is not the sum of anything"):
            _ = effect.over_parts
    with pytest.raises(MethodError, match="is the effect of one site: several have parts"):
        _ = run.patch("L1.N8").over_parts
    with pytest.raises(MethodError, match="has no unit 'of the gap'"):
        _ = run.patch("L0.H*").over_parts.of_gap


def test_mutants_are_made_of_them_too(claims: Claims) -> None:
    """A neighbour, an earlier token and shuffled output weights break a claim about what is added."""
    body = """
def test_steered(model):
    assert model.on(FRUIT).steer("L1.N8@end", -2.0).raw > 4

def test_together(model):
    assert model.on(FRUIT).patch("L1.N8 | L1.H0").over_parts > 0.9
"""
    result = claims(body, "--circuit-mutate")
    result.assert_outcomes(passed=2)
    result.stdout.fnmatch_lines(["mutants: *killed*"])
