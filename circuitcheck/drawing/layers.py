"""A graph of components as SVG text: layers upwards, lines as wide as they are large, names where the pointer is."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

from circuitcheck.texts import printable

_ACROSS, _UP, _HIGH, _LETTER = 86.0, 58.0, 22.0, 7.2
_FONT = 'font-family="system-ui, sans-serif" font-size="12"'
# On a dark ground other colours can be told apart.
_STYLE = (
    "<style>.g{fill:#fff}.n{fill:#f3f3f3;stroke:#777}.t{fill:#222}.p{stroke:#b2182b}.m{stroke:#2166ac}"
    "@media(prefers-color-scheme:dark){.g{fill:#16181c}.n{fill:#2b2e34;stroke:#999}.t{fill:#eee}"
    ".p{stroke:#f4796b}.m{stroke:#6fb1f2}}</style>"
)


@dataclass(frozen=True)
class Line:
    """A line from one component to another; ``told`` is shown where the pointer is."""

    start: str
    end: str
    value: float
    told: str


def layers(title: str, places: Mapping[str, tuple[int, bool]], lines: Sequence[Line]) -> str:
    """The picture. ``places``: each component's layer, and whether it comes after that layer's attention."""
    rows: dict[tuple[int, bool], list[str]] = defaultdict(list)
    for name in sorted(places, key=lambda name: (places[name], len(name), name)):
        rows[places[name]].append(name)
    heads = _ACROSS * max(len(row) for row in rows.values())
    # MLPs have a column of their own, and neighbouring rows are shifted, so that lines pass beside names.
    width = max(heads + _ACROSS * 2, _LETTER * len(title) + 16)
    height = 60 + _UP * len(rows)
    at: dict[str, tuple[float, float]] = {}
    for up, place in enumerate(sorted(rows)):
        row, y = rows[place], height - 30 - _UP * up
        layer, after = place
        shift = _ACROSS * (0.25 if layer % 2 else -0.25)
        for across, name in enumerate(row):
            middle = width / 2 - _ACROSS / 2 + shift + _ACROSS * (across - (len(row) - 1) / 2)
            at[name] = (width - _ACROSS / 2 - 20 * (layer % 3) if after else middle), y
    most = max((abs(line.value) for line in lines), default=0.0) or 1.0
    parts = [_STYLE, f'<rect class="g" width="{width:.0f}" height="{height:.0f}"/>']
    parts.append(f'<text class="t" x="8" y="18" {_FONT}>{escape(printable(title))}</text>')
    for line in sorted(lines, key=lambda line: abs(line.value)):
        (x, y), (to_x, to_y) = at[line.start], at[line.end]
        y, to_y = y - _HIGH / 2, to_y + _HIGH / 2
        bend = (y - to_y) / 2
        path = f"M{x:.0f} {y:.0f}C{x:.0f} {y - bend:.0f} {to_x:.0f} {to_y + bend:.0f} {to_x:.0f} {to_y:.0f}"
        size = f'fill="none" stroke-width="{1 + 5 * abs(line.value) / most:.1f}" stroke-opacity="0.7"'
        told = f"<title>{escape(printable(line.told))}</title>"
        parts.append(f'<path class="{"p" if line.value > 0 else "m"}" d="{path}" {size}>{told}</path>')
    for name, (x, y) in at.items():
        box = _LETTER * len(name) + 12
        corner = f'x="{x - box / 2:.0f}" y="{y - _HIGH / 2:.0f}" width="{box:.0f}" height="{_HIGH:.0f}" rx="4"'
        parts.append(f'<g><rect class="n" {corner}/><title>{escape(printable(name))}</title>')
        parts.append(
            f'<text class="t" x="{x:.0f}" y="{y + 4:.0f}" text-anchor="middle" {_FONT}>{escape(printable(name))}</text></g>'
        )
    size = f'width="{width:.0f}" height="{height:.0f}" viewBox="0 0 {width:.0f} {height:.0f}"'
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size}>{"".join(parts)}</svg>'
