"""Dictionaries from disk: SAELens folders and Gemma Scope's ``params.npz``."""

import json
import math
from pathlib import Path

from circuitcheck.engine.features.dictionary import Dictionary
from circuitcheck.engine.on_demand import torch
from circuitcheck.errors import ModelError
from circuitcheck.models.dictionaries.configuration import Configuration, of_file, of_parameters
from circuitcheck.models.dictionaries.tensors import CONFIG, SCALER, files_of, tensors_of
from circuitcheck.records.identity import Files
from circuitcheck.records.store import Store
from circuitcheck.texts import digest

_SCALING = "finetuning_scaling_factor"
# The tensors of each rule beside encoder, decoder and its bias.
_OF_RULE = {
    "relu": ("b_enc",),
    "topk": ("b_enc",),
    "jumprelu": ("b_enc", "threshold"),
    "gated": ("b_gate", "b_mag", "r_mag"),
}


def read_dictionary(path: Path, device: str, transcoder: bool, store: Store | None) -> tuple[Dictionary, Configuration]:
    """A dictionary as it was trained, with what its configuration says. Raises ``ModelError`` for files that hold none."""
    paths = files_of(path)
    files = Files.of(paths, store)
    said = of_file(paths[CONFIG]) if CONFIG in paths else of_parameters(transcoder)
    tensors = tensors_of(paths, device)
    if "topk_threshold" in tensors and "b_enc" in tensors:  # of a batch top-k dictionary, one for all
        tensors["threshold"] = tensors.pop("topk_threshold").to(tensors["b_enc"]).expand_as(tensors["b_enc"])
    if (old := tensors.pop("scaling_factor", None)) is not None and not torch.allclose(old, torch.ones_like(old)):
        if not said.is_tuned:
            raise ModelError(
                f"the dictionary {path} holds scaling_factor, and {path / CONFIG} says finetuning_scaling_factor=false: one of them is wrong"
            )
        tensors[_SCALING] = old  # the name that older versions give it; where there is none, they write ones
    _check_shapes(path, said, tensors)
    factor = _factor(path, said, paths)
    files.check_unchanged()
    with torch.inference_mode(False), torch.no_grad():
        made = _made(path, said, tensors, factor, digest([list(one) for one in files.digests], digits=16))
    return made, said


def _made(path: Path, said: Configuration, tensors: dict[str, torch.Tensor], factor: float, named: str) -> Dictionary:
    """The dictionary that files' tensors make. What is folded is folded in place: none of the large ones is there twice."""
    encoder, decoder, offset = (tensors[name] for name in ("W_enc", "W_dec", "b_dec"))
    bias = tensors["b_gate"] if said.rule == "gated" else tensors["b_enc"]
    magnitudes = (tensors["r_mag"].exp(), tensors["b_mag"]) if said.rule == "gated" else None
    if factor != 1:
        for tensor, by in ((encoder, factor), (decoder, 1 / factor), (offset, 1 / factor)):
            tensor *= by
    if said.takes_offset:
        taken = offset @ encoder
        bias = bias - taken
        magnitudes = magnitudes and (magnitudes[0], magnitudes[1] - taken * magnitudes[0])
    if said.rescales:
        norms = decoder.norm(dim=-1)
        decoder /= norms.unsqueeze(1)
        encoder *= norms
        bias = bias * norms
    if _SCALING in tensors:
        decoder *= tensors[_SCALING].unsqueeze(1)
    return Dictionary(
        name=path.name if path.is_dir() else (path.parent.name or path.stem),
        digest=named,
        rule=said.rule,
        encoder=encoder,
        bias=bias,
        decoder=decoder,
        offset=offset,
        k=said.k,
        threshold=tensors.get("threshold"),
        magnitudes=magnitudes,
        skip=tensors.get("W_skip"),
        is_transcoder=said.is_transcoder,
        normalisation=said.normalisation,
    )


def _check_shapes(path: Path, said: Configuration, tensors: dict[str, torch.Tensor]) -> None:
    """Raises ``ModelError`` for tensors that are missing, unknown, or of other shapes than the others."""
    needed = ["W_enc", "W_dec", "b_dec", *_OF_RULE[said.rule], *(["W_skip"] if said.has_skip else [])]
    if missing := [name for name in needed if name not in tensors]:
        raise ModelError(f"the dictionary {path} has no {missing[0]}, which a {said.rule} dictionary is made of")
    if unknown := sorted(tensors.keys() - {*needed, _SCALING}):
        raise ModelError(f"the dictionary {path} holds {unknown[0]}, and what that does to features is not known here")
    if tensors["W_enc"].dim() != 2 or tensors["W_dec"].dim() != 2:
        raise ModelError(f"the dictionary {path} is no encoder and decoder: W_enc and W_dec are not both matrices")
    (d_in, n), d_out = tensors["W_enc"].shape, tensors["W_dec"].shape[1]
    if not said.is_transcoder and d_in != d_out:
        raise ModelError(
            f"the dictionary {path} reads {d_in} numbers and writes {d_out}: that is a transcoder, and it says it is none"
        )
    wanted = {"W_enc": (d_in, n), "W_dec": (n, d_out), "b_dec": (d_out,), "W_skip": (d_out, d_in)}
    for name, tensor in tensors.items():
        if tuple(tensor.shape) != (shape := wanted.get(name, (n,))):
            raise ModelError(
                f"{name} of the dictionary {path} is of shape {tuple(tensor.shape)}, not {shape}, as W_enc has it"
            )
    for word, number, found in (("d_in", said.d_in, d_in), ("d_sae", said.d_sae, n), ("d_out", said.d_out, d_out)):
        if number is not None and number != found and (word != "d_out" or said.is_transcoder):
            raise ModelError(f"{path / CONFIG} says {word}={number}, and its tensors have {found}")
    if said.k > n:
        raise ModelError(f"{path / CONFIG} says k={said.k}, and there are {n} features")


def _factor(path: Path, said: Configuration, paths: dict[str, Path]) -> float:
    """By what streams are multiplied before they are read."""
    if not said.is_scaled:
        return 1.0
    try:
        scaler = json.loads(paths[SCALER].read_text(encoding="utf-8"))
        factor = float(scaler["scaling_factor"])
        if not 0 < factor < math.inf:
            raise ValueError(factor)
    except (KeyError, OSError, ValueError, TypeError):
        raise ModelError(
            f"{path / CONFIG} says normalize_activations='expected_average_only_in', and the number that it means is in no {SCALER} beside it: "
            "save it with that number folded in (sae.fold_activation_norm_scaling_factor)"
        ) from None
    if scaler.get("has_whitening"):
        raise ModelError(f"{path / SCALER} says has_whitening=true: save the dictionary with its whitening folded in")
    return factor
