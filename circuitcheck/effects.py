"""Effects: numbers that are gathered when they are compared, and comparisons that give verdicts.

effect = model.on(FRUIT).patch("L1.N8")    # computes nothing
effect > 0.4                               # gathers the evidence, gives a Verdict
effect.measure()                           # gathers the evidence, gives a Measurement
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from numbers import Real
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np
import pytest

from circuitcheck.errors import ComparisonError, MethodError
from circuitcheck.evidence import Evidence, Operator
from circuitcheck.measurements import Measurement
from circuitcheck.methods import Method
from circuitcheck.units import PHRASES, SHARES
from circuitcheck.verdicts import Verdict

# A share of so much or more was surely meant as a percentage.
_PERCENT = 10

if TYPE_CHECKING:
    from circuitcheck.runs import Run
    from circuitcheck.types import Floats


@dataclass(frozen=True)
class Gathered:
    """Per-pair numbers of one effect, of shape [pair]: the shift, and what each unit makes it a share of.

    ``reference`` names the reference set that was used, with its hash; ``drawn`` says that each pair drew from it, so
    that a whole population's numbers are a sample all the same.
    """

    shift: "Floats"
    bases: "dict[str, Floats]"
    reference: str = ""
    drawn: bool = False
    notes: tuple[str, ...] = ()


class Effect:
    """A number about a run, not yet gathered; made by the verbs of ``model.on(pairs)``.

    assert effect > 0.4
    assert 0.3 < effect < 0.6
    assert effect == pytest.approx(0, abs=0.05)     # equivalence: the interval lies inside the margin

    ``.of_gap``, ``.of_clean``, ``.in_logits`` (or ``.in_accuracy``) are the same effect in another unit. Comparing
    raises ``BehaviourAbsent`` for a share of a behaviour that is not there, ``MethodError`` for a threshold that is
    not a finite number, and ``ComparisonError`` (a
    ``TypeError``) for a comparison that would mean nothing.
    """

    # A numpy number on the left leaves the comparison to us.
    __array_ufunc__ = None

    def __init__(
        self,
        run: "Run",
        label: str,
        method: Method,
        unit: str,
        gather: Callable[[], Gathered],
        counts: bool = False,
        behind: "tuple[Effect, ...]" = (),
    ):
        self._run, self._label, self._method, self._unit, self._gather = run, label, method, unit, gather
        self._counts, self._behind = counts, behind

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

    def pairs_above(self, threshold: float) -> "Effect":
        """The share of pairs whose own effect (over the mean base) is above a threshold.

        assert effect.pairs_above(0.1) > 0.95
        """
        limit = self._share(_number(threshold))

        def gather() -> Gathered:
            above = (self._per_pair() > limit).astype(float)
            return Gathered(above, {"pairs": np.ones(len(above))}, drawn=self._gathered.drawn)

        label = f"pairs with {self._label} > {limit:g} {PHRASES[self._unit]}"
        return Effect(self._run, label, self._method, "pairs", gather, counts=True, behind=(self,))

    def measure(self) -> Measurement:
        """Gather the evidence: estimate, interval or "exact", n, unit, method, numbers per pair."""
        self._check_behaviour()
        evidence, sample = self._evidence, self._run.sample
        low, high = evidence.interval()
        return Measurement(
            label=self._label,
            unit=self._unit,
            estimate=evidence.estimate,
            low=low,
            high=high,
            level=1 - evidence.alpha,
            exact=evidence.whole,
            n=len(sample.pairs),
            rejected=sample.rejections.total,
            rejections=str(sample.rejections),
            method=replace(self._method, reference=self._gathered.reference),
            model=self._run.model.name,
            population=sample.population,
            pairs=sample.pairs,
            per_pair=self._per_pair(),
            gap=float(self._run.gaps.mean()),
            notes=self._notes(evidence.estimate),
        )

    @property
    def per_pair(self) -> "Floats":
        """Each pair's shift over the mean base, of shape [pair]; ``measure().pairs`` are the pairs."""
        return self.measure().per_pair

    def __gt__(self, other: "float | Effect") -> Verdict:
        return self._compare(">", other)

    def __ge__(self, other: "float | Effect") -> Verdict:
        return self._compare(">=", other)

    def __lt__(self, other: "float | Effect") -> Verdict:
        return self._compare("<", other)

    def __le__(self, other: "float | Effect") -> Verdict:
        return self._compare("<=", other)

    def __eq__(self, other: object) -> Verdict:  # type: ignore[override]
        if not isinstance(other, type(pytest.approx(0.0))):
            raise ComparisonError(
                "an effect equals nothing exactly: write effect == pytest.approx(value, abs=margin), on the right"
            )
        if getattr(other, "abs", None) is None and getattr(other, "rel", None) is None:
            raise ComparisonError(
                "pytest.approx needs an explicit margin here: approx(value, abs=0.05) or approx(value, rel=0.1)"
            )
        approx: Any = other
        expected, margin = _number(approx.expected), _margin(approx)
        measured = self.measure()
        decision = self._evidence.decide_within(expected - margin, expected + margin)
        return Verdict(decision, measured, "==", expected, margin)

    def __ne__(self, other: object) -> NoReturn:
        raise ComparisonError("'!=' says nothing about an effect: claim how far it is from a value, with '<' or '>'")

    def __bool__(self) -> NoReturn:
        raise ComparisonError(
            f"an effect is a number, not a claim: compare it, as in `assert {self._label.split()[0]}(...) > 0.4`"
        )

    def _no_arithmetic(self, *_: object) -> NoReturn:
        raise ComparisonError(
            "effects have no arithmetic: instead of `abs(a) > t` claim `a > t` or `a < -t`, instead of `a - b > 0` claim "
            "`a > b`; a measured number is effect.measure().estimate"
        )

    __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = __truediv__ = __rtruediv__ = _no_arithmetic
    __neg__ = __abs__ = __float__ = _no_arithmetic

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"<effect: {self._label}, {PHRASES[self._unit]}, on {self._run.pairs!r}>"

    def _compare(self, operator: Operator, other: "float | Effect") -> Verdict:
        if isinstance(other, Effect):
            return self._minus(other)._compare(operator, 0.0)
        threshold = self._share(_number(other))
        if self._unit in ("accuracy", "pairs") and self._counts and not 0 <= threshold <= 1:
            raise MethodError(f"{self._label} lies between 0 and 1; {threshold:g} does not")
        measured = self.measure()
        return Verdict(self._evidence.decide(operator, threshold), measured, operator, threshold)

    def _minus(self, other: "Effect") -> "Effect":
        """The paired difference, whose sign is that of self - other."""
        if self._run.sample.identity != other._run.sample.identity or self._run.model is not other._run.model:
            raise MethodError("effects are compared pair by pair, so that both must be on the same model and pairs")
        if self._unit != other._unit or not np.array_equal(self.base, other.base):
            raise MethodError(
                f"{self._label} and {other._label} are shares of different things; compare them .of_gap or .in_logits"
            )

        def gather() -> Gathered:
            ours, theirs = self._gathered, other._gathered
            return Gathered(
                ours.shift - theirs.shift,
                {self._unit: self.base},
                ours.reference or theirs.reference,
                ours.drawn or theirs.drawn,
            )

        label = f"{self._label} - {other._label}"
        ours, theirs = self._method, other._method
        method = replace(
            ours,
            component=f"{ours.component} - {theirs.component}",
            value=" - ".join(dict.fromkeys([ours.value, theirs.value])),
            positions=" - ".join(dict.fromkeys([ours.positions, theirs.positions])),
            direction=" - ".join(dict.fromkeys([ours.direction, theirs.direction])),
            sites=ours.sites + theirs.sites,
        )
        return Effect(self._run, label, method, self._unit, gather, behind=(*self._behind, *other._behind))

    def _share(self, threshold: float) -> float:
        """A threshold, unless it looks like a percentage of what is a share."""
        if self._unit in SHARES and abs(threshold) >= _PERCENT:
            raise MethodError(
                f"{self._label} is a share, of which {threshold:g} is no sensible threshold: 40 % is written 0.4"
            )
        return threshold

    def _in(self, unit: str) -> "Effect":
        return Effect(self._run, self._label, self._method, unit, self._gather, self._counts)

    def _in_raw(self, unit: str) -> "Effect":
        if unit != self._run.readout.unit:
            raise MethodError(f"the readout is {self._run.readout}; its own unit is .in_{self._run.readout.unit}")
        return self._in(unit)

    @cached_property
    def _gathered(self) -> Gathered:
        return self._gather()

    @property
    def label(self) -> str:
        """The verb with its site, as reports name the effect."""
        return self._label

    @property
    def base(self) -> "Floats":
        """What this effect is a share of, in each pair; ones where it is a share of nothing. Shape [pair]."""
        if self._unit not in self._gathered.bases:
            raise MethodError(
                f"{self._label} is not a share of anything, so that it has no unit {PHRASES[self._unit]!r}"
            )
        return self._gathered.bases[self._unit]

    @cached_property
    def _evidence(self) -> Evidence:
        settings = self._run.model.settings
        whole = self._run.sample.whole and not self._gathered.drawn
        grain = 1.0 if self._unit == "accuracy" else 0.0
        rounding, noise = self._run.model.rounding, self._run.noise
        return Evidence(self._gathered.shift, self.base, whole, settings.alpha, self._counts, grain, rounding, noise)

    def _per_pair(self) -> "Floats":
        per_pair: Floats = self._gathered.shift / self.base.mean()
        return per_pair

    def _check_behaviour(self) -> None:
        """A share of nothing means nothing: the gap, and what this is a share of, are established first."""
        for effect in self._behind:
            effect._check_behaviour()
        if self._unit not in SHARES:
            return
        self._run.check_present(self._run.gaps, "the gap between clean and corrupted readout")
        if self._unit != "gap":
            self._run.check_present(self.base, PHRASES[self._unit].removeprefix("of "))

    def _notes(self, estimate: float) -> tuple[str, ...]:
        notes = list(self._gathered.notes)
        if self._unit in SHARES and estimate > 1:
            notes.append("over 1: more than all of it; is another component working against this one?")
        return tuple(notes)


def _margin(approx: Any) -> float:
    """The reach of a ``pytest.approx``, which must be a positive finite number."""
    try:
        margin = float(approx.tolerance)
    except ValueError as error:
        raise MethodError(f"the margin of {approx!r} is no margin: {error}") from None
    if not 0 < margin < math.inf:
        raise MethodError(f"a margin is a positive finite number, not {margin}")
    return margin


def _number(value: object) -> float:
    """A finite real number, numpy's included."""
    if isinstance(value, bool) or not isinstance(value, Real | np.number):
        raise ComparisonError(f"an effect is compared with a number or another effect, not with {value!r}")
    number = float(value)
    if not math.isfinite(number):
        raise MethodError(f"an effect cannot be compared with {number}: a threshold is a finite number")
    return number
