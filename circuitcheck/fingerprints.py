"""Which model it is: 16 hex digits over weights, configuration, vocabulary, processing, dtype and BOS convention.

Of the weights as they were loaded: what folding and centring make of them differs in the last digit from machine to
machine, and is the same model.
"""

import hashlib
import json
from typing import Any


def fingerprint(bridge: Any, weights: str, bos: int | None) -> str:
    """Of a bridge as it was loaded, before anything is folded or centred (which ``weights`` says whether it will be)."""
    config = {key: str(value) for key, value in vars(bridge.cfg).items() if key not in ("model_name", "device")}
    digest = hashlib.sha256(json.dumps({"weights": weights, "bos": bos, "config": config}, sort_keys=True).encode())
    if bridge.tokenizer is not None:
        digest.update(json.dumps(bridge.tokenizer.get_vocab(), sort_keys=True).encode())
    _take_in(digest, bridge)
    return digest.hexdigest()[:16]


def of_changed(before: str, bridge: Any) -> str:
    """Of a model whose weights somebody has changed since it was loaded."""
    digest = hashlib.sha256(before.encode())
    _take_in(digest, bridge)
    return digest.hexdigest()[:16]


def _take_in(digest: Any, bridge: Any) -> None:
    import torch

    for key, tensor in sorted(bridge.state_dict().items()):
        digest.update(f"{key}{tuple(tensor.shape)}{tensor.dtype}".encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
