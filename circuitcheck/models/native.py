"""TransformerLens-native models: a state dict in either of its key conventions, and its configuration."""

import inspect
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from circuitcheck.errors import ModelError
from circuitcheck.models.untouched import Untouched

if TYPE_CHECKING:
    import torch

# What a configuration may say that TransformerLens' native network does; all else must be as it is where nothing is said.
_HONOURED = frozenset(
    [
        "d_model",
        "d_head",
        "n_layers",
        "n_ctx",
        "n_heads",
        "d_mlp",
        "d_vocab",
        "d_vocab_out",
        "n_key_value_heads",
        "act_fn",
        "eps",
        "attn_scale",
        "normalization_type",
        "final_rms",
        "attn_only",
        "gated_mlp",
        "positional_embedding_type",
        "rotary_base",
        "rotary_dim",
        "rope_scaling",
        "attn_scores_soft_cap",
        "output_logits_soft_cap",
        "attention_dir",
        "dtype",
        "rotary_adjacent_pairs",
    ]
)
# What makes no difference to what a network with given weights says.
_WITHOUT_EFFECT = frozenset(
    [
        "architecture",
        "original_architecture",
        "model_name",
        "tokenizer_name",
        "device",
        "n_devices",
        "n_params",
        "seed",
        "init_mode",
        "init_weights",
        "initializer_range",
        "from_checkpoint",
        "checkpoint_index",
        "checkpoint_label_type",
        "checkpoint_value",
        "default_prepend_bos",
        "default_padding_side",
        "tokenizer_prepends_bos",
        "tokenizer_appends_eos",
        "use_hook_tokens",
        "use_hook_mlp_in",
        "use_attn_in",
        "use_attn_result",
        "use_split_qkv_input",
        "trust_remote_code",
        "layer_norm_folding",
        "tie_word_embeddings",
    ]
)


def files_of_native(weights: Path) -> dict[str, Path]:
    """A native model's two files, by what they are. Raises ``ModelError`` where one is missing."""
    path = weights.with_name(f"{weights.stem}.config.json")
    for needed in (weights, path):
        if not needed.is_file():
            what = "the configuration of a TransformerLens-native model" if needed is path else "the model's weights"
            raise ModelError(f"{needed} does not exist; it should be {what}")
    return {"weights": weights, "config.json": path}


def boot_native(weights: Path, place: dict[str, Any]) -> tuple[Any, Untouched]:
    """A TransformerLens-native model, and what it is before it is wrapped. Raises ``ModelError`` for a configuration of which the
    network would not do all."""
    from transformer_lens.config import TransformerBridgeConfig
    from transformer_lens.model_bridge.sources import build_bridge_from_module
    from transformer_lens.model_bridge.sources.native import NativeModel
    from transformer_lens.utilities.tl_checkpoint_conversion import convert_tl_checkpoint

    path = files_of_native(weights)["config.json"]
    try:
        given = json.loads(path.read_text())
        state = _state_dict(weights)
        of_hooked_transformer = "embed.W_E" in state
        _refuse_what_is_not_done(path, given, of_hooked_transformer)
        config = TransformerBridgeConfig(**{"architecture": "TransformerLensNative"} | given)
        network = NativeModel(config).to(**place)
        untouched = Untouched(network)
        bridge = build_bridge_from_module(
            network, "TransformerLensNative", tl_config=config, model_name=weights.stem, **place
        )
        bridge.load_state_dict(convert_tl_checkpoint(state, config) if of_hooked_transformer else state, strict=True)
    except ModelError:
        raise
    except Exception as error:
        raise ModelError(f"{weights} could not be loaded: {type(error).__name__}: {error}") from error
    return bridge, untouched


def _refuse_what_is_not_done(path: Path, given: dict[str, Any], of_hooked_transformer: bool) -> None:
    from transformer_lens.config import TransformerBridgeConfig, TransformerLensConfig

    known = dict(inspect.signature(TransformerLensConfig).parameters)
    known |= dict(inspect.signature(TransformerBridgeConfig.__init__).parameters)
    for field, value in given.items():
        if field in _HONOURED or field in _WITHOUT_EFFECT or (field == "use_attn_scale" and value is True):
            continue
        standard = known[field].default if field in known else inspect.Parameter.empty
        if field == "uses_rms_norm" and str(given.get("normalization_type")).upper().startswith("RMS"):
            continue
        if value not in (standard, None, [], {}):
            raise ModelError(
                f"{path} says {field}={value!r}, which TransformerLens' native network does not do: numbers of it would be "
                "another model's"
            )
    kind = str(given.get("positional_embedding_type") or "standard").lower()
    if of_hooked_transformer and kind == "rotary" and not given.get("rotary_adjacent_pairs"):
        raise ModelError(
            f"{path} is of a HookedTransformer with rotary positions, which turned the halves of a head; TransformerLens' native "
            "network turns adjacent pairs (rotary_adjacent_pairs=true), and would say something else"
        )


def _state_dict(path: Path) -> "dict[str, torch.Tensor]":
    import pickle

    import torch
    from safetensors.torch import load_file

    if path.suffix == ".safetensors":
        return load_file(path)
    try:
        state: dict[str, torch.Tensor] = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:
        advice = "save its state dict with safetensors.torch.save_file"
        raise ModelError(
            f"{path} is a pickle that holds more than weights, and such a file can run any code: {advice}"
        ) from None
    return state
