"""Train a top-k dictionary (Makhzani & Frey 2014; Gao et al. 2024) on the streams of a model, and write it as SAELens does.

tensors = train(streams, n=512, k=8, seed=0, steps=3000)         # streams [token, width]
save(tensors, Path("runs/sae"), hook="blocks.1.hook_resid_post", k=8, processed=True, name="bundled")
"""

import json
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch

from circuitcheck.engine.features.dictionary import largest

_BATCH, _RATE = 1024, 1e-3
# A feature that was active in none of so many steps is dead, and is trained on what the others leave, so many of them at a token.
_DEAD_AFTER, _REVIVED, _REVIVING = 100, 32, 1 / 32


def streams_of(bridge: Any, texts: Sequence[Sequence[int]], hook: str, minutes: float = 60) -> torch.Tensor:
    """What is at a hook point at all tokens of texts but the first, of shape [token, width]; of as many as are run in so many ``minutes``."""
    found: list[torch.Tensor] = []
    began = time.monotonic()
    after = int(hook.split(".")[1]) + 1  # what comes after the layer is not run

    def keep(activation: torch.Tensor, hook: Any) -> None:
        found.append(activation[:, 1:].detach().flatten(0, 1).float().cpu())

    with torch.inference_mode():
        for batch in _of_one_length(texts):
            tokens = torch.tensor(batch, device=bridge.cfg.device)
            bridge.run_with_hooks(tokens, fwd_hooks=[(hook, keep)], stop_at_layer=after)
            if time.monotonic() - began > 60 * minutes:
                break
    return torch.cat(found).clone()


def train(
    streams: torch.Tensor,
    n: int,
    k: int,
    seed: int,
    steps: int,
    say: Callable[[str], None] = print,
    minutes: float = 60,
) -> dict[str, torch.Tensor]:
    """The tensors of a dictionary of ``n`` features, of which ``k`` are active at a token; no longer than so many ``minutes``."""
    chance, began = torch.Generator().manual_seed(seed), time.monotonic()
    center = streams.mean(0)
    scale = (streams - center).square().sum(1).mean().sqrt()
    decoder = torch.randn(n, streams.shape[1], generator=chance)
    decoder /= decoder.norm(dim=1, keepdim=True)
    parameters = {
        "W_enc": decoder.T.clone(),
        "W_dec": decoder,
        "b_enc": torch.zeros(n),
        "b_dec": torch.zeros_like(center),
    }
    for tensor in parameters.values():
        tensor.requires_grad_()
    optimizer, idle = torch.optim.Adam(parameters.values(), lr=_RATE), torch.zeros(n)
    for step in range(steps):
        rows = torch.randint(len(streams), (_BATCH,), generator=chance)
        x = (streams[rows] - center) / scale
        loss, active = _loss(parameters, x, k, idle > _DEAD_AFTER)
        # The rate falls to 0 over the last fifth, of the steps or of the minutes.
        done = max(step / steps, min(1.0, (time.monotonic() - began) / (60 * minutes)))
        for group in optimizer.param_groups:
            group["lr"] = _RATE * min(1.0, 5 * (1 - done))
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        optimizer.step()
        idle = torch.where(active, 0.0, idle + 1)
        with torch.no_grad():
            parameters["W_dec"] /= parameters["W_dec"].norm(dim=1, keepdim=True)
        if step % 500 == 0 or step == steps - 1:
            say(f"step {step}: loss {float(loss.detach()):.4f}, {int((idle > _DEAD_AFTER).sum())} of {n} features dead")
        if time.monotonic() - began > 60 * minutes:
            say(f"stopped after {step + 1} steps")
            break
    found = {name: tensor.detach() for name, tensor in parameters.items()}
    # As it reads the streams themselves: their scale and centre are folded in.
    return found | {"b_enc": found["b_enc"] * scale, "b_dec": found["b_dec"] * scale + center}


def save(tensors: dict[str, torch.Tensor], folder: Path, *, hook: str, k: int, processed: bool, name: str) -> None:
    """A SAELens folder. ``k`` features are active at a token, or, where it is 0, those above 0; ``processed``: whether the streams were
    those of folded and centred weights."""
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    save_file({one: tensor.contiguous() for one, tensor in tensors.items()}, folder / "sae_weights.safetensors")
    width, n = tensors["W_enc"].shape
    rule = {"architecture": "topk", "k": k} if k else {"architecture": "standard"}
    said = {**rule, "d_in": width, "d_sae": n, "dtype": "float32", "apply_b_dec_to_input": True}
    kwargs = {"center_writing_weights": processed, "fold_ln": processed}
    metadata = {"hook_name": hook, "model_name": name, "model_from_pretrained_kwargs": kwargs}
    (folder / "cfg.json").write_text(json.dumps({**said, "metadata": metadata}, indent=1) + "\n", encoding="utf-8")


def _loss(
    parameters: dict[str, torch.Tensor], x: torch.Tensor, k: int, dead: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """What is not explained of what there is; and which features were active, of shape [feature]."""
    before = (x - parameters["b_dec"]) @ parameters["W_enc"] + parameters["b_enc"]
    features = largest(before, k)
    left = x - features @ parameters["W_dec"] - parameters["b_dec"]
    loss = left.square().sum(1).mean()
    if bool(dead.any()):
        revived = largest(torch.where(dead, before, -torch.inf), min(_REVIVED, int(dead.sum())))
        loss = loss + _REVIVING * (left.detach() - revived @ parameters["W_dec"]).square().sum(1).mean()
    return loss, (features > 0).any(0)


def _of_one_length(texts: Sequence[Sequence[int]]) -> Iterator[list[Sequence[int]]]:
    """The texts in batches of one length."""
    by_length: dict[int, list[Sequence[int]]] = {}
    for text in texts:
        by_length.setdefault(len(text), []).append(text)
    for alike in by_length.values():
        for start in range(0, len(alike), 256):
            yield alike[start : start + 256]
