"""How often claims are wrong that rest on other draws than that of pairs: the mean gap of `pairs_above`, and rivals.

    >>> [one.false_pass for one in examine_all(Settings(), claims=20_000)]      # each at most alpha / 2

Each claim is simulated at its boundary, where it is false and every pass is an error, and made as a session makes it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from circuitcheck.claims.mean_bases import MeanBase
from circuitcheck.claims.ranking.shares import most_ahead
from circuitcheck.settings import Settings
from circuitcheck.statistics.evidence import Evidence, Order
from circuitcheck.statistics.reference_parts import SPENT

if TYPE_CHECKING:
    from circuitcheck.types import Floats

    Gaps = Callable[[np.random.Generator, int], Floats]

_GAP = 4.0
_LIMIT = 0.5
# Rivals of an address, of which so many are drawn.
_THERE, _DRAWN = 200, 20
_SCALE_PAIRS = 16

# How gaps scatter, in mean gaps.
GAPS: "dict[str, Gaps]" = {
    "scatter 0.25": lambda random, n: random.gamma(16.0, 1 / 16, n),
    "scatter 0.5": lambda random, n: random.gamma(4.0, 1 / 4, n),
    "lognormal, scatter 0.8": lambda random, n: np.exp(random.normal(-0.25, np.sqrt(0.5), n)),
}


@dataclass(frozen=True)
class Wrong:
    """The share of ``claims`` that passed, and of those that were refuted, at the boundary, each with its 99 % upper bound."""

    name: str
    words: str
    claims: int
    false_pass: float
    false_pass_upper: float
    false_refute: float
    false_refute_upper: float


def examine_all(settings: Settings, claims: int, seed: int = 0) -> list[Wrong]:
    """Every kind of claim."""
    found = [_wrong("pairs_above", words, pairs_above(gaps, settings), claims, seed) for words, gaps in GAPS.items()]
    found.append(_wrong("beats", "a tie with one of 8 rivals", beats(1, 8, settings), claims, seed))
    found.append(_wrong("beats", "ties with all of 8 rivals", beats(8, 8, settings), claims, seed))
    words = f"{_DRAWN} drawn of {_THERE} rivals, ties with one more than is claimed"
    found.append(_wrong("beats, n=20", words, beats_drawn(settings), claims, seed))
    return found


def pairs_above(gaps: "Gaps", settings: Settings) -> Callable[[np.random.Generator], int]:
    """A claim that more pairs have over half a mean gap than there are: each pair has half of its own gap."""
    many = gaps(np.random.default_rng(0), 2_000_000)
    truth = float((many > 1.0).mean())

    def decide(random: np.random.Generator) -> int:
        reference, n = _GAP * gaps(random, settings.reference), settings.budget
        base = mean_gap(reference, settings)
        shift = _LIMIT * _GAP * gaps(random, n)
        over = shift - _LIMIT * base.mean
        near = np.abs(over) <= base.doubt(_LIMIT)
        evidence = Evidence(
            np.where(near, 0.5, over > 0),
            np.ones(n),
            whole=False,
            alpha=settings.alpha,
            limits=(0.0, 1.0),
            order=Order(tuple(range(n)), n),
            doubt=near * 0.5,
            spent=base.spent,
        )
        return int(evidence.above(truth)) - int(evidence.below(truth))

    return decide


def mean_gap(reference: "Floats", settings: Settings) -> MeanBase:
    """The mean gap, as far as reference pairs say."""
    n = len(reference)
    low, high = Evidence(
        reference,
        np.ones(n),
        whole=False,
        alpha=SPENT * settings.alpha,
        order=Order(tuple(range(n)), n),
        scale=float(reference[:_SCALE_PAIRS].mean()),
        bound=settings.bound,
    ).interval()
    return MeanBase(
        float(reference.mean()), -np.inf if low is None else low, np.inf if high is None else high, spent=SPENT
    )


def beats(ties: int, rivals: int, settings: Settings) -> Callable[[np.random.Generator], int]:
    """A claim to be the first of so many, with some of which there is a tie, and the others are far behind."""

    def decide(random: np.random.Generator) -> int:
        found = [_difference(random, 0.0, settings) for _ in range(ties)]
        if all(_above(one, settings.alpha) for one in found):
            return 1
        return -int(any(_above(-one, settings.alpha / rivals) for one in found))

    return decide


def beats_drawn(settings: Settings) -> Callable[[np.random.Generator], int]:
    """A claim to be among the first of all, decided on those that were drawn: one more is not beaten than it says."""
    ahead = most_ahead(0, _DRAWN, _THERE, settings.alpha / 4) + 1

    def decide(random: np.random.Generator) -> int:
        ties = int((random.permutation(_THERE)[:_DRAWN] < ahead).sum())
        return int(all(_above(_difference(random, 0.0, settings), settings.alpha / 2) for _ in range(ties)))

    return decide


def _difference(random: np.random.Generator, mean: float, settings: Settings) -> "Floats":
    """What lies between two components' shifts in each pair, in mean gaps."""
    difference: Floats = random.normal(mean, 0.6, settings.budget)
    return difference


def _above(numbers: "Floats", alpha: float) -> bool:
    n = len(numbers)
    return Evidence(numbers, np.ones(n), False, alpha, order=Order(tuple(range(n)), n)).above(0.0)


def _wrong(name: str, words: str, decide: Callable[[np.random.Generator], int], claims: int, seed: int) -> Wrong:
    random = np.random.default_rng([seed, *f"{name} {words}".encode()])
    decisions = np.array([decide(random) for _ in range(claims)])
    passed, refuted = float((decisions == 1).mean()), float((decisions == -1).mean())
    return Wrong(name, words, claims, passed, _upper(passed, claims), refuted, _upper(refuted, claims))


def _upper(rate: float, n: int) -> float:
    """The one-sided 99 % upper bound of a rate (Clopper & Pearson)."""
    from scipy.stats import binomtest

    return float(binomtest(round(rate * n), n).proportion_ci(0.98).high)
