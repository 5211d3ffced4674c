"""What was seen speaks: pairs beyond the clip, the estimate, and the pairs that were not seen."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from circuitcheck.statistics.betting import log_wealth
from circuitcheck.statistics.evidence import Evidence, Operator, Order

LOG_40 = np.log(40)


def drawn(shift: object, base: object = None, **more: Any) -> Evidence:
    shifts = np.asarray(shift, dtype=float)
    bases = np.ones(len(shifts)) if base is None else np.asarray(base, dtype=float)
    return Evidence(shifts, bases, False, order=Order(tuple(range(len(shifts))), len(shifts)), **more)


def with_some(worst: float, n: int = 200, at: int = 7) -> np.ndarray:
    shift = np.full(n, 0.5)
    shift[at] = worst
    return shift


@pytest.mark.parametrize("worst", [-30.0, -1e3, 1e3, 1e6])
def test_nothing_is_claimed_against_the_estimate(worst: float) -> None:
    """One pair in 200 is so far off that the mean lies on the other side of the threshold."""
    found = drawn(with_some(worst))
    operator: Operator = ">" if worst < 0 else "<"
    assert (found.estimate < 0.4) if worst < 0 else (found.estimate > 0.9)
    assert found.decide(operator, 0.4 if worst < 0 else 0.9) == "inconclusive"


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    n=st.integers(20, 200),
    threshold=st.floats(-2, 2),
    size=st.sampled_from([None, 300]),
    kind=st.sampled_from(["clipped", "share", "difference", "looked at once"]),
)
def test_no_verdict_contradicts_its_estimate_whatever_comes_last(
    seed: int, n: int, threshold: float, size: int | None, kind: str
) -> None:
    """First many pairs that speak for one side, then some that outweigh them."""
    random = np.random.default_rng(seed)
    if kind == "share":
        numbers, limits = (
            np.sort(random.random(n) < random.random()).astype(float)[:: random.choice([1, -1])],
            (0.0, 1.0),
        )
    elif kind == "difference":
        numbers, limits = np.sort(random.choice([-1.0, 0.0, 1.0], n)), (-1.0, 1.0)
    else:
        numbers, limits = np.r_[np.full(n, threshold + 0.5), random.standard_cauchy(n // 4) * 20], None
    order = None if kind == "looked at once" else Order(tuple(range(len(numbers))), len(numbers), size)
    found = Evidence(numbers, np.ones(len(numbers)), False, order=order, limits=limits)
    low, high = found.interval()
    assert low is None or low <= found.estimate
    assert high is None or high >= found.estimate
    assert found.decide(">", threshold) != ("supported" if found.estimate < threshold else "refuted")
    assert found.decide("<", threshold) != ("supported" if found.estimate > threshold else "refuted")


@pytest.mark.parametrize("worst", [-3.0, -5.0, -9.0, -17.0])
def test_the_bet_is_won_at_the_clip_and_at_its_multiples_up_to_the_largest_that_was_seen(worst: float) -> None:
    random = np.random.default_rng(0)
    verdicts = set()
    for n in range(20, 500, 20):
        shift = random.normal(0.5, 0.2, n)
        shift[3] = worst
        reaches = [2.0]
        while reaches[-1] < 0.1 - worst:
            reaches.append(2 * reaches[-1])
        won = [log_wealth(np.clip(shift - 0.1, -b, b), b).max() >= LOG_40 for b in reaches]
        expected = all(won) and shift.mean() > 0.1
        assert drawn(shift).above(0.1) == expected
        assert won[0] or not expected
        verdicts.add((won[0], expected))
    assert {(True, True), (True, False)} <= verdicts  # at the clip alone, more would have passed


def test_what_speaks_for_a_claim_needs_no_larger_bet() -> None:
    assert drawn(with_some(1e3, n=64)).decide(">", 0.1) == "supported"
    assert drawn(with_some(-1e3, n=64)).decide("<", 0.9) == "supported"


def test_one_in_a_hundred_at_minus_twenty_passes_less_often_than_at_the_clip_alone() -> None:
    """At the plain truth, where the good ones balance the bad: 300 claims at 384 pairs."""
    random, passed, at_the_clip = np.random.default_rng(0), 0, 0
    for _ in range(300):
        shift = np.where(random.random(384) < 0.01, -20.0, 20 * 0.01 / 0.99)
        passed += drawn(shift).above(0.0)
        at_the_clip += log_wealth(np.clip(shift, -2, 2), 2.0).max() >= LOG_40
    assert at_the_clip > 240
    assert passed < 24


def test_how_many_unseen_pairs_could_be_clipped_is_a_limit_that_holds() -> None:
    """80 samples of 48 pairs, of which a tenth lies beyond the clip: the limit misses that in at most one in 40."""
    random, missed = np.random.default_rng(1), 0
    for _ in range(80):
        shift = np.where(random.random(48) < 0.1, -5.0, 0.5)
        missed += drawn(shift).unseen(1, 0.4) < 0.1
    assert missed <= 7  # more than those come once in 1,000 times, if they come in one of 40
    none_seen = drawn(np.full(48, 0.5)).unseen(1, 0.4)
    assert 1 - 0.025 ** (1 / 48) < none_seen < 0.13  # no smaller than a limit that is looked at once
    assert drawn(np.full(480, 0.5)).unseen(1, 0.4) < none_seen / 5


@pytest.mark.parametrize("base", [1.0, -0.2])
def test_the_interval_says_what_comparisons_say_where_pairs_are_clipped(base: float) -> None:
    random = np.random.default_rng(2)
    bases = np.r_[np.ones(120), [base]]
    found = drawn(np.r_[random.normal(0.5, 0.2, 120), [-9.0]], bases)
    low, high = found.interval()
    assert low is not None
    assert high is not None
    assert low < found.estimate < high
    for threshold in np.linspace(-1, 2, 61):
        assert found.above(threshold) == (threshold <= low)
        assert found.below(threshold) == (threshold >= high)
