"""Claims about planted transformers as a session makes them: each seed draws its own pairs, and the truth is in the weights."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from circuitcheck.errors import ClaimInconclusive
from circuitcheck.model import Model
from circuitcheck.reference_models.doctor.rows import Row, Table, row
from circuitcheck.reference_models.planted import Planted, planted
from circuitcheck.sampling.stages import Sampler
from circuitcheck.settings import Settings

_MARGIN = 0.1


@dataclass(frozen=True)
class _Approx:
    """What ``pytest.approx`` makes of a number and a margin; pytest is for whoever runs tests."""

    expected: float
    abs: float
    rel: None = None
    nan_ok: bool = False

    @property
    def tolerance(self) -> float:
        return self.abs


@dataclass(frozen=True)
class _Kind:
    """A claim that is at the edge of the truth, so that a decision on either side is an error."""

    name: str
    words: str
    truth: Callable[[Planted], float]
    claim: Callable[[Planted, float], Any]


_KINDS = (
    _Kind(
        "effect",
        "patch > what it restores",
        lambda plant: plant.share,
        lambda plant, truth: _on(plant).patch(plant.neuron) > truth,
    ),
    _Kind(
        "equivalence",
        f"patch == {_MARGIN:g} less, with that margin",
        lambda plant: plant.share,
        lambda plant, truth: _on(plant).patch(plant.neuron) == _Approx(truth - _MARGIN, _MARGIN),
    ),
    _Kind(
        "accuracy",
        "how many more pairs come out right",
        lambda plant: _accuracy(plant),
        lambda plant, truth: _on(plant, "accuracy").patch(plant.neuron).raw > truth,
    ),
)


def gathered(settings: Settings, claims: int) -> Table:
    """Of each kind of claim one for each seed, on a quarter of the budget."""
    settings = replace(settings, budget=max(128, settings.budget // 4))
    plants = {
        "normal": planted(0.5, scatter=0.15, seed=1, settings=settings),
        "skewed": planted(0.5, noise="skewed", scatter=0.3, seed=2, settings=settings),
    }
    rows = [_row(kind, words, plant, settings, claims) for kind in _KINDS for words, plant in plants.items()]
    return Table(f"Planted transformers, asked as in a session (budget {settings.budget})", tuple(rows))


def _row(kind: _Kind, words: str, plant: Planted, settings: Settings, claims: int) -> Row:
    decisions, used, truth = [], [], kind.truth(plant)
    for seed in range(claims):
        _seed(plant.model, replace(settings, seed=seed))
        try:
            verdict = kind.claim(plant, truth)
        except ClaimInconclusive:
            decisions.append(0)
            continue
        decisions.append({"supported": 1, "refuted": -1}.get(verdict.decision, 0))
        used.append(verdict.measurement.n)
    more = {"pairs": f"{np.median(used):.0f}" if used else "none"}
    return row(kind.name, f"{kind.words}; {words}", np.array(decisions), settings.alpha / 2, **more)


def _seed(model: Model, settings: Settings) -> None:
    """Pairs are drawn anew, by another seed."""
    model._loaded.settings, model._loaded.sampler = settings, Sampler(model._loaded.sampler.aligner, settings)


def _on(plant: Planted, readout: Any = "logit_diff") -> Any:
    return plant.model.on(plant.pairs, readout)


def _accuracy(plant: Planted) -> float:
    """How many more of the answers are right where the neuron is patched in, of all pairs."""
    _seed(plant.model, Settings(whole=len(plant.shift)))
    return float(_on(plant, "accuracy").patch(plant.neuron).raw.measure().estimate)
