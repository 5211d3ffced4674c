"""The answer to a comparison: true, or an exception that explains.

    verdict = model.on(FRUIT).patch("L1.N8") > 0.4
    verdict.decision      # "supported", "refuted" or "inconclusive"
    assert verdict        # passes, or raises ClaimRefuted or ClaimInconclusive

A verdict is never false: ``assert not (effect > t)`` cannot pass by accident, and negation is written ``<=``.
"""

from dataclasses import dataclass, field
from typing import Any, Literal

from circuitcheck.errors import ClaimInconclusive, ClaimRefuted
from circuitcheck.evidence import Decision
from circuitcheck.ledger import note_verdict
from circuitcheck.measurements import Measurement
from circuitcheck.units import with_unit


@dataclass(eq=False)
class Verdict:
    """A decided comparison. ``threshold`` is a number, ``margin`` the reach of an equivalence around it."""

    decision: Decision
    measurement: Measurement
    operator: Literal[">", ">=", "<", "<=", "=="]
    threshold: float
    margin: float | None = None
    asserted: bool = field(default=False, init=False)

    def __post_init__(self) -> None:
        note_verdict(self)

    def __bool__(self) -> bool:
        self.asserted = True
        note_verdict(self)
        if self.decision == "supported":
            return True
        raise (ClaimRefuted if self.decision == "refuted" else ClaimInconclusive)(self.explain())

    @property
    def claim(self) -> str:
        reach = "" if self.margin is None else f" ± {self.margin:g}"
        label = self.measurement.label
        return f"{label} {self.operator} {with_unit(f'{self.threshold:g}{reach}', self.measurement.unit, after=label)}"

    @property
    def line(self) -> str:
        found = self.measurement
        return f"{self.decision}: {self.claim}: it is {found.estimate:.4g} ({found.certainty}, n={found.n})"

    def explain(self) -> str:
        """At most 8 lines, the verdict first."""
        found, method = self.measurement, self.measurement.method
        lines = [self.line, f"  model    {found.model}; mean gap {found.gap:.3g}"]
        if method.verb != "observe":
            reference = f", {method.reference}" if method.reference else ""
            lines.append(f"  method   {method.direction}: {method.value}{reference}; positions: {method.positions}")
        lines += [f"  pairs    {found.n} of {found.population}", f"  range    {found.extremes()}"]
        if found.rejected:
            lines.append(f"  rejected {found.rejections}")
        if self.decision == "inconclusive":
            lines.append(f"  advice   {self._advice()}")
        if found.notes:
            lines.append(f"  note     {'; '.join(found.notes)}")
        return "\n".join(lines)

    def __repr__(self) -> str:
        return f"<{self.line}>"

    def as_json(self) -> dict[str, Any]:
        stated = {"operator": self.operator, "threshold": self.threshold, "margin": self.margin}
        return {"verdict": self.decision, **self.measurement.as_json(), **stated}

    def _advice(self) -> str:
        if self.operator == "==":
            weaker = "claim a wider margin"
        else:
            weaker = f"claim a {'lower' if self.operator.startswith('>') else 'higher'} threshold"
        if self.measurement.exact:
            return f"the exact result equals the threshold to within rounding; {weaker}"
        return f"the interval holds the threshold; {weaker}, or draw more pairs (--circuit-sample)"
