"""Logits that are a multiple of what is read off the last stream are sums of what components write."""

from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, CohereConfig, GraniteConfig, PreTrainedConfig

from circuitcheck import PromptPairs, load
from tests.architectures import saved
from tests.conftest import first

_SMALL = {"vocab_size": 850, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4}
_SMALL |= {"intermediate_size": 48, "max_position_embeddings": 64, "num_key_value_heads": 2}
CLEAN, CORRUPT = [316, 439, 502, 760, 686, 670], [316, 439, 502, 760, 548, 670]


@pytest.mark.parametrize(
    ("config", "multiple"),
    first(
        1,
        [
            (GraniteConfig(**_SMALL, logits_scaling=0.5, residual_multiplier=0.5), 2.0),
            (CohereConfig(**_SMALL, logit_scale=0.25), 0.25),
        ],
    ),
)
def test_the_parts_add_up_to_the_logits_of_plain_transformers(
    tmp_path: Path, config: PreTrainedConfig, multiple: float
) -> None:
    folder = saved(tmp_path / "model", config, scale=0.25)
    network = AutoModelForCausalLM.from_pretrained(folder).eval()
    with torch.no_grad():
        logits = network(torch.tensor([CLEAN]), use_cache=False).logits[0, -1].double()
        ended = network.model(torch.tensor([CLEAN]), use_cache=False).last_hidden_state[0, -1]
        unscaled = network.lm_head(ended).double()
    assert torch.allclose(logits, multiple * unscaled, atol=1e-5)  # or nothing here is tested
    answer, foil = int(logits.argmax()), int(logits.argmin())
    run = load(folder, weights="raw").on(
        PromptPairs.from_rows([{"clean": CLEAN, "corrupt": CORRUPT, "answer": answer, "foil": foil}])
    )
    wanted = pytest.approx(float(logits[answer] - logits[foil]), abs=1e-3)
    assert run.direct("EMBED | L*.MLP | L*.ATTN").measure().estimate == wanted
    assert run.lens("L1.RESID_POST").measure().estimate == wanted
    heads, whole = run.direct("L1.H*").measure().estimate, run.direct("L1.ATTN").measure().estimate
    assert heads == pytest.approx(whole, abs=1e-4)
