"""Which model it is: 16 hex digits over weights, configuration, vocabulary, processing, dtype and BOS convention.

Of the weights as they were loaded: what folding and centring make of them differs in the last digit from machine to
machine, and is the same model.
"""

import hashlib
import json
from typing import Any


def fingerprint(bridge: Any, weights: str, bos: int | None, wrapped_elsewhere: bool = False) -> str:
    """Of a bridge as it was loaded, before anything is folded or centred (which ``weights`` says whether it will be). What was
    ``wrapped_elsewhere`` may have other modules than its configuration says, which count then, too."""
    config = {key: str(value) for key, value in vars(bridge.cfg).items() if key not in ("model_name", "device")}
    digest = hashlib.sha256(json.dumps({"weights": weights, "bos": bos, "config": config}, sort_keys=True).encode())
    if wrapped_elsewhere:
        from circuitcheck.engine.watching.snapshots import description, parts_of

        digest.update("\n".join(description(parts_of(bridge))).encode("utf-8", "surrogatepass"))
    if bridge.tokenizer is not None:
        digest.update(json.dumps(bridge.tokenizer.get_vocab(), sort_keys=True).encode())
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
