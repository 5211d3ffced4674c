"""Causal scrubbing (Chan et al. 2022): each site has what other prompts have there that agree on what it is said to carry.

    model.on(IOI).scrub({"L17.H4@end": "order", "L23.H3@end": ("n1", "n2", "order")}) > 0.9

Where a hypothesis says what each of its sites carries, nothing else of what is there matters, so that the behaviour stays.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Self

from circuitcheck.addresses.circuits import Circuit, rest_of, sites_of
from circuitcheck.addresses.sites import Site
from circuitcheck.engine.ablations import Resample
from circuitcheck.engine.hooks.hookpoints import targets
from circuitcheck.engine.scrubs.scrubbing import Part, Scrubbing
from circuitcheck.errors import MethodError
from circuitcheck.experiments.ablating import behaviours_of
from circuitcheck.experiments.experiment import Draw, Experiment, Gathered
from circuitcheck.experiments.methods import Method
from circuitcheck.experiments.outcomes import ablated
from circuitcheck.experiments.setups import Setup
from circuitcheck.prompts.aligned_pairs import AlignedPair
from circuitcheck.prompts.variable_values import prompts_of
from circuitcheck.sampling.agreeing import Agreeing
from circuitcheck.sampling.samples import Sample

# Runs double with each hook point.
_MOST = 8
_HOW = Resample("clean")


@dataclass(frozen=True, eq=False, kw_only=True)
class Scrub(Experiment):
    """The share of the behaviour that stays where the sites of a ``hypothesis`` (addresses, with what is there and the variables that
    it carries) are scrubbed; all else ``within`` some address is resampled, or left alone where none is given."""

    hypothesis: tuple[tuple[str, tuple[Site, ...], tuple[str, ...]], ...]
    within: str
    everything: tuple[Site, ...]

    @classmethod
    def of(
        cls, hypothesis: "Mapping[str | Circuit, str | Sequence[str]]", setup: Setup, within: str | None = None
    ) -> Self:
        """Of a hypothesis; see ``Run.scrub``."""
        pairs, anatomy = setup.pairs.description, setup.model.anatomy
        if not isinstance(hypothesis, Mapping) or not hypothesis:
            raise MethodError(
                f"scrub takes sites with the variables that each carries, {{site: names}}, not {hypothesis!r}"
            )
        if not pairs.templates:
            raise MethodError(
                f"{setup.pairs!r} has no slots and variables that prompts could agree on: describe the prompts by templates"
            )
        made = []
        for address, names in hypothesis.items():
            carried = (names,) if isinstance(names, str) else tuple(names)
            there = [*pairs.variables, *pairs.slots]
            if unknown := [name for name in carried if name not in there]:
                raise MethodError(
                    f"{unknown[0]!r} is no variable and no slot of {setup.pairs!r}; it has {', '.join(there)}"
                )
            made.append((str(address), sites_of(address, anatomy), carried))
        sites = tuple(site for _, some, _ in made for site in some)
        read = [set(Part(some).read) for _, some, _ in made]
        there_twice = [
            one for number, some in enumerate(read) for other in read[:number] for one in some if one in other
        ]
        if there_twice or len(set(sites)) < len(sites):
            raise MethodError("a site is in two of the hypothesis' parts: name all that it carries in one of them")
        if len({(one.layer, one.kind) for one in targets(sites)}) > _MOST:
            raise MethodError(
                f"scrubbing takes twice as many runs for each further place: {_MOST} layers and kinds of sites at most"
            )
        everything = setup.sites(setup.universe if within is None else within)
        steps = (step for one in (*sites, *everything) for step in (*one.via, one))
        if feature := next((step for step in steps if step.traits.host), None):
            raise MethodError(
                f"scrub takes components, and {feature} is of a dictionary: scrub L{feature.layer}.{feature.traits.host}, or claim "
                f'.interchange("{feature}", ...)'
            )
        if within is not None and any(site.via for site in sites):
            raise MethodError("within= is about components, and this hypothesis has paths: leave it out")
        return cls(
            setup=setup,
            unit="behaviour",
            sites=sites,
            hypothesis=tuple(made),
            within=within or "",
            everything=everything,
        )

    @property
    def label(self) -> str:
        said = ", ".join(f"{address}: {' and '.join(names) or 'nothing'}" for address, _, names in self.hypothesis)
        return f"scrub {said}"

    @property
    def method(self) -> Method:
        address = " | ".join(address for address, _, _ in self.hypothesis)
        rest = f"{self.within}, resampled" if self.within else "all else as it is"
        value = "activations of clean prompts that agree on what each site carries"
        return self.setup.method("scrub", address, self.sites, value=value, direction="scrubbing", universe=rest)

    @property
    def universe(self) -> tuple[Site, ...]:
        return self.everything

    def gather(self, sample: Sample) -> Gathered:
        """What of each pair's behaviour stays."""
        setup = self.setup
        [behaviour] = behaviours_of(setup, sample, _HOW, [self.everything])
        [nothing] = ablated(setup, sample, [self.everything], _HOW)
        parts, carried = self._parts

        def donate(pairs: Sequence[AlignedPair], number: int, path: tuple[int, ...]) -> tuple[AlignedPair, ...]:
            return self._agreeing.donors(pairs, carried[number], f"{(*path, number)}")

        # A description's identity says nothing of its where=, which decides what there is to draw donors from.
        population = f"{setup.pairs.identity} {prompts_of(setup.pairs.description)}"
        said = f"{population} {carried} within {self.within!r} seed {setup.settings.seed} {[str(part.sites) for part in parts]}"
        sites = [site for part in parts for site in part.sites]
        writing = Scrubbing(parts=parts, donate=donate, said=said)
        [found] = setup.model.answers.each(sample, [sites], writing, setup.readout)
        notes = ("nothing was moved: every donor has what was there",) if found.unchanged else ()
        bases = {**setup.bases(sample), "behaviour": behaviour}
        return Gathered(found.values - nothing.values, bases, drawn=Draw.DONORS, notes=notes)

    @cached_property
    def _agreeing(self) -> Agreeing:
        return Agreeing(self.setup.pairs.description, self.setup.sampler.aligner, self.setup.settings.seed)

    @property
    def _parts(self) -> tuple[tuple[Part, ...], tuple[tuple[str, ...], ...]]:
        """Sites with one donor, and what it agrees on; all else, where that is resampled, from one prompt that need not agree."""
        parts = [Part(sites) for _, sites, _ in self.hypothesis]
        carried = [names for _, _, names in self.hypothesis]
        if self.within:
            rest, _ = rest_of(self.sites, self.everything, self.setup.model.anatomy)
            if rest:
                parts.append(Part(tuple(rest), is_scrubbed=False))
                carried.append(())
        return tuple(parts), tuple(carried)
