"""Evidence of several orders of one population, averaged; and what is a reference set's."""

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from circuitcheck.statistics.betting import average, log_wealth
from circuitcheck.statistics.evidence import Evidence, Order
from circuitcheck.statistics.reference_parts import SPENT, Parts
from tests.statistics.test_evidence import evidence


def test_bets_on_several_orders_are_worth_their_mean() -> None:
    random = np.random.default_rng(0)
    wealths = [log_wealth(random.normal(0.3, 0.5, n), 4.0) for n in (20, 35, 35)]
    padded = [np.exp(np.append(wealth, [wealth[-1]] * (35 - len(wealth)))) for wealth in wealths]
    assert np.exp(average(wealths)) == pytest.approx(np.mean(padded, axis=0))
    assert average(wealths[:1]) is wealths[0]


def test_evidence_of_several_orders_has_the_mean_of_their_e_values() -> None:
    random = np.random.default_rng(1)
    shifts = [random.normal(0.5, 0.2, 48) for _ in range(3)]
    parts = [evidence(shift) for shift in shifts]
    together = replace(parts[0], others=tuple(parts[1:]))
    assert together.estimate == pytest.approx(np.mean(shifts))
    for threshold in (0.3, 0.4, 0.55):
        values = [one.e_value(1, threshold) for one in parts]
        assert together.e_value(1, threshold) == pytest.approx(np.mean(values))
        if np.mean(values) >= 40:
            assert together.above(threshold)
    low, high = together.interval()
    lows, highs = zip(*(one.interval() for one in parts), strict=True)
    assert min(lows) <= low <= max(lows)  # type: ignore[type-var]
    assert min(highs) <= high <= max(highs)  # type: ignore[type-var]


def test_several_orders_of_a_true_boundary_decide_no_oftener_than_one() -> None:
    """800 claims at the truth: a seed that is picked because it passes would."""
    random = np.random.default_rng(2)
    population = random.permutation(np.r_[np.full(500, 1.0), np.full(500, -1.0)])
    picked = averaged = 0
    for _ in range(800):
        orders = [random.permutation(population)[:200] for _ in range(5)]
        parts = [evidence(order, size=1000, bound=1.0, alpha=0.4) for order in orders]
        picked += any(one.above(0.0) for one in parts)
        averaged += replace(parts[0], others=tuple(parts[1:])).above(0.0)
    assert averaged / 800 <= 0.2
    assert picked > 2 * averaged


def test_the_jackknife_over_equal_parts_is_the_standard_error_of_their_means() -> None:
    values = np.random.default_rng(3).exponential(1.0, (12, 20))
    without = np.array([np.delete(values, part, axis=0).mean() for part in range(12)])
    parts = Parts(without, np.zeros(12))
    assert float(parts.spread(without)) == pytest.approx(stats.sem(values.mean(axis=1)))
    assert parts.reach(7.0, 0.005) == pytest.approx(stats.t.ppf(0.995, 11) * stats.sem(values.mean(axis=1)))
    assert replace(parts, correction=0.5).reach(7.0, 0.005) == pytest.approx(parts.reach(7.0, 0.005) / 2)


def test_the_reference_set_s_part_of_a_share_moves_with_the_threshold() -> None:
    """Where shift and base are off together by the same share, the ratio is not off at all."""
    off = 1 + np.linspace(-0.1, 0.1, 12)
    parts = Parts(0.4 * off, off)
    assert parts.reach(0.4, 0.005) == pytest.approx(0, abs=1e-12)
    assert parts.reach(0.0, 0.005) == pytest.approx(Parts(0.4 * off, np.zeros(12)).reach(0.0, 0.005))


def test_what_may_be_the_reference_set_s_widens_an_interval_on_both_sides() -> None:
    shift = np.random.default_rng(4).normal(0.5, 0.1, 256)
    alone = evidence(shift)
    parts = Parts(0.5 + np.linspace(-0.01, 0.01, 12), np.ones(12))
    found = replace(alone, parts=parts)
    reach = parts.reach(0.0, SPENT * 0.05 / 2)
    strict = replace(alone, alpha=0.05 * (1 - SPENT))
    for mine, theirs, side in zip(found.interval(), strict.interval(), (-1, 1), strict=True):
        assert mine == pytest.approx(theirs + side * reach, abs=2e-3)  # type: ignore[operator]
    assert found.decide(">", 0.5 - reach) == "inconclusive"
    assert found.e_value(1, 0.2) == 40
    assert found.e_value(1, 0.499) == 0
    split = found.decide("<", 0.3, together=10)
    assert split == "refuted"


@pytest.mark.parametrize("limits", [(0.0, 1.0), (-1.0, 1.0)])
def test_bounded_numbers_with_a_reference_set_can_be_bet_on(limits: tuple[float, float]) -> None:
    shares = np.random.default_rng(5).permutation([1.0] * 90 + [0.0] * 10)
    order = Order(tuple(range(100)), 100)
    parts = Parts(0.9 + np.linspace(-0.02, 0.02, 12), np.ones(12))
    found = Evidence(shares, np.ones(100), False, limits=limits, order=order, parts=parts)
    low, high = found.interval()
    assert low is not None
    assert high is not None
    assert limits[0] <= low < 0.9 - parts.reach(0.9, 0.005) < high <= limits[1]
    assert math.isfinite(found.e_value(1, 0.5))
