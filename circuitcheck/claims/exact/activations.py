"""Claims about where a neuron fires, on pairs or on text.

firing = model.activation("L31.N892", predicts=" an", on="novel.txt")    # computes nothing
assert firing.auc > 0.9
print(firing.curve)

Does the neuron fire where the model's top prediction is the token? A statement about these texts, and exact about them: the
positions of a text depend on each other, and nobody drew the texts from others.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from circuitcheck.addresses.parsing import one_site
from circuitcheck.claims.exact.figures import Figure, Found
from circuitcheck.claims.gathering import Gathering
from circuitcheck.drawing.heatmaps import bars
from circuitcheck.engine.watching.one_question import once_a_generation
from circuitcheck.errors import BehaviourAbsent, PromptError
from circuitcheck.experiments.methods import Method
from circuitcheck.prompts.alignment import Rejections
from circuitcheck.prompts.ids import members
from circuitcheck.prompts.prompt_pairs import PromptPairs
from circuitcheck.prompts.tokens import Reader, text_of, token_of
from circuitcheck.units import counted

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from circuitcheck.engine.reading.texts import Seen
    from circuitcheck.models.loaded import LoadedModel
    from circuitcheck.types import Floats

Texts = PromptPairs | str | Path | Iterable[str]
_BINS = 10
# Where nothing is said, a text is read in windows of so many tokens at most.
_WINDOW = 1024


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
        self._neuron = one_site(neuron, "N", model.anatomy)
        self._token = token_of(model.bridge.tokenizer, predicts, int(model.bridge.cfg.d_vocab))
        if isinstance(on, str | Path) and not Path(on).is_file():
            raise PromptError(f"{str(on)!r} is no text file; texts themselves are given as a list")
        self._text = text_of(model.bridge.tokenizer, self._token)
        self._label = f"{self._neuron} where {self._text} is predicted"

    @property
    def auc(self) -> Figure:
        method = Method(
            verb="activation",
            granularity=self._neuron.granularity,
            component=str(self._neuron),
            value="area under the ROC of the activation for the top prediction",
            reference="",
            positions="all",
            direction="",
            sites=1,
            universe="",
            frozen="",
            readout=f"top prediction is {self._text}",
            clipped="nothing",
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
    def _texts(self) -> tuple[list[tuple[int, ...]], str]:
        """The texts as token ids, and what they are in words."""
        on, model = self._on, self.model
        if isinstance(on, PromptPairs):
            run = Gathering(model, on, "logit_diff")
            described = [pair for stage in run.described for pair in stage.sample.pairs]
            # The texts are part of what is claimed: the same under every seed.
            pairs = described if run.described[-1].exhausted else run.fixed(len(described)).pairs
            prompts = list(dict.fromkeys(prompt for pair in pairs for prompt in (pair.clean, pair.corrupt)))
            return prompts, f"{len(prompts):,} prompts, of {len(pairs)} of {run.drawn.words}"
        if isinstance(on, str | Path):
            paragraphs = [text for text in re.split(r"\n\s*\n", Path(on).read_text(encoding="utf-8")) if text.strip()]
            return self._read(paragraphs, f"paragraphs of {Path(on).name}")
        texts = members(on)
        wrong = [text for text in texts if not isinstance(text, str)]
        if wrong or not any(text.strip() for text in texts):
            raise PromptError(
                f"on= is PromptPairs, a text file's path or a list of texts, not {wrong[0] if wrong else texts!r}"
            )
        return self._read(texts, "texts")

    def _read(self, texts: list[str], what: str) -> tuple[list[tuple[int, ...]], str]:
        """The texts that the tokenizer reads as they are written, as token ids; and in words how many, and what was left out."""
        reader, left_out = self.model.sampler.aligner.reader, Rejections()
        windows: list[tuple[int, ...]] = []
        for text, read in zip(texts, reader.read(texts), strict=True):
            if read.unread:
                left_out.add(f"with text that {read.unread[0].why}", read.unread[0].inside(text))
            elif text.strip():
                windows += _windows(read.ids, reader, min(int(self.model.bridge.cfg.n_ctx), _WINDOW))
        if not windows or 2 * left_out.total > len(texts):
            raise PromptError(
                f"most of {len(texts):,} {what} cannot be used:\n  {str(left_out) or 'they hold no token'}"
            )
        if not left_out.total:
            return windows, f"{len(texts):,} {what}"
        return windows, f"{len(texts) - left_out.total:,} of {len(texts):,} {what} (left out: {left_out})"

    @once_a_generation
    def _seen(self) -> "Seen":
        from circuitcheck.engine.reading.texts import on_texts

        return on_texts(self.model.answers, self._texts[0], self._neuron, self._token)

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
        area, ties = _area_under(inside, outside, self.model.rounding * float(np.abs(activations).max()))
        note = f"the top prediction at {len(inside):,} positions"
        notes = (
            (note, f"{open_ones} positions are left out, where rounding decides what is on top")
            if open_ones
            else (note,)
        )
        return Found(area, len(top), "positions", what, ties, ties, notes)


def _windows(ids: tuple[int, ...], reader: Reader, size: int) -> Iterator[tuple[int, ...]]:
    """A text cut to what the model reads at once, each piece behind one BOS where that is convention."""
    bos = reader.front(())
    text, size = ids[len(bos) :] if ids[: len(bos)] == bos else ids, size - len(bos)
    for start in range(0, max(len(text), bool(ids)), size):
        piece = text[start : start + size]
        yield (*reader.front(piece), *piece)


def _area_under(inside: "Floats", outside: "Floats", rounding: float) -> tuple[float, float]:
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
