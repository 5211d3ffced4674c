"""What is odd about a number, and told beside it."""

from collections.abc import Hashable, Sequence
from typing import TYPE_CHECKING, Protocol

import numpy as np

from circuitcheck.addresses.sites import Site
from circuitcheck.engine.readouts.named import Readout
from circuitcheck.experiments.experiment import Gathered
from circuitcheck.prompts.aligned_pairs import AlignedPair
from circuitcheck.prompts.continuations import Members
from circuitcheck.sampling.forced import tokens_of
from circuitcheck.statistics.evidence import Evidence
from circuitcheck.texts import plural
from circuitcheck.units import UNITS

if TYPE_CHECKING:
    from circuitcheck.types import Floats

# Shares smaller than this are not worth a remark.
_NOTABLE = 0.05


class Looked(Protocol):
    """A sweep: the sites that were looked at, in which model, on which pairs."""

    @property
    def label(self) -> str: ...
    @property
    def sites(self) -> Sequence[Site]: ...
    @property
    def pairs(self) -> Sequence[AlignedPair]: ...
    @property
    def fingerprint(self) -> str: ...


def seen_before(
    sweeps: Sequence[Looked], sites: Sequence[Site], fingerprint: str, pairs: Sequence[AlignedPair]
) -> tuple[str, ...]:
    """A remark where sites are among those of a sweep, whose pairs have the same fillers as these, or are the same."""
    components = {_component(site) for site in sites}
    for sweep in reversed(sweeps):
        if not components or sweep.fingerprint != fingerprint or not components <= set(map(_component, sweep.sites)):
            continue
        theirs = {(pair.clean, pair.corrupt) for pair in sweep.pairs}
        same = sum((pair.clean, pair.corrupt) in theirs for pair in pairs)
        if same:
            advice = "a site that was picked for its effect on them needs others (pairs.split)"
            return (
                f"{same} of {plural(len(pairs), 'pair')} {'is' if same == 1 else 'are'} also in the sweep of {sweep.label}: {advice}",
            )
        known = _fillers(sweep.pairs)
        if shared := [slot for slot, fillers in _fillers(pairs).items() if not fillers.isdisjoint(known.get(slot, ()))]:
            named = ", ".join(f"{{{slot}}}" for slot in shared)
            return (
                f"the sweep of {sweep.label} had pairs with the same fillers of {named} (pairs.split(..., by=...) has others)",
            )
        return ()
    return ()


def _component(site: Site) -> tuple[Hashable, ...]:
    return site.layer, site.kind, site.index, site.via


def _fillers(pairs: Sequence[AlignedPair]) -> dict[str, set[str]]:
    """The fillers of each slot, clean and corrupted ones."""
    found: dict[str, set[str]] = {}
    for pair in pairs:
        for slot, clean, corrupt in pair.pair.fillers:
            found.setdefault(slot, set()).update((clean, corrupt))
    return found


def remarks(
    unit: str, evidence: Evidence, gathered: Gathered, per_pair: "Floats", threshold: float | None
) -> tuple[str, ...]:
    """Remarks on an effect in a unit, whose numbers over the mean base are ``per_pair`` [pair], with the threshold that it was
    compared with."""
    found = list(gathered.notes)
    estimate = evidence.estimate
    if UNITS[unit].is_partial and estimate > 1:
        found.append("over 1: more than all of it; is another component working against this one?")
    flipped = int((per_pair * np.sign(estimate) < -_NOTABLE).sum())
    if UNITS[unit].is_partial and abs(estimate) > _NOTABLE and flipped > _NOTABLE * len(per_pair):
        found.append(
            f"the sign flips: {flipped} of {plural(len(per_pair), 'pair')} {'goes' if flipped == 1 else 'go'} the other way"
        )
    if UNITS[unit].is_among:
        base = gathered.bases[unit]
        found.append(
            f"{int(base.sum())} of {plural(len(base), 'pair')} {'is' if base.sum() == 1 else 'are'} among {UNITS[unit].phrase.removeprefix('of ')}"
        )
    if unit == "right pairs" and "moved" in gathered.bases and gathered.bases["margin"].any():
        found.append(
            f"margin {gathered.bases['moved'].sum() / gathered.bases['margin'].sum():.3g} of the gap (.of_gap)"
        )
    low, high = evidence.clipped(estimate if threshold is None else threshold)
    if low or high:
        found.append(f"clipped to {evidence.bound:g} mean gaps: {plural(low, 'pair')} from below, {high} from above")
    return tuple(found)


def remarks_on_lengths(readout: Readout, pairs: Sequence[AlignedPair]) -> tuple[str, ...]:
    """A remark on answers that are longer or shorter than their foils, where a readout sets one against the other."""
    apart = sum(bool(pair.foil) and _lengths(pair.answer) != _lengths(pair.foil) for pair in pairs if pair.has_several)
    if not apart or not readout.of_answer_and_foil:
        return ()
    return (
        f"answer and foil differ in their number of tokens in {apart} of {plural(len(pairs), 'pair')}: each further token takes from a "
        "probability, which cancels in gaps, but not in accuracy or in the clean readout",
    )


def _lengths(members: Members) -> set[int]:
    return {len(tokens) for tokens in tokens_of(members)}
