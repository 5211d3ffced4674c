"""One neuron: what it writes, what it reads, and where it fires.

model.explain("L31.N892")
model.explain("L31.N892", on="novel.txt").fires[0]
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from circuitcheck.addresses.kinds import layers_with
from circuitcheck.addresses.parsing import one_site
from circuitcheck.addresses.sites import Site
from circuitcheck.claims.exact.texts import Texts, see_file, texts_of
from circuitcheck.drawing.heatmaps import bars
from circuitcheck.drawing.stacked import stacked
from circuitcheck.errors import MethodError
from circuitcheck.finding import tables
from circuitcheck.prompts.tokens import Tokens, text_of

if TYPE_CHECKING:
    from circuitcheck.models.loaded import LoadedModel
    from circuitcheck.types import Floats

# Tokens of a text that are shown before and after the one at which a neuron fires.
_BEFORE, _AFTER = 8, 3


@dataclass(frozen=True)
class Ranking:
    """The highest and the lowest of some dot products, as (name, value): tokens as reports write them, or addresses."""

    title: str
    highest: tuple[tuple[str, float], ...]
    lowest: tuple[tuple[str, float], ...]

    def svg(self) -> str:
        """The picture: a bar each."""
        labels, values = zip(*self.highest, *reversed(self.lowest), strict=True)
        return bars(self.title, labels, values)


@dataclass(frozen=True)
class Firing:
    """A position at which a neuron fires: its ``activation``, the ``token`` there, and what stands ``before`` and ``after``."""

    activation: float
    before: str
    token: str
    after: str


@dataclass(frozen=True)
class Explanation:
    """What ``model.explain(neuron)`` gives.

    ``writes``: the tokens that it writes for and against. ``reads``: by its input weights ("input", or "gate" and "up"), the
    tokens whose embeddings they read for and against; ``hears``: in the same way, the neurons of earlier layers.
    ``fires``: the positions of texts at which its activation is largest, of either sign, the largest first; ``texts`` says which
    texts, and is empty where none were read.
    """

    neuron: str
    model: str
    writes: Ranking
    reads: dict[str, Ranking]
    hears: dict[str, Ranking]
    fires: tuple[Firing, ...] = ()
    texts: str = ""

    @property
    def rankings(self) -> list[Ranking]:
        """All that its weights say."""
        return [self.writes, *self.reads.values(), *self.hears.values()]

    @property
    def rows(self) -> list[dict[str, object]]:
        """Each number in a row: what it is about, of what or where, and the number."""
        by_weights: list[dict[str, object]] = [
            {"about": ranking.title, "name": name, "value": value}
            for ranking in self.rankings
            for name, value in (*ranking.highest, *ranking.lowest)
        ]
        firing: list[dict[str, object]] = [
            {"about": self._fires, "name": f"{one.before}[{one.token}]{one.after}", "value": one.activation}
            for one in self.fires
        ]
        return by_weights + firing

    def as_frame(self) -> Any:
        """All numbers as a pandas ``DataFrame``; raises ``MethodError`` where pandas is not installed."""
        return tables.as_frame(self.rows)

    def svg(self) -> str:
        """The pictures of all that its weights say and of where it fires, one below the other."""
        pictures = [ranking.svg() for ranking in self.rankings]
        if self.fires:
            labels = [f"{one.before[-30:]}[{one.token}]" for one in self.fires]
            pictures.append(bars(self._fires, labels, [one.activation for one in self.fires]))
        return stacked(pictures)

    def save(self, path: str | Path) -> None:
        """Write the pictures (.svg) or all numbers (.csv)."""
        tables.save(path, self.svg(), self.rows)

    def __str__(self) -> str:
        lines = [f"{self.neuron} of {self.model}"]
        for ranking in self.rankings:
            lines.append(ranking.title)
            for word, some in (("for", ranking.highest), ("against", ranking.lowest)):
                lines.append(f"  {word:>7}  {', '.join(f'{name} {value:.3g}' for name, value in some)}")
        if self.texts:
            lines.append(self._fires)
            lines += [f"  {one.activation:>7.3g}  {one.before}[{one.token}]{one.after}" for one in self.fires]
        return "\n".join(lines)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return self.svg()

    @property
    def _fires(self) -> str:
        return f"where {self.neuron} fires, in {self.texts}"


def explain(model: "LoadedModel", neuron: str, top: int, on: Texts | None) -> Explanation:
    """See ``Model.explain``."""
    if top < 1:
        raise MethodError(f"top is at least 1, not {top}")
    if on is not None:
        see_file(on)
    from circuitcheck.engine.reading.weights import WrittenWeights

    site = one_site(neuron, "N", model.anatomy)
    earlier = [layer for layer in layers_with("N", model.anatomy) if layer < site.layer]

    def token(place: int) -> str:
        return text_of(model.tokenizer, place)

    def upstream(place: int) -> str:
        for layer in earlier:
            if place < (size := model.anatomy.layers[layer].count("N")):
                break
            place -= size
        return str(Site(layer, "N", place))

    with model.answers.question():
        written, embedded = (WrittenWeights(model.bridge, against) for against in ("unembedding", "embedding"))
        writes = _ranking(f"{site} writes: output weights · unembedding", written.of_tokens(site)[0], top, token)
        reads, hears = {}, {}
        for name, vector in written.inputs(site).items():
            weights = "input weights" if name == "input" else f"{name} weights"
            values, _ = embedded.tokens_along(vector)
            reads[name] = _ranking(f"{site} reads: {weights} · embedding", values, top, token)
            if earlier:
                values, _ = written.neurons_along(vector, earlier)
                hears[name] = _ranking(
                    f"{site} hears: {weights} · output weights of earlier neurons", values, top, upstream
                )
        fires, words = (
            ((), "") if on is None else _firing(model, site, int(written.of_tokens(site)[0].argmax()), top, on)
        )
    return Explanation(str(site), model.name, writes, reads, hears, fires, words)


def _ranking(title: str, values: "Floats", top: int, name: Callable[[int], str]) -> Ranking:
    order = np.argsort(-values, kind="stable")

    def named(places: "np.ndarray[Any, Any]") -> tuple[tuple[str, float], ...]:
        return tuple((name(int(place)), float(values[place])) for place in places)

    return Ranking(title, named(order[:top]), named(order[::-1][: max(0, min(top, len(order) - top))]))


def _firing(model: "LoadedModel", neuron: Site, token: int, top: int, on: Texts) -> tuple[tuple[Firing, ...], str]:
    """The positions of texts at which the activation is largest, of either sign; and in words, which texts."""
    from circuitcheck.engine.reading.texts import Watched, in_texts, new_positions

    texts, words = texts_of(model, on)
    [seen] = in_texts(model.answers, texts, [Watched(neuron, token)])
    places = [
        (float(seen[text].activations[place]), text, int(place))
        for text, new in new_positions(seen).items()
        for place in np.flatnonzero(new)
    ]
    places.sort(key=lambda one: -abs(one[0]))
    return tuple(_shown(model, *one) for one in places[:top]), words


def _shown(model: "LoadedModel", activation: float, text: Tokens, place: int) -> Firing:
    start, tokenizer = max(0, place - _BEFORE), model.tokenizer

    def until(end: int) -> str:
        part = list(text[start:end])
        return " ".join(map(str, part)) if tokenizer is None else str(tokenizer.decode(part))

    # Together, and not one by one: many tokenizers leave a space out at the beginning.
    before, there, after = until(place), until(place + 1), until(place + 1 + _AFTER)
    return Firing(activation, before, there.removeprefix(before), after.removeprefix(there))
