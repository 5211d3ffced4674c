"""What a TransformerLens bridge is made of, as far as addresses can tell."""

from typing import Any

from circuitcheck.addresses.anatomy import Anatomy


def anatomy_of(bridge: Any, name: str) -> Anatomy:
    """The anatomy of a bridge; ``name`` is what errors call it."""
    cfg, hooks = bridge.cfg, bridge.hook_dict
    has_mlp = "blocks.0.hook_mlp_out" in hooks and not getattr(cfg, "attn_only", False)
    if not has_mlp:
        no_neurons = f"{name} has no MLPs, so that it has no neurons"
    elif getattr(cfg, "num_experts", None):
        no_neurons = f"{name} routes tokens to experts, so that 'its n-th neuron' is not one component; address the MLP"
    elif "blocks.0.mlp.out.hook_in" not in hooks:
        no_neurons = f"{name} does not expose the inputs of its MLPs' output projections; address the MLP"
    else:
        no_neurons = ""
    groups = int(getattr(cfg, "n_key_value_heads", None) or cfg.n_heads)
    parts = [f"blocks.0.attn.hook_{part}" for part in ("q", "k", "v", "pattern")]
    in_one_piece = f"{name} computes attention in one piece, so that its heads have no parts; address the head"
    return Anatomy(
        name=name,
        n_layers=int(cfg.n_layers),
        n_heads=int(cfg.n_heads),
        d_mlp=_mlp_width(bridge) if has_mlp else None,
        parallel="blocks.0.hook_resid_mid" not in hooks,
        no_neurons=no_neurons,
        n_groups=None if groups == int(cfg.n_heads) else groups,
        no_parts="" if all(part in hooks for part in parts) else in_one_piece,
        post_norm=any(f"blocks.0.{norm}.hook_out" in hooks for norm in ("ln1_post", "ln2_post")),
    )


def _mlp_width(bridge: Any) -> int:
    """Neurons in a layer, by the weights where they can be read: the configuration of some (OPT) is only a guess."""
    try:
        return int(bridge.blocks[0].mlp.W_out.shape[0])
    except AttributeError:
        return int(bridge.cfg.d_mlp)
