"""Shares of what either is so or not, from how many of so many are: exact limits (Clopper & Pearson 1934).

>>> lower_limit(12, 12, 0.025)     # twelve of twelve new templates: at least this share of all, at 97.5 %
0.735...
"""

import math


def speaks_above(count: int, n: int, share: float, level: float) -> bool:
    """Whether ``count`` of ``n`` or more would come with a probability of at most ``level``, were the share at most ``share``."""
    from scipy.special import betainc

    if count == 0 or share >= 1:
        return False
    return share < 0 or float(betainc(count, n - count + 1, share)) <= level


def lower_limit(count: int, n: int, level: float) -> float:
    """The largest share that ``count`` of ``n`` speak against at a level."""
    from scipy.special import betaincinv

    return float(betaincinv(count, n - count + 1, level)) if count else 0.0


def surely_shown(share: float, level: float) -> int:
    """How many draws have one of a ``share`` among them but with a probability of ``level``."""
    return math.ceil(math.log(level) / math.log1p(-share))
