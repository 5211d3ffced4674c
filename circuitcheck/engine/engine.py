"""Batched hooked forward passes over the bridge: one number per pair, every write checked, nothing computed twice."""

from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from circuitcheck.engine.hookpoints import Write, all_hooks, targets
from circuitcheck.engine.reference import Reference, ablated_values
from circuitcheck.engine.samples import Batch, Sample, other_side
from circuitcheck.errors import InterventionError
from circuitcheck.methods import Ablation, Side
from circuitcheck.readouts import Readout
from circuitcheck.sites import Anatomy, Site

if TYPE_CHECKING:
    import torch

    from circuitcheck.types import Floats

# Activations of base runs that are kept for later claims, in bytes; the least recently used go first.
_MEMORY = 2**30
# Recorded beside the hook points of a base run: the logits at the last position.
_LOGITS = "logits"
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Outcome:
    """The readout of each pair; ``unchanged`` says that the writes put back what was there (an inert component)."""

    values: "Floats"
    unchanged: bool = False


class Engine:
    """Runs one model. Base runs, reference means and results are shared by all claims on the same pairs.

    ``progress(what, done, total)`` is called after every batch; replace it to show where a long claim stands.
    """

    def __init__(self, bridge: Any, anatomy: Anatomy, bos: int | None):
        self.bridge, self.anatomy, self.bos = bridge, anatomy, bos
        self.progress: Progress = lambda what, done, total: None
        self._hooks = all_hooks(anatomy)
        self._recordings: OrderedDict[tuple[str, Side, str], list[torch.Tensor]] = OrderedDict()
        self._means: dict[Hashable, torch.Tensor] = {}
        self._outcomes: dict[Hashable, Outcome] = {}

    def base(self, sample: Sample, side: Side, readout: Readout) -> Outcome:
        """The readout of the unchanged clean or corrupted run."""

        def read() -> Outcome:
            import torch

            readout.check(sample.pairs)
            return Outcome(readout.read(torch.stack(self.recorded(sample, side, _LOGITS)), sample.pairs))

        return self._once((sample.identity, "base", side, readout), read)

    def patched(self, sample: Sample, sites: Sequence[Site], into: Side, readout: Readout) -> Outcome:
        """The readout of the run ``into`` with the other run's activations put in at ``sites``."""

        def run() -> Outcome:
            source = other_side(into)
            recorded = {target.hook: self.recorded(sample, source, target.hook) for target in targets(sites)}
            return self._run_all(sample, into, readout, recorded, sites)

        return self._once((sample.identity, "patch", tuple(sites), into, readout), run)

    def ablated(
        self, sample: Sample, sites: Sequence[Site], ablation: Ablation, reference: Reference, readout: Readout
    ) -> Outcome:
        """The readout of the clean run with ``sites`` ablated."""
        frozen = reference.identity(ablation.of) if ablation.needs_reference else ""

        def run() -> Outcome:
            recorded = {target.hook: self.recorded(sample, "clean", target.hook) for target in targets(sites)}
            return self._run_all(sample, "clean", readout, recorded, sites, ablation, reference)

        return self._once((sample.identity, "ablate", tuple(sites), ablation, frozen, readout), run)

    def recorded(self, sample: Sample, side: Side, hook: str) -> "list[torch.Tensor]":
        """The activation at ``hook`` of each pair's prompt, of shape [position, ...]; or its last logits, [vocabulary]."""
        key = (sample.identity, side, hook)
        if key not in self._recordings:
            self._record(sample, side, self._hooks if self._all_fit(sample) else [hook] if hook != _LOGITS else [])
        if key not in self._recordings:
            raise InterventionError(
                f"the hook {hook} did not fire: what it stands for cannot be addressed in this model"
            )
        self._recordings.move_to_end(key)
        return self._recordings[key]

    def _once(self, key: Hashable, run: Callable[[], Outcome]) -> Outcome:
        if key not in self._outcomes:
            self._outcomes[key] = run()
        return self._outcomes[key]

    def _run_all(
        self,
        sample: Sample,
        side: Side,
        readout: Readout,
        recorded: "dict[str, list[torch.Tensor]]",
        sites: Sequence[Site],
        ablation: Ablation | None = None,
        reference: Reference | None = None,
    ) -> Outcome:
        readout.check(sample.pairs)
        values, done, unchanged = np.empty(len(sample.pairs)), 0, True
        for batch in sample.batches(int(self.bridge.cfg.d_vocab)):
            writes = [
                self._write(target, batch, recorded[target.hook], ablation, reference) for target in targets(sites)
            ]
            logits = self._forward(batch.tokens(side), [hook for write in writes for hook in write.hooks()])
            for write in writes:
                if not write.fired:
                    raise InterventionError(f"the hook {write.target.hook} never fired, so that nothing was written")
                unchanged = unchanged and write.unchanged
            values[list(batch.rows)] = readout.read(logits[:, -1], batch.pairs)
            done += len(batch.rows)
            self.progress(" | ".join(map(str, sites[:3])), done, len(sample.pairs))
        return Outcome(values, unchanged)

    def _write(
        self,
        target: Any,
        batch: Batch,
        recorded: "list[torch.Tensor]",
        ablation: Ablation | None,
        reference: Reference | None,
    ) -> Write:
        import torch

        mask = target.mask(batch.pairs)
        values = torch.stack([recorded[row] for row in batch.rows])
        if ablation is not None and reference is not None:
            means = self._reference_means(reference, target.hook, ablation)
            values = ablated_values(ablation, reference, self.recorded, target.hook, batch.pairs, values, means)
            if not ablation.needs_reference and self.bos is not None:
                mask = mask & (batch.tokens("clean") != self.bos)
        return Write(target, mask, values)

    def _reference_means(self, reference: Reference, hook: str, ablation: Ablation) -> "torch.Tensor | None":
        if ablation.kind != "mean":
            return None
        key = (reference.identity(ablation.of), hook)
        if key not in self._means:
            self._means[key] = reference.means(self.recorded, hook, ablation.of)
        return self._means[key]

    def _record(self, sample: Sample, side: Side, hooks: Iterable[str]) -> None:
        rows: dict[str, dict[int, torch.Tensor]] = {name: {} for name in [*hooks, _LOGITS]}

        def keeper(hook_name: str, batch: Batch) -> Callable[..., None]:
            def keep(activation: "torch.Tensor", hook: Any) -> None:
                rows[hook_name].update(zip(batch.rows, activation.detach().clone(), strict=True))

            return keep

        for batch in sample.batches(int(self.bridge.cfg.d_vocab)):
            logits = self._forward(
                batch.tokens(side), [(name, keeper(name, batch)) for name in rows if name != _LOGITS]
            )
            rows[_LOGITS].update(zip(batch.rows, logits[:, -1].clone(), strict=True))
            self.progress(f"{side} runs", len(rows[_LOGITS]), len(sample.pairs))
        for name, kept in rows.items():
            if len(kept) == len(sample.pairs):  # a hook point that does not fire is missed by whoever asks for it
                self._recordings[sample.identity, side, name] = [kept[row] for row in range(len(sample.pairs))]
        self._forget(keep=len(rows))

    def _forget(self, keep: int) -> None:
        """Drop the least recently used recordings beyond the memory budget, but none of the newest ``keep``."""
        sizes = {key: sum(t.nbytes for t in tensors) for key, tensors in self._recordings.items()}
        total = sum(sizes.values())
        for key in list(self._recordings)[:-keep]:
            if total <= _MEMORY:
                return
            total -= sizes[key]
            del self._recordings[key]

    def _all_fit(self, sample: Sample) -> bool:
        cfg = self.bridge.cfg
        width = self.anatomy.n_layers * (6 * int(cfg.d_model) + (self.anatomy.d_mlp or 0))
        return 4 * width * sum(pair.length for pair in sample.pairs) <= _MEMORY // 4

    def _forward(self, tokens: "torch.Tensor", hooks: "list[tuple[str, Callable[..., Any]]]") -> "torch.Tensor":
        """Logits of shape [pair, position, vocabulary]."""
        import torch

        with torch.inference_mode():
            logits: torch.Tensor = self.bridge.run_with_hooks(tokens, fwd_hooks=hooks)
        return logits
