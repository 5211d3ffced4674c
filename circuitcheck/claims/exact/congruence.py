"""Claims about weights: what a neuron writes, beside what a token is read by.

congruence = model.congruence("L31.N892", " an")     # computes nothing
assert congruence.rank_among_neurons == 1
assert congruence.exclusive > 0

Congruence (Miller & Neo 2023) is the dot product of a neuron's output weights with a token's column of the unembedding: what
one unit of activation adds directly to the token's logit, before the final norm's scale. The weights are those that the
model runs with: folding LayerNorm and centring, as "processed" weights are, changes congruences.
"""

from collections.abc import Callable, Hashable, Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, get_args

import numpy as np

from circuitcheck.addresses.kinds import layers_with
from circuitcheck.addresses.parsing import one_site
from circuitcheck.addresses.sites import Site
from circuitcheck.claims.exact.figures import Figure, FigureRank, Found
from circuitcheck.engine.reading.weights import Against, WrittenWeights
from circuitcheck.engine.watching.one_question import once_a_generation
from circuitcheck.errors import MethodError
from circuitcheck.experiments.methods import Method
from circuitcheck.prompts.tokens import text_of, token_of
from circuitcheck.texts import plural

if TYPE_CHECKING:
    from circuitcheck.models.loaded import LoadedModel
    from circuitcheck.types import Floats


class Congruence:
    """A neuron's output weights beside one token's vector; made by ``model.congruence``. Each figure computes what it needs
    when it is compared.

    ``value``                the dot product
    ``rank_among_neurons``   the neuron's place among all neurons of all layers for this token, 1 for the highest
    ``rank_among_tokens``    the token's place among all tokens for this neuron, 1 for the highest
    ``exclusive``            mutually exclusive congruence: where neuron and token are each other's best, the token's lead
                             over the neuron's second token times the neuron's lead over the token's second neuron; else 0
    ``input_scaled``         the value times the mean squared input weight
    """

    def __init__(self, model: "LoadedModel", neuron: str, token: str | int, against: Against = "unembedding"):
        if against not in get_args(Against):
            raise MethodError(f"congruence is against='unembedding' or against='embedding', not {against!r}")
        self.model, self._against = model, against
        self._neuron = one_site(neuron, "N", model.anatomy)
        self._token = token_of(model.tokenizer, token, model.profile.d_vocab)
        self._pair = f"{self._neuron} with {self._text(self._token)}"
        self._pair += " (embedding)" if against == "embedding" else ""

    @property
    def value(self) -> Figure:
        return self._figure("congruence", self._value)

    @property
    def input_scaled(self) -> Figure:
        return self._figure("input-scaled congruence", self._input_scaled, " · mean squared input weight")

    @property
    def exclusive(self) -> Figure:
        return self._figure("mutually exclusive congruence", self._exclusive)

    @property
    def rank_among_neurons(self) -> FigureRank:
        label = f"rank among neurons of the congruence of {self._pair}"
        return FigureRank(self.model, label, self._method(), self._rank_among_neurons)

    @property
    def rank_among_tokens(self) -> FigureRank:
        label = f"rank among tokens of the congruence of {self._pair}"
        return FigureRank(self.model, label, self._method(), self._rank_among_tokens)

    def __repr__(self) -> str:
        return f"<congruence of {self._pair}>"

    def _figure(self, name: str, work_out: Callable[[], Found], more: str = "") -> Figure:
        return Figure(self.model, f"{name} of {self._pair}", self._method(more), work_out, "congruence")

    def _method(self, more: str = "") -> Method:
        return Method(
            verb="congruence",
            granularity=self._neuron.granularity,
            component=str(self._neuron),
            value=f"output weights · {self._against} of {self._text(self._token)}{more}",
            direction=f"{self.model.weights} weights",
            readout=self._against,
        )

    def _of_weights(self, *what: Hashable, make: "Callable[[WrittenWeights], Iterable[Floats | float]]") -> "Floats":
        """Numbers of the weights alone, remembered by ``what`` they are; read where they are not."""

        def read() -> "Floats":
            return np.array([*make(WrittenWeights(self.model.bridge, self._against))])

        return self.model.answers.worked_out(("congruence", self._against, *what), read)

    @once_a_generation
    def _number(self) -> tuple[float, float]:
        """The dot product, and by how much rounding puts it in doubt."""
        neuron, token = self._neuron, self._token
        value, doubt = self._of_weights("product", neuron, token, make=lambda read: read.product(neuron, token))
        return float(value), float(doubt)

    @once_a_generation
    def _of_neurons(self) -> "tuple[Floats, Floats]":
        """Every neuron's dot product with this token, and its doubt; both of shape [neuron of all layers]."""
        token, layers = self._token, list(self._sizes)
        numbers, doubts = self._of_weights("neurons", token, make=lambda read: read.of_neurons(token, layers))
        return numbers, doubts

    @once_a_generation
    def _of_tokens(self) -> "tuple[Floats, Floats]":
        """Every token's dot product with this neuron, and its doubt; both of shape [token]."""
        numbers, doubts = self._of_weights("tokens", self._neuron, make=lambda read: read.of_tokens(self._neuron))
        return numbers, doubts

    def _value(self) -> Found:
        value, doubt = self._number
        return self._found(value, doubt)

    def _input_scaled(self) -> Found:
        value, doubt = self._number
        neuron = self._neuron
        scale = float(self._of_weights("input", neuron, make=lambda read: [read.mean_squared_input(neuron)])[0])
        return self._found(value * scale, doubt * scale)

    def _exclusive(self) -> Found:
        (tokens, token_doubts), (neurons, neuron_doubts) = self._of_tokens, self._of_neurons
        lead, second_token = _lead(tokens, self._token)
        lead_of_neuron, second_neuron = _lead(neurons, self._place)
        if lead < 0 or lead_of_neuron < 0:
            best = f"the neuron's best token is {self._text(int(tokens.argmax()))}"
            note = f"{best}, the token's best neuron {self._name(int(neurons.argmax()))}"
            return replace(self._found(0.0, 0.0), notes=(note,))
        doubt, doubt_of_neuron = 2 * float(token_doubts.max()), 2 * float(neuron_doubts.max())
        found = self._found(
            lead * lead_of_neuron, doubt * lead_of_neuron + lead * doubt_of_neuron + doubt * doubt_of_neuron
        )
        seconds = f"the second token is {self._text(second_token)}, the second neuron {self._name(second_neuron)}"
        return replace(found, notes=(seconds,))

    def _rank_among_neurons(self) -> Found:
        return placed(*self._of_neurons, self._place, "neurons", self._name, "congruence")

    def _rank_among_tokens(self) -> Found:
        return placed(*self._of_tokens, self._token, "tokens", self._text, "congruence")

    def _found(self, number: float, doubt: float) -> Found:
        return Found(number, 1, "neuron", "weights alone: no prompts", doubt, doubt)

    @property
    def _sizes(self) -> dict[int, int]:
        """How many neurons each layer has, of those that have any."""
        anatomy = self.model.anatomy
        return {layer: anatomy.layers[layer].count("N") for layer in layers_with("N", anatomy)}

    @property
    def _place(self) -> int:
        """This neuron's place among those of all layers."""
        return self._neuron.index + sum(size for layer, size in self._sizes.items() if layer < self._neuron.layer)

    def _name(self, place: int) -> str:
        """The neuron at a place among those of all layers."""
        for layer, size in self._sizes.items():
            if place < size:
                return str(Site(layer, "N", place))
            place -= size
        raise AssertionError("a place is that of a neuron")

    def _text(self, token: int) -> str:
        return text_of(self.model.tokenizer, token)


def _lead(values: "Floats", place: int) -> tuple[float, int]:
    """By how much one stands above the best of the others, and which that is."""
    others = values.copy()
    others[place] = -float("inf")
    second = int(others.argmax())
    return float(values[place] - values[second]), second


def placed(
    values: "Floats", doubts: "Floats", place: int, counted: str, name: Callable[[int], str], what: str
) -> Found:
    """The place of one among all by ``what`` they have, as high and as low as rounding lets it be."""
    above = values - values[place]
    near = np.abs(above) <= doubts + doubts[place]
    near[place] = False
    rank = 1 + int((above > 0).sum())
    best = 1 + int(((above > 0) & ~near).sum())
    _, second = _lead(values, place)
    note = f"its {what} is {float(values[place]):.4g}; the best of the others is {name(second)}, {float(values[second]):.4g}"
    notes = (
        (note, f"{plural(int(near.sum()), 'other')} {'is' if near.sum() == 1 else 'are'} as good to within rounding")
        if bool(near.any())
        else (note,)
    )
    worst = best + int(near.sum())
    population = f"all {len(values):,} {counted} of the model"
    return Found(rank, len(values), counted, population, rank - best, worst - rank, notes)
