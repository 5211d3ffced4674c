"""What a dictionary's configuration says: SAELens' cfg.json of all versions, and what stands for it where there is none.

A field that would change what the dictionary computes, and that is not known here, is an error that names it.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from circuitcheck.engine.features.dictionary import Normalisation, Rule
from circuitcheck.errors import ModelError
from circuitcheck.records.files import reason

# By which rule features are active, and whether it is a transcoder, by the architecture's name.
_ARCHITECTURES: dict[str, tuple[Rule, bool]] = {
    "standard": ("relu", False),
    "topk": ("topk", False),
    "jumprelu": ("jumprelu", False),
    "gated": ("gated", False),
    # As they are saved while they are trained; saved to be used, they are "jumprelu".
    "batchtopk": ("jumprelu", False),
    "matryoshka_batchtopk": ("jumprelu", False),
    "transcoder": ("relu", True),
    "skip_transcoder": ("relu", True),
    "jumprelu_transcoder": ("jumprelu", True),
    "jumprelu_skip_transcoder": ("jumprelu", True),
}
_RENAMED: dict[str, str] = {
    "hook_point": "hook_name",
    "activation_fn_str": "activation_fn",
    "hook_point_head_index": "hook_head_index",
}
_NORMALISATIONS = ("none", "layer_norm", "constant_norm_rescale")
_SCALED = "expected_average_only_in"  # by a number that was folded in when it was saved, or stands in a file of its own
# What does not change what a dictionary computes: where it is kept, what it was trained on and how.
_IRRELEVANT = {
    "dtype", "device", "metadata", "model_name", "model_class_name", "hf_hook_name", "hf_hook_name_out", "hook_layer",
    "hook_layer_out", "hook_point_layer", "prepend_bos", "exclude_special_tokens", "neuronpedia_id", "context_size",
    "seqpos_slice", "dataset_path", "dataset_trust_remote_code", "sae_lens_version", "sae_lens_training_version",
    "training_tokens", "verbose", "seed", "lr", "sae_lens_release", "sae_id", "l1_coefficient", "lp_norm",
    "l1_warm_up_steps", "l0_coefficient", "l0_warm_up_steps", "aux_loss_coefficient", "topk_threshold_lr",
    "decoder_init_norm", "use_sparse_activations", "noise_sigma", "mse_loss_normalization", "b_dec_init_method",
    "matryoshka_widths", "jumprelu_init_threshold", "jumprelu_bandwidth", "jumprelu_sparsity_loss_mode",
    "jumprelu_tanh_scale", "pre_act_loss_coefficient", "decoder_normalization", "normalize_sae_decoder", "noise",
}  # fmt: skip
_READ = {
    "architecture", "d_in", "d_sae", "d_out", "k", "apply_b_dec_to_input", "normalize_activations",
    "reshape_activations", "finetuning_scaling_factor", "rescale_acts_by_decoder_norm", "activation_fn",
    "activation_fn_kwargs", "hook_name", "hook_name_out", "hook_head_index", "hook_head_index_out",
    "model_from_pretrained_kwargs",
}  # fmt: skip


@dataclass(frozen=True)
class Configuration:
    """A dictionary's kind, and where and on what it was trained. ``hook``, ``hook_out``: hook points by TransformerLens' names, empty where
    they are not said; ``kwargs``: how its model was loaded, None where that is not said."""

    rule: Rule
    is_transcoder: bool
    has_skip: bool = False
    d_in: int | None = None
    d_sae: int | None = None
    d_out: int | None = None
    k: int = 0
    takes_offset: bool = False
    normalisation: Normalisation = "none"
    is_scaled: bool = False
    rescales: bool = False
    is_tuned: bool = False
    hook: str = ""
    hook_out: str = ""
    kwargs: Mapping[str, Any] | None = None


def of_parameters(transcoder: bool) -> Configuration:
    """Of Gemma Scope's ``params.npz``, which no configuration goes with: JumpReLU, trained on streams as the model has them."""
    return Configuration("jumprelu", transcoder, kwargs={})


def of_file(path: Path) -> Configuration:
    """Of a ``cfg.json``. Raises ``ModelError`` that names the field that cannot be honoured."""
    try:
        said = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ModelError(f"{path} cannot be read as JSON: {reason(error)}") from error
    if not isinstance(said, dict):
        raise ModelError(f"{path} is no configuration: it holds no names with values")
    metadata = said.get("metadata")
    fields: dict[str, Any] = {_RENAMED.get(str(name), str(name)): value for name, value in said.items()}
    fields |= {name: value for name, value in metadata.items() if name in _READ} if isinstance(metadata, dict) else {}
    if unknown := sorted(fields.keys() - _READ - _IRRELEVANT):
        name = unknown[0]
        raise ModelError(f"{path} says {name}={fields[name]!r}, and what that does to features is not known here")
    for name in ("activation_fn_kwargs", "model_from_pretrained_kwargs"):
        if not isinstance(fields.get(name) or {}, dict):
            raise ModelError(f"{path} says {name}={fields[name]!r}, which holds no names with values")
    return _of_fields(path, fields)


def _of_fields(path: Path, fields: dict[str, Any]) -> Configuration:
    architecture, kwargs = str(fields.get("architecture", "standard")), fields.get("activation_fn_kwargs") or {}
    function = fields.get("activation_fn") or "relu"
    if architecture == "standard" and function == "topk":  # as older versions have it
        architecture, fields = "topk", {"k": kwargs.get("k"), **fields}
    if architecture not in _ARCHITECTURES:
        raise ModelError(f"{path} says architecture={architecture!r}: known are {', '.join(_ARCHITECTURES)}")
    rule, is_transcoder = _ARCHITECTURES[architecture]
    if function not in ("relu", architecture):
        raise ModelError(
            f"{path} says activation_fn={function!r}: known are 'relu' and, for top-k dictionaries, 'topk'"
        )
    if (reshape := fields.get("reshape_activations", "none")) != "none" or "hook_z" in str(fields.get("hook_name", "")):
        named = f"reshape_activations={reshape!r}" if reshape != "none" else f"hook_name={fields['hook_name']!r}"
        raise ModelError(
            f"{path} says {named}: a dictionary of all heads together has no site; streams, ATTN and MLP have"
        )
    for name in ("hook_head_index", "hook_head_index_out"):
        if fields.get(name) is not None:
            raise ModelError(
                f"{path} says {name}={fields[name]}: a dictionary of one head has no site; streams, ATTN and MLP have"
            )
    normalisation = fields.get("normalize_activations") or "none"
    normalisation = _SCALED if normalisation is True else normalisation
    if normalisation not in (*_NORMALISATIONS, _SCALED):
        raise ModelError(
            f"{path} says normalize_activations={normalisation!r}: known are {', '.join((*_NORMALISATIONS, _SCALED))}"
        )
    if is_transcoder and fields.get("apply_b_dec_to_input"):
        raise ModelError(f"{path} says apply_b_dec_to_input=true, and a transcoder's bias is of what it writes")
    return Configuration(
        rule=rule,
        is_transcoder=is_transcoder,
        has_skip="skip" in architecture,
        d_in=_size(path, fields, "d_in"),
        d_sae=_size(path, fields, "d_sae"),
        d_out=_size(path, fields, "d_out"),
        k=(_size(path, fields, "k") or 0) if architecture == "topk" else 0,
        takes_offset=bool(fields.get("apply_b_dec_to_input", not is_transcoder)),
        normalisation="none" if normalisation == _SCALED else cast(Normalisation, normalisation),
        is_scaled=normalisation == _SCALED,
        rescales="topk" in architecture and bool(fields.get("rescale_acts_by_decoder_norm", False)),
        is_tuned=bool(fields.get("finetuning_scaling_factor")),
        hook=str(fields.get("hook_name") or ""),
        hook_out=str(fields.get("hook_name_out") or ""),
        kwargs=fields.get("model_from_pretrained_kwargs"),
    )


def _size(path: Path, fields: Mapping[str, Any], name: str) -> int | None:
    size = fields.get(name)
    if size is None and name != "k":
        return None
    if type(size) is not int or size < 1:
        raise ModelError(f"{path} says {name}={size!r}, which is no whole number from 1 on")
    return size
