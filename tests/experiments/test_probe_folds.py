"""What a probe is read of: folds without a filler in common, and classes that count alike."""

from typing import Any

import numpy as np
import pytest

from circuitcheck.experiments.probing.fits import by_group, held_out
from circuitcheck.statistics.evidence import Evidence
from circuitcheck.types import Floats


def test_no_filler_is_in_two_folds(monkeypatch: pytest.MonkeyPatch) -> None:
    from circuitcheck.experiments.probing import fits

    seen: list[tuple[set[float], set[float]]] = []

    class Watching:
        def __init__(self, real: Any):
            self.real = real

        def predict(self, features: Floats) -> Any:
            seen[-1] = (seen[-1][0], set(features[:, 0]))
            return self.real.predict(features)

    real = fits.fitted

    def fitted(features: Floats, labels: Any) -> Any:
        seen.append((set(features[:, 0]), set()))
        return Watching(real(features, labels))

    monkeypatch.setattr(fits, "fitted", fitted)
    groups = np.repeat(np.arange(10), 3)
    features = np.column_stack([groups, np.random.default_rng(0).normal(size=30)]).astype(float)
    held_out(features, groups % 2, groups, 0)
    assert len(seen) == 5
    assert not any(fitted_to & read for fitted_to, read in seen)
    assert set.union(*(read for _, read in seen)) == set(range(10))


def test_every_class_counts_alike_and_every_filler_within_it() -> None:
    """Also where a filler has prompts of both classes, and as many of them as it likes."""
    right = np.array([1, 1, 0, 1, 0, 0, 1.0])
    labels = np.array([0, 0, 0, 1, 1, 0, 1])
    groups = np.array([0, 0, 1, 1, 2, 2, 3])
    # Class 0: 1, 0 and 0 in the groups 0, 1 and 2; class 1: 1, 0 and 1 in the groups 1, 2 and 3.
    numbers = by_group(right, labels, groups)
    assert numbers.mean() == pytest.approx((1 / 3 + 2 / 3) / 2)
    assert numbers == pytest.approx(np.array([1, 1, 0, 1]) * 4 / (2 * 3))


def test_labels_that_are_rare_do_not_make_an_accuracy() -> None:
    """What always says the common class has a balanced accuracy of one half, and its interval holds it."""
    labels = np.array([0] * 40 + [1] * 10)
    numbers = by_group((labels == 0).astype(float), labels, np.arange(50))
    order = np.random.default_rng(0).permutation(50)
    limits = (0.0, float(by_group(np.ones(50), labels, np.arange(50)).max()))
    evidence = Evidence(numbers[order], np.ones(50), False, limits=limits, clusters=True)
    assert evidence.estimate == pytest.approx(0.5)
    assert not evidence.above(0.5)
    assert not evidence.below(0.5)
