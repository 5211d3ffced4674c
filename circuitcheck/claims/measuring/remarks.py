"""What is odd about a number, and told beside it."""

from collections.abc import Sequence

import numpy as np

from circuitcheck.engine.readouts.named import Readout
from circuitcheck.experiments.experiment import Gathered
from circuitcheck.prompts.alignment import AlignedPair
from circuitcheck.prompts.continuations import Members
from circuitcheck.sampling.forced import tokens_of
from circuitcheck.statistics.evidence import Evidence
from circuitcheck.units import UNITS

# Shares smaller than this are not worth a remark.
_NOTABLE = 0.05


def remarks(unit: str, evidence: Evidence, gathered: Gathered, threshold: float | None) -> tuple[str, ...]:
    """Remarks on an effect in a unit, with the threshold that it was compared with."""
    found = list(gathered.notes)
    estimate = evidence.estimate
    if UNITS[unit].is_partial and estimate > 1:
        found.append("over 1: more than all of it; is another component working against this one?")
    per_pair = gathered.shift / evidence.base.mean()
    flipped = int((per_pair * np.sign(estimate) < -_NOTABLE).sum())
    if UNITS[unit].is_partial and abs(estimate) > _NOTABLE and flipped > _NOTABLE * len(per_pair):
        found.append(f"the sign flips: {flipped} of {len(per_pair)} pairs go the other way")
    if UNITS[unit].is_among:
        base = gathered.bases[unit]
        found.append(f"{int(base.sum())} of {len(base)} pairs are among {UNITS[unit].phrase.removeprefix('of ')}")
    low, high = evidence.clipped(estimate if threshold is None else threshold)
    if low or high:
        found.append(f"clipped to {evidence.bound:g} mean gaps: {low} pairs from below, {high} from above")
    return tuple(found)


def remarks_on_lengths(readout: Readout, pairs: Sequence[AlignedPair]) -> tuple[str, ...]:
    """A remark on answers that are longer or shorter than their foils, where a readout sets one against the other."""
    apart = sum(bool(pair.foil) and _lengths(pair.answer) != _lengths(pair.foil) for pair in pairs if pair.has_several)
    if not apart or not readout.of_answer_and_foil:
        return ()
    return (
        f"answer and foil differ in their number of tokens in {apart} of {len(pairs)} pairs: each further token takes from a "
        "probability, which cancels in gaps, but not in accuracy or in the clean readout",
    )


def _lengths(members: Members) -> set[int]:
    return {len(tokens) for tokens in tokens_of(members)}
