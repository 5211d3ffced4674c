"""Features of dictionaries are sites: what is done at them is what plain hooks do by the dictionary's own arithmetic."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from circuitcheck import AddressError, MethodError, Model, PromptPairs
from circuitcheck.addresses.parsing import parse
from tests import oracle
from tests.models.dictionaries.small import WRITTEN, planted, save

Encode = Callable[[torch.Tensor], torch.Tensor]
AT, HOOK = "L1.RESID_POST", "blocks.1.hook_resid_post"


def relu_of(folder: Path) -> tuple[dict[str, torch.Tensor], Encode]:
    """A standard dictionary's tensors, and its encoder written out."""
    tensors = load_file(folder / "sae_weights.safetensors")
    return tensors, lambda x: ((x - tensors["b_dec"]) @ tensors["W_enc"] + tensors["b_enc"]).relu()


@pytest.fixture(scope="module")
def featured(raw: Model) -> Model:
    return raw.with_dictionary(AT, WRITTEN / "standard")


@pytest.fixture(scope="module")
def topk(raw: Model) -> Model:
    return raw.with_dictionary(AT, WRITTEN / "topk")


def test_a_patch_of_features_is_one_of_plain_hooks(featured: Model, fruit: PromptPairs) -> None:
    tensors, encode = relu_of(WRITTEN / "standard")
    for numbers, address, into in (([9], "F9", "corrupt"), ([1, 4, 9], "F[1,4,9]", "corrupt"), ([9], "F9", "clean")):

        def edit(there: torch.Tensor, source: torch.Tensor, numbers: list[int] = numbers) -> None:
            difference = encode(source)[..., numbers] - encode(there)[..., numbers]
            there += difference @ tensors["W_dec"][numbers]

        measured = featured.on(fruit).patch(f"{AT}.{address}", into=into).measure()  # type: ignore[arg-type]
        wanted = oracle.patched_share(featured, measured.pairs, HOOK, edit, into)
        assert abs(wanted) > 1e-3
        assert measured.estimate == pytest.approx(wanted, abs=2e-6)
    assert featured._loaded.answers.describe() == "cone"


def test_top_k_features_are_those_of_the_run_that_is_written_into(topk: Model, fruit: PromptPairs) -> None:
    tensors = load_file(WRITTEN / "topk" / "sae_weights.safetensors")

    def encode(x: torch.Tensor) -> torch.Tensor:
        before = (x - tensors["b_dec"]) @ tensors["W_enc"] + tensors["b_enc"]
        return torch.where(before >= before.topk(3, dim=-1).values[..., -1:], before.relu(), 0.0)

    def edit(there: torch.Tensor, source: torch.Tensor) -> None:
        there += (encode(source) - encode(there))[..., 2:6] @ tensors["W_dec"][2:6]

    measured = topk.on(fruit).patch(f"{AT}.F2-5").measure()
    assert measured.estimate == pytest.approx(oracle.patched_share(topk, measured.pairs, HOOK, edit), abs=2e-6)


def test_an_error_is_what_the_dictionary_does_not_explain(featured: Model, fruit: PromptPairs) -> None:
    tensors, encode = relu_of(WRITTEN / "standard")

    def error(x: torch.Tensor) -> torch.Tensor:
        return x - encode(x) @ tensors["W_dec"] - tensors["b_dec"]

    def edit(there: torch.Tensor, source: torch.Tensor) -> None:
        there += error(source) - error(there)

    measured = featured.on(fruit).patch(f"{AT}.ERROR").measure()
    wanted = oracle.patched_share(featured, measured.pairs, HOOK, edit)
    assert measured.estimate == pytest.approx(wanted, abs=2e-6)
    assert 0.5 < measured.estimate < 1


@pytest.mark.parametrize("kind", ["standard", "topk", "standard_layer_norm", "standard_rescaled"])
def test_all_features_and_the_error_are_the_stream_exactly(kind: str, raw: Model, fruit: PromptPairs) -> None:
    run = raw.with_dictionary("L0.RESID_POST", _moved(kind)).on(fruit)
    whole, parts = (
        run.patch("L0.RESID_POST@end").measure(),
        run.patch("L0.RESID_POST.F*@end | L0.RESID_POST.ERROR@end").measure(),
    )
    assert np.array_equal(whole.per_pair, parts.per_pair)


_MOVED: dict[str, Path] = {}


def _moved(kind: str) -> Path:
    return _MOVED[kind]


@pytest.fixture(scope="module", autouse=True)
def _at_the_first_layer(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Dictionaries that SAELens wrote, said to be of layer 0: there a stream at the last token is not all of the gap."""
    import json

    for kind in ("standard", "topk", "standard_layer_norm", "standard_rescaled"):
        said = json.loads((WRITTEN / kind / "cfg.json").read_text())
        said["metadata"]["hook_name"] = "blocks.0.hook_resid_post"
        said["hook_name"] = "blocks.0.hook_resid_post"
        folder = tmp_path_factory.mktemp("moved") / kind
        _MOVED[kind] = save(folder, load_file(WRITTEN / kind / "sae_weights.safetensors"), **said)


def test_what_two_addresses_have_in_common_is_written_once(featured: Model, fruit: PromptPairs) -> None:
    run = featured.on(fruit)
    whole = run.patch(f"{AT}.F[4,9]").measure()
    twice = run.patch(f"{AT}.F[4,9] | {AT}.F9@end").measure()
    assert twice.estimate == pytest.approx(whole.estimate, abs=1e-6)
    error = run.patch(f"{AT}.ERROR").measure()
    twice = run.patch(f"{AT}.ERROR | {AT}.ERROR@end").measure()
    assert twice.estimate == pytest.approx(error.estimate, abs=1e-6)


def test_planted_features_are_directions(raw: Model, fruit: PromptPairs, tmp_path: Path) -> None:
    """A feature and its opposite, which an orthonormal dictionary has, are what a stream has along one direction."""
    model = raw.with_dictionary(AT, planted(tmp_path, 128, 6))
    basis = load_file(tmp_path / "sae_weights.safetensors")["W_enc"]
    for number in (0, 3):

        def edit(there: torch.Tensor, source: torch.Tensor, along: torch.Tensor = basis[:, number]) -> None:
            there += ((source - there) @ along)[..., None] * along

        measured = model.on(fruit).patch(f"{AT}.F[{number},{number + 6}]").measure()
        wanted = oracle.patched_share(model, measured.pairs, HOOK, edit)
        assert measured.estimate == pytest.approx(wanted, abs=2e-6)


def test_ablations_steering_and_attribution_are_those_of_plain_hooks(featured: Model, fruit: PromptPairs) -> None:
    tensors, encode = relu_of(WRITTEN / "standard")
    row = tensors["W_dec"][9]
    run = featured.on(fruit)
    zeroed = run.ablate(f"{AT}.F9", "zero").measure()
    steered = run.steer(f"{AT}.F9@end", 2.5).measure()
    written = run.direct(f"{AT}.F9").measure()
    lost, gained, logits = [], [], []
    for pair in zeroed.pairs:
        clean, corrupt = (
            oracle.logit_difference(featured, pair, oracle.run(featured, pair.tokens(side)))
            for side in ("clean", "corrupt")
        )  # type: ignore[arg-type]

        def zero(x: torch.Tensor, hook: object) -> torch.Tensor:
            change = encode(x)[..., [9]] * row
            change[:, 0] = 0  # zero ablation leaves BOS alone
            return x - change

        def add(x: torch.Tensor, hook: object) -> torch.Tensor:
            x[:, -1] += 2.5 * row
            return x

        lost.append(clean - oracle.logit_difference(featured, pair, oracle.run(featured, pair.clean, [(HOOK, zero)])))
        gained.append(
            oracle.logit_difference(featured, pair, oracle.run(featured, pair.corrupt, [(HOOK, add)])) - corrupt
        )
        cache = oracle.activations(featured, pair.clean)
        final, bridge = featured.bridge.ln_final.original_component, featured.bridge
        unembedding = bridge.W_U[:, pair.answer[0]] - bridge.W_U[:, pair.foil[0]]
        there = encode(cache[HOOK])[0, -1, 9] * row
        scale = cache["blocks.2.hook_resid_post"][0, -1].var(correction=0).add(1e-5).sqrt()
        logits.append(float((((there - there.mean()) / scale * final.weight) @ unembedding).detach()))
    gap = np.mean(
        [
            oracle.logit_difference(featured, p, oracle.run(featured, p.clean))
            - oracle.logit_difference(featured, p, oracle.run(featured, p.corrupt))
            for p in zeroed.pairs
        ]
    )
    assert run.ablate(f"{AT}.F9", "zero").of_gap.measure().estimate == pytest.approx(np.mean(lost) / gap, abs=2e-6)
    assert steered.estimate == pytest.approx(np.mean(gained) / gap, abs=2e-6)
    assert written.estimate == pytest.approx(np.mean(logits), abs=1e-5)


def test_means_are_each_features_own(featured: Model, fruit: PromptPairs) -> None:
    """Ablating by the mean is linear: all features and the error by their means are the stream by its own."""
    run = featured.on(fruit)
    parts = run.ablate(f"{AT}.F* | {AT}.ERROR", "mean").of_gap.measure()
    assert parts.estimate == pytest.approx(run.ablate(AT, "mean").of_gap.measure().estimate, abs=1e-5)
    one = run.ablate(f"{AT}.F9", "mean").of_gap.measure().estimate
    both = run.ablate(f"{AT}.F[4,9]", "mean").of_gap.measure().estimate
    assert abs(both - one) > 1e-4


def test_a_sweep_is_one_patch_after_another(featured: Model, fruit: PromptPairs) -> None:
    run = featured.on(fruit)
    swept = run.sweep(f"{AT}.F*")
    assert (swept.dims, len(swept.sites)) == (("feature",), 12)
    for number in (4, 9):
        found = run.patch(f"{AT}.F{number}").measure()
        assert swept.values[number] == pytest.approx(found.estimate, abs=1e-6)
    assert (
        found.method.granularity
        == f"feature of the dictionary standard ({featured._loaded.dictionaries[0].dictionary.digest[:8]})"
    )
    assert run.patch(f"{AT}.F9").rank_within(f"{AT}.F*") == 1


def test_paths_from_a_feature_carry_what_it_writes(featured: Model, fruit: PromptPairs) -> None:
    """To the logits, that is the feature's patch where nothing between reads it: what is written at the last layer's end."""
    tensors, encode = relu_of(WRITTEN / "standard")
    found = featured.on(fruit).patch(f"{AT}.F9@end -> LOGITS").measure()
    shares = []
    for pair in found.pairs:
        sources = {side: oracle.activations(featured, pair.tokens(side)) for side in ("clean", "corrupt")}  # type: ignore[arg-type]
        change = (encode(sources["clean"][HOOK])[0, -1, 9] - encode(sources["corrupt"][HOOK])[0, -1, 9]) * tensors[
            "W_dec"
        ][9]

        def add(x: torch.Tensor, hook: object, change: torch.Tensor = change) -> torch.Tensor:
            x[:, -1] += change
            return x

        before = oracle.logit_difference(featured, pair, oracle.run(featured, pair.corrupt))
        after = oracle.run(featured, pair.corrupt, [("blocks.2.hook_resid_post", add)])
        clean = oracle.logit_difference(featured, pair, oracle.run(featured, pair.clean))
        shares.append((oracle.logit_difference(featured, pair, after) - before, clean - before))
    moved, gap = np.sum(shares, axis=0)
    assert found.estimate == pytest.approx(moved / gap, abs=2e-6)


def test_paths_to_a_feature_change_what_it_reads_by_what_is_sent(featured: Model, fruit: PromptPairs) -> None:
    tensors, encode = relu_of(WRITTEN / "standard")
    sent = "blocks.1.hook_mlp_out"

    found = featured.on(fruit).patch(f"L1.MLP@end -> {AT}.F9@end").measure()
    shares = []
    for pair in found.pairs:
        clean, corrupt = (oracle.activations(featured, pair.tokens(side)) for side in ("clean", "corrupt"))  # type: ignore[arg-type]
        stream = corrupt[HOOK][0, -1]
        with_it = stream + clean[sent][0, -1] - corrupt[sent][0, -1]
        change = (encode(with_it)[9] - encode(stream)[9]) * tensors["W_dec"][9]

        def add(x: torch.Tensor, hook: object, change: torch.Tensor = change) -> torch.Tensor:
            x[:, -1] += change
            return x

        before = oracle.logit_difference(featured, pair, oracle.run(featured, pair.corrupt))
        after = oracle.logit_difference(featured, pair, oracle.run(featured, pair.corrupt, [(HOOK, add)]))
        whole = oracle.logit_difference(featured, pair, oracle.run(featured, pair.clean))
        shares.append((after - before, whole - before))
    moved, gap = np.sum(shares, axis=0)
    assert abs(moved / gap) > 1e-4
    assert found.estimate == pytest.approx(moved / gap, abs=2e-6)


def test_a_transcoder_reads_what_the_mlp_reads_and_writes_what_it_writes(raw: Model, fruit: PromptPairs) -> None:
    model = raw.with_dictionary("L1.MLP", WRITTEN / "skip_transcoder")
    tensors = load_file(WRITTEN / "skip_transcoder" / "sae_weights.safetensors")

    def encode(x: torch.Tensor) -> torch.Tensor:
        return (x @ tensors["W_enc"] + tensors["b_enc"]).relu()

    found = model.on(fruit).patch("L1.MLP.F[2,7]").measure()
    shares = []
    for pair in found.pairs:
        clean, corrupt = (
            oracle.activations(model, pair.tokens(side))["blocks.1.ln2.hook_out"] for side in ("clean", "corrupt")
        )  # type: ignore[arg-type]
        change = (encode(clean) - encode(corrupt))[..., [2, 7]] @ tensors["W_dec"][[2, 7]]

        def add(x: torch.Tensor, hook: object, change: torch.Tensor = change) -> torch.Tensor:
            return x + change

        before = oracle.logit_difference(model, pair, oracle.run(model, pair.corrupt))
        after = oracle.logit_difference(model, pair, oracle.run(model, pair.corrupt, [("blocks.1.hook_mlp_out", add)]))
        whole = oracle.logit_difference(model, pair, oracle.run(model, pair.clean))
        shares.append((after - before, whole - before))
    moved, gap = np.sum(shares, axis=0)
    assert abs(moved / gap) > 1e-4
    assert found.estimate == pytest.approx(moved / gap, abs=2e-6)
    run = model.on(fruit)
    whole_mlp = run.patch("L1.MLP").measure()
    assert np.array_equal(run.patch("L1.MLP.F* | L1.MLP.ERROR").measure().per_pair, whole_mlp.per_pair)


def test_features_on_texts_are_those_of_a_run(featured: Model, fruit: PromptPairs) -> None:
    _, encode = relu_of(WRITTEN / "standard")
    firing = featured.activation(f"{AT}.F9", predicts=" an", on=fruit)
    top = firing._seen.activations.max()
    prompts = {prompt for pair in featured.on(fruit)._setup.sample.pairs for prompt in (pair.clean, pair.corrupt)}
    wanted = max(float(encode(oracle.activations(featured, prompt)[HOOK])[0, :, 9].max()) for prompt in prompts)
    assert top == pytest.approx(wanted, abs=1e-5)
    assert 0 <= firing.auc.measure().estimate <= 1


def test_a_kept_circuit_of_features_is_among_all_and_the_error(featured: Model, fruit: PromptPairs) -> None:
    run = featured.on(fruit)
    circuit = f"{AT}.F[4,9] | {AT}.ERROR"
    rest = [number for number in range(12) if number not in (4, 9)]
    others = f"{AT}.F[{','.join(map(str, rest))}]"
    kept = run.keep(circuit).measure()
    nothing = run.ablate(f"{AT}.F* | {AT}.ERROR", "mean", within=AT).of_gap.measure().estimate
    lost = run.ablate(others, "mean", within=AT).of_gap.measure().estimate
    assert kept.estimate == pytest.approx((nothing - lost) / nothing, abs=1e-5)
    assert kept.method.universe == f"{AT}.F* | {AT}.ERROR"
    assert any(f"{AT}.ERROR by itself keeps" in note for note in kept.notes)
    without = run.keep(f"{AT}.F[4,9]", within=f"{AT}.F*").measure()
    assert any("what the dictionary does not explain stays" in note for note in without.notes)


def test_numbers_of_two_dictionaries_are_not_taken_for_each_other(
    raw: Model, fruit: PromptPairs, tmp_path: Path
) -> None:
    tensors = load_file(WRITTEN / "standard" / "sae_weights.safetensors")
    tensors["W_dec"][9] *= 2
    other = raw.with_dictionary(AT, save(tmp_path / "standard", tensors))
    ours = raw.with_dictionary(AT, WRITTEN / "standard")
    assert other.fingerprint == ours.fingerprint  # it is the same model
    sites = [next(iter(model.on(fruit)._setup.sites(f"{AT}.F9"))) for model in (ours, other)]
    assert repr(sites[0]) != repr(sites[1])  # by which numbers are kept
    found = [model.on(fruit).patch(f"{AT}.F9").measure().estimate for model in (ours, other)]
    assert found[0] != pytest.approx(found[1], abs=1e-3)


def test_addresses_that_name_no_feature_say_why(featured: Model, raw: Model) -> None:
    for address, why in {
        f"{AT}.F12": "has features 0-11",
        "L0.RESID_POST.F1": r"has no dictionary at RESID_POST \(attach one: --circuit-dictionary",
        f"{AT}.X": "dictionaries features and an error",
        "L1.H0.F3": "a head's parts are",
    }.items():
        with pytest.raises(AddressError, match=why):
            parse(address, featured.anatomy)
    with pytest.raises(AddressError, match="has no dictionary at RESID_POST"):
        parse(f"{AT}.F1", raw.anatomy)


def test_what_has_no_meaning_for_features_says_so(featured: Model, fruit: PromptPairs) -> None:
    run = featured.on(fruit)
    with pytest.raises(AddressError, match="take one of them out"):
        run.patch(f"{AT} | {AT}.F3").measure()
    with pytest.raises(MethodError, match="a circuit with edges is of heads, neurons and sublayers"):
        run.keep(f"L0.MLP -> {AT}.F3", within="L*.MLP").measure()
    with pytest.raises(AddressError, match="reads the stream before"):
        run.patch(f"{AT}.F3 -> L1.MLP").measure()
