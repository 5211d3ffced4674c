"""Whether cones are to be trusted: each kind of them is compared with a plain hooked run the first time that it is run. What was
compared in one length regime, dtype, device or set of hooks is trusted there alone."""

import re
from collections.abc import Callable, Collection, Hashable, Mapping, Sequence
from typing import Any

from circuitcheck.addresses.kinds import KINDS, is_part
from circuitcheck.addresses.sites import Site
from circuitcheck.engine.checking.agreement import agree, agree_at_tokens
from circuitcheck.engine.checking.regimes import limits_of, regime_of
from circuitcheck.engine.chunks import Chunk
from circuitcheck.engine.cone.cone import Cone
from circuitcheck.engine.hooks.batches import Batch
from circuitcheck.engine.hooks.hookpoints import Target, targets
from circuitcheck.engine.hooks.interventions import Rows
from circuitcheck.engine.hooks.plain import Plain
from circuitcheck.engine.memory import out_of_memory
from circuitcheck.engine.on_demand import torch
from circuitcheck.engine.paths import Paths
from circuitcheck.engine.watching.changes import Changes
from circuitcheck.errors import CircuitError, InterventionError, MethodError
from circuitcheck.prompts.pairs import Side, other_side


class Trust:
    """The runner of a model: its cones as long as nothing speaks against them, then plain hooked runs."""

    def __init__(self, changes: Changes, plain: Plain, cone: Cone | None, why_plain: str = ""):
        self.changes, self.plain, self.cone, self._distrusted = changes, plain, cone, why_plain
        self._limits = limits_of(plain.bridge.original_model)
        # The longest clean and corrupted prompts, in tokens, on which each kind of run agreed, by kind and circumstances.
        self._agreed: dict[Hashable, tuple[int, int]] = {}

    @property
    def runner(self) -> Cone | Plain:
        return self.plain if self.cone is None or self.why_plain else self.cone

    @property
    def why_plain(self) -> str:
        """Why cones are not run; empty where they are."""
        changes = self.changes
        changed = changes.words if changes.words and not changes.of_weights_alone else changes.foreign
        return f"the model is not as it was loaded ({changed})" if changed else self._distrusted

    def forget(self) -> None:
        """See all of it again: the model has changed."""
        self._agreed.clear()

    def check_base(self, batch: Batch) -> None:
        """Compare an unchanged run with the plain one."""
        cone = self.cone
        if cone is not None and not self.why_plain and self._is_new("base", batch.chunk):
            self._distrusted = self._disagreement(cone, batch, batch)

    def check(self, rows: Rows, start: int) -> None:
        """Compare the first cone of each kind with a plain hooked run: the activations that it patches in, and the logits after
        writing noise at its sites (noise, because an inert patch would agree whatever the cone does)."""
        cone = self.cone
        if cone is None or self.why_plain:
            return
        some = torch.tensor(sorted({0, len(rows) // 2, len(rows) - 1}))
        supplies = [_shaken] * len(rows.variants[0])
        whole = rows.batch(some, 0, supplies, written_from=start)
        if not self._is_new(_kind(cone, rows, start, whole), rows.chunk, start):
            return
        if whole.holds:
            supplies = [_nudged] * len(supplies)
            whole = rows.batch(some, 0, supplies, written_from=start)
        part = rows.batch(some, start, supplies, written_from=start)
        why = self._wrongly_put(cone, rows, start) or self._disagreement(cone, whole, part)
        if why and cone.replaying:
            cone.replaying = False
            why = self._wrongly_put(cone, rows, start) or self._disagreement(cone, whole, part)
        self._distrusted = why

    def check_read(self, chunk: Chunk, written: Sequence[Target]) -> None:
        """See, the first time that a part of a head is written in blocks of a kind, that the head reads what is put there.

        Raises ``MethodError`` where it does not: some architectures only show a part.
        """
        for target in written:
            if not is_part(target.kind):
                continue
            module = getattr(self.plain.bridge.blocks[target.layer].attn, "original_component", None)
            kind = ("read", target.kind, type(module))
            if self._is_new(kind, chunk) and not self.plain.reads(chunk, target):
                del self._agreed[kind, self._circumstances(chunk, 0)]
                raise MethodError(
                    f"{Site(target.layer, target.kind, (target.components or (0,))[0])} cannot be written in this model: what "
                    "is put there is not read; address the head"
                )

    def check_paths(
        self, paths: Paths, target: Target, followed: Callable[[Paths, torch.Tensor], torch.Tensor]
    ) -> None:
        """See, the first time that paths of a kind are followed by blocks alone, that whole plain runs give the same."""
        kinds = tuple(tuple(site.kind for site in route) for route in target.routes)
        key = ("path", kinds, target.kind, paths.held)
        if self.cone is None or self.why_plain or not self._is_new(key, paths.chunk, paths.start):
            return
        some, plainly = torch.arange(1), paths.by(self.plain)
        found, wanted = followed(paths, some), followed(plainly, some)[:, paths.start :]
        if not agree_at_tokens(wanted, found, paths.base_of_change(target, some)):
            self._distrusted = f"what arrives at the end of a path to {target.hook} was not what a plain run has there"

    def check_graph(
        self,
        chunk: Chunk,
        kinds: Collection[Hashable],
        found: Callable[[torch.Tensor], Mapping[Site, torch.Tensor]],
        wanted: Callable[[torch.Tensor], Mapping[Site, torch.Tensor]],
    ) -> None:
        """See, the first time that a graph has components of these kinds, that those computed from streams are those of whole runs."""
        new = [self._is_new(("graph", kind), chunk) for kind in kinds]
        if not any(new):
            return
        some = torch.arange(1)
        there, plainly = found(some), wanted(some)
        wrong = [
            site for site, value in plainly.items() if not agree_at_tokens(_own(value, site), _own(there[site], site))
        ]
        if wrong:
            self._distrusted = f"what {wrong[0]} writes in a circuit with edges was not what a plain run has there"

    def check_recorded(self, chunk: Chunk, side: Side, target: Target, start: int = 0) -> None:
        """See, the first time that activations of this kind are looked at, that they are those of a plain run."""
        cone, kind = self.cone, ("recorded", target.layer, target.kind)
        if cone is None or self.why_plain or not self._is_new(kind, chunk, start):
            return
        try:
            self._distrusted = self._wrongly_recorded(cone, chunk, side, [target], start)
        except CircuitError:
            raise
        except Exception as error:
            if out_of_memory(error):
                raise
            self._distrusted = f"{type(error).__name__}: {error}"

    def is_new_text(self, kinds: Hashable, chunk: Chunk, length: int) -> bool:
        """Whether no text of so many tokens, prompt and all, was seen before that was written with something at these kinds of sites, in
        prompts like these. It counts as seen from now on."""
        return self._is_new(("text", kinds, regime_of(self._limits, length)), chunk)

    def distrust(self, why: str) -> None:
        """Run plainly from now on."""
        self._distrusted = why

    def _is_new(self, kind: Hashable, chunk: Chunk, start: int = 0) -> bool:
        """Whether a kind of run is yet to be checked for prompts like these, taken up at the token ``start``, or only was on shorter
        ones. It counts as checked from now on."""
        key = (kind, self._circumstances(chunk, start))
        before, here = self._agreed.get(key, (0, 0)), chunk.lengths
        self._agreed[key] = max(before[0], here[0]), max(before[1], here[1])
        return self._agreed[key] != before

    def _circumstances(self, chunk: Chunk, start: int) -> Hashable:
        """Dtype and device, whether more than the last prediction is read, and the length regimes of the whole prompts and of each beginning that is run by itself: its keys and
        values may be those of another regime."""
        weights = next(self.plain.bridge.original_model.parameters())
        lengths = (*chunk.lengths, chunk.fork, start)
        return weights.dtype, weights.device, chunk.read > 1, *(regime_of(self._limits, n) for n in lengths)

    def _wrongly_put(self, cone: Cone, rows: Rows, start: int) -> str:
        """The same of the activations that a patch puts in."""
        variant = rows.variants[0]
        variant = [*variant, *targets([route[0] for target in variant for route in target.routes])]
        return self._wrongly_recorded(cone, rows.chunk, other_side(rows.intervention.side), variant, start)

    def _wrongly_recorded(self, cone: Cone, chunk: Chunk, side: Side, read: Sequence[Target], start: int) -> str:
        """What is wrong with the activations at the targets, of the first pair; empty if nothing is."""
        start = start if chunk.is_aligned else 0  # what corresponds to later tokens may be earlier ones
        plain = self.plain.look(chunk, side).activations
        for target in read:
            if target.hook not in plain:
                raise InterventionError(f"the hook {target.hook} did not fire: it cannot be addressed in this model")
            kind = KINDS[target.kind].host or target.kind
            found = cone.activation(chunk, side, target.layer, kind, start)[:1]
            if not agree_at_tokens(plain[target.hook][:, start:], found):
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


def _own(activation: torch.Tensor, site: Site) -> torch.Tensor:
    """One component of what is at its hook point."""
    return activation if site.index < 0 else activation[:, :, site.index]


def _kind(cone: Cone, rows: Rows, start: int, batch: Batch) -> Hashable:
    """Cones of one kind take the same way through the code, through blocks made alike, with the same hooks in them."""
    entry, targets = rows.entry, rows.variants[0]
    return (
        entry.written,
        entry.first == 0,
        start > 0,
        frozenset((target.kind, bool(target.routes)) for target in targets),
        frozenset(re.sub(r"\d+", "*", name) for name, _ in batch.hooks()),
        frozenset(map(_made, cone.decoder.blocks[max(entry.first, 0) :])),
    )


def _made(block: Any) -> Hashable:
    """How a block is made: the classes of its attention and feed-forward module, and their numbers and words, such as a window."""
    return tuple(
        (type(module), frozenset((name, value) for name, value in vars(module).items() if _tells_apart(name, value)))
        for part in ("attn", "mlp")
        for module in [getattr(getattr(block, part, None), "original_component", None)]
        if module is not None
    )


def _tells_apart(name: str, value: object) -> bool:
    return "layer" not in name.replace("layer_type", "") and isinstance(value, bool | int | float | str)


def _shaken(which: torch.Tensor, activation: torch.Tensor) -> torch.Tensor:
    """Values that surely are not those that are there; the same for every row and position."""
    return _noise(activation).expand_as(activation)


def _nudged(which: torch.Tensor, activation: torch.Tensor) -> torch.Tensor:
    """Values a little off those that are there. Where scales are held, larger changes grow with every block, and two ways of
    rounding them apart with them."""
    size = activation.square().mean(-1, keepdim=True).sqrt()
    return activation + _noise(activation) * torch.where(size > 0, size, torch.ones_like(size)) / 16


def _noise(activation: torch.Tensor) -> torch.Tensor:
    noise = torch.randn(activation.shape[2:], generator=torch.Generator().manual_seed(0))
    return noise.to(activation)
