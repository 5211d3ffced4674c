"""Ablation: an activation replaced by a mean, zero, another prompt's, a number."""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Self

from circuitcheck.addresses.circuits import Circuit
from circuitcheck.addresses.sites import Site
from circuitcheck.engine.ablations import NOTHING_HELD, Ablation, Held, ablation
from circuitcheck.engine.gradients.slopes import slopes_of
from circuitcheck.engine.making import Ablating
from circuitcheck.errors import MethodError
from circuitcheck.experiments.components import ComponentExperiment, shifted
from circuitcheck.experiments.experiment import Gathered, Sets, Shift
from circuitcheck.experiments.outcomes import ablated, check_after_prompts, of_ablation, where_ablated
from circuitcheck.experiments.patching import refuse_slopes_of_paths
from circuitcheck.experiments.setups import Setup
from circuitcheck.prompts.aligned_pairs import AlignedPair
from circuitcheck.prompts.pairs import Side
from circuitcheck.sampling.samples import Sample

if TYPE_CHECKING:
    from circuitcheck.types import Floats


@dataclass(frozen=True, eq=False, kw_only=True)
class Ablate(ComponentExperiment):
    """An ablation's value, put into the clean run. ``everything``: what is ablated where nothing of the behaviour is left,
    written ``within``."""

    how: Ablation
    within: str
    everything: tuple[Site, ...]
    held: Held = NOTHING_HELD

    verb, no_source, reads_texts = "ablate", "an ablation has no source", True

    @classmethod
    def at(
        cls,
        address: str | Circuit,
        setup: Setup,
        value: "str | float | Ablation",
        within: str | None = None,
        held: Held = NOTHING_HELD,
    ) -> Self:
        """At an address; see ``Run.ablate``."""
        place, how = cls.placed(setup, address), ablation(value)
        if how.is_drawn and any(site.traits.width == "pattern" for site in place.sites):
            raise MethodError(
                f"there is no {how} of attention patterns, which are of prompts of one shape each: ablate by their mean, over "
                "prompts of the same shape, or patch them"
            )
        universe = setup.universe if within is None else within
        everything = setup.sites(universe)
        setup.check_held(place.sites, held)
        check_after_prompts(setup, place.sites, how, held)
        place = place._replace(setup=where_ablated(setup, how, [*place.sites, *everything]))
        unit = setup.unit if setup.readout.is_text else "behaviour" if how.removes else "gap"
        return cls(**place._asdict(), unit=unit, how=how, within=universe, everything=everything, held=held)

    @property
    def label(self) -> str:
        return f"ablate {self.address} ({self.how}){self.held.suffix}"

    def fields(self) -> dict[str, Any]:
        return {"value": str(self.how), "direction": "ablation", "universe": self.within, "held": self.held}

    def moved(self, address: str, value: "str | float | Ablation | None" = None) -> Self:
        return self.at(address, self.setup, self.how if value is None else value, self.within, self.held)

    def gathered(self, sample: Sample, shift: Shift) -> Gathered:
        bases = self.setup.bases(sample)
        if self.how.removes and not self.setup.readout.is_text:
            [bases["behaviour"]] = behaviours_of(self.setup, sample, self.how, [self.everything])
        found = of_ablation(self.setup, sample, self.how, shift.values, bases, shift.notes)
        return replace(found, texts=shift.texts)

    def shifts(self, sample: Sample, sets: Sets) -> list[Shift]:
        """What is lost."""
        found = ablated(self.setup, sample, sets, self.how, self.held)
        return shifted(found, self.setup.base(sample, "clean"), "clean")

    def slopes(self, pair: AlignedPair) -> "dict[Side, Floats]":
        refuse_slopes_of_paths(self.sites, self.held)
        setup = self.setup
        by_itself = Sample((pair,), whole=False, part_of=setup.sample.taken)
        writing = Ablating(how=self.how, source=setup.source_of(by_itself, self.how))
        return slopes_of(setup.model.answers, pair, self.sites, writing, setup.readout)


def behaviours_of(setup: Setup, sample: Sample, how: Ablation, universes: Sets) -> "list[Floats]":
    """What the clean run loses where everything in each universe is ablated, of shape [pair]."""
    lost = shifted(ablated(setup, sample, universes, how), setup.base(sample, "clean"), "clean")
    return [shift.values for shift in lost]
