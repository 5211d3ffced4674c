"""The effect of each site of an address by itself, measured in common batches."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache

import numpy as np

from circuitcheck.addresses.sites import Site
from circuitcheck.claims.combining.comparing import Comparing
from circuitcheck.claims.gathering import Gathering
from circuitcheck.claims.sweeps import Interval, Sweep, ordered
from circuitcheck.engine.ablations import Ablation
from circuitcheck.engine.watching.one_question import one_question
from circuitcheck.errors import MethodError
from circuitcheck.experiments import observations
from circuitcheck.experiments.ablating import Ablate
from circuitcheck.experiments.circuits.knockouts import as_one_work
from circuitcheck.experiments.experiment import Experiment
from circuitcheck.experiments.patching import Patch
from circuitcheck.prompts.aligned_pairs import token_positions
from circuitcheck.prompts.pairs import Side
from circuitcheck.statistics.evidence import Evidence
from circuitcheck.statistics.weights import weights_of


@one_question
def swept(asked: Gathering, address: str, verb: str, into: Side, value: "str | float | Ablation") -> Sweep:
    """Every site of the address under a verb; see ``Run.sweep``."""
    ways: dict[str, Callable[[Gathering, str], Experiment]] = {
        "patch": lambda run, site: Patch.at(site, run, into),
        "ablate": lambda run, site: Ablate.at(site, run, value),
        "direct": observations.direct,
        "lens": observations.lens,
    }
    if verb not in ways:
        raise MethodError(f"a sweep's verb is one of {', '.join(ways)}, not {verb!r}")
    # What is put in from the other run takes positions that correspond.
    run, found = _spread(asked, address, is_patched=verb == "patch")
    first = Comparing(ways[verb](run, str(found[0])))
    measured, stages = first.measure(), first.run.described
    doing, sets = first.experiment, [[site] for site in found]
    runs = len(sets) * sum(len(stage.sample.pairs) for stage in stages)
    label = first.label.replace(str(found[0]), address)
    with as_one_work(run.model.answers, f"sweep of {label}", runs):
        parts = [np.stack([shift.values for shift in doing.shifts(stage.sample, sets)]) for stage in stages]
    shifts, fingerprint = np.concatenate(parts, axis=1), run.model.fingerprint

    def evidence(row: int) -> Evidence:
        without = [doing.shifts(sample, [sets[row]])[0].values for sample in first.parts_of(stages)]
        return first.evidence_of(shifts[row], stages, without)

    @cache
    def interval(row: int) -> Interval:
        return evidence(row).interval()

    def intervals(rows: Sequence[int]) -> list[Interval]:
        with run.model.answers.question():
            if run.model.fingerprint != fingerprint:
                raise MethodError(f"the model has changed since this sweep of {label}: sweep again for its intervals")
            return [interval(row) for row in rows]

    of_first, pairs = evidence(0), tuple(pair for stage in stages for pair in stage.sample.pairs)
    return Sweep(
        label=label,
        unit=measured.unit,
        sites=found,
        position_names=_position_names(run, found),
        estimates=np.average(shifts, axis=1, weights=weights_of(pairs)) / of_first.base.mean(),
        intervals=intervals,
        exact=of_first.whole,
        level=1 - of_first.alpha,
        method=replace(measured.method, component=address, sites=len(found)),
        measure=lambda one: Comparing(ways[verb](run, one)).measure(),
        pairs=pairs,
        fingerprint=fingerprint,
        rejections=measured.rejections,
    )


def _spread(asked: Gathering, address: str, is_patched: bool) -> tuple[Gathering, tuple[Site, ...]]:
    """The sites of an address, those with a written ``@*`` once for every token; on pairs in which these correspond."""
    every = asked.sites(address)
    terms = [(term, "@*" in term.replace(" ", "")) for term in address.split("|")]
    run = asked.put_in_from_other_run(every if is_patched or any(spread for _, spread in terms) else ())
    spread: list[Site] = []
    for term, by_token in terms:
        positions = token_positions(run.sample.pairs) if by_token else ()
        for site in asked.sites(term):
            spread += [replace(site, position=position) for position in positions] or [site]
    return run, tuple(ordered(spread))


def _position_names(run: Gathering, sites: "tuple[Site, ...]") -> dict[str, str]:
    """Positions between slots by the token that stands there in the first pair."""
    pair = run.sample.pairs[0]
    names = {}
    for position in dict.fromkeys(site.position for site in sites):
        if not position.everywhere and not position.answer and (position.offset or not position.slot):
            names[f"@{position}"] = pair.name_at(position, run.sampler.aligner.texts_of) or f"@{position}"
    return names
