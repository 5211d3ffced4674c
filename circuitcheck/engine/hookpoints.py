"""Where a site lives in the bridge, and the write that is checked to have happened there."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from circuitcheck.alignment import AlignedPair
from circuitcheck.errors import InterventionError, NumericsError
from circuitcheck.sites import Anatomy, Position, Site

if TYPE_CHECKING:
    import torch

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
    """Entries of one hook point: ``components`` (heads or neurons; None for all) at one position."""

    hook: str
    position: Position
    components: tuple[int, ...] | None

    def mask(self, pairs: Sequence[AlignedPair]) -> "torch.Tensor":
        """True at the addressed positions; shape [pair, position]."""
        import torch

        mask = torch.zeros(len(pairs), pairs[0].length, dtype=torch.bool)
        for row, pair in enumerate(pairs):
            mask[row, pair.positions(self.position)] = True
        return mask


def hook_of(site: Site) -> str:
    return _HOOKS[site.kind].format(site.layer)


def targets(sites: Sequence[Site]) -> list[Target]:
    """Sites as targets, those of one hook and position together."""
    grouped: dict[tuple[str, Position], list[int]] = defaultdict(list)
    for site in sites:
        grouped[hook_of(site), site.position].append(site.index)
    return [
        Target(hook, position, None if -1 in indices else tuple(sorted(indices)))
        for (hook, position), indices in grouped.items()
    ]


def all_hooks(anatomy: Anatomy) -> list[str]:
    """Every hook point that a site of this model can live at."""
    missing = {"N"} if anatomy.no_neurons else set()
    missing |= {"MLP"} if anatomy.d_mlp is None else set()
    missing |= {"RESID_MID"} if anatomy.parallel else set()
    kinds = [kind for kind in _HOOKS if kind not in missing and kind != "EMBED"]
    return ["hook_embed"] + [_HOOKS[kind].format(layer) for layer in range(anatomy.n_layers) for kind in kinds]


class Write:
    """Puts ``values`` into a target's entries of one batch, then checks that just these were written.

    ``values`` has the shape of the hook point's activation: [pair, position, component..., width].
    """

    def __init__(self, target: Target, mask: "torch.Tensor", values: "torch.Tensor"):
        self.target, self.values = target, values
        self.entries = self._entries(mask)
        self.fired = False
        self.unchanged = False
        self._original: torch.Tensor | None = None

    def hooks(self) -> list[tuple[str, Callable[..., Any]]]:
        """The write, and behind it at the same hook point the check, which sees what the model sees."""
        return [(self.target.hook, self._write), (self.target.hook, self._check)]

    def _entries(self, mask: "torch.Tensor") -> "torch.Tensor":
        """True at every addressed entry, broadcastable to the activation."""
        import torch

        wide = mask.reshape(*mask.shape, *[1] * (self.values.dim() - 2))
        if self.target.components is None:
            return wide
        chosen = torch.zeros(self.values.shape[2], dtype=torch.bool)
        chosen[list(self.target.components)] = True
        return wide & chosen.reshape(1, 1, -1, *[1] * (self.values.dim() - 3))

    def _write(self, activation: "torch.Tensor", hook: Any) -> "torch.Tensor":
        import torch

        if activation.shape != self.values.shape:
            shapes = f"{tuple(activation.shape)}, not {tuple(self.values.shape)}"
            raise InterventionError(f"{self.target.hook} has an activation of shape {shapes}")
        self._original = activation.clone()
        # In place as well as returned: what a hook returns at the middle of the residual stream reaches the MLP but not
        # the skip connection (TransformerLens 4.3), which reads the very tensor.
        return activation.copy_(torch.where(self.entries, self.values.to(activation.dtype), activation))

    def _check(self, activation: "torch.Tensor", hook: Any) -> None:
        original = self._original
        if original is None:
            raise InterventionError(f"the write at {self.target.hook} did not come before its check")
        if not bool(activation.isfinite().all()):
            raise NumericsError(f"the model's activations at {self.target.hook} are NaN or infinite")
        moved = activation != original
        if bool((moved & ~self.entries).any()):
            raise InterventionError(f"the write at {self.target.hook} touched entries that were not addressed")
        wanted = self.values.to(activation.dtype)
        if bool(((activation != wanted) & self.entries).any()):
            raise InterventionError(f"the write at {self.target.hook} did not arrive")
        self.fired, self.unchanged, self._original = True, not bool(moved.any()), None
