"""The mean base that a pair's own number is divided by, where it decides which pairs are above a limit.

Of a population that is taken in whole it is known. Otherwise it is that of the reference pairs, with its interval: a pair is
above a limit where it is so whatever the mean base is in there, and in doubt where that decides. Where the numbers rest on a
reference set that was drawn, what another set could make of a pair's own number puts it in doubt, too. Each of the two takes
its part of alpha.
"""

import math
from dataclasses import dataclass

import numpy as np

from circuitcheck.claims.estimand import Estimand
from circuitcheck.sampling.samples import Sample
from circuitcheck.statistics.evidence import Evidence, Order
from circuitcheck.statistics.reference_parts import SPENT, Parts
from circuitcheck.units import UNITS


@dataclass(frozen=True)
class MeanBase:
    """``mean`` lies between ``low`` and ``high``; each pair's shift may be off by ``reach`` for the reference set's sake. ``spent``:
    the share of alpha at which that may not be so."""

    mean: float
    low: float
    high: float
    reach: float = 0.0
    spent: float = 0.0

    def doubt(self, limit: float) -> float:
        """By how much a shift may lie on the other side of a limit than it seems to."""
        ends = [abs(limit * (end - self.mean)) for end in (self.low, self.high)]
        return self.reach + (max(ends) if limit else 0.0)


def mean_base_of(effect: Estimand, sample: Sample) -> MeanBase:
    """The mean base of an effect, as far as it is known of the population that a sample is from."""
    run = effect.run
    if sample.taken is not None:
        bases = np.concatenate([effect.base_on(stage.sample) for stage in run.drawn.whole])
        return MeanBase(*[run.mean_on(run.drawn.whole, bases)] * 3)
    parts = effect.parts_of([run.drawn.first])
    reach = 0.0
    if parts:
        shifts = np.array([effect.shift_on(part) for part in parts])
        spread = Parts(shifts.mean(axis=1), np.zeros(len(parts)), effect.correction_on([run.drawn.first]))
        reach = float(spread.of_each(shifts, SPENT * run.settings.alpha / 2).max())
    spent = SPENT * (reach > 0)
    if not UNITS[effect.unit].is_share:
        return MeanBase(1.0, 1.0, 1.0, reach, spent)
    known = _of_reference_pairs(effect, parts)
    low, high = known.interval()
    return MeanBase(
        known.estimate,
        -math.inf if low is None else low,
        math.inf if high is None else high,
        reach,
        spent + SPENT * (not known.is_exact),
    )


def _of_reference_pairs(effect: Estimand, parts: list[Sample]) -> Evidence:
    """The base of the reference pairs as evidence of the mean base."""
    run, settings = effect.run, effect.run.settings
    stage = run.sampler.reference_pairs(run.pairs, settings.reference)
    base = effect.base_on(stage.sample)
    bases = [effect.base_on(part) for part in parts]
    return Evidence(
        base,
        np.ones(len(base)),
        stage.exhausted,
        SPENT * settings.alpha,
        run.readout.limits,
        order=Order(stage.places, stage.tried, run.drawn.size),
        scale=1.0 if run.readout.limits is not None else run.scale,
        bound=settings.bound,
        rounding=run.model.rounding,
        noise=run.noise,
        parts=run.parts(bases, [np.ones(len(one)) for one in bases], effect.correction_on([run.drawn.first])),
    )
