"""Fitting a linear probe and reading with it what it was not fitted to: scikit-learn, and numbers by group."""

from typing import TYPE_CHECKING, Any

import numpy as np

from circuitcheck.errors import MethodError
from circuitcheck.experiments.probing.concepts import Numbers

if TYPE_CHECKING:
    from circuitcheck.types import Floats

_FOLDS = 5


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
    _see_that_it_is_there()
    from sklearn.model_selection import StratifiedGroupKFold

    right = np.zeros(len(labels))
    fewest = min(len(set(groups[labels == label])) for label in set(labels))
    folds = StratifiedGroupKFold(max(2, min(_FOLDS, fewest)), shuffle=True, random_state=seed)
    for others, these in folds.split(features, labels, groups):
        probe = fitted(features[others], labels[others])
        right[these] = probe.predict(features[these]) == labels[these]
    return right


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


def _see_that_it_is_there() -> None:
    try:
        import sklearn  # noqa: F401
    except ModuleNotFoundError:
        raise MethodError("probes are fitted by scikit-learn: pip install 'circuitcheck[probes]'") from None
