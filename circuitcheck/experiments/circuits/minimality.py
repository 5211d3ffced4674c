"""Minimality: whether every member of a circuit matters, given the others that are there (Wang et al. 2022).

    assert model.on(NAMES).minimality(IOI) > 0.02

A member that others back up seems to do nothing until those are gone. So each is taken out of the circuit without a part K
of its others, the one found for which it does most. A passenger does nothing whatever is gone.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from circuitcheck.addresses.circuits import Circuit
from circuitcheck.engine.ablations import Ablation
from circuitcheck.engine.watching.one_question import once_a_generation
from circuitcheck.errors import MethodError
from circuitcheck.experiments.circuits.knockouts import Knockouts, OfCircuit, as_one_work
from circuitcheck.experiments.circuits.subcircuits import Part, greedy, named
from circuitcheck.experiments.experiment import Gathered
from circuitcheck.experiments.setups import Setup
from circuitcheck.sampling.samples import Sample
from circuitcheck.statistics.weights import mean_over

if TYPE_CHECKING:
    from circuitcheck.types import Floats


@dataclass(frozen=True, eq=False, kw_only=True)
class Added(OfCircuit):
    """What one member adds, by its ``number``, given the part K of the others that was found for it."""

    number: int
    search: "_Search"

    verb, direction = "minimality", "the circuit without K - the circuit without K and a member"

    @classmethod
    def by_each(
        cls, circuit: str | Circuit, setup: Setup, value: str | float | Ablation = "mean", within: str | None = None
    ) -> tuple[str, dict[str, Self]]:
        """What each member adds, by the member, with what they are members of; see ``Run.minimality``."""
        knockouts = Knockouts(setup, circuit, value, within).taken_one_by_one()
        if not knockouts.members:
            raise MethodError("a circuit without members has none that could matter")
        common: dict[str, Any] = {"setup": knockouts.setup, "knockouts": knockouts, "search": _Search(knockouts)}
        found = {
            str(member): cls(**common, unit="behaviour", number=number)
            for number, member in enumerate(knockouts.members)
        }
        return f"minimality of {knockouts.label}", found

    @property
    def label(self) -> str:
        return f"what {self.knockouts.members[self.number]} adds in {self.knockouts.label}"

    def gather(self, sample: Sample) -> Gathered:
        without, sign = self.search.found[self.number]
        against, member = ", where it works against it" if sign < 0 else "", self.knockouts.members[self.number]
        note = f"{member} was found to matter most with {named(without)} taken out{against}"
        shift = self.search.added(sample)[self.number]
        return self.knockouts.gathered(sample, shift, f"K = {named(without)}", (note,))


class _Search:
    """The search for every member's K, and what all members add, each given its own: in common batches."""

    def __init__(self, knockouts: Knockouts):
        self.knockouts, self.model = knockouts, knockouts.setup.model

    @once_a_generation
    def _added(self) -> "dict[Sample, Floats]":
        return {}

    @once_a_generation
    def found(self) -> list[tuple[Part, int]]:
        """Each member's K, and the sign of what it adds."""
        members, setup, sample = self.knockouts.members, self.knockouts.setup, self.knockouts.searched
        base = mean_over(sample.pairs, self.knockouts.behaviour(sample))

        def shares(steps: Sequence[tuple[int, Part]]) -> "Floats":
            return np.asarray(mean_over(sample.pairs, self._adds(sample, steps)) / base)

        with as_one_work(
            setup.model.answers, f"minimality of {self.knockouts.name}", len(members) ** 3 * len(sample.pairs)
        ):
            others = [tuple(other for other in members if other != member) for member in members]
            parts = greedy(others, lambda steps: np.abs(shares(steps)).tolist())
            signs = shares(list(enumerate(parts)))
        return [(part, -1 if share < 0 else 1) for part, share in zip(parts, signs, strict=True)]

    def added(self, sample: Sample) -> "Floats":
        """What each member adds, given its K and with its sign; of shape [member, pair]."""
        added, found = self._added, self.found
        if sample not in added:
            signs = np.array([[sign] for _, sign in found])
            added[sample] = signs * self._adds(sample, [(n, part) for n, (part, _) in enumerate(found)])
        return added[sample]

    def _adds(self, sample: Sample, steps: Sequence[tuple[int, Part]]) -> "Floats":
        """What members, by number, add to the circuit without a part; of shape [step, pair]."""
        members = self.knockouts.members
        both = [tuple(site for site in members if site in part or site == members[n]) for n, part in steps]
        found = self.knockouts.of_circuit(sample, [*(part for _, part in steps), *both])
        return np.asarray(found[: len(steps)] - found[len(steps) :])
