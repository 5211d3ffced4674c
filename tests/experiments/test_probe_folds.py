"""What a probe is read of: folds without a filler in common, and classes that count alike."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from circuitcheck.experiments.probing import fits
from circuitcheck.experiments.probing.fits import by_group, held_out
from circuitcheck.records.store import Store
from circuitcheck.sampling.remembered import Remembered
from circuitcheck.statistics.evidence import Evidence
from circuitcheck.types import Floats


def test_no_filler_is_in_two_folds(monkeypatch: pytest.MonkeyPatch) -> None:
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


def test_a_fit_is_made_once_and_again_for_other_labels_features_or_seeds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fit that is remembered is that of the same numbers, by whichever process."""
    draw = np.random.default_rng(0)
    features, labels, groups = draw.normal(size=(20, 3)), np.arange(20) % 2, np.arange(20) // 2

    def of_model(fingerprint: str) -> fits.Fits:
        return fits.Fits(Remembered(Store(tmp_path / "store.sqlite"), fingerprint, "cpu"))

    first = of_model("a" * 16)
    right, basis = first.held_out(features, labels, groups, 0), first.basis(features, labels)
    assert np.array_equal(right, held_out(features, labels, groups, 0))

    def refuse(*_: object) -> Any:
        raise AssertionError("fitted again")

    with monkeypatch.context() as patched:
        patched.setattr(fits, "fitted", refuse)
        again = of_model("a" * 16)
        assert np.array_equal(again.held_out(features, labels, groups, 0), right)
        assert np.array_equal(again.basis(features, labels), basis)
        others = [
            (features + 1e-12, labels, groups, 0),
            (features, 1 - labels, groups, 0),
            (features, labels, groups, 1),
        ]
        for given in others:
            with pytest.raises(AssertionError, match="fitted again"):
                again.held_out(*given)
        with pytest.raises(AssertionError, match="fitted again"):
            of_model("b" * 16).held_out(features, labels, groups, 0)
        changed = Remembered(Store(tmp_path / "store.sqlite"), "a" * 16, "cpu")
        changed.off = True
        with pytest.raises(AssertionError, match="fitted again"):
            fits.Fits(changed).held_out(features, labels, groups, 0)
