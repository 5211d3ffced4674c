"""Candidates: what attribution found, and what the best of it does when it is measured."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from circuitcheck.addresses.kinds import KINDS
from circuitcheck.addresses.sites import Site
from circuitcheck.claims.exact.figures import Figure, Found
from circuitcheck.claims.gathering import Gathering
from circuitcheck.drawing.heatmaps import SweepFields
from circuitcheck.drawing.strips import Strip, as_png, as_svg
from circuitcheck.errors import MethodError
from circuitcheck.experiments.methods import Method
from circuitcheck.finding import tables
from circuitcheck.finding.attributed import Attributed, family_of
from circuitcheck.prompts.pairs import Side
from circuitcheck.sampling.samples import Sample
from circuitcheck.statistics.weights import mean_over

if TYPE_CHECKING:
    from circuitcheck.prompts.aligned_pairs import AlignedPair
    from circuitcheck.types import Floats

# Rows of each kind that are written out, and dots of each kind that are drawn.
_SHOWN, _DOTS = 10, 300
_LEAST_FOR_CORRELATION = 3


@dataclass(frozen=True)
class Candidate:
    """A component at the position that carries its effect. ``attributed``: its effect to first order; ``exact``: its effect, both in
    the share of the gap; ``shift`` of each pair, of shape [pair]."""

    site: Site
    kind: str
    attributed: float
    exact: float
    shift: "Floats" = field(repr=False)

    @property
    def address(self) -> str:
        """As it is written in a claim."""
        return str(self.site)


@dataclass(frozen=True)
class Candidates:
    """What ``run.find(address)`` gives: a table and a picture.

        candidates = model.on(FRUIT.split("discover")).find("L*.N* | L*.H* | L*.MLP")
        candidates.top("neurons")                        # [Candidate(...), ...], the largest exact effects first
        candidates.write("hypotheses/test_fruit.py")     # claims about them, for the other half
        candidates.save("fruit.svg")                     # or .png: the picture; .csv: the numbers
        assert candidates.stable > 0.6

    Of each kind (heads, neurons, sublayers ...) the components that are attributed most were measured; kinds are never ranked
    together. ``streams`` are attributed alone. It decides nothing: what was picked for its effect needs other pairs.
    """

    run: Gathering = field(repr=False)
    address: str
    into: Side
    steps: int
    asked_for: int
    sample: Sample = field(repr=False)
    gap: float
    attributed: tuple[Attributed, ...] = field(repr=False)
    measured: tuple[Candidate, ...] = field(repr=False)
    runs: int = 1

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds that were asked for."""
        return tuple(one.kind for one in self.attributed)

    def top(self, kind: str = "", n: int | None = None) -> list[Candidate]:
        """The candidates of a kind ("neurons", or as in addresses, "N"), the largest exact effects first, either way. Raises
        ``MethodError`` for a kind that was not asked for."""
        if not kind and len(self.kinds) == 1:
            kind = self.kinds[0]
        named = family_of(kind) if kind in KINDS else kind
        if named not in self.kinds:
            raise MethodError(f"{kind!r} is no kind of what was looked for in {self.address}: {', '.join(self.kinds)}")
        found = [one for one in self.measured if one.kind == named]
        return sorted(found, key=lambda one: -abs(one.exact))[:n]

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
        if Path(path).suffix == ".png":
            Path(path).write_bytes(as_png(self._title(), self._strips(), self.run.model.anatomy.n_layers))
        else:
            tables.save(path, self.svg(), self._rows())

    def svg(self) -> str:
        """The picture: by layer, dots for what components are attributed, rings for what was measured."""
        return as_svg(self._title(), self._strips(), self.run.model.anatomy.n_layers)

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

    @property
    def pairs(self) -> "tuple[AlignedPair, ...]":
        """The pairs that they were found on."""
        return self.sample.pairs

    @property
    def fingerprint(self) -> str:
        """Of the model that they were found in."""
        return self.run.model.fingerprint

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

    def _kind_in_words(self, one: Attributed) -> str:
        same, other = one.overlaps(self.asked_for)
        stable = f"; parts of the pairs have {np.mean(same):.0%} of the top in common" if same else ""
        stable += f", other templates {np.mean(other):.0%}" if other else ""
        found, there = self.top(one.kind), len(one.components)
        if not found:
            return f"{one.kind}, attributed alone: {there:,}{stable}"
        alike = self.agreement[one.kind]
        agree = "" if np.isnan(alike) else f"; attributed and exact effects correlate at {alike:.2f}"
        return f"{one.kind}: {len(found)} measured of {there:,}{agree}{stable}"

    def _map(self, one: Attributed) -> list[dict[str, object]]:
        """What streams are attributed, by position."""
        return [
            {"site": str(site)}
            | {f"@{position}": float(value) for position, value in zip(one.positions, row, strict=True)}
            for site, row in zip(one.components, one.values, strict=True)
        ]

    def _rows(self) -> list[dict[str, object]]:
        return [{"kind": kind} | _row(candidate) for kind in self.kinds for candidate in self.top(kind)]

    def _strips(self) -> list[Strip]:
        strips = []
        for one in self.attributed:
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


def measured(
    sites: Sequence[tuple[Site, str, float]], shifts: "Sequence[Floats]", sample: Sample, gap: float
) -> tuple[Candidate, ...]:
    """Candidates of sites with their kinds and what they are attributed, and of what they shift in each pair."""
    return tuple(
        Candidate(site, kind, attributed, float(mean_over(sample.pairs, shift)) / gap, shift)
        for (site, kind, attributed), shift in zip(sites, shifts, strict=True)
    )
