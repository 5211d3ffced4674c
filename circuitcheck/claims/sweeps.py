"""Many sites at once: a labelled array of effects, with a picture of it.

sweep = model.on(FRUIT).sweep("L*.RESID_PRE@*")
sweep.values.shape, sweep.dims          # (3, 18), ('layer', 'position')
sweep.top(3)                            # the largest of either sign, as (address, estimate)
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from circuitcheck.addresses.sites import Site
from circuitcheck.drawing.heatmaps import SweepFields, picture
from circuitcheck.errors import MethodError
from circuitcheck.experiments.methods import Method
from circuitcheck.texts import plural
from circuitcheck.units import UNITS, certainty, with_unit, written

if TYPE_CHECKING:
    from circuitcheck.claims.measuring.measurement import Measurement
    from circuitcheck.prompts.aligned_pairs import AlignedPair
    from circuitcheck.types import Floats

# Its lower and its upper limit; None where unbounded.
Interval = tuple[float | None, float | None]

# Axes by the part of a site that varies along them.
_AXES: dict[str, Callable[[Site], object]] = {
    "component": lambda site: site.kind,
    "layer": lambda site: site.layer,
    "index": lambda site: site.index,
    "position": lambda site: site.position,
}
# Sites that are written, that are drawn as bars, and cells that are drawn at most.
_SHOWN, _DRAWN, _CELLS = 10, 20, 4096


@dataclass(frozen=True)
class Sweep:
    """What ``run.sweep(address)`` gives: the effect of each site by itself, all on the same pairs.

        >>> model.on(FRUIT).sweep("L1.N*")
        48 effects of patch L1.N*, share of the gap (exact, n=27)
          L1.N8   0.6 of the gap (exact)
          ...

    ``values`` are the ``estimates``, along ``dims`` with ``coords``; ``low`` and ``high`` their ``intervals`` at ``level``
    (equal to the estimates where ``exact``: the pairs are the whole population). ``sweep["L1.N8"]`` is one site's
    ``Measurement``. It decides nothing: a site that was picked because it scored best needs fresh prompts.
    """

    label: str
    unit: str
    sites: tuple[Site, ...]
    position_names: dict[str, str]
    estimates: "Floats" = field(repr=False)
    intervals: "Callable[[Sequence[int]], list[Interval]]" = field(repr=False)
    exact: bool
    level: float
    method: Method
    measure: "Callable[[str], Measurement]" = field(repr=False)
    pairs: "tuple[AlignedPair, ...]" = field(repr=False)
    fingerprint: str
    rejections: str = ""

    @cached_property
    def dims(self) -> tuple[str, ...]:
        """The names of the axes of ``values``.

        model.on(FRUIT).sweep("L*.RESID_PRE@*").dims    # ("layer", "position")
        """
        sizes = {name: len(set(map(part, self.sites))) for name, part in _AXES.items()}
        varied = [name for name, size in sizes.items() if size > 1]
        if (
            any(site.via for site in self.sites)
            or {"component", "index"} <= set(varied)
            or not varied
            or np.prod([sizes[name] for name in varied]) != len(self.sites)
        ):
            return ("site",)
        return tuple(self._counted if name == "index" else name for name in varied)

    @property
    def _counted(self) -> str:
        """What the numbers of its sites count, where they have some."""
        numbered = self.sites[0].traits.numbered
        return numbered[0] if numbered else "index"

    @cached_property
    def coords(self) -> dict[str, list[str]]:
        """The labels along each axis.

        sweep.coords["layer"]    # ["L0", "L1", "L2"]
        """
        if self.dims == ("site",):
            return {"site": [str(site) for site in self.sites]}
        return {dim: list(dict.fromkeys(self._coordinate(dim, site) for site in self.sites)) for dim in self.dims}

    @cached_property
    def values(self) -> "Floats":
        """The estimates, of the shape that ``dims`` and ``coords`` name.

        sweep.values.shape    # (3, 18): 3 layers, 18 positions
        """
        return self._shaped(self.estimates)

    @property
    def low(self) -> "Floats":
        """The lower limits; nan where unbounded."""
        return self._shaped(self._limits[:, 0])

    @property
    def high(self) -> "Floats":
        """The upper limits; nan where unbounded."""
        return self._shaped(self._limits[:, 1])

    @cached_property
    def _limits(self) -> "Floats":
        """Of shape [site, 2]."""
        return np.array(self.intervals(range(len(self.sites))), dtype=float)

    def top(self, n: int = _SHOWN) -> list[tuple[str, float]]:
        """The ``n`` sites with the largest effects of either sign, as (address, estimate).

        [(best, size)] = model.on(FRUIT).sweep("L1.N*").top(1)
        """
        return [(str(self.sites[row]), float(self.estimates[row])) for row in self._by_size[:n]]

    def __getitem__(self, address: str) -> "Measurement":
        """One site's measurement; raises ``KeyError`` for a site that was not swept.

        model.on(FRUIT).sweep("L1.N*")["L1.N8"].estimate
        """
        if address not in {str(site) for site in self.sites}:
            raise KeyError(
                f"{address!r} is none of the {plural(len(self.sites), 'site')} of this sweep of {self.label}"
            )
        return self.measure(address)

    def __str__(self) -> str:
        lines, shown = [self._title()], self.top()
        width = max(len(address) for address, _ in shown)
        for (address, estimate), limits in zip(shown, self.intervals(self._by_size[:_SHOWN]), strict=True):
            found = with_unit(written(estimate, self.unit), self.unit, after="")
            sure = certainty(self.exact, self.level, *limits)
            lines.append(f"  {address:<{width}}  {found} ({sure})")
        if len(left_out := self.estimates[self._by_size[_SHOWN:]]):
            low, high = (written(number, self.unit) for number in (left_out.min(), left_out.max()))
            lines.append(f"  ... {len(left_out):,} more, {low if low == high else f'between {low} and {high}'}")
        if self.rejections:
            lines.append(f"  rejected {self.rejections}")
        return "\n".join(lines)

    __repr__ = __str__

    def svg(self) -> str:
        """The picture: a heat map of two axes, otherwise bars of the largest effects of either sign."""
        return picture(self.as_json())

    def as_json(self) -> SweepFields:
        """What its picture is drawn from: the largest effects, and of two axes all."""
        top, has_map = self.top(_DRAWN), len(self.dims) == 2 and self.values.size <= _CELLS
        few = "" if has_map or len(top) == len(self.sites) else f", the {len(top)} largest"
        found: SweepFields = {
            "title": f"{self._title()}{few}",
            "sites": [site for site, _ in top],
            "top": [number for _, number in top],
        }
        if has_map:
            names = [[self.position_names.get(label, label) for label in self.coords[dim]] for dim in self.dims]
            cells = [[float(f"{number:.3g}") for number in row] for row in self.values]
            found |= {"dims": list(self.dims), "coords": names, "values": cells}
        return found

    def save(self, path: str | Path) -> None:
        """Write the picture as an SVG file; raises ``MethodError`` for a name that ends otherwise than in ``.svg``.

        model.on(FRUIT).sweep("L*.RESID_PRE@*").save("map.svg")
        """
        path = Path(path)
        if path.suffix.lower() != ".svg":
            what = f"no {path.suffix}" if path.suffix else "nothing else"
            raise MethodError(f"a sweep is drawn as SVG, and {what}: save it as {path.with_suffix('.svg').name!r}")
        path.write_text(self.svg(), encoding="utf-8")

    def _repr_html_(self) -> str:
        return self.svg()

    @cached_property
    def _by_size(self) -> list[int]:
        """The rows of the sites, the largest effects first, whatever their sign."""
        order: list[int] = np.argsort(-np.abs(self.estimates), kind="stable").tolist()
        return order

    def _title(self) -> str:
        count, n = len(self.sites), len(self.pairs)
        sure = "exact" if self.exact else f"{self.level:.0%} intervals"
        return f"{plural(count, 'effect')} of {self.label}, {with_unit('share' if UNITS[self.unit].is_share else 'in', self.unit, after='')} ({sure}, n={n})"

    def _shaped(self, numbers: "Floats") -> "Floats":
        return numbers.reshape([len(self.coords[dim]) for dim in self.dims])

    def _coordinate(self, dim: str, site: Site) -> str:
        if dim == "layer":
            return f"L{site.layer}" if site.traits.in_block else site.kind
        if dim == "position":
            return f"@{site.position}"
        return site.component if dim == self._counted else site.kind


def ordered(sites: Sequence[Site]) -> list[Site]:
    """Sites in the order of a sweep's axes: kind, layer, number; positions as they come."""
    places = {position: place for place, position in enumerate(dict.fromkeys(site.position for site in sites))}
    return sorted(set(sites), key=lambda site: (site.kind, site.layer, site.index, places[site.position], site.via))
