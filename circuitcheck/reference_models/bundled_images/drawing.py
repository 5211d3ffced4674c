"""Drawn fruit: a colour and a shape each, on a plain ground.

    fruit("disc", "canary")                                # a lemon: of shape [32, 32, 3], in [0, 1]
    fruit("pod", "moss", place="left", ground="sand")      # a cucumber

Numpy alone draws. A fruit is a superellipse with soft edges, lit from above, which may be bent and taper off.
"""

import colorsys
import math
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from circuitcheck.types import Floats, Integers

SIZE: Final = 32
Colour = tuple[float, float, float]


@dataclass(frozen=True)
class Outline:
    """``aspect``: how wide it is for its length; ``power``: 2 for an ellipse, more for a box; ``bend``: how far its ends are off, in
    half widths; ``taper``: by how much one end is wider."""

    aspect: float
    power: float = 2.0
    bend: float = 0.0
    taper: float = 0.0


# Degrees of hue of each colour, and the fruit that is round or long in it.
HUES: Final = {"red": (-14.0, 12.0), "yellow": (42.0, 62.0), "green": (92.0, 150.0)}
KINDS: Final = ("round", "long")
LABELS: Final = {
    ("red", "round"): "tomato",
    ("red", "long"): "chili",
    ("yellow", "round"): "lemon",
    ("yellow", "long"): "banana",
    ("green", "round"): "lime",
    ("green", "long"): "cucumber",
}
SHADES: Final[dict[str, dict[str, Colour]]] = {
    "red": {
        "crimson": (0.86, 0.08, 0.16),
        "scarlet": (0.95, 0.14, 0.05),
        "ruby": (0.78, 0.07, 0.20),
        "brick": (0.72, 0.20, 0.16),
        "cherry": (0.80, 0.02, 0.10),
        "poppy": (0.93, 0.26, 0.18),
        "wine": (0.62, 0.06, 0.14),
        "coral": (0.98, 0.36, 0.30),
    },
    "yellow": {
        "canary": (0.98, 0.92, 0.20),
        "gold": (0.93, 0.76, 0.10),
        "butter": (0.97, 0.88, 0.42),
        "mustard": (0.80, 0.66, 0.12),
        "straw": (0.88, 0.80, 0.36),
        "corn": (0.96, 0.84, 0.24),
        "saffron": (0.95, 0.72, 0.16),
        "sulphur": (0.94, 0.94, 0.26),
    },
    "green": {
        "moss": (0.34, 0.62, 0.20),
        "grass": (0.24, 0.70, 0.20),
        "mint": (0.36, 0.84, 0.52),
        "pea": (0.44, 0.78, 0.26),
        "fern": (0.22, 0.60, 0.30),
        "jade": (0.10, 0.66, 0.40),
        "emerald": (0.16, 0.76, 0.34),
        "leaf": (0.30, 0.68, 0.14),
    },
}
OUTLINES: Final[dict[str, dict[str, Outline]]] = {
    "round": {
        "disc": Outline(1.0),
        "ball": Outline(0.92, 2.3),
        "egg": Outline(0.84, 2.0, taper=0.2),
        "drop": Outline(0.9, 1.8, taper=0.3),
        "pebble": Outline(0.82, 2.5),
        "bun": Outline(0.88, 2.2, bend=0.15),
        "cube": Outline(0.95, 3.0),
        "nut": Outline(0.86, 2.1, taper=-0.2),
        "bulb": Outline(0.96, 2.0, taper=0.35),
        "bead": Outline(0.98, 2.4, taper=-0.1),
        "cap": Outline(0.84, 2.3, bend=0.2),
        "shell": Outline(0.9, 1.9, bend=0.1, taper=0.15),
    },
    "long": {
        "pod": Outline(0.34),
        "bar": Outline(0.40, 3.0),
        "spindle": Outline(0.44, 1.8),
        "bow": Outline(0.36, 2.2, bend=0.7),
        "horn": Outline(0.40, 2.0, bend=0.5, taper=0.3),
        "club": Outline(0.42, 2.4, taper=0.35),
        "stick": Outline(0.31, 2.6),
        "sickle": Outline(0.38, 2.1, bend=0.8),
        "cigar": Outline(0.45, 2.2),
        "wedge": Outline(0.44, 2.0, taper=-0.35),
        "bean": Outline(0.47, 2.4, bend=0.4),
        "spear": Outline(0.33, 1.8, taper=0.2),
    },
}
PLACES: Final = {
    "middle": (0.0, 0.0),
    "left": (-3.0, 0.0),
    "right": (3.0, 0.0),
    "top": (0.0, -3.0),
    "bottom": (0.0, 3.0),
}
GROUNDS: Final[dict[str, Colour]] = {
    "white": (0.96, 0.96, 0.96),
    "sand": (0.92, 0.88, 0.82),
    "sky": (0.82, 0.88, 0.94),
    "stone": (0.80, 0.80, 0.80),
}
TURNS: Final = {"flat": 0.0, "rising": 0.5, "falling": -0.5, "upright": math.pi / 2}


def fruit(shape: str, shade: str, place: str = "middle", ground: str = "white", turn: str = "flat") -> "Floats":
    """A fruit by the names of what it is made of, of shape [32, 32, 3] in [0, 1]."""
    outline = next(outlines[shape] for outlines in OUTLINES.values() if shape in outlines)
    colour = next(shades[shade] for shades in SHADES.values() if shade in shades)
    return drawn(outline, colour, GROUNDS[ground], PLACES[place], TURNS[turn], 8.0)


def colour_of(shade: str) -> str:
    """The colour that a shade is one of."""
    return next(colour for colour, shades in SHADES.items() if shade in shades)


def kind_of(shape: str) -> str:
    """Whether a shape is "round" or "long"."""
    return next(kind for kind, outlines in OUTLINES.items() if shape in outlines)


def drawn(
    outline: Outline, colour: Colour, ground: Colour, place: tuple[float, float], turn: float, size: float
) -> "Floats":
    """A fruit of any outline and colour; ``size``: half of its length and width, as their geometric mean, in pixels; ``turn`` in
    radians."""
    length, width = size / math.sqrt(outline.aspect), size * math.sqrt(outline.aspect)
    down, right = np.mgrid[:SIZE, :SIZE] - (SIZE - 1) / 2
    right, down = right - place[0], down - place[1]
    along = right * math.cos(turn) - down * math.sin(turn)
    across = right * math.sin(turn) + down * math.cos(turn)
    across = across - outline.bend * width * ((along / length) ** 2 - 0.4)
    there = width * np.maximum(0.2, 1 + outline.taper * along / length)
    distance = (np.abs(along / length) ** outline.power + np.abs(across / there) ** outline.power) ** (
        1 / outline.power
    )
    cover = np.clip(0.5 + (1 - distance) * width, 0, 1)[..., None]
    light = np.clip(1.0 - 0.12 * (down + right) / size / 2, 0.8, 1.1)[..., None]
    picture: Floats = cover * np.clip(np.array(colour) * light, 0, 1) + (1 - cover) * np.array(ground)
    return picture


def random_pictures(count: int, random: np.random.Generator) -> "tuple[Floats, Integers]":
    """Pictures that no names describe, with their labels' numbers: of shapes [picture, 32, 32, 3] and [picture]."""
    labels, pictures = random.integers(len(LABELS), size=count), []
    for label in labels:
        colour, kind = list(LABELS)[label]
        hue = random.uniform(*HUES[colour]) / 360
        paint = colorsys.hsv_to_rgb(hue % 1, random.uniform(0.55, 1.0), random.uniform(0.58, 1.0))
        outline = Outline(
            random.uniform(0.8, 1.0) if kind == "round" else random.uniform(0.3, 0.48),
            random.uniform(1.7, 3.0),
            random.uniform(0, 0.2 if kind == "round" else 0.8),
            random.uniform(-0.35, 0.35),
        )
        grey = random.uniform(0.78, 1.0) + random.uniform(-0.04, 0.04, size=3)
        ground = tuple(np.clip(grey, 0, 1).tolist())
        place = tuple(random.uniform(-4, 4, size=2).tolist())
        pictures.append(
            drawn(outline, paint, ground, place, random.uniform(-math.pi, math.pi), random.uniform(6.5, 9.0))
        )
    return np.stack(pictures), labels


def combinations() -> list[tuple[str, str]]:
    """Every couple of a shape's and a shade's name."""
    shapes = [shape for outlines in OUTLINES.values() for shape in outlines]
    return list(product(shapes, (shade for shades in SHADES.values() for shade in shades)))
