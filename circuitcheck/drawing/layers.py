"""A graph of components as SVG text: layers upwards, lines as wide as they are large, names where the pointer is."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

from circuitcheck.texts import printable

_ACROSS, _UP, _HIGH, _LETTER, _TITLE = 86.0, 58.0, 22.0, 7.2, 60
_FONT = 'font-family="system-ui, sans-serif" font-size="12"'
# On a dark ground other colours can be told apart.
_STYLE = (
    "<style>.ground{fill:#fff}.node{fill:#f3f3f3;stroke:#777}.word{fill:#222}.plus{stroke:#b2182b}.minus{stroke:#2166ac}"
    "@media(prefers-color-scheme:dark){.ground{fill:#16181c}.node{fill:#2b2e34;stroke:#999}.word{fill:#eee}"
    ".plus{stroke:#f4796b}.minus{stroke:#6fb1f2}}</style>"
)


@dataclass(frozen=True)
class Line:
    """A line from one component to another; ``told`` is shown where the pointer is. ``value``: its size, None where that is not known."""

    start: str
    end: str
    value: float | None
    told: str


def layers(title: str, places: Mapping[str, tuple[int, bool]], lines: Sequence[Line]) -> str:
    """The picture by itself. ``places``: each component's layer, and whether it comes after that layer's attention."""
    width, height, parts = _graph(places, lines, _LETTER * len(title) + 16)
    heading = f'<text class="word" x="8" y="18" {_FONT}>{escape(printable(title))}</text>'
    ground = f'<rect class="ground" width="{width:.0f}" height="{height:.0f}"/>'
    size = f'width="{width:.0f}" height="{height:.0f}" viewBox="0 0 {width:.0f} {height:.0f}"'
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size}>{_STYLE}{ground}{heading}{"".join(parts)}</svg>'


def on_page(told: str, places: Mapping[str, tuple[int, bool]], lines: Sequence[Line]) -> str:
    """The same as a part of a page, which gives it its colours and says below it what it is; ``told`` to who does not see it."""
    width, height, parts = _graph(places, lines)
    size = f'width="{width:.0f}" height="{height - _TITLE:.0f}" viewBox="0 {_TITLE} {width:.0f} {height - _TITLE:.0f}"'
    return f'<svg class="graph" {size} role="img" aria-label="{escape(printable(told))}">{"".join(parts)}</svg>'


def _graph(
    places: Mapping[str, tuple[int, bool]], lines: Sequence[Line], least: float = 0.0
) -> tuple[float, float, list[str]]:
    """Width (at least so much), height, and the elements; the uppermost part is left to a title."""
    rows: dict[tuple[int, bool], list[str]] = defaultdict(list)
    for name in sorted(places, key=lambda name: (places[name], len(name), name)):
        rows[places[name]].append(name)
    across_one = max(_ACROSS, _LETTER * max(map(len, places)) + 20)
    # MLPs have a column of their own, and neighbouring rows are shifted, so that lines pass beside names.
    width = max(across_one * (max(map(len, rows.values())) + 2), least)
    height = _TITLE + _UP * len(rows)
    at: dict[str, tuple[float, float]] = {}
    for up, place in enumerate(sorted(rows)):
        row, y = rows[place], height - 30 - _UP * up
        layer, after = place
        shift = across_one * (0.25 if layer % 2 else -0.25)
        for across, name in enumerate(row):
            middle = width / 2 - across_one / 2 + shift + across_one * (across - (len(row) - 1) / 2)
            at_right = width - across_one * (len(row) - across - 0.5) - 20 * (layer % 3)
            at[name] = (at_right if after else middle), y
    most = max((abs(line.value or 0.0) for line in lines), default=0.0) or 1.0
    parts = []
    for line in sorted(lines, key=lambda line: abs(line.value or 0.0)):
        (x, y), (to_x, to_y) = at[line.start], at[line.end]
        y, to_y = y - _HIGH / 2, to_y + _HIGH / 2
        bend = (y - to_y) / 2
        path = f"M{x:.0f} {y:.0f}C{x:.0f} {y - bend:.0f} {to_x:.0f} {to_y + bend:.0f} {to_x:.0f} {to_y:.0f}"
        thick = 1.5 if line.value is None else 1 + 5 * abs(line.value) / most
        sign = "plain" if line.value is None else "plus" if line.value > 0 else "minus"
        size = f'fill="none" stroke-width="{thick:.1f}" stroke-opacity="0.7"'
        told = f"<title>{escape(printable(line.told))}</title>"
        parts.append(f'<path class="{sign}" d="{path}" {size}>{told}</path>')
    for name, (x, y) in at.items():
        box = _LETTER * len(name) + 12
        corner = f'x="{x - box / 2:.0f}" y="{y - _HIGH / 2:.0f}" width="{box:.0f}" height="{_HIGH:.0f}" rx="4"'
        parts.append(f'<g><rect class="node" {corner}/><title>{escape(printable(name))}</title>')
        parts.append(
            f'<text class="word" x="{x:.0f}" y="{y + 4:.0f}" text-anchor="middle" {_FONT}>{escape(printable(name))}</text></g>'
        )
    return width, height, parts
