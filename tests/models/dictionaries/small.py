"""Small dictionaries for tests: written by SAELens (see tools/dictionary_fixtures.py), and planted ones whose features are known."""

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

WRITTEN = Path(__file__).parent / "written"
RAW: dict[str, Any] = {"hook_name": "blocks.1.hook_resid_post", "model_from_pretrained_kwargs": {}}


def save(folder: Path, tensors: dict[str, torch.Tensor], **said: Any) -> Path:
    """A SAELens folder of these tensors; what is said of it beside its sizes."""
    folder.mkdir(parents=True, exist_ok=True)
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, folder / "sae_weights.safetensors")
    sizes = {"d_in": tensors["W_enc"].shape[0], "d_sae": tensors["W_enc"].shape[1], "architecture": "standard"}
    (folder / "cfg.json").write_text(json.dumps({**sizes, **RAW, **said}))
    return folder


def planted(folder: Path, width: int, n: int, seed: int = 0, **said: Any) -> Path:
    """Features that are directions: an orthonormal basis (of ``n`` directions, and of their opposites), so that each pair of features is
    what a stream has along one of them, whatever its sign."""
    basis = torch.linalg.qr(torch.randn(width, n, generator=torch.Generator().manual_seed(seed)))[0]
    both = torch.cat([basis, -basis], 1)
    tensors = {"W_enc": both, "W_dec": both.T, "b_enc": torch.zeros(2 * n), "b_dec": torch.zeros(width)}
    return save(folder, tensors, **said)
