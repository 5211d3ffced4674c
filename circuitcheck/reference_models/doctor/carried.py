"""Claims that a component carries a variable, about planted transformers whose algorithm is known; in some it carries another."""

from dataclasses import replace

import numpy as np

from circuitcheck.errors import ClaimInconclusive
from circuitcheck.reference_models.doctor.rows import Row, Table, row
from circuitcheck.reference_models.planted_sums import PlantedSum, planted_sum
from circuitcheck.sampling.stages import Sampler
from circuitcheck.settings import Settings

# Where it is claimed, and what is true of it.
_HEAD, _STREAM = "L0.H0@end", "L0.RESID_POST@end"


def carried(settings: Settings, claims: int) -> Table:
    """Of each kind of claim one for each seed, at the edge of the truth, so that a decision on either side is an error."""
    settings = replace(settings, budget=max(128, settings.budget // 4))
    parts = planted_sum(handed_over=False, settings=settings)
    rows = [
        _row(
            "part of it",
            "a head that carries one of two summands is claimed to carry the sum",
            parts,
            _HEAD,
            settings,
            claims,
        ),
        _row("all at once", "all that a token has is claimed to be the sum", parts, _STREAM, settings, claims),
    ]
    return Table(
        f"Interchanges in planted transformers that compute something else (budget {settings.budget})", tuple(rows)
    )


def _row(name: str, words: str, plant: PlantedSum, site: str, settings: Settings, claims: int) -> Row:
    decisions, used, model = [], [], plant.model
    model.settings = replace(settings, whole=10_000)
    model.sampler = Sampler(model.sampler.aligner, model.settings)
    truth = float(model.on(plant.pairs).interchange(site, "sum").measure().estimate)
    for seed in range(claims):
        model.settings = replace(settings, seed=seed)
        model.sampler = Sampler(model.sampler.aligner, model.settings)
        try:
            verdict = model.on(plant.pairs).interchange(site, "sum") > truth
        except ClaimInconclusive:
            decisions.append(0)
            continue
        decisions.append({"supported": 1, "refuted": -1}.get(verdict.decision, 0))
        used.append(verdict.measurement.n)
    pairs = f"{np.median(used):.0f}" if used else "none"
    return row(name, words, np.array(decisions), settings.alpha / 2, truth=truth, pairs=pairs)
