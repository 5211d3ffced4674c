"""Completeness: whether a circuit is all that does it, also where parts of both are taken out (Wang et al. 2022).

    assert model.on(NAMES).completeness(IOI) == pytest.approx(0, abs=0.2)

A circuit may keep all of a behaviour and yet lack what would step in: a backup outside it does nothing until the members
that it backs up are gone. So a part K of the circuit is taken out of both, and what the whole model keeps of the behaviour
is compared with what the circuit keeps. K is the worst that was found; that there is none worse is not claimed.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import numpy as np

from circuitcheck.addresses.circuits import Circuit
from circuitcheck.engine.ablations import Ablation
from circuitcheck.engine.watching.one_question import once_a_generation
from circuitcheck.errors import MethodError
from circuitcheck.experiments.circuits.knockouts import Knockouts, OfCircuit, as_one_work
from circuitcheck.experiments.circuits.subcircuits import Part, drawn, greedy, largest, named
from circuitcheck.experiments.experiment import Gathered
from circuitcheck.experiments.setups import Setup
from circuitcheck.prompts.populations import FIXED_SEED
from circuitcheck.sampling.samples import Sample
from circuitcheck.statistics.weights import mean_over
from circuitcheck.texts import plural

if TYPE_CHECKING:
    from circuitcheck.types import Floats


@dataclass(frozen=True, eq=False, kw_only=True)
class Completeness(OfCircuit):
    """What the model keeps without a part K over what the circuit keeps without it. ``given``: the part that was named; where
    none was, the worst is searched for."""

    given: Part | None
    search: "_Search"

    verb, direction = "completeness", "the model without K - the circuit without K"

    @classmethod
    def of(
        cls,
        circuit: str | Circuit,
        setup: Setup,
        value: str | float | Ablation = "mean",
        within: str | None = None,
        without: str | Circuit | None = None,
        n: int = 100,
    ) -> Self:
        """Of a circuit; see ``Run.completeness``."""
        if isinstance(n, bool) or not isinstance(n, int) or n < 1:
            raise MethodError(f"n is the number of parts that are tried at random, not {n!r}")
        knockouts = Knockouts(setup, circuit, value, within).taken_one_by_one()
        given = None if without is None else knockouts.part(without)
        return cls(
            setup=knockouts.setup, unit="behaviour", knockouts=knockouts, given=given, search=_Search(knockouts, n)
        )

    @property
    def label(self) -> str:
        without = "" if self.given is None else f" without {named(self.given)}"
        return f"completeness of {self.knockouts.label}{without}"

    def gather(self, sample: Sample) -> Gathered:
        part, found = (self.given, "") if self.given is not None else self.search.worst
        [shift] = _gaps(self.knockouts, sample, [part])
        return self.knockouts.gathered(sample, shift, f"K = {named(part)}", (found,) if found else ())


class _Search:
    """The search for the K that model and circuit differ most for."""

    def __init__(self, knockouts: Knockouts, n: int):
        self.knockouts, self.n, self.model = knockouts, n, knockouts.setup.model

    @once_a_generation
    def worst(self) -> tuple[Part, str]:
        """The worst of those that were found, and in words how."""
        setup, members, pairs = self.knockouts.setup, self.knockouts.members, len(self.knockouts.searched.pairs)
        at_random = drawn(members, self.n, f"{FIXED_SEED}/completeness/{self.knockouts.label}")
        most = 2 * pairs * (len(at_random) + len(members) ** 2)
        with as_one_work(setup.model.answers, f"completeness of {self.knockouts.name}", most):
            shares = self._shares(at_random)
            worst = largest(at_random, np.abs(shares).tolist())
            if len(at_random) == 2 ** len(members):
                told = f"K = {named(at_random[worst])} is the worst of all {len(at_random)} parts"
                return at_random[worst], f"{told} on {plural(pairs, 'reference pair')}"
            [climbed] = greedy([members], lambda steps: np.abs(self._shares([part for _, part in steps])).tolist())
            [reached] = self._shares([climbed])
        by = {"greedy search": (climbed, reached), f"{len(at_random)} at random": (at_random[worst], shares[worst])}
        part = max(by.values(), key=lambda found: abs(found[1]))[0]
        told = ", ".join(f"{who}: {share:.3g} without {named(found)}" for who, (found, share) in by.items())
        return part, f"K is the worst found on {plural(pairs, 'reference pair')} ({told}); there may be worse"

    def _shares(self, parts: Sequence[Part]) -> "Floats":
        sample = self.knockouts.searched
        behaviour = mean_over(sample.pairs, self.knockouts.behaviour(sample))
        return np.asarray(mean_over(sample.pairs, _gaps(self.knockouts, sample, parts)) / behaviour)


def _gaps(knockouts: Knockouts, sample: Sample, parts: Sequence[Part]) -> "Floats":
    """By how much the model's readout without each part is above the circuit's, of shape [part, pair]."""
    return np.asarray(knockouts.of_model(sample, parts) - knockouts.of_circuit(sample, parts))
