"""Numbers by layer as dots, kind by kind: the picture of what was found, as SVG text or as a PNG file."""

import io
import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from circuitcheck.errors import MethodError
from circuitcheck.texts import printable

_WIDTH, _LEFT, _HEIGHT, _GAP = 760, 64, 190, 54
_APART = 13  # pixels from one label to the next
_LETTERS, _LINE = 104, 15  # of a title that fit side by side in wide fonts, and pixels from one line of it to the next
_GREY, _RED, _BLUE, _INK = "#8a8a8a", "#b2182b", "#2166ac", "#222"


@dataclass(frozen=True)
class Strip:
    """One kind: ``attributed`` and ``measured`` are (layer, value, name); of those measured the first few are named."""

    title: str
    attributed: Sequence[tuple[int, float, str]]
    measured: Sequence[tuple[int, float, str]]


@dataclass(frozen=True)
class _Dot:
    x: float
    y: float
    radius: float
    colour: str
    told: str
    filled: bool


@dataclass(frozen=True)
class _Text:
    x: float
    y: float
    text: str
    anchor: str = "start"


@dataclass(frozen=True)
class _Line:
    x1: float
    y1: float
    x2: float
    y2: float


_Part = _Dot | _Text | _Line


def as_svg(title: str, strips: Sequence[Strip], n_layers: int) -> str:
    """As SVG text; names are shown where the mouse rests."""
    height, parts = _parts(title, strips, n_layers)
    size = f'width="{_WIDTH}" height="{height}" viewBox="0 0 {_WIDTH} {height}"'
    ground = f'<rect class="ground" width="{_WIDTH}" height="{height}" fill="#fff"/>'
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size}>{ground}{"".join(map(_svg, parts))}</svg>'


def as_png(title: str, strips: Sequence[Strip], n_layers: int) -> bytes:
    """As the bytes of a PNG file. Raises ``MethodError`` where matplotlib is not installed."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        raise MethodError("a PNG file takes matplotlib: pip install matplotlib, or .save('x.svg')") from None
    height, parts = _parts(title, strips, n_layers)
    figure = Figure((_WIDTH / 100, height / 100), dpi=200)
    axes: Any = figure.add_axes((0, 0, 1, 1), xlim=(0, _WIDTH), ylim=(height, 0))
    axes.axis("off")
    for part in parts:
        if not isinstance(part, _Dot):
            _draw(axes, part)
    for dots in _alike(part for part in parts if isinstance(part, _Dot)):
        colour, face = dots[0].colour, dots[0].colour if dots[0].filled else "none"
        places = [dot.x for dot in dots], [dot.y for dot in dots]
        axes.scatter(*places, s=dots[0].radius ** 2, facecolors=face, edgecolors=colour, linewidths=1)
    written = io.BytesIO()
    FigureCanvasAgg(figure)
    figure.savefig(written, format="png")
    return written.getvalue()


def _parts(title: str, strips: Sequence[Strip], n_layers: int) -> tuple[int, list[_Part]]:
    """The height of the picture, and what is in it."""
    heading = _lines(title, 18)
    parts, top = list[_Part](heading), 19 + _LINE * len(heading)
    for strip in strips:
        lines = _lines(strip.title, top + 14)
        top += _LINE * (len(lines) - 1)
        parts += [*lines, *_strip(strip, top, n_layers)]
        top += _HEIGHT + _GAP
    return top + 6, parts


def _lines(title: str, y: float) -> list[_Text]:
    """A title, on several lines where it is long."""
    return [_Text(8, y + _LINE * number, line) for number, line in enumerate(textwrap.wrap(title, _LETTERS) or [""])]


def _strip(strip: Strip, top: float, n_layers: int) -> list[_Part]:
    values = [value for _, value, _ in (*strip.attributed, *strip.measured)]
    low, high = min(0.0, *values), max(0.0, *values)
    spread = (high - low) or 1.0
    step = (_WIDTH - _LEFT - 16) / max(1, n_layers)

    def x(layer: int) -> float:
        return _LEFT + step * (max(layer, 0) + 0.5)

    def y(value: float) -> float:
        return top + 24 + (_HEIGHT - 24) * (high - value) / spread

    parts: list[_Part] = [_Line(_LEFT, y(0), _WIDTH - 16, y(0))]
    ends = [value for value in (low, high) if abs(y(value) - y(0)) > _APART]
    parts += [_Text(_LEFT - 8, y(value) + 4, f"{value:.2g}", "end") for value in (0.0, *ends)]
    shown = range(0, n_layers, max(1, -(-n_layers // 16)))
    parts += [_Text(x(layer), top + _HEIGHT + 16, f"L{layer}", "middle") for layer in shown]
    for layer, value, name in strip.attributed:
        parts.append(_Dot(x(layer), y(value), 2, _GREY, f"{name}: {value:.3g} attributed", True))
    for layer, value, name in strip.measured:
        colour = _RED if value > 0 else _BLUE
        parts.append(_Dot(x(layer), y(value), 4, colour, f"{name}: {value:.3g} measured", False))
    named: list[float] = []
    for layer, value, name in strip.measured[:4]:
        if all(abs(y(value) - other) > _APART for other in named):
            named.append(y(value))
            after = x(layer) < _WIDTH - 160
            parts.append(_Text(x(layer) + (8 if after else -8), y(value) + 4, name, "start" if after else "end"))
    return parts


def _svg(part: _Part) -> str:
    if isinstance(part, _Line):
        return f'<path d="M{part.x1:.0f} {part.y1:.1f}H{part.x2:.0f}" stroke="#888" stroke-opacity="0.5"/>'
    if isinstance(part, _Text):
        font = 'font-family="system-ui, sans-serif" font-size="12"'
        place = f'x="{part.x:.0f}" y="{part.y:.0f}" text-anchor="{part.anchor}"'
        return f'<text {place} {font} fill="{_INK}">{escape(printable(part.text))}</text>'
    paint = f'fill="{part.colour}"' if part.filled else f'fill="none" stroke="{part.colour}" stroke-width="1.5"'
    opacity = ' fill-opacity="0.5"' if part.filled else ""
    told = escape(printable(part.told))
    return f'<circle cx="{part.x:.1f}" cy="{part.y:.1f}" r="{part.radius:g}" {paint}{opacity}><title>{told}</title></circle>'


def _draw(axes: Any, part: _Text | _Line) -> None:
    if isinstance(part, _Line):
        axes.plot([part.x1, part.x2], [part.y1, part.y2], color="#888", linewidth=0.5)
    else:
        sides = {"start": "left", "end": "right", "middle": "center"}
        axes.text(part.x, part.y, printable(part.text), ha=sides[part.anchor], color=_INK, fontsize=8)


def _alike(dots: Iterable[_Dot]) -> list[list[_Dot]]:
    """Dots that look alike, which are drawn at once."""
    found: dict[tuple[str, bool], list[_Dot]] = {}
    for dot in dots:
        found.setdefault((dot.colour, dot.filled), []).append(dot)
    return list(found.values())
