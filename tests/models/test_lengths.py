"""The wrapped model is compared with the untouched one in every length regime: at loading, or when prompts first need it."""

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import (
    AutoModelForCausalLM,
    GPT2Config,
    GPTNeoConfig,
    Llama4TextConfig,
    LlamaConfig,
    MistralConfig,
    MixtralConfig,
    Phi3Config,
    PreTrainedConfig,
)

from circuitcheck import Model, ModelError, PromptError, PromptPairs, load
from circuitcheck.bundled import PATH
from circuitcheck.engine.checking.real_text import real_tokens
from circuitcheck.engine.checking.regimes import limits_of, regime_of
from circuitcheck.models import base_run
from circuitcheck.models.untouched import Untouched
from tests.architectures import ARCHITECTURES, saved
from tests.conftest import each, first
from tests.models.test_base_run import long_rope, plain_gap, prompts, rotary
from tests.tokenizers_for_tests import word_level

_SMALL = {"vocab_size": 850, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4}
_LLAMA = {**_SMALL, "intermediate_size": 48, "num_key_value_heads": 2, "max_position_embeddings": 512}


def windowed(window: int) -> PreTrainedConfig:
    return MistralConfig(**_LLAMA, sliding_window=window)


@pytest.fixture
def windows_are_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bridges of networks whose windows TransformerLens passes over."""
    from transformer_lens.model_bridge import TransformerBridge

    boot = TransformerBridge.boot_transformers

    def boot_wrongly(name: str, *, hf_model: Any, **given: Any) -> Any:
        hf_model.config.sliding_window = 500
        return boot(name, hf_model=hf_model, **given)

    monkeypatch.setattr(TransformerBridge, "boot_transformers", staticmethod(boot_wrongly))


LIMITS: dict[str, tuple[PreTrainedConfig, tuple[int, ...]]] = {
    "positions": (GPT2Config(n_positions=64), (64,)),
    "a window": (MistralConfig(**_LLAMA, sliding_window=300), (300, 512)),
    "no window": (MistralConfig(**_LLAMA, sliding_window=None), (512,)),
    "a window by another name": (GPTNeoConfig(window_size=50, max_position_embeddings=512), (50, 512)),
    "chunks": (
        Llama4TextConfig(attention_chunk_size=128, floor_scale=256, max_position_embeddings=512),
        (128, 256, 512),
    ),
    "two contexts": (
        Phi3Config(
            **_LLAMA,
            pad_token_id=None,
            original_max_position_embeddings=200,
            rope_parameters={
                "rope_type": "longrope",
                "rope_theta": 1e4,
                "short_factor": [1.0] * 4,
                "long_factor": [2.0] * 4,
                "original_max_position_embeddings": 200,
            },
        ),
        (200, 512),
    ),
    "frequencies by parts": (
        rotary("llama3", low_freq_factor=1.0, high_freq_factor=4.0, original_max_position_embeddings=16),
        (16, 64),
    ),
}


@pytest.mark.parametrize("name", LIMITS)
def test_the_limits_of_a_configuration_are_known(name: str) -> None:
    config, limits = LIMITS[name]
    assert limits_of(type("Network", (), {"config": config})) == limits
    assert [regime_of(limits, limit + more) for limit in limits for more in (0, 1)] == [
        number + more for number in range(len(limits)) for more in (0, 1)
    ]


@pytest.mark.usefixtures("windows_are_ignored")
@pytest.mark.parametrize("weights", ["raw", "processed"])
def test_what_is_computed_otherwise_beyond_a_limit_is_refused_at_loading(weights: Any, tmp_path: Path) -> None:
    folder = saved(tmp_path, windowed(300), scale=0.25)
    with pytest.raises(ModelError, match="on 302 tokens of text they differ by up to"):
        load(folder, weights=weights)


@pytest.mark.usefixtures("windows_are_ignored")
@pytest.mark.parametrize("weights", ["raw", "processed"])
def test_or_when_prompts_first_need_it_where_that_takes_long(
    weights: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(base_run, "_WORK", 0)
    model = load(saved(tmp_path, windowed(50), scale=0.25), weights=weights)
    assert model.on(prompts(50, 20)).gap.measure()
    for asked in (
        lambda run: run.gap.measure(),
        lambda run: run.patch("L1.H0").measure(),
        lambda run: run.ablate("L0.MLP", "mean").measure(),
    ):
        with pytest.raises(ModelError, match="on 5[12] tokens of text they differ by up to"):
            asked(model.on(prompts(51, 20)))
    with pytest.raises(ModelError, match="on 52 tokens of text"):
        model.activation("L0.N0", predicts=" an", on=["I saw the apple tree " * 20]).auc > 0.5  # noqa: B015


@pytest.mark.slow
def test_a_regime_is_compared_once_and_remembered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from circuitcheck.records.store import Store

    monkeypatch.setattr(base_run, "_WORK", 0)
    folder, seen, says = saved(tmp_path, LIMITS["a window"][0], scale=0.25), [], Untouched.says
    monkeypatch.setattr(Untouched, "says", lambda self, tokens: seen.append(tokens.shape[1]) or says(self, tokens))
    pairs, longer = prompts(310, 40), prompts(320, 40)
    for weights, wanted in (("raw", [6, 40, 302]), ("processed", [6, 40, 40, 302])):
        for _ in range(2):
            model = load(folder, weights=weights, store=Store(tmp_path / "evidence.sqlite"))  # type: ignore[arg-type]
            for some in (pairs, longer):
                assert model.on(some).gap.measure().estimate == pytest.approx(plain_gap(folder, some), abs=1e-4)
            assert seen == wanted
        seen.clear()


def test_files_that_changed_meanwhile_are_another_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(base_run, "_WORK", 0)
    model = load(saved(tmp_path, LIMITS["a window"][0], scale=0.25))
    saved(tmp_path, LIMITS["a window"][0], scale=0.5)
    with pytest.raises(ModelError, match="is not on disk what it was when it was loaded"):
        model.on(prompts(310, 40)).gap.measure()


def test_prompts_that_the_model_itself_cannot_run_are_too_long(tmp_path: Path) -> None:
    model = load(saved(tmp_path, GPT2Config(vocab_size=850, n_embd=32, n_layer=2, n_head=4, n_positions=16)))
    with pytest.raises(
        PromptError, match=r"4 pairs longer than the 16 tokens that the model is made for, e.g. 1[78] tokens"
    ):
        model.on(prompts(18, 3)).gap.measure()


def test_a_model_that_runs_no_text_is_refused_as_a_model(tmp_path: Path) -> None:
    config = MixtralConfig(**_LLAMA, num_local_experts=2, num_experts_per_tok=4)
    with pytest.raises(
        ModelError, match="cannot run 6 tokens .*config.json says what transformers' own model cannot do"
    ):
        load(saved(tmp_path, config), weights="raw")


def test_the_untouched_network_has_the_same_tensors(tmp_path: Path) -> None:
    network = AutoModelForCausalLM.from_pretrained(saved(tmp_path, ARCHITECTURES["Llama"]))
    network.register_buffer("more", torch.zeros(3))
    copied = Untouched(network).network
    for name, tensor in (*network.named_parameters(), *network.named_buffers()):
        assert dict((*copied.named_parameters(), *copied.named_buffers()))[name] is tensor


def test_a_shorter_regime_after_a_longer_one_is_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = load(saved(tmp_path, MistralConfig(**_LLAMA, sliding_window=8), scale=0.25), weights="raw")
    trust, checked = model._loaded.answers.engine.trust, []
    disagreement = type(trust)._disagreement
    monkeypatch.setattr(
        type(trust),
        "_disagreement",
        lambda self, cone, whole, part: checked.append(whole.chunk.length) or disagreement(self, cone, whole, part),
    )
    for length, wanted in ((14, {14}), (12, {14}), (6, {14, 6}), (8, {14, 6, 8}), (7, {14, 6, 8})):
        model.on(prompts(length, 2)).patch("L1.H1@-2").raw.measure()
        assert set(checked) == wanted
    before = len(checked)
    for address in ("L1.MLP@-2", "L1.H1@-1 | L1.MLP@-1"):
        model.on(prompts(8, 2)).patch(address).raw.measure()
        before, was = len(checked), before
        assert before == was + 1


@pytest.mark.parametrize(("dtype", "folded"), first(1, [("bfloat16", 1.03), ("float16", 1.004), ("float32", 1.01)]))
def test_folding_may_move_log_probabilities_by_what_the_dtype_does_and_no_more(
    dtype: str, folded: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    from transformer_lens.model_bridge import TransformerBridge

    load("bundled", dtype=dtype)
    fold = TransformerBridge.enable_compatibility_mode

    def fold_wrongly(self: Any, **given: Any) -> None:
        fold(self, **given)
        with torch.no_grad():
            self.unembed.original_component.weight.mul_(folded)

    monkeypatch.setattr(TransformerBridge, "enable_compatibility_mode", fold_wrongly)
    with pytest.raises(ModelError, match="folding and centring .* changed its log-probabilities"):
        load("bundled", dtype=dtype)


@pytest.mark.parametrize("context", each([1, 2, 3, 7], (3,)))
def test_short_contexts_load(context: int, tmp_path: Path) -> None:
    config = LlamaConfig(**{**_LLAMA, "max_position_embeddings": context})
    learned = GPT2Config(vocab_size=850, n_embd=32, n_layer=2, n_head=4, n_positions=context)
    clean, corrupt = list(range(5, 5 + context)), [30, *range(6, 5 + context)]
    pairs = PromptPairs.from_rows([{"clean": clean, "corrupt": corrupt, "answer": 7, "foil": 9}])
    for name, one in (("rotary", config), ("learned", learned)):
        folder = saved(tmp_path / name, one, scale=0.25)
        run = load(folder).on(pairs)
        assert run.gap.measure().estimate == pytest.approx(plain_gap(folder, pairs), abs=1e-4)
        assert run.patch("L0.RESID_PRE").raw.measure().estimate == pytest.approx(run.gap.measure().estimate, abs=1e-4)


def test_runs_are_compared_on_no_special_token() -> None:
    from transformers import PreTrainedTokenizerFast

    marks = [f"<{number}>" for number in range(40)]
    words = word_level(*marks, *(f"w{number}" for number in range(40)))
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=words.backend_tokenizer, unk_token=words.unk_token)
    tokenizer.add_special_tokens({"additional_special_tokens": marks})
    special = set(tokenizer.all_special_ids)
    assert len(special) > 40
    tokens = set(real_tokens(tokenizer, len(tokenizer), 200).flatten().tolist())
    assert not tokens & special
    assert len(tokens) > 30


def test_a_bridge_that_was_made_elsewhere_is_reported_as_not_compared(
    pytester: pytest.Pytester, bundled: Model
) -> None:
    assert bundled._loaded.describe()["base_run"] == "the untouched model's"
    pytester.makepyfile(f"""
import pytest
from circuitcheck import PromptPairs, contrast, load
from transformer_lens.model_bridge import TransformerBridge

FRUIT = PromptPairs("I saw the {{x}} tree and picked", x=contrast(clean=["apple"], corrupt=["lemon"]), answer=" an", foil=" a")

@pytest.fixture
def model():
    return load(TransformerBridge.boot_transformers({str(PATH)!r}, device="cpu"))

def test_it(model):
    assert model.on(FRUIT).gap > 0
""")
    result = pytester.runpytest_inprocess("-p", "no:cacheprovider")
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(
        ["what * says was not compared with an untouched model's: this bridge was made elsewhere"]
    )


def test_an_untrained_model_is_compared(bundled: Model) -> None:
    assert bundled.untrained(0)._loaded.describe()["base_run"] == "the untouched model's"


@pytest.mark.slow
def test_frequencies_are_followed_beyond_the_context(tmp_path: Path) -> None:
    for name, config in (("longrope", long_rope(3.0)), ("dynamic", rotary("dynamic"))):
        folder = saved(tmp_path / name, config, scale=0.25)
        model = load(folder, weights="raw")
        for length in (14, 6, 8, 9, 40):
            pairs = prompts(length, length - 3)
            assert model.on(pairs).gap.measure().estimate == pytest.approx(plain_gap(folder, pairs), abs=1e-4), length
