"""The reference set of an ablation: prompts that are frozen before any evidence is gathered.

Reference activations are grouped by template and aligned by token role: a token's role is its segment and its distance
to that segment's end (at ``@{slot}.first`` and what is counted from it, to its beginning). A role that no reference prompt has
falls back on the nearest one nearer to the end (to the beginning). So a pair's number depends on the reference set alone, never
on the batch that the pair was in.
"""

import random
from dataclasses import dataclass, field

from circuitcheck.errors import MethodError
from circuitcheck.prompts.aligned_pairs import AlignedPair
from circuitcheck.prompts.pairs import Side, sides
from circuitcheck.sampling.samples import Sample
from circuitcheck.statistics.weights import weights_of
from circuitcheck.texts import digest


@dataclass(frozen=True, eq=False)
class Reference:
    """The reference prompts of one population under one seed."""

    sample: Sample
    seed: int
    _by_template: dict[str, dict[int, list[tuple[int, Side]]]] = field(default_factory=dict, repr=False)

    def identity(self, of: str) -> str:
        return digest(f"{of}/{self.seed}/{self.sample.identity}")

    def describe(self, of: str) -> str:
        """In words, with the hash that says which prompts they were."""
        there = [side for side in sides(of) if side in self.sample.sides]
        whose = " and ".join("corrupted" if side == "corrupt" else side for side in there)
        count = len(self.sample.pairs) * len(there)
        return f"{count} {whose} prompts by template and token role (reference {self.identity(of)})"

    def source(self, pair: AlignedPair, of: str) -> tuple[int, Side]:
        """The reference prompt that a pair is resampled from: of its template, another pair's, seeded by the pair."""
        clean, corrupt = (pair.prompt_tokens(side) for side in sides("both"))
        own = {clean, corrupt}
        candidates = self._of_template(of).get(pair.pair.template, [])
        if all(self.sample.pairs[row].tokens(side) in own for row, side in candidates):
            raise MethodError(
                f"resampling needs another pair of the same template, and {pair.pair.clean.text!r} has none"
            )
        weights = [self.sample.pairs[row].pair.weight for row, _ in candidates] if self._is_weighted else None
        again = f"/{pair.repeat}" if pair.repeat else ""
        draw = random.Random(f"{self.seed}/{clean}/{corrupt}{again}")
        while True:
            [(row, side)] = draw.choices(candidates, weights) if weights else [draw.choice(candidates)]
            if self.sample.pairs[row].tokens(side) not in own:
                return row, side

    @property
    def _is_weighted(self) -> bool:
        return weights_of(self.sample.pairs) is not None

    def _of_template(self, of: str) -> dict[int, list[tuple[int, Side]]]:
        """The reference prompts by template; sorted out once."""
        if of not in self._by_template:
            found = self._by_template.setdefault(of, {})
            for row, pair in enumerate(self.sample.pairs):
                found.setdefault(pair.pair.template, []).extend((row, side) for side in sides(of))
        return self._by_template[of]
