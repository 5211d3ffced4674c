"""Agreement: whether a circuit answers as the model does, also where the model is wrong.

    assert model.on(NAMES).agreement(IOI, on="errors") > 0.5

A circuit that gives the model's right answers may do so by another way: circuits that match 97-99 % of them were found to
match 11-42 % of the errors (Zhang et al.). What gives the same wrong answers works as the model does.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, Self, get_args

import numpy as np

from circuitcheck.addresses.circuits import Circuit
from circuitcheck.engine.ablations import Ablation
from circuitcheck.errors import MethodError
from circuitcheck.experiments.circuits.knockouts import Knockouts, OfCircuit
from circuitcheck.experiments.experiment import Gathered
from circuitcheck.experiments.setups import Setup
from circuitcheck.sampling.samples import Sample

if TYPE_CHECKING:
    from circuitcheck.types import Floats

Answers = Literal["errors", "right", "all"]
# The unit, and which pairs count, by whether the model is right on them.
_COUNTED: "dict[Answers, tuple[str, Callable[[Floats], Floats]]]" = {
    "errors": ("errors", lambda right: 1 - right),
    "right": ("right answers", lambda right: right),
    "all": ("pairs", np.ones_like),
}

_ONE_ANSWER = (
    "the model gives one and the same answer on all of them, so that a circuit that always gives it would do as well"
)


@dataclass(frozen=True, eq=False, kw_only=True)
class Agreement(OfCircuit):
    """The share of the model's answers that the circuit by itself gives too, ``on`` some of them."""

    on: Answers

    verb, direction = "agreement", "all else ablated"
    is_share, limits = False, (0.0, 1.0)

    @classmethod
    def of(
        cls,
        circuit: str | Circuit,
        setup: Setup,
        value: str | float | Ablation = "mean",
        within: str | None = None,
        on: Answers = "errors",
    ) -> Self:
        """Of a circuit; see ``Run.agreement``."""
        if on not in get_args(Answers):
            raise MethodError(f"agreement is on {', '.join(map(repr, get_args(Answers)))}, not on {on!r}")
        knockouts = Knockouts(setup.of_answers(), circuit, value, within)
        return cls(setup=knockouts.setup, unit=_COUNTED[on][0], knockouts=knockouts, on=on)

    @property
    def label(self) -> str:
        return f"agreement of {self.knockouts.label}{'' if self.on == 'all' else f' on {self.unit}'}"

    def gather(self, sample: Sample) -> Gathered:
        if not all(pair.foil for pair in sample.pairs):
            raise MethodError("agreement is on one of two answers, and these prompts have no foil: give foil=...")
        [model], [alone] = self.knockouts.of_model(sample, [()]), self.knockouts.of_circuit(sample, [()])
        among = _COUNTED[self.on][1](model)
        given = {
            pair.answer if is_right else pair.foil
            for pair, is_right, one in zip(sample.pairs, model, among, strict=True)
            if one
        }
        found = self.knockouts.gathered(sample, among * (model == alone))
        notes = (_ONE_ANSWER,) * (len(given) == 1)
        return replace(found, bases={self.unit: among}, notes=notes)
