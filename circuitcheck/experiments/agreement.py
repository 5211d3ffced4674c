"""Agreement: whether a circuit answers as the model does, also where the model is wrong.

    assert model.on(NAMES).agreement(IOI, on="errors") > 0.5

A circuit that gives the model's right answers may do so by another way: circuits that match 97-99 % of them were found to
match 11-42 % of the errors (Zhang et al.). What gives the same wrong answers works as the model does.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np

from circuitcheck.addresses.circuits import Circuit
from circuitcheck.engine.ablations import Ablation
from circuitcheck.errors import MethodError
from circuitcheck.experiments.experiment import Experiment, Gathered
from circuitcheck.experiments.knockouts import Knockouts
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


def agreement(
    setup: Setup,
    circuit: str | Circuit,
    value: str | float | Ablation = "mean",
    within: str | None = None,
    on: Answers = "errors",
) -> Experiment:
    """The share of the model's answers that the circuit by itself gives too; see ``Run.agreement``."""
    if on not in get_args(Answers):
        raise MethodError(f"agreement is on {', '.join(map(repr, get_args(Answers)))}, not on {on!r}")
    unit, counted = _COUNTED[on]
    right = setup.again(readout="accuracy")
    right.tag = right.where  # that answers are compared, the label says
    knockouts = Knockouts(right, circuit, value, within)

    def gather(sample: Sample) -> Gathered:
        if not all(pair.foil for pair in sample.pairs):
            raise MethodError("agreement is on one of two answers, and these prompts have no foil: give foil=...")
        [model], [alone] = knockouts.of_model(sample, [()]), knockouts.of_circuit(sample, [()])
        among = counted(model)
        given = {
            pair.answer if is_right else pair.foil
            for pair, is_right, one in zip(sample.pairs, model, among, strict=True)
            if one
        }
        found = knockouts.gathered(sample, among * (model == alone))
        return Gathered(found.shift, {unit: among}, found.reference, found.drawn, (_ONE_ANSWER,) * (len(given) == 1))

    method = knockouts.method("agreement", "all else ablated")
    told = "" if on == "all" else f" on {unit}"
    return Experiment(knockouts.setup, f"agreement of {knockouts.label}{told}", method, unit, gather, limits=(0.0, 1.0))
