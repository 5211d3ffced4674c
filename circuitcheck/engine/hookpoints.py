"""Where a site lives in the bridge."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from circuitcheck.sites import Anatomy, Position, Site

# A neuron is an input of the output projection: after the gate, where there is one.
_HOOKS = {
    "N": "blocks.{}.mlp.out.hook_in",
    "H": "blocks.{}.attn.hook_z",
    "MLP": "blocks.{}.hook_mlp_out",
    "ATTN": "blocks.{}.hook_attn_out",
    "RESID_PRE": "blocks.{}.hook_resid_pre",
    "RESID_MID": "blocks.{}.hook_resid_mid",
    "RESID_POST": "blocks.{}.hook_resid_post",
    "EMBED": "hook_embed",
}


@dataclass(frozen=True)
class Target:
    """Entries of one kind in one layer: ``components`` (heads or neurons; None for all) at one position."""

    layer: int
    kind: str
    position: Position
    components: tuple[int, ...] | None

    @property
    def hook(self) -> str:
        return hook_name(self.layer, self.kind)


def hook_name(layer: int, kind: str) -> str:
    return _HOOKS[kind].format(layer)


def hook_names(n_layers: int) -> list[str]:
    """Every place where a site can live."""
    names = [hook_name(layer, kind) for kind in _HOOKS for layer in range(n_layers)]
    return list(dict.fromkeys(names))


def targets(sites: Sequence[Site]) -> list[Target]:
    """Sites as targets in the order of layers, those of one hook and position together."""
    grouped: dict[tuple[int, str, Position], list[int]] = defaultdict(list)
    for site in sites:
        grouped[site.layer, site.kind, site.position].append(site.index)
    return [
        Target(layer, kind, position, None if -1 in indices else tuple(sorted(indices)))
        for (layer, kind, position), indices in sorted(grouped.items())
    ]


def kinds_within(anatomy: Anatomy) -> list[str]:
    """The kinds of sites inside a block of this model, between the stream before it and the stream behind it."""
    missing = {"EMBED", "RESID_PRE", "RESID_POST"}
    missing |= {"N"} if anatomy.no_neurons else set()
    missing |= {"MLP"} if anatomy.d_mlp is None else set()
    missing |= {"RESID_MID"} if anatomy.parallel else set()
    return [kind for kind in _HOOKS if kind not in missing]
