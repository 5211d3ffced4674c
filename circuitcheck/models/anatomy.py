"""What a TransformerLens bridge is made of, as far as addresses can tell: what its hook points show when it is run."""

from collections.abc import Mapping
from typing import Any

from circuitcheck.addresses.anatomy import Anatomy, Layer
from circuitcheck.addresses.kinds import KINDS
from circuitcheck.engine.checking.real_text import tokens_for
from circuitcheck.engine.on_demand import torch

_Shapes = Mapping[str, tuple[int, ...]]
# How the names of a block's other modules begin: attention, and what carries nothing between tokens.
_NO_MIXERS = ("attn", "mlp", "ln", "norm", "resid", "pre_", "post_")


def anatomy_of(bridge: Any, name: str) -> Anatomy:
    """The anatomy of a bridge; ``name`` is what errors call it."""
    n_layers = int(bridge.cfg.n_layers)
    hooks = {row.hook.format(layer) for row in KINDS.values() if row.in_block for layer in range(n_layers)}
    counts = {int(n) for n in (bridge.cfg.n_heads, getattr(bridge.cfg, "n_key_value_heads", None)) if n}
    # No other dimension is as long as the text, so that positions are known from heads.
    lengths = [n for n in (5, 6, 7, 8, 4, 3, 2, 1) if n <= int(bridge.cfg.n_ctx)]
    length = tokens_for(bridge, next((n for n in lengths if n not in counts), lengths[0])).shape[1]
    shapes = _shapes(bridge, sorted(hooks & bridge.hook_dict.keys()), length)
    return Anatomy(name, tuple(_Shown(bridge, layer, shapes, length).layer() for layer in range(n_layers)))


def split_heads_by_values(bridge: Any) -> Any:
    """The bridge, whose heads are as wide as their values: TransformerLens divides what heads write by the width of their
    queries, which latent attention (DeepSeek) has of another size."""
    for block in bridge.blocks:
        attention: Any = getattr(block, "attn", None)
        width = getattr(getattr(attention, "original_component", None), "v_head_dim", None)
        if isinstance(width, int):
            split = attention.o.hook_in.hook_conversion
            split.n_heads, split.d_head = split.n_heads * split.d_head // width, width
    return bridge


def _shapes(bridge: Any, hooks: list[str], length: int) -> _Shapes:
    """The shape of what is at each hook point that a few words reach."""
    found: dict[str, tuple[int, ...]] = {}

    def looking(name: str) -> Any:
        return name, lambda activation, hook: found.__setitem__(name, tuple(activation.shape))

    tokens = tokens_for(bridge, length).to(bridge.cfg.device)
    with torch.inference_mode():
        bridge.run_with_hooks(tokens, fwd_hooks=[looking(name) for name in hooks])
    return found


class _Shown:
    """What is to be seen of one layer."""

    def __init__(self, bridge: Any, number: int, shapes: _Shapes, length: int):
        self.block, self.hooks, self.number = bridge.blocks[number], bridge.hook_dict, number
        self._shapes, self._length = shapes, length

    def count(self, kind: str) -> int:
        """How many of a kind there are; 0 where its hook point shows something else, or nothing."""
        shape, row = self._shapes.get(KINDS[kind].hook.format(self.number), ()), KINDS[kind]
        if row.width == "pattern":
            return shape[1] if len(shape) == 4 and shape[2:] == (self._length, self._length) else 0
        if shape[:2] != (1, self._length) or len(shape) != (4 if row.width == "head" else 3):
            return 0
        return shape[2] if row.numbered else 1

    def layer(self) -> Layer:
        heads, groups = self.count("H"), self.count("H.K")
        groups = groups if groups and heads % groups == 0 and groups == self.count("H.V") else 0
        missing = {**self._without_heads(heads, groups), **self._without_sublayers()}
        return Layer(
            n_heads=heads,
            d_mlp=None if "MLP" in missing else 0 if "N" in missing else self.count("N"),
            n_groups=groups if 0 < groups < heads else None,
            missing=missing,
            parallel=not missing.keys() & {"ATTN", "MLP"} and not self.count("RESID_MID"),
            post_norm=any(f"blocks.{self.number}.{norm}.hook_out" in self.hooks for norm in ("ln1_post", "ln2_post")),
            mixer=self.mixer,
        )

    @property
    def mixer(self) -> str:
        """What may carry information between tokens next to attention, or in its place, by its class; empty where nothing does."""
        children = {name: child for name, child in self.block.named_children() if hasattr(child, "original_component")}
        others = [child for name, child in children.items() if not name.startswith(_NO_MIXERS)]
        if not others and not hasattr(self.block, "attn"):
            others = [self.block]
        return " and ".join(type(other.original_component).__name__ for other in others)

    def _without_heads(self, heads: int, groups: int) -> dict[str, str]:
        """Why there are no heads, or not all of their parts."""
        if not heads:
            why = f"has no heads that can be addressed (it has {self.mixer})" if self.mixer else "has no heads"
            return {kind: why for kind in KINDS if kind.partition(".")[0] in ("H", "KV")}
        parts = {"H.Q": self.count("H.Q") == heads, "H.PATTERN": self.count("H.PATTERN") == heads}
        parts |= dict.fromkeys(("H.K", "H.V", "KV.K", "KV.V"), bool(groups))
        nouns = {
            kind: "queries" if kind == "H.Q" else "attention patterns" if kind == "H.PATTERN" else "keys and values"
            for kind in parts
        }
        return {
            kind: f"has no {nouns[kind]} of single heads that can be addressed: address the heads"
            for kind, there in parts.items()
            if not there
        }

    def _without_sublayers(self) -> dict[str, str]:
        """Why there are no neurons, and which of the sublayers' outputs and streams are not there."""
        missing = {}
        if not hasattr(self.block, "mlp"):
            missing["MLP"] = "has no MLP that can be addressed" + (f" (it has {self.mixer})" if self.mixer else "")
            missing["N"] = "has no neurons that can be addressed: it has no MLP"
        elif self.hooks.get(f"blocks.{self.number}.mlp.hook_post") is self.hooks.get(
            f"blocks.{self.number}.mlp.hook_out"
        ):
            routes = "it routes tokens to experts, so that 'its n-th neuron' is not one component: address the MLP"
            missing["N"] = f"has no neurons ({routes})"
        elif not self.count("N"):
            missing["N"] = "has no neurons that can be addressed (TransformerLens does not show them): address the MLP"
        for kind in ("ATTN", "MLP"):
            if not self.count(kind):
                has = f" (it has {self.mixer})" if self.mixer else ""
                missing.setdefault(kind, f"has no {KINDS[kind].noun} that can be addressed{has}")
        for kind in ("RESID_PRE", "RESID_POST"):
            if not self.count(kind):
                missing[kind] = f"has no {kind} that can be addressed (TransformerLens does not show it)"
        if missing.keys() & {"ATTN", "MLP"} and not self.count("RESID_MID"):
            missing["RESID_MID"] = "has no stream between attention and MLP that can be addressed"
        return missing
