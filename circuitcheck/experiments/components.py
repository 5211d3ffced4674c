"""What is done at components: intervened on, or looked at. Other components can take their place."""

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

from circuitcheck.addresses.circuits import Circuit, sites_of
from circuitcheck.addresses.sites import Site
from circuitcheck.engine.ablations import Ablation
from circuitcheck.engine.answers import Outcome
from circuitcheck.errors import MethodError
from circuitcheck.experiments.experiment import Experiment, Gathered, Shift, Texts
from circuitcheck.experiments.methods import Method
from circuitcheck.experiments.mutants import Mutant, NotApplicable, current, mutated
from circuitcheck.experiments.setups import Setup
from circuitcheck.prompts.pairs import Side
from circuitcheck.sampling.samples import Sample


@dataclass(frozen=True, eq=False, kw_only=True)
class ComponentExperiment(Experiment):
    """What is done at the components of an ``address``, as the ``mutant`` in force has it. Each of them is made by its
    ``at``, and says its ``verb``, what a value it ``takes`` instead of an ablation's, and (``no_source``) why what is put in
    comes from no other run, where it does not."""

    address: str
    mutant: Mutant | None

    verb: ClassVar[str]
    takes: ClassVar[str] = ""
    no_source: ClassVar[str] = ""
    at_components, has_controls, is_sum = True, True, True

    @property
    def method(self) -> Method:
        return self.setup.method(self.verb, self.address, self.sites, **self.fields())

    @abstractmethod
    def fields(self) -> dict[str, Any]:
        """What the method says of it beside its sites."""

    def gather(self, sample: Sample) -> Gathered:
        """The per-pair numbers of some pairs."""
        with self.setup.as_mutated(self.mutant, self.sites):
            [shift] = self.shifts(sample, [self.sites])
            return self.gathered(sample, shift)

    def gathered(self, sample: Sample, shift: Shift) -> Gathered:
        """What was shifted, with what it is a share of."""
        return Gathered(shift.values, self.setup.bases(sample), notes=shift.notes, texts=shift.texts)

    def refuse(self, value: "str | float | Ablation | None") -> None:
        """Raise ``MethodError`` for an ablation's value, where there is none."""
        if value is not None:
            raise MethodError(f"{self.takes}; {value!r} is an ablation's value")

    @property
    def crossed(self) -> bool:
        """Whether what is put in comes from another pair's run, which has nothing of the behaviour in it."""
        return self.mutant is not None and self.mutant.crossed

    @classmethod
    def placed(cls, setup: Setup, address: str | Circuit) -> "Placed":
        """An address with its sites, as the mutant in force has them; raises ``NotApplicable`` where it changes nothing."""
        name, sites = mutated(str(address), sites_of(address, setup.model.anatomy), setup.model.anatomy)
        if (mutant := current()) is not None and mutant.crossed and cls.no_source:
            raise NotApplicable(cls.no_source)
        return Placed(setup, name, sites, mutant)


class Placed(NamedTuple):
    """Where something is done."""

    setup: Setup
    address: str
    sites: tuple[Site, ...]
    mutant: Mutant | None


def shifted(outcomes: Sequence[Outcome], before: Outcome, side: Side) -> list[Shift]:
    """What outcomes bring back in the corrupted run, or lose in the clean one; where texts are read, what there is more of in them."""
    if before.texts:
        return [
            Shift(outcome.values - before.values, outcome.unchanged, told_apart(without=before, **{"with": outcome}))
            for outcome in outcomes
        ]
    sign = 1 if side == "corrupt" else -1
    return [Shift(sign * (outcome.values - before.values), outcome.unchanged) for outcome in outcomes]


def told_apart(**runs: Outcome) -> tuple[Texts, ...]:
    """What was written after each pair's prompts, by the name of the run; nothing where no texts are read."""
    texts = zip(*(outcome.texts for outcome in runs.values()), strict=True)
    return tuple(dict(zip(runs, pair, strict=True)) for pair in texts)
