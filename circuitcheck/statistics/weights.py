"""Means over pairs of which some count more often than others."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

import numpy as np

if TYPE_CHECKING:
    from circuitcheck.types import Floats


class Weighted(Protocol):
    """What counts ``weight`` times."""

    @property
    def weight(self) -> float: ...


class HasWeight(Protocol):
    """What was made of something that counts several times."""

    @property
    def pair(self) -> Weighted: ...


def weights_of(pairs: Sequence[HasWeight]) -> "Floats | None":
    """How much each pair counts, of shape [pair]; None where all count alike."""
    weights: Floats = np.array([pair.pair.weight for pair in pairs])
    return None if (weights == weights[:1]).all() else weights


def mean_over(pairs: Sequence[HasWeight], numbers: "Floats") -> "Floats":
    """The mean over pairs of numbers of shape [..., pair], as often as each counts; of shape [...]."""
    mean: Floats = np.asarray(np.average(numbers, axis=-1, weights=weights_of(pairs)))
    return mean
