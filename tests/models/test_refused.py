"""What a model is not, or lacks, is said in a sentence, at loading or where it is asked for."""

from pathlib import Path

import pytest
from transformers import CTRLConfig, HrmTextConfig, OlmoConfig, OpenAIGPTConfig, PreTrainedConfig

from circuitcheck import AddressError, MethodError, ModelError, PromptPairs, load
from tests.architectures import saved

ROWS = PromptPairs.from_rows(
    [{"clean": [316, 439, 686, 670], "corrupt": [316, 439, 548, 670], "answer": 17, "foil": 300}]
)


@pytest.mark.parametrize(
    ("config", "told"),
    [
        (CTRLConfig(vocab_size=850, n_embd=32, dff=48, n_layer=2, n_head=4), "is a CTRLLMHeadModel, of which TransformerLens"),
        (
            HrmTextConfig(vocab_size=850, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4),
            "is no stack of layers that TransformerLens shows",
        ),
    ],
)  # fmt: skip
def test_what_is_no_stack_of_layers_is_refused_at_loading(tmp_path: Path, config: PreTrainedConfig, told: str) -> None:
    with pytest.raises(ModelError, match=told):
        load(saved(tmp_path, config), weights="raw")


def test_streams_that_a_model_does_not_show_are_refused_and_what_it_shows_is_not(tmp_path: Path) -> None:
    config = OpenAIGPTConfig(vocab_size=850, n_embd=32, n_layer=2, n_head=4, n_positions=64)
    run = load(saved(tmp_path, config), weights="raw").on(ROWS)
    assert run.patch("L0.ATTN").raw.measure().n == 1
    with pytest.raises(AddressError, match="has no RESID_POST that can be addressed"):
        run.patch("L1.RESID_POST")


def test_scales_that_cannot_be_frozen_are_refused_by_the_name_of_their_normalisation(tmp_path: Path) -> None:
    config = OlmoConfig(
        vocab_size=850, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4
    )
    run = load(saved(tmp_path, config), weights="raw").on(ROWS)
    assert run.patch("L0.MLP").raw.measure().n == 1
    with pytest.raises(MethodError, match="the scale of no normalisation without weights, which its OlmoLayerNorm is"):
        run.patch("L0.MLP -> L1.MLP", ln="frozen").raw.measure()
