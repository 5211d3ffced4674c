"""Dictionaries that SAELens wrote are read as SAELens itself reads them, kind by kind."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from circuitcheck import ModelError
from circuitcheck.models.dictionaries.loading import read_dictionary
from tests.models.dictionaries.small import WRITTEN, save

KINDS = sorted(path.name for path in WRITTEN.iterdir())


@pytest.mark.parametrize("kind", KINDS)
def test_features_and_what_they_make_up_are_those_of_the_library_that_wrote_them(kind: str) -> None:
    dictionary, _ = read_dictionary(WRITTEN / kind, "cpu", False, None)
    expected = load_file(WRITTEN / kind / "expected.safetensors")
    features = dictionary.encode(expected["read"])
    assert 0 < (expected["features"] > 0).double().mean() < 1
    torch.testing.assert_close(features, expected["features"], rtol=0, atol=1e-5)
    torch.testing.assert_close(dictionary.decode(features, expected["read"]), expected["output"], rtol=0, atol=1e-5)
    some = dictionary.encode(expected["read"], [7, 3])
    torch.testing.assert_close(some, expected["features"][:, [7, 3]], rtol=0, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_a_difference_in_features_writes_what_decoding_both_differs_by(kind: str) -> None:
    dictionary, _ = read_dictionary(WRITTEN / kind, "cpu", False, None)
    read = load_file(WRITTEN / kind / "expected.safetensors")["read"]
    before = dictionary.encode(read)
    for chosen in ([5, 2], [0, 1, 2, 3, 4, 5, 11, 7, 8, 9]):  # few, and most: whose weights are not copied
        after = before.clone()
        after[:, chosen] += 1.5
        wanted = dictionary.decode(after, read) - dictionary.decode(before, read)
        written = dictionary.written((after - before)[:, chosen], read, chosen)
        torch.testing.assert_close(written, wanted, rtol=0, atol=1e-5)
        torch.testing.assert_close(dictionary.encode(read, chosen), before[:, chosen], rtol=0, atol=1e-5)


def test_older_configurations_say_the_same_otherwise(tmp_path: Path) -> None:
    shutil.copytree(WRITTEN / "topk", tmp_path / "old")
    said = json.loads((WRITTEN / "topk" / "cfg.json").read_text())
    old = {
        "d_in": said["d_in"],
        "d_sae": said["d_sae"],
        "dtype": "torch.float32",
        "hook_point": "blocks.1.hook_resid_post",
    }
    old |= {
        "activation_fn_str": "topk",
        "activation_fn_kwargs": {"k": 3},
        "normalize_activations": False,
        "prepend_bos": True,
    }
    (tmp_path / "old" / "cfg.json").write_text(json.dumps(old))
    ours, told = read_dictionary(tmp_path / "old", "cpu", False, None)
    read = load_file(WRITTEN / "topk" / "expected.safetensors")
    torch.testing.assert_close(ours.encode(read["read"]), read["features"], rtol=0, atol=1e-5)
    assert (told.hook, told.kwargs) == ("blocks.1.hook_resid_post", None)


def test_scaling_factors_are_folded_in(tmp_path: Path) -> None:
    """Of streams, as a file beside the configuration has it; and of features, as a tensor."""
    whole, expected = (
        WRITTEN / "standard_offset_kept",
        load_file(WRITTEN / "standard_offset_kept" / "expected.safetensors"),
    )
    tensors, said = load_file(whole / "sae_weights.safetensors"), json.loads((whole / "cfg.json").read_text())
    save(tmp_path / "a", tensors, **said | {"normalize_activations": "expected_average_only_in"})
    (tmp_path / "a" / "activation_scaler.json").write_text('{"scaling_factor": 0.25, "has_whitening": false}')
    scaled, _ = read_dictionary(tmp_path / "a", "cpu", False, None)
    at = expected["read"] * 4
    torch.testing.assert_close(scaled.encode(at), expected["features"], rtol=0, atol=1e-5)
    torch.testing.assert_close(scaled.decode(scaled.encode(at), at), expected["output"] * 4, rtol=0, atol=1e-4)
    factors = torch.linspace(0.5, 2, tensors["b_enc"].shape[0])
    save(tmp_path / "b", tensors | {"finetuning_scaling_factor": factors}, **said | {"finetuning_scaling_factor": True})
    tuned, _ = read_dictionary(tmp_path / "b", "cpu", False, None)
    wanted = (expected["features"] * factors) @ tensors["W_dec"] + tensors["b_dec"]
    torch.testing.assert_close(
        tuned.decode(tuned.encode(expected["read"]), expected["read"]), wanted, rtol=0, atol=1e-5
    )


@pytest.mark.parametrize("factor", ["0", "-1", "NaN", "1e999", '"many"'])
def test_a_scaling_factor_that_is_none_is_refused(factor: str, tmp_path: Path) -> None:
    save(tmp_path, _tensors(), normalize_activations="expected_average_only_in")
    (tmp_path / "activation_scaler.json").write_text(f'{{"scaling_factor": {factor}}}')
    with pytest.raises(ModelError, match="is in no activation_scaler.json"):
        read_dictionary(tmp_path, "cpu", False, None)


def test_scaling_factors_of_older_versions_are_read_as_they_read_them(tmp_path: Path) -> None:
    tensors = load_file(WRITTEN / "standard" / "sae_weights.safetensors")
    expected = load_file(WRITTEN / "standard" / "expected.safetensors")
    ones, factors = torch.ones_like(tensors["b_enc"]), torch.linspace(0.5, 2, len(tensors["b_enc"]))
    made = {}
    for name, tensor, tuned in (("ones", ones, False), ("factors", factors, True)):
        folder = save(tmp_path / name, tensors | {"scaling_factor": tensor}, finetuning_scaling_factor=tuned)
        read, _ = read_dictionary(folder, "cpu", False, None)
        made[name] = read.decode(read.encode(expected["read"]), expected["read"])
    torch.testing.assert_close(made["ones"], expected["output"], rtol=0, atol=1e-5)
    wanted = (expected["features"] * factors) @ tensors["W_dec"] + tensors["b_dec"]
    torch.testing.assert_close(made["factors"], wanted, rtol=0, atol=1e-5)
    denied = save(tmp_path / "denied", tensors | {"scaling_factor": factors}, finetuning_scaling_factor=False)
    with pytest.raises(ModelError, match="holds scaling_factor, .* says finetuning_scaling_factor=false"):
        read_dictionary(denied, "cpu", False, None)


def test_half_precision_is_read_in_single(tmp_path: Path) -> None:
    tensors = load_file(WRITTEN / "standard" / "sae_weights.safetensors")
    save(tmp_path, {name: tensor.bfloat16() for name, tensor in tensors.items()})
    assert read_dictionary(tmp_path, "cpu", False, None)[0].encoder.dtype == torch.float32


FIELDS = {
    "architecture": ("temporal", "known are standard"),
    "activation_fn": ("tanh-relu", "known are 'relu'"),
    "normalize_activations": ("covariance_whitening", "known are none"),
    "reshape_activations": ("hook_z", "a dictionary of all heads together has no site"),
    "hook_head_index": (3, "a dictionary of one head has no site"),
    "use_ghost_attention": (True, "what that does to features is not known here"),
    "d_sae": (11, "its tensors have 12"),
    "d_in": ("128", "no whole number"),
    "model_from_pretrained_kwargs": ("raw", "no names with values"),
    "activation_fn_kwargs": ([3], "no names with values"),
}


@pytest.mark.parametrize("field", FIELDS)
def test_a_field_that_cannot_be_honoured_is_named(field: str, tmp_path: Path) -> None:
    value, why = FIELDS[field]
    said = json.loads((WRITTEN / "standard" / "cfg.json").read_text())
    said["metadata"].pop(field, None)
    said |= {field: value}
    save(tmp_path, load_file(WRITTEN / "standard" / "sae_weights.safetensors"), **said)
    with pytest.raises(ModelError, match=why) as raised:
        read_dictionary(tmp_path, "cpu", False, None)
    assert field in str(raised.value)


def _tensors() -> dict[str, torch.Tensor]:
    return load_file(WRITTEN / "standard" / "sae_weights.safetensors")


BROKEN = {
    "NaN": (lambda t: t | {"W_dec": t["W_dec"] * torch.nan}, "W_dec of the dictionary holds NaN or infinite"),
    "shape": (lambda t: t | {"b_enc": torch.zeros(5)}, r"b_enc of the dictionary .* is of shape \(5,\), not \(12,\)"),
    "missing": (lambda t: {name: one for name, one in t.items() if name != "b_dec"}, "has no b_dec"),
    "unknown": (lambda t: t | {"W_more": torch.zeros(3)}, "holds W_more, and what that does"),
    "integers": (lambda t: t | {"b_enc": torch.zeros(12, dtype=torch.long)}, "b_enc .* holds int64"),
    "transposed": (lambda t: t | {"W_dec": t["W_dec"].T}, "that is a transcoder"),
}


@pytest.mark.parametrize("fault", BROKEN)
def test_tensors_that_are_no_dictionary_are_refused_in_a_sentence(fault: str, tmp_path: Path) -> None:
    change, why = BROKEN[fault]
    save(tmp_path, change(_tensors()), architecture="standard")
    with pytest.raises(ModelError, match=why):
        read_dictionary(tmp_path, "cpu", False, None)


def test_files_that_are_no_dictionary_are_refused_in_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "sae.pt").write_bytes(b"anything")
    np.savez(tmp_path / "objects.npz", W_enc=np.array([{"a": 1}], dtype=object))
    (tmp_path / "no.npz").write_bytes(b"anything")
    np.save(tmp_path / "one", np.zeros(3))
    (tmp_path / "pickled").mkdir()
    (tmp_path / "pickled" / "sae.pkl").write_bytes(b"anything")
    (tmp_path / "halved").mkdir()
    (tmp_path / "halved" / "cfg.json").write_text("{")
    (tmp_path / "halved" / "sae_weights.safetensors").write_bytes(b"anything")
    save(tmp_path / "weightless", _tensors())
    (tmp_path / "weightless" / "sae_weights.safetensors").write_bytes(b"anything")
    for name, why in {
        "sae.pt": "may be a pickle",
        "objects.npz": "cannot be read as npz of numbers",
        "no.npz": "cannot be read as npz of numbers",
        "one.npy": "may be a pickle",
        "pickled": r"has no cfg.json \(sae.pkl may be pickles",
        "halved": "cannot be read as JSON",
        "weightless": "cannot be read as safetensors",
        "nowhere": "there is no dictionary",
    }.items():
        with pytest.raises(ModelError, match=why):
            read_dictionary(tmp_path / name, "cpu", False, None)


def test_the_hash_is_of_all_that_it_is_made_of(tmp_path: Path) -> None:
    tensors = _tensors()
    digests = set()
    for number, said in enumerate([{}, {"apply_b_dec_to_input": False}]):
        digests.add(read_dictionary(save(tmp_path / str(number), tensors, **said), "cpu", False, None)[0].digest)
    tensors["b_enc"][0] += 1
    digests.add(read_dictionary(save(tmp_path / "2", tensors), "cpu", False, None)[0].digest)
    assert len(digests) == 3
    save_file(tensors, tmp_path / "0" / "sae_weights.safetensors")
    assert read_dictionary(tmp_path / "0", "cpu", False, None)[0].digest in digests
