"""Effects: numbers that are gathered when they are compared, and comparisons that give verdicts.

effect = model.on(FRUIT).patch("L1.N8")    # computes nothing
effect > 0.4                               # gathers the evidence, gives a Verdict
effect.measure()                           # gathers the evidence, gives a Measurement
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, NoReturn

import numpy as np

from circuitcheck.errors import ComparisonError, MethodError
from circuitcheck.evidence import Decision, Evidence, Operator
from circuitcheck.gathered import Gathered
from circuitcheck.given import refuse_average
from circuitcheck.measurements import Measurement
from circuitcheck.methods import Method
from circuitcheck.one_question import once_a_generation, one_question
from circuitcheck.presence import e_value_of_presence, is_present, raise_not_established, raise_undecided, refuse_counts
from circuitcheck.remarks import remarks
from circuitcheck.shares import Shares
from circuitcheck.thresholds import NoArithmetic, checked_approx, checked_share, margin_of, number
from circuitcheck.units import AMONG, BOUNDED, PHRASES
from circuitcheck.verdicts import Verdict

if TYPE_CHECKING:
    from circuitcheck.across import Across
    from circuitcheck.controls import Controls, Rank
    from circuitcheck.each import Each
    from circuitcheck.engine import Sample
    from circuitcheck.methods import Ablation
    from circuitcheck.models import Model
    from circuitcheck.runs import Run
    from circuitcheck.sampling import Stage
    from circuitcheck.types import Floats
    from circuitcheck.verbs import Act


class Effect(NoArithmetic, Shares):
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
        run: "Run",
        label: str,
        method: Method,
        unit: str,
        gather: "Callable[[Sample], Gathered]",
        limits: tuple[float, float] | None = None,
        behind: "tuple[Effect, ...]" = (),
        act: "Act | None" = None,
    ):
        self._run, self._label, self._method, self._unit, self._gather = run, label, method, unit, gather
        self._limits, self.behind, self.act = limits, behind, act

    def pairs_above(self, threshold: float) -> "Effect":
        """The share of pairs whose own effect (over the mean base) is above a threshold.

            assert effect.pairs_above(0.1) > 0.95

        The mean base is the population's own where that is taken in whole, otherwise that of a few reference pairs.
        """
        limit = self.share(number(threshold))
        refuse_counts(self)

        def gather(sample: "Sample") -> Gathered:
            found, ruler = self.on(sample), self.ruler_base(sample)
            over = found.shift / ruler - limit
            near = np.abs(over) <= (self._run.noise_on(sample) + self._run.model.rounding * abs(limit * ruler)) / abs(
                ruler
            )
            above = np.where(near, 0.5, over > 0)
            return Gathered(above, {"pairs": np.ones(len(above))}, drawn=found.drawn, doubt=near * 0.5)

        label = f"pairs with {self._label} > {limit:g} {PHRASES[self._unit]}"
        return Effect(self._run, label, self._method, "pairs", gather, limits=(0.0, 1.0), behind=(self,))

    def beats(self, address: str, n: int | None = None) -> Verdict:
        """That this component has a larger effect than every other of an address, at the same position.

            assert model.on(FRUIT).patch("L31.N892").beats("L31.N*", n=100)

        Decided by the paired difference from each of them, the error rate split between them; the claimed component and
        dead ones are left out, and ``n`` draws as many where there are more.
        """
        return self.rank_within(address, n) == 1

    def rank_within(self, address: str, n: int | None = None) -> "Rank":
        """This component's place among those of an address, 1 for the largest effect.

        assert model.on(FRUIT).patch("L9.H6").rank_within("L9.H*") <= 3
        """
        from circuitcheck.controls import Rank

        return Rank.of_matched(self, address, n)

    def beats_random(self, n: int = 100) -> Verdict:
        """That this circuit has a larger effect than ``n`` random ones of as many components of each kind.

        assert model.on(FRUIT).keep("L1.N8 | L0.H2").beats_random(n=50)
        """
        from circuitcheck.controls import Rank

        return Rank.of_random(self, n) == 1

    @property
    def over_parts(self) -> "Effect":
        """Of an effect of several sites: how many times the sum of what each does by itself.

            assert model.on(NAMES).ablate("L9.H9 | L9.H6 | L10.H0").over_parts > 1.5

        The ratio of the means; raises ``BehaviourAbsent`` where the sum is not established to be there.
        """
        from circuitcheck.additivity import over_parts

        return over_parts(self)

    @one_question
    def measure(self) -> Measurement:
        """Gather the evidence: estimate, interval or "exact", n, unit, method, numbers per pair.

        Of a population that is not taken whole, on its first 256 pairs (or the budget, where that is less).
        """
        stages = self._run.described
        if not is_present(self, stages):
            raise_not_established(self, stages)
        return self.measured(stages)

    def measured(self, stages: "Sequence[Stage]", threshold: float | None = None) -> Measurement:
        evidence, gathered = self._evidence(stages), self._joined(stages)
        low, high = evidence.interval()
        pairs = tuple(pair for stage in stages for pair in stage.sample.pairs)
        per_pair, drawn = gathered.shift / evidence.base.mean(), self._run.drawn
        if self._unit in AMONG:
            rows = np.flatnonzero(gathered.bases[self._unit])
            pairs, per_pair = tuple(pairs[row] for row in rows), gathered.shift[rows]
        return Measurement(
            label=self.label,
            unit=self._unit,
            estimate=evidence.estimate,
            low=low,
            high=high,
            level=1 - evidence.alpha,
            exact=evidence.is_exact,
            n=len(pairs),
            rejected=drawn.rejections.total,
            rejections=str(drawn.rejections),
            method=replace(gathered.told(self._method), clipped=self._run.clipping(evidence)),
            model=self._run.model.name,
            fingerprint=self._run.model.fingerprint,
            population=self._run.population,
            population_id=self._run.pairs.identity,
            pairs=pairs,
            per_pair=per_pair,
            gap=float(self._run.gaps_of(stages).mean()),
            is_example=self._run.pairs.is_example,
            all_used=stages[-1].exhausted,
            notes=remarks(self._unit, evidence, gathered, threshold),
            describe_controls=partial(self._controls_of, self.model.engine.questions.generation),
        )

    @property
    def per_pair(self) -> "Floats":
        """Each pair's shift over the mean base, of shape [pair]; ``measure().pairs`` are the pairs."""
        return self.measure().per_pair

    @property
    def each(self) -> "Each":
        """Every pair that the prompts can generate: searched for one that breaks a claim, which is then shrunk.

            assert effect.each > 0.1

        A pair's number is its shift over the mean base. ``--circuit-examples`` pairs are tried at most.
        """
        from circuitcheck.each import Each

        return Each(self)

    def across(self, values: "Sequence[str | float | Ablation]" = (), positions: Sequence[str] = ()) -> "Across":
        """This effect under several ablation values and positions ("all" for all): supported only where all support it.

        assert model.on(FRUIT).ablate("L31.N892").across(values=["mean", "resample", "zero"]) > 0.3
        """
        from circuitcheck.across import Across

        return Across(self, values, positions)

    def again(self, address: str, value: "str | float | Ablation | None" = None) -> "Effect":
        """The same effect of another address, or by another value; raises ``MethodError`` where there is no such thing."""
        if self.act is None:
            raise MethodError(f"{self._label} is not the effect of a component")
        return self.act.at(address, value)._in(self._unit)

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
        decision, stages = self._decided(lambda evidence: evidence.decide_within(low, high))
        measured, evidence = self.measured(stages, low), self._evidence(stages)
        needed = None
        if decision == "inconclusive":
            nearer = min(low, high, key=lambda edge: abs(edge - measured.estimate))
            needed = self._needed(stages, nearer)
        e_value = min(evidence.e_value(1, low), evidence.e_value(-1, high), e_value_of_presence(self, stages))
        return Verdict(decision, measured, "==", expected, margin, needed, e_value, evidence)

    def __ne__(self, other: object) -> NoReturn:
        raise ComparisonError("'!=' says nothing about an effect: claim how far it is from a value, with '<' or '>'")

    def __bool__(self) -> NoReturn:
        raise ComparisonError(
            f"an effect is a number, not a claim: compare it, as in `assert {self._label.split()[0]}(...) > 0.4`"
        )

    def __repr__(self) -> str:
        return f"<effect: {self._label}, {PHRASES[self._unit]}, on {self._run.pairs!r}>"

    @one_question
    def compared(self, operator: Operator, other: "float | Effect", together: int = 1) -> Verdict:
        """The verdict of a comparison: gathers evidence until there is one. ``together``: a refutation refutes so many claims
        at once, and takes as many times less than alpha."""
        if isinstance(other, Effect):
            from circuitcheck.differences import difference_of

            return difference_of(self, other).compared(operator, 0.0, together)
        threshold = self.share(number(other))
        if self._limits is not None and not self._limits[0] <= threshold <= self._limits[1]:
            low, high = self._limits
            raise MethodError(f"{self._label} lies between {low:g} and {high:g}; {threshold:g} does not")
        decision, stages = self._decided(lambda evidence: evidence.decide(operator, threshold, together))
        needed = self._needed(stages, threshold) if decision == "inconclusive" else None
        evidence = self._evidence(stages)
        e_value = evidence.e_value(1 if operator in (">", ">=") else -1, threshold)
        if evidence.whole and decision == "supported":
            e_value = math.inf
        e_value = min(e_value, e_value_of_presence(self, stages))
        alone = evidence if together == 1 else None
        return Verdict(decision, self.measured(stages, threshold), operator, threshold, None, needed, e_value, alone)

    def _decided(self, decide: Callable[[Evidence], Decision]) -> "tuple[Decision, list[Stage]]":
        """The decision, and the stages that it took: gathering stops as soon as there is one."""
        refuse_average(self._run.pairs, self._label)
        stages: list[Stage] = []
        present = False
        for stages in self._run.looks():
            present = is_present(self, stages)
            if present and (decision := decide(self._evidence(stages))) != "inconclusive":
                return decision, stages
        if not present:
            raise_undecided(self, stages)
        return "inconclusive", stages

    def _needed(self, stages: "Sequence[Stage]", threshold: float) -> int | None:
        evidence = self._evidence(stages)
        return None if evidence.whole or stages[-1].exhausted else evidence.needed(threshold)

    def share(self, threshold: float) -> float:
        """A threshold, unless it looks like a percentage of what is a share."""
        return checked_share(threshold, self._unit, self._label)

    def _in(self, unit: str) -> "Effect":
        alone = self._method.verb in ("observe", "probe") or self._unit in ("pairs", "parts", *AMONG)
        if alone and unit != self._unit:
            raise MethodError(
                f"{self._label} is not a share of anything else, so that it has no unit {PHRASES[unit]!r}"
            )
        if unit == "clean" and not self._run.readout.is_amount:
            raise MethodError(f"there are no shares of a {self._run.readout}: take .of_gap, or the readout's own unit")
        return Effect(self._run, self._label, self._method, unit, self._gather, self._limits, act=self.act)

    def _in_raw(self, unit: str) -> "Effect":
        if unit != self._run.readout.unit:
            own = self._run.readout.unit.replace("function", "values")
            raise MethodError(f"the readout is {self._run.readout}; its own unit is .in_{own}")
        return self._in(unit)

    @one_question
    def _controls_of(self, generation: int) -> "Controls | None":
        """Of the model as it was when the effect was measured; None where it has changed since."""
        return self._controls() if self.model.engine.questions.generation == generation else None

    def _controls(self) -> "Controls | None":
        from circuitcheck.controls import described

        return described(self)

    @property
    def run(self) -> "Run":
        """The model on its pairs."""
        return self._run

    @property
    def model(self) -> "Model":
        """The model that is asked."""
        return self._run.model

    @property
    def label(self) -> str:
        """The verb with its site, as reports name the effect; with the readout, where it is not the usual one."""
        return self._label if self._label.endswith(self._run.tag) else f"{self._label}{self._run.tag}"

    @property
    def method(self) -> Method:
        """What is put where."""
        return self._method

    @property
    def unit(self) -> str:
        """The key of its unit in ``units.PHRASES``."""
        return self._unit

    @one_question
    def on(self, sample: "Sample") -> Gathered:
        """The numbers on some pairs, gathered once."""
        gathered = self._gathered
        if sample not in gathered:
            gathered[sample] = self._gather(sample)
        return gathered[sample]

    @once_a_generation
    def _gathered(self) -> "dict[Sample, Gathered]":
        return {}

    def _joined(self, stages: "Sequence[Stage]") -> Gathered:
        return Gathered.joined([self.on(stage.sample) for stage in stages])

    def shift_of(self, stages: "Sequence[Stage]") -> "Floats":
        """Each pair's shift, of shape [pair]."""
        return self._joined(stages).shift

    def base_of(self, stages: "Sequence[Stage]") -> "Floats":
        """What the effect is a share of, in each pair; of shape [pair]."""
        return self._base_of(self._joined(stages))

    def is_drawn(self, stages: "Sequence[Stage]") -> bool:
        """Whether each pair's number is a draw by itself."""
        return self._joined(stages).drawn

    def ruler_base(self, sample: "Sample") -> float:
        """The mean base that each pair's number is divided by: the population's own where that is taken in whole, otherwise
        that of a few reference pairs."""
        parts = [self._run.ruler] if sample.taken is None else [stage.sample for stage in self._run.drawn.whole]
        return float(np.concatenate([self.base_on(part) for part in parts]).mean())

    def shift_on(self, sample: "Sample") -> "Floats":
        """Each pair's shift on some pairs, of shape [pair]."""
        return self.on(sample).shift

    def base_on(self, sample: "Sample") -> "Floats":
        """The same on some pairs."""
        return self._base_of(self.on(sample))

    def _base_of(self, gathered: Gathered) -> "Floats":
        """What this effect is a share of, in each pair; ones where it is a share of nothing. Shape [pair]."""
        if self._unit not in gathered.bases:
            raise MethodError(f"{self._label} is no share {PHRASES[self._unit]}: take another unit, such as .of_gap")
        return gathered.bases[self._unit]

    def _evidence(self, stages: "Sequence[Stage]") -> Evidence:
        gathered = self._joined(stages)
        return self.evidence_of(gathered.shift, stages, gathered.doubt)

    def evidence_of(self, shift: "Floats", stages: "Sequence[Stage]", doubt: "Floats | None" = None) -> Evidence:
        """Shifts like this effect's, of the pairs of some stages, as evidence in its unit."""
        return self._run.evidence(stages, shift, self.base_of(stages), self.bounds, self.is_drawn(stages), doubt)

    @property
    def bounds(self) -> tuple[float, float] | None:
        """What a pair's number lies between by its nature; None for what nothing bounds."""
        return (-1.0, 1.0) if self._unit in BOUNDED and self._limits is None else self._limits
