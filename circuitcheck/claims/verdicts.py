"""The answer to a comparison: true, or an exception that explains.

    verdict = model.on(FRUIT).patch("L1.N8") > 0.4
    verdict.decision      # "supported", "refuted" or "inconclusive"
    assert verdict        # passes, or raises ClaimRefuted or ClaimInconclusive

A verdict is never false: ``assert not (effect > t)`` cannot pass by accident, and negation is written ``<=``.
"""

import math
from dataclasses import dataclass, field
from typing import Any, Literal, cast

from circuitcheck.claims.measuring.measurement import Measurement
from circuitcheck.claims.reachable import count_instead
from circuitcheck.errors import ClaimInconclusive, ClaimRefuted
from circuitcheck.ledger import note_verdict
from circuitcheck.records.decisions import METHOD
from circuitcheck.records.report_fields import EffectFields
from circuitcheck.settings import budget_for
from circuitcheck.statistics.evidence import Decision, Evidence
from circuitcheck.units import statement, unseen, written


@dataclass(eq=False, repr=False)
class Verdict:
    """A decided comparison: what ``assert`` asks for its truth, or raises ``ClaimRefuted`` or ``ClaimInconclusive``.

        verdict = model.on(FRUIT).patch("L1.N8") > 0.4
        verdict.decision, verdict.measurement.estimate    # ("supported", 0.6)

    ``threshold`` is a number, ``margin`` the reach of an equivalence around it; ``needed`` says
    how many pairs an inconclusive one may take, ``e_value`` how much the evidence speaks for the claim: what betting one
    against its contrary has won; ``evidence`` what any threshold is decided by, None where more than that decides; ``examples`` of a Hypothesis test the same was claimed of.

    ``is_member``: it is one of those that another verdict sums up, of which that says which is the worst.
    ``clipped`` counts the pairs of a sample that lie beyond the clip and speak against the claim, ``unseen`` is the largest
    share of the population's that may: None where nothing is clipped."""

    decision: Decision
    measurement: Measurement
    operator: Literal[">", ">=", "<", "<=", "=="]
    threshold: float
    margin: float | None = None
    needed: int | None = None
    e_value: float = 0.0
    evidence: Evidence | None = None
    clipped: int | None = None
    unseen: float | None = None
    asserted: bool = field(default=False, init=False)
    is_member: bool = field(default=False, init=False)
    examples: int = field(default=1, init=False)

    def __post_init__(self) -> None:
        note_verdict(self)

    def __bool__(self) -> bool:
        self.asserted = True
        note_verdict(self)
        if self.decision == "supported":
            return True
        if self.decision != "refuted":
            raise ClaimInconclusive(self.explain())
        error = ClaimRefuted(self.explain())
        error.of_comparison = True
        raise error

    @property
    def claim(self) -> str:
        found = self.measurement
        return statement(found.label, self.operator, self.threshold, self.margin, found.unit)

    @property
    def line(self) -> str:
        found = self.measurement
        beyond = unseen(self.clipped, self.unseen) if self.decision == "supported" else ""
        standing = f"{found.standing}{beyond}"
        return f"{self.decision}: {self.claim}: it is {written(found.estimate, found.unit, 4)} ({standing})"

    def explain(self) -> str:
        """At most 8 lines, the verdict first.

        print((model.on(FRUIT).patch("L1.N8") > 0.4).explain())
        """
        found = self.measurement
        lines = [self.line, *(f"  {line}" for line in found.grounds())]
        if found.controls is not None:
            lines.append(f"  controls {found.controls}")
        if self.decision == "inconclusive":
            lines.append(f"  advice   {self._advice()}")
        if self.notes:
            lines.append(f"  note     {'; '.join(self.notes)}")
        return "\n".join(lines)

    @property
    def notes(self) -> tuple[str, ...]:
        """What is odd about the number, in words."""
        found = self.measurement
        notes = (*found.notes, *(found.controls.notes(found.estimate) if found.controls is not None else ()))
        carried = found.one_filler(self.holds) if self.decision == "refuted" else ""
        elsewhere = f"computed elsewhere, by {found.origin}" if found.origin else ""
        return (*notes, *filter(None, (carried, elsewhere)))

    def __repr__(self) -> str:
        return f"<{self.line}>"

    def as_json(self) -> EffectFields:
        stated = {
            "operator": self.operator,
            "threshold": self.threshold,
            "margin": self.margin,
            "needed": self.needed,
            "examples": self.examples,
            "e_value": self.e_value if math.isfinite(self.e_value) else None,
            "notes": list(self.notes),
            "clipped": self.clipped,
            "unseen": self.unseen,
        }
        if self.is_member:
            stated["member"] = True
        return cast(EffectFields, {"verdict": self.decision, **self.measurement.as_json(), **stated})

    def asked(self) -> dict[str, Any]:
        """What was asked and said, as it is kept for other thresholds."""
        found = self.measurement
        said: dict[str, Any] = {
            "label": found.label,
            "operator": self.operator,
            "threshold": self.threshold,
            "margin": self.margin,
            "unit": found.unit,
            "n": found.n,
            "counted": found.counted,
            "model": found.model,
            "fingerprint": found.fingerprint,
            "site": found.method.component,
            "population": found.population,
            "population_id": found.population_id,
        }
        return said | {name: getattr(found.method, name) for name in METHOD}

    @property
    def why_final(self) -> str:
        """Why no other threshold is decided by what was gathered; empty where one is."""
        if self.evidence is not None:
            return ""
        if self.measurement.unit == "rank":
            return "a rank rests on a comparison with each other component, not on one interval"
        return (
            f"the number is exact, {self.measurement.estimate:.6g}, and another threshold is compared with it by hand"
        )

    def holds(self, value: float) -> bool:
        """Whether the claim would be true of a value.

        (model.on(FRUIT).patch("L1.N8") > 0.4).holds(0.5)    # True
        """
        if self.margin is not None:
            return abs(value - self.threshold) <= self.margin
        return {
            ">": value > self.threshold,
            ">=": value >= self.threshold,
            "<": value < self.threshold,
            "<=": value <= self.threshold,
            "==": value == self.threshold,
        }[self.operator]

    def _advice(self) -> str:
        if self.operator == "==":
            weaker = "claim a wider margin" if self.margin is not None else "claim a range of ranks, with <="
        else:
            weaker = f"claim a {'lower' if self.operator.startswith('>') else 'higher'} threshold"
        if self.evidence is not None and self.evidence.is_too_few:
            return count_instead(self.evidence, self.operator, self.threshold)
        if self.measurement.exact:
            return f"the exact result equals the threshold to within rounding; {weaker}"
        if self.needed is None and self.measurement.all_used:
            return f"all pairs there are were used; {weaker}"
        if self.needed is None:
            return f"the interval holds the threshold, and more pairs would hardly help; {weaker}"
        return f"it may take about {self.needed:,} pairs (--circuit-budget={budget_for(self.needed)}), or {weaker}"
