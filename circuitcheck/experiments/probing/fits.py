"""Fitting a linear probe and reading with it what it was not fitted to: scikit-learn, and numbers by group.

    fits = Fits(model.answers.remembered)
    fits.held_out(features, labels, groups, seed=0)     # of shape [row], 1 where a row is read rightly

A fit is remembered by all that goes into it: the features and labels themselves, and scikit-learn's version.
"""

import hashlib
from collections.abc import Callable, Iterator
from importlib.metadata import PackageNotFoundError
from typing import TYPE_CHECKING, Any

import numpy as np

from circuitcheck.engine.subspaces import spanned
from circuitcheck.errors import MethodError
from circuitcheck.experiments.probing.concepts import Numbers
from circuitcheck.sampling.remembered import Doing, Remembered, version

if TYPE_CHECKING:
    from circuitcheck.types import Floats

_FOLDS = 5


class Fits:
    """Fits of probes to the activations of one model, each made once."""

    def __init__(self, remembered: Remembered):
        self._remembered = remembered

    def held_out(self, features: "Floats", labels: Numbers, groups: Numbers, seed: int) -> "Floats":
        """See ``held_out``."""
        return self._once(
            "probe held out",
            (features, labels, groups, np.array(seed)),
            lambda: held_out(features, labels, groups, seed),
        )

    def chances(
        self,
        features: "Floats",
        labels: Numbers,
        groups: Numbers,
        seed: int,
        changed: "Floats",
        of: Numbers,
    ) -> "tuple[Floats, Floats]":
        """See ``held_out_chances``."""
        given = (features, labels, groups, np.array(seed), changed, of)
        both = self._once(
            "probe chances", given, lambda: np.concatenate(held_out_chances(*given[:3], seed, changed, of))
        )
        return both[: len(labels)], both[len(labels) :]

    def basis(self, features: "Floats", labels: Numbers) -> "Floats":
        """What a probe that is fitted to all rows reads by: orthonormal, of shape [width, rank], from the first class to the second, the
        span of all where there are more; of rank 0 where it reads nothing."""

        def fit() -> "Floats":
            scaler, regression = fitted(features, labels)
            weights: Floats = regression.coef_ / scaler.scale_
            if not weights.any():
                return weights[:0]
            return weights / np.linalg.norm(weights) if len(weights) == 1 else spanned(weights).T

        return self._once("probe basis", (features, labels), fit).reshape(-1, features.shape[1]).T

    def _once(self, what: str, given: "tuple[Floats | Numbers, ...]", fit: "Callable[[], Floats]") -> "Floats":
        doing, key = _doing(what), _digest(given)
        [known] = self._remembered.recall_arrays(doing, [key])
        if known is None:
            known = fit()
            self._remembered.keep_arrays(doing, [(key, known)])
        return known


def fitted(features: "Floats", labels: Numbers) -> Any:
    """A logistic regression on standardised features; where there is only one class, what says always that."""
    _see_that_it_is_there()
    from sklearn.dummy import DummyClassifier
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    if len(set(labels)) == 1:
        return DummyClassifier().fit(features, labels)
    regression = LogisticRegression(class_weight="balanced", max_iter=10_000)
    return make_pipeline(StandardScaler(), regression).fit(features, labels)


def held_out(features: "Floats", labels: Numbers, groups: Numbers, seed: int) -> "Floats":
    """Whether each row is read rightly, 1 or 0, by a probe that was fitted to other groups, in at most five folds that have
    as much of each class as can be."""
    right = np.zeros(len(labels))
    for others, these in _folds(features, labels, groups, seed):
        probe = fitted(features[others], labels[others])
        right[these] = probe.predict(features[these]) == labels[these]
    return right


def _folds(features: "Floats", labels: Numbers, groups: Numbers, seed: int) -> Iterator[tuple[Numbers, Numbers]]:
    """Rows to fit to and rows to read, which have no group in common."""
    _see_that_it_is_there()
    from sklearn.model_selection import StratifiedGroupKFold

    fewest = min(len(set(groups[labels == label])) for label in set(labels))
    folds = StratifiedGroupKFold(max(2, min(_FOLDS, fewest)), shuffle=True, random_state=seed)
    yield from folds.split(features, labels, groups)


def held_out_chances(
    features: "Floats", labels: Numbers, groups: Numbers, seed: int, changed: "Floats", of: Numbers
) -> "tuple[Floats, Floats]":
    """The probability that a probe which was fitted to other groups gives to a row's own class: at its features, of shape [row], and at those of
    what was made of it, ``changed`` [other, width], which are ``of`` some row, of shape [other]."""
    there, moved = np.zeros(len(labels)), np.zeros(len(of))
    for others, these in _folds(features, labels, groups, seed):
        probe = fitted(features[others], labels[others])
        mine = np.isin(of, these)
        there[these] = _chances(probe, features[these], labels[these])
        if mine.any():
            moved[mine] = _chances(probe, changed[mine], labels[of[mine]])
    return there, moved


def _chances(probe: Any, features: "Floats", labels: Numbers) -> "Floats":
    """Of each row's own class; 0 for one that the probe was not shown."""
    known = {label: column for column, label in enumerate(probe.classes_)}
    chances = probe.predict_proba(features)
    found: Floats = np.array(
        [row[known[label]] if label in known else 0.0 for row, label in zip(chances, labels, strict=True)]
    )
    return found


def by_group(right: "Floats", labels: Numbers, groups: Numbers) -> "Floats":
    """One number for each group, of shape [group], whose mean is the balanced accuracy: the mean over the classes of the mean
    over the groups that have it."""
    classes, numbers = np.unique(labels), np.zeros(groups.max() + 1)
    for label in classes:
        rows = labels == label
        counts = np.bincount(groups[rows], minlength=len(numbers))
        means = np.bincount(groups[rows], right[rows], len(numbers)) / np.maximum(counts, 1)
        numbers += means * len(numbers) / ((counts > 0).sum() * len(classes))
    return numbers


def _doing(what: str) -> Doing:
    """What is fitted by which library. Raises ``MethodError`` where it is not installed."""
    try:
        return what, *(f"{name} {version(name)}" for name in ("scikit-learn", "scipy", "numpy"))
    except PackageNotFoundError:
        raise _missing() from None


def _digest(given: "tuple[Floats | Numbers, ...]") -> bytes:
    """A hash of numbers, with their shapes."""
    found = hashlib.blake2b(digest_size=16)
    for array in given:
        found.update(f"{array.shape} {array.dtype}".encode())
        found.update(np.ascontiguousarray(array).tobytes())
    return found.digest()


def _see_that_it_is_there() -> None:
    try:
        import sklearn  # noqa: F401
    except ModuleNotFoundError:
        raise _missing() from None


def _missing() -> MethodError:
    return MethodError("probes are fitted by scikit-learn: pip install 'circuitcheck[probes]'")
