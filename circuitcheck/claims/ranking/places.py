"""Places among others, 1 for the first: what they may be compared with.

assert effect.rank_within("L9.H*") <= 3
assert model.congruence("L31.N892", " an").rank_among_neurons == 1
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING, Literal, NoReturn

import numpy as np

from circuitcheck.errors import ComparisonError

if TYPE_CHECKING:
    from circuitcheck.claims.verdicts import Verdict

RankOperator = Literal["==", "<="]
# Whether a claim may be true, or surely is, where a rank lies between a lowest and a highest.
Holds = Callable[[int, int], bool]


class AnyRank(ABC):
    """A place that is found out when it is compared: ``== 1``, or ``<=`` some number."""

    def __eq__(self, rank: object) -> "Verdict":  # type: ignore[override]
        wanted = _whole(rank)
        return self._verdict("==", wanted, lambda low, high: low <= wanted <= high, lambda low, high: low == high)

    def __le__(self, rank: int) -> "Verdict":
        wanted = _whole(rank)
        return self._verdict("<=", wanted, lambda low, high: low <= wanted, lambda low, high: high <= wanted)

    def __lt__(self, rank: object) -> NoReturn:
        raise ComparisonError("a rank is 1 for the largest: claim that it is == 1, or <= some number")

    __gt__ = __ge__ = __lt__

    def __ne__(self, rank: object) -> NoReturn:
        raise ComparisonError("'!=' says nothing about a rank: claim that it is == 1, or <= some number")

    def __bool__(self) -> NoReturn:
        raise ComparisonError("a rank is a number, not a claim: compare it, as in `assert rank == 1`")

    __hash__ = None  # type: ignore[assignment]

    @abstractmethod
    def _verdict(self, operator: RankOperator, wanted: int, possible: Holds, certain: Holds) -> "Verdict":
        """The verdict of a comparison with the rank ``wanted``."""


def _whole(rank: object) -> int:
    if isinstance(rank, bool | np.timedelta64) or not isinstance(rank, int | np.integer) or rank < 1:
        raise ComparisonError(f"a rank is a whole number from 1 on, not {rank!r}")
    return int(rank)
