"""Whether what an effect is a share of is there at all. A share of nothing means nothing."""

import math
from collections.abc import Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, NoReturn, Protocol

from circuitcheck.claims.gathering import Denominator, Gathering
from circuitcheck.errors import BehaviourAbsent, ClaimInconclusive, MethodError
from circuitcheck.ledger import note_undecided
from circuitcheck.sampling.samples import Sample
from circuitcheck.sampling.stages import Stage
from circuitcheck.units import UNITS

if TYPE_CHECKING:
    from circuitcheck.types import Floats


class Share(Protocol):
    """A number that may be a share of something."""

    @property
    def run(self) -> Gathering: ...
    @property
    def label(self) -> str: ...
    @property
    def unit(self) -> str: ...
    @property
    def behind(self) -> "Sequence[Share]": ...
    def base_of(self, stages: Sequence[Stage]) -> "Floats": ...
    def base_on(self, sample: Sample) -> "Floats": ...
    def is_drawn(self, stages: Sequence[Stage]) -> bool: ...
    def parts_of(self, stages: Sequence[Stage]) -> Sequence[Sample]: ...
    def correction_on(self, stages: Sequence[Stage]) -> float: ...


def is_present(effect: Share, stages: Sequence[Stage]) -> bool:
    """Whether the gap, and what the effect is a share of, are established to be there; raises ``BehaviourAbsent`` where they
    are established not to be."""
    if UNITS[effect.unit].is_among and not effect.base_of(stages).any():
        if stages[-1].exhausted:
            raise BehaviourAbsent(f"behaviour absent: {_none(effect, stages)}: {effect.label} is a share of nothing")
        return False
    present = all(is_present(other, stages) for other in effect.behind)
    return present and all(effect.run.is_present(stages, there) for there in _needed(effect, stages))


def raise_not_established(effect: Share, stages: Sequence[Stage]) -> NoReturn:
    """For what the budget did not establish."""
    if UNITS[effect.unit].is_among:
        raise ClaimInconclusive(
            f"inconclusive: {_none(effect, stages)}\n"
            "  advice   draw more pairs (--circuit-budget), or take prompts that are harder"
        )
    for one in (*effect.behind, effect):
        for there in _needed(one, stages):
            if not one.run.is_present(stages, there):
                one.run.raise_not_established(stages, there)
    raise AssertionError("what is not established was looked for and not found")


def raise_undecided(effect: Share, stages: Sequence[Stage]) -> NoReturn:
    """The same for a comparison, which has then come out against its claim: no verdict says so, so that the ledger does."""
    note_undecided(effect.label)
    raise_not_established(effect, stages)


def e_value_of_presence(effect: Share, stages: Sequence[Stage]) -> float:
    """How much the evidence speaks for what the effect is a share of being there."""
    values = [e_value_of_presence(other, stages) for other in effect.behind]
    values += [effect.run.e_value_of_presence(stages, there) for there in _needed(effect, stages)]
    return min(values, default=math.inf)


def refuse_counts(effect: Share) -> None:
    """For what is asked of each pair's own number."""
    if UNITS[effect.unit].is_among:
        raise MethodError(f"{effect.label} counts pairs {UNITS[effect.unit].phrase}: a pair has no number of its own")


def _none(effect: Share, stages: Sequence[Stage]) -> str:
    whose = UNITS[effect.unit].phrase.removeprefix("of the model's ")
    return f"{effect.run.model.name} gives no {whose} on these pairs (n={len(effect.base_of(stages))})"


def _needed(effect: Share, stages: Sequence[Stage]) -> Iterator[Denominator]:
    """What must be there."""
    if not UNITS[effect.unit].is_share:
        return
    run, limits = effect.run, effect.run.readout.limits
    if run.is_contrast:
        what = "the gap between clean and corrupted readout"
        yield Denominator(what, run.gaps_of(stages), limits, False, lambda: run.gaps_on(run.ruler))
    if effect.unit == "gap":
        return
    if limits is not None and effect.unit == "clean":  # no difference, and no sum of some
        limits = 0.0, limits[1]
    limits = None if effect.unit == "parts" else limits
    what = UNITS[effect.unit].phrase.removeprefix("of ").removeprefix("times ")
    is_drawn = effect.is_drawn(stages) and effect.unit in ("behaviour", "parts")
    of_parts = [effect.base_on(sample) for sample in effect.parts_of(stages)]
    correction = effect.correction_on(stages)
    on_ruler = partial(effect.base_on, run.ruler)
    yield Denominator(what, effect.base_of(stages), limits, is_drawn, on_ruler, of_parts, correction)
