"""The engine's numbers against plain hooks, one pair at a time; and that nothing is silently done or left undone."""

from typing import Any

import numpy as np
import pytest
import torch

from circuitcheck import ClaimInconclusive, InterventionError, Model, NumericsError, PromptPairs, contrast, load, mean
from circuitcheck.engine.cone.decoder import Decoder
from circuitcheck.engine.hooks.writes import Write
from tests import oracle
from tests.conftest import each


@pytest.fixture(scope="module", params=each(["bundled", "stories"], ("bundled",)))
def case(request: pytest.FixtureRequest, fruit: PromptPairs, named: PromptPairs) -> tuple[Model, PromptPairs]:
    model = request.getfixturevalue(request.param)
    return model, fruit if request.param == "bundled" else named


def at(*index: Any) -> oracle.Edit:
    def edit(destination: torch.Tensor, source: torch.Tensor) -> None:
        destination[index] = source[index]

    return edit


ALL = slice(None)
PATCHES = {
    "L1.N7": ("blocks.1.mlp.hook_post", at(ALL, ALL, 7)),
    "L2.N*@end": ("blocks.2.mlp.hook_post", at(ALL, -1)),
    "L0.H2": ("blocks.0.attn.hook_z", at(ALL, ALL, 2)),
    "L1.H[0,3]@-2": ("blocks.1.attn.hook_z", at(ALL, -2, [0, 3])),
    "L2.MLP": ("blocks.2.hook_mlp_out", at(ALL)),
    "L1.ATTN@end": ("blocks.1.hook_attn_out", at(ALL, -1)),
    "L1.RESID_PRE@end": ("blocks.1.hook_resid_pre", at(ALL, -1)),
    "L0.RESID_MID": ("blocks.0.hook_resid_mid", at(ALL)),
    "L2.RESID_POST@-2": ("blocks.2.hook_resid_post", at(ALL, -2)),
    "EMBED": ("hook_embed", at(ALL)),
}


@pytest.mark.parametrize("address", each(PATCHES, ("L1.N7", "L1.H[0,3]@-2", "L0.RESID_MID", "EMBED")))
@pytest.mark.parametrize("into", ["corrupt", "clean"])
def test_a_patch_is_what_plain_hooks_give(case: tuple[Model, PromptPairs], address: str, into: Any) -> None:
    model, pairs = case
    measured = model.on(pairs).patch(address, into=into).measure()
    assert measured.estimate == pytest.approx(
        oracle.patched_share(model, measured.pairs, *PATCHES[address], into), abs=1e-5
    )


def test_sites_of_several_layers_are_written_in_one_run(bundled: Model, fruit: PromptPairs) -> None:
    measured = bundled.on(fruit).patch("L0.H1 | L2.MLP@end").measure()
    shifts = []
    for pair in measured.pairs:
        source = oracle.activations(bundled, pair.clean)

        def head(z: torch.Tensor, hook: Any, source: dict[str, torch.Tensor] = source) -> torch.Tensor:
            z[:, :, 1] = source["blocks.0.attn.hook_z"][:, :, 1]
            return z

        def mlp(out: torch.Tensor, hook: Any, source: dict[str, torch.Tensor] = source) -> torch.Tensor:
            out[:, -1] = source["blocks.2.hook_mlp_out"][:, -1]
            return out

        hooks = [("blocks.0.attn.hook_z", head), ("blocks.2.hook_mlp_out", mlp)]
        patched = oracle.logit_difference(bundled, pair, oracle.run(bundled, pair.corrupt, hooks))
        shifts.append(patched - oracle.logit_difference(bundled, pair, oracle.run(bundled, pair.corrupt)))
    assert measured.estimate * measured.gap == pytest.approx(np.mean(shifts), abs=1e-4)


def test_positions_of_a_slot_are_found_in_every_pair(stories: Model, named: PromptPairs) -> None:
    """The slot's tokens are elsewhere, and more or fewer, from pair to pair."""
    measured = stories.on(named).patch("L0.RESID_PRE@{who}").measure()
    assert len({pair.length for pair in measured.pairs}) > 2
    shifts, gaps = [], []
    for pair in measured.pairs:
        where = [i for i, (a, b) in enumerate(zip(pair.clean, pair.corrupt, strict=True)) if a != b]
        assert where
        edit = at(ALL, where)
        share = oracle.patched_share(stories, (pair,), "blocks.0.hook_resid_pre", edit)
        gap = oracle.logit_difference(stories, pair, oracle.run(stories, pair.clean))
        gap -= oracle.logit_difference(stories, pair, oracle.run(stories, pair.corrupt))
        shifts.append(share * gap)
        gaps.append(gap)
    assert measured.estimate == pytest.approx(sum(shifts) / sum(gaps), abs=1e-5)


def _losses(model: Model, pairs: Any, hook: str, write: Any) -> list[float]:
    losses = []
    for row, pair in enumerate(pairs):
        before = oracle.logit_difference(model, pair, oracle.run(model, pair.clean))
        hooks = [(hook, lambda activation, hook, row=row: write(activation, row))]
        losses.append(before - oracle.logit_difference(model, pair, oracle.run(model, pair.clean, hooks)))
    return losses


def test_mean_ablation_takes_the_mean_of_both_sides_at_the_same_place(bundled: Model, fruit: PromptPairs) -> None:
    """All prompts of this population have one length, so that a token's role is its index."""
    for of, sides in (("both", ("clean", "corrupt")), ("clean", ("clean",)), ("corrupt", ("corrupt",))):
        measured = bundled.on(fruit).ablate("L1.H2", mean(of=of)).raw.measure()  # type: ignore[arg-type]
        prompts = [pair.tokens(side) for pair in measured.pairs for side in sides]
        average = torch.stack([oracle.activations(bundled, p)["blocks.1.attn.hook_z"][0, :, 2] for p in prompts]).mean(
            0
        )

        def write(z: torch.Tensor, row: int, average: torch.Tensor = average) -> torch.Tensor:
            z[0, :, 2] = average
            return z

        losses = _losses(bundled, measured.pairs, "blocks.1.attn.hook_z", write)
        assert measured.per_pair == pytest.approx(np.array(losses), abs=1e-4)


def test_mean_ablation_aligns_tokens_by_role_where_lengths_differ(stories: Model, named: PromptPairs) -> None:
    """A role is a template, a segment, and the distance to the segment's end."""
    measured = stories.on(named).ablate("L4.MLP", "mean").raw.measure()
    by_role: dict[tuple[int, int, int], list[torch.Tensor]] = {}
    for pair in measured.pairs:
        for tokens in (pair.clean, pair.corrupt):
            out = oracle.activations(stories, tokens)["blocks.4.hook_mlp_out"][0]
            for position, (segment, to_end) in enumerate(pair.roles):
                by_role.setdefault((pair.pair.template, segment, to_end), []).append(out[position])

    def write(out: torch.Tensor, row: int) -> torch.Tensor:
        pair = measured.pairs[row]
        for position, (segment, to_end) in enumerate(pair.roles):
            out[0, position] = torch.stack(by_role[pair.pair.template, segment, to_end]).mean(0)
        return out

    losses = _losses(stories, measured.pairs, "blocks.4.hook_mlp_out", write)
    assert measured.per_pair == pytest.approx(np.array(losses), abs=1e-4)


@pytest.mark.parametrize("value", ["zero", 0.7])
def test_constants_leave_the_bos_token_alone(bundled: Model, fruit: PromptPairs, value: str | float) -> None:
    measured = bundled.on(fruit).ablate("L0.ATTN", value).raw.measure()

    def write(out: torch.Tensor, row: int) -> torch.Tensor:
        out[0, 1:] = 0.0 if value == "zero" else value
        return out

    losses = _losses(bundled, measured.pairs, "blocks.0.hook_attn_out", write)
    assert measured.per_pair == pytest.approx(np.array(losses), abs=1e-4)


def test_resampling_takes_one_other_prompt_and_the_same_one_every_time(bundled: Model, fruit: PromptPairs) -> None:
    run = bundled.on(fruit)
    measured = run.ablate("L1.MLP", "resample").raw.measure()
    for row, pair in enumerate(measured.pairs):
        source, side = run._setup.sampler.donors(fruit, run._setup.sample, "both").source(pair)
        tokens = measured.pairs[source].tokens(side)
        assert tokens not in (pair.clean, pair.corrupt)
        out = oracle.activations(bundled, tokens)["blocks.1.hook_mlp_out"]
        loss = _losses(bundled, [pair], "blocks.1.hook_mlp_out", lambda _, row, out=out: out)[0]
        assert measured.per_pair[row] == pytest.approx(loss, abs=1e-4)


def test_ablating_everything_loses_all_of_the_behaviour(
    case: tuple[Model, PromptPairs], more_fruit: PromptPairs, more_names: PromptPairs
) -> None:
    model, pairs = case
    for value in ("mean", "zero", "resample"):
        more = more_fruit if model.name == "bundled" else more_names
        assert model.on(more if value == "resample" else pairs).ablate(
            "L*.H* | L*.MLP", value
        ).measure().estimate == pytest.approx(1)


def test_patching_all_of_the_stream_restores_all_of_the_gap(case: tuple[Model, PromptPairs]) -> None:
    model, pairs = case
    for address in ("EMBED", "L0.RESID_PRE", "L1.RESID_MID", "L2.RESID_POST"):
        assert model.on(pairs).patch(address).measure().estimate == pytest.approx(1, abs=1e-5)


def test_batched_equals_single(case: tuple[Model, PromptPairs]) -> None:
    """What a pair's number is does not depend on the pairs around it."""
    model, pairs = case
    measured = model.on(pairs).patch("L1.ATTN | L2.MLP@end").measure()
    for pair, together in zip(measured.pairs, measured.per_pair, strict=True):
        row = {"clean": pair.clean, "corrupt": pair.corrupt, "answer": pair.answer, "foil": pair.foil}
        alone = model.on(PromptPairs.from_rows([row])).patch("L1.ATTN | L2.MLP@end").raw.measure()
        assert alone.estimate / measured.gap == pytest.approx(together, abs=1e-5)


def test_an_inert_component_is_a_fact_not_an_error(bundled: Model, fruit: PromptPairs) -> None:
    """Before the first token in which the prompts differ, both runs are the same."""
    measured = bundled.on(fruit).patch("L1.MLP@{tree}[1]").measure()
    assert measured.estimate == pytest.approx(0, abs=1e-7)
    assert "inert" in measured.notes[0]


def test_a_claim_runs_the_model_once_a_batch_and_a_second_one_not_at_all(
    bundled: Model, fruit: PromptPairs, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = bundled.on(fruit)
    run.patch("L1.H1@end").measure()  # of the same kind, which is compared with plain hooks once
    passes, plainly = [], Decoder.run
    monkeypatch.setattr(Decoder, "run", lambda *given, **named: passes.append(1) or plainly(*given, **named))
    bundled.on(fruit).patch("L1.H3@end").measure()
    assert len(passes) == 1
    assert bundled.on(fruit).patch("L1.H3@end") < 2
    assert len(passes) == 1


def _write(values: torch.Tensor, component: int = 1) -> Write:
    mask = torch.zeros(values.shape[:2], dtype=torch.bool)
    mask[:, -1] = True
    components = torch.zeros(len(values), values.shape[2], dtype=torch.bool)
    components[:, component] = True
    return Write("somewhere", mask, components, lambda activation: values)


def test_a_write_that_touches_more_than_its_target_is_an_error() -> None:
    write = _write(torch.ones(2, 3, 4))
    activation = torch.zeros(2, 3, 4)
    (_, put), (_, check) = write.hooks()
    written = put(activation, hook=None)
    assert written.nonzero().tolist() == [[0, 2, 1], [1, 2, 1]]
    written[0, 0, 0] = 5.0
    with pytest.raises(InterventionError, match="touched entries that were not addressed"):
        check(written, hook=None)


def test_a_write_that_does_not_arrive_is_an_error() -> None:
    write = _write(torch.ones(2, 3, 4))
    activation = torch.zeros(2, 3, 4)
    (_, put), (_, check) = write.hooks()
    put(activation, hook=None)
    with pytest.raises(InterventionError, match="did not arrive"):
        check(torch.zeros(2, 3, 4), hook=None)


def test_a_write_of_another_shape_is_an_error() -> None:
    (_, put), _ = _write(torch.ones(2, 3, 4)).hooks()
    with pytest.raises(InterventionError, match="shape"):
        put(torch.zeros(2, 3, 5), hook=None)


def test_a_hook_that_never_fires_is_an_error(fruit: PromptPairs, monkeypatch: pytest.MonkeyPatch) -> None:
    model = load("bundled")  # whose cones are not trusted after this
    monkeypatch.setattr(Write, "hooks", lambda self: [])
    with pytest.raises(InterventionError, match="never fired"):
        model.on(fruit).patch("L1.H1@-2").measure()


@pytest.mark.slow
def test_what_was_computed_of_another_model_is_no_evidence(fruit: PromptPairs) -> None:
    """Hooks that somebody put on the model, and weights that were changed, count; when they go, so do their numbers."""
    model = load("bundled")
    before = model.on(fruit).patch("L1.N8@end").measure().estimate

    def steer(stream: torch.Tensor, hook: Any) -> torch.Tensor:
        return stream + 0.3 * stream.norm() / 100

    hooks = [("blocks.1.hook_resid_post", steer)]
    with model.bridge.hooks(fwd_hooks=hooks):
        steered = model.on(fruit).patch("L1.N8@end").measure()
        assert "not as it was loaded" in model._loaded.answers.describe()
        edit = at(ALL, -1, 8)
        wanted = oracle.patched_share(model, steered.pairs, "blocks.1.mlp.hook_post", edit)
        assert steered.estimate == pytest.approx(wanted, abs=1e-5)
    assert model.on(fruit).patch("L1.N8@end").measure().estimate == before != steered.estimate
    assert model._loaded.answers.describe() == "cone"
    with torch.no_grad():
        model.bridge.blocks[1].mlp.out.original_component.weight.mul_(0.5)
    assert model.on(fruit).patch("L1.N8@end").measure().estimate == pytest.approx(
        oracle.patched_share(model, steered.pairs, "blocks.1.mlp.hook_post", edit), abs=1e-5
    )


def test_rounding_is_no_effect(fruit: PromptPairs) -> None:
    """A head that reads nothing new changes nothing, and no claim about the sign of nothing is decided."""
    model = load("bundled")
    with torch.no_grad():
        model.bridge.blocks[1].attn.o.original_component.weight[32:64] = 0  # what head 1 says goes nowhere
    effect = model.on(fruit).patch("L1.H1")
    assert np.abs(effect.raw.measure().per_pair).max() < 1e-4
    for compare in (lambda: effect > 0, lambda: effect < 0):
        with pytest.raises(ClaimInconclusive):
            bool(compare())


def test_nan_logits_name_the_prompt() -> None:
    pairs = PromptPairs("We saw the {x} and", x=contrast(clean=["apple"], corrupt=["lemon"]), answer=" an", foil=" a")
    broken = [("blocks.2.hook_resid_post", lambda stream, hook: stream * float("nan"))]
    model = load("bundled")
    with model.bridge.hooks(fwd_hooks=broken), pytest.raises(NumericsError, match="'We saw the apple and'"):
        model.on(pairs).gap.measure()
