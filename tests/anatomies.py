"""Anatomies as they are written in tests."""

from typing import Any

from circuitcheck.addresses.anatomy import Anatomy, Layer


def alike(name: str, n_layers: int, n_heads: int, d_mlp: int | None, **more: Any) -> Anatomy:
    """Layers that are all alike."""
    return Anatomy(name, n_layers * (Layer(n_heads, d_mlp, **more),))
