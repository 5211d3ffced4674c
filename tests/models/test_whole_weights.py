"""Every weight of a model comes from its files, and every weight of the files has its place; nothing is drawn in silence."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoTokenizer, GPT2Config, GPT2Model, LlamaConfig, LlamaForSequenceClassification

from circuitcheck import ModelError, PromptPairs, load
from circuitcheck.bundled import PATH
from tests.architectures import ARCHITECTURES, saved

Weights = dict[str, torch.Tensor]
_LLAMA = ARCHITECTURES["Llama"].to_dict()
ROWS = PromptPairs.from_rows(
    [
        {"clean": [5, 9, 30, 12, first], "corrupt": [5, 9, 41, 12, first], "answer": 7, "foil": 9}
        for first in (20, 21, 22)
    ]
)


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return saved(tmp_path_factory.mktemp("llama"), ARCHITECTURES["Llama"], scale=0.25)


@pytest.fixture
def edited(llama: Path, tmp_path: Path) -> Callable[..., Path]:
    """The Llama folder with other weights, or another configuration."""

    def make(edit: Callable[[Weights], Weights] = lambda weights: weights, **changes: object) -> Path:
        folder = tmp_path / "edited"
        shutil.copytree(llama, folder)
        weights = {name: tensor.clone() for name, tensor in edit(load_file(folder / "model.safetensors")).items()}
        save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
        config = json.loads((folder / "config.json").read_text()) | changes
        (folder / "config.json").write_text(json.dumps(config))
        return folder

    return make


def gap(folder: Path) -> float:
    return load(folder, weights="raw").on(ROWS).gap.measure().estimate


def without(*names: str) -> Callable[[Weights], Weights]:
    return lambda weights: {name: tensor for name, tensor in weights.items() if not any(one in name for one in names)}


def renamed(before: str, after: str) -> Callable[[Weights], Weights]:
    return lambda weights: {name.replace(before, after): tensor for name, tensor in weights.items()}


LACKING: dict[str, tuple[Callable[[Weights], Weights], str]] = {
    "the unembedding": (without("lm_head"), r"lm_head\.weight"),
    "a norm": (without("model.norm"), r"model\.norm\.weight"),
    "a layer": (without("layers.2."), r"model\.layers\.2\.input_layernorm.*and 5 more"),
    "one matrix": (without("layers.1.mlp.up_proj"), r"model\.layers\.1\.mlp\.up_proj\.weight"),
    "the embedding": (without("embed_tokens"), r"model\.embed_tokens\.weight"),
}


@pytest.mark.parametrize("what", LACKING)
def test_weights_that_the_files_lack_are_named(what: str, edited: Callable[..., Path]) -> None:
    edit, names = LACKING[what]
    with pytest.raises(ModelError, match=rf"lacks .*drawn at random \({names}"):
        load(edited(edit), weights="raw")


def test_a_configuration_of_more_or_fewer_layers_than_the_file_is_refused(edited: Callable[..., Path]) -> None:
    with pytest.raises(ModelError, match=r"lacks 9 .*model\.layers\.3\."):
        load(edited(num_hidden_layers=4), weights="raw")


def test_layers_that_the_configuration_does_not_know_are_refused(edited: Callable[..., Path]) -> None:
    with pytest.raises(ModelError, match=r"holds 9 that have no place in the model \(model\.layers\.2\."):
        load(edited(num_hidden_layers=2), weights="raw")


def with_adapter(weights: Weights) -> Weights:
    query = weights.pop("model.layers.1.self_attn.q_proj.weight")
    name = "model.layers.1.self_attn.q_proj"
    return weights | {
        f"{name}.base_layer.weight": query,
        f"{name}.lora_A.default.weight": torch.zeros(4, 32),
        f"{name}.lora_B.default.weight": torch.zeros(32, 4),
    }


MISNAMED: dict[str, tuple[Callable[[Weights], Weights], str]] = {
    "an adapter that was not merged": (with_adapter, "merge_and_unload"),
    "a compiled model": (lambda weights: {f"_orig_mod.{name}": one for name, one in weights.items()}, "compiled"),
    "a compiled block": (renamed("layers.1.mlp", "layers.1.mlp._orig_mod"), "compiled"),
    "a wrapped model": (lambda weights: {f"module.{name}": one for name, one in weights.items()}, "wrapped"),
    "another head": (lambda weights: weights | {"score.weight": torch.zeros(2, 32)}, "another head"),
    "another name": (renamed("layers.1.mlp.up_proj", "layers.1.mlp.up"), "different models"),
}


@pytest.mark.parametrize("what", MISNAMED)
def test_names_that_are_not_the_models_are_refused_with_what_they_look_like(
    what: str, edited: Callable[..., Path]
) -> None:
    edit, words = MISNAMED[what]
    with pytest.raises(ModelError, match=words):
        load(edited(edit), weights="raw")


def test_a_model_with_another_head_is_no_language_model(tmp_path: Path) -> None:
    LlamaForSequenceClassification(LlamaConfig(**_LLAMA)).save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text()) | {"architectures": ["LlamaForCausalLM"]}
    (tmp_path / "config.json").write_text(json.dumps(config))
    AutoTokenizer.from_pretrained(PATH).save_pretrained(tmp_path)
    with pytest.raises(ModelError, match=r"lm_head\.weight.*score\.weight.*another head"):
        load(tmp_path, weights="raw")


def test_weights_of_the_network_without_its_head_are_enough_where_the_head_is_tied(tmp_path: Path) -> None:
    GPT2Model(GPT2Config(vocab_size=850, n_embd=32, n_layer=2, n_head=4, n_positions=64)).save_pretrained(tmp_path)
    AutoTokenizer.from_pretrained(PATH).save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text()) | {"architectures": ["GPT2LMHeadModel"]}
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert gap(tmp_path) == gap(tmp_path)


def test_tied_weights_may_be_in_the_file_once(edited: Callable[..., Path], llama: Path) -> None:
    folder = edited(without("lm_head"), tie_word_embeddings=True)
    assert gap(folder) == gap(folder) != gap(llama)


def test_shards_are_read_whole(llama: Path, tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM

    sharded = tmp_path / "sharded"
    AutoModelForCausalLM.from_pretrained(llama).save_pretrained(sharded, max_shard_size="40KB")
    AutoTokenizer.from_pretrained(PATH).save_pretrained(sharded)
    assert len(list(sharded.glob("model-*"))) > 1
    assert gap(sharded) == pytest.approx(gap(llama), abs=1e-6)
    shutil.copy(llama / "model.safetensors", sharded)
    with pytest.raises(ModelError, match=r"model\.safetensors and \d+ shards.*take the other out"):
        load(sharded)
    (sharded / "model.safetensors").unlink()
    shutil.copy(next(sharded.glob("model-00001*")), sharded / "model-00001-of-00009.safetensors")
    with pytest.raises(ModelError, match=r"does not name \(model-00001-of-00009\.safetensors\)"):
        load(sharded)


@pytest.mark.parametrize("installed", [True, False])
def test_an_adapter_beside_the_weights_is_refused_whether_peft_is_there_or_not(
    installed: bool, edited: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("transformers.integrations.peft.is_peft_available", lambda: installed)
    folder = edited()
    (folder / "adapter_config.json").write_text('{"peft_type": "LORA"}')
    with pytest.raises(ModelError, match="holds an adapter .*merge_and_unload"):
        load(folder)
    (folder / "adapter_config.json").unlink()
    save_file({"lora_A": torch.zeros(2, 2)}, folder / "adapter_model.safetensors")
    with pytest.raises(ModelError, match="holds an adapter"):
        load(folder)
