"""Minimality: whether every member of a circuit matters, given the others that are there (Wang et al. 2022).

    assert model.on(NAMES).minimality(IOI) > 0.02

A member that others back up seems to do nothing until those are gone. So each is taken out of the circuit without a part K
of its others, the one found for which it does most. A passenger does nothing whatever is gone.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from circuitcheck.all_of import AllOf
from circuitcheck.effects import Effect
from circuitcheck.errors import MethodError
from circuitcheck.knockouts import Knockouts, as_one_work
from circuitcheck.methods import Ablation
from circuitcheck.one_question import once_a_generation
from circuitcheck.parts import Part, greedy, named

if TYPE_CHECKING:
    from circuitcheck.circuits import Circuit
    from circuitcheck.engine import Sample
    from circuitcheck.gathered import Gathered
    from circuitcheck.runs import Run
    from circuitcheck.types import Floats


def minimality(
    run: "Run",
    circuit: "str | Circuit",
    value: str | float | Ablation = "mean",
    within: str | None = None,
) -> AllOf:
    """What each member adds to the circuit without a part K of the others, for the K found for which it adds most.

        model.on(NAMES).minimality(IOI) > 0.02

    Each in the share of the behaviour: |m(C without K) - m(C without K and it)| / (m(M) - m(nothing)). K, and whether the
    member works for the behaviour or against it, are found greedily on reference pairs. Supported where every member is;
    refuted by one, which is named. ``value`` and ``within`` are those of ``keep``. Raises ``MethodError`` for edges and for
    members that overlap or lie outside ``within``.
    """
    search = _Search(Knockouts(run, circuit, value, within).taken_one_by_one())
    if not search.knockouts.members:
        raise MethodError("a circuit without members has none that could matter")
    effects = {str(member): _effect(search, number) for number, member in enumerate(search.knockouts.members)}
    return AllOf(f"minimality of {search.knockouts.label}", "members", effects)


def _effect(search: "_Search", number: int) -> Effect:
    """What one member adds, given its K."""
    knockouts = search.knockouts
    member = knockouts.members[number]

    def gather(sample: "Sample") -> "Gathered":
        without, sign = search.found[number]
        against = ", where it works against it" if sign < 0 else ""
        told = f"{member} was found to matter most with {named(without)} taken out{against}"
        return knockouts.gathered(sample, search.added(sample)[number], f"K = {named(without)}", (told,))

    method = knockouts.method("minimality", "the circuit without K - the circuit without K and a member")
    return Effect(knockouts.run, f"what {member} adds in {knockouts.label}", method, "behaviour", gather)


class _Search:
    """The search for every member's K, and what all members add, each given its own: in common batches."""

    def __init__(self, knockouts: Knockouts):
        self.knockouts, self.model = knockouts, knockouts.run.model

    @once_a_generation
    def _added(self) -> "dict[Sample, Floats]":
        return {}

    @once_a_generation
    def found(self) -> list[tuple[Part, int]]:
        """Each member's K, and the sign of what it adds."""
        members, run, sample = self.knockouts.members, self.knockouts.run, self.knockouts.searched
        base = self.knockouts.behaviour(sample).mean()

        def shares(steps: Sequence[tuple[int, Part]]) -> "Floats":
            return np.asarray(self._adds(sample, steps).mean(axis=1) / base)

        with as_one_work(
            run.model.engine, f"minimality of {self.knockouts.name}", len(members) ** 3 * len(sample.pairs)
        ):
            others = [tuple(other for other in members if other != member) for member in members]
            parts = greedy(others, lambda steps: np.abs(shares(steps)).tolist())
            signs = shares(list(enumerate(parts)))
        return [(part, -1 if share < 0 else 1) for part, share in zip(parts, signs, strict=True)]

    def added(self, sample: "Sample") -> "Floats":
        """What each member adds, given its K and with its sign; of shape [member, pair]."""
        added, found = self._added, self.found
        if sample not in added:
            signs = np.array([[sign] for _, sign in found])
            added[sample] = signs * self._adds(sample, [(n, part) for n, (part, _) in enumerate(found)])
        return added[sample]

    def _adds(self, sample: "Sample", steps: Sequence[tuple[int, Part]]) -> "Floats":
        """What members, by number, add to the circuit without a part; of shape [step, pair]."""
        members = self.knockouts.members
        both = [tuple(site for site in members if site in part or site == members[n]) for n, part in steps]
        found = self.knockouts.of_circuit(sample, [*(part for _, part in steps), *both])
        return np.asarray(found[: len(steps)] - found[len(steps) :])
