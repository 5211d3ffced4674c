"""The graph of a circuit with edges, as its claim writes it: a page knows addresses, and not which components a model has.

L0.H2 -> L1.H1.V | L1.H1 -> LOGITS | L0.MLP        two lines, and a component that none leads to or from
"""

import re
from dataclasses import dataclass
from itertools import pairwise

from markupsafe import Markup

from circuitcheck.drawing.layers import Line, on_page
from circuitcheck.texts import plural

_ARROW = "->"
_IN_LAYER = re.compile(r"L(\d+)\.([A-Z_]+)")
# An edge ends at an input of a head (of heads, where they share keys and values): it is drawn to the head.
_INPUT = re.compile(r"^(L\d+\.(?:H|KV)[^.@]*)\.(?:Q|K|V)")
# Above all layers.
_TOP = 1_000_000


@dataclass(frozen=True)
class DrawnCircuit:
    """A circuit with edges: its picture, and what it shows in words."""

    picture: Markup
    words: str


def drawn(address: str, verb: str) -> DrawnCircuit | None:
    """The graph of an address as a claim writes it. None for a single path, for one without edges, and where a part lies in no one layer."""
    terms = [[part.strip() for part in term.split(_ARROW)] for term in address.split("|")]
    edges = [(start, end) for term in terms for start, end in pairwise(term)]
    places: dict[str, tuple[int, bool]] = {}
    for name in dict.fromkeys(_component(part) for term in terms for part in term):
        if (place := _place(name)) is None:
            return None
        places[name] = place
    if not edges or len(terms) == 1:
        return None
    lines = [
        Line(_component(start), _component(end), None, f"{start} {_ARROW} {end}") for start, end in dict.fromkeys(edges)
    ]
    words = f"{plural(len(lines), 'edge')} between {plural(len(places), 'component')}, layers upwards"
    if verb == "keep":
        words += "; what no line leads to hears all that is kept, and what no line leads from is heard by all"
    # Drawn from texts that are escaped there.
    return DrawnCircuit(Markup(on_page(f"Graph of the circuit: {words}", places, lines)), words)  # noqa: S704


def _component(part: str) -> str:
    return _INPUT.sub(r"\1", part)


def _place(name: str) -> tuple[int, bool] | None:
    """The layer of a component, and whether it comes after attention there."""
    stem = name.partition("@")[0]
    if stem == "EMBED":
        return -1, False
    if stem == "LOGITS":
        return _TOP, False
    found = _IN_LAYER.match(stem)
    return (int(found[1]), found[2] in ("MLP", "N", "RESID_POST")) if found else None
