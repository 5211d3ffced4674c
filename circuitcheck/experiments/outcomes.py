"""The readout of runs in which sets of sites are ablated, or all of a universe but them."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from circuitcheck.addresses.circuits import divided, rest_of
from circuitcheck.addresses.graphs import graph_of
from circuitcheck.addresses.sites import Site
from circuitcheck.engine.ablations import NOTHING_HELD, Ablation, Held
from circuitcheck.engine.answers import Outcome
from circuitcheck.engine.making import Ablating
from circuitcheck.errors import MethodError
from circuitcheck.experiments.experiment import Draw, Gathered, Sets
from circuitcheck.experiments.setups import Setup
from circuitcheck.prompts.pairs import Side
from circuitcheck.sampling.references import Reference
from circuitcheck.sampling.samples import Sample

if TYPE_CHECKING:
    from circuitcheck.types import Floats


def ablated(
    setup: Setup, sample: Sample, sets: Sets, how: Ablation, held: Held = NOTHING_HELD, into: Side = "clean"
) -> list[Outcome]:
    """The readout of the run ``into`` without each set of sites; without none of them it is that run's own."""
    if how.of_other_run or (how.sides == "corrupt" and how.population is None):
        setup.need_contrast(f"ablation by {how}")
    written = [sites for sites in sets if sites]
    writing = Ablating(into=into, held=held, how=how, source=setup.source_of(sample, how))
    found = iter(setup.model.answers.each(sample, written, writing, setup.readout))
    return [next(found) if sites else setup.base(sample, into) for sites in sets]


def kept(setup: Setup, sample: Sample, sets: Sets, how: Ablation, universe: Sequence[Site]) -> list[Outcome]:
    """The clean run's readout with each set of sites and nothing else of a universe."""
    anatomy = setup.model.anatomy
    whole = [number for number, sites in enumerate(sets) if not any(site.via for site in sites)]
    rest = [rest_of(sets[number], universe, anatomy)[0] for number in whole]
    found = dict(zip(whole, ablated(setup, sample, rest, how), strict=True))
    return [
        found[number] if number in found else _kept_along_edges(setup, sample, sites, how, universe)
        for number, sites in enumerate(sets)
    ]


def where_ablated(setup: Setup, how: Ablation, sites: Sequence[Site]) -> Setup:
    """The setup for pairs of which these sites can be ablated so."""
    return setup.put_in_from_other_run(sites) if how.of_other_run else setup


def check_after_prompts(setup: Setup, sites: Sequence[Site], how: Ablation, held: Held) -> None:
    """Raise ``MethodError`` for an ablation that has nothing to put in at tokens which the model writes itself, where these are read."""
    if not setup.readout.is_text:
        return
    if how.of_other_run or how.is_drawn:
        raise MethodError(
            f"ablation by {how} has no source at tokens that the model writes itself, to which none of another prompt's correspond: ablate by "
            "a number, 'zero', 'mean' or scaled(...)"
        )
    if held != NOTHING_HELD or any(site.via or site.traits.width == "pattern" for site in sites):
        raise MethodError(
            "while a model writes, components are written, with nothing held: paths, attention patterns and frozen scales are those of a "
            "prompt's own run"
        )


def of_ablation(
    setup: Setup,
    sample: Sample,
    how: Ablation,
    shift: "Floats",
    bases: "dict[str, Floats]",
    notes: tuple[str, ...],
    chosen: str = "",
) -> Gathered:
    """What an ablation of some pairs gives, with the prompts that its values come from, and what of these is a draw: donors, or a part
    of another population's prompts."""
    source, drawn = setup.source_of(sample, how), Draw(how.is_drawn)
    if how.population is not None and setup.reference_over(how.population).drawn:
        drawn = Draw.ONCE
    reference = "" if source is None else source.describe(how.sides)
    correction = source.correction if isinstance(source, Reference) else 0.0
    return Gathered(shift, bases, reference, drawn, notes, chosen=chosen, correction=correction)


def _kept_along_edges(
    setup: Setup, sample: Sample, sites: Sequence[Site], how: Ablation, universe: Sequence[Site]
) -> Outcome:
    graph, finer = graph_of(sites, setup.model.anatomy), divided(sites, universe, setup.model.anatomy)
    ablating = Ablating(how=how, source=setup.source_of(sample, how))
    return setup.model.answers.kept_along(sample, graph, finer, ablating, setup.readout)
