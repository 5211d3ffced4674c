"""Claims about models that are not here: each address is one of the model's, each name one token, and the converted model is the same."""

import runpy
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import shared_model

HYPOTHESES = Path(__file__).parents[2] / "hypotheses"
# In the place of the plugin's model: it knows the layers of the real one, reads every address as a claim's verb would, and holds every claim.
RECORDER = """
import pytest
from circuitcheck import Circuit, PromptPairs
from circuitcheck.addresses.anatomy import Anatomy, Layer
from circuitcheck.addresses.circuits import divided, sites_of
from circuitcheck.addresses.graphs import graph_of
from circuitcheck.addresses.parsing import parse, parse_position

ANATOMY = Anatomy("{name}", (Layer({heads}, {neurons}),) * {layers})

class Holds:
    def __getattr__(self, name): return self
    def __call__(self, *given, **named): return self
    def compared(self, other): return True
    __gt__ = __lt__ = __ge__ = __le__ = __eq__ = compared

class Run:
    def __init__(self, pairs): assert isinstance(pairs, PromptPairs)
    accuracy = Holds()
    def verb(self, circuit, *given, within=None, source=None, without=Circuit(), **named):
        sites = sites_of(circuit, ANATOMY)
        assert sites, circuit
        if source is not None: parse_position(source, ANATOMY)
        if any(site.kind == "LOGITS" for site in sites) and len(sites) > 1: assert graph_of(sites, ANATOMY).said
        if within is not None: divided(sites, parse(within, ANATOMY), ANATOMY)
        assert set(sites_of(without, ANATOMY)) <= set(sites)
        return Holds()
    patch = ablate = keep = completeness = minimality = lens = attention = verb

@pytest.fixture
def model():
    class Model:
        def on(self, pairs, readout=None): return Run(pairs)
        def head(self, address): return Run.verb(None, address)
    return Model()
"""
SMALL = {"name": "gpt2", "heads": 12, "neurons": 3072, "layers": 12}
ATTENTION_ONLY = {"name": "attn-only-4l", "heads": 8, "neurons": 1, "layers": 4}


@pytest.mark.parametrize(("folder", "shape", "claims"), [("gpt2", SMALL, 81), ("attn_only_4l", ATTENTION_ONLY, 11)])
def test_every_address_fits_the_model(
    pytester: pytest.Pytester, folder: str, shape: dict[str, Any], claims: int
) -> None:
    shutil.copytree(HYPOTHESES / folder, pytester.path, dirs_exist_ok=True)
    pytester.makeconftest(RECORDER.replace("{name}", shape["name"]).format(**shape))
    outcomes = pytester.runpytest_inprocess("-p", "no:cacheprovider").parseoutcomes()
    assert outcomes["passed"] + outcomes.get("xpassed", 0) == claims
    assert set(outcomes) <= {"passed", "xpassed", "warnings"}


def test_an_address_that_does_not_fit_is_seen(pytester: pytest.Pytester) -> None:
    shutil.copytree(HYPOTHESES / "attn_only_4l", pytester.path, dirs_exist_ok=True)
    pytester.makeconftest(RECORDER.format(**ATTENTION_ONLY | {"layers": 3}))
    assert pytester.runpytest_inprocess("-p", "no:cacheprovider").parseoutcomes()["failed"] >= 5


@pytest.mark.parametrize(
    ("folder", "command"),
    [("gpt2", "hf download gpt2 "), ("attn_only_4l", "python hypotheses/attn_only_4l/convert.py attn-only-4l")],
)
def test_without_the_model_they_are_skipped_with_what_brings_it(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, folder: str, command: str
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(pytester.path / "nothing"))
    shutil.copytree(HYPOTHESES / folder, pytester.path, dirs_exist_ok=True)
    result = pytester.runpytest_inprocess("-rs", "-p", "no:cacheprovider")
    assert set(result.parseoutcomes()) == {"skipped"}
    result.stdout.fnmatch_lines([f"*is not on this machine; fetch it with: {command}*"])


def test_names_and_things_are_single_tokens_of_gpt2(monkeypatch: pytest.MonkeyPatch) -> None:
    from transformers import GPT2TokenizerFast

    tokenizer = GPT2TokenizerFast.from_pretrained(shared_model("gpt2_bpe"))
    names = runpy.run_path(str(HYPOTHESES / "gpt2" / "names.py"))
    events = runpy.run_path(str(HYPOTHESES / "gpt2" / "test_greater_than.py"))["EVENTS"]
    words = [*names["NAMES"], *names["PLACES"], *names["THINGS"], *events]
    assert len({*words}) == len(words) == 97
    assert [word for word in words if len(tokenizer(f" {word}")["input_ids"]) != 1] == []


def test_years_are_the_two_tokens_that_are_meant() -> None:
    from transformers import GPT2TokenizerFast

    tokenizer = GPT2TokenizerFast.from_pretrained(shared_model("gpt2_bpe"))
    claims = runpy.run_path(str(HYPOTHESES / "gpt2" / "test_greater_than.py"))
    endings = claims["endings"](1, 98)
    assert [year for year in claims["endings"](0, 99) if len(tokenizer(year)["input_ids"]) != 1] == []
    for century in ("12", "14", "16", "17"):
        apart = [tokenizer(f" {century}")["input_ids"] + tokenizer(year)["input_ids"] for year in endings]
        together = [tokenizer(f" {century}{year}")["input_ids"] for year in endings]
        others = {(century, year) for year, a, b in zip(endings, apart, together, strict=True) if a != b}
        assert others == {pair for pair in claims["ONE_TOKEN"] if pair[0] == century}


def test_the_converted_model_gives_the_logits_of_the_one_that_it_was_made_of() -> None:
    """TransformerLens' own native network is the oracle, with weights of a HookedTransformer's names."""
    import torch
    from transformer_lens.config import TransformerBridgeConfig
    from transformer_lens.model_bridge.sources import build_bridge_from_module
    from transformer_lens.model_bridge.sources.native import NativeModel
    from transformer_lens.utilities.tl_checkpoint_conversion import convert_tl_checkpoint

    chance = torch.Generator().manual_seed(0)
    width, heads, size, layers, vocabulary, length = 24, 4, 6, 3, 50, 16

    def drawn(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=chance) / 2

    state = {
        "embed.W_E": drawn(vocabulary, width),
        "pos_embed.W_pos": drawn(length, width),
        "unembed.W_U": drawn(width, vocabulary),
        "unembed.b_U": torch.zeros(vocabulary),
        "ln_final.w": 1 + drawn(width),
        "ln_final.b": drawn(width),
    }
    for layer in range(layers):
        state |= {f"blocks.{layer}.attn.W_{part}": drawn(heads, width, size) for part in "QKV"}
        state |= {f"blocks.{layer}.attn.b_{part}": drawn(heads, size) for part in "QKV"}
        state |= {f"blocks.{layer}.attn.W_O": drawn(heads, size, width), f"blocks.{layer}.attn.b_O": drawn(width)}
        state |= {f"blocks.{layer}.ln1.w": 1 + drawn(width), f"blocks.{layer}.ln1.b": drawn(width)}
    config = TransformerBridgeConfig(
        architecture="TransformerLensNative", d_model=width, d_head=size, n_heads=heads, n_layers=layers, n_ctx=length,
        d_vocab=vocabulary, act_fn="gelu", attn_only=True, normalization_type="LN",
    )  # fmt: skip
    bridge = build_bridge_from_module(NativeModel(config), "TransformerLensNative", tl_config=config, model_name="one")
    bridge.load_state_dict(convert_tl_checkpoint(state, config), strict=True)
    converted = runpy.run_path(str(HYPOTHESES / "attn_only_4l" / "convert.py"))["converted"]
    tokens = torch.randint(vocabulary, (2, length), generator=chance)
    with torch.no_grad():
        ours, theirs = converted(state).eval()(tokens).logits, bridge(tokens)
    assert theirs.std() > 1
    assert (ours - theirs).abs().max() < 1e-4
    with pytest.raises(ValueError, match="bias"):
        converted(state | {"unembed.b_U": drawn(vocabulary)})
