"""Ablation: an activation replaced by a mean, zero, another prompt's, a number; and all but a circuit's replaced."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from circuitcheck.addresses.circuits import Circuit, divided, rest_of, sites_of
from circuitcheck.addresses.graphs import graph_of
from circuitcheck.addresses.sites import Site
from circuitcheck.engine.ablations import NOTHING_HELD, Ablation, Held, ablation, removing
from circuitcheck.engine.answers import Outcome
from circuitcheck.engine.reading import slopes
from circuitcheck.errors import MethodError
from circuitcheck.experiments.experiment import Act, Experiment, Gathered, Sets, Shift
from circuitcheck.experiments.mutants import NotApplicable, current, mutated
from circuitcheck.experiments.patching import refuse_slopes_of_paths
from circuitcheck.experiments.setups import Setup
from circuitcheck.prompts.alignment import AlignedPair
from circuitcheck.prompts.pairs import Side
from circuitcheck.sampling.references import Reference
from circuitcheck.sampling.samples import Sample

if TYPE_CHECKING:
    from circuitcheck.types import Floats


@dataclass(frozen=True)
class Ablating:
    """An ablation's value, put into the clean setup."""

    how: Ablation
    held: Held = NOTHING_HELD

    def shifts(self, setup: Setup, sample: Sample, sets: Sets) -> list[Shift]:
        """What is lost."""
        clean = setup.model.answers.base(sample, "clean", setup.readout).values
        return [Shift(clean - outcome.values, outcome.unchanged) for outcome in self.outcomes(setup, sample, sets)]

    def outcomes(self, setup: Setup, sample: Sample, sets: Sets) -> list[Outcome]:
        """The clean run's readout without each set of sites; without none of them it is the clean run's own."""
        answers = setup.model.answers
        written = [sites for sites in sets if sites]
        found = iter(
            answers.ablated_each(sample, written, self.how, self._reference(setup, sample), setup.readout, self.held)
        )
        return [next(found) if sites else answers.base(sample, "clean", setup.readout) for sites in sets]

    def slopes(self, setup: Setup, pair: AlignedPair, sites: Sequence[Site]) -> "dict[Side, Floats]":
        """How what it shifts changes with each token's embedding, of shape [position, d_model]."""
        refuse_slopes_of_paths(sites, self.held)
        return slopes.of_ablation(
            setup.model.answers, pair, sites, self.how, self._reference(setup, setup.sample), setup.readout
        )

    def _reference(self, setup: Setup, sample: Sample) -> Reference | None:
        return setup.reference_of(sample) if self.how.needs_reference else None


@dataclass(frozen=True)
class Keeping:
    """An ablation of all of a universe but the sites."""

    how: Ablation
    universe: tuple[Site, ...]

    def shifts(self, setup: Setup, sample: Sample, sets: Sets) -> list[Shift]:
        """What of the behaviour stays, over what is left where nothing is kept."""
        finer = [divided(sites, self.universe, setup.model.anatomy) for sites in sets]
        nothing = Ablating(self.how).outcomes(setup, sample, finer)
        return [
            Shift(with_it.values - without.values, not sites)
            for sites, with_it, without in zip(sets, self.outcomes(setup, sample, sets), nothing, strict=True)
        ]

    def outcomes(self, setup: Setup, sample: Sample, sets: Sets) -> list[Outcome]:
        """The clean run's readout with each set of sites and nothing else of the universe."""
        anatomy = setup.model.anatomy
        whole = [number for number, sites in enumerate(sets) if not any(site.via for site in sites)]
        rest = [rest_of(sets[number], self.universe, anatomy)[0] for number in whole]
        found = dict(zip(whole, Ablating(self.how).outcomes(setup, sample, rest), strict=True))
        return [
            found[number]
            if number in found
            else self._along_edges(setup, sample, sites, divided(sites, self.universe, anatomy))
            for number, sites in enumerate(sets)
        ]

    def _along_edges(self, setup: Setup, sample: Sample, sites: Sequence[Site], universe: Sequence[Site]) -> Outcome:
        reference = setup.reference_of(sample) if self.how.needs_reference else None
        graph = graph_of(sites, setup.model.anatomy)
        return setup.model.answers.kept_along(sample, graph, universe, self.how, reference, setup.readout)

    def slopes(self, setup: Setup, pair: AlignedPair, sites: Sequence[Site]) -> "dict[Side, Floats]":
        """Of what is kept nobody has asked."""
        raise MethodError(
            "an adversary with gradients takes patches and ablations: search a circuit against('coordinate')"
        )


def ablating(
    setup: Setup, address: str | Circuit, value: "str | float | Ablation", within: str | None, through: str, ln: str
) -> Experiment:
    """An ablation at the sites of an address; see ``Run.ablate``."""
    name, sites = mutated(str(address), sites_of(address, setup.model.anatomy), setup.model.anatomy)
    how, mutant = ablation(value), current()
    if mutant is not None and mutant.crossed:
        raise NotApplicable("an ablation has no source")
    if how.needs_reference and any(site.kind == "H.PATTERN" for site in sites):
        raise MethodError(
            f"attention patterns of different prompts have no {how} in common: patch it, or ablate Q or K"
        )
    universe = setup.universe if within is None else within
    everything, kept = setup.sites(universe), setup.held(sites, through, ln)
    method = setup.method("ablate", name, sites, value=str(how), direction="ablation", universe=universe, held=kept)
    verb = Ablating(how, kept)

    def gather(sample: Sample) -> Gathered:
        with setup.as_mutated(mutant, sites):
            [ablated] = verb.shifts(setup, sample, [sites])
            bases = setup.bases(sample)
            if how.kind != "scaled":
                [behaviour] = Ablating(how).shifts(setup, sample, [everything])
                bases["behaviour"] = behaviour.values
        reference = setup.reference_of(sample).describe(how.of) if how.needs_reference else ""
        return Gathered(ablated.values, bases, reference, how.kind == "resample", ablated.notes)

    def at(other: str, value: "str | float | Ablation | None") -> Experiment:
        return ablating(setup, other, how if value is None else value, within, through, ln)

    unit = "gap" if how.kind == "scaled" else "behaviour"
    label = f"ablate {name} ({how}){kept.suffix}"
    return Experiment(setup, label, method, unit, gather, act=Act(verb, sites, at))


def keeping(setup: Setup, circuit: str | Circuit, value: "str | float | Ablation", within: str | None) -> Experiment:
    """An ablation of all else in a universe; see ``Run.keep``."""
    anatomy = setup.model.anatomy
    name, sites = mutated(str(circuit), sites_of(circuit, anatomy), anatomy)
    how, mutant = removing(value), current()
    if mutant is not None and mutant.crossed:
        raise NotApplicable("an ablation has no source")
    universe = setup.universe if within is None else within
    verb = Keeping(how, setup.sites(universe))
    everything = divided(sites, verb.universe, anatomy)
    method = setup.method("keep", name, sites, value=str(how), direction="all else ablated", universe=universe)

    def gather(sample: Sample) -> Gathered:
        with setup.as_mutated(mutant, sites):
            [kept] = verb.shifts(setup, sample, [sites])
            [behaviour] = Ablating(how).shifts(setup, sample, [everything])
            bases = {**setup.bases(sample), "behaviour": behaviour.values}
        reference = setup.reference_of(sample).describe(how.of) if how.needs_reference else ""
        return Gathered(kept.values, bases, reference, how.kind == "resample", kept.notes)

    def at(other: str, value: "str | float | Ablation | None") -> Experiment:
        return keeping(setup, other, how if value is None else value, within)

    return Experiment(setup, f"keep {name} ({how})", method, "behaviour", gather, act=Act(verb, sites, at))
