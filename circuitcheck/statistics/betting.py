"""Bets against a hypothesis, one for every pair that comes in: what the evidence rests on where it is a sample.

    >>> log_wealth(np.full(64, 0.3), reach=2.0)[-1] > math.log(2 / 0.05)     # "the mean is at most 0" is given up
    True

Somebody who bets on every pair, at odds that would be fair if the mean were 0, gets rich with probability at most alpha
by a factor of 1 / alpha, however long he plays and whenever he stops (Ville 1939). So the hypothesis may be looked at
after every batch. The bets are a mixture of constant shares of the wealth, small shares for small effects and large ones
for large (Waudby-Smith & Ramdas 2024, section 4 and appendix, for means of bounded numbers, with and without replacement). A
mixture was chosen over bets that follow the running mean because it is the same whatever the order of a batch, needs no
tuning, and falls as the threshold rises, so that intervals by inversion hang together; what it costs is in
docs/explanation/evidence.md.
"""

import math
from bisect import bisect_left
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from circuitcheck.types import Floats

# Shares of the wealth that are bet, as parts of the most that cannot ruin; each has the same part of the first stake.
_SHARES = (1 / 50, 1 / 12, 1 / 3, 0.95)
_SMALL = 1e-9


def log_wealth(numbers: "Floats", reach: float, size: int | None = None) -> "Floats":
    """The logarithm of the wealth after each number, of the shape of ``numbers`` [..., draw].

    The hypothesis is that their mean is at most 0; no number is under ``-reach``. ``size``: the numbers are drawn
    without replacement from so many (None: with replacement, or from endlessly many). Raises ``ValueError`` for numbers
    under ``-reach``.
    """
    if bool((numbers < -reach - _SMALL * max(1.0, abs(reach))).any()):
        raise ValueError(f"a number lies under {-reach:g}, which a bet on it cannot survive")
    if size is None:
        won = numbers / max(reach, _SMALL)
    else:
        before = np.cumsum(numbers, axis=-1) - numbers
        fair = -before / (size - np.arange(numbers.shape[-1]))
        won = (numbers - fair) / (max(reach, _SMALL) + np.maximum(fair, 0.0))
    with np.errstate(over="ignore"):  # what is beyond all numbers has won, and stays so
        wealth = sum(np.cumprod(1 + share * won, axis=-1) for share in _SHARES) / len(_SHARES)
    logs: Floats = np.log(wealth)
    return logs


def pairs_at_least(number: float, reach: float, level: float) -> int:
    """How many draws of one number it takes to give up at a level that their mean is at most 0: others of the same mean take
    more."""

    def is_enough(n: int) -> bool:
        logs = [n * math.log1p(share * number / reach) for share in _SHARES]
        return float(np.logaddexp.reduce(logs)) >= math.log(len(_SHARES) / level)

    most = 1
    while not is_enough(most):
        most *= 2
    return bisect_left(range(most + 1), True, key=is_enough)


def narrowest(n: int, reach: float, level: float, size: int | None) -> float:
    """The smallest number of which so many draws give up at a level that their mean is at most 0."""
    low, high = 0.0, reach
    for _ in range(30):
        middle = (low + high) / 2
        enough = log_wealth(np.full(n, middle), reach, size).max() >= math.log(1 / level)
        low, high = (low, middle) if enough else (middle, high)
    return high


def average(wealths: "Sequence[Floats]") -> "Floats":
    """The log of the mean wealth of bets on several orders, after each number; a shorter one stays as it ended."""
    if len(wealths) == 1:
        return wealths[0]
    longest = max(map(len, wealths))
    logs = np.stack([np.pad(wealth, (0, longest - len(wealth)), mode="edge") for wealth in wealths])
    mean: Floats = np.logaddexp.reduce(logs, axis=0) - math.log(len(wealths))
    return mean


def pairs_needed(wealth: "Floats", alpha: float) -> int | None:
    """How many draws a hypothesis would take to be given up if wealth went on growing as it has; None if it did not grow."""
    reached = float(wealth[-1]) if len(wealth) else 0.0
    if reached <= 0:
        return None
    return math.ceil(len(wealth) * math.log(1 / alpha) / reached)
