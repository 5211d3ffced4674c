"""Numbers that are known exactly, without pairs: of weights, or of given texts.

figure = model.congruence("L31.N892", " an").value    # computes nothing
figure > 2                                            # works it out, gives a Verdict
figure.measure()                                      # works it out, gives a Measurement
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np

from circuitcheck.claims.measuring.measurement import Measurement
from circuitcheck.claims.ranking.places import AnyRank, Holds, RankOperator
from circuitcheck.claims.thresholds import NoArithmetic, is_approx, margin_of, number
from circuitcheck.claims.verdicts import Verdict
from circuitcheck.engine.watching.one_question import once_a_generation, one_question
from circuitcheck.errors import ComparisonError, MethodError
from circuitcheck.experiments.methods import Method
from circuitcheck.statistics.evidence import Decision, Operator

if TYPE_CHECKING:
    from circuitcheck.models.loaded import LoadedModel


@dataclass(frozen=True)
class Found:
    """A number, and by how much rounding puts it in doubt (``below``, ``above``). ``n`` of what is ``counted`` it rests on,
    of ``population`` in words."""

    number: float
    n: int
    counted: str
    population: str
    below: float = 0.0
    above: float = 0.0
    notes: tuple[str, ...] = ()


class Known:
    """What a figure and a rank have in common: its words, and how it is worked out."""

    unit: str

    def __init__(self, model: "LoadedModel", label: str, method: Method, work_out: Callable[[], Found]):
        self.label, self.model, self._method, self._work_out = label, model, method, work_out

    @once_a_generation
    def found(self) -> Found:
        """The number; worked out once."""
        return self._work_out()

    @one_question
    def measure(self) -> Measurement:
        """Work it out: estimate, "exact", how many it rests on, method."""
        found = self.found
        return Measurement(
            label=self.label,
            unit=self.unit,
            estimate=found.number,
            low=found.number,
            high=found.number,
            level=1 - self.model.settings.alpha,
            exact=True,
            n=found.n,
            rejected=0,
            rejections="",
            method=self._method,
            model=self.model.name,
            fingerprint=self.model.fingerprint,
            origin=self.model.answers.other_origin,
            population=found.population,
            population_id=found.population,
            pairs=(),
            per_pair=np.array([]),
            gap=math.nan,
            all_used=True,
            counted=found.counted,
            notes=found.notes,
        )

    def __repr__(self) -> str:
        return f"<{self.label}>"

    def _judged(self, decision: Decision, operator: Any, threshold: float, margin: float | None = None) -> Verdict:
        e_value = math.inf if decision == "supported" else 0.0
        return Verdict(decision, self.measure(), operator, threshold, margin, e_value=e_value)


class Figure(Known, NoArithmetic):
    """An exact number, not yet worked out.

    assert figure > 2
    assert figure == pytest.approx(2.75, abs=0.1)

    Nearer to a threshold than rounding can tell, it is inconclusive. Raises ``MethodError`` for a threshold outside
    ``limits``, and ``ComparisonError`` (a ``TypeError``) for a comparison that would mean nothing.
    """

    __array_ufunc__ = None

    def __init__(
        self,
        model: "LoadedModel",
        label: str,
        method: Method,
        work_out: Callable[[], Found],
        unit: str,
        limits: tuple[float, float] | None = None,
    ):
        super().__init__(model, label, method, work_out)
        self.unit, self._limits = unit, limits

    def __gt__(self, threshold: float) -> Verdict:
        return self._compared(">", threshold)

    def __ge__(self, threshold: float) -> Verdict:
        return self._compared(">=", threshold)

    def __lt__(self, threshold: float) -> Verdict:
        return self._compared("<", threshold)

    def __le__(self, threshold: float) -> Verdict:
        return self._compared("<=", threshold)

    def __eq__(self, other: object) -> Verdict:  # type: ignore[override]
        approx: Any = other
        if not is_approx(other) or (approx.abs is None and approx.rel is None):
            raise ComparisonError(
                f"{self.label} is compared by == with pytest.approx(value, abs=margin) alone, its margin written out"
            )
        expected, margin = self._threshold(approx.expected), margin_of(approx)
        above, below = self._sides(expected - margin), self._sides(expected + margin)
        decision: Decision = "inconclusive"
        if above == 1 and below == -1:
            decision = "supported"
        elif above == -1 or below == 1:
            decision = "refuted"
        return self._judged(decision, "==", expected, margin)

    def __ne__(self, other: object) -> NoReturn:
        raise ComparisonError(f"'!=' says nothing about {self.label}: claim that it is > or < a number")

    def __bool__(self) -> NoReturn:
        raise ComparisonError(f"{self.label} is a number, not a claim: compare it, as in `assert figure > 2`")

    __hash__ = None

    def _compared(self, operator: Operator, threshold: object) -> Verdict:
        limit = self._threshold(threshold)
        side = self._sides(limit) if operator in (">", ">=") else -self._sides(limit)
        decision: Decision = "supported" if side > 0 else "refuted" if side < 0 else "inconclusive"
        if not (side or self.found.below or self.found.above):  # it is the threshold, and that is known
            decision = "supported" if operator in (">=", "<=") else "refuted"
        return self._judged(decision, operator, limit)

    def _sides(self, threshold: float) -> int:
        """1 where the number is surely above a threshold, -1 where it is surely below, 0 where rounding decides."""
        found = self.found
        return int(found.number - found.below > threshold) - int(found.number + found.above < threshold)

    def _threshold(self, given: object) -> float:
        if isinstance(given, Known):
            raise ComparisonError(f"{self.label} is compared with a number: {given!r}.measure().estimate is one")
        threshold = number(given)
        if self._limits is not None and not self._limits[0] <= threshold <= self._limits[1]:
            low, high = self._limits
            raise MethodError(f"{self.label} lies between {low:g} and {high:g}; {threshold:g} does not")
        return threshold


class FigureRank(Known, AnyRank):
    """A place among others by exact numbers, 1 for the largest; ties are given the best and the worst place at once."""

    unit = "rank"

    def _verdict(self, operator: RankOperator, wanted: int, possible: Holds, certain: Holds) -> Verdict:
        found = self.found
        low, high = round(found.number - found.below), round(found.number + found.above)
        decision: Decision = "inconclusive"
        if not possible(low, high):
            decision = "refuted"
        elif certain(low, high):
            decision = "supported"
        return self._judged(decision, operator, float(wanted))
