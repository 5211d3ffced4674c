"""Whether cones are to be trusted: each kind of them is compared with a plain hooked run the first time it is run."""

from collections.abc import Callable, Hashable, Sequence
from typing import Any

import torch

from circuitcheck.engine.cone import Batch, Cone
from circuitcheck.engine.decoder import agree
from circuitcheck.engine.hookpoints import Target, targets
from circuitcheck.engine.interventions import Rows
from circuitcheck.engine.memory import out_of_memory
from circuitcheck.engine.paths import Paths
from circuitcheck.engine.plain import Plain
from circuitcheck.engine.samples import Chunk, other_side
from circuitcheck.errors import CircuitError, InterventionError, MethodError
from circuitcheck.methods import Side
from circuitcheck.sites import INSIDE_ATTENTION, Site

_HOOKED = "the model has hooks of somebody else's on it, and they are run too"


class Trust:
    """The runner of a model: its cones as long as nothing speaks against them, then plain hooked runs."""

    def __init__(self, changes: "Changes", plain: Plain, cone: Cone | None, why_plain: str = ""):
        self.changes, self.plain, self.cone, self._distrusted = changes, plain, cone, why_plain
        self._agreed: set[Hashable] = set()

    @property
    def runner(self) -> Cone | Plain:
        return self.plain if self.cone is None or self.why_plain else self.cone

    @property
    def why_plain(self) -> str:
        """Why cones are not run; empty where they are."""
        return _HOOKED if self.changes.hooked else self._distrusted

    def forget(self) -> None:
        """See all of it again: the model has changed."""
        self._agreed.clear()

    def check_base(self, batch: Batch) -> None:
        """See once that an unchanged run gives what the plain one gives."""
        cone = self.cone
        if cone is not None and not self.why_plain and "base" not in self._agreed:
            self._distrusted = self._disagreement(cone, batch, batch)
            self._agreed.add("base")

    def check(self, rows: Rows, start: int) -> None:
        """See, the first time that this kind of cone is run, that it gives what plain hooked runs give: in the
        activations that are put in, and in what comes of writing at the sites (values that surely change something)."""
        cone = self.cone
        if cone is None or self.why_plain or (kind := _kind(cone, rows, start)) in self._agreed:
            return
        some = torch.tensor(sorted({0, len(rows) // 2, len(rows) - 1}))
        shaken = [_shaken] * len(rows.variants[0])
        whole = rows.batch(some, 0, shaken, written_from=start)
        part = rows.batch(some, start, shaken, written_from=start)
        why = self._wrongly_put(cone, rows, start) or self._disagreement(cone, whole, part)
        if why and cone.replaying:
            cone.replaying = False
            why = self._wrongly_put(cone, rows, start) or self._disagreement(cone, whole, part)
        self._agreed.add(kind)
        self._distrusted = why

    def check_read(self, chunk: Chunk, written: Sequence[Target]) -> None:
        """See, the first time that a part of a head is written in blocks of a kind, that the head reads what is put there.

        Raises ``MethodError`` where it does not: some architectures only show a part.
        """
        for target in written:
            if target.kind not in INSIDE_ATTENTION:
                continue
            module = getattr(self.plain.bridge.blocks[target.layer].attn, "original_component", None)
            key = ("read", target.kind, type(module))
            if key not in self._agreed and not self.plain.reads(chunk, target):
                raise MethodError(
                    f"{Site(target.layer, target.kind, (target.components or (0,))[0])} cannot be written in this model: what "
                    "is put there is not read; address the head"
                )
            self._agreed.add(key)

    def check_paths(
        self, paths: Paths, target: Target, followed: Callable[[Paths, torch.Tensor], torch.Tensor]
    ) -> None:
        """See, the first time that paths of a kind are followed by blocks alone, that whole plain runs give the same."""
        kinds = tuple(tuple(site.kind for site in route) for route in target.routes)
        key = ("path", kinds, target.kind, paths.held)
        if self.cone is None or self.why_plain or key in self._agreed:
            return
        some, plainly = torch.arange(1), paths.by(self.plain)
        found, wanted = followed(paths, some), followed(plainly, some)[:, paths.start :]
        self._agreed.add(key)
        if not agree(wanted, found):
            self._distrusted = f"what arrives at the end of a path to {target.hook} was not what a plain run has there"

    def check_recorded(self, chunk: Chunk, side: Side, target: Target, start: int = 0) -> None:
        """See, the first time that activations of this kind are looked at, that they are those of a plain run."""
        cone, kind = self.cone, ("recorded", target.layer, target.kind)
        if cone is None or self.why_plain or kind in self._agreed:
            return
        self._agreed.add(kind)
        try:
            self._distrusted = self._wrongly_recorded(cone, chunk, side, [target], start)
        except CircuitError:
            raise
        except Exception as error:
            if out_of_memory(error):
                raise
            self._distrusted = f"{type(error).__name__}: {error}"

    def _wrongly_put(self, cone: Cone, rows: Rows, start: int) -> str:
        """The same of the activations that a patch puts in."""
        variant = rows.variants[0]
        variant = [*variant, *targets([route[0] for target in variant for route in target.routes])]
        return self._wrongly_recorded(cone, rows.chunk, other_side(rows.intervention.side), variant, start)

    def _wrongly_recorded(self, cone: Cone, chunk: Chunk, side: Side, read: Sequence[Target], start: int) -> str:
        """What is wrong with the activations at the targets, of the first pair; empty if nothing is."""
        plain = self.plain.look(chunk, side).activations
        for target in read:
            if target.hook not in plain:
                raise InterventionError(f"the hook {target.hook} did not fire: it cannot be addressed in this model")
            found = cone.activation(chunk, side, target.layer, target.kind, start)[0]
            if not agree(plain[target.hook][0, start:], found):
                return f"what was recorded at {target.hook} is not what a plain run has there"
        return ""

    def _disagreement(self, cone: Cone, whole: Batch, part: Batch) -> str:
        """What speaks against a cone; empty if nothing does."""
        wanted = self.plain.run(whole)
        try:
            found = cone.run(part)
        except CircuitError:
            raise
        except Exception as error:
            if out_of_memory(error):
                raise
            return f"{type(error).__name__}: {error}"
        if silent := part.silent():
            return f"in a cone the hook {silent[0]} does not fire"
        if agree(wanted, found):
            return ""
        return f"a cone's logits were off by {float((wanted - found).abs().max()):.2g} from those of a plain hooked run"


class Changes:
    """Whether somebody has changed a model since it was last looked at: its weights, or the hooks on it.

    ``hooked``: there are other hooks on it than when it was loaded; ``of_weights``: the last look saw other weights.
    """

    def __init__(self, bridge: Any):
        self._points = list({id(point): point for point in bridge.hook_dict.values()}.values())
        self._weights = list(bridge.parameters())
        self._own_hooks, self.hooked, self.of_weights = self._hooks(), False, False
        self._last = self._versions(), self._own_hooks

    def look(self) -> bool:
        """Whether anything has changed since the last look."""
        now, before = (self._versions(), self._hooks()), self._last
        self._last, self.hooked, self.of_weights = now, now[1] != self._own_hooks, now[0] != before[0]
        return now != before

    def _versions(self) -> Hashable:
        return tuple((w.data_ptr(), 0 if w.is_inference() else w._version) for w in self._weights)

    def _hooks(self) -> tuple[int, ...]:
        return tuple(id(handle.hook) for point in self._points for handle in point.fwd_hooks)


def _kind(cone: Cone, rows: Rows, start: int) -> Hashable:
    """Cones of one kind take the same way through the code, and through blocks made alike."""
    entry, targets = rows.entry, rows.variants[0]
    blocks = [cone.decoder.blocks[layer] for layer in {target.layer for target in targets} if layer >= 0]
    modules = [getattr(block, name, None) for block in blocks for name in ("attn", "mlp")]
    made_of = frozenset(type(getattr(module, "original_component", None)) for module in modules)
    return (
        entry.written,
        entry.first == 0,
        start > 0,
        frozenset((target.kind, bool(target.routes)) for target in targets),
        made_of,
    )


def _shaken(which: torch.Tensor, activation: torch.Tensor) -> torch.Tensor:
    """Values that surely are not those that are there; the same for every row and position."""
    noise = torch.randn(activation.shape[2:], generator=torch.Generator().manual_seed(0))
    return noise.to(activation).expand_as(activation)
