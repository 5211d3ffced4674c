"""Minimality: whether every member of a circuit matters, given the others that are there (Wang et al. 2022).

    assert model.on(NAMES).minimality(IOI) > 0.02

A member that others back up seems to do nothing until those are gone. So each is taken out of the circuit without a part K
of its others, the one found for which it does most. A passenger does nothing whatever is gone.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from circuitcheck.addresses.circuits import Circuit
from circuitcheck.engine.ablations import Ablation
from circuitcheck.engine.watching.one_question import once_a_generation
from circuitcheck.errors import MethodError
from circuitcheck.experiments.experiment import Experiment, Gathered
from circuitcheck.experiments.knockouts import Knockouts, as_one_work
from circuitcheck.experiments.setups import Setup
from circuitcheck.experiments.subcircuits import Part, greedy, named
from circuitcheck.sampling.samples import Sample

if TYPE_CHECKING:
    from circuitcheck.types import Floats


def minimality(
    setup: Setup,
    circuit: str | Circuit,
    value: str | float | Ablation = "mean",
    within: str | None = None,
) -> tuple[str, dict[str, Experiment]]:
    """What each member adds, by the member; see ``Run.minimality``."""
    search = _Search(Knockouts(setup, circuit, value, within).taken_one_by_one())
    if not search.knockouts.members:
        raise MethodError("a circuit without members has none that could matter")
    found = {str(member): _added_by(search, number) for number, member in enumerate(search.knockouts.members)}
    return f"minimality of {search.knockouts.label}", found


def _added_by(search: "_Search", number: int) -> Experiment:
    """What one member adds, given its K."""
    knockouts = search.knockouts
    member = knockouts.members[number]

    def gather(sample: Sample) -> Gathered:
        without, sign = search.found[number]
        against = ", where it works against it" if sign < 0 else ""
        told = f"{member} was found to matter most with {named(without)} taken out{against}"
        return knockouts.gathered(sample, search.added(sample)[number], f"K = {named(without)}", (told,))

    method = knockouts.method("minimality", "the circuit without K - the circuit without K and a member")
    return Experiment(knockouts.setup, f"what {member} adds in {knockouts.label}", method, "behaviour", gather)


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
        base = self.knockouts.behaviour(sample).mean()

        def shares(steps: Sequence[tuple[int, Part]]) -> "Floats":
            return np.asarray(self._adds(sample, steps).mean(axis=1) / base)

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
