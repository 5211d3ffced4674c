"""What those that were drawn say of all that they were drawn from: how many of these may be ahead.

>>> most_ahead(0, drawn=8, there=47, level=0.025)     # none of 8 drawn is ahead: of all 47 there may be up to
16
"""

import math
from bisect import bisect_left


def most_ahead(ahead: int, drawn: int, there: int, level: float) -> int:
    """How many of all may be ahead where at most ``ahead`` of those drawn are: the largest number under which so few in the
    draw have a probability above ``level`` (the hypergeometric distribution)."""
    possible = range(
        ahead, there + 1
    )  # the more of all are ahead, the less likely it is that so few of those drawn are
    return possible[bisect_left(possible, True, key=lambda of_all: _at_most(ahead, of_all, drawn, there) <= level) - 1]


def fewest_ahead(ahead: int, drawn: int, there: int, level: float) -> int:
    """How many of all are ahead at least where ``ahead`` of those drawn are: the smallest number under which so many in the
    draw have a probability above ``level``."""
    if not ahead:
        return 0
    possible = range(ahead, there + 1)
    return possible[
        bisect_left(possible, True, key=lambda of_all: 1 - _at_most(ahead - 1, of_all, drawn, there) > level)
    ]


def largest_share(ahead: int, drawn: int, level: float) -> float:
    """The share of endlessly many that may be ahead where at most ``ahead`` of those drawn are (Clopper & Pearson)."""
    from scipy.stats import beta

    return 1.0 if ahead >= drawn else float(beta.ppf(1 - level, ahead + 1, drawn - ahead))


def _at_most(seen: int, of_all: int, drawn: int, there: int) -> float:
    """The probability that so few of those drawn are ahead, where so many of all are."""
    ways = sum(math.comb(of_all, one) * math.comb(there - of_all, drawn - one) for one in range(seen + 1))
    return ways / math.comb(there, drawn)
