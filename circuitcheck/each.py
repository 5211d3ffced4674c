"""Claims about every pair that the prompts can generate.

assert model.on(FRUIT).patch("L1.N8").each > 0.1

Supported where all pairs were tried and none breaks the claim; refuted by one that does, shrunk to the most ordinary;
otherwise *unrefuted*: no counterexample among so many, which is no rate and no proof. That passes, but not under
``--circuit-strict``.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np

from circuitcheck.counterexamples import shelf_of
from circuitcheck.errors import ClaimInconclusive, ComparisonError
from circuitcheck.evidence import Decision, Operator
from circuitcheck.mutants import current
from circuitcheck.search import Search, Searched
from circuitcheck.thresholds import number
from circuitcheck.units import SHARES, with_unit
from circuitcheck.verdicts import Verdict

if TYPE_CHECKING:
    from circuitcheck.effects import Effect
    from circuitcheck.engine import Sample
    from circuitcheck.types import Floats

# By how much a number breaks a claim, over 0.
_BADNESS: dict[Operator, Callable[[float, float], float]] = {
    ">": lambda found, threshold: threshold - found,
    ">=": lambda found, threshold: threshold - found,
    "<": lambda found, threshold: found - threshold,
    "<=": lambda found, threshold: found - threshold,
}


class Each:
    """An effect in every pair by itself; made by ``effect.each``."""

    def __init__(self, effect: "Effect"):
        self._effect = effect

    def __gt__(self, threshold: float) -> "EachVerdict":
        return self._compare(">", threshold)

    def __ge__(self, threshold: float) -> "EachVerdict":
        return self._compare(">=", threshold)

    def __lt__(self, threshold: float) -> "EachVerdict":
        return self._compare("<", threshold)

    def __le__(self, threshold: float) -> "EachVerdict":
        return self._compare("<=", threshold)

    def __eq__(self, other: object) -> NoReturn:
        raise ComparisonError("every pair's effect equals nothing exactly: claim that it is > or < a number, or both")

    def __ne__(self, other: object) -> NoReturn:
        raise ComparisonError("'!=' says nothing about every pair: claim that it is > or < a number")

    def __bool__(self) -> NoReturn:
        raise ComparisonError("every pair's effect is no claim: compare it, as in `assert effect.each > 0.1`")

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"<every pair's {self._effect.label}>"

    def _compare(self, operator: Operator, other: float) -> "EachVerdict":
        effect, run = self._effect, self._effect.run
        threshold = effect.share(number(other))
        measured = effect.measure()  # the behaviour is there
        ruler = float(effect.ruler_base())
        share = effect.unit in SHARES

        def numbers(sample: "Sample") -> "tuple[Floats, Sequence[bool]]":
            base = effect.base_on(sample)
            there = (base > run.floor).tolist() if share else [True] * len(base)
            return effect.shift_on(sample) / ruler, there

        tolerance = (run.noise + run.model.rounding * abs(threshold * ruler)) / abs(ruler)
        population, aligner = run.search_space()
        search = Search(population, aligner, numbers, lambda found: _BADNESS[operator](found, threshold), tolerance)
        # What breaks a claim about a mutated component is no counterexample.
        shelf = shelf_of(effect, operator, None if current() else run.settings.counterexamples)
        known = shelf.known()
        searched = search.run(0 if run.settings.replay else run.settings.examples, [one.number for one in known])
        if searched.counterexample is not None:
            said = f"{effect.label} {operator} {threshold:g}"
            model = run.model.describe()
            shelf.keep(searched.number, searched.counterexample, searched.found, said, model)
        one = replace(
            measured,
            label=f"every pair's {effect.label}",
            estimate=searched.found if searched.counterexample is not None else searched.worst,
            low=None,
            high=None,
            exact=searched.exhausted,
            n=searched.tried - searched.absent,
            pairs=(),
            per_pair=np.array([]),
            notes=(),
            describe_controls=lambda: None,
        )
        decision = _decided(searched)
        if run.settings.replay and decision != "refuted":
            decision = "unrefuted"
        e_value = math.inf if decision == "supported" else 0.0
        return EachVerdict(
            decision, one, operator, threshold, e_value=e_value, searched=searched, strict=run.settings.strict
        )


@dataclass(eq=False)
class EachVerdict(Verdict):
    """The verdict of a search."""

    searched: Searched = field(kw_only=True)
    strict: bool = field(kw_only=True, default=False)

    def __bool__(self) -> bool:
        if self.decision != "unrefuted":
            return super().__bool__()
        self.asserted = True
        if self.strict:
            raise ClaimInconclusive(self.explain())
        return True

    @property
    def line(self) -> str:
        """The verdict, and what it rests on."""
        found = self.measurement
        where = with_unit(f"{found.estimate:.3g}", found.unit, after="")
        if self.searched.counterexample is not None:
            return f"{self.decision}: {self.claim}: it is {where} for {self.searched.counterexample.pair.clean.text!r}"
        return f"{self.decision}: {self.claim}: {self.standing}; the worst is {where}"

    @property
    def known(self) -> str:
        """What became of counterexamples that were known before, in words."""
        searched = self.searched
        told = [f"{searched.known_failing} known before fail still"] if searched.known_failing else []
        told += [f"{searched.known_fixed} known before are fixed"] if searched.known_fixed else []
        return "".join(f"; {one}" for one in told)

    @property
    def standing(self) -> str:
        """How many pairs were tried, in words."""
        searched = self.searched
        of = "more than can be counted" if searched.of is None else f"{searched.of:,}"
        return f"no counterexample in {searched.tried:,} of {of} pairs{self.known}"

    def explain(self) -> str:
        """At most 8 lines, the verdict first."""
        searched, found = self.searched, self.measurement
        lines = [self.line, f"  model    {found.model}; mean gap {found.gap:.3g}"]
        lines.append(f"  method   {found.method.direction}: {found.method.value}; positions: {found.method.positions}")
        of = "" if searched.of is None else f" of {searched.of:,}"
        absent = (
            f"; in {searched.absent} the behaviour itself is absent, and they don't count" if searched.absent else ""
        )
        lines.append(
            f"  search   {searched.tried:,}{of} pairs tried, {searched.failing:,} break the claim{self.known}{absent}"
        )
        pair = searched.counterexample
        if pair is not None:
            lines.append(f"  pair     {pair.pair.clean.text!r} / {pair.pair.corrupt.text!r}{self._free()}")
            if searched.first is not None and searched.first != pair:
                lines.append(f"  from     {searched.first.pair.clean.text!r} / {searched.first.pair.corrupt.text!r}")
            lines.append(f"  replay   PromptPairs.from_rows([{_as_row(self.searched)}])")
        elif self.decision == "inconclusive":
            lines.append("  advice   too few pairs were tried, or the worst equals the threshold to within rounding")
        elif self.decision == "unrefuted":
            lines.append("  advice   --circuit-strict lets this not pass; try more with --circuit-examples")
        return "\n".join(lines)

    def as_json(self) -> dict[str, Any]:
        """As other verdicts, with what was searched; nothing of a search is an average."""
        searched = self.searched
        pair = searched.counterexample
        return super().as_json() | {
            "fillers": None,
            "searched": {
                "tried": searched.tried,
                "of": searched.of,
                "failing": searched.failing,
                "absent": searched.absent,
                "known_failing": searched.known_failing,
                "known_fixed": searched.known_fixed,
                "standing": self.standing,
                "clean": None if pair is None else pair.pair.clean.text,
                "corrupt": None if pair is None else pair.pair.corrupt.text,
            },
        }

    def _free(self) -> str:
        free = self.searched.free
        return f"; or any other {' or '.join(f'{{{slot}}}' for slot in free)}" if free else ""


def _decided(searched: Searched) -> Decision:
    if searched.counterexample is not None:
        return "refuted"
    counted = searched.tried - searched.absent
    if searched.near or not counted:
        return "inconclusive"
    if searched.exhausted:
        return "supported"
    return "unrefuted" if counted >= LEAST else "inconclusive"


# Fewer pairs than this say nothing, unless they are all.
LEAST = 100


def _as_row(searched: Searched) -> str:
    """The counterexample as a row of ``PromptPairs.from_rows``."""
    pair = searched.counterexample
    if pair is None:
        return ""
    sides = {
        side: prompt.text if prompt.ids is None else list(prompt.ids)
        for side, prompt in (("clean", pair.pair.clean), ("corrupt", pair.pair.corrupt))
    }
    return repr(sides | {"answer": list(pair.pair.answer), "foil": list(pair.pair.foil)})
