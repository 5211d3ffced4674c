"""Pictures of sweeps as SVG text: for notebooks, files and the page, which gives them its own colours by their classes."""

from collections.abc import Sequence
from html import escape
from typing import NotRequired, TypedDict

from circuitcheck.texts import printable

_CELL, _LETTER, _FONT = 22, 6.6, 'font-family="system-ui, sans-serif" font-size="12"'
# Effects from one to the other: blue (the other way) over nothing to red.
_BLUE, _RED = "#2166ac", "#b2182b"


class SweepFields(TypedDict):
    """A sweep as it is drawn and reported: the largest effects, and of two axes all."""

    title: str
    sites: list[str]
    top: list[float]
    dims: NotRequired[list[str]]
    coords: NotRequired[list[list[str]]]
    values: NotRequired[list[list[float]]]


def picture(sweep: SweepFields) -> str:
    """The picture of a sweep from what its ``as_json`` says: a heat map of two axes, otherwise bars of the largest effects."""
    if "values" not in sweep:
        return bars(sweep["title"], sweep["sites"], sweep["top"])
    rows, columns = zip(sweep["dims"], sweep["coords"], strict=True)
    return heatmap(sweep["title"], sweep["values"], rows, columns)


def heatmap(
    title: str, values: Sequence[Sequence[float]], rows: tuple[str, list[str]], columns: tuple[str, list[str]]
) -> str:
    """Numbers [row, column] as colours; the first row at the bottom, as layers are drawn. ``rows`` and ``columns`` are
    each an axis' name and its labels."""
    (row_name, row_labels), (column_name, column_labels) = rows, columns
    reach = max(*(abs(value) for row in values for value in row), 1e-12)
    left = _LETTER * max(map(len, [*row_labels, row_name])) + 16
    top, height = 34.0, _CELL * len(row_labels)
    under = _LETTER * max(map(len, column_labels)) + 14
    width = left + _CELL * len(column_labels) + 90
    parts = [_text(8, 18, title)]
    for row, label in enumerate(row_labels):
        y = top + height - _CELL * (row + 1)
        parts.append(_text(left - 6, y + 15, label, "end"))
        for column, name in enumerate(column_labels):
            value, x = values[row][column], left + _CELL * column
            told = escape(printable(f"{label} {name}: {value:.3g}"))
            size = f'width="{_CELL}" height="{_CELL}"'
            parts.append(f'<rect x="{x:.0f}" y="{y:.0f}" {size} {_colour(value / reach)}><title>{told}</title></rect>')
    parts.append(
        f'<rect x="{left:.0f}" y="{top:.0f}" width="{_CELL * len(column_labels)}" height="{height}" '
        'fill="none" stroke="#888" stroke-opacity="0.5"/>'
    )
    for column, name in enumerate(column_labels):
        x, y = left + _CELL * (column + 0.5) + 4, top + height + 8
        parts.append(f'<g transform="translate({x:.0f} {y:.0f}) rotate(-90)">{_text(0, 0, name, "end")}</g>')
    parts.append(_text(left, top + height + under + 12, f"{column_name} (across), {row_name} (up)"))
    parts += _legend(left + _CELL * len(column_labels) + 16, top, reach)
    return _svg(max(width, 7.2 * len(title)), max(top + height + under + 22, top + 110), parts)


def bars(title: str, labels: Sequence[str], values: Sequence[float]) -> str:
    """Numbers as bars, one below the other."""
    reach = max(max(map(abs, values)), 1e-12)
    left, length = _LETTER * max(map(len, labels)) + 16, 260.0
    zero = left + (length / 2 if min(values) < 0 else 0)
    scale = (length / 2 if min(values) < 0 else length) / reach
    parts = [_text(8, 18, title)]
    for row, (label, value) in enumerate(zip(labels, values, strict=True)):
        y, end = 34 + 20 * row, zero + scale * value
        parts.append(_text(left - 6, y + 13, label, "end"))
        colour = _colour(1 if value > 0 else -1)
        parts.append(f'<rect x="{min(zero, end):.1f}" y="{y}" width="{abs(end - zero):.1f}" height="16" {colour}/>')
        parts.append(_text(max(end, zero) + 5, y + 13, f"{value:.3g}"))
    return _svg(max(left + length + 70, 7.2 * len(title)), 44 + 20 * len(labels), parts)


def _legend(x: float, y: float, reach: float) -> list[str]:
    steps = [step / 4 for step in range(4, -5, -1)]
    parts = []
    for number, step in enumerate(steps):
        parts.append(f'<rect x="{x:.0f}" y="{y + 11 * number:.0f}" width="14" height="11" {_colour(step)}/>')
        if number % 4 == 0:
            parts.append(_text(x + 19, y + 11 * number + 10, f"{step * reach:.2g}"))
    return parts


def _colour(share: float) -> str:
    """A colour for -1 to 1, the fainter the nearer to 0, on whatever ground there is."""
    return f'fill="{_RED if share > 0 else _BLUE}" fill-opacity="{min(abs(share), 1.0):.2g}"'


def _text(x: float, y: float, text: str, anchor: str = "start") -> str:
    return f'<text x="{x:.0f}" y="{y:.0f}" text-anchor="{anchor}" {_FONT} fill="#222">{escape(printable(text))}</text>'


def _svg(width: float, height: float, parts: Sequence[str]) -> str:
    size = f'width="{width:.0f}" height="{height:.0f}" viewBox="0 0 {width:.0f} {height:.0f}"'
    background = f'<rect class="ground" width="{width:.0f}" height="{height:.0f}" fill="#fff"/>'
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size}>{background}{"".join(parts)}</svg>'
