"""The wrapped model says what the untouched one says, at every length that is used, or is refused with both numbers."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from transformers import (
    AutoModelForCausalLM,
    FalconConfig,
    GPT2Config,
    GPTNeoConfig,
    LlamaConfig,
    MistralConfig,
    Phi3Config,
    PreTrainedConfig,
)

from circuitcheck import Model, ModelError, PromptPairs, load
from circuitcheck.settings import Settings
from tests.architectures import ARCHITECTURES, saved
from tests.conftest import each

_SMALL = {"vocab_size": 850, "hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 4}
_LLAMA = {**_SMALL, "intermediate_size": 48, "num_key_value_heads": 2, "max_position_embeddings": 64}
_GPT2 = {"vocab_size": 850, "n_embd": 32, "n_layer": 3, "n_head": 4, "n_positions": 64}


def long_rope(long: float) -> PreTrainedConfig:
    rope = {"rope_type": "longrope", "rope_theta": 10000.0, "original_max_position_embeddings": 8}
    factors = {"short_factor": [1.0] * 4, "long_factor": [long, long + 1, long + 2, long + 3]}
    special = {"pad_token_id": None, "bos_token_id": 0, "eos_token_id": 0}
    return Phi3Config(**_LLAMA, **special, original_max_position_embeddings=8, rope_parameters=rope | factors)


def rotary(kind: str, **more: Any) -> PreTrainedConfig:
    rope = {"rope_type": kind, "rope_theta": 10000.0, "factor": 4.0, **more}
    return LlamaConfig(**{**_LLAMA, "max_position_embeddings": 8 if kind == "dynamic" else 64}, rope_parameters=rope)


CONFIGURATIONS: dict[str, PreTrainedConfig] = {
    "attention without its scale": GPT2Config(**_GPT2, scale_attn_weights=False),
    "attention scaled by layer": GPT2Config(**_GPT2, scale_attn_by_inverse_layer_idx=True),
    "local attention": GPTNeoConfig(
        vocab_size=850,
        hidden_size=32,
        num_layers=2,
        num_heads=4,
        attention_types=[[["global", "local"], 1]],
        window_size=4,
        max_position_embeddings=64,
    ),
    "alibi": FalconConfig(**_SMALL, alibi=True, new_decoder_architecture=False),
    "a narrow window": MistralConfig(**_LLAMA, sliding_window=3),
    "longrope": long_rope(3.0),
    "dynamic frequencies": rotary("dynamic"),
    "yarn": rotary("yarn", original_max_position_embeddings=16),
    "frequencies by parts": rotary(
        "llama3", low_freq_factor=1.0, high_freq_factor=4.0, original_max_position_embeddings=16
    ),
}


def prompts(length: int, changed: int) -> PromptPairs:
    generator = torch.Generator().manual_seed(5)
    rows = []
    for _ in range(4):
        clean = torch.randint(5, 840, (length,), generator=generator).tolist()
        corrupt = [token if place != changed else (token + 7) % 840 for place, token in enumerate(clean)]
        rows.append({"clean": clean, "corrupt": corrupt, "answer": 7, "foil": 9})
    return PromptPairs.from_rows(rows)


def plain_gap(folder: Path, pairs: PromptPairs) -> float:
    network = AutoModelForCausalLM.from_pretrained(folder).eval()
    gaps = []
    for row in pairs.rows:
        with torch.no_grad():
            clean, corrupt = (
                network(torch.tensor([side.ids]), use_cache=False).logits[0, -1].double()
                for side in (row.clean, row.corrupt)
            )
        gaps.append(float((clean[7] - clean[9]) - (corrupt[7] - corrupt[9])))
    return sum(gaps) / len(gaps)


@pytest.mark.parametrize("name", each([*CONFIGURATIONS, "GPT-2", "Llama", "Gemma 2"], ("longrope", "yarn", "GPT-2")))
def test_a_gap_is_the_untouched_models_or_the_model_is_refused_with_both_numbers(name: str, tmp_path: Path) -> None:
    folder = saved(tmp_path, CONFIGURATIONS.get(name) or ARCHITECTURES[name], scale=0.25)
    try:
        model = load(folder, weights="raw")
    except ModelError as error:
        refusal = str(error).replace("\n", " ")
        assert "transformers' own" in refusal
        assert " and " in refusal.partition("(")[2]
        assert name in ("attention without its scale", "attention scaled by layer", "local attention", "alibi")
        return
    for length in (14, 6, 40):
        pairs = prompts(length, length - 3)
        assert model.on(pairs).gap.measure().estimate == pytest.approx(plain_gap(folder, pairs), abs=1e-4), length


def test_attention_without_its_scale_is_refused(tmp_path: Path) -> None:
    folder = saved(tmp_path, CONFIGURATIONS["attention without its scale"], scale=0.25)
    for weights in ("raw", "processed"):
        with pytest.raises(
            ModelError, match=r"other logits than transformers' own: on 6 tokens .* differ by up to [\d.]+"
        ):
            load(folder, weights=weights)


def test_half_precision_rounds_more_and_is_no_other_model(tmp_path: Path) -> None:
    for name in ("Llama", "GPT-2"):
        load(saved(tmp_path / name, ARCHITECTURES[name], scale=0.25), weights="raw", dtype="bfloat16")


def test_a_base_run_that_was_seen_once_is_not_seen_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from circuitcheck.models.untouched import Untouched
    from circuitcheck.records.store import Store

    folder, seen = saved(tmp_path, ARCHITECTURES["Llama"]), []
    says = Untouched.says
    monkeypatch.setattr(Untouched, "says", lambda self, tokens: seen.append(tokens.shape[1]) or says(self, tokens))
    for _ in range(2):
        load(folder, store=Store(tmp_path / "evidence.sqlite"))
        assert seen == [6, 40], "what folding is compared with was said before it"


@pytest.mark.parametrize("name", each(["longrope", "dynamic frequencies", "yarn", "a narrow window"], ("longrope",)))
def test_the_same_question_has_the_same_answer_after_one_about_short_prompts(name: str, tmp_path: Path) -> None:
    folder = saved(tmp_path, CONFIGURATIONS[name], scale=0.25)
    short, long = prompts(6, 3), prompts(20, 2)
    found = []
    for before in ([], [short], [long, short]):
        model = load(folder, weights="raw", settings=Settings(floor_logits=0.0))
        for pairs in before:
            model.on(pairs).patch("L1.RESID_PRE@-2").raw.measure()
        run = model.on(long)
        found.append([one.raw.measure().per_pair for one in (run.patch("L1.RESID_PRE@-2"), run.patch("L1.H1"))])
        assert run.gap.measure().estimate == pytest.approx(plain_gap(folder, long), abs=1e-4)
    for other in found[1:]:
        for one, first in zip(other, found[0], strict=True):
            assert one == pytest.approx(first, abs=1e-4)


def test_frequencies_that_depend_on_the_length_mean_plain_runs(tmp_path: Path) -> None:
    for name, plain in (("longrope", True), ("dynamic frequencies", True), ("yarn", False)):
        model = load(saved(tmp_path / name, CONFIGURATIONS[name]), weights="raw")
        assert ("depend on how long a run is" in model._loaded.answers.describe()) == plain


def test_a_longer_prompt_than_any_that_was_checked_is_checked_again(
    bundled: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = load("bundled")
    trust, checked = model._loaded.answers.engine.trust, []
    disagreement = type(trust)._disagreement

    def counted(self: Any, cone: Any, whole: Any, part: Any) -> str:
        checked.append(whole.chunk.length)
        return disagreement(self, cone, whole, part)

    monkeypatch.setattr(type(trust), "_disagreement", counted)
    for length in (10, 8, 16, 12):
        model.on(prompts(length, 5)).patch("L1.H1@-2").raw.measure()
    assert set(checked) == {10, 16}


FIELDS: list[tuple[str, Any]] = [
    ("use_attn_scale", False),
    ("use_local_attn", True),
    ("attn_types", ["local", "global"]),
    ("window_size", 4),
    ("use_qk_norm", True),
    ("scale_attn_by_inverse_layer_idx", True),
    ("post_embedding_ln", True),
    ("parallel_attn_mlp", True),
    ("num_experts", 4),
    ("use_normalization_before_and_after", True),
    ("use_NTK_by_parts_rope", True),
    ("rmsnorm_uses_offset", True),
]


def native(folder: Path, **more: Any) -> Path:
    """A random native model."""
    from transformer_lens.config import TransformerBridgeConfig
    from transformer_lens.model_bridge import TransformerBridge

    said = {"d_model": 32, "d_head": 8, "n_heads": 4, "n_layers": 2, "n_ctx": 32, "d_vocab": 30, "d_mlp": 16}
    said |= {"act_fn": "gelu"}
    config = TransformerBridgeConfig(**said, architecture="TransformerLensNative", seed=0)  # type: ignore[arg-type]
    state = TransformerBridge.boot_native(config).state_dict()
    save_file({name: tensor.clone().contiguous() for name, tensor in state.items()}, folder / "model.safetensors")
    (folder / "model.config.json").write_text(json.dumps(said | more))
    return folder / "model.safetensors"


def test_a_native_model_is_what_its_configuration_says(tmp_path: Path) -> None:
    assert load(native(tmp_path, seed=3, normalization_type="LN", use_attn_scale=True)).anatomy.n_layers == 2


@pytest.mark.parametrize(("field", "value"), FIELDS)
def test_a_field_that_a_native_network_does_not_do_is_refused_by_name(field: str, value: Any, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=rf"{field}=.*native network does not do"):
        load(native(tmp_path, **{field: value}))


def test_a_native_file_that_lacks_a_weight_or_has_one_too_many_is_refused(tmp_path: Path) -> None:
    from safetensors.torch import load_file

    path = native(tmp_path)
    whole = load_file(path)
    name = sorted(whole)[3]
    save_file({key: tensor for key, tensor in whole.items() if key != name}, path)
    with pytest.raises(ModelError, match="Missing key"):
        load(path)
    save_file(whole | {"blocks.7.attn.q.weight": whole[name].clone()}, path)
    with pytest.raises(ModelError, match="Unexpected key"):
        load(path)


@pytest.mark.parametrize("name", each(ARCHITECTURES, ("GPT-2", "Llama")))
def test_folding_copies_no_weights_and_gives_what_transformer_lens_gives(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    folder = saved(tmp_path / "model", ARCHITECTURES[name])
    plain = load(folder, weights="raw").bridge
    size, copied = sum(parameter.numel() for parameter in plain.parameters()), [0]
    plain.enable_compatibility_mode(disable_warnings=True)
    clone = torch.Tensor.clone

    def counting(self: torch.Tensor, **given: Any) -> torch.Tensor:
        copied[0] += self.numel()
        return clone(self, **given)

    monkeypatch.setattr(torch.Tensor, "clone", counting)
    model = load(folder)
    monkeypatch.undo()
    ours, theirs = model.bridge.state_dict(), plain.state_dict()
    assert ours.keys() == theirs.keys()
    for key, weight in theirs.items():
        assert type(ours[key]) is type(weight), key
        assert torch.equal(ours[key], weight), key
    unembedding = plain.W_U.numel()
    assert copied[0] < 2 * unembedding + size / 4, "the unembedding is taken apart from the embedding, and no more"
