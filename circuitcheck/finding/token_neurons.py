"""Neurons that write for one token, and tokens that one neuron writes for: the founding study's search for both at once.

found = model.token_neurons(top=20)                    # weights alone
found = model.token_neurons(top=20, on="novel.txt")    # and what the neurons do on texts

Of all neurons and tokens those couples that are each other's most congruent, by how far they are above their seconds (Miller
and Neo 2023). On texts: whether the neuron fires where the token is predicted, and what its ablation costs there.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from circuitcheck.addresses.kinds import layers_with
from circuitcheck.addresses.sites import Site
from circuitcheck.claims.exact.activations import area_under
from circuitcheck.claims.exact.texts import Texts, see_file, texts_of
from circuitcheck.drawing.heatmaps import bars
from circuitcheck.errors import MethodError
from circuitcheck.finding import tables
from circuitcheck.models.bos import token_of
from circuitcheck.prompts.tokens import Tokens, text_of

if TYPE_CHECKING:
    from circuitcheck.engine.reading.exclusive import Couple
    from circuitcheck.engine.reading.texts import Seen, Watched
    from circuitcheck.models.loaded import LoadedModel


@dataclass(frozen=True)
class OnTexts:
    """A neuron and its token on texts.

    ``predicted``: the positions at which the token is the model's top prediction (those where rounding decides are left out);
    ``auc``: how often the activation is higher at one of these than at another, nan where there is none; ``activation`` is its mean
    there and ``elsewhere`` at all others. ``lost``: by how many logits the token's lead over the best other falls there when
    the neuron is held at its mean over all positions but BOS; ``still_top``: at which share of them it stays on top.
    """

    predicted: int
    auc: float
    activation: float
    elsewhere: float
    lost: float
    still_top: float


@dataclass(frozen=True)
class TokenNeuron:
    """A neuron and a token that are each other's most congruent.

    ``token_lead``: how far ``token`` is above ``second_token``, the neuron's best other one; ``neuron_lead``: how far the neuron is
    above ``second_neuron``, the token's best other one; ``exclusive`` is the product of both. Tokens are ids, ``text`` is
    the token as reports write it.
    """

    neuron: str
    token: int
    text: str
    congruence: float
    second_token: int
    token_lead: float
    second_neuron: str
    neuron_lead: float
    texts: OnTexts | None = None

    @property
    def exclusive(self) -> float:
        return self.token_lead * self.neuron_lead


@dataclass(frozen=True)
class TokenNeurons:
    """What ``model.token_neurons()`` gives: couples by mutually exclusive congruence, the highest first.

        >>> model.token_neurons(top=3)
        ' she' and L2.N30 ...

    A sequence of ``TokenNeuron``. ``population`` says of how many neurons and tokens they are, ``texts`` what was read.
    """

    model: str
    weights: str
    population: str
    texts: str
    couples: tuple[TokenNeuron, ...]

    def __iter__(self) -> Iterator[TokenNeuron]:
        return iter(self.couples)

    def __len__(self) -> int:
        return len(self.couples)

    def __getitem__(self, place: int) -> TokenNeuron:
        return self.couples[place]

    @property
    def title(self) -> str:
        """What the table and the picture show."""
        read = f"; on {self.texts}" if self.texts else ""
        return f"mutually exclusive congruence of {self.population} of {self.model} ({self.weights} weights){read}"

    @property
    def rows(self) -> list[dict[str, object]]:
        """A row a couple, by the names of its columns."""
        return [self._row(couple) for couple in self.couples]

    def as_frame(self) -> Any:
        """The table as a pandas ``DataFrame``; raises ``MethodError`` where pandas is not installed."""
        return tables.as_frame(self.rows)

    def svg(self) -> str:
        """The picture: a bar a couple."""
        labels = [f"{couple.text} {couple.neuron}" for couple in self.couples]
        return bars(self.title, labels, [couple.exclusive for couple in self.couples])

    def save(self, path: str | Path) -> None:
        """Write the picture (.svg) or the table (.csv)."""
        tables.save(path, self.svg(), self.rows)

    def __str__(self) -> str:
        return "\n".join([self.title, *(f"  {line}" for line in tables.as_text(self.rows))])

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return self.svg()

    def _row(self, couple: TokenNeuron) -> dict[str, object]:
        row: dict[str, object] = {
            "token": couple.text,
            "neuron": couple.neuron,
            "exclusive": couple.exclusive,
            "congruence": couple.congruence,
            "token lead": couple.token_lead,
            "neuron lead": couple.neuron_lead,
        }
        if (on := couple.texts) is not None:
            row |= {
                "predicted": on.predicted,
                "AUC": on.auc,
                "activation": on.activation,
                "elsewhere": on.elsewhere,
                "lost logits": on.lost,
                "still top": on.still_top,
            }
        return row


def token_neurons(model: "LoadedModel", top: int, on: Texts | None) -> TokenNeurons:
    """See ``Model.token_neurons``."""
    if top < 1:
        raise MethodError(f"top is at least 1, not {top}")
    if on is not None:
        see_file(on)
    from circuitcheck.engine.reading.exclusive import best_couples
    from circuitcheck.engine.reading.weights import WrittenWeights

    layers = layers_with("N", model.anatomy)
    if not layers:
        raise MethodError(f"{model.name} has no neurons that can be addressed")
    neurons = [Site(layer, "N", index) for layer in layers for index in range(model.anatomy.layers[layer].count("N"))]
    with model.answers.question():
        weights = WrittenWeights(model.bridge, "unembedding")
        best = best_couples(weights, layers, top)
        read, on_texts = "", list[OnTexts | None]([None] * len(best))
        if on is not None:
            read, on_texts = _on_texts(model, [(neurons[one.neuron], one.token) for one in best], on)
    couples = tuple(_named(model, neurons, one, seen) for one, seen in zip(best, on_texts, strict=True))
    population = f"{len(neurons):,} neurons and {len(weights.tokens):,} tokens"
    return TokenNeurons(model.name, model.weights, population, read, couples)


def _named(model: "LoadedModel", neurons: list[Site], couple: "Couple", seen: OnTexts | None) -> TokenNeuron:
    return TokenNeuron(
        neuron=str(neurons[couple.neuron]),
        token=couple.token,
        text=text_of(model.tokenizer, couple.token),
        congruence=couple.value,
        second_token=couple.second_token,
        token_lead=couple.token_lead,
        second_neuron=str(neurons[couple.second_neuron]),
        neuron_lead=couple.neuron_lead,
        texts=seen,
    )


def _on_texts(model: "LoadedModel", couples: list[tuple[Site, int]], on: Texts) -> "tuple[str, list[OnTexts | None]]":
    """What texts show of neurons and their tokens; and in words, which texts."""
    from circuitcheck.engine.reading.texts import Watched, in_texts

    texts, words = texts_of(model, on)
    watched = [Watched(neuron, token) for neuron, token in couples]
    seen = in_texts(model.answers, texts, watched)
    return words, [_of_one(model, one, parts) for one, parts in zip(watched, seen, strict=True)]


def _of_one(model: "LoadedModel", watched: "Watched", parts: "dict[Tokens, Seen]") -> OnTexts:
    from circuitcheck.engine.reading.texts import Watched, in_texts, joined

    seen = joined(parts)
    sure = np.abs(seen.margins) > model.rounding * seen.size
    on_top = sure & (seen.margins > 0)
    inside, outside = seen.activations[on_top], seen.activations[sure & ~on_top]
    elsewhere = float(outside.mean()) if len(outside) else np.nan
    if not len(inside):
        return OnTexts(0, np.nan, np.nan, elsewhere, np.nan, np.nan)
    # Only the texts in which the token is predicted somewhere are run again.
    there = {text: part for text, part in parts.items() if (part.margins > 0).any()}
    ablated = Watched(watched.neuron, watched.token, _mean(model, parts))
    before, [after] = joined(there), in_texts(model.answers, list(there), [ablated])
    here = (before.margins > 0) & (np.abs(before.margins) > model.rounding * seen.size)
    left = joined(after).margins[here]
    return OnTexts(
        predicted=len(inside),
        auc=area_under(inside, outside, 0.0)[0] if len(outside) else np.nan,
        activation=float(inside.mean()),
        elsewhere=elsewhere,
        lost=float((before.margins[here] - left).mean()),
        still_top=float((left > 0).mean()),
    )


def _mean(model: "LoadedModel", parts: "dict[Tokens, Seen]") -> float:
    """A neuron's mean activation over the distinct positions of texts, but BOS."""
    from circuitcheck.engine.reading.texts import new_positions

    bos = token_of(model.bridge)
    counted = {text: new & (np.array(text) != bos) for text, new in new_positions(parts).items()}
    return float(np.concatenate([parts[text].activations[which] for text, which in counted.items()]).mean())
