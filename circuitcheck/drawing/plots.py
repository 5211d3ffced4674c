"""Plots from matplotlib as small SVG: matplotlib gives places, the page's style sheet colours.

    drawing = Drawing(360, 96)
    drawing.axes.axvline(0.4, gid=named("threshold"))
    drawing.svg("Threshold 0.4")    # <svg viewBox="0 0 360 96" role="img" aria-label="Threshold 0.4"><path class="threshold" ...

What has no such name is left out, but the labels of ticks. matplotlib's own SVG is ten times as large and full of style
attributes, which the page's content security policy does not let through.
"""

import io
import re
from collections import defaultdict
from xml.etree import ElementTree

import matplotlib as mpl
from markupsafe import Markup
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from circuitcheck.texts import printable

_MARK = "circuitcheck."
_NUMBER = re.compile(r"-?\d+\.\d+")
_LEFT_OUT = {"Date": None, "Creator": None, "Format": None, "Type": None}


def named(name: str, row: int | str = "") -> str:
    """The ``gid`` of something that is to be drawn: its class on the page; of a ``row`` of several drawn at once."""
    return f"{_MARK}{name}.{row}"


class Drawing:
    """A figure of some pixels with axes inside margins (left, below, right, above), all of them in pixels."""

    def __init__(self, width: int, height: int, margins: tuple[int, int, int, int] = (8, 18, 8, 4)):
        self.size = width, height
        self._figure = Figure((width / 72, height / 72), dpi=72)
        FigureCanvasSVG(self._figure)
        left, below, right, above = margins
        inside = (left / width, below / height, 1 - (left + right) / width, 1 - (below + above) / height)
        self.axes = self._figure.add_axes(inside)
        self.axes.spines[:].set_visible(False)
        self.axes.tick_params(length=0, labelsize=11, pad=3)

    def svg(self, told: str, kind: str = "plot") -> Markup:
        """What is drawn, with what it shows in words for those who do not see it."""
        return self.wrapped("".join(part for parts in self.parts().values() for part in parts), told, kind)

    def wrapped(self, inside: str, told: str = "", kind: str = "plot") -> Markup:
        """Parts as a picture; one without a description is only decoration."""
        width, height = self.size
        label = Markup('role="img" aria-label="{}"').format(printable(told)) if told else Markup('aria-hidden="true"')
        start = Markup('<svg class="{}" viewBox="0 0 {} {}" {}>').format(kind, width, height, label)
        return start + Markup(inside) + Markup("</svg>")  # noqa: S704  (numbers and names of our own)

    def parts(self) -> dict[str, list[str]]:
        """The elements of what is drawn, by the row that they were named with."""
        written = io.StringIO()
        with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "circuitcheck", "path.simplify": False}):
            self._figure.canvas.print_figure(written, format="svg", metadata=_LEFT_OUT)
        found: dict[str, list[str]] = defaultdict(list)
        _collect(ElementTree.fromstring(written.getvalue()), "", found)  # noqa: S314  (made in the line before)
        return found


def _collect(element: ElementTree.Element, name: str, found: dict[str, list[str]]) -> None:
    identity = element.get("id", "")
    if identity.startswith(_MARK):
        name = identity.removeprefix(_MARK)
    tag = element.tag.rpartition("}")[2]
    what, _, row = name.partition(".")
    if tag == "path" and name:
        found[row].append(f'<path class="{what}" d="{_short(element.get("d", ""))}"/>')
    elif tag == "text" and element.text:
        anchor = re.search(r"text-anchor: (\w+)", element.get("style", ""))
        x, y = (_NUMBER.sub(_rounded, element.get(key, "0")) for key in "xy")
        content = Markup.escape(element.text)
        found[row].append(f'<text text-anchor="{anchor[1] if anchor else "start"}" x="{x}" y="{y}">{content}</text>')
    elif tag != "defs":
        for child in element:
            _collect(child, name, found)


def _short(path: str) -> str:
    """A path with a tenth of a pixel's precision, and lines that follow each other without their letter."""
    rounded = _NUMBER.sub(_rounded, " ".join(path.split()))
    return re.sub(r" ?([MLzCQ]) ?", r"\1", rounded).replace("L", " ")


def _rounded(number: re.Match[str]) -> str:
    return f"{float(number[0]):.1f}".removesuffix(".0")
