"""Loading, and what a model's fingerprint knows."""

import hashlib
import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoTokenizer, GPT2Config, GPT2LMHeadModel

from circuitcheck import AddressError, ClaimInconclusive, Model, ModelError, PromptPairs, contrast, load
from circuitcheck.addresses.parsing import parse
from circuitcheck.bundled import PATH
from circuitcheck.records import identity
from circuitcheck.records.counterexamples import Counterexamples
from circuitcheck.records.identity import Files
from circuitcheck.records.store import Store
from tests.architectures import ARCHITECTURES, PARALLEL, saved
from tests.conftest import each, shared_model


# transformers gives Qwen models a tokenizer of their own, whatever is in their folder.
@pytest.fixture(
    scope="module",
    params=each([name for name in ARCHITECTURES if not name.startswith("Qwen")], ("Gemma 2", "GPT-NeoX")),
)
def small(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Model]:
    name = request.param
    return name, load(saved(tmp_path_factory.mktemp("small"), ARCHITECTURES[name]))


PAIRS = PromptPairs(
    "We looked for the {x} and found",
    x=contrast(clean=["apple", "olive"], corrupt=["lemon", "peach"]),
    answer=" an",
    foil=" a",
)


def test_all_of_the_stream_restores_all_of_the_gap_in_every_architecture(small: tuple[str, Model]) -> None:
    """So that a write at these places is known to reach all that reads them."""
    name, model = small
    places = ["EMBED", "L0.RESID_PRE", "L1.RESID_PRE@end | L1.RESID_PRE", "L2.RESID_POST@end"]
    places += [] if name in PARALLEL else ["L0.RESID_MID", "L2.RESID_MID@end"]
    run = model.on(PAIRS)
    for place in places:
        assert run.patch(place).raw.measure().per_pair == pytest.approx(run._setup.gaps, abs=1e-5), place


def test_all_sublayers_together_restore_all_that_the_embedding_does_not(small: tuple[str, Model]) -> None:
    """The prompts end in the same token, so that the stream at the end is the sublayers' alone."""
    _, model = small
    run = model.on(PAIRS)
    together = run.patch("L*.ATTN | L*.MLP").raw.measure()
    assert together.per_pair == pytest.approx(run._setup.gaps, abs=1e-5)


def test_all_heads_of_a_layer_are_its_attention(small: tuple[str, Model]) -> None:
    _, model = small
    heads, sublayer = (model.on(PAIRS).patch(a).raw.measure().per_pair for a in ("L1.H*", "L1.ATTN"))
    assert heads == pytest.approx(sublayer, abs=1e-5)


def test_all_neurons_of_a_layer_are_its_mlp(small: tuple[str, Model]) -> None:
    name, model = small
    if name == "Mixtral":
        with pytest.raises(AddressError, match="routes tokens to experts.*address the MLP"):
            parse("L1.N0", model.anatomy)
        return
    neurons, sublayer = (model.on(PAIRS).patch(a).raw.measure().per_pair for a in ("L1.N*", "L1.MLP"))
    assert neurons == pytest.approx(sublayer, abs=1e-5)


def test_parallel_blocks_have_no_middle_of_the_stream(small: tuple[str, Model]) -> None:
    name, model = small
    if name in PARALLEL:
        with pytest.raises(AddressError, match="in parallel"):
            parse("L0.RESID_MID", model.anatomy)
    else:
        assert parse("L0.RESID_MID", model.anatomy)


def test_the_bos_token_that_is_also_eos_is_put_in_front(small: tuple[str, Model], bundled: Model) -> None:
    _, model = small
    pair = model.on(PAIRS)._setup.sample.pairs[0]
    text_tokens = bundled.bridge.tokenizer(pair.pair.clean.text, add_special_tokens=False)["input_ids"]
    assert list(pair.clean) == [model.bos, *text_tokens]


def test_raw_weights_say_the_same_and_are_another_model(bundled: Model, fruit: PromptPairs) -> None:
    raw = load("bundled", weights="raw")
    assert raw.fingerprint != bundled.fingerprint
    assert raw.on(fruit).gap.measure().per_pair == pytest.approx(bundled.on(fruit).gap.measure().per_pair, abs=1e-3)
    zeroed = [model.on(fruit).ablate("L0.H0", "zero").raw.measure().estimate for model in (raw, bundled)]
    assert abs(zeroed[0] - zeroed[1]) > 1e-3  # folded value biases change what zero means


def test_a_fingerprint_is_of_the_content(tmp_path: Path, bundled: Model) -> None:
    assert load(PATH).fingerprint == bundled.fingerprint
    copied = tmp_path / "elsewhere"
    copied.mkdir()
    for file in PATH.iterdir():
        (copied / file.name).write_bytes(file.read_bytes())
    assert load(copied).fingerprint == bundled.fingerprint
    weights = load_file(copied / "model.safetensors")
    weights["transformer.h.1.mlp.c_fc.weight"][0, 0] += 1e-3
    save_file(weights, copied / "model.safetensors", metadata={"format": "pt"})
    assert load(copied).fingerprint != bundled.fingerprint


def test_a_fingerprint_is_of_what_is_read_and_of_nothing_that_reads_it(
    tmp_path: Path, bundled: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "copied"
    shutil.copytree(PATH, folder)
    (folder / "README.md").write_text("another card")
    (folder / "trainer_state.json").write_text('{"global_step": 7}')
    (folder / "generation_config.json").unlink()
    assert load(folder).fingerprint == bundled.fingerprint
    monkeypatch.setattr("circuitcheck.sampling.remembered.version", lambda name: "99")
    assert load(folder).fingerprint == bundled.fingerprint
    tokenizer = folder / "tokenizer.json"
    tokenizer.write_text(tokenizer.read_text() + "\n")
    assert load(folder).fingerprint != bundled.fingerprint


def test_a_file_that_was_not_written_since_is_not_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store, path, read = Store(tmp_path / "evidence.sqlite"), tmp_path / "weights", [0]
    path.write_bytes(b"one")
    file_digest = hashlib.file_digest

    def counting(*given: Any) -> Any:
        read[0] += 1
        return file_digest(*given)

    monkeypatch.setattr(hashlib, "file_digest", counting)

    def digests() -> Any:
        return Files.of({"weights": path}, store).digests

    first = digests()
    assert digests() == first == (("weights", 3, hashlib.sha256(b"one").hexdigest()),)
    assert read == [2]  # it was written just now, and may be again within the same moment of its file system's clock
    monkeypatch.setattr(identity, "_SETTLED_S", 0.0)
    assert digests() == digests() == first
    assert read == [3]
    times = path.stat()
    path.write_bytes(b"two")  # of the same size, and said to be as old
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert digests() == (("weights", 3, hashlib.sha256(b"two").hexdigest()),)
    other = tmp_path / "other"
    other.write_bytes(b"six")
    os.replace(other, path)
    assert digests() == (("weights", 3, hashlib.sha256(b"six").hexdigest()),)
    Path(tmp_path, "elsewhere").write_bytes(path.read_bytes())
    assert Files.of({"weights": tmp_path / "elsewhere"}, None).digests == digests()


def test_a_model_that_is_written_while_it_is_loaded_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "copied"
    shutil.copytree(PATH, folder)
    from circuitcheck.models.sources import source

    boot = source._boot_folder

    def meanwhile(path: Path, place: Any, adapter: Path | None) -> Any:
        found = boot(path, place, adapter)
        os.utime(folder / "model.safetensors")
        return found

    monkeypatch.setattr(source, "_boot_folder", meanwhile)
    with pytest.raises(ModelError, match=r"model\.safetensors was written while the model was loaded"):
        load(folder)


def test_a_bridge_can_be_handed_over(bundled: Model, fruit: PromptPairs) -> None:
    from transformer_lens.model_bridge import TransformerBridge

    model = load(TransformerBridge.boot_transformers(str(PATH), device="cpu"))
    assert model.on(fruit).gap.measure().estimate == pytest.approx(bundled.on(fruit).gap.measure().estimate, abs=1e-4)
    with pytest.raises(ModelError, match="not a dict"):
        load({})


def test_a_native_checkpoint_in_either_format_says_the_same(tmp_path: Path) -> None:
    source = shared_model("gbmi_induction")
    original = load(source / "finetuned_model_0.pt")
    state = torch.load(source / "finetuned_model_0.pt", weights_only=True)
    save_file({key: value.contiguous() for key, value in state.items()}, tmp_path / "same.safetensors")
    with pytest.raises(ModelError, match=r"same\.config\.json does not exist; it should be the configuration"):
        load(tmp_path / "same.safetensors")
    config = json.loads((source / "finetuned_model_0.config.json").read_text())
    (tmp_path / "same.config.json").write_text(json.dumps(config))
    same, tokens = load(tmp_path / "same.safetensors"), torch.tensor([[0, 1, 2, 1]])
    assert torch.equal(same.bridge(tokens), original.bridge(tokens))
    for end in (".safetensors", ".config.json"):
        shutil.copy(tmp_path / f"same{end}", tmp_path / f"renamed{end}")
    assert load(tmp_path / "renamed.safetensors").fingerprint == same.fingerprint != original.fingerprint
    (tmp_path / "same.config.json").write_text(json.dumps({**config, "n_layers": 3}))
    with pytest.raises(ModelError, match="could not be loaded"):
        load(tmp_path / "same.safetensors")


def test_a_pickle_that_is_more_than_weights_is_not_opened(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return Path.touch, (str(tmp_path / "ran"),)

    (tmp_path / "trap.config.json").write_text(
        '{"n_layers": 1, "n_heads": 1, "d_model": 4, "d_head": 4, "n_ctx": 8, "d_vocab": 8, "act_fn": "relu"}'
    )
    torch.save(Trap(), tmp_path / "trap.pt")
    with pytest.raises(ModelError, match="a pickle that holds more than weights"):
        load(tmp_path / "trap.pt")
    assert not (tmp_path / "ran").exists()


def test_a_folder_that_is_no_model_says_what_is_missing(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="has no config.json"):
        load(tmp_path)
    GPT2Config(n_layer=1).save_pretrained(tmp_path)
    with pytest.raises(ModelError, match=r"no safetensors file \(no weights\): model.safetensors is missing"):
        load(tmp_path)


def test_an_encoder_is_refused(tmp_path: Path) -> None:
    from transformers import T5Config, T5ForConditionalGeneration

    config = T5Config(vocab_size=850, d_model=16, d_kv=4, d_ff=16, num_layers=1, num_heads=4, decoder_start_token_id=0)
    T5ForConditionalGeneration(config).save_pretrained(tmp_path)
    AutoTokenizer.from_pretrained(PATH).save_pretrained(tmp_path)
    with pytest.raises(ModelError, match="not a causal decoder"):
        load(tmp_path)


def test_unknown_weights_are_told() -> None:
    with pytest.raises(ModelError, match="'processed' or 'raw', not 'folded'"):
        load("bundled", weights="folded")  # type: ignore[arg-type]


def test_the_bundled_model_is_an_ordinary_folder_of_at_most_four_megabytes() -> None:
    assert sum(file.stat().st_size for file in PATH.iterdir()) <= 4 * 2**20
    assert GPT2LMHeadModel.from_pretrained(PATH).config.model_type == "gpt2"
    tokenizer = AutoTokenizer.from_pretrained(PATH)
    assert tokenizer.is_fast
    assert [len(tokenizer(word)["input_ids"]) for word in (" an", " a", " apple", " 17", " 1732")] == [1, 1, 1, 1, 2]


def test_a_dtype_is_part_of_what_a_model_is(bundled: Model, fruit: PromptPairs) -> None:
    """Half precision gives coarser numbers and says so; double gives the same."""
    single = bundled.on(fruit).patch("L1.N8").measure().estimate
    for dtype, reach in (("float64", 1e-5), ("bfloat16", 0.05)):
        model = load("bundled", dtype=dtype)
        assert model._loaded.describe()["dtype"] == dtype
        assert model.fingerprint != bundled.fingerprint
        assert model.on(fruit).patch("L1.N8").measure().estimate == pytest.approx(single, abs=reach)
        assert model._loaded.answers.describe() == "cone"


def test_rounding_grows_with_the_dtype(fruit: PromptPairs) -> None:
    """What half precision cannot tell from the threshold is not decided."""
    model = load("bundled", dtype="bfloat16")
    effect = model.on(fruit).patch("L1.N8")
    with pytest.raises(ClaimInconclusive):
        bool(effect > effect.measure().estimate - 0.01)
    assert effect > 0.4


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"dtype": "int8"}, "a dtype is one of float32, float64, bfloat16, float16, 8bit, 4bit, not 'int8'"),
        ({"device": "quantum"}, "there is no device 'quantum' here"),
    ],
)
def test_a_device_or_dtype_that_is_none_is_an_error(given: dict[str, str], told: str) -> None:
    with pytest.raises(ModelError, match=told):
        load("bundled", **given)  # type: ignore[arg-type]


def test_an_untrained_model_keeps_counterexamples_where_its_model_does(tmp_path: Path) -> None:
    kept = Counterexamples(tmp_path)
    assert load("bundled", counterexamples=kept).untrained(0)._loaded.counterexamples == kept
