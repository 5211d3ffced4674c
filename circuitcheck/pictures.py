"""Pictures as SVG text: for notebooks, reports and files."""

from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from circuitcheck.types import Floats

_CELL, _LETTER, _FONT = 22, 6.6, 'font-family="system-ui, sans-serif" font-size="12"'
# Effects from one to the other: blue (the other way) over white (none) to red.
_BLUE, _WHITE, _RED = (33, 102, 172), (247, 247, 247), (178, 24, 43)


def heatmap(title: str, values: "Floats", rows: tuple[str, list[str]], columns: tuple[str, list[str]]) -> str:
    """Numbers [row, column] as colours; the first row at the bottom, as layers are drawn. ``rows`` and ``columns`` are
    each an axis' name and its labels."""
    (row_name, row_labels), (column_name, column_labels) = rows, columns
    reach = max(float(abs(values).max()), 1e-12)
    left = _LETTER * max(map(len, [*row_labels, row_name])) + 16
    top, height = 34.0, _CELL * len(row_labels)
    under = _LETTER * max(map(len, column_labels)) + 14
    width = left + _CELL * len(column_labels) + 90
    parts = [_text(8, 18, title)]
    for row, label in enumerate(row_labels):
        y = top + height - _CELL * (row + 1)
        parts.append(_text(left - 6, y + 15, label, "end"))
        for column, name in enumerate(column_labels):
            value, x = float(values[row, column]), left + _CELL * column
            told = escape(f"{label} {name}: {value:.3g}", quote=True)
            colour = _colour(value / reach)
            parts.append(
                f'<rect x="{x:.0f}" y="{y:.0f}" width="{_CELL}" height="{_CELL}" fill="{colour}"><title>{told}</title></rect>'
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
        parts.append(
            f'<rect x="{min(zero, end):.1f}" y="{y}" width="{abs(end - zero):.1f}" height="16" fill="{colour}"/>'
        )
        parts.append(_text(max(end, zero) + 5, y + 13, f"{value:.3g}"))
    return _svg(max(left + length + 70, 7.2 * len(title)), 44 + 20 * len(labels), parts)


def _legend(x: float, y: float, reach: float) -> list[str]:
    steps = [step / 4 for step in range(4, -5, -1)]
    parts = []
    for number, step in enumerate(steps):
        parts.append(f'<rect x="{x:.0f}" y="{y + 11 * number:.0f}" width="14" height="11" fill="{_colour(step)}"/>')
        if number % 4 == 0:
            parts.append(_text(x + 19, y + 11 * number + 10, f"{step * reach:.2g}"))
    return parts


def _colour(share: float) -> str:
    """A colour for -1 to 1."""
    far = _RED if share > 0 else _BLUE
    mixed = [round(white + (end - white) * min(abs(share), 1.0)) for white, end in zip(_WHITE, far, strict=True)]
    return "#" + "".join(f"{part:02x}" for part in mixed)


def _text(x: float, y: float, text: str, anchor: str = "start") -> str:
    return f'<text x="{x:.0f}" y="{y:.0f}" text-anchor="{anchor}" {_FONT} fill="#222">{escape(text)}</text>'


def _svg(width: float, height: float, parts: Sequence[str]) -> str:
    size = f'width="{width:.0f}" height="{height:.0f}" viewBox="0 0 {width:.0f} {height:.0f}"'
    background = f'<rect width="{width:.0f}" height="{height:.0f}" fill="#fff"/>'
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size}>{background}{"".join(parts)}</svg>'
