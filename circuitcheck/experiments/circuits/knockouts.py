"""A circuit with some of its members taken out: what it still does by itself, and what the model does without them.

Every number about parts of one circuit is of the same ablation in the same universe, divided as finely as the whole circuit
divides it, so that taking out a layer's last neuron is no other ablation than taking out its first.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from circuitcheck.addresses.circuits import Circuit, divided, overlap, sites_of
from circuitcheck.addresses.parsing import parse
from circuitcheck.engine.ablations import Ablation, removing
from circuitcheck.engine.answers import Answers, Outcome
from circuitcheck.errors import MethodError
from circuitcheck.experiments.circuits.subcircuits import Part
from circuitcheck.experiments.experiment import Experiment, Gathered
from circuitcheck.experiments.methods import Method
from circuitcheck.experiments.mutants import NotApplicable, current, mutated
from circuitcheck.experiments.outcomes import ablated, kept, of_ablation, where_ablated
from circuitcheck.experiments.setups import Setup
from circuitcheck.sampling.samples import Sample

if TYPE_CHECKING:
    from circuitcheck.types import Floats

# Pairs on which parts of a circuit are looked for.
_SEARCHED = 32


class Knockouts:
    """A circuit in its universe, under one ablation. Parts of it are members in the circuit's own order."""

    def __init__(self, setup: Setup, circuit: str | Circuit, value: str | float | Ablation, within: str | None):
        anatomy = setup.model.anatomy
        self.how, self._mutant = removing(value), current()
        if self._mutant is not None and self._mutant.crossed:
            raise NotApplicable("an ablation has no source")
        self._written = sites_of(circuit, anatomy)
        self.name, self.members = mutated(str(circuit), self._written, anatomy)
        self.within = setup.universe_of(self.members) if within is None else within
        self._finer = divided(self.members, parse(self.within, anatomy), anatomy)
        self.setup = where_ablated(setup, self.how, [*self.members, *self._finer])

    def taken_one_by_one(self) -> "Knockouts":
        """Itself; raises ``MethodError`` for members that cannot be taken out one by one."""
        if edge := next((site for site in self.members if site.via), None):
            raise MethodError(f"{edge} is an edge, and without it its end would hear all: take out components")
        if shared := overlap(self.members, self._finer, self.setup.model.anatomy):
            raise MethodError(
                f"{shared[0]} and {shared[1]} have something in common: what is taken out one by one is written once"
            )
        return self

    def method(self, verb: str, direction: str) -> Method:
        """The method of a number about the circuit."""
        value = str(self.how)
        return self.setup.method(verb, self.name, self.members, value=value, direction=direction, universe=self.within)

    @property
    def label(self) -> str:
        """The circuit and the ablation, as labels name them."""
        return f"{self.name or 'nothing'} ({self.how})"

    @property
    def searched(self) -> Sample:
        """The pairs on which parts are chosen: the same under every seed, with other donors where donors are drawn, so that
        nothing is decided on the numbers that it was chosen by (but of a population that is taken in whole)."""
        fixed = self.setup.fixed(_SEARCHED)
        if not self.how.is_drawn:
            return fixed
        return Sample(tuple(replace(pair, repeat=-1) for pair in fixed.pairs), whole=False, part_of=fixed.taken)

    def part(self, address: str | Circuit) -> Part:
        """The members that an address names, or what a mutant has in their places; raises ``MethodError`` for what is none."""
        wanted = sites_of(address, self.setup.model.anatomy)
        if strange := [site for site in wanted if site not in self._written]:
            raise MethodError(f"{strange[0]} is no member of {self.name}")
        return tuple(site for site, written in zip(self.members, self._written, strict=True) if written in wanted)

    def of_model(self, sample: Sample, parts: Sequence[Part]) -> "Floats":
        """The clean readout of the model without each of the parts, of shape [part, pair]."""
        with self.setup.as_mutated(self._mutant, self.members):
            return _stacked(ablated(self.setup, sample, parts, self.how))

    def of_circuit(self, sample: Sample, parts: Sequence[Part]) -> "Floats":
        """The same of the circuit by itself without each of the parts: all else in the universe is ablated."""
        left = [tuple(site for site in self.members if site not in part) for part in parts]
        with self.setup.as_mutated(self._mutant, self.members):
            return _stacked(kept(self.setup, sample, left, self.how, self._finer))

    def behaviour(self, sample: Sample) -> "Floats":
        """What the model does over what is left where all of the universe is ablated, of shape [pair]."""
        whole, nothing = self.of_model(sample, [(), self._finer])
        return np.asarray(whole - nothing)

    def gathered(self, sample: Sample, shift: "Floats", chosen: str = "", notes: tuple[str, ...] = ()) -> Gathered:
        """Per-pair numbers of shape [pair], as a share of the behaviour among others."""
        behaviour = self.behaviour(sample)
        with self.setup.as_mutated(self._mutant, self.members):
            bases = {**self.setup.bases(sample), "behaviour": behaviour}
        return of_ablation(self.setup, sample, self.how, shift, bases, notes, chosen)


@dataclass(frozen=True, eq=False, kw_only=True)
class OfCircuit(Experiment):
    """A number about a circuit with some of its members taken out. What tells one from another is its formula."""

    knockouts: Knockouts

    verb: ClassVar[str]
    direction: ClassVar[str]

    @property
    def method(self) -> Method:
        return self.knockouts.method(self.verb, self.direction)


def _stacked(outcomes: Sequence[Outcome]) -> "Floats":
    return np.stack([outcome.values for outcome in outcomes])


@contextmanager
def as_one_work(answers: Answers, what: str, runs: int) -> Iterator[None]:
    """While the block lasts, the progress of all batches is shown as that of one work of at most so many runs."""
    outer, finished = answers.progress, 0

    def tell(_: str, done: int, total: int) -> None:
        nonlocal finished
        outer(what, min(finished + done, runs - 1), runs)
        finished += total if done == total else 0

    outer(what, 0, runs)
    answers.progress = tell
    try:
        yield
    finally:
        answers.progress = outer
        outer(what, runs, runs)
