"""Writing features: what is in a stream changes by the difference in the features that are written, and by nothing else."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from circuitcheck.engine.features.dictionary import Dictionary
from circuitcheck.engine.hooks.writes import Hook, Write
from circuitcheck.engine.on_demand import torch
from circuitcheck.errors import InterventionError


@dataclass(frozen=True)
class Part:
    """Features ``chosen`` of a dictionary (None: its error) that are written at the positions of ``mask`` [row, position]; ``components``
    [row, feature] says which of them in each row. ``values`` gives what they are to be, of what they are."""

    mask: torch.Tensor
    chosen: tuple[int, ...] | None
    components: torch.Tensor | None
    values: Callable[[torch.Tensor], torch.Tensor]


class FeatureWrite(Write):
    """All that is written of one dictionary, at once: each feature is what the dictionary makes of what is there before any is written."""

    def __init__(self, hook: str, read_at: str, dictionary: Dictionary, parts: Sequence[Part]):
        super().__init__(hook, torch.stack([part.mask for part in parts]).any(0), None, self._changed)
        self.read_at, self.dictionary, self.parts = read_at, dictionary, parts
        self._read: torch.Tensor | None = None

    @property
    def bytes_per_row(self) -> int:
        """What one row takes while it is written: of each feature what it was, is to be, by how much it changes, and whether."""
        n, looks_at_all = self.dictionary.n_features, self.dictionary.rule == "topk"
        counts = (n if part.chosen is None or looks_at_all else len(part.chosen) for part in self.parts)
        return 4 * self.dictionary.decoder.element_size() * self.mask.shape[1] * sum(counts)

    def hooks(self) -> list[Hook]:
        return super().hooks() if self.read_at == self.hook else [(self.read_at, self._keep), *super().hooks()]

    def _keep(self, activation: torch.Tensor, hook: Any) -> None:
        self._read = activation.detach().clone()

    def _changed(self, activation: torch.Tensor) -> torch.Tensor:
        read = activation if self.read_at == self.hook else self._read
        if read is None:
            raise InterventionError(
                f"the hook {self.read_at} did not fire before {self.hook}, so that no feature is known"
            )
        change = torch.zeros_like(activation, dtype=self.dictionary.decoder.dtype)
        everything = sorted({number for part in self.parts for number in part.chosen or ()})
        place = {number: at for at, number in enumerate(everything)}
        # What several parts have in common is written once. The last column is the error's.
        taken = torch.zeros(*activation.shape[:2], len(everything) + 1, dtype=torch.bool, device=activation.device)
        for part in self.parts:
            mask = part.mask.to(activation.device).unsqueeze(-1)
            if part.chosen is None or part.components is None:
                there = activation.to(change) - self.dictionary.decode(self.dictionary.encode(read), read)
                change += (part.values(there).to(change) - there) * (mask & ~taken[..., -1:])
                taken[..., -1:] |= mask
                continue
            there, at = self.dictionary.encode(read, part.chosen), [place[number] for number in part.chosen]
            entries = mask & part.components.to(activation.device).unsqueeze(1)
            if len(self.parts) > 1:
                entries = entries & ~taken[..., at]
                taken[..., at] |= entries
            change += self.dictionary.written((part.values(there).to(there) - there) * entries, read, part.chosen)
        return activation + change.to(activation)
