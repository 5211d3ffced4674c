"""The scales by which normalisations divide: of the unchanged run, to be held in a changed one."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from circuitcheck.addresses.kinds import LOGITS
from circuitcheck.engine.hooks.hookpoints import Entry, Target
from circuitcheck.engine.hooks.writes import Hold
from circuitcheck.engine.on_demand import torch
from circuitcheck.errors import MethodError

_FINAL = "ln_final.hook_scale"
# Of a block: those before attention and before the feed-forward module (which may share it), and behind either.
BEHIND_ATTENTION, BEHIND_MLP = "ln1_post", "ln2_post"
_OF_BLOCK = ("ln1", "ln2", BEHIND_ATTENTION, BEHIND_MLP)


@dataclass(frozen=True)
class Scales:
    """A run's scales by hook point, of shape [pair, position, 1]."""

    found: Mapping[str, torch.Tensor]

    @property
    def nbytes(self) -> int:
        return sum(scale.nbytes for scale in self.found.values())

    def holds(self, hooks: list[str], which: torch.Tensor, start: int) -> list[Hold]:
        """Those of some hook points held, for rows that are the pairs ``which`` from the token ``start`` on."""
        return [Hold(hook, self.found[hook][which, start:]) for hook in hooks if hook in self.found]


def scale_hook(layer: int, norm: str) -> str:
    return f"blocks.{layer}.{norm}.hook_scale"


def scale_hooks(bridge: Any, first: int = 0, stop: int | None = None) -> list[str]:
    """The hook points of the stream's normalisations that a model has: of the blocks from ``first`` until ``stop``, or of
    those from ``first`` on and the last of all. Raises ``MethodError`` for normalisations whose scale cannot be held."""
    blocks = range(first, int(bridge.cfg.n_layers) if stop is None else stop)
    names = [scale_hook(layer, norm) for layer in blocks for norm in _OF_BLOCK]
    there = [name for name in [*names, *([_FINAL] if stop is None else [])] if name in bridge.hook_dict]
    for name in there:
        norm = bridge.get_submodule(name.removesuffix(".hook_scale")).original_component
        if getattr(norm, "weight", None) is None:
            raise MethodError(
                f'ln="frozen" cannot be had of this model: TransformerLens holds the scale of no normalisation without weights, '
                f"which its {type(norm).__name__} is; leave out ln="
            )
    return there


def held_scales(bridge: Any, variant: Sequence[Target]) -> list[str]:
    """The hook points of those behind what is written; of paths, that at their end where it is behind the last block."""
    first = Entry.of(variant).first
    if all(target.routes for target in variant):
        first = int(bridge.cfg.n_layers)
        if not any(target.kind == LOGITS for target in variant):
            return []
    return scale_hooks(bridge, first)
