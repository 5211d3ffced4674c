"""Effects: numbers that are gathered when they are compared, and comparisons that give verdicts.

effect = model.on(FRUIT).patch("L1.N8")    # computes nothing
effect > 0.4                               # gathers the evidence, gives a Verdict
effect.measure()                           # gathers the evidence, gives a Measurement
"""

import math
from collections.abc import Callable, Sequence
from typing import Literal, NoReturn

from circuitcheck.claims.combining.across import by_other_methods
from circuitcheck.claims.combining.additivity import OverParts
from circuitcheck.claims.combining.differences import Difference
from circuitcheck.claims.combining.new_ones import NewAbove
from circuitcheck.claims.combining.pairs_above import PairsAbove
from circuitcheck.claims.combining.several import AllOf
from circuitcheck.claims.estimand import Estimand
from circuitcheck.claims.every_pair import Each
from circuitcheck.claims.measuring.measurement import Controls
from circuitcheck.claims.presence import e_value_of_presence, refuse_counts
from circuitcheck.claims.ranking.controls import described
from circuitcheck.claims.ranking.rank import Rank
from circuitcheck.claims.reachable import refuse_unreachable
from circuitcheck.claims.thresholds import NoArithmetic, checked_approx, margin_of, number
from circuitcheck.claims.verdicts import Verdict
from circuitcheck.engine.ablations import Ablation
from circuitcheck.engine.watching.one_question import one_question
from circuitcheck.errors import ComparisonError, MethodError
from circuitcheck.experiments.experiment import Experiment
from circuitcheck.sampling.stages import Stage
from circuitcheck.statistics.evidence import Evidence, Operator
from circuitcheck.units import UNITS


class Effect(NoArithmetic, Estimand):
    """A number about a run, not yet gathered; made by the verbs of ``model.on(pairs)``.

    assert effect > 0.4
    assert 0.3 < effect < 0.6
    assert effect == pytest.approx(0, abs=0.05)     # equivalence: the interval lies inside the margin

    ``.of_gap``, ``.of_clean``, ``.in_logits`` (or what the readout is in) are the same effect in another unit. Comparing
    raises ``BehaviourAbsent`` for a share of a behaviour that is not there, ``MethodError`` for a threshold that is
    not a finite number, and ``ComparisonError`` (a ``TypeError``) for a comparison that would mean nothing.
    """

    # A numpy number on the left leaves the comparison to us.
    __array_ufunc__ = None

    def __init__(
        self,
        experiment: Experiment,
        behind: tuple[Estimand, ...] = (),
        describe_controls: "Callable[[Sequence[Stage]], Controls | None] | None" = None,
    ):
        super().__init__(experiment, behind, describe_controls or (lambda stages: described(self, stages)))

    def pairs_above(self, threshold: float) -> "Effect":
        """The share of pairs whose own effect (over the mean base) is above a threshold.

            assert effect.pairs_above(0.1) > 0.95

        The mean base is the population's own where that is taken in whole, otherwise that of a few reference pairs.
        """
        limit = self.share(number(threshold))
        refuse_counts(self)

        return Effect(PairsAbove(setup=self.run, unit="pairs", effect=self, limit=limit), behind=(self,))

    def new_above(self, threshold: float) -> "Effect":
        """The share of new templates or fillers whose own effect is above a threshold, and which have what it is a share of.

            assert model.on(FRUIT, generalise="template").patch("L1.N8").new_above(0.4) > 0.7

        Decided by how many of those given are so, with exact limits (Clopper & Pearson), however their effects scatter. Raises
        ``MethodError`` for a run that is not about new ones.
        """
        limit = self.share(number(threshold))
        refuse_counts(self)
        return Effect(NewAbove.of(self, limit))

    def beats(self, address: str, n: int | None = None) -> Verdict:
        """That this component has a larger effect than every other of an address, at the same position.

            assert model.on(FRUIT).patch("L31.N892").beats("L31.N*")
            assert model.on(FRUIT).patch("L31.N892").beats("L31.N*", n=100)

        Decided by the paired difference from each of them; the claimed component and dead ones are left out. ``n`` draws as
        many where there are more: the claim is then that at most so many of all are ahead as there may be where none of those
        drawn is, at a joint level that the verdict states. ``rank_within(address).runs`` is what it costs at most.
        """
        return self.rank_within(address, n) == 1

    def rank_within(self, address: str, n: int | None = None) -> Rank:
        """This component's place among those of an address, 1 for the largest effect.

        assert model.on(FRUIT).patch("L9.H6").rank_within("L9.H*") <= 3
        """
        return Rank.of_matched(self, address, n)

    def beats_random(self, n: int = 100) -> Verdict:
        """That this circuit has a larger effect than ``n`` random ones of as many components of each kind.

        assert model.on(FRUIT).keep("L1.N8 | L0.H2").beats_random(n=50)
        """
        return Rank.of_random(self, n) == 1

    @property
    def over_parts(self) -> "Effect":
        """Of an effect of several sites: how many times the sum of what each does by itself.

            assert model.on(NAMES).ablate("L9.H9 | L9.H6 | L10.H0").over_parts > 1.5

        The ratio of the means; raises ``BehaviourAbsent`` where the sum is not established to be there.
        """
        return Effect(OverParts.of(self))

    @property
    def each(self) -> Each:
        """Every pair that the prompts can generate: searched for one that breaks a claim, which is then shrunk.

            assert effect.each > 0.1

        A pair's number is its shift over the mean base. ``--circuit-examples`` pairs are tried at most.
        """
        return Each(self)

    def across(self, values: "Sequence[str | float | Ablation]" = (), positions: Sequence[str] = ()) -> AllOf:
        """This effect under several ablation values and positions ("all" for all): supported only where all support it.

        assert model.on(FRUIT).ablate("L31.N892").across(values=["mean", "resample", "zero"]) > 0.3
        """
        ways = [Effect(way.in_unit(self._unit)) for way in by_other_methods(self, values, positions)]
        named = {way.label.removeprefix(f"{self.method.verb} "): way for way in ways}
        return AllOf(f"{self.label} under several methods", "methods", named)

    def again(self, address: str, value: "str | float | Ablation | None" = None) -> "Effect":
        """The same effect of another address, or by another value; raises ``MethodError`` where there is no such thing."""
        return Effect(self.experiment.moved(address, value).in_unit(self._unit))

    @property
    def of_gap(self) -> "Effect":
        """As a share of the gap: mean clean minus mean corrupted readout."""
        return self._in("gap")

    @property
    def of_clean(self) -> "Effect":
        """As a share of the mean clean readout."""
        return self._in("clean")

    @property
    def in_logits(self) -> "Effect":
        """In logits, as a share of nothing."""
        return self._in_raw("logits")

    @property
    def in_accuracy(self) -> "Effect":
        """In points of accuracy (0 to 1), as a share of nothing."""
        return self._in_raw("accuracy")

    @property
    def in_probability(self) -> "Effect":
        """In probability (0 to 1), as a share of nothing."""
        return self._in_raw("probability")

    @property
    def in_nats(self) -> "Effect":
        """In nats, of a log-probability or a divergence, as a share of nothing."""
        return self._in_raw("nats")

    @property
    def in_prompts(self) -> "Effect":
        """In the share of prompts (-1 to 1), of generated text."""
        return self._in_raw("prompts")

    @property
    def in_places(self) -> "Effect":
        """In places of the vocabulary's ranking, as a share of nothing."""
        return self._in_raw("places")

    @property
    def in_values(self) -> "Effect":
        """In the numbers of a readout that is a function, as a share of nothing."""
        return self._in_raw("function")

    def __gt__(self, other: "float | Effect") -> Verdict:
        return self.compared(">", other)

    def __ge__(self, other: "float | Effect") -> Verdict:
        return self.compared(">=", other)

    def __lt__(self, other: "float | Effect") -> Verdict:
        return self.compared("<", other)

    def __le__(self, other: "float | Effect") -> Verdict:
        return self.compared("<=", other)

    @one_question
    def __eq__(self, other: object) -> Verdict:  # type: ignore[override]
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

    def __ne__(self, other: object) -> NoReturn:
        raise ComparisonError("'!=' says nothing about an effect: claim how far it is from a value, with '<' or '>'")

    def __bool__(self) -> NoReturn:
        raise ComparisonError(
            f"an effect is a number, not a claim: compare it, as in `assert {self._label.split()[0]}(...) > 0.4`"
        )

    def __repr__(self) -> str:
        return f"<effect: {self._label}, {UNITS[self._unit].phrase}, on {self._run.pairs!r}>"

    @one_question
    def compared(self, operator: Operator, other: "float | Effect", together: int = 1) -> Verdict:
        """The verdict of a comparison: gathers evidence until there is one. ``together``: a refutation refutes so many claims
        at once, and takes as many times less than alpha."""
        if isinstance(other, Effect):
            difference = Difference.of(self, other)
            return Effect(difference, difference.behind).compared(operator, 0.0, together)
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

    def _in(self, unit: str) -> "Effect":
        return Effect(self.experiment.in_unit(unit))

    def _in_raw(self, unit: str) -> "Effect":
        if unit != self._run.unit:
            own = self._run.unit.replace("function", "values")
            raise MethodError(f"the readout is {self._run.readout}; its own unit is .in_{own}")
        return self._in(unit)


def _beyond(evidence: Evidence, thresholds: "dict[Literal[1, -1], float]") -> tuple[int | None, float | None]:
    """How many pairs lie beyond the clip and speak against a side of its threshold, and how large a share of all may."""
    if not evidence.is_clipped or evidence.clusters:
        return None, None
    seen = [evidence.clipped(threshold)[0 if side == 1 else 1] for side, threshold in thresholds.items()]
    return sum(seen), max(evidence.unseen(side, threshold) for side, threshold in thresholds.items())
