"""How well a dictionary fits: what it explains, keeps of the loss, how many features are active; beside directions that nobody learnt."""

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from circuitcheck import ClaimRefuted, MethodError, Model, ModelError, PromptPairs
from circuitcheck.engine.reading.dictionaries import Directions
from tests import oracle
from tests.models.dictionaries.small import WRITTEN, planted, save

AT, HOOK = "L1.RESID_POST", "blocks.1.hook_resid_post"


def test_what_is_explained_and_how_many_are_active_is_that_of_each_token(raw: Model, fruit: PromptPairs) -> None:
    model = raw.with_dictionary(AT, WRITTEN / "topk")
    fitted = model.on(fruit).dictionary(AT)
    measured = fitted.explained.measure()
    dictionary = model._loaded.dictionaries[0].dictionary
    streams = [oracle.activations(model, pair.clean)[HOOK][0, 1:] for pair in measured.pairs]
    center = torch.cat(streams).mean(0)
    whole = sum(float((x - center).square().sum()) for x in streams) / sum(len(x) for x in streams)
    left = [float((x - dictionary.decode(dictionary.encode(x), x)).square().sum(1).mean()) for x in streams]
    wanted = np.clip(1 - np.array(left) / whole, -1, 1)
    assert measured.per_pair == pytest.approx(wanted, abs=1e-5)
    active = [float((dictionary.encode(x) > 0).sum(1).double().mean()) for x in streams]
    assert fitted.l0.measure().per_pair == pytest.approx(np.array(active), abs=1e-9)


def test_a_dictionary_that_makes_all_of_a_stream_recovers_all_of_the_loss(
    raw: Model, fruit: PromptPairs, tmp_path: Path
) -> None:
    whole = raw.with_dictionary(AT, planted(tmp_path / "whole", 128, 128)).on(fruit).dictionary(AT)
    assert whole.explained.measure().estimate == pytest.approx(1, abs=1e-5)
    assert whole.loss_recovered.measure().estimate == pytest.approx(1, abs=1e-4)
    assert whole.dead <= 0.5  # of each direction, one sign or the other is active
    half = raw.with_dictionary(AT, planted(tmp_path / "half", 128, 64)).on(fruit).dictionary(AT)
    assert half.loss_recovered.measure().estimate < 0.99
    assert half.explained < 0.9
    tensors = load_file(tmp_path / "half" / "sae_weights.safetensors")
    tensors["b_enc"][:16] = -1e3
    sleeping = raw.with_dictionary(AT, save(tmp_path / "sleeping", tensors)).on(fruit).dictionary(AT)
    assert sleeping.dead >= 16 / 128


def test_losses_are_those_of_plain_hooks(raw: Model, fruit: PromptPairs) -> None:
    model = raw.with_dictionary(AT, WRITTEN / "standard")
    measured = model.on(fruit).dictionary(AT).loss_recovered.measure()
    dictionary = model._loaded.dictionaries[0].dictionary

    def loss(tokens: tuple[int, ...], hooks: list[object]) -> float:
        logits = oracle.run(model, tokens, hooks)[0, :-1].double().log_softmax(-1)  # type: ignore[arg-type]
        return -float(logits[torch.arange(len(tokens) - 1), list(tokens[1:])].mean())

    def replaced(x: torch.Tensor, hook: object) -> torch.Tensor:
        x[:, 1:] = dictionary.decode(dictionary.encode(x[:, 1:]), x[:, 1:])
        return x

    def zeroed(x: torch.Tensor, hook: object) -> torch.Tensor:
        x[:, 1:] = 0
        return x

    rows = np.array(
        [[loss(pair.clean, hooks) for hooks in ([], [(HOOK, replaced)], [(HOOK, zeroed)])] for pair in measured.pairs]
    )
    wanted = (rows[:, 2] - rows[:, 1]) / (rows[:, 2] - rows[:, 0]).mean()
    assert measured.per_pair == pytest.approx(np.clip(wanted, -1, 2), abs=1e-5)


def test_what_explains_best_of_given_directions_is_what_their_span_has() -> None:
    vectors = torch.randn(5, 16, generator=torch.Generator().manual_seed(0)).double()
    counts = torch.tensor([0, 1, 3, 5, 16])
    axes = Directions().explained(vectors, counts, 16)
    assert axes.tolist() == pytest.approx(
        [float(v.square().sort(descending=True).values[:k].sum()) for v, k in zip(vectors, counts, strict=True)]
    )
    drawn = torch.randn(40, 16, generator=torch.Generator().manual_seed(7)).double()
    drawn /= drawn.norm(dim=1, keepdim=True)
    found = Directions(7).explained(vectors, counts, 40)
    for vector, k, one in zip(vectors, counts.tolist(), found.tolist(), strict=True):
        span = drawn[(drawn @ vector).abs().argsort(descending=True)[:k]]
        wanted = float((torch.linalg.pinv(span) @ span @ vector).square().sum()) if k else 0.0
        assert one == pytest.approx(wanted, abs=1e-4)


def test_learnt_directions_beat_random_ones_and_random_ones_do_not(
    raw: Model, fruit: PromptPairs, tmp_path: Path
) -> None:
    """Principal directions of these very streams, against directions that were drawn."""
    streams = torch.cat(
        [oracle.activations(raw, pair.clean)[HOOK][0, 1:] for pair in raw.on(fruit)._setup.sample.pairs]
    )
    center = streams.mean(0)
    principal = torch.linalg.svd(streams - center, full_matrices=False).Vh[:12]
    both = torch.cat([principal, -principal]).T
    learnt = {"W_enc": both, "W_dec": both.T, "b_enc": torch.zeros(24), "b_dec": center}
    good = raw.with_dictionary(AT, save(tmp_path / "learnt", learnt)).on(fruit).dictionary(AT)
    assert good.beats_random(n=2)
    drawn = raw.with_dictionary(AT, planted(tmp_path / "drawn", 128, 6)).on(fruit).dictionary(AT)
    with pytest.raises(ClaimRefuted):
        assert drawn.beats_random(n=2)


def test_features_come_back_in_a_dictionary_that_has_them(raw: Model, fruit: PromptPairs, tmp_path: Path) -> None:
    mine, other = planted(tmp_path / "a", 128, 20), planted(tmp_path / "b", 128, 20, seed=1)
    fitted = raw.with_dictionary(AT, mine).on(fruit).dictionary(AT)
    assert fitted.matched(mine).measure().estimate == pytest.approx(1, abs=1e-6)
    assert fitted.matched(other) < 0.5
    tensors = load_file(other / "sae_weights.safetensors")
    tensors["W_dec"][7] = load_file(mine / "sae_weights.safetensors")["W_dec"][3] * 5
    one = save(tmp_path / "c", tensors)
    assert fitted.matched(one, feature=3) > 0.999
    assert fitted.matched(one, feature=4) < 0.5
    with pytest.raises(MethodError, match="has features 0-39, and not 40"):
        fitted.matched(one, feature=40)
    with pytest.raises(MethodError, match=r"no dictionary is attached at L0.RESID_POST"):
        raw.with_dictionary(AT, mine).on(fruit).dictionary("L0.RESID_POST")
    with pytest.raises(ModelError, match=r"a dictionary is attached at one layer's .* and not at L1.RESID_POST@end"):
        raw.with_dictionary(AT, mine).on(fruit).dictionary(f"{AT}@end")
