"""Loading models that read pictures: what their folder must say, and what is done with it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch

from circuitcheck import ModelError, load
from circuitcheck.bundled import IMAGE_MODEL
from circuitcheck.prompts.images.aligning import AlignedPicture

if TYPE_CHECKING:
    from circuitcheck import ImagePairs, Model


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return Path(shutil.copytree(IMAGE_MODEL, tmp_path / "fruit"))


def said(folder: Path, file: str, **changes: Any) -> Path:
    path = folder / file
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    return folder


def test_what_is_loaded_is_raw_and_compared_with_the_untouched_model(seeing: Model) -> None:
    described = seeing._loaded.describe()

    assert described["weights"] == "raw"
    assert described["base_run"] == "the untouched model's"
    assert described["engine"].startswith("plain hooked runs of the whole model")
    assert seeing.anatomy.layers[0].n_heads == 4
    assert seeing.anatomy.layers[0].d_mlp == 128


def test_pixels_are_normalised_as_the_folder_says(folder: Path, seeing: Model, lemons: ImagePairs) -> None:
    mean, std = [0.4, 0.5, 0.6], [0.2, 0.25, 0.3]
    model = load(said(folder, "preprocessor_config.json", image_mean=mean, image_std=std))
    pair = seeing.on(lemons)._setup.sample.pairs[0]
    assert isinstance(pair, AlignedPicture)
    pixels = (torch.tensor(pair.pixels("clean")) - torch.tensor(mean)) / torch.tensor(std)

    found = model.bridge(torch.tensor([pair.clean]))[0, 0]

    with torch.no_grad():
        wanted = seeing.bridge.original_model(pixel_values=pixels.permute(2, 0, 1)[None]).logits[0]
    torch.testing.assert_close(found.detach(), wanted, atol=1e-5, rtol=0)
    assert model.fingerprint != seeing.fingerprint


def test_a_folder_that_does_not_say_how_pixels_are_normalised_is_refused(folder: Path) -> None:
    (folder / "preprocessor_config.json").unlink()
    with pytest.raises(
        ModelError, match=r"does not say how pixels are normalised: preprocessor_config\.json is missing"
    ):
        load(folder)


def test_classes_of_one_name_are_refused(folder: Path) -> None:
    names = {str(number): "fruit" for number in range(6)}
    with pytest.raises(ModelError, match="several classes of one name"):
        load(said(folder, "config.json", id2label=names))


def test_a_model_without_a_class_head_is_refused(tmp_path: Path) -> None:
    from transformers import ViTModel

    ViTModel.from_pretrained(IMAGE_MODEL).save_pretrained(tmp_path)
    shutil.copy(IMAGE_MODEL / "preprocessor_config.json", tmp_path)
    with pytest.raises(ModelError, match="ViTModel, which has no head of classes"):
        load(tmp_path)


def test_a_model_with_other_tokens_beside_its_patches_is_refused(tmp_path: Path) -> None:
    from transformers import DeiTConfig, DeiTForImageClassification

    sizes = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 4, "image_size": 16, "patch_size": 8}
    DeiTForImageClassification(DeiTConfig(**sizes, intermediate_size=32, num_labels=3)).save_pretrained(tmp_path)
    shutil.copy(IMAGE_MODEL / "preprocessor_config.json", tmp_path)
    with pytest.raises(
        ModelError, match="DeiTForImageClassification: of models that read pictures ViTForImageClassification"
    ):
        load(tmp_path)


def test_a_bridge_of_somebodys_is_refused(seeing: Model) -> None:
    from transformer_lens.model_bridge.sources import build_bridge_from_module
    from transformers import ViTForImageClassification

    network = ViTForImageClassification.from_pretrained(IMAGE_MODEL)
    bridge = build_bridge_from_module(
        network, "ViTForImageClassification", hf_config=network.config, model_name="somebody's"
    )
    with pytest.raises(ModelError, match="how it normalises them its folder says: load that, not a bridge"):
        load(bridge)


def test_a_changed_weight_is_noticed(folder: Path, lemons: ImagePairs) -> None:
    model = load(folder)
    before = model.on(lemons).gap.measure().estimate
    with torch.no_grad():
        model.bridge.original_model.classifier.weight[2] = 0

    assert model.on(lemons).gap.measure().estimate != pytest.approx(before, rel=0.01)
