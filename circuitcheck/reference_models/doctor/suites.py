"""Suites of claims of which some are true: how many of them e-BH establishes, and how many of those that are false."""

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from circuitcheck.reference_models.calibration import log_won, shapes
from circuitcheck.reference_models.doctor.rows import Row, Table
from circuitcheck.settings import Settings, stage_ends

if TYPE_CHECKING:
    from circuitcheck.types import Floats

_CLAIMS, _TRUE, _ABOVE, _RATE = 100, 20, 0.3, 0.05


def suites(settings: Settings, count: int) -> Table:
    """Suites of 100 claims, of which 20 are true."""
    return Table("Suites of claims: --circuit-fdr", (_row("normal", settings, count),))


def _row(name: str, settings: Settings, count: int) -> Row:
    shape = next(one for one in shapes() if one.name == name)
    random, ends = np.random.default_rng([17, *name.encode()]), list(stage_ends(settings.budget))
    false, true = [], []
    thresholds = np.where(np.arange(_CLAIMS) < _TRUE, 0.5 - _ABOVE, 0.5)[:, None]
    for _ in range(count):
        shift, gap = (part.reshape(_CLAIMS, -1) for part in shape.draw(random, _CLAIMS * ends[-1]))
        scale = np.abs(shape.draw(random, _CLAIMS * 16)[1].reshape(_CLAIMS, -1).mean(axis=1, keepdims=True))
        e_values = _e_values((shift - thresholds * gap) / scale, (gap - settings.floor_logits) / scale, settings, ends)
        established = _established(e_values)
        true.append(int(established[:_TRUE].sum()))
        false.append(int(established[_TRUE:].sum()) / max(1, int(established.sum())))
    rate, spread = float(np.mean(false)), float(np.std(false)) / math.sqrt(count)
    # Of a mean of shares between 0 and 1: where hardly any is above 0, the normal limit would be too narrow.
    upper = max(rate + 2.33 * spread, 4.61 / count)
    more = {
        "true claims established": f"{np.mean(true):.1f} of {_TRUE}",
        "at least 10": f"{np.mean(np.array(true) >= 10):.0%}",
    }
    words = f"{shape.words}: {_TRUE} of {_CLAIMS} true, {_ABOVE:g} above; false discoveries"
    return Row(name, words, count, _RATE, rate, upper, 0.0, 0.0, more)


def _e_values(residuals: "Floats", gaps: "Floats", settings: Settings, ends: list[int]) -> "Floats":
    """What each claim's bet had won when its gathering ended: as a session decides under ``--circuit-fdr``."""
    threshold, enough = math.log(2 / settings.alpha), math.log(_CLAIMS / _RATE)
    sums = np.cumsum(residuals, axis=1)[:, np.array(ends) - 1]
    (most, last), (against, _), (there, won) = (
        log_won(some, settings, None, ends) for some in (residuals, -residuals, gaps)
    )
    present = there >= threshold
    supported = present & (most >= threshold) & (sums > 0)
    refuted = present & (against >= threshold) & (sums < 0)
    evidence = np.minimum(last, won)
    stop = refuted | (supported & (evidence >= enough))
    at = np.where(stop.any(axis=1), stop.argmax(axis=1), len(ends) - 1)
    claim = np.arange(len(at))
    found: Floats = np.where(supported[claim, at], np.exp(np.minimum(evidence[claim, at], 700)), 0.0)
    return found


def _established(e_values: "Floats") -> Any:
    """Which claims e-BH takes (see ``circuitcheck.report.claims.established``)."""
    order = np.argsort(-e_values, kind="stable")
    enough = np.flatnonzero(e_values[order] >= len(e_values) / (np.arange(1, len(e_values) + 1) * _RATE))
    found = np.zeros(len(e_values), dtype=bool)
    found[order[: enough.max() + 1 if len(enough) else 0]] = True
    return found
