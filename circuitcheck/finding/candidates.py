"""Candidates: what attribution found, and what the best of it does when it is measured."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from circuitcheck.addresses.sites import Site
from circuitcheck.claims.exact.figures import Figure, Found
from circuitcheck.drawing.heatmaps import SweepFields, heatmap
from circuitcheck.drawing.stacked import stacked
from circuitcheck.drawing.strips import Strip, as_png, as_svg
from circuitcheck.errors import MethodError
from circuitcheck.experiments.methods import Method
from circuitcheck.finding import tables
from circuitcheck.finding.attributed import Attributed
from circuitcheck.finding.claim_file import write
from circuitcheck.finding.measured import Candidate, Measured
from circuitcheck.prompts.prompt_pairs import PromptPairs

if TYPE_CHECKING:
    pass

# Rows of each kind that are written out, and dots of each kind that are drawn.
_SHOWN, _DOTS = 10, 300
_LEAST_FOR_CORRELATION = 3


@dataclass(frozen=True, repr=False)
class Candidates(Measured):
    """What ``run.find(address)`` gives: a table and a picture.

        candidates = model.on(FRUIT.split("discover")).find("L*.N* | L*.H* | L*.MLP")
        candidates.top("neurons")                        # [Candidate(...), ...], the largest exact effects first
        candidates.write("hypotheses/test_fruit.py")     # claims about them, for the other half
        candidates.save("fruit.svg")                     # or .png: the picture; .csv: the numbers
        assert candidates.stable > 0.6

    Of each kind (heads, neurons, sublayers ...) the components that are attributed most were measured; kinds are never ranked
    together. ``streams`` are attributed alone. It decides nothing: what was picked for its effect needs other pairs.
    """

    @property
    def agreement(self) -> dict[str, float]:
        """How well attribution and exact effects of what was measured correlate, by kind; nan of fewer than three."""
        found = {}
        for kind in self.kinds:
            both = np.array([(one.attributed, one.exact) for one in self.top(kind)]).reshape(-1, 2)
            enough = len(both) >= _LEAST_FOR_CORRELATION and both.std(0).all()
            found[kind] = float(np.corrcoef(both.T)[0, 1]) if enough else float("nan")
        return found

    @property
    def stable(self) -> Figure:
        """How much of the top any two parts of the pairs have in common (of other templates, too), in the mean over the kinds: 1 where
        all prompts agree on what matters.

            assert candidates.stable > 0.6

        A statement about these pairs, and exact about them.
        """
        method = self._method(
            "share of the components that are attributed most which disjoint parts of the pairs have in common"
        )
        label = f"stability of the top {self.asked_for} of {self.address}"
        return Figure(self.run.model, label, method, self._stability, "of the top", (0.0, 1.0))

    def as_frame(self) -> Any:
        """What was measured as a pandas ``DataFrame``. Raises ``MethodError`` where pandas is not installed."""
        return tables.as_frame(self._rows())

    def save(self, path: str | Path) -> None:
        """Write the picture (.svg, .png) or the numbers (.csv)."""
        layers = self.run.model.anatomy.n_layers
        tables.save(
            path, self.svg(), self._rows(), lambda: as_png(self._caption(), self._strips(self.attributed), layers)
        )

    def write(
        self,
        path: str | Path,
        top: int = 5,
        *,
        pairs: str = "",
        other: PromptPairs | None = None,
        other_pairs: str = "",
    ) -> Path:
        """Write a file of claims about the ``top`` of each kind, for the other half of the pairs; its path.

            candidates.write("hypotheses/test_fruit.py")
            candidates.write("hypotheses/test_fruit.py", pairs="hypotheses/prompts.py::FRUIT")
            candidates.write("hypotheses/test_fruit.py", other=PRONOUNS.split("discover"))

        What each restores, that it is needed, that it beats its layer, and with ``other`` pairs of another behaviour that it does
        less there. Thresholds are lower prediction limits from these pairs alone, the level split over what is claimed; what is
        too small is left out. ``pairs``: where the population is imported from; it is written out, where it is made of
        templates and slots alone. Raises ``PromptError`` for pairs that are no half, ``MethodError`` for a file that is there.
        """
        return write(self, path, top, pairs, other, other_pairs)

    def svg(self) -> str:
        """The picture: by layer, dots for what components are attributed, rings for what was measured; streams as a map."""
        ranked = [one for one in self.attributed if one.kind != "streams"]
        strips = as_svg(self._caption(), self._strips(ranked), self.run.model.anatomy.n_layers)
        return stacked([strips, *(self._heatmap(one) for one in self.attributed if one.kind == "streams")])

    def __str__(self) -> str:
        lines = [self._title()]
        for one in self.attributed:
            found = self.top(one.kind)
            lines.append(f"  {self._kind_in_words(one)}")
            rows = [_row(candidate) for candidate in found[:_SHOWN]] or self._map(one)
            lines += [f"    {line}" for line in tables.as_text(rows)]
            if len(found) > _SHOWN:
                lines.append(f"    ... {len(found) - _SHOWN} more in .top({one.kind!r})")
        return "\n".join(lines)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return self.svg()

    # What a test's ledger, and with it a claim in the same test, knows of a sweep.
    @property
    def label(self) -> str:
        """What was done, as reports name it."""
        return f"find {self.address}"

    @property
    def sites(self) -> list[Site]:
        """What was measured."""
        return [one.site for one in self.measured]

    def as_json(self) -> SweepFields:
        """What reports show of it: the largest exact effects."""
        best = sorted(self.measured, key=lambda one: -abs(one.exact))[:20]
        return {
            "title": self._title(),
            "sites": [one.address for one in best],
            "top": [float(f"{one.exact:.3g}") for one in best],
        }

    def _title(self) -> str:
        way = "" if self.into == "corrupt" else " into clean"
        steps = "" if self.steps == 1 else f", integrated gradients in {self.steps} steps"
        half = self.run.pairs.description.half
        of = f" of the half {half!r}" if half else ""
        return f"{self.address} on {self.run.model.name}: patched{way}{steps}, share of the gap, on {len(self.pairs)} pairs{of}"

    def _caption(self) -> str:
        return f"{self._title()} (dots: attributed, rings: measured)"

    def _heatmap(self, one: Attributed) -> str:
        there = [at for at in range(len(one.positions)) if one.values[:, at].any()]
        columns = "position", [f"@{one.positions[at]}" for at in there]
        rows = "stream", list(map(str, one.components))
        return heatmap(self._kind_in_words(one), one.values[:, there].tolist(), rows, columns)

    def _kind_in_words(self, one: Attributed) -> str:
        same, other = one.overlaps(self.asked_for)
        stable = f"; parts of the pairs have {np.mean(same):.0%} of the top in common" if same else ""
        stable += f", other templates {np.mean(other):.0%}" if other else ""
        found, there = self.top(one.kind), len(one.components)
        if not found:
            return f"{one.kind}, attributed alone: {there:,}{stable}"
        alike = self.agreement[one.kind]
        agree = "" if np.isnan(alike) else f"; attributed and exact effects correlate at {alike:.2f}"
        several = len({(candidate.site.layer, candidate.site.kind, candidate.site.index) for candidate in found})
        return f"{one.kind}: {several} measured of {there:,}{agree}{stable}"

    def _map(self, one: Attributed) -> list[dict[str, object]]:
        """What streams are attributed, at the positions at which anything is."""
        there = np.flatnonzero(one.values.any(0))
        rows: list[dict[str, object]] = []
        for site, row in zip(one.components, one.values, strict=True):
            rows.append({"site": str(site)} | {f"@{one.positions[at]}": float(row[at]) for at in there})
        return rows

    def _rows(self) -> list[dict[str, object]]:
        return [{"kind": kind} | _row(candidate) for kind in self.kinds for candidate in self.top(kind)]

    def _strips(self, attributed: Sequence[Attributed]) -> list[Strip]:
        strips = []
        for one in attributed:
            dots = [(one.components[row].layer, float(one.at_best[row]), str(one.site(row))) for row in one.top(_DOTS)]
            rings = [(found.site.layer, found.exact, found.address) for found in self.top(one.kind)]
            strips.append(Strip(self._kind_in_words(one), dots, rings))
        return strips

    def _stability(self) -> Found:
        each = [(same + other, one) for one in self.attributed for same, other in [one.overlaps(self.asked_for)]]
        numbers = [float(np.mean(overlaps)) for overlaps, _ in each if overlaps]
        if not numbers:
            raise MethodError(f"{len(self.pairs)} pairs have no parts to be compared: take more")
        said = "; ".join(f"{one.kind} {np.mean(overlaps):.2f}" for overlaps, one in each if overlaps)
        return Found(
            float(np.mean(numbers)), len(self.pairs), "pairs", f"parts of {len(self.pairs)} pairs", notes=(said,)
        )

    def _method(self, value: str) -> Method:
        sites = tuple(self.sites)
        return self.run.method("find", self.address, sites, value=value, direction=f"into {self.into}")


def _row(candidate: Candidate) -> dict[str, object]:
    return {"site": candidate.address, "exact": candidate.exact, "attributed": candidate.attributed}
