"""One claim under several methods: supported only where all of them support it.

assert model.on(FRUIT).ablate("L31.N892").across(values=["mean", "resample", "zero"]) > 0.3
assert model.on(FRUIT).patch("L31.N892").across(positions=["@end", "all"]) > 0.4
"""

from collections.abc import Sequence
from dataclasses import replace

from circuitcheck.addresses.parsing import parse_position
from circuitcheck.addresses.sites import EVERYWHERE
from circuitcheck.claims.estimand import Estimand
from circuitcheck.engine.ablations import Ablation
from circuitcheck.errors import MethodError
from circuitcheck.experiments.experiment import Experiment


def by_other_methods(
    effect: Estimand, values: "Sequence[str | float | Ablation]", positions: Sequence[str]
) -> list[Experiment]:
    """The same under every combination of ``values`` and ``positions``."""
    experiment = effect.experiment
    if not experiment.at_components:
        raise MethodError(f"{effect.label} is not the effect of a component: there is no other method for it")
    if isinstance(values, str) or isinstance(positions, str) or not (values or positions):
        raise MethodError("across takes lists: values=['mean', 'zero'], positions=['@end', 'all'], or both")
    all_values: list[str | float | Ablation | None] = list(values) or [None]
    return [experiment.moved(_moved(effect, position), value) for value in all_values for position in positions or [""]]


def _moved(effect: Estimand, position: str) -> str:
    """The effect's address at another position."""
    if not position:
        return effect.method.component
    place = EVERYWHERE if position == "all" else parse_position(position, effect.run.model.anatomy)
    return " | ".join(str(replace(site, position=place)) for site in effect.experiment.sites)
