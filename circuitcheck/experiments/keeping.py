"""What a circuit keeps: all else in a universe is ablated."""

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Self

from circuitcheck.addresses.circuits import Circuit, divided
from circuitcheck.addresses.sites import Site
from circuitcheck.engine.ablations import Ablation, removing
from circuitcheck.errors import MethodError
from circuitcheck.experiments.ablating import behaviours_of
from circuitcheck.experiments.components import ComponentExperiment
from circuitcheck.experiments.experiment import Gathered, Sets, Shift
from circuitcheck.experiments.outcomes import ablated, kept, of_ablation, where_ablated
from circuitcheck.experiments.setups import Setup
from circuitcheck.prompts.aligned_pairs import AlignedPair
from circuitcheck.prompts.pairs import Side
from circuitcheck.sampling.samples import Sample

if TYPE_CHECKING:
    from circuitcheck.types import Floats


# Pairs on which it is shown how much what a dictionary does not explain keeps by itself.
_ERROR_PAIRS = 32


@dataclass(frozen=True, eq=False, kw_only=True)
class Keep(ComponentExperiment):
    """An ablation of all of ``everything``, written ``within``, but the sites."""

    how: Ablation
    within: str
    everything: tuple[Site, ...]

    verb, no_source = "keep", "an ablation has no source"
    is_sum = False

    @classmethod
    def at(
        cls, circuit: str | Circuit, setup: Setup, value: "str | float | Ablation", within: str | None = None
    ) -> Self:
        """Of a circuit; see ``Run.keep``."""
        place, how = cls.placed(setup, circuit), removing(value)
        universe = setup.universe_of(place.sites) if within is None else within
        everything = setup.sites(universe)
        divided(place.sites, everything, setup.model.anatomy)  # or raises for members outside it
        place = place._replace(setup=where_ablated(setup, how, [*place.sites, *everything]))
        return cls(**place._asdict(), unit="behaviour", how=how, within=universe, everything=everything)

    @property
    def label(self) -> str:
        return f"keep {self.address} ({self.how})"

    def fields(self) -> dict[str, Any]:
        return {"value": str(self.how), "direction": "all else ablated", "universe": self.within}

    @property
    def universe(self) -> tuple[Site, ...]:
        return self.everything

    def moved(self, address: str, value: "str | float | Ablation | None" = None) -> Self:
        return self.at(address, self.setup, self.how if value is None else value, self.within)

    def gathered(self, sample: Sample, shift: Shift) -> Gathered:
        """What was kept, with what it is a share of."""
        finer = divided(self.sites, self.everything, self.setup.model.anatomy)
        [behaviour] = behaviours_of(self.setup, sample, self.how, [finer])
        bases = {**self.setup.bases(sample), "behaviour": behaviour}
        notes = (*shift.notes, *self._on_errors)
        return of_ablation(self.setup, sample, self.how, shift.values, bases, notes)

    @cached_property
    def _on_errors(self) -> tuple[str, ...]:
        """What dictionaries do not explain: how much of the behaviour that keeps by itself, or that it all stays."""
        hosts = {(site.layer, site.traits.host) for site in self.everything if site.traits.host}
        errors = [site for site in self.everything if site.traits.host and site.index < 0]
        left_out = hosts - {(site.layer, site.traits.host) for site in errors}
        notes = [
            f"what the dictionary does not explain stays: L{layer}.{host}.ERROR is not in within="
            for layer, host in sorted(left_out)
        ]
        if errors:
            some = self.setup.fixed(_ERROR_PAIRS)
            [by_itself] = self.shifts(some, [errors])
            [behaviour] = behaviours_of(self.setup, some, self.how, [self.everything])
            share = float(by_itself.values.mean() / behaviour.mean())
            named = " | ".join(map(str, errors))
            notes.append(f"{named} by itself keeps {share:.3g} of the behaviour (on {len(some.pairs)} pairs)")
        return tuple(notes)

    def shifts(self, sample: Sample, sets: Sets) -> list[Shift]:
        """What of the behaviour stays, over what is left where nothing is kept."""
        setup, universe = self.setup, self.everything
        finer = [divided(sites, universe, setup.model.anatomy) for sites in sets]
        nothing = ablated(setup, sample, finer, self.how)
        return [
            Shift(with_it.values - without.values, not sites)
            for sites, with_it, without in zip(
                sets, kept(setup, sample, sets, self.how, universe), nothing, strict=True
            )
        ]

    def slopes(self, pair: AlignedPair) -> "dict[Side, Floats]":
        raise MethodError(
            "an adversary with gradients takes patches and ablations: search a circuit against('coordinate')"
        )
