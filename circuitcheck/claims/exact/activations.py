"""Claims about where a neuron, or a feature of a dictionary, fires, on pairs or on text.

firing = model.activation("L31.N892", predicts=" an", on="novel.txt")    # computes nothing
assert firing.auc > 0.9
print(firing.curve)

Does the neuron fire where the model's top prediction is the token? A statement about these texts, and exact about them: the
positions of a text depend on each other, and nobody drew the texts from others.
"""

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from circuitcheck.addresses.parsing import one_site
from circuitcheck.claims.exact.figures import Figure, Found
from circuitcheck.claims.exact.texts import Texts, see_file, texts_of
from circuitcheck.drawing.heatmaps import bars
from circuitcheck.engine.watching.one_question import once_a_generation
from circuitcheck.errors import BehaviourAbsent
from circuitcheck.experiments.methods import Method
from circuitcheck.prompts.tokens import Tokens, text_of, token_of
from circuitcheck.units import counted

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from circuitcheck.engine.reading.texts import Seen
    from circuitcheck.models.loaded import LoadedModel
    from circuitcheck.types import Floats

_BINS = 10


@dataclass(frozen=True)
class Curve:
    """How often the token is the top prediction, by activation. ``edges`` of the bins, of shape [bin + 1]; ``positions`` and
    ``share`` of shape [bin], nan where there is no place.

        >>> model.activation("L1.N8", predicts=" a", on=FRUIT).curve
    """

    title: str
    edges: "Floats"
    positions: "NDArray[np.integer[Any]]"
    share: "Floats" = field(repr=False)

    @property
    def rows(self) -> list[tuple[str, int, float]]:
        """Each bin that has positions: from and to, how many, which share."""
        bins = zip(self.edges[:-1], self.edges[1:], self.positions, self.share, strict=True)
        return [
            (f"{low:.2f} to {high:.2f}", int(positions), float(share))
            for low, high, positions, share in bins
            if positions
        ]

    def svg(self) -> str:
        """The picture: a bar a bin."""
        labels, _, shares = zip(*self.rows, strict=True)
        return bars(self.title, labels, shares)

    def save(self, path: str | Path) -> None:
        """Write the picture as an SVG file."""
        Path(path).write_text(self.svg(), encoding="utf-8")

    def __str__(self) -> str:
        lines = [f"  {label:>18} {share:>6.1%}  of {positions:,}" for label, positions, share in self.rows]
        return "\n".join([self.title, *lines])

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return self.svg()


class Activation:
    """A neuron's activation beside the top prediction; made by ``model.activation``. It runs the model when it is asked.

    ``auc``      the area under the ROC curve: how often the activation is higher where the token is the top prediction than
                 where it is not; 0.5 for a neuron that has nothing to do with it
    ``curve``    the share of positions where the token is the top prediction, by activation
    """

    def __init__(self, model: "LoadedModel", neuron: str, predicts: str | int, on: Texts):
        self.model, self._on = model, on
        self._neuron = one_site(neuron, "N", model.anatomy, or_feature=True)
        self._token = token_of(model.tokenizer, predicts, model.profile.d_vocab)
        see_file(on)
        self._text = text_of(model.tokenizer, self._token)
        self._label = f"{self._neuron} where {self._text} is predicted"

    @property
    def auc(self) -> Figure:
        method = Method(
            verb="activation",
            granularity=self._neuron.granularity,
            component=str(self._neuron),
            value="area under the ROC of the activation for the top prediction",
            positions="all",
            readout=f"top prediction is {self._text}",
        )
        label, unit = f"AUC of {self._label}", "area under the curve"
        return Figure(self.model, label, method, self._area, unit, (0.0, 1.0))

    @property
    def curve(self) -> Curve:
        activations, top, _ = self._decided
        edges = np.linspace(activations.min(), activations.max(), _BINS + 1)
        bins = np.clip(np.searchsorted(edges, activations, side="right") - 1, 0, _BINS - 1)
        positions = np.bincount(bins, minlength=_BINS)
        with np.errstate(invalid="ignore"):
            share = np.bincount(bins, weights=top, minlength=_BINS) / positions
        return Curve(f"activation of {self._label}: share of {len(top):,} positions", edges, positions, share)

    def __repr__(self) -> str:
        return f"<activation of {self._label}>"

    @cached_property
    def _texts(self) -> tuple[list[Tokens], str]:
        return texts_of(self.model, self._on)

    @once_a_generation
    def _seen(self) -> "Seen":
        from circuitcheck.engine.reading.texts import Watched, on_texts

        return on_texts(self.model.answers, self._texts[0], Watched(self._neuron, self._token))

    @property
    def _decided(self) -> "tuple[Floats, Floats, int]":
        """Activations, whether the token is the top prediction, and at how many positions rounding leaves that open (these
        are left out)."""
        seen = self._seen
        sure = np.abs(seen.margins) > self.model.rounding * seen.size
        top: Floats = (seen.margins[sure] > 0).astype(float)
        return seen.activations[sure], top, int((~sure).sum())

    def _area(self) -> Found:
        activations, top, open_ones = self._decided
        inside, outside = activations[top == 1], activations[top == 0]
        what = f"{counted(len(top), 'positions')} of {self._texts[1]}; about these texts alone"
        if not len(inside) or not len(outside):
            which = "none" if not len(inside) else "all"
            raise BehaviourAbsent(
                f"behaviour absent: on {self.model.name} {self._text} is the top prediction at {which} of {what}"
            )
        area, ties = area_under(inside, outside, self.model.rounding * float(np.abs(activations).max()))
        note = f"the top prediction at {len(inside):,} positions"
        notes = (
            (note, f"{open_ones} positions are left out, where rounding decides what is on top")
            if open_ones
            else (note,)
        )
        return Found(area, len(top), "positions", what, ties, ties, notes)


def area_under(inside: "Floats", outside: "Floats", rounding: float) -> tuple[float, float]:
    """The area under the ROC curve of numbers inside and outside a class, and how much of it rests on couples that are
    nearer to each other than rounding (but not equal)."""
    from scipy.stats import mannwhitneyu

    couples = len(inside) * len(outside)
    area = float(mannwhitneyu(inside, outside, method="asymptotic").statistic) / couples
    ordered = np.sort(outside)

    def within(reach: float) -> int:
        high, low = np.searchsorted(ordered, inside + reach, "right"), np.searchsorted(ordered, inside - reach, "left")
        return int((high - low).sum())

    return area, (within(rounding) - within(0.0)) / couples
