"""The statistics, against closed forms, brute force and simulation."""

import itertools
import math
from fractions import Fraction
from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from circuitcheck.evidence import Decision, Evidence, Operator

OPERATORS: list[Operator] = [">", ">=", "<", "<="]
MIRRORED: dict[Operator, Operator] = {">": "<", ">=": "<=", "<": ">", "<=": ">="}


def evidence(
    shift: object, base: object = None, whole: bool = False, alpha: float = 0.05, counts: bool = False
) -> Evidence:
    shifts = np.asarray(shift, dtype=float)
    bases = np.ones(len(shifts)) if base is None else np.asarray(base, dtype=float)
    return Evidence(shifts, bases, whole, alpha, counts)


def share(successes: int, n: int, whole: bool = False, alpha: float = 0.05) -> Evidence:
    return evidence([1.0] * successes + [0.0] * (n - successes), whole=whole, alpha=alpha, counts=True)


def sampled(seed: int, n: int = 40, gap: float = 2.0, part: float = 0.4) -> Evidence:
    """Pairs with a gap of about ``gap``, of which about ``part`` is shifted."""
    random = np.random.default_rng(seed)
    base = random.normal(gap, 1.0, n)
    return evidence(part * base + random.normal(0, 0.5, n), base)


def decisions(found: Evidence, threshold: float) -> list[Decision]:
    return [found.decide(operator, threshold) for operator in OPERATORS]


def finite(limits: tuple[float | None, float | None]) -> tuple[float, float]:
    low, high = limits
    assert low is not None
    assert high is not None
    return low, high


# A population that is evaluated whole


def test_the_estimate_is_the_ratio_of_means_and_not_the_mean_of_ratios() -> None:
    assert evidence([1, 1], [1, 100]).estimate == pytest.approx(2 / 101)


def test_a_whole_population_has_no_interval_but_its_number() -> None:
    found = evidence([1, 2, 4], [2, 2, 6], whole=True)
    assert found.interval() == (found.estimate, found.estimate) == pytest.approx((0.7, 0.7))


def test_a_whole_population_decides_whatever_its_spread() -> None:
    found = evidence([-1000, 1003], [1, 1], whole=True)
    assert decisions(found, 1.4) == ["supported", "supported", "refuted", "refuted"]
    assert decisions(found, 1.6) == ["refuted", "refuted", "supported", "supported"]


def test_an_exact_number_within_rounding_of_the_threshold_is_not_decided() -> None:
    shift, base = np.array([0.25, 0.55]), np.array([1.0, 1.0])
    for nudge in (0.0, 1e-8, -1e-8):
        assert decisions(evidence(shift + nudge, base, whole=True), 0.4) == ["inconclusive"] * 4
    assert decisions(evidence(shift + 1e-5, base, whole=True), 0.4)[:2] == ["supported", "supported"]
    assert decisions(evidence(shift - 1e-5, base, whole=True), 0.4)[:2] == ["refuted", "refuted"]


def test_what_counts_as_rounding_grows_with_the_numbers() -> None:
    """Logits of a thousand are rounded a thousand times as coarsely as logits of one."""
    assert evidence([1000.0 + 1e-4], whole=True).decide(">", 1000.0) == "inconclusive"
    assert evidence([1.0 + 1e-4], whole=True).decide(">", 1.0) == "supported"


def test_a_whole_count_decides_exactly_even_at_the_threshold() -> None:
    """9 right of 10 is >= 0.9 and not > 0.9, whatever 0.9 is in binary."""
    wrong = []
    for n in range(1, 31):
        for right, at in itertools.product(range(n + 1), repeat=2):
            truth = [right > at, right >= at, right < at, right <= at]
            expected = ["supported" if holds else "refuted" for holds in truth]
            if decisions(share(right, n, whole=True), at / n) != expected:
                wrong.append(f"{right} of {n} against {at}/{n}")
    assert wrong == []


def test_a_whole_count_decides_an_equivalence_exactly_too() -> None:
    assert share(2, 4, whole=True).decide_within(0.5, 0.75) == "supported"
    assert share(3, 4, whole=True).decide_within(0.5, 0.75) == "supported"
    assert share(1, 4, whole=True).decide_within(0.5, 0.75) == "refuted"


@pytest.mark.parametrize(
    ("low", "high", "decision"),
    [
        (0.3, 0.5, "supported"),
        (0.5, 0.6, "refuted"),
        (0.2, 0.3, "refuted"),
        (0.4, 0.5, "inconclusive"),
        (0.3, 0.4, "inconclusive"),
    ],
)
def test_an_exact_number_lies_inside_a_margin_or_not_unless_at_its_edge(
    low: float, high: float, decision: Decision
) -> None:
    assert evidence([0.2, 0.6], whole=True).decide_within(low, high) == decision


# A sample: the ratio's interval


thresholds = st.floats(-3, 3).filter(lambda t: abs(t) > 1e-6)
samples = st.builds(sampled, st.integers(0, 10**6), st.integers(5, 60), st.floats(1.5, 4), st.floats(-2, 2))


@settings(deadline=None)
@given(samples, thresholds)
def test_a_comparison_is_decided_as_the_interval_says(found: Evidence, threshold: float) -> None:
    assume(found.interval() != (None, None))
    low, high = finite(found.interval())
    assert low < found.estimate < high
    assume(min(abs(threshold - low), abs(threshold - high)) > 1e-9)
    above, below = threshold < low, threshold > high
    for operator in OPERATORS:
        holds, fails = (above, below) if operator in (">", ">=") else (below, above)
        expected = "supported" if holds else "refuted" if fails else "inconclusive"
        assert found.decide(operator, threshold) == expected


@settings(deadline=None)
@given(samples, thresholds, st.floats(0.01, 2))
def test_an_equivalence_is_decided_as_the_interval_says(found: Evidence, middle: float, margin: float) -> None:
    assume(found.interval() != (None, None))
    low, high = finite(found.interval())
    ends = (middle - margin, middle + margin)
    assume(min(abs(end - limit) for end in ends for limit in (low, high)) > 1e-9)
    inside, outside = ends[0] < low and high < ends[1], high < ends[0] or low > ends[1]
    expected = "supported" if inside else "refuted" if outside else "inconclusive"
    assert found.decide_within(*ends) == expected


@settings(deadline=None)
@given(samples, thresholds)
def test_the_opposite_claim_has_the_opposite_fate(found: Evidence, threshold: float) -> None:
    turned = evidence(-found.shift, found.base)
    for operator in OPERATORS:
        assert turned.decide(MIRRORED[operator], -threshold) == found.decide(operator, threshold)


@pytest.mark.parametrize("seed", range(5))
def test_the_interval_is_every_ratio_that_a_test_of_the_mean_does_not_reject(seed: int) -> None:
    """Fieller's theorem, against the same test inverted on a grid by brute force."""
    found = sampled(seed, n=30)
    quantile = NormalDist().inv_cdf(0.975)

    def is_kept(ratio: float) -> bool:
        differences = [s - ratio * b for s, b in zip(found.shift.tolist(), found.base.tolist(), strict=True)]
        mean = math.fsum(differences) / len(differences)
        variance = math.fsum((d - mean) ** 2 for d in differences) / (len(differences) - 1)
        return abs(mean) <= quantile * math.sqrt(variance / len(differences))

    kept = [ratio for ratio in np.arange(-1, 2, 0.001).tolist() if is_kept(ratio)]
    low, high = finite(found.interval())
    assert low == pytest.approx(kept[0], abs=0.0011)
    assert high == pytest.approx(kept[-1], abs=0.0011)


def test_over_a_constant_base_the_interval_is_that_of_a_mean() -> None:
    shift = np.random.default_rng(0).normal(3, 2, 50)
    reach = 1.959963984540054 * shift.std(ddof=1) / math.sqrt(50)
    middle = shift.mean() / 2
    expected = (middle - reach / 2, middle + reach / 2)
    assert evidence(shift, [2.0] * 50).interval() == pytest.approx(expected)


def test_a_smaller_error_rate_widens_the_interval() -> None:
    widths = []
    for alpha in (0.2, 0.05, 0.001):
        low, high = finite(evidence(sampled(1).shift, sampled(1).base, alpha=alpha).interval())
        widths.append(high - low)
    assert widths == sorted(widths)


def test_a_share_of_what_may_be_nothing_is_unbounded() -> None:
    found = evidence(np.random.default_rng(0).normal(0, 1, 30), np.random.default_rng(1).normal(0, 1, 30))
    assert found.interval() == (None, None)


def test_the_interval_covers_the_true_ratio_as_often_as_it_says() -> None:
    """1000 experiments of 300 pairs from a skewed population; four standard deviations are 2.8 %."""
    random, covered = np.random.default_rng(7), 0
    for _ in range(1000):
        base = random.gamma(4.0, 0.5, 300)  # its mean is 2
        shift = 0.4 * base + random.exponential(0.6, 300) - 0.6 + random.normal(0, 0.5, 300)
        low, high = finite(evidence(shift, base).interval())
        covered += low <= 0.4 <= high
    assert 0.93 <= covered / 1000 <= 0.97


def test_a_single_pair_of_a_larger_population_decides_nothing_and_warns_of_nothing() -> None:
    found = evidence([5.0], [1.0])
    assert found.interval() == (None, None)
    assert decisions(found, 0.0) == ["inconclusive"] * 4
    assert found.decide_within(-10, 10) == "inconclusive"


# A sample: counts


def binomial_tail(successes: int, n: int, p: Fraction) -> Fraction:
    """P(at least so many successes), in exact arithmetic."""
    return sum((math.comb(n, k) * p**k * (1 - p) ** (n - k) for k in range(successes, n + 1)), Fraction(0))


@pytest.mark.parametrize(
    ("successes", "n", "low", "high"),
    [(8, 10, 0.4439, 0.9748), (0, 10, 0.0, 0.3085), (10, 10, 0.6915, 1.0), (1, 20, 0.0013, 0.2487)],
)
def test_the_limits_of_a_share_are_those_of_the_tables(successes: int, n: int, low: float, high: float) -> None:
    assert share(successes, n).interval() == pytest.approx((low, high), abs=5e-5)


@pytest.mark.parametrize("n", [1, 7, 300])
def test_the_limits_for_none_and_for_all_have_a_closed_form(n: int) -> None:
    assert share(0, n).interval() == pytest.approx((0.0, 1 - 0.025 ** (1 / n)), abs=1e-12)
    assert share(n, n).interval() == pytest.approx((0.025 ** (1 / n), 1.0), abs=1e-12)


@settings(deadline=None, max_examples=50)
@given(st.integers(1, 40), st.data(), st.sampled_from([0.2, 0.05, 0.01]))
def test_at_its_limits_a_share_is_just_as_improbable_as_stated(n: int, data: st.DataObject, alpha: float) -> None:
    """Clopper and Pearson's definition, in exact arithmetic."""
    successes = data.draw(st.integers(0, n))
    low, high = finite(share(successes, n, alpha=alpha).interval())
    if successes > 0:
        assert float(binomial_tail(successes, n, Fraction(low))) == pytest.approx(alpha / 2, rel=1e-6)
    if successes < n:
        assert float(1 - binomial_tail(successes + 1, n, Fraction(high))) == pytest.approx(alpha / 2, rel=1e-6)


def test_more_successes_raise_both_limits_and_more_pairs_narrow_them() -> None:
    for one, other in itertools.pairwise([finite(share(k, 25).interval()) for k in range(26)]):
        assert one[0] < other[0] or one == (0.0, one[1])
        assert one[1] < other[1] or other[1] == 1.0
    assert np.diff(share(30, 40).interval()) < np.diff(share(3, 4).interval())


@settings(deadline=None, max_examples=50)
@given(st.integers(1, 60), st.data(), st.floats(0, 1))
def test_a_claim_about_a_share_is_decided_as_its_limits_say(n: int, data: st.DataObject, threshold: float) -> None:
    found = share(data.draw(st.integers(0, n)), n)
    low, high = finite(found.interval())
    above, below = low > threshold, high < threshold
    expected = "supported" if above else "refuted" if below else "inconclusive"
    assert found.decide(">", threshold) == found.decide(">=", threshold) == expected
    assert found.decide("<", threshold) == MIRRORED_DECISION[expected]
    assert found.decide_within(-1, threshold) == ("supported" if below else "refuted" if above else "inconclusive")


MIRRORED_DECISION = {"supported": "refuted", "refuted": "supported", "inconclusive": "inconclusive"}


def test_a_large_share_is_bounded_without_overflow() -> None:
    low, high = finite(share(19_000, 20_000).interval())
    assert (low, high) == pytest.approx((0.9469, 0.9530), abs=2e-4)
