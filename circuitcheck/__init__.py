"""pytest for circuit hypotheses.

from circuitcheck import PromptPairs, contrast

FRUIT = PromptPairs("I picked up the {fruit} and ate", answer=" an", foil=" a",
                    fruit=contrast(clean=["apple", "olive"], corrupt=["lemon", "fig"]))

def test_one_neuron_restores_the_article(model):
    assert model.on(FRUIT).patch("L1.N8") > 0.4
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from circuitcheck.version import __version__ as __version__

if TYPE_CHECKING:
    from circuitcheck.addresses.circuits import Circuit
    from circuitcheck.claims.effects import Effect
    from circuitcheck.claims.measuring.measurement import Measurement
    from circuitcheck.claims.probes import Probe
    from circuitcheck.claims.sweeps import Sweep
    from circuitcheck.claims.verdicts import Verdict
    from circuitcheck.engine.ablations import mean, resample, scaled, zero
    from circuitcheck.engine.readouts.generated import generated
    from circuitcheck.errors import (
        AddressError,
        BehaviourAbsent,
        CircuitError,
        ClaimInconclusive,
        ClaimRefuted,
        ComparisonError,
        DictionaryMissing,
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
    from circuitcheck.experiments.probing.directions import Direction
    from circuitcheck.finding.candidates import Candidates
    from circuitcheck.model import Model, load
    from circuitcheck.prompts.images.image_pairs import ImagePairs
    from circuitcheck.prompts.prompt_pairs import PromptPairs
    from circuitcheck.prompts.slots import contrast
    from circuitcheck.run import Run
    from circuitcheck.settings import Settings

# A name is imported when it is first asked for: the package itself costs nothing (see tests/test_light_imports.py).
_HOMES = {
    "circuitcheck.addresses.circuits": ["Circuit"],
    "circuitcheck.finding.candidates": ["Candidates"],
    "circuitcheck.claims.measuring.measurement": ["Measurement"],
    "circuitcheck.run": ["Run"],
    "circuitcheck.settings": ["Settings"],
    "circuitcheck.experiments.probing.directions": ["Direction"],
    "circuitcheck.claims.effects": ["Effect"],
    "circuitcheck.errors": [
        "AddressError",
        "BehaviourAbsent",
        "CircuitError",
        "ClaimInconclusive",
        "ClaimRefuted",
        "ComparisonError",
        "DictionaryMissing",
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
    "circuitcheck.engine.ablations": ["mean", "resample", "scaled", "zero"],
    "circuitcheck.engine.readouts.generated": ["generated"],
    "circuitcheck.model": ["Model", "load"],
    "circuitcheck.claims.probes": ["Probe"],
    "circuitcheck.prompts.images.image_pairs": ["ImagePairs"],
    "circuitcheck.prompts.prompt_pairs": ["PromptPairs"],
    "circuitcheck.prompts.slots": ["contrast"],
    "circuitcheck.claims.sweeps": ["Sweep"],
    "circuitcheck.claims.verdicts": ["Verdict"],
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "AddressError",
    "BehaviourAbsent",
    "Candidates",
    "Circuit",
    "CircuitError",
    "ClaimInconclusive",
    "ClaimRefuted",
    "ComparisonError",
    "DictionaryMissing",
    "Direction",
    "Effect",
    "EngineError",
    "ImagePairs",
    "InterventionError",
    "LockError",
    "Measurement",
    "MethodError",
    "Model",
    "ModelError",
    "ModelMissing",
    "NumericsError",
    "Probe",
    "PromptError",
    "PromptPairs",
    "Run",
    "Settings",
    "StoreError",
    "Sweep",
    "Verdict",
    "contrast",
    "generated",
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
