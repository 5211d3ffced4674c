"""Pairs that have a template or a filler in common: what a statement about new ones counts as one.

    >>> clusters(pairs, "template").means(shift)      # a number for each template

Few templates with many nouns are clustered data: what is known of new templates comes from as many numbers as there are
templates, however many pairs.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

from circuitcheck.errors import MethodError
from circuitcheck.statistics.counts import surely_shown
from circuitcheck.statistics.weights import mean_over

if TYPE_CHECKING:
    from circuitcheck.types import Floats

# What pairs are grouped by beside their slots.
TEMPLATE = "template"
_LEAST = 6
# Means of new ones are decided where this share of them, if it were otherwise (however much), would have been seen.
_OTHERWISE = 0.1


class Rendered(Protocol):
    """A pair's fillers (of each slot its name, the clean and the corrupted filler), those of them that are a table's columns,
    how often it counts, its template's text, and its cluster."""

    @property
    def fillers(self) -> tuple[tuple[str, str, str], ...]: ...
    @property
    def columns(self) -> tuple[str, ...]: ...
    @property
    def weight(self) -> float: ...
    @property
    def template_text(self) -> str: ...
    def cluster(self, by: str) -> str | None: ...


class HasFillers(Protocol):
    """What was made of a template's slots."""

    @property
    def pair(self) -> Rendered: ...


@dataclass(frozen=True)
class Clusters:
    """The rows of each cluster, by its name."""

    rows: dict[str, list[int]]

    def means(self, numbers: "Floats", weights: "Floats | None" = None) -> "Floats":
        """The mean of each cluster's numbers, of shape [cluster]; ``weights``: how much each counts within its cluster."""
        counted = (None if weights is None else weights[rows] for rows in self.rows.values())
        means: Floats = np.array(
            [np.average(numbers[rows], weights=w) for rows, w in zip(self.rows.values(), counted, strict=True)]
        )
        return means


def groups_of_fillers(pairs: Sequence[HasFillers], by: str) -> list[Clusters]:
    """Pairs by their template or a column's value; by a slot once by its clean fillers, once by its corrupted ones, where these vary."""
    sides: list[dict[str, list[int]]] = [{}, {}]
    for row, pair in enumerate(pairs):
        both = {name: (clean, corrupt) for name, clean, corrupt in pair.pair.fillers}
        group = str(pair.pair.cluster(by))
        for found, filler in zip(sides, both.get(by, (group, group)), strict=True):
            found.setdefault(filler, []).append(row)
    return [Clusters(rows) for rows in sides if len(rows) > 1]


def clusters(pairs: Sequence[HasFillers], by: str) -> Clusters:
    """Pairs by their template ("template") or by their fillers of a slot; raises ``MethodError`` for too few of them.

    Of clean fillers that were each crossed with several corrupted ones, the most couples of which no two have a filler in
    common: two couples that share one say less than two new ones would. Which these are does not depend on any number.
    """
    rows = _grouped(pairs, by)
    if by != TEMPLATE:
        rows = {name: rows[name] for name in _sharing_none(pairs, by, rows)}
    if len(rows) < _LEAST:
        raise MethodError(
            f"generalise={by!r} is a statement about new ones, and {len(rows)} are too few to make it: it takes at "
            f"least {_LEAST}, of which no two have a filler in common"
        )
    return Clusters(rows)


def fewest(alpha: float) -> int:
    """How many clusters it takes to decide a mean of unbounded numbers: 36 at alpha 0.05. If one in ten fails, however badly,
    fewer would have none of those among them with a probability above alpha / 2."""
    return surely_shown(_OTHERWISE, alpha / 2)


def by_filler(pairs: Sequence[HasFillers], numbers: "Floats") -> dict[str, dict[str, float]]:
    """The mean of the numbers by slot and filler, and by "template", of those that have several; not of a column that is another
    in each pair."""
    found = {}
    for slot, rows in _groupings(pairs):
        if len(rows) > 1 and not (len(rows) == len(pairs) and slot in pairs[0].pair.columns):
            found[slot] = {filler: float(mean_over([pairs[n] for n in at], numbers[at])) for filler, at in rows.items()}
    return found


def without_one(
    pairs: Sequence[HasFillers], shift: "Floats", base: "Floats"
) -> dict[tuple[str, str], tuple[float, int]]:
    """For each filler, and template, the ratio without its pairs, and how many these are; of those that a third of the pairs or
    fewer have."""
    found = {}
    for slot, groups in _groupings(pairs):
        for filler, rows in groups.items():
            if 3 * len(rows) <= len(pairs):
                others = np.setdiff1d(np.arange(len(pairs)), rows)
                left = [pairs[n] for n in others]
                found[slot, filler] = float(mean_over(left, shift[others]) / mean_over(left, base[others])), len(rows)
    return found


def _sharing_none(pairs: Sequence[HasFillers], by: str, rows: dict[str, list[int]]) -> list[str]:
    """The names of the most clusters of which no two have a clean or a corrupted filler in common."""
    import scipy.sparse

    couples = {name: _couple(pairs[at[0]], by) for name, at in sorted(rows.items())}
    cleans, corrupts = (sorted({couple[side] for couple in couples.values()}) for side in (0, 1))
    names = {(cleans.index(clean), corrupts.index(corrupt)): name for name, (clean, corrupt) in couples.items()}
    table = np.zeros((len(cleans), len(corrupts)))
    for place in names:
        table[place] = 1
    matched = scipy.sparse.csgraph.maximum_bipartite_matching(scipy.sparse.csr_matrix(table), perm_type="column")
    return [names[clean, int(corrupt)] for clean, corrupt in enumerate(matched) if corrupt >= 0]


def _couple(pair: HasFillers, slot: str) -> tuple[str, str]:
    return next((clean, corrupt) for name, clean, corrupt in pair.pair.fillers if name == slot)


def _groupings(pairs: Sequence[HasFillers]) -> Iterator[tuple[str, dict[str, list[int]]]]:
    """Each slot with the rows of each filler; then "template", with those of each template by its number (from 1) and text."""
    slots = dict.fromkeys(name for pair in pairs for name, _, _ in pair.pair.fillers)
    for slot in slots:
        yield slot, _grouped(pairs, slot, missing="")
    if TEMPLATE not in slots:
        rows = sorted(_grouped(pairs, TEMPLATE).items(), key=lambda item: int(item[0]))
        yield TEMPLATE, {f"{int(number) + 1}: {pairs[at[0]].pair.template_text}": at for number, at in rows}


def _grouped(pairs: Sequence[HasFillers], by: str, missing: str | None = None) -> dict[str, list[int]]:
    rows: dict[str, list[int]] = defaultdict(list)
    for row, pair in enumerate(pairs):
        cluster = pair.pair.cluster(by)
        if cluster is None and missing is None:
            names = ", ".join(name for name, _, _ in pair.pair.fillers)
            raise MethodError(f"generalise={by!r} is no slot of these prompts; they have {names or 'none'}")
        rows[cluster if cluster is not None else missing or ""].append(row)
    return dict(rows)
