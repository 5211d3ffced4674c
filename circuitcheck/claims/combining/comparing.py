"""Comparisons of an estimand with thresholds and with other estimands: evidence is gathered until there is a verdict."""

import math
from collections.abc import Callable, Sequence
from typing import Literal

from circuitcheck.claims.combining.differences import Difference
from circuitcheck.claims.estimand import Estimand
from circuitcheck.claims.measuring.measurement import Controls
from circuitcheck.claims.presence import e_value_of_presence
from circuitcheck.claims.ranking.controls import described
from circuitcheck.claims.reachable import refuse_unreachable
from circuitcheck.claims.thresholds import checked_approx, margin_of, number
from circuitcheck.claims.verdicts import Verdict
from circuitcheck.engine.watching.one_question import one_question
from circuitcheck.errors import MethodError
from circuitcheck.experiments.experiment import Experiment
from circuitcheck.sampling.stages import Stage
from circuitcheck.statistics.evidence import Evidence, Operator


class Comparing(Estimand):
    """An estimand that is compared, and described beside matched components; what ``Effect`` shows of it is its public face."""

    def __init__(
        self,
        experiment: Experiment,
        behind: tuple[Estimand, ...] = (),
        describe_controls: "Callable[[Sequence[Stage]], Controls | None] | None" = None,
    ):
        super().__init__(experiment, behind, describe_controls or (lambda stages: described(self, stages)))

    @one_question
    def compared(self, operator: Operator, other: "float | Estimand", together: int = 1) -> Verdict:
        """The verdict of a comparison: gathers evidence until there is one. ``together``: a refutation refutes so many claims
        at once, and takes as many times less than alpha."""
        if isinstance(other, Estimand):
            difference = Difference.of(self, other)
            return Comparing(difference, difference.behind).compared(operator, 0.0, together)
        threshold = self.share(number(other))
        if self._limits is not None and not self._limits[0] <= threshold <= self._limits[1]:
            low, high = self._limits
            raise MethodError(f"{self._label} lies between {low:g} and {high:g}; {threshold:g} does not")
        side: Literal[1, -1] = 1 if operator in (">", ">=") else -1
        decision, stages = self.decided(
            lambda evidence: evidence.decide(operator, threshold, together),
            lambda evidence: evidence.e_value(side, threshold),
        )
        needed = self.needed(stages, threshold) if decision == "inconclusive" else None
        evidence = self.evidence(stages)
        e_value = evidence.e_value(side, threshold)
        if evidence.whole and decision == "supported":
            e_value = math.inf
        e_value = min(e_value, e_value_of_presence(self, stages))
        alone = evidence if together == 1 else None
        measured, beyond = self.measured(stages, threshold), _beyond(evidence, {side: threshold})
        return Verdict(decision, measured, operator, threshold, None, needed, e_value, alone, *beyond)

    @one_question
    def compared_within(self, other: object) -> Verdict:
        """The verdict of an equivalence: that the number lies within the margin of a ``pytest.approx``."""
        approx = checked_approx(other)
        expected, margin = self.share(number(approx.expected)), margin_of(approx)
        low, high = expected - margin, expected + margin
        refuse_unreachable(self, low, high)
        decision, stages = self.decided(
            lambda evidence: evidence.decide_within(low, high),
            lambda evidence: min(evidence.e_value(1, low), evidence.e_value(-1, high)),
        )
        measured, evidence = self.measured(stages, low), self.evidence(stages)
        needed = None
        if decision == "inconclusive":
            nearer = min(low, high, key=lambda edge: abs(edge - measured.estimate))
            needed = self.needed(stages, nearer)
        e_value = min(evidence.e_value(1, low), evidence.e_value(-1, high), e_value_of_presence(self, stages))
        beyond = _beyond(evidence, {1: low, -1: high})
        return Verdict(decision, measured, "==", expected, margin, needed, e_value, evidence, *beyond)


def _beyond(evidence: Evidence, thresholds: "dict[Literal[1, -1], float]") -> tuple[int | None, float | None]:
    """How many pairs lie beyond the clip and speak against a side of its threshold, and how large a share of all may."""
    if not evidence.is_clipped or evidence.clusters:
        return None, None
    seen = [evidence.clipped(threshold)[0 if side == 1 else 1] for side, threshold in thresholds.items()]
    return sum(seen), max(evidence.unseen(side, threshold) for side, threshold in thresholds.items())
