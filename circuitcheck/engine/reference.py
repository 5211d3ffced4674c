"""The reference set of an ablation: prompts that are frozen before any evidence is gathered.

Reference activations are grouped by template and aligned by token role: a token's role is its segment and its distance
to that segment's end. A role that no reference prompt has falls back on the nearest one nearer to the end. So a pair's
number depends on the reference set alone, never on the batch that the pair was in.
"""

import hashlib
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from circuitcheck.alignment import AlignedPair
from circuitcheck.engine.samples import Sample, sides
from circuitcheck.errors import MethodError
from circuitcheck.methods import Ablation, Side

if TYPE_CHECKING:
    import torch

# For a sample and a side: the activation of each pair's prompt at a hook, of shape [position, ...].
Recorder = Callable[[Sample, Side, str], "list[torch.Tensor]"]
Role = tuple[int, int, int]


@dataclass(frozen=True)
class Reference:
    """The reference prompts of one population under one seed."""

    sample: Sample
    seed: int
    _by_template: dict[str, dict[int, list[tuple[int, Side]]]] = field(default_factory=dict, compare=False, repr=False)

    def identity(self, of: str) -> str:
        return hashlib.sha256(f"{of}/{self.seed}/{self.sample.identity}".encode()).hexdigest()[:12]

    def describe(self, of: str) -> str:
        """In words, with the hash that says which prompts they were."""
        whose = {"both": "clean and corrupted", "clean": "clean", "corrupt": "corrupted"}[of]
        count = len(self.sample.pairs) * len(sides(of))
        return f"{count} {whose} prompts by template and token role (reference {self.identity(of)})"

    @cached_property
    def role_rows(self) -> dict[Role, int]:
        """The row of each token role in a table of means."""
        return {
            role: row for row, role in enumerate(dict.fromkeys(r for pair in self.sample.pairs for r in roles(pair)))
        }

    def means(self, recorder: Recorder, hook: str, of: str) -> "torch.Tensor":
        """The mean activation at a hook of each token role, summed in double precision; shape [role, ...]."""
        import torch

        rows = torch.tensor([self.role_rows[role] for pair in self.sample.pairs for role in roles(pair)])
        counts = torch.bincount(rows, minlength=len(self.role_rows)) * len(sides(of))
        activations = [torch.cat(recorder(self.sample, side, hook)) for side in sides(of)]
        total = torch.zeros(len(counts), *activations[0].shape[1:], dtype=torch.float64)
        for activation in activations:
            total.index_add_(0, rows, activation.double())
        return total / counts.reshape(-1, *[1] * (total.dim() - 1))

    def mean_values(self, means: "torch.Tensor", pairs: Sequence[AlignedPair]) -> "torch.Tensor":
        """The mean for every token of a batch; shape [pair, position, ...]."""
        import torch

        known = self.role_rows
        return means[torch.tensor([[known[_nearest(role, known, pair)] for role in roles(pair)] for pair in pairs])]

    def resampled_values(self, recorder: Recorder, hook: str, of: str, pairs: Sequence[AlignedPair]) -> "torch.Tensor":
        """For each pair the activation of one other pair's reference prompt; shape [pair, position, ...]."""
        import torch

        recorded = {side: recorder(self.sample, side, hook) for side in sides(of)}
        values = []
        for pair in pairs:
            row, side = self.source(pair, of)
            source = {role: position for position, role in enumerate(roles(self.sample.pairs[row]))}
            positions = [source[_nearest(role, source, pair)] for role in roles(pair)]
            values.append(recorded[side][row][positions])
        return torch.stack(values)

    def source(self, pair: AlignedPair, of: str) -> tuple[int, Side]:
        """The reference prompt that a pair is resampled from: of its template, another pair's, seeded by the pair."""
        own = {pair.clean, pair.corrupt}
        candidates = self._of_template(of).get(pair.pair.template, [])
        if all(self.sample.pairs[row].tokens(side) in own for row, side in candidates):
            raise MethodError(
                f"resampling needs another pair of the same template, and {pair.pair.clean.text!r} has none"
            )
        draw = random.Random(f"{self.seed}/{pair.clean}/{pair.corrupt}")
        while True:
            row, side = draw.choice(candidates)
            if self.sample.pairs[row].tokens(side) not in own:
                return row, side

    def _of_template(self, of: str) -> dict[int, list[tuple[int, Side]]]:
        """The reference prompts by template; sorted out once."""
        if of not in self._by_template:
            found = self._by_template.setdefault(of, {})
            for row, pair in enumerate(self.sample.pairs):
                found.setdefault(pair.pair.template, []).extend((row, side) for side in sides(of))
        return self._by_template[of]


def ablated_values(
    ablation: Ablation,
    reference: Reference,
    recorder: Recorder,
    hook: str,
    pairs: Sequence[AlignedPair],
    like: "torch.Tensor",
    means: "torch.Tensor | None",
) -> "torch.Tensor":
    """What an ablation puts at a hook for a batch; of the shape of ``like``."""
    import torch

    if means is not None:
        return reference.mean_values(means, pairs).to(like.dtype)
    if ablation.kind == "resample":
        return reference.resampled_values(recorder, hook, ablation.of, pairs)
    return torch.full_like(like, ablation.value)


def roles(pair: AlignedPair) -> list[Role]:
    return [(pair.pair.template, segment, to_end) for segment, to_end in pair.roles]


def _nearest(role: Role, known: Mapping[Role, int], pair: AlignedPair) -> Role:
    template, segment, to_end = role
    for nearer in range(to_end, -1, -1):
        if (template, segment, nearer) in known:
            return template, segment, nearer
    raise MethodError(f"no reference prompt has a token in the place of one of {pair.pair.clean.text!r}")
