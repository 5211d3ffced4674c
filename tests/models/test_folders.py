"""Folders as they are found: what plain transformers says of the same files, or in a sentence why not."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoTokenizer

from circuitcheck import ModelError, PromptError, PromptPairs, contrast, load
from circuitcheck.bundled import PATH
from tests.architectures import ARCHITECTURES, saved
from tests.conftest import each
from tests.models.test_base_run import plain_gap, prompts

Damage = Callable[[Path], object]
TEXT = PromptPairs(
    "I saw the {x} tree and picked", x=contrast(clean=["apple"], corrupt=["lemon"]), answer=" an", foil=" a"
)
IDS = prompts(7, 3)


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return saved(tmp_path_factory.mktemp("llama"), ARCHITECTURES["Llama"], scale=0.25)


@pytest.fixture(scope="module")
def gap(llama: Path) -> float:
    return plain_gap(llama, IDS)


def edited(file: str, **fields: object) -> Damage:
    def edit(folder: Path) -> None:
        path = folder / file
        said = json.loads(path.read_text()) if path.exists() else {}
        path.write_text(json.dumps(said | fields))

    return edit


def without(*names: str) -> Damage:
    return lambda folder: [(folder / name).unlink() for name in names]


def text(file: str, content: str) -> Damage:
    return lambda folder: (folder / file).write_text(content)


def both(*damages: Damage) -> Damage:
    return lambda folder: [damage(folder) for damage in damages]


def code(file: str, **more: object) -> Damage:
    return edited(file, auto_map={"AutoConfig": "own.Config", "AutoModelForCausalLM": "own.Model"}, **more)


@pytest.fixture
def damaged(llama: Path, tmp_path: Path) -> Callable[[Damage], Path]:
    def make(damage: Damage) -> Path:
        folder = tmp_path / "folder"
        shutil.copytree(llama, folder)
        damage(folder)
        return folder

    return make


# Which still say all that the folder says without them.
HARMLESS: dict[str, Damage] = {
    **{
        f"{field}={value}": edited("config.json", **{field: value})
        for field in ("_attn_implementation", "attn_implementation")
        for value in ("flash_attention_2", "sdpa", "eager", "flex_attention", "kernels-community/flash-attn", "my_own")
    },
    "native, with code beside it": both(code("config.json"), text("own.py", "raise SystemExit")),
    "a tokenizer's code beside its files": edited(
        "tokenizer_config.json", auto_map={"AutoTokenizer": ["own.Words", None]}
    ),
    "a dtype": edited("config.json", dtype="bfloat16"),
    "no tokenizer_config": without("tokenizer_config.json"),
    "a chat template that is none": text("chat_template.jinja", "{% broken"),
    "a quantiser that nobody knows": edited("config.json", quantization_config={"quant_method": "mystery"}),
}


@pytest.mark.parametrize("damage", each(HARMLESS, ("_attn_implementation=flash_attention_2",)))
def test_a_folder_says_what_plain_transformers_says(damage: str, damaged: Callable[[Damage], Path], gap: float) -> None:
    model = load(damaged(HARMLESS[damage]), weights="raw")
    assert model.on(IDS).gap.measure().estimate == pytest.approx(gap, abs=1e-5)
    assert model.on(TEXT).gap.measure()


WITHOUT_TOKENIZER: dict[str, Damage] = {
    "no files": without("tokenizer.json", "tokenizer_config.json"),
    "a configuration alone": without("tokenizer.json"),
    "a broken file": text("tokenizer.json", "{"),
    "a broken configuration": text("tokenizer_config.json", "{"),
    "another class": edited("tokenizer_config.json", tokenizer_class="TheirTokenizer"),
    "another class, without files": both(
        edited("tokenizer_config.json", tokenizer_class="TheirTokenizer"), without("tokenizer.json")
    ),
    "another class, with code": edited(
        "tokenizer_config.json", tokenizer_class="TheirTokenizer", auto_map={"AutoTokenizer": ["own.Words", None]}
    ),
}
TEXTS: dict[str, Callable[[Any], object]] = {
    "a template": lambda model: model.on(TEXT).gap.measure(),
    "a row": lambda model: model.on(
        PromptPairs.from_rows([{"clean": "a b", "corrupt": "a c", "answer": "b", "foil": "c"}])
    ).gap.measure(),
    "a token of a congruence": lambda model: model.congruence("L0.N0", " an").value > 0,
    "a token of an activation": lambda model: model.activation("L0.N0", predicts=" an", on=["I saw"]).auc > 0.5,
    "texts of an activation": lambda model: model.activation("L0.N0", predicts=7, on=["I saw"]).auc > 0.5,
    "an answer after token ids": lambda model: model.on(
        PromptPairs.from_rows([{"clean": [5, 6], "corrupt": [5, 7], "answer": " an", "foil": " a"}])
    ).gap.measure(),
}


@pytest.mark.parametrize("damage", each(WITHOUT_TOKENIZER, ("no files", "another class")))
def test_without_a_tokenizer_prompts_are_token_ids(damage: str, damaged: Callable[[Damage], Path], gap: float) -> None:
    model = load(damaged(WITHOUT_TOKENIZER[damage]), weights="raw")
    assert model.bos is None
    assert model.on(IDS).gap.measure().estimate == pytest.approx(gap, abs=1e-5)
    assert model.on(IDS).ablate("L1.H1", "mean").raw.measure()
    for what, ask in TEXTS.items():
        with pytest.raises(PromptError, match="no tokenizer|is text, but the prompt is token ids"):
            pytest.fail(f"{what}: {ask(model)}")


def test_an_empty_tokenizer_that_transformers_makes_up_is_none(tmp_path: Path) -> None:
    folder = saved(tmp_path, ARCHITECTURES["GPT-2"])
    without("tokenizer.json", "tokenizer_config.json")(folder)
    assert len(AutoTokenizer.from_pretrained(folder)) < 5
    assert load(folder).bridge.tokenizer is None


def with_added_tokens(folder: Path) -> None:
    words = AutoTokenizer.from_pretrained(folder)
    words.add_tokens(["zebra", " zebra"])
    words.add_special_tokens({"additional_special_tokens": ["<x>"]})
    words.save_pretrained(folder)


def test_added_tokens_that_the_model_has_no_embedding_of_are_told_where_they_are_used(
    damaged: Callable[[Damage], Path], gap: float
) -> None:
    model = load(damaged(with_added_tokens), weights="raw")
    assert model.on(IDS).gap.measure().estimate == pytest.approx(gap, abs=1e-5)
    assert model.on(TEXT).gap.measure()
    row = {"clean": "I saw the apple", "corrupt": "I saw the lemon", "answer": " an", "foil": " a"}
    for changes in (
        {"clean": "I saw the zebra"},
        {"clean": "<x>I saw the apple"},
        {"answer": " zebra"},
        {"foil": "<x>"},
    ):
        with pytest.raises(PromptError, match="not in the vocabulary"):
            model.on(PromptPairs.from_rows([row | changes])).gap.measure()
    for ask in (
        lambda: model.congruence("L0.N0", "zebra").value > 0,
        lambda: model.congruence("L0.N0", 851).value > 0,
        lambda: model.activation("L0.N0", predicts="zebra", on=["I saw"]).auc > 0.5,
        lambda: model.activation("L0.N0", predicts=" an", on=["I saw the zebra"]).auc > 0.5,
        lambda: model.on(
            PromptPairs.from_rows([{"clean": [5, 851], "corrupt": [5, 6], "answer": 7, "foil": 9}])
        ).gap.measure(),
    ):
        with pytest.raises(PromptError, match="vocabulary"):
            ask()


REFUSED: dict[str, tuple[Damage, str]] = {
    "its own code": (
        code("config.json", model_type="own", architectures=["Own"]),
        "auto_map.*never run.*'own' is none of these",
    ),
    "no model type, and code": (code("config.json", model_type=None, architectures=["Own"]), "auto_map.*never run"),
    "an unknown architecture": (edited("config.json", model_type="own", architectures=["Own"]), "model type `own`"),
    "no configuration": (text("config.json", "{"), "is no configuration: it is not a JSON object"),
    "a list for a configuration": (text("config.json", "[]"), "is no configuration: it is not a JSON object"),
    **{
        f"quantised by {method}": (
            edited("config.json", quantization_config={"quant_method": method, **fields}),
            rf"is quantised \({method}\), and transformers cannot load that here \(.*\): take the model as it was before",
        )
        for method, fields in {
            "gptq": {"bits": 4, "group_size": 32},
            "awq": {"bits": 4, "group_size": 32, "version": "gemm"},
            "bitsandbytes": {"load_in_4bit": True},
        }.items()
    },
}


@pytest.mark.parametrize("damage", each(REFUSED, ("its own code", "quantised by gptq")))
def test_a_folder_that_cannot_be_loaded_says_why(damage: str, damaged: Callable[[Damage], Path]) -> None:
    make, words = REFUSED[damage]
    with pytest.raises(ModelError, match=f"(?s){words}") as refused:
        load(damaged(make), weights="raw")
    assert "trust_remote_code" not in str(refused.value)


@pytest.mark.slow
@pytest.mark.parametrize("weights", ["raw", "processed"])
def test_the_language_model_of_a_vision_language_folder_says_what_the_folder_says(weights: Any, tmp_path: Path) -> None:
    """And Apertus, whose TransformerLens adapter prepares transformers before it loads."""
    from transformers import (
        ApertusConfig,
        AutoModelForImageTextToText,
        Gemma3Config,
        Gemma3TextConfig,
        SiglipVisionConfig,
    )

    small: dict[str, Any] = {"vocab_size": 850, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4}
    small |= {"num_key_value_heads": 2, "intermediate_size": 48, "max_position_embeddings": 64}
    vision = SiglipVisionConfig(
        hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2, image_size=16, patch_size=8
    )
    words = Gemma3TextConfig(**small, head_dim=8, sliding_window=4)
    both_kinds = Gemma3Config(
        text_config=words.to_dict(), vision_config=vision.to_dict(), image_token_index=840, mm_tokens_per_image=1
    )
    network = AutoModelForImageTextToText.from_config(both_kinds).eval()
    network.save_pretrained(tmp_path / "gemma3")
    AutoTokenizer.from_pretrained(PATH).save_pretrained(tmp_path / "gemma3")
    wanted = []
    for row in IDS.rows:
        with torch.no_grad():
            clean, corrupt = (
                network(torch.tensor([side.ids])).logits[0, -1].double() for side in (row.clean, row.corrupt)
            )
        wanted.append(float((clean[7] - clean[9]) - (corrupt[7] - corrupt[9])))
    found = load(tmp_path / "gemma3", weights=weights).on(IDS).gap.measure().estimate
    assert found == pytest.approx(sum(wanted) / len(wanted), abs=1e-5)
    apertus = saved(tmp_path / "apertus", ApertusConfig(**small), scale=0.25)
    assert load(apertus, weights=weights).on(IDS).gap.measure().estimate == pytest.approx(
        plain_gap(apertus, IDS), abs=1e-4
    )
