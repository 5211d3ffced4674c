"""Hugging Face folders as transformers reads them, every weight from their files: none is drawn at random in silence.

network = network_of(Path("checkpoint"), device="cpu", dtype=torch.float32)
"""

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from math import prod
from pathlib import Path
from typing import Any

from circuitcheck.engine.on_demand import torch
from circuitcheck.errors import ModelError
from circuitcheck.models.devices import AUTO, QUANTISED

_ONE, _INDEX = "model.safetensors", "model.safetensors.index.json"
_SHARD = re.compile(r"model-\d+-of-\d+\.safetensors")
# Masks and frequencies that older files hold, and that no model learns.
_MASKS = re.compile(r"(^|\.)((attn|attention)\.(masked_)?bias|rotary_emb\.inv_freq)$")
_ADAPTER = ("adapter_config.json", "adapter_model.safetensors")
# How names look that belong to something else than a model's own weights, and what to do about it.
_ORIGINS = (
    (r"(^|\.)(base_layer|lora_[A-Za-z_]+|modules_to_save)\.", "an adapter was not merged: merge_and_unload() it, and save that"),
    (r"(^|\.)_orig_mod\.", "a compiled model was saved: save the module inside, model._orig_mod"),
    (r"^(module|_fsdp_wrapped_module)\.", "a wrapped model was saved: save the module inside, model.module"),
    (r"^(score|classifier|qa_outputs|v_head|value_head|reward_head)\.", "the weights are those of a model with another head"),
    (r"\.(gamma|beta)$", "the names are those of an older convention: load and save it with the transformers that wrote it"),
)  # fmt: skip
_NAMED = 4
# What safetensors calls the dtypes.
_DTYPES = {"F32": "float32", "F64": "float64", "BF16": "bfloat16", "F16": "float16"}
# What a folder's weights, configuration and tokenizer are read from, and what else goes by such names.
_READ = ("*.safetensors", "*.json", "*.txt", "*.model", "*.jinja", "*.tiktoken", "*.spm", "*.bpe", "*.codes", "*.vocab")
_NOT_READ = re.compile(
    r"(generation_config|trainer_state|\w*_results|model_index)\.json|(README|LICENSE|NOTICE|requirements)\.txt"
)


def files_read(folder: Path) -> dict[str, Path]:
    """The files, by their names, that what the folder's model says depends on."""
    found = {path.name: path for pattern in _READ for path in folder.glob(pattern) if path.is_file()}
    return {name: path for name, path in found.items() if not _NOT_READ.fullmatch(name)}


def saved_in(files: Iterable[Path]) -> str:
    """The dtype that most numbers of safetensors files have, such as "bfloat16"; empty where there is none of these."""
    from safetensors import safe_open

    numbers: Counter[str] = Counter()
    for path in files:
        if path.suffix == ".safetensors":
            with safe_open(path, framework="pt") as file:
                for tensor in map(file.get_slice, file.keys()):
                    numbers[tensor.get_dtype()] += prod(tensor.get_shape())
    return next((_DTYPES.get(dtype, dtype) for dtype, _ in numbers.most_common(1)), "")


def check_folder(folder: Path) -> None:
    """Raises ``ModelError`` for a folder that is no model, or of which it is not clear what its weights are."""
    if any((folder / name).exists() for name in _ADAPTER):
        raise ModelError(
            f"{folder} holds an adapter ({' and '.join(name for name in _ADAPTER if (folder / name).exists())}), and whether it "
            "counts would depend on what is installed: merge_and_unload() it into its model and save that, or take these files out"
        )
    if not (folder / "config.json").is_file():
        raise ModelError(f"{folder} is not a Hugging Face folder: it has no config.json")
    files = sorted(path.name for path in folder.glob("*.safetensors"))
    if not files:
        pickles = [path.name for pattern in ("*.bin", "*.pt", "*.pth", "*.ckpt") for path in folder.glob(pattern)]
        found = f"only {', '.join(pickles)}, and a pickle can run any code" if pickles else "no weights"
        advice = (
            "save it with save_pretrained(..., safe_serialization=True)" if pickles else "model.safetensors is missing"
        )
        raise ModelError(f"{folder} has no safetensors file ({found}): {advice}")
    shards = [name for name in files if _SHARD.fullmatch(name)]
    if _ONE in files and (shards or (folder / _INDEX).exists()):
        beside = f"{len(shards)} shards" if shards else _INDEX
        raise ModelError(f"{folder} has {_ONE} and {beside}, and only one of them can be the model: take the other out")
    if stray := [name for name in shards if name not in _listed_shards(folder)]:
        raise ModelError(
            f"{folder} has shards that {_INDEX} does not name ({_some(stray)}): take them out, or add them"
        )


def network_of(folder: Path, device: str, dtype: Any) -> tuple[Any, Any]:
    """The folder's network as transformers makes it, and the adapter by which TransformerLens wraps it. Raises ``ModelError``
    for weights that the files lack, and for those that have no place in the model."""
    from transformer_lens.factories.architecture_adapter_factory import ArchitectureAdapterFactory
    from transformer_lens.model_bridge.sources import build_bridge_config_from_hf
    from transformer_lens.model_bridge.sources.transformers import (
        determine_architecture_from_hf_config,
        get_hf_model_class_for_architecture,
    )
    from transformers import AutoConfig, BitsAndBytesConfig

    _refuse_custom_code(folder)
    config = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    # Whoever saved it ran it by what was installed there: each way of attention gives the same but for rounding.
    config._attn_implementation = None
    try:
        architecture = determine_architecture_from_hf_config(config)
    except ValueError:
        named = " or ".join(getattr(config, "architectures", None) or [type(config).__name__])
        raise ModelError(f"{folder} is a {named}, of which TransformerLens knows no way to look inside") from None
    adapter = ArchitectureAdapterFactory.select_architecture_adapter(
        build_bridge_config_from_hf(config, architecture, str(folder), torch.bfloat16 if dtype in QUANTISED else dtype)
    )
    arguments: dict[str, Any] = {"config": config, "dtype": dtype, "local_files_only": True, "use_safetensors": True}
    if device == AUTO:
        arguments["device_map"] = AUTO
    if dtype in QUANTISED:
        arguments |= {"dtype": torch.bfloat16, "quantization_config": BitsAndBytesConfig(**QUANTISED[dtype])}
    adapter.prepare_loading(str(folder), arguments)
    network_class = get_hf_model_class_for_architecture(architecture)
    try:
        network, report = network_class.from_pretrained(folder, **arguments, output_loading_info=True)
    except Exception as error:  # each of the quantisers raises its own
        if not (quantised := getattr(config, "quantization_config", None)):
            raise
        method = quantised.get("quant_method") if isinstance(quantised, dict) else quantised.quant_method
        raise ModelError(
            f"{folder} is quantised ({getattr(method, 'value', method)}), and transformers cannot load that here "
            f"({str(error).strip().splitlines()[0].rstrip('.')}): take the model as it was before, or save it dequantised"
        ) from error
    _refuse_incomplete(folder, network, report)
    return (network if device == AUTO else network.to(device)), network_class


def _refuse_custom_code(folder: Path) -> None:
    """Of a folder whose architecture transformers lacks, and which brings code of its own."""
    from transformers import CONFIG_MAPPING

    try:
        said = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        kind, code = said.get("model_type"), said.get("auto_map")
    except (ValueError, AttributeError):
        raise ModelError(f"{folder / 'config.json'} is no configuration: it is not a JSON object") from None
    if code and kind not in CONFIG_MAPPING:
        raise ModelError(
            f"{folder} is a model of its own code (auto_map in config.json), and code of a model's folder is never run: only "
            f"architectures that transformers has itself can be measured, and {kind!r} is none of these"
        )


def _refuse_incomplete(folder: Path, network: Any, report: dict[str, Any]) -> None:
    unread, lacking = (
        sorted(report["unexpected_keys"]),
        sorted({*report["missing_keys"], *_passed_over(folder, network)}),
    )
    if not unread and not lacking:
        return
    problems = []
    if lacking:
        problems.append(
            f"lacks {len(lacking)} of the model's weights, which would be drawn at random ({_some(lacking)})"
        )
    if unread:
        problems.append(f"holds {len(unread)} that have no place in the model ({_some(unread)})")
    origins = [advice for pattern, advice in _ORIGINS if any(re.search(pattern, name) for name in unread)]
    more = (
        f": {origins[0]}" if origins else ": config.json and the weights are of different models, or a file is missing"
    )
    raise ModelError(f"{folder} {', and '.join(problems)}{more}")


def _passed_over(folder: Path, network: Any) -> list[str]:
    """Weights that transformers does not report as missing, since some checkpoints of the class leave them out."""
    patterns = network._keys_to_ignore_on_load_missing or ()
    suspects = [name for name in network.state_dict() if any(re.search(pattern, name) for pattern in patterns)]
    if not suspects:
        return []
    there = _names_in(folder)
    storages = {name: tensor.data_ptr() for name, tensor in network.state_dict().items()}
    filled = {storages[name] for name in there if name in storages}
    return [name for name in suspects if storages[name] not in filled]


def _names_in(folder: Path) -> set[str]:
    """The names of all tensors in a folder's files."""
    from safetensors import safe_open

    names: set[str] = set()
    for path in folder.glob("*.safetensors"):
        with safe_open(path, framework="pt") as file:
            names |= set(file.keys())
    return names


def _listed_shards(folder: Path) -> set[str]:
    try:
        weights = json.loads((folder / _INDEX).read_text(encoding="utf-8"))["weight_map"]
        return set(weights.values())
    except FileNotFoundError:
        return set()
    except (ValueError, KeyError, AttributeError, TypeError):
        raise ModelError(f"{folder / _INDEX} is not an index of shards: it has no weight_map") from None


def _some(names: Sequence[str]) -> str:
    more = len(names) - _NAMED
    return ", ".join(names[:_NAMED]) + (f" and {more} more" if more > 0 else "")


@contextmanager
def quiet_libraries() -> Iterator[None]:
    """No progress bars and no third-party warnings while a model loads; what matters is raised."""
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from transformers.utils import logging

        was_on = logging.is_progress_bar_enabled()
        logging.disable_progress_bar()
        try:
            yield
        finally:
            if was_on:
                logging.enable_progress_bar()
