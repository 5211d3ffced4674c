"""One claim under several methods: supported only where all of them support it.

assert model.on(FRUIT).ablate("L31.N892").across(values=["mean", "resample", "zero"]) > 0.3
assert model.on(FRUIT).patch("L31.N892").across(positions=["@end", "all"]) > 0.4
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, NoReturn

from circuitcheck.errors import ComparisonError, MethodError
from circuitcheck.evidence import Operator
from circuitcheck.methods import Ablation
from circuitcheck.sites import EVERYWHERE, parse_position
from circuitcheck.verdicts import Verdict

if TYPE_CHECKING:
    from circuitcheck.effects import Effect

_WORST_FIRST = ("refuted", "inconclusive", "supported")


class Across:
    """An effect under every combination of ``values`` and ``positions``; made by ``effect.across``."""

    def __init__(self, effect: "Effect", values: "Sequence[str | float | Ablation]", positions: Sequence[str]):
        if effect.act is None:
            raise MethodError(f"{effect.label} is not the effect of a component: there is no other method for it")
        if isinstance(values, str) or isinstance(positions, str) or not (values or positions):
            raise MethodError("across takes lists: values=['mean', 'zero'], positions=['@end', 'all'], or both")
        self._effect = effect
        all_values: list[str | float | Ablation | None] = list(values) or [None]
        self._ways = [
            effect.again(_moved(effect, position), value) for value in all_values for position in positions or [""]
        ]

    def __gt__(self, threshold: float) -> Verdict:
        return self._compare(">", threshold)

    def __ge__(self, threshold: float) -> Verdict:
        return self._compare(">=", threshold)

    def __lt__(self, threshold: float) -> Verdict:
        return self._compare("<", threshold)

    def __le__(self, threshold: float) -> Verdict:
        return self._compare("<=", threshold)

    def __bool__(self) -> NoReturn:
        raise ComparisonError("an effect under several methods is no claim: compare it, as in `assert (...) > 0.3`")

    def __repr__(self) -> str:
        return f"<{self._effect.label} under {len(self._ways)} methods>"

    def _compare(self, operator: Operator, threshold: float) -> Verdict:
        verdicts = [way.compared(operator, threshold) for way in self._ways]
        for verdict in verdicts:
            verdict.asserted = True  # by asserting the whole
        worst = min(verdicts, key=lambda verdict: _WORST_FIRST.index(verdict.decision))
        table = tuple(
            f"{v.measurement.label.removeprefix(f'{self._effect.method.verb} ')}: {v.measurement.estimate:.3g} {v.decision}"
            for v in verdicts
        )
        label = f"{worst.measurement.label}, the worst of {len(verdicts)} methods"
        return Verdict(
            worst.decision,
            replace(worst.measurement, label=label, notes=(*table, *worst.measurement.notes)),
            operator,
            threshold,
            needed=worst.needed,
            e_value=min(verdict.e_value for verdict in verdicts),
        )


def _moved(effect: "Effect", position: str) -> str:
    """The effect's address at another position."""
    act = effect.act
    if act is None or not position:
        return effect.method.component
    place = EVERYWHERE if position == "all" else parse_position(position, effect.run.model.anatomy)
    return " | ".join(str(replace(site, position=place)) for site in act.sites)
