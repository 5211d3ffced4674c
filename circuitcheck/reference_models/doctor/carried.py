"""Claims that a component carries a variable, about planted transformers whose algorithm is known; in some it carries another."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from circuitcheck.claims.effects import Effect
from circuitcheck.errors import ClaimInconclusive
from circuitcheck.model import Model
from circuitcheck.reference_models.doctor.rows import Row, Table, row
from circuitcheck.reference_models.planted_sums import planted_sum
from circuitcheck.sampling.stages import Sampler
from circuitcheck.settings import Settings

# Where it is claimed, and what is true of it.
_HEAD, _STREAM = "L0.H0@end", "L0.RESID_POST@end"
# Draws of donors whose mean is the truth of what is scrubbed.
_DONORS = 100


def carried(settings: Settings, claims: int) -> Table:
    """Of each kind of claim one for each seed, at the edge of the truth, so that a decision on either side is an error."""
    settings = replace(settings, budget=max(128, settings.budget // 4))
    parts = planted_sum(handed_over=False, settings=settings)

    def interchanged(site: str) -> Callable[[Model], Effect]:
        return lambda model: model.on(parts.pairs).interchange(site, "sum")

    def scrubbed(model: Model) -> Effect:
        return model.on(parts.pairs, readout="probability").scrub({_HEAD: "sum"}).raw

    part = "a head that carries one of two summands is claimed to carry the sum"
    rows = (
        _row("part of it", part, parts.model, interchanged(_HEAD), settings, claims),
        _row(
            "all at once",
            "all that a token has is claimed to be the sum",
            parts.model,
            interchanged(_STREAM),
            settings,
            claims,
        ),
        _row("scrubbed", f"{part} and nothing else", parts.model, scrubbed, settings, claims, draws=_DONORS),
    )
    return Table(
        f"Interchanges and scrubbing in planted transformers that compute something else (budget {settings.budget})",
        rows,
    )


def _row(
    name: str,
    words: str,
    model: Model,
    made: Callable[[Model], Effect],
    settings: Settings,
    claims: int,
    draws: int = 1,
) -> Row:
    """``draws``: over how many seeds' numbers of all pairs the truth is the mean."""
    found = []
    for seed in range(draws):
        _set(model, replace(settings, whole=10_000, seed=seed))
        found.append(float(made(model).measure().estimate))
    truth, decisions, used = float(np.mean(found)), [], []
    for seed in range(draws, draws + claims):
        _set(model, replace(settings, seed=seed))
        try:
            verdict = made(model) > truth
        except ClaimInconclusive:
            decisions.append(0)
            continue
        decisions.append({"supported": 1, "refuted": -1}.get(verdict.decision, 0))
        used.append(verdict.measurement.n)
    pairs = f"{np.median(used):.0f}" if used else "none"
    return row(name, words, np.array(decisions), settings.alpha / 2, truth=truth, pairs=pairs)


def _set(model: Model, settings: Settings) -> None:
    model._loaded.settings = settings
    model._loaded.sampler = Sampler(model._loaded.sampler.aligner, settings)
