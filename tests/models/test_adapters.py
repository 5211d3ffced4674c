"""Adapters, merged: what PEFT's own unmerged model says, and a circuit that one breaks is caught by the lock."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, PeftModel, PrefixTuningConfig, get_peft_model
from transformers import AutoModelForCausalLM, AutoTokenizer

from circuitcheck import ModelError, PromptPairs, contrast, load
from circuitcheck.bundled import PATH
from tests.architectures import ARCHITECTURES, saved
from tests.conftest import Claims

# PEFT's own use of transformers.
pytestmark = [
    pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated:FutureWarning"),
    pytest.mark.filterwarnings("ignore:Setting .save_embedding_layers. to:UserWarning"),
    pytest.mark.filterwarnings("ignore:Model has .tie_word_embeddings=True:UserWarning"),
]
TEXT = PromptPairs(
    "I saw the {x} tree and picked", x=contrast(clean=["apple"], corrupt=["lemon"]), answer=" an", foil=" a"
)


def adapted(folder: Path, base: Path, config: Any, steps: int = 0) -> Path:
    """An adapter with random weights, or trained for a few steps to say ' a' before vowels."""
    torch.manual_seed(0)
    network = get_peft_model(AutoModelForCausalLM.from_pretrained(base), config)
    trained = [parameter for parameter in network.parameters() if parameter.requires_grad]
    with torch.no_grad():
        for parameter in trained:
            parameter.normal_(std=0.05)
    tokenizer = AutoTokenizer.from_pretrained(PATH)
    words = ("apple", "orange", "olive")
    tokens = tokenizer([f"I saw the {word} tree and picked" for word in words], return_tensors="pt")["input_ids"]
    wanted = torch.full((3,), tokenizer.encode(" a", add_special_tokens=False)[0])
    optimizer = torch.optim.Adam(trained, lr=0.02)
    for _ in range(steps):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(network(tokens).logits[:, -1], wanted).backward()
        optimizer.step()
    network.save_pretrained(folder)
    return folder


def lora(**more: Any) -> LoraConfig:
    return LoraConfig(r=4, task_type="CAUSAL_LM", **{"target_modules": ["c_proj"], "fan_in_fan_out": True, **more})


@pytest.fixture(scope="module")
def adapter(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return adapted(tmp_path_factory.mktemp("adapters") / "checkpoint-30", PATH, lora(), steps=30)


def test_a_merged_adapter_says_what_it_says_unmerged(adapter: Path) -> None:
    model = load("bundled", adapter=adapter)
    assert (model.name, model.step) == ("bundled+checkpoint-30", 30)
    assert model.fingerprint != load("bundled").fingerprint
    network = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(PATH), adapter).eval()
    tokenizer = AutoTokenizer.from_pretrained(PATH)
    texts = [f"I saw the {word} tree and picked" for word in ("apple", "lemon")]
    ids = torch.tensor([[tokenizer.bos_token_id, *tokenizer.encode(text, add_special_tokens=False)] for text in texts])
    an, a = (tokenizer.encode(word, add_special_tokens=False)[0] for word in (" an", " a"))
    with torch.no_grad():
        logits = network(ids).logits[:, -1].double()
    gap = float((logits[0, an] - logits[0, a]) - (logits[1, an] - logits[1, a]))
    assert model.on(TEXT).gap.measure().estimate == pytest.approx(gap, abs=1e-3)


def edited(**fields: Any) -> Callable[[Path], Path]:
    def edit(folder: Path) -> Path:
        path = folder / "adapter_config.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | fields))
        return folder

    return edit


def pickled(folder: Path) -> Path:
    (folder / "adapter_model.safetensors").rename(folder / "adapter_model.bin")
    return folder


def emptied(folder: Path) -> Path:
    (folder / "adapter_config.json").unlink()
    return folder


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (emptied, "is no adapter's folder: it has no adapter_config.json"),
        (pickled, "has no adapter_model.safetensors: its weights are a pickle"),
        (edited(r=8), "is of another model than this: it was trained on"),
        (edited(target_modules=["no_such_module"]), "is of another model than this: it was trained on"),
        (edited(target_modules=["c_attn", "c_proj"]), "is of another model than this: .*no place for"),
    ],
)
def test_what_cannot_be_merged_is_a_sentence(
    adapter: Path, tmp_path: Path, damage: Callable[[Path], Path], told: str
) -> None:
    folder = damage(Path(shutil.copytree(adapter, tmp_path / "damaged")))
    with pytest.raises(ModelError, match=f"adapter=.*damaged {told}"):
        load("bundled", adapter=folder)


def test_an_adapter_of_another_base_and_one_that_is_no_change_of_weights_are_told(
    adapter: Path, tmp_path: Path
) -> None:
    other = saved(tmp_path / "gpt2", ARCHITECTURES["GPT-2"])
    with pytest.raises(ModelError, match="is of another model than this: it was trained on .*model"):
        load(other, adapter=adapter)
    prefix = adapted(tmp_path / "prefix", PATH, PrefixTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=2))
    with pytest.raises(ModelError, match=r"is of a kind \(PREFIX_TUNING\) that cannot be merged into weights"):
        load("bundled", adapter=prefix)
    with pytest.raises(ModelError, match="an adapter is of a model in a Hugging Face folder"):
        load(load("bundled").bridge, adapter=adapter)


def test_an_adapter_of_a_tied_unembedding_is_refused(tmp_path: Path) -> None:
    config = lora(target_modules=["lm_head"], fan_in_fan_out=False)
    folder = adapted(tmp_path / "tied", PATH, config)
    with pytest.raises(ModelError, match="says something else once it is merged"):
        load("bundled", adapter=folder)


SUITE = """
def test_one_neuron_restores_the_article(model):
    "L1.N8 restores the article."
    assert model.on(FRUIT).patch("L1.N8") > 0.3

def test_articles(model):
    "The model knows its articles."
    assert model.on(FRUIT).accuracy > 0.9
"""


def test_a_circuit_that_a_fine_tune_breaks_is_caught_by_the_lock(claims: Claims, adapter: Path) -> None:
    claims(SUITE, "--circuit-lock=update").assert_outcomes(passed=2)
    result = claims(SUITE, "--circuit-lock=check", model=f"bundled,adapter={adapter}")
    assert result.ret == 1
    result.stdout.fnmatch_lines(["*bundled+checkpoint-30*", "*lock: *finding* against circuitcheck.lock*"])


def test_without_peft_that_is_said(adapter: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "peft", None)
    with pytest.raises(ModelError, match=r"pip install 'circuitcheck\[peft\]'"):
        load("bundled", adapter=adapter)
