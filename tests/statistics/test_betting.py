"""Bets: against a plain loop, against Ville's inequality, and against what takes their place elsewhere."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from circuitcheck.statistics import betting
from circuitcheck.statistics.betting import log_wealth, pairs_needed

SHARES = (1 / 50, 1 / 12, 1 / 3, 0.95)


def played(numbers: list[float], reach: float, size: int | None) -> list[float]:
    """The wealth after each number, played out by hand."""
    purses, history = [1.0 / len(SHARES)] * len(SHARES), []
    for turn, number in enumerate(numbers):
        fair = 0.0 if size is None else -sum(numbers[:turn]) / (size - turn)
        most = 1 / (reach + max(fair, 0.0))
        purses = [purse * (1 + share * most * (number - fair)) for purse, share in zip(purses, SHARES, strict=True)]
        history.append(math.log(sum(purses)))
    return history


@settings(deadline=None)
@given(st.lists(st.floats(-1, 1), min_size=1, max_size=30), st.sampled_from([None, 30, 31, 500]))
def test_wealth_is_what_a_plain_loop_makes_of_it(numbers: list[float], size: int | None) -> None:
    assert log_wealth(np.array(numbers), 1.0, size) == pytest.approx(played(numbers, 1.0, size), abs=1e-9)


@pytest.mark.parametrize("size", [None, 400, 130])
@pytest.mark.parametrize("kind", ["symmetric", "rare loss", "rare gain"])
def test_nobody_gets_rich_at_fair_odds(size: int | None, kind: str) -> None:
    """Ville: wealth ever reaches 20 with a chance of at most 1 in 20; four standard deviations of 4,000 games are 1.4 %."""
    random, games, n = np.random.default_rng(1), 4000, 128
    if kind == "symmetric":
        numbers = random.choice([-0.4, 0.4], (games, size or n))
    else:
        numbers = np.where(random.random((games, size or n)) < 0.1, -0.9, 0.1)
        numbers = -numbers if kind == "rare gain" else numbers
    if size is not None:  # a population of mean 0, in random order
        numbers = random.permuted(numbers - numbers.mean(axis=1, keepdims=True), axis=1)
    wealth = log_wealth(numbers[:, :n], 1.0 + (0.2 if size else 0.0), size)
    assert (wealth >= math.log(20)).any(axis=1).mean() <= 0.05 + 0.014


def test_many_games_at_once_are_the_same_as_one_by_one() -> None:
    numbers = np.random.default_rng(0).uniform(-1, 1, (5, 40))
    together = log_wealth(numbers, 1.0, 100)
    assert together == pytest.approx(np.stack([log_wealth(row, 1.0, 100) for row in numbers]))


def test_how_many_more_it_takes_is_told_from_how_it_went() -> None:
    numbers = np.full(10, 0.1)
    needed = pairs_needed(log_wealth(numbers, 1.0), 0.025)
    assert needed is not None
    assert log_wealth(np.full(needed, 0.1), 1.0)[-1] > math.log(40)
    assert pairs_needed(log_wealth(-numbers, 1.0), 0.025) is None
    assert betting.pairs_needed(np.array([]), 0.05) is None
