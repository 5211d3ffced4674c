"""pytest for circuit hypotheses.

from circuitcheck import PromptPairs, contrast

FRUIT = PromptPairs("I picked up the {fruit} and ate", answer=" an", foil=" a",
                    fruit=contrast(clean=["apple", "olive"], corrupt=["lemon", "fig"]))

def test_one_neuron_restores_the_article(model):
    assert model.on(FRUIT).patch("L1.N8") > 0.4
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from circuitcheck.circuits import Circuit
    from circuitcheck.directions import Direction
    from circuitcheck.effects import Effect
    from circuitcheck.errors import (
        AddressError,
        BehaviourAbsent,
        CircuitError,
        ClaimInconclusive,
        ClaimRefuted,
        ComparisonError,
        EngineError,
        InterventionError,
        LockError,
        MethodError,
        ModelError,
        ModelMissing,
        NumericsError,
        PromptError,
        StoreError,
    )
    from circuitcheck.methods import mean, resample, scaled, zero
    from circuitcheck.models import Model, load
    from circuitcheck.probes import Probe
    from circuitcheck.prompts import PromptPairs
    from circuitcheck.slots import contrast
    from circuitcheck.sweeps import Sweep
    from circuitcheck.verdicts import Verdict

__version__ = "0.2.0"

# A name is imported when it is first asked for: the package itself costs nothing (see tests/test_light_imports.py).
_HOMES = {
    "circuitcheck.circuits": ["Circuit"],
    "circuitcheck.directions": ["Direction"],
    "circuitcheck.effects": ["Effect"],
    "circuitcheck.errors": [
        "AddressError",
        "BehaviourAbsent",
        "CircuitError",
        "ClaimInconclusive",
        "ClaimRefuted",
        "ComparisonError",
        "EngineError",
        "InterventionError",
        "LockError",
        "MethodError",
        "ModelError",
        "ModelMissing",
        "NumericsError",
        "PromptError",
        "StoreError",
    ],
    "circuitcheck.methods": ["mean", "resample", "scaled", "zero"],
    "circuitcheck.models": ["Model", "load"],
    "circuitcheck.probes": ["Probe"],
    "circuitcheck.prompts": ["PromptPairs"],
    "circuitcheck.slots": ["contrast"],
    "circuitcheck.sweeps": ["Sweep"],
    "circuitcheck.verdicts": ["Verdict"],
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "AddressError",
    "BehaviourAbsent",
    "Circuit",
    "CircuitError",
    "ClaimInconclusive",
    "ClaimRefuted",
    "ComparisonError",
    "Direction",
    "Effect",
    "EngineError",
    "InterventionError",
    "LockError",
    "MethodError",
    "Model",
    "ModelError",
    "ModelMissing",
    "NumericsError",
    "Probe",
    "PromptError",
    "PromptPairs",
    "StoreError",
    "Sweep",
    "Verdict",
    "contrast",
    "load",
    "mean",
    "resample",
    "scaled",
    "zero",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module 'circuitcheck' has no attribute {name!r}")
    return getattr(import_module(_HOME_OF[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
