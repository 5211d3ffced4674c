"""Claims about what a head copies and attends to: of its weights, and of plain sequences of tokens.

head = model.head("L5.H1")          # computes nothing
assert head.prefix_matching > 0.4
assert head.rank_by_prefix_matching == 1
assert model.head("L9.H9").copies([" Mary", " John"]) > 0.95

The scores by which replications name heads: they say what a head looks like, not what it does for a behaviour.

Copying (Elhage et al. 2021) is the sum of the eigenvalues of the head's OV circuit, from token to logit (W_E W_V W_O W_U), over the sum of
their sizes: 1 where every token makes itself more likely, about 0 where nothing does, -1 where every one makes itself less likely. The
scales of normalisations are left out, and weights are those that the model runs with: folded, as "processed" weights are.
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Literal

import numpy as np

from circuitcheck.addresses.kinds import layers_with
from circuitcheck.addresses.parsing import one_site
from circuitcheck.addresses.sites import Site
from circuitcheck.claims.exact.congruence import placed
from circuitcheck.claims.exact.figures import Figure, FigureRank, Found
from circuitcheck.claims.exact.texts import Texts, see_file, texts_of
from circuitcheck.engine.watching.one_question import once_a_generation
from circuitcheck.errors import BehaviourAbsent, MethodError, PromptError
from circuitcheck.experiments.methods import Method
from circuitcheck.prompts.tokens import token_of
from circuitcheck.units import counted

if TYPE_CHECKING:
    from circuitcheck.engine.reading.heads import Attended
    from circuitcheck.models.loaded import LoadedModel
    from circuitcheck.types import Floats

# What is drawn where nothing is given: so many sequences of so many tokens that differ, each said twice.
_SEQUENCES, _LENGTH = 16, 50
# How far rounding moves attention, in roundings of logits.
_MOVED = 16
Score = Literal["copying", "previous", "prefix"]
_NAMES = {"copying": "OV copying score", "previous": "previous-token score", "prefix": "prefix-matching score"}
_VALUES = {
    "copying": "eigenvalues of the OV circuit: their sum over the sum of their sizes",
    "previous": "mean attention from each token to the one before it",
    "prefix": "mean attention from each token that occurred before to those that followed it there",
}


class HeadScores:
    """The scores of a head; made by ``model.head``. Each figure computes what it needs when it is compared.

    ``copying``          the OV copying score, from -1 to 1 (Elhage et al. 2021)
    ``previous_token``   the mean attention from each token to the one before it (Olsson et al. 2022)
    ``prefix_matching``  the mean attention from each token that occurred before to the tokens that followed it there, all of them
                         together: what an induction head attends to (Olsson et al. 2022)
    ``rank_by_...``      the head's place among all heads of the model by that score, 1 for the highest
    """

    def __init__(self, model: "LoadedModel", head: str, on: "Texts | None" = None):
        self.model, self._on, self._head = model, on, one_site(head, "H", model.anatomy)
        if on is not None:
            see_file(on)

    @property
    def copying(self) -> Figure:
        return self._figure("copying", (-1.0, 1.0))

    @property
    def previous_token(self) -> Figure:
        return self._figure("previous", (0.0, 1.0))

    @property
    def prefix_matching(self) -> Figure:
        return self._figure("prefix", (0.0, 1.0))

    @property
    def rank_by_copying(self) -> FigureRank:
        return self._rank("copying")

    @property
    def rank_by_previous_token(self) -> FigureRank:
        return self._rank("previous")

    @property
    def rank_by_prefix_matching(self) -> FigureRank:
        return self._rank("prefix")

    def copies(self, tokens: Iterable[str | int], top: int = 5) -> Figure:
        """The share of tokens that are among the ``top`` that the head writes, if it attends to the token alone.

            assert model.head("L9.H9").copies([" Mary", " John"]) > 0.95

        The copy score of name movers (Wang et al. 2022): the stream after the first block, at the token behind BOS (where that is
        convention), through the head's normalisation and OV matrix, the final normalisation and the unembedding. ``tokens``: texts that are
        one token, or token ids. Raises ``MethodError`` for a head of the first layer, which reads no such stream, ``PromptError`` for what is not one
        token.
        """
        if not self._head.layer:
            raise MethodError(
                f"{self._head} is in the first layer: it reads embeddings, and not the stream after that layer"
            )
        if isinstance(top, bool) or not isinstance(top, int) or top < 1:
            raise MethodError(f"top= is a whole number of at least 1, not {top!r}")
        given = [tokens] if isinstance(tokens, str | int) else list(tokens)
        if not given:
            raise PromptError("copies takes tokens, and there are none")
        ids = [token_of(self.model.tokenizer, one, self.model.profile.d_vocab) for one in given]
        method = self._method(
            f"share of tokens among the top {top} that the OV circuit writes of them", "tokens, each by itself"
        )
        return Figure(
            self.model, f"copies by {self._head}", method, lambda: self._copied(ids, top), "tokens", (0.0, 1.0)
        )

    def __repr__(self) -> str:
        return f"<scores of {self._head}>"

    def _figure(self, score: Score, limits: tuple[float, float]) -> Figure:
        unit = "score" if score == "copying" else "attention"
        label = f"{_NAMES[score]} of {self._head}"
        return Figure(self.model, label, self._method_of(score), lambda: self._found(score), unit, limits)

    def _rank(self, score: Score) -> FigureRank:
        label = f"rank among heads of the {_NAMES[score]} of {self._head}"

        def place() -> Found:
            return placed(*self._all(score), self._place, "heads", self._name, _NAMES[score])

        return FigureRank(self.model, label, self._method_of(score), place)

    def _method_of(self, score: Score) -> Method:
        read = f"{self.model.weights} weights" if score == "copying" else self._words
        return self._method(_VALUES[score], read)

    def _method(self, value: str, readout: str) -> Method:
        return Method(
            verb="head scores",
            granularity=self._head.granularity,
            component=str(self._head),
            value=value,
            readout=readout,
        )

    @property
    def _words(self) -> str:
        if self._on is not None:
            return "texts"
        return f"{_SEQUENCES} sequences of {self._length} random tokens, each said twice"

    @property
    def _length(self) -> int:
        """How many tokens are said twice: fewer than usual, where the context or the vocabulary holds no more."""
        profile, front = self.model.profile, self.model.sampler.aligner.reader.front(())
        return min(_LENGTH, (profile.n_ctx - len(front)) // 2, profile.d_vocab // 2)

    def _found(self, score: Score) -> Found:
        scores, doubts = self._all(score)
        number, doubt = float(scores[self._place]), float(doubts[self._place])
        if score == "copying":
            return Found(number, 1, "head", "weights alone: no prompts", doubt, doubt)
        what = self._sequences[1]
        by_sequence = self._attended(score)[:, self._place]
        there = by_sequence[~np.isnan(by_sequence)]
        note = f"by sequence from {there.min():.3g} to {there.max():.3g}"
        return Found(number, len(there), "sequences", f"{what}; about these alone", doubt, doubt, (note,))

    def _all(self, score: Score) -> "tuple[Floats, Floats]":
        """Every head's score, and its doubt; both of shape [head of all layers]."""
        if score == "copying":
            return self._copying
        attended = self._attended(score)
        there = ~np.isnan(attended).any(1)
        if not there.any():
            why = (
                "has two tokens"
                if score == "previous"
                else "has a token that occurs twice, so that no prefix is to be matched"
            )
            raise BehaviourAbsent(f"behaviour absent: of {self._sequences[1]} none {why}")
        scores: Floats = attended[there].mean(0)
        return scores, np.full(len(scores), _MOVED * self.model.rounding)

    def _attended(self, score: Score) -> "Floats":
        """Of shape [sequence, head of all layers]."""
        return np.array([one.previous if score == "previous" else one.prefix for one in self._seen])

    @once_a_generation
    def _copying(self) -> "tuple[Floats, Floats]":
        from circuitcheck.engine.reading.heads import copying_scores

        normed = [layer for layer in self._sizes if self.model.anatomy.layers[layer].post_norm]
        if normed:
            raise MethodError(
                f"{self.model.name} has a normalisation after each sublayer, so that what L{normed[0]}'s heads write is no product of matrices: "
                "their OV circuits have no copying score"
            )
        layers = tuple(self._sizes)
        scores, doubts = self.model.answers.worked_out(
            ("copying scores", layers), lambda: copying_scores(self.model.bridge, layers)
        )
        return scores, doubts

    @once_a_generation
    def _seen(self) -> "list[Attended]":
        from circuitcheck.engine.reading.heads import attended

        return attended(self.model.answers, self._sequences[0], list(self._sizes))

    @once_a_generation
    def _sequences(self) -> tuple[list[tuple[int, ...]], str]:
        """Token ids, and what they are in words."""
        if self._on is not None:
            return texts_of(self.model, self._on)
        from circuitcheck.engine.reading.heads import random_sequences

        front = self.model.sampler.aligner.reader.front
        count, length = _SEQUENCES, self._length

        def draw() -> "Floats":
            return np.array(random_sequences(self.model.bridge, count, length, front), dtype=float)

        drawn = self.model.answers.worked_out(("random sequences", count, length), draw)
        found = [tuple(map(int, one)) for one in drawn]
        return found, f"{self._words} (fixed seed)"

    def _copied(self, ids: list[int], top: int) -> Found:
        from circuitcheck.engine.reading.heads import ranks_of_copies

        with self.model.answers.question():
            front = self.model.sampler.aligner.reader.front((ids[0],))

            def make() -> "Floats":
                return np.array(ranks_of_copies(self.model.answers.engine, self._head, ids, front))

            doing = ("ranks of copies", self._head, tuple(ids), tuple(front))
            ranks, near = self.model.answers.worked_out(doing, make)
        inside, n = ranks <= top, len(ids)
        # Those that tie with others may stand lower, or higher.
        below, above = (inside & (ranks + near > top)).sum() / n, (~inside & (ranks - near <= top)).sum() / n
        return Found(
            float(inside.mean()),
            n,
            "tokens",
            f"{counted(n, 'tokens')}, each by itself; about these alone",
            float(below),
            float(above),
        )

    @property
    def _sizes(self) -> dict[int, int]:
        """How many heads each layer has, of those that have any."""
        anatomy = self.model.anatomy
        return {layer: anatomy.layers[layer].count("H") for layer in layers_with("H", anatomy)}

    @property
    def _place(self) -> int:
        """This head's place among those of all layers."""
        return self._head.index + sum(size for layer, size in self._sizes.items() if layer < self._head.layer)

    def _name(self, place: int) -> str:
        """The head at a place among those of all layers."""
        names = [str(Site(layer, "H", index)) for layer, size in self._sizes.items() for index in range(size)]
        return names[place]
