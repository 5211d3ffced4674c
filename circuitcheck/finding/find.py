"""Looking for what may be worth claiming: attribution of all, exact effects of the best of each kind."""

from collections.abc import Sequence

from circuitcheck.addresses.sites import Position, Site
from circuitcheck.claims.gathering import Gathering
from circuitcheck.engine.watching.one_question import one_question
from circuitcheck.errors import MethodError, PromptError
from circuitcheck.experiments.patching import Patch
from circuitcheck.finding.attributed import Attributed, attributed
from circuitcheck.finding.candidates import Candidates
from circuitcheck.finding.measured import mean_gap, measured
from circuitcheck.prompts.aligned_pairs import AlignedPair
from circuitcheck.prompts.pairs import Side
from circuitcheck.sampling.samples import Sample

_FINDS = "runs of find"


@one_question
def find(run: Gathering, address: str, top: int, into: Side, steps: int, pairs: int) -> Candidates:
    """See ``Run.find``."""
    for name, given in (("top", top), ("steps", steps), ("pairs", pairs)):
        if isinstance(given, bool) or not isinstance(given, int) or given < 1:
            raise MethodError(f"{name}= is a whole number of at least 1, not {given!r}")
    if into not in ("clean", "corrupt"):
        raise MethodError(f"find patches into='corrupt' (denoising) or into='clean' (noising), not {into!r}")
    run.need_contrast("attribution patching")
    sites = run.sites(address)
    if edge := next((site for site in sites if site.via), None):
        raise MethodError(f"{edge} is a path: find looks for components, such as {edge.via[0]}")
    origin, run = run, run.put_in_from_other_run(sites)
    sample = _sample(origin, run, address, pairs)
    gap = mean_gap(run, sample)
    found = attributed(run, sites, sample, into, steps, gap)
    chosen = _chosen(found, sample, top)
    shifts = []
    if chosen:
        doing = Patch.at(str(chosen[0][0]), run, into)
        shifts = [shift.values for shift in doing.shifts(sample, [[site] for site, _, _ in chosen])]
    count = _one_more_run(run)
    return Candidates(
        run, address, into, steps, top, sample, gap, tuple(found), measured(chosen, shifts, sample, gap), count
    )


def _sample(origin: Gathering, run: Gathering, address: str, pairs: int) -> Sample:
    """The pairs that are looked at. Raises ``PromptError`` where too few have a counterpart for every token that is asked about."""
    try:
        return run.fixed(pairs)
    except PromptError as error:
        if run is origin:
            raise
        origin.fixed(1)  # or raises, where the prompts cannot be used at all
        at_end = " | ".join(f"{term.partition('@')[0].strip()}@end" for term in address.split("|"))
        raise PromptError(
            f"{address} is looked for at tokens that a pair's two prompts do not both have, since they are not of equal length.\n"
            f"  Look where both have one, say find({at_end!r}) (in a shell: --address {at_end!r}), or give each contrast fillers of as "
            f"many tokens as each other.\n{error}"
        ) from None


def _chosen(found: Sequence[Attributed], sample: Sample, top: int) -> list[tuple[Site, str, float]]:
    """What is measured: of each kind but streams the components that are attributed most; and sublayers at the first token that
    differs, where attribution says least of what they do."""
    chosen: dict[Site, tuple[str, float]] = {}
    for one in found:
        if one.kind == "streams":
            continue
        for row in one.top(top):
            chosen[one.site(row)] = one.kind, float(one.at_best[row])
        if one.kind != "sublayers":
            continue
        first = [
            place
            for place, position in enumerate(one.positions)
            if any(_is_first(pair, position) for pair in sample.pairs)
        ]
        for row in range(len(one.components)):
            for place in first:
                if one.may[row, place]:
                    chosen.setdefault(one.site(row, place), (one.kind, float(one.values[row, place])))
    return [(site, kind, value) for site, (kind, value) in chosen.items()]


def _is_first(pair: AlignedPair, position: Position) -> bool:
    """Whether a position is that of the first token in which a pair's prompts differ."""
    if position.everywhere or position.answer:
        return False
    both = zip(pair.clean, pair.corrupt, strict=False)
    fork = next((place for place, (clean, corrupt) in enumerate(both) if clean != corrupt), None)
    return fork is not None and fork in pair.positions(position)


def _one_more_run(run: Gathering) -> int:
    """How often something was looked for on this population in this model, now included, as far as the store knows."""
    remembered, name = run.model.answers.remembered, f"{_FINDS} on {run.pairs.identity}"
    count = int(remembered.fact(name) or 0) + 1
    remembered.note(name, str(count))
    return count
