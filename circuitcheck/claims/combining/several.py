"""Several effects in one claim: supported only where every one of them is.

assert model.on(FRUIT).ablate("L1.N8").across(values=["mean", "resample"]) > 0.3
assert model.on(NAMES).minimality(IOI) > 0.02

If all are supported, none is wrongly so at a higher rate than each by itself, so that nothing is corrected there. One that
is refuted refutes all: a refutation takes as many times less than alpha as there are effects.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import NoReturn, Protocol

from circuitcheck.claims.verdicts import Verdict
from circuitcheck.errors import ComparisonError
from circuitcheck.experiments.methods import Method, together
from circuitcheck.records.report_fields import EffectFields
from circuitcheck.statistics.evidence import Operator

_WORST_FIRST = ("refuted", "inconclusive", "supported")


class Comparable(Protocol):
    """A number that can be compared."""

    @property
    def method(self) -> Method: ...

    def compared(self, operator: Operator, other: float, together: int = 1) -> Verdict:
        """The verdict of a comparison; ``together``: of how many it is one."""


class AllOf:
    """Effects by the names that tell them apart; ``whole`` is what they are effects of, ``noun`` what they are."""

    def __init__(self, whole: str, noun: str, effects: Mapping[str, Comparable]):
        self._whole, self._noun, self._effects = whole, noun, effects

    def __gt__(self, threshold: float) -> Verdict:
        return self._compare(">", threshold)

    def __ge__(self, threshold: float) -> Verdict:
        return self._compare(">=", threshold)

    def __lt__(self, threshold: float) -> Verdict:
        return self._compare("<", threshold)

    def __le__(self, threshold: float) -> Verdict:
        return self._compare("<=", threshold)

    def __eq__(self, other: object) -> NoReturn:
        raise ComparisonError(f"{self._whole} is about several {self._noun}: claim that each is > or < a number")

    __ne__ = __eq__

    def __bool__(self) -> NoReturn:
        raise ComparisonError(f"{self._whole} is no claim: compare it, as in `assert (...) > 0.3`")

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"<{self._whole}, of {len(self._effects)} {self._noun}>"

    def _compare(self, operator: Operator, threshold: float) -> Verdict:
        verdicts = {
            name: effect.compared(operator, threshold, together=len(self._effects))
            for name, effect in self._effects.items()
        }
        for verdict in verdicts.values():
            verdict.asserted = True  # by asserting the whole
            verdict.is_member = True
        upwards = operator in (">", ">=")

        def badness(verdict: Verdict) -> tuple[int, float]:
            estimate = verdict.measurement.estimate
            return _WORST_FIRST.index(verdict.decision), estimate if upwards else -estimate

        name = min(verdicts, key=lambda name: badness(verdicts[name]))
        worst, found = verdicts[name], verdicts[name].measurement
        exact = all(one.measurement.exact for one in verdicts.values())
        low, high = (found.low, found.high) if exact else _reach(worst, list(verdicts.values()), upwards)
        table = tuple(f"{name}: {one.measurement.estimate:.3g} {one.decision}" for name, one in verdicts.items())
        return AllVerdict(
            worst.decision,
            replace(
                found,
                label=f"{self._whole}, the worst of {len(verdicts)} {self._noun}",
                exact=exact,
                low=low,
                high=high,
                method=together([one.method for one in self._effects.values()], found.method),
                notes=(*table, *found.notes),
            ),
            operator,
            worst.threshold,
            needed=worst.needed,
            e_value=min(verdict.e_value for verdict in verdicts.values()),
            clipped=worst.clipped,
            unseen=worst.unseen,
            worst=name,
        )


def _reach(worst: Verdict, verdicts: list[Verdict], upwards: bool) -> tuple[float | None, float | None]:
    """Where the worst of all numbers may lie: not beyond the farthest limit of any of them, nor better than that of the one
    that was found to be the worst."""
    lows, highs = zip(*((one.measurement.low, one.measurement.high) for one in verdicts), strict=True)
    if upwards:
        return None if None in lows else min(lows), worst.measurement.high
    return worst.measurement.low, None if None in highs else max(highs)


@dataclass(eq=False, repr=False)
class AllVerdict(Verdict):
    """The verdict on several effects; the number is the worst's."""

    worst: str = field(kw_only=True)

    @property
    def line(self) -> str:
        """The verdict, and whose number it is."""
        return f"{super().line}: {self.worst}"

    @property
    def why_final(self) -> str:
        return "the worst of several effects rests on an interval for each of them"

    def as_json(self) -> EffectFields:
        return {**super().as_json(), "worst": self.worst}
