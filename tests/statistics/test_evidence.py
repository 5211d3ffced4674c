"""The statistics, against closed forms, brute force and simulation."""

import itertools
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from circuitcheck.errors import MethodError
from circuitcheck.prompts.aligned_pairs import AlignedPair
from circuitcheck.prompts.pairs import Pair, Prompt, Segment
from circuitcheck.statistics.betting import log_wealth
from circuitcheck.statistics.clusters import clusters
from circuitcheck.statistics.evidence import Decision, Evidence, Operator, Order
from tests.conftest import each

OPERATORS: list[Operator] = [">", ">=", "<", "<="]
MIRRORED: dict[Operator, Operator] = {">": "<", ">=": "<=", "<": ">", "<=": ">="}


def evidence(
    shift: object, base: object = None, whole: bool = False, alpha: float = 0.05, size: int | None = None, **more: Any
) -> Evidence:
    shifts = np.asarray(shift, dtype=float)
    bases = np.ones(len(shifts)) if base is None else np.asarray(base, dtype=float)
    order = Order(tuple(range(len(shifts))), len(shifts), size)
    return Evidence(shifts, bases, whole, alpha, order=order, **more)


def share(successes: int, n: int, whole: bool = False, alpha: float = 0.05, size: int | None = None) -> Evidence:
    shuffled = np.random.default_rng(n).permutation([1.0] * successes + [0.0] * (n - successes))
    return evidence(shuffled, whole=whole, alpha=alpha, size=size, limits=(0.0, 1.0))


def sampled(seed: int, n: int = 200, gap: float = 2.0, part: float = 0.4) -> Evidence:
    """Pairs with a gap of about ``gap``, of which about ``part`` is shifted."""
    random = np.random.default_rng(seed)
    base = gap * random.gamma(16, 1 / 16, n)
    return evidence(part * base + random.normal(0, 0.5, n), base, scale=gap)


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
samples = st.builds(sampled, st.integers(0, 10**6), st.integers(60, 300), st.floats(1.5, 4), st.floats(-1, 1))
FEW = settings(deadline=None, max_examples=40)


@FEW
@given(samples, thresholds)
def test_a_comparison_is_decided_as_the_interval_says(found: Evidence, threshold: float) -> None:
    low, high = found.interval()
    low, high = -math.inf if low is None else low, math.inf if high is None else high
    assert low < found.estimate < high
    assume(min(abs(threshold - low), abs(threshold - high)) > 1e-6)
    above, below = threshold < low, threshold > high
    for operator in OPERATORS:
        holds, fails = (above, below) if operator in (">", ">=") else (below, above)
        expected = "supported" if holds else "refuted" if fails else "inconclusive"
        assert found.decide(operator, threshold) == expected


@FEW
@given(samples, thresholds, st.floats(0.01, 2))
def test_an_equivalence_is_decided_as_the_interval_says(found: Evidence, middle: float, margin: float) -> None:
    low, high = found.interval()
    low, high = -math.inf if low is None else low, math.inf if high is None else high
    ends = (middle - margin, middle + margin)
    assume(min(abs(end - limit) for end in ends for limit in (low, high)) > 1e-6)
    inside, outside = ends[0] < low and high < ends[1], high < ends[0] or low > ends[1]
    expected = "supported" if inside else "refuted" if outside else "inconclusive"
    assert found.decide_within(*ends) == expected


@FEW
@given(samples, thresholds)
def test_the_opposite_claim_has_the_opposite_fate(found: Evidence, threshold: float) -> None:
    turned = evidence(-found.shift, found.base, scale=found.scale)
    for operator in OPERATORS:
        assert turned.decide(MIRRORED[operator], -threshold) == found.decide(operator, threshold)


@FEW
@given(samples, thresholds)
def test_what_is_decided_stays_decided_whatever_comes_later(found: Evidence, threshold: float) -> None:
    """Stopping early is part of the account: more pairs narrow the interval, and never widen it."""
    assume(found.clipped(threshold) == (0, 0))
    n = len(found.shift) // 2
    half = evidence(found.shift[:n], found.base[:n], scale=found.scale)
    assert half.decide(">", threshold) in ("inconclusive", found.decide(">", threshold))


def test_a_smaller_error_rate_widens_the_interval() -> None:
    widths = []
    for alpha in (0.2, 0.05, 0.001):
        low, high = finite(evidence(sampled(1).shift, sampled(1).base, alpha=alpha, scale=2.0).interval())
        widths.append(high - low)
    assert widths == sorted(widths)


def test_a_share_of_what_may_be_nothing_is_unbounded() -> None:
    found = evidence(np.random.default_rng(0).normal(0, 1, 30), np.random.default_rng(1).normal(0, 1, 30))
    assert found.interval() == (None, None)


def test_a_single_pair_of_a_larger_population_decides_nothing_and_warns_of_nothing() -> None:
    found = evidence([5.0], [1.0])
    assert found.interval() == (None, None)
    assert decisions(found, 0.0) == ["inconclusive"] * 4
    assert found.decide_within(-10, 10) == "inconclusive"


def test_an_undecided_claim_says_how_many_pairs_it_may_take() -> None:
    found = sampled(3, n=60)
    needed = found.needed(0.3)
    assert found.decide(">", 0.3) == "inconclusive"
    assert needed is not None
    assert sampled(3, n=4 * needed).decide(">", 0.3) == "supported"
    assert found.needed(found.estimate + 1e-6) is None or found.needed(found.estimate + 1e-6) > 10_000  # type: ignore[operator]


# A sample without replacement


def test_a_population_that_is_all_but_exhausted_is_all_but_exact() -> None:
    shift = np.random.default_rng(0).normal(0.4, 0.2, 400)
    widths = []
    for size in (None, 800, 402):
        low, high = finite(evidence(shift, size=size).interval())
        widths.append(high - low)
    assert widths == sorted(widths, reverse=True)
    assert widths[-1] < widths[0] / 3


def test_pairs_that_could_not_be_used_leave_the_sign_of_the_mean_as_it_is() -> None:
    """Zeros at the places of unusable pairs: hardly any difference, and none in what the population's mean is."""
    shift = np.random.default_rng(0).normal(0.4, 0.2, 100)
    places = tuple(range(0, 200, 2))
    found = Evidence(shift, np.ones(100), False, order=Order(places, 199, 400))
    without = evidence(shift, size=200)
    assert found.interval() == pytest.approx(without.interval(), abs=0.02)


# A sample: counts


@FEW
@given(st.integers(1, 60), st.data(), st.floats(0, 1), st.sampled_from([None, 60, 200]))
def test_a_claim_about_a_share_is_decided_as_its_limits_say(
    n: int, data: st.DataObject, threshold: float, size: int | None
) -> None:
    found = share(data.draw(st.integers(0, n)), n, size=size)
    low, high = finite(found.interval())
    assert 0 <= low <= high <= 1
    assume(min(abs(threshold - low), abs(threshold - high)) > 1e-6)
    above, below = low > threshold, high < threshold
    expected = "supported" if above else "refuted" if below else "inconclusive"
    assert found.decide(">", threshold) == found.decide(">=", threshold) == expected
    assert found.decide("<", threshold) == MIRRORED_DECISION[expected]


MIRRORED_DECISION = {"supported": "refuted", "refuted": "supported", "inconclusive": "inconclusive"}


def test_one_failure_refutes_that_there_is_none() -> None:
    assert share(31, 32).decide(">=", 1.0) == "refuted"
    assert share(32, 32).decide(">=", 1.0) == "inconclusive"
    assert share(1, 32).decide("<=", 0.0) == "refuted"


def test_a_share_is_decided_by_a_few_dozen_pairs() -> None:
    assert share(48, 48).decide(">", 0.9) == "supported" or share(64, 64).decide(">", 0.9) == "supported"
    assert share(32, 64).decide(">", 0.9) == "refuted"


# New templates and fillers


@pytest.mark.parametrize("clusters", each([6, 8, 12, 40], (6,)))
def test_what_is_bounded_is_bet_on_where_the_statement_is_about_new_ones(clusters: int) -> None:
    """Of six templates that are all right, 5 % of others may well be wrong: Student's t on numbers that do not scatter
    would pass that half of the time."""
    random = np.random.default_rng(clusters)
    for share in (0.9, 0.5):
        wrong = 0
        for _ in range(2000):
            accuracies = (random.random(clusters) < share).astype(float)
            found = Evidence(accuracies, np.ones(clusters), whole=False, limits=(0.0, 1.0), clusters=True)
            wrong += found.above(share) or found.below(share)
        assert wrong / 2000 < 0.05
    sure = Evidence(np.ones(clusters), np.ones(clusters), whole=False, limits=(0.0, 1.0), clusters=True)
    assert sure.decide(">", 0.95) == "inconclusive"
    assert sure.decide(">", 0.5) == ("supported" if clusters > 6 else "inconclusive")


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_the_interval_and_the_decisions_agree_where_some_gaps_are_negative(seed: int) -> None:
    random = np.random.default_rng(seed)
    base = random.normal(1, 0.6, 128)
    found = Evidence(0.6 * base + random.normal(0, 0.2, 128), base, whole=False)
    low, high = found.interval()
    for threshold in (-10.0, -3.0, 0.0, 0.4, 0.55, 0.6, 0.65, 0.8, 1.5, 4.0, 20.0):
        decision = found.decide(">", threshold)
        assert (decision == "supported") == (low is not None and threshold <= low)
        assert (decision == "refuted") == (high is not None and threshold >= high)


def test_numbers_in_doubt_speak_for_neither_side() -> None:
    shift, doubt = np.array([1.0, 1.0, 0.5, 0.0]), np.array([0.0, 0.0, 0.5, 0.0])
    found = Evidence(shift, np.ones(4), whole=True, limits=(0.0, 1.0), doubt=doubt)
    assert found.interval() == (0.5, 0.75)
    assert not found.is_exact
    assert [found.decide(">", t) for t in (0.4, 0.5, 0.6, 0.75)] == [
        "supported",
        "inconclusive",
        "inconclusive",
        "inconclusive",
    ]
    assert [found.decide(">=", t) for t in (0.76, 0.4)] == ["refuted", "supported"]


def test_a_bet_on_numbers_beyond_its_reach_is_an_error() -> None:
    with pytest.raises(ValueError, match="under -1"):
        log_wealth(np.array([0.5, -1.5]), reach=1.0)


def test_fillers_that_share_one_count_once() -> None:
    """Additive effects of clean and corrupted fillers: 36 crossed cells are six couples' worth of news."""
    random, wrong = np.random.default_rng(0), 0
    pairs = [crossed(clean, corrupt) for clean in range(6) for corrupt in range(6)]
    groups = clusters(pairs, "x")
    assert len(groups.rows) == 6
    assert (
        len({name.split(" / ")[0] for name in groups.rows}) == len({name.split(" / ")[1] for name in groups.rows}) == 6
    )
    for _ in range(2000):
        cells = (random.normal(size=6)[:, None] + random.normal(size=6)[None, :]).ravel()
        found = Evidence(groups.means(cells), np.ones(6), whole=False, clusters=True)
        wrong += found.above(0.0) or found.below(0.0)
    assert wrong / 2000 < 0.065
    with pytest.raises(MethodError, match="5 are too few .* no two have a filler in common"):
        clusters([crossed(clean, corrupt) for clean in range(5) for corrupt in range(50)], "x")


def crossed(clean: int, corrupt: int) -> AlignedPair:
    fillers = (("x", f"clean {clean}", f"corrupt {corrupt}"),)
    pair = Pair(Prompt((Segment(f"{clean}"),)), Prompt((Segment(f"{corrupt}"),)), ("a",), (), fillers)
    return AlignedPair(pair, (clean,), (corrupt + 100,), (1,), (), (0,), ("x",))


# What is looked at once


LOOKED_AT_ONCE: dict[str, dict[str, Any]] = {
    "clusters' accuracies": {"clusters": True, "limits": (0.0, 1.0)},
    "differences of accuracies": {"clusters": True, "limits": (-1.0, 1.0)},
    "clusters' effects": {"clusters": True},
    "pairs of two locks": {"bound": 0.2},
    "shares of a whole population's drawn pairs": {"limits": (0.0, 1.0)},
}


@pytest.mark.parametrize("kind", LOOKED_AT_ONCE)
@given(seed=st.integers(0, 10**6), n=st.integers(6, 60), threshold=st.floats(0.05, 0.95), ordered=st.booleans())
@settings(max_examples=40, deadline=None)
def test_what_is_looked_at_once_has_no_order(kind: str, seed: int, n: int, threshold: float, ordered: bool) -> None:
    random = np.random.default_rng(seed)
    numbers = (random.random(n) < random.random()).astype(float) * random.choice([1.0, 0.9, 0.5], n)
    other = np.sort(numbers)[::-1] if ordered else random.permutation(numbers)
    one, two = (Evidence(some, np.ones(n), False, **LOOKED_AT_ONCE[kind]) for some in (numbers, other))
    assert one.interval() == pytest.approx(two.interval(), abs=1e-6, nan_ok=True)
    low, high = one.interval()
    assert low is None or low <= one.estimate + 1e-9
    assert high is None or high >= one.estimate - 1e-9
    assert one.e_value(1, threshold) == pytest.approx(two.e_value(1, threshold), rel=1e-6)
    if all(end is None or abs(threshold - end) > 1e-6 for end in (low, high)):
        assert decisions(one, threshold) == decisions(two, threshold)


def test_a_right_half_before_a_wrong_half_is_a_half() -> None:
    in_order = Evidence(np.r_[np.ones(20), np.zeros(20)], np.ones(40), False, 0.05, (0.0, 1.0), clusters=True)
    assert decisions(in_order, 0.6) == ["inconclusive"] * 4
    low, high = finite(in_order.interval())
    assert low < 0.5 < high


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.9])
def test_what_is_looked_at_once_is_seldom_wrong(rate: float) -> None:
    """20,000 simulated claims at the truth, on 6 to 40 clusters: at most alpha / 2 = 2.5 % are wrong on either side."""
    random = np.random.default_rng(0)
    for n in (6, 12, 40):
        right = (random.random((20_000, n)) < rate).astype(float)
        for side in (1, -1):
            reach = rate if side == 1 else 1 - rate
            wrong = log_wealth(side * (right - rate), reach)[:, -1] >= math.log(2 / 0.05)
            assert wrong.mean() < 0.025
            spoken = [Evidence(some, np.ones(n), False, limits=(0.0, 1.0), clusters=True) for some in right[:20]]
            said = [one.above(rate) if side == 1 else one.below(rate) for one in spoken]
            assert said == wrong[:20].tolist()


def test_nothing_lies_beyond_its_limits_even_where_pairs_were_rejected() -> None:
    """All numbers at their upper limit, and a draw that could not be used, which counts as a zero in between."""
    order = Order(tuple(place for place in range(64) if place != 5), 64, 900)
    found = Evidence(np.ones(63), np.ones(63), whole=False, limits=(-1.0, 1.0), order=order)
    low, high = finite(found.interval())
    assert 0.8 < low < high == 1
    assert [found.decide(operator, 1.5) for operator in ("<", ">")] == ["supported", "refuted"]
    assert found.decide(">", -1.5) == "supported"
    assert found.e_value(-1, 1.5) > 1e6
