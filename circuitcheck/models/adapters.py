"""Adapters of PEFT, merged into the model that they were trained on.

    network = merged(network, Path("runs/checkpoint-500"))

``circuitcheck.load(BASE, adapter=FOLDER)`` asks a fine-tune that was saved as an adapter, without a copy of the whole model.
"""

import json
from pathlib import Path
from typing import Any

from circuitcheck.engine.on_demand import torch
from circuitcheck.errors import ModelError
from circuitcheck.models.untouched import logits_of
from circuitcheck.records.files import reason

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
_MISSING = "adapters are read by the package peft, which is missing: pip install 'circuitcheck[peft]'"
# How far merging may move logits, as a share of the largest: rounding, and no more.
_REACH = {4: 1e-4, 8: 1e-4, 2: 5e-2}
_TOKENS = 12


def files_read(folder: Path) -> dict[str, Path]:
    """The files that count. Raises ``ModelError`` for a folder that holds no adapter, or one whose weights are a pickle."""
    if not (folder / CONFIG).is_file():
        raise ModelError(f"adapter={folder} is no adapter's folder: it has no {CONFIG}")
    if not (folder / WEIGHTS).is_file():
        pickled = (
            ": its weights are a pickle, which can run any code" if (folder / "adapter_model.bin").exists() else ""
        )
        raise ModelError(f"adapter={folder} has no {WEIGHTS}{pickled}; save it with PEFT's save_pretrained")
    return {f"adapter/{name}": folder / name for name in (CONFIG, WEIGHTS)}


def merged(network: Any, folder: Path) -> Any:
    """The network with an adapter's changes in its own weights. Raises ``ModelError`` for an adapter of another model, and for one
    that cannot be merged, or not without changing what it says."""
    try:
        from peft import PeftModel
    except ImportError:
        raise ModelError(_MISSING) from None

    kind = type(network)
    try:
        adapted = PeftModel.from_pretrained(network, folder, local_files_only=True, use_safetensors=True).eval()
    except Exception as error:  # shapes and names that do not fit are errors of many kinds
        raise ModelError(f"{_of_another(folder)} ({reason(error)})") from error
    if strangers := _unmatched(adapted, folder):
        raise ModelError(f"{_of_another(folder)} (no place for {', '.join(strangers[:4])})")
    tokens = torch.arange(_TOKENS, device=network.device)[None] % network.config.get_text_config().vocab_size
    before = logits_of(adapted, tokens)
    try:
        whole = adapted.merge_and_unload(safe_merge=True)
    except Exception as error:
        how = json.loads((folder / CONFIG).read_text(encoding="utf-8")).get("peft_type", "unknown")
        raise ModelError(
            f"adapter={folder} is of a kind ({how}) that cannot be merged into weights ({reason(error)})"
        ) from error
    off = float((logits_of(whole, tokens) - before).abs().max() / before.abs().max())
    if type(whole) is not kind or off > _REACH[before.dtype.itemsize]:
        raise ModelError(
            f"adapter={folder} says something else once it is merged (logits move by {off:.2g} of the largest): an adapter of the "
            "unembedding of a model that ties it to its embedding cannot be merged"
        )
    return whole


def _of_another(folder: Path) -> str:
    said = json.loads((folder / CONFIG).read_text(encoding="utf-8")).get("base_model_name_or_path")
    return (
        f"adapter={folder} is of another model than this: it was trained on {said or 'a model that it does not name'}"
    )


def _unmatched(adapted: Any, folder: Path) -> list[str]:
    """Tensors that the adapter's file has and the model has no place for, or the other way round."""
    from peft import get_peft_model_state_dict
    from safetensors import safe_open

    with safe_open(folder / WEIGHTS, framework="pt") as file:
        there = set(file.keys())
    return sorted(there ^ set(get_peft_model_state_dict(adapted)))
