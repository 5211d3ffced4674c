"""What no file says of a model: 16 hex digits over its tensors, modules and vocabulary, as they are in memory."""

import hashlib
import json
from typing import Any

from circuitcheck.engine.watching.snapshots import description, parts_of


def of_vocabulary(tokenizer: Any) -> str:
    """Of a tokenizer that is not among a model's files; empty where there is none."""
    if tokenizer is None:
        return ""
    return hashlib.sha256(json.dumps(tokenizer.get_vocab(), sort_keys=True).encode()).hexdigest()[:16]


def of_bridge(bridge: Any) -> str:
    """Of a bridge that was made or wrapped elsewhere, before anything is folded or centred. It may have other modules than its
    configuration says, which count then, too."""
    config = {key: str(value) for key, value in vars(bridge.cfg).items() if key not in ("model_name", "device")}
    digest = hashlib.sha256(json.dumps(config, sort_keys=True).encode())
    digest.update("\n".join(description(parts_of(bridge))).encode("utf-8", "surrogatepass"))
    digest.update(of_vocabulary(bridge.tokenizer).encode())
    _take_in(digest, bridge)
    return digest.hexdigest()[:16]


def of_changed(before: str, changes: str, bridge: Any) -> str:
    """Of a model that is not as it was loaded: ``changes`` say how, in words."""
    digest = hashlib.sha256(f"{before}{changes}".encode("utf-8", "surrogatepass"))
    _take_in(digest, bridge)
    return digest.hexdigest()[:16]


def _take_in(digest: Any, bridge: Any) -> None:
    import torch

    for key, tensor in sorted(bridge.state_dict().items()):
        digest.update(f"{key}{tuple(tensor.shape)}{tensor.dtype}".encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
