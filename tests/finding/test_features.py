"""Features among the candidates: what they are attributed, beside what a small part of their patch does by plain hooks."""

from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from circuitcheck import Model, PromptPairs
from tests import oracle
from tests.models.dictionaries.small import WRITTEN

# How much of a patch is made, in either direction, to see its slope.
_PART = 0.02


def _relu(x: torch.Tensor, tensors: dict[str, torch.Tensor]) -> torch.Tensor:
    return ((x - tensors["b_dec"]) @ tensors["W_enc"] + tensors["b_enc"]).relu()


def _topk(x: torch.Tensor, tensors: dict[str, torch.Tensor]) -> torch.Tensor:
    before = (x - tensors["b_dec"]) @ tensors["W_enc"] + tensors["b_enc"]
    return torch.where(before >= before.topk(3, dim=-1).values[..., -1:], before.relu(), 0.0)


def _layer_norm(x: torch.Tensor, tensors: dict[str, torch.Tensor]) -> torch.Tensor:
    return _relu((x - x.mean(-1, keepdim=True)) / (x.std(-1, keepdim=True) + 1e-5), tensors)


def _transcoder(x: torch.Tensor, tensors: dict[str, torch.Tensor]) -> torch.Tensor:
    return (x @ tensors["W_enc"] + tensors["b_enc"]).relu()


@pytest.mark.parametrize(
    ("kind", "site", "read_at", "hook", "encode"),
    [
        ("standard", "L1.RESID_POST", "blocks.1.hook_resid_post", "blocks.1.hook_resid_post", _relu),
        ("topk", "L1.RESID_POST", "blocks.1.hook_resid_post", "blocks.1.hook_resid_post", _topk),
        ("standard_layer_norm", "L1.RESID_POST", "blocks.1.hook_resid_post", "blocks.1.hook_resid_post", _layer_norm),
        ("skip_transcoder", "L1.MLP", "blocks.1.ln2.hook_out", "blocks.1.hook_mlp_out", _transcoder),
    ],
)
def test_a_feature_is_attributed_what_a_small_part_of_its_patch_does(
    kind: str,
    site: str,
    read_at: str,
    hook: str,
    encode: Callable[[torch.Tensor, dict[str, torch.Tensor]], torch.Tensor],
    raw: Model,
    fruit: PromptPairs,
) -> None:
    model, tensors = raw.with_dictionary(site, WRITTEN / kind), load_file(WRITTEN / kind / "sae_weights.safetensors")
    found = model.on(fruit).find(f"{site}.F*@end", top=3, pairs=4)
    assert found.kinds == ("features",)
    best, gap = found.top()[0], found.gap
    slopes = []
    for pair in found.pairs:
        clean, corrupt = (oracle.activations(model, tokens)[read_at][0, -1] for tokens in (pair.clean, pair.corrupt))
        scale = corrupt.std() if kind == "standard_layer_norm" else 1.0
        change = (encode(clean, tensors) - encode(corrupt, tensors))[best.site.index] * scale

        def add(x: torch.Tensor, hook: object, part: float, change: torch.Tensor = change) -> torch.Tensor:
            x[:, -1] += part * change * tensors["W_dec"][best.site.index]
            return x

        up, down = (
            oracle.logit_difference(model, pair, oracle.run(model, pair.corrupt, [(hook, partial(add, part=part))]))
            for part in (_PART, -_PART)
        )
        slopes.append((up - down) / (2 * _PART))
    assert abs(best.attributed) > 1e-3
    assert best.attributed == pytest.approx(np.mean(slopes) / gap, rel=0.01, abs=2e-5)


def test_an_error_and_all_features_are_attributed_what_the_stream_is(raw: Model, fruit: PromptPairs) -> None:
    """To first order what is written adds up."""
    model = raw.with_dictionary("L1.RESID_POST", WRITTEN / "standard")
    found = model.on(fruit).find("L1.RESID_POST.F*@end | L1.RESID_POST.ERROR@end | L1.RESID_POST@end", top=12)
    features, error, stream = (one.values.sum() for one in found.attributed)
    assert found.kinds == ("features", "errors", "streams")
    assert features + error == pytest.approx(stream, abs=1e-6)
    assert found.top("errors")[0].exact == pytest.approx(
        model.on(fruit).patch("L1.RESID_POST.ERROR@end").measure().estimate, abs=1e-6
    )


@pytest.mark.slow
def test_no_feature_of_512_has_a_larger_effect_than_those_that_were_found(
    bundled: Model, more_fruit: PromptPairs
) -> None:
    """Against exact patches of all features of the bundled dictionary."""
    run = bundled.with_dictionary("L1.RESID_POST", "bundled-seed0").on(more_fruit)
    found = run.find("L1.RESID_POST.F*@end", top=10)
    every = sorted(run.sweep("L1.RESID_POST.F*@end").top(512), key=lambda one: -abs(one[1]))
    assert {address for address, _ in every[:6]} <= {one.address for one in found.top()}
    swept = dict(every)
    for one in found.top():
        assert one.exact == pytest.approx(swept[one.address], abs=1e-5)
    assert found.agreement["features"] > 0.9
