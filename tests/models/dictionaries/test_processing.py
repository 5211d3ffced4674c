"""A dictionary belongs to a processing of its model: it is converted exactly, or refused with what to load the model as."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from circuitcheck import AddressError, Model, ModelError, PromptPairs
from tests.models.dictionaries.small import WRITTEN, save

PROCESSED = {"model_from_pretrained_kwargs": {"center_writing_weights": True, "fold_ln": True}}
AT = "L1.RESID_POST"


def tensors(width: int = 128, n: int = 8, mean_free: bool = False) -> dict[str, torch.Tensor]:
    """Of an encoder that sees much of what streams have in the mean, or nothing."""
    chance = torch.Generator().manual_seed(1)
    encoder = torch.randn(width, n, generator=chance) / width**0.5 + 0.2
    decoder = torch.randn(n, width, generator=chance) / width**0.5
    encoder = encoder - encoder.mean(0) if mean_free else encoder
    return {"W_enc": encoder, "W_dec": decoder, "b_enc": torch.full((n,), 0.1), "b_dec": torch.full((width,), 0.05)}


def shares(model: Model, pairs: PromptPairs, site: str = AT) -> list[float]:
    run = model.on(pairs)
    return [run.patch(f"{site}.{what}").measure().estimate for what in ("F0", "F[2,5]", "ERROR")]


@pytest.mark.parametrize("normalisation", ["none", "constant_norm_rescale"])
def test_one_of_processed_streams_reads_the_same_in_raw_ones(
    normalisation: str, bundled: Model, raw: Model, fruit: PromptPairs, tmp_path: Path
) -> None:
    folder = save(tmp_path, tensors(), **PROCESSED, normalize_activations=normalisation)
    wanted = shares(bundled.with_dictionary(AT, folder), fruit)
    assert max(map(abs, wanted)) > 0.01
    assert shares(raw.with_dictionary(AT, folder), fruit) == pytest.approx(wanted, abs=1e-4)


def test_one_of_raw_streams_is_refused_where_they_have_lost_what_it_reads(
    bundled: Model, raw: Model, fruit: PromptPairs, tmp_path: Path
) -> None:
    with pytest.raises(ModelError, match=r'load the model with weights="raw" \(--circuit-weights=raw\)'):
        bundled.with_dictionary(AT, save(tmp_path / "mean", tensors()))
    rescaled = save(tmp_path / "rescaled", tensors(mean_free=True), normalize_activations="constant_norm_rescale")
    with pytest.raises(ModelError, match='load the model with weights="raw"'):  # the mean is in the norm
        bundled.with_dictionary(AT, rescaled)
    free = save(tmp_path / "free", tensors(mean_free=True))
    wanted = shares(raw.with_dictionary(AT, free), fruit)
    assert shares(bundled.with_dictionary(AT, free), fruit) == pytest.approx(wanted, abs=1e-4)


def test_what_is_not_said_is_asked_for(bundled: Model, raw: Model, tmp_path: Path) -> None:
    folder = save(tmp_path, tensors(), model_from_pretrained_kwargs=None)
    with pytest.raises(ModelError, match="say which, with streams='raw' or streams='processed'"):
        raw.with_dictionary(AT, folder)
    one, other = (
        raw.with_dictionary(AT, folder, streams=said)._loaded.dictionaries[0].dictionary
        for said in ("raw", "processed")
    )  # type: ignore[arg-type]
    assert one.digest != other.digest
    bundled.with_dictionary(AT, folder, streams="processed")
    with pytest.raises(ModelError, match="'raw' or 'processed', not 'cooked'"):
        raw.with_dictionary(AT, folder, streams="cooked")  # type: ignore[arg-type]


def test_a_transcoder_of_a_folded_norm_reads_the_same_where_it_is_not(
    bundled: Model, raw: Model, fruit: PromptPairs, tmp_path: Path
) -> None:
    said = {
        "hook_name": "blocks.1.ln2.hook_normalized",
        "hook_name_out": "blocks.1.hook_mlp_out",
        "d_out": 128,
        "architecture": "transcoder",
    }
    folder = save(tmp_path, tensors(), **said, **PROCESSED, apply_b_dec_to_input=False)
    wanted = shares(bundled.with_dictionary("L1.MLP", folder), fruit, "L1.MLP")
    assert max(map(abs, wanted)) > 0.01
    assert shares(raw.with_dictionary("L1.MLP", folder), fruit, "L1.MLP") == pytest.approx(wanted, abs=1e-4)
    with pytest.raises(ModelError, match='folded into this model\'s MLP: load the model with weights="raw"'):
        bundled.with_dictionary("L1.MLP", WRITTEN / "transcoder")


def test_a_transcoder_that_names_no_hook_point_is_of_the_processing_that_it_says(
    bundled: Model, raw: Model, tmp_path: Path
) -> None:
    """A LayerNorm has no hook point before its weights, so that nothing but its processing decides what the transcoder was trained on."""
    said = {"hook_name": "", "d_out": 128, "architecture": "transcoder", "apply_b_dec_to_input": False}
    folder = save(tmp_path, tensors(), **said)
    assert raw.with_dictionary("L1.MLP", folder)._loaded.dictionaries[0].dictionary.input_weights is None
    with pytest.raises(ModelError, match='load the model with weights="raw"'):
        bundled.with_dictionary("L1.MLP", folder)
    folded = raw.with_dictionary("L1.MLP", folder, streams="processed")._loaded.dictionaries[0].dictionary
    assert folded.input_weights is not None


def test_dictionaries_of_other_places_and_models_are_refused_in_a_sentence(raw: Model, tmp_path: Path) -> None:
    standard, coder = WRITTEN / "standard", WRITTEN / "transcoder"
    narrow = save(tmp_path / "narrow", tensors(64))
    odd = save(tmp_path / "odd", tensors(), hook_name="blocks.1.attn.hook_result")
    for site, path, why in (
        (
            "L0.RESID_POST",
            standard,
            r"was trained on L1.RESID_POST \(hook_name='blocks.1.hook_resid_post'\), and is not one of L0",
        ),
        ("L1.MLP", standard, "is not one of L1.MLP"),
        ("L0.MLP", coder, "was trained on what the MLP of L1 reads"),
        (AT, coder, "is a transcoder, which writes what an MLP does: attach it at L1.MLP"),
        (AT, narrow, "of a model with streams of 64 numbers, and those of this model have 128"),
        (AT, odd, "no address names what is there"),
        ("L1.N3", standard, "a dictionary is attached at one layer's"),
        ("L*.RESID_POST", standard, "a dictionary is attached at one layer's"),
        (f"{AT}@end", standard, "a dictionary is attached at one layer's"),
    ):
        with pytest.raises(ModelError, match=why):
            raw.with_dictionary(site, path)
    with pytest.raises(AddressError, match="has layers 0-2"):
        raw.with_dictionary("L7.RESID_POST", standard)
    with pytest.raises(ModelError, match="has the dictionary standard .* already: a site has one"):
        raw.with_dictionary(AT, standard).with_dictionary(AT, standard)


def test_the_stream_after_a_block_is_that_before_the_next(raw: Model, fruit: PromptPairs) -> None:
    before = raw.with_dictionary("L2.RESID_PRE", WRITTEN / "standard")
    after = raw.with_dictionary(AT, WRITTEN / "standard")
    found = [
        model.on(fruit).patch(f"{site}.F9").measure().estimate
        for model, site in ((before, "L2.RESID_PRE"), (after, AT))
    ]
    assert found[0] == pytest.approx(found[1], abs=1e-6)


def test_no_dictionary_is_there_twice(raw: Model, fruit: PromptPairs) -> None:
    """Models that share it share its tensors, and so does what is done at its features."""
    model = raw.with_dictionary(AT, WRITTEN / "standard")
    ours = model._loaded.dictionaries[0].dictionary
    model.on(fruit).patch(f"{AT}.F3").measure()
    assert model._loaded.answers.engine.attached.of(1, "RESID_POST.F").encoder.data_ptr() == ours.encoder.data_ptr()
    written = load_file(WRITTEN / "standard" / "sae_weights.safetensors")
    assert torch.equal(ours.encoder, written["W_enc"])
