"""Statements about new templates and fillers: what few clusters can say, and what they cannot."""

import itertools

import numpy as np
import pytest
from scipy import stats

from circuitcheck.statistics.clusters import fewest
from circuitcheck.statistics.counts import lower_limit, speaks_above, surely_shown
from circuitcheck.statistics.evidence import Evidence
from tests.conftest import each

SHAPES = {
    "normal": lambda random, n: random.normal(0, 0.3, n),
    "exponential": lambda random, n: 0.3 * (random.exponential(1, n) - 1),
    "minus exponential": lambda random, n: 0.3 * (1 - random.exponential(1, n)),
    "one in ten fails": lambda random, n: np.where(random.random(n) < 0.1, -0.9, 0.1),
    "one in ten fails badly": lambda random, n: np.where(random.random(n) < 0.1, -27.0, 3.0),
}


def means(numbers: np.ndarray, alpha: float = 0.05) -> Evidence:
    return Evidence(numbers, np.ones(len(numbers)), False, alpha, clusters=True)


def counted(count: int, n: int, alpha: float = 0.05) -> Evidence:
    numbers = np.r_[np.ones(count), np.zeros(n - count)]
    return Evidence(numbers, np.ones(n), False, alpha, (0.0, 1.0), clusters=True, counted=True)


@pytest.mark.parametrize("n", [6, 12, 20, 40])
@pytest.mark.parametrize("shape", each(SHAPES, ("exponential", "one in ten fails badly")))
def test_a_mean_of_new_ones_is_seldom_claimed_wrongly(shape: str, n: int) -> None:
    """1,000 claims at the truth. A false pass has a probability of at most 0.025 (and not 0.28, as with Student's t)."""
    random = np.random.default_rng(n)
    found = [means(SHAPES[shape](random, n)) for _ in range(1000)]
    for said in ([one.above(0.0) for one in found], [one.below(0.0) for one in found]):
        assert stats.binomtest(sum(said), 1000, 0.025, "greater").pvalue > 1e-3


def test_a_mean_of_few_is_not_decided_however_clear_it_is() -> None:
    assert fewest(0.05) == 36
    random = np.random.default_rng(0)
    for n, decided in ((6, False), (35, False), (36, True), (60, True)):
        found = means(random.normal(0.9, 0.05, n))
        assert found.decide(">", 0.3) == ("supported" if decided else "inconclusive")
        assert (found.interval() != (None, None)) == decided
        assert (found.e_value(1, 0.3) > 40) == decided


@pytest.mark.parametrize("alpha", [0.01, 0.05, 0.3])
def test_so_many_have_one_in_ten_among_them(alpha: float) -> None:
    n = fewest(alpha)
    assert 0.9**n <= alpha / 2 < 0.9 ** (n - 1)
    assert surely_shown(0.5, 0.025) == 6


@pytest.mark.parametrize("n", [1, 6, 12, 40])
def test_how_many_of_the_new_ones_has_the_limits_of_clopper_and_pearson(n: int) -> None:
    for count, alpha in itertools.product(range(n + 1), (0.05, 0.2)):
        exact = stats.binomtest(count, n).proportion_ci(1 - alpha, method="exact")
        assert counted(count, n, alpha).interval() == pytest.approx((exact.low, exact.high), abs=1e-6)
        assert lower_limit(count, n, alpha / 2) == pytest.approx(exact.low, abs=1e-9)
        for share in (0.01, 0.3, 0.5, 0.9):
            assert speaks_above(count, n, share, alpha / 2) == (
                stats.binom.sf(count - 1, n, share) <= alpha / 2 and count > 0
            )


def test_of_what_is_in_doubt_neither_is_counted() -> None:
    numbers, doubt = np.r_[np.ones(11), 0.5], np.r_[np.zeros(11), 0.5]
    found = Evidence(numbers, np.ones(12), False, 0.05, (0.0, 1.0), clusters=True, counted=True, doubt=doubt)
    assert found.interval()[0] == pytest.approx(stats.binomtest(11, 12).proportion_ci().low, abs=1e-6)
    assert found.interval()[1] == 1.0


@pytest.mark.parametrize("n", [6, 12, 40])
def test_an_e_value_of_a_count_is_one(n: int) -> None:
    """Its mean where the claim is just false is at most 1."""
    for share in (0.5, 0.8, 0.95):
        chances = stats.binom.pmf(np.arange(n + 1), n, share)
        values = [counted(count, n).e_value(1, share) for count in range(n + 1)]
        assert chances @ values <= 1 + 1e-9
    assert counted(40, 40).e_value(1, 0.5) > 1e6
