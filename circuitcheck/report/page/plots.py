"""The page's plots. They hold numbers only: no user's text is drawn."""

from collections.abc import Callable, Sequence
from functools import cached_property
from itertools import zip_longest

import numpy as np
from markupsafe import Markup
from matplotlib.ticker import MaxNLocator

from circuitcheck.drawing.plots import Drawing, named
from circuitcheck.records.report_fields import EffectFields
from circuitcheck.units import UNITS, Unit

# The common axis goes no further; what lies beyond is an arrow at its end.
_LEAST, _MOST = -0.5, 1.5
_BINS, _TICKS = 36, 6


def has_common_axis(effect: EffectFields) -> bool:
    """Whether its unit is one of those that have an axis in common: shares of something, mostly between 0 and 1."""
    return UNITS.get(effect["unit"], Unit()).has_common_axis


def rivals(effect: EffectFields) -> list[float]:
    """The largest of each kind of controls beside an effect."""
    controls = effect["controls"]
    if controls is None:
        return []
    found = (
        [controls["arbitrary_highest"], controls["untrained_highest"]]
        if "arbitrary" in controls
        else [controls["highest"]]
    )
    return [number for number in found if number is not None]


class Forest:
    """A strip for each claim, shares on one axis: estimate, interval, threshold and controls.

    All strips are drawn over each other in one figure and taken apart. What is in another unit has an axis of its own from 0 (or
    below) to what it needs, and no grid.
    """

    def __init__(self, effects: Sequence[EffectFields]):
        self._effects = effects
        shares = [effect for effect in effects if has_common_axis(effect)]
        ends = [number for effect in shares for number in _numbers(effect)]
        self.low = max(_LEAST, min([0.0, *ends])) - 0.02
        self.high = min(_MOST, max([1.0, *ends])) + 0.02

    @cached_property
    def axis(self) -> Markup:
        """The common axis, for the column's head."""
        return self._drawn.wrapped(
            "".join(self._parts[""]), f"Axis of shares from {self.low:.2g} to {self.high:.2g}", "axis"
        )

    def strip(self, row: int) -> Markup:
        """The strip of the effect with this number."""
        common = has_common_axis(self._effects[row])
        grid = self._parts["grid"] if common else self._parts["own"]
        return self._drawn.wrapped("".join([*grid, *self._parts[str(row)]]), kind="forest")

    @cached_property
    def _drawn(self) -> Drawing:
        return Drawing(300, 24, (4, 0, 4, 0))

    @cached_property
    def _parts(self) -> dict[str, list[str]]:
        axes = self._drawn.axes
        axes.set(xlim=(self.low, self.high), ylim=(0, 1), yticks=[])
        ticks = [float(tick) for tick in np.arange(_LEAST, _MOST + 0.01, 0.5) if self.low <= tick <= self.high]
        axes.set_xticks([])
        grid = [x for tick in ticks if tick for x in (tick, tick, np.nan)]
        axes.plot(grid, [0, 1, np.nan] * (len(grid) // 3), gid=named("grid", "grid"), clip_on=False)
        axes.plot([0, 0], [0, 1], gid=named("zero", "grid"), clip_on=False)
        for tick in ticks:
            axes.text(tick, 0.3, f"{tick:g}", ha="center", clip_on=False, gid=named("tick"))
        axes.plot([self.low, self.high], [0.5, 0.5], gid=named("own", "own"), clip_on=False)
        for row, effect in enumerate(self._effects):
            self._draw(row, effect)
        return self._drawn.parts()

    def _draw(self, row: int, effect: EffectFields) -> None:
        """One strip. Ends beyond the axis are drawn at its edge, as arrows."""
        scale = self._scale(effect)
        threshold, margin, estimate = effect["threshold"], effect["margin"] or 0.0, effect["estimate"]
        if margin:
            self._line(row, "margin", scale(threshold - margin), scale(threshold + margin), 0.5)
        for rival in rivals(effect):
            self._line(row, "control", scale(rival), scale(rival), 0.22, 0.78)
        if not margin:
            self._line(row, "threshold", scale(threshold), scale(threshold), 0.04, 0.96)
        low, high = effect["low"], effect["high"]
        if not effect["exact"] and not effect.get("searched"):
            start = self.low if low is None else scale(low)
            self._line(row, "interval", start, self.high if high is None else scale(high), 0.5)
        if estimate is not None:
            place = scale(estimate)
            if not self.low <= place <= self.high:
                edge, inwards = (self.low, 0.04) if place < self.low else (self.high, -0.04)
                corners = [edge + inwards, edge, edge + inwards]
                self._drawn.axes.plot(corners, [0.8, 0.5, 0.2], gid=named("beyond", row), clip_on=False)
            else:
                self._line(row, "estimate", place, place, 0.5)

    def _line(self, row: int, name: str, start: float, end: float, low: float, high: float | None = None) -> None:
        start, end = (min(max(x, self.low), self.high) for x in (start, end))
        self._drawn.axes.plot([start, end], [low, low if high is None else high], gid=named(name, row), clip_on=False)

    def _scale(self, effect: EffectFields) -> Callable[[float], float]:
        """Where a number of this effect is on the axis."""
        if has_common_axis(effect):
            return float
        low, high = own_axis(effect)
        return lambda number: self.low + (number - low) / (high - low) * (self.high - self.low)


def own_axis(effect: EffectFields) -> tuple[float, float]:
    """From where to where a strip goes that is not on the common axis."""
    numbers = [0.0, *_numbers(effect)]
    low, high = min(numbers), max(numbers)
    room = 0.06 * (high - low) or 1.0
    return low - room if low < 0 else 0.0, high + room


def _numbers(effect: EffectFields) -> list[float]:
    """What must be seen of an effect."""
    margin = effect["margin"] or 0.0
    numbers = [
        effect["estimate"],
        effect["low"],
        effect["high"],
        effect["threshold"] - margin,
        effect["threshold"] + margin,
    ]
    return [float(number) for number in [*numbers, *rivals(effect)] if number is not None]


class Distributions:
    """Histograms of numbers over pairs, one figure drawn anew for each."""

    def __init__(self) -> None:
        self._drawing = Drawing(380, 104, (10, 17, 10, 14))
        axes = self._drawing.axes
        axes.set_axis_off()  # half of the time would go into it: the few labels are put there by hand
        self._labels = [axes.text(0, 0, "", ha="center", va="baseline", gid=named("tick")) for _ in range(_TICKS + 3)]
        self._pairs = axes.stairs(np.ones(_BINS), np.arange(_BINS + 1), fill=True, gid=named("pairs"), clip_on=False)
        lines = {name: axes.plot([0, 0], [0, 1], gid=named(name), clip_on=False)[0] for name in ("zero", "base")}
        lines |= {
            name: axes.plot([0, 0], [0, 1], gid=named(name), clip_on=False, transform=axes.get_xaxis_transform())[0]
            for name in ("control", "threshold", "interval", "estimate")
        }
        self._lines = lines

    def histogram(self, effect: EffectFields, told: str) -> Markup:
        """The numbers behind an effect; of a rank, by how much it is ahead of the nearest other."""
        numbers, is_rank = np.array(effect["spread"]), effect["unit"] == "rank"
        estimate = [] if is_rank or effect["estimate"] is None else [effect["estimate"]]
        marks = [0.0] if is_rank else [effect["threshold"], *estimate, *rivals(effect)]
        if has_common_axis(effect):
            marks.append(0.0)
        low, high = min(numbers.min(), *marks), max(numbers.max(), *marks)
        room = 0.03 * (high - low) or 0.5
        low, high = low - room, high + room
        counts, edges = np.histogram(numbers, _BINS, (low, high))
        self._drawing.axes.set(xlim=(low, high), ylim=(0, max(counts)))
        self._pairs.set_data(counts, edges)
        self._label(low, high, -0.17 * max(counts))
        margin = effect["margin"] or 0.0
        limits = (
            [0.0] if is_rank else [effect["threshold"] - margin, effect["threshold"] + margin][: 2 if margin else 1]
        )
        self._put("base", [low, high], [0, 0])
        self._put("zero", [0, 0] if low < 0 < high else [], [0, max(counts)] if low < 0 < high else [])
        self._upright("threshold", limits, 0, 1.12)
        self._upright("control", [] if is_rank else rivals(effect), 0, 0.5)
        ends = [] if is_rank else [effect["low"], effect["high"]]
        beyond = [low if end is None else min(max(end, low), high) for end in ends[:1]]
        beyond += [high if end is None else min(max(end, low), high) for end in ends[1:]]
        whole = effect["exact"] or is_rank
        self._put("interval", [] if whole else beyond, [] if whole else [1.12, 1.12])
        self._put("estimate", estimate * 2, [1.12, 1.12] if estimate else [])
        return self._drawing.svg(told)

    def _label(self, low: float, high: float, height: float) -> None:
        ticks = [
            tick for tick in MaxNLocator(_TICKS, steps=[1, 2, 5, 10]).tick_values(low, high) if low <= tick <= high
        ]
        digits = max(0, 2 - int(np.floor(np.log10(high - low))) - 1)
        for label, tick in zip_longest(self._labels, ticks):
            label.set(text="" if tick is None else f"{tick:.{digits}f}", position=(tick or 0, height))

    def _put(self, name: str, x: Sequence[float], y: Sequence[float]) -> None:
        self._lines[name].set_data(x, y)

    def _upright(self, name: str, places: Sequence[float], low: float, high: float) -> None:
        x = [value for place in places for value in (place, place, np.nan)]
        self._put(name, x, [low, high, np.nan] * len(places))


def steps(points: Sequence[tuple[int, EffectFields]], told: str) -> Markup:
    """An effect against the training step of the checkpoint that it was measured on, with its intervals."""
    drawing = Drawing(380, 170, (40, 20, 12, 10))
    axes = drawing.axes
    numbers = [number for _, effect in points for number in _numbers(effect)]
    low, high = min([0.0, *numbers]), max([0.0, *numbers])
    axes.set_ylim(low, high + 0.05 * (high - low or 1.0))
    axes.margins(x=0.03)
    axes.grid(False)
    threshold = points[0][1]["threshold"]
    axes.plot([points[0][0], points[-1][0]], [threshold] * 2, gid=named("threshold"), clip_on=False)
    axes.plot([points[0][0], points[-1][0]], [0, 0], gid=named("zero"), clip_on=False)
    known = [(step, effect["estimate"], effect) for step, effect in points if effect["estimate"] is not None]
    axes.plot([step for step, *_ in known], [estimate for _, estimate, _ in known], gid=named("way"), clip_on=False)
    for step, estimate, effect in known:
        if not effect["exact"]:
            ends = [
                axes.get_ylim()[side] if end is None else end
                for side, end in enumerate((effect["low"], effect["high"]))
            ]
            axes.plot([step, step], ends, gid=named("interval"), clip_on=False)
        axes.plot([step, step], [estimate] * 2, gid=named("estimate"), clip_on=False)
    axes.locator_params(axis="both", nbins=5)
    return drawing.svg(told, "plot steps")
