"""One claim under several methods: supported only where all of them support it.

assert model.on(FRUIT).ablate("L31.N892").across(values=["mean", "resample", "zero"]) > 0.3
assert model.on(FRUIT).patch("L31.N892").across(positions=["@end", "all"]) > 0.4
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from circuitcheck.all_of import AllOf
from circuitcheck.errors import MethodError
from circuitcheck.methods import Ablation
from circuitcheck.sites import EVERYWHERE, parse_position

if TYPE_CHECKING:
    from circuitcheck.effects import Effect


class Across(AllOf):
    """An effect under every combination of ``values`` and ``positions``; made by ``effect.across``."""

    def __init__(self, effect: "Effect", values: "Sequence[str | float | Ablation]", positions: Sequence[str]):
        if effect.act is None:
            raise MethodError(f"{effect.label} is not the effect of a component: there is no other method for it")
        if isinstance(values, str) or isinstance(positions, str) or not (values or positions):
            raise MethodError("across takes lists: values=['mean', 'zero'], positions=['@end', 'all'], or both")
        all_values: list[str | float | Ablation | None] = list(values) or [None]
        ways = [effect.again(_moved(effect, position), value) for value in all_values for position in positions or [""]]
        named = {way.label.removeprefix(f"{effect.method.verb} "): way for way in ways}
        super().__init__(f"{effect.label} under several methods", "methods", named)


def _moved(effect: "Effect", position: str) -> str:
    """The effect's address at another position."""
    act = effect.act
    if act is None or not position:
        return effect.method.component
    place = EVERYWHERE if position == "all" else parse_position(position, effect.run.model.anatomy)
    return " | ".join(str(replace(site, position=place)) for site in act.sites)
