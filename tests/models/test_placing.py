"""Where a model's weights lie, and in how many bits: what is handed through to transformers, and what it cannot do."""

import sys
from typing import Any

import pytest

from circuitcheck import Model, ModelError, PromptPairs, load
from circuitcheck.models.sources import source
from tests.conftest import Claims, shared_model


def test_device_auto_is_transformers_device_map(bundled: Model, fruit: PromptPairs) -> None:
    """Where there is no GPU, all of it comes onto the CPU, and is the same model."""
    model = load("bundled", device="auto")
    assert model.fingerprint == bundled.fingerprint
    assert model._loaded.describe()["device"] == bundled._loaded.describe()["device"]
    here, there = (one.on(fruit).patch("L1.N8").measure().estimate for one in (model, bundled))
    assert here == there


def test_device_auto_is_an_option(claims: Claims) -> None:
    claims("def test_it(model):\n    assert model.on(FRUIT).accuracy > 0.9", "--circuit-device=auto").assert_outcomes(
        passed=1
    )


def test_weights_that_lie_elsewhere_are_not_folded(monkeypatch: pytest.MonkeyPatch) -> None:
    """As transformers says it of a model that is larger than the GPU."""
    boot_folder = source._boot_folder

    def spread(*given: Any) -> Any:
        bridge, untouched = boot_folder(*given)
        bridge.original_model.hf_device_map = {"transformer.wte": "cpu", "transformer.h": 0, "lm_head": "disk"}
        return bridge, untouched

    monkeypatch.setattr(source, "_boot_folder", spread)
    with pytest.raises(ModelError) as caught:
        load("bundled", device="auto")
    assert "keeps 2 of its 3 parts elsewhere (transformer.wte, lm_head)" in str(caught.value)
    assert "weights='raw'" in str(caught.value)


@pytest.mark.parametrize(
    ("given", "missing", "why"),
    [
        ({"device": "auto"}, "accelerate", "needs the package accelerate: pip install accelerate"),
        ({"dtype": "8bit", "weights": "raw"}, "bitsandbytes", "pip install bitsandbytes, or take dtype='bfloat16'"),
        ({"dtype": "4bit"}, "bitsandbytes", "pip install bitsandbytes, or take dtype='bfloat16'"),
        ({"dtype": "2bit"}, "", "a dtype is one of float32, float64, bfloat16, float16, 8bit, 4bit, not '2bit'"),
    ],
)
def test_what_is_missing_is_named(
    monkeypatch: pytest.MonkeyPatch, given: dict[str, Any], missing: str, why: str
) -> None:
    if missing:
        monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(ModelError) as caught:
        load("bundled", **given)
    assert why in str(caught.value)


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"dtype": "4bit"}, "weights of 4bit cannot be folded and centred: load them with weights='raw'"),
        (
            {"dtype": "8bit", "weights": "raw", "device": "cpu"},
            "lie where transformers puts them: device='auto', not 'cpu'",
        ),
    ],
)
def test_quantised_weights_are_raw_and_where_transformers_puts_them(
    monkeypatch: pytest.MonkeyPatch, given: dict[str, Any], why: str
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: name)
    with pytest.raises(ModelError) as caught:
        load("bundled", **given)
    assert why in str(caught.value)


def test_a_bridge_stays_where_it_is(bundled: Model) -> None:
    with pytest.raises(
        ModelError, match="device='auto' is of a model in a Hugging Face folder, and a TransformerBridge is none"
    ):
        load(bundled.bridge, device="auto")


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["8bit", "4bit"])
def test_quantised_weights_are_asked_raw(named: PromptPairs, dtype: str) -> None:
    pytest.importorskip("bitsandbytes")
    folder = shared_model("stories260K")
    quantised, half = (load(folder, dtype=one, weights="raw", bos="always") for one in (dtype, "bfloat16"))
    assert quantised.fingerprint != half.fingerprint
    gaps = [one.on(named).gap.measure().estimate for one in (quantised, half)]
    assert gaps[0] == pytest.approx(gaps[1], rel=0.5)
    assert gaps[0] != gaps[1]
    assert quantised.on(named).patch("L4.RESID_POST").measure().estimate == pytest.approx(1)
