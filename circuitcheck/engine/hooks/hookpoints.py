"""Where a site lives in the bridge."""

from collections import defaultdict
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from circuitcheck.addresses.kinds import AFTER, BEFORE, KINDS
from circuitcheck.addresses.sites import Position, Site
from circuitcheck.engine.on_demand import torch
from circuitcheck.errors import AddressError


@dataclass(frozen=True)
class Target:
    """Entries of one kind in one layer: ``components`` (heads or neurons; None for all) at one position.

    ``routes``: the paths, without their end, by which they are reached; none where they themselves are written.
    """

    layer: int
    kind: str
    position: Position
    components: tuple[int, ...] | None
    routes: tuple[tuple[Site, ...], ...] = ()

    @property
    def hook(self) -> str:
        return hook_name(self.layer, self.kind)

    @property
    def is_of_dictionary(self) -> bool:
        """Whether it is features, or the error, of a dictionary: not what is at its hook point, but what is made of that."""
        return bool(KINDS[self.kind].host)

    @property
    def recorded(self) -> Hashable:
        """What its activation is known by: that of all components, but of features, which are too many, those that are named."""
        return (self.hook, self.kind, self.components) if self.is_of_dictionary else self.hook


@dataclass(frozen=True)
class Entry:
    """Where a cone begins: at the block ``first``, whose earlier modules need not be run again.

    ``written`` are the kinds that are written in that block; None where its input is already changed, so that the
    whole block must be run.
    """

    first: int
    written: frozenset[str] | None

    @staticmethod
    def of(targets: Sequence[Target]) -> "Entry":
        # What lies after a block first changes the next one.
        first = min(target.layer + (KINDS[target.kind].depth == AFTER) for target in targets)
        here = (target.kind for target in targets if target.layer == first)
        kinds = frozenset(kind for kind in here if KINDS[kind].depth != AFTER)
        changed_before = any(target.layer < first for target in targets)
        whole = changed_before or not kinds or any(KINDS[kind].depth == BEFORE for kind in kinds) or first < 0
        return Entry(max(first, 0), None if whole else kinds)


def hook_name(layer: int, kind: str) -> str:
    return KINDS[kind].hook.format(layer)


def output_projection(block: Any, kind: str) -> Any:
    """The linear module by which components of a kind write into the stream."""
    weights = KINDS[kind].weights
    if weights is None:
        raise AssertionError("it writes by the weights of a module")
    module = getattr(block, weights[0])
    # Where other layers route to experts, TransformerLens names that of an MLP otherwise.
    return getattr(module, weights[1], None) or module.dense_out


def hook_names(n_layers: int) -> list[str]:
    """Every place where a site can live."""
    names = [hook_name(layer, kind) for kind in KINDS for layer in range(n_layers)]
    return list(dict.fromkeys(names))


def targets(sites: Sequence[Site]) -> list[Target]:
    """Sites as targets in the order of layers, those of one hook and position together, and those reached alike.

    Raises ``AddressError`` for a component that is both written itself and the end of a path.
    """
    routes: dict[tuple[int, str, Position, int], list[tuple[Site, ...]]] = defaultdict(list)
    for site in sites:
        found = routes[site.layer, site.kind, site.position, site.index]
        if site.via not in found:
            found.append(site.via)
    grouped: dict[tuple[int, str, Position, tuple[tuple[Site, ...], ...]], list[int]] = defaultdict(list)
    for (layer, kind, position, index), found in routes.items():
        if () in found and len(found) > 1:
            end = Site(layer, kind, index, position)
            raise AddressError(f"{end} is both addressed itself and the end of a path: take one of them out")
        grouped[layer, kind, position, tuple(sorted(found)) if found[0] else ()].append(index)
    _refuse_wholes_of_features({(layer, kind) for layer, kind, *_ in grouped})
    return [
        Target(layer, kind, position, None if -1 in indices else tuple(sorted(indices)), found)
        for (layer, kind, position, found), indices in sorted(grouped.items())
    ]


def _refuse_wholes_of_features(written: Iterable[tuple[int, str]]) -> None:
    there = set(written)
    for layer, kind in sorted(there):
        if (host := KINDS[kind].host) and (layer, host) in there:
            part = "features" if KINDS[kind].numbered else "error"
            raise AddressError(
                f"L{layer}.{host} is addressed and its dictionary's {part} too, which is a part of it: take one of them out"
            )


def arranged(hook: str, activation: torch.Tensor) -> torch.Tensor:
    """An activation with its positions behind its rows: an attention pattern as [row, position, head, attended position]."""
    return activation.transpose(1, 2) if hook.endswith("hook_pattern") else activation
