"""One description of prompt pairs: templates, slots, answers.

    PromptPairs(
        "When {io} and {s} went to the {place}, {s2} gave a {thing} to",
        io=["Mary", "Tom"], s=["John", "Ann"], distinct=("io", "s"), s2=contrast(clean="{s}", corrupt="{io}"),
        place=["park", "shop"], thing=["book", "key"], answer=" {io}", foil=" {s}",
    )

A slot is a list of fillers, a ``contrast`` (what differs between the clean and the corrupted prompt), or text in which
other slots stand. ``populations.py`` draws pairs from a description; ``alignment.py`` turns them into tokens.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

from circuitcheck.errors import PromptError
from circuitcheck.prompts.answers import AnswerSpec, Fillers, spec_of
from circuitcheck.prompts.descriptions import Description, half_of
from circuitcheck.prompts.hypothesis_examples import examples_of
from circuitcheck.prompts.pairs import Pair
from circuitcheck.prompts.rows import row_of
from circuitcheck.prompts.slots import Choice, contrast, slot_of
from circuitcheck.prompts.typos import KINDS, NOISE

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy

_PREFIX = "prefix"
Merging = Literal["", "as tokens"]


class PromptPairs:
    """A population of clean / corrupted prompt pairs, described once.

    FRUIT = PromptPairs(
        "I climbed up the {fruit} tree and picked",
        fruit=contrast(clean=["apple", "orange"], corrupt=["lemon", "peach"]), answer=" an", foil=" a",
    )

    A slot is a list of fillers, a mapping from fillers to how likely they are, a ``contrast``, or text in which other slots
    stand. Several templates make one population. ``answer`` and ``foil`` are text in which slots may stand (filled as in the
    clean prompt), a list of such texts, or a function from the clean fillers to either. ``where`` is a function from
    the fillers (clean, then corrupted) to True for the pairs to keep; ``distinct`` names slots whose fillers must
    differ on each side.

    Answers and foils are the tokens that continue the prompt, one or several (see docs/answers.md). A pair whose answer merges with the
    end of its prompt is rejected; ``merging="as tokens"`` reads the answer's own tokens there. Raises ``PromptError`` for a description that cannot be.
    """

    def __init__(
        self,
        *templates: str,
        answer: AnswerSpec,
        foil: AnswerSpec = (),
        where: Callable[[Fillers, Fillers], bool] | None = None,
        distinct: Sequence[str] = (),
        merging: Merging = "",
        **slots: Sequence[str] | Mapping[str, float] | contrast | str,
    ):
        if not templates:
            raise PromptError("PromptPairs needs at least one template, such as 'The {thing} is'")
        for template in templates:
            if not isinstance(template, str):
                raise PromptError(f"a template is text, not {template!r} (several: PromptPairs(*templates, ...))")
            if templates.count(template) > 1:
                raise PromptError(f"template {template!r} is given twice, which would count its pairs twice")
        self.description = Description(
            templates,
            {slot: slot_of(slot, value) for slot, value in slots.items()},
            spec_of("answer", answer),
            spec_of("foil", foil),
            where,
            (distinct,) if isinstance(distinct, str) else tuple(distinct),
            as_tokens=_as_tokens(merging),
        )
        self.description.check()
        self._halves: dict[str, PromptPairs] = {}

    @classmethod
    def from_rows(cls, rows: Sequence[Mapping[str, Any]], *, merging: Merging = "") -> "PromptPairs":
        """Pairs as they are: mappings with ``clean``, ``corrupt``, ``answer`` and (if there is one) ``foil``.

            PromptPairs.from_rows([{"clean": "The keys", "corrupt": "The key", "answer": " are", "foil": " is"}])

        Prompts are text, or lists of token ids *with* the BOS token where the model wants one; answers and foils are
        text or token ids, one or several. A list of ids is a set of answers of one token; an answer of several tokens is a list in
        that list, ``"answer": [[281, 17180]]``. ``merging`` is that of ``PromptPairs``.
        """
        as_tokens = _as_tokens(merging)
        made = tuple(replace(row_of(number, row), as_tokens=as_tokens) for number, row in enumerate(rows, start=1))
        if not made:
            raise PromptError("PromptPairs.from_rows([]) is an empty population: there is nothing to measure")
        first = {row: number for number, row in reversed(list(enumerate(made, start=1)))}
        for number, row in enumerate(made, start=1):
            if first[row] != number:
                raise PromptError(f"row {number} repeats row {first[row]}, which would count the pair twice")
        return cls._of(Description(rows=made, as_tokens=as_tokens))

    @classmethod
    def from_strategy(cls, strategy: "SearchStrategy[Any]") -> "PromptPairs":
        """What your own Hypothesis strategy generates: rows as ``from_rows`` takes them.

            ROWS = st.builds(lambda n: {"clean": f"The {n}s", "corrupt": f"The {n}", "answer": " are", "foil": " is"}, NOUNS)
            assert model.on(PromptPairs.from_strategy(ROWS)).patch("L1.N8").each > 0.1

        For claims about every pair. Averages are refused: Hypothesis makes no promise how what it tries is distributed.
        A pair's effect is a share of its own gap.
        """
        from hypothesis.strategies import SearchStrategy

        if not isinstance(strategy, SearchStrategy):
            raise PromptError(
                f"PromptPairs.from_strategy takes a Hypothesis strategy that generates rows, not {strategy!r}"
            )
        return cls._of(Description(generator=strategy))

    @classmethod
    def _of(cls, description: Description) -> "PromptPairs":
        made = cls.__new__(cls)
        made.description, made._halves = description, {}
        return made

    @property
    def templates(self) -> tuple[str, ...]:
        """The templates; none of rows, or of what a strategy generates."""
        return self.description.templates

    @property
    def rows(self) -> tuple[Pair, ...]:
        """The pairs as they were given; none of templates."""
        return self.description.rows

    @property
    def generator(self) -> "SearchStrategy[Any] | None":
        """The Hypothesis strategy that generates them; None of others."""
        return self.description.generator

    @property
    def is_example(self) -> bool:
        """Whether it is a single pair that ``strategy`` gave."""
        return self.description.is_example

    @property
    def identity(self) -> str:
        """16 hex digits of the description."""
        return self.description.identity

    def __repr__(self) -> str:
        return repr(self.description)

    def strategy(self) -> "SearchStrategy[PromptPairs]":
        """Single pairs, for a Hypothesis test of your own.

            @settings(deadline=None)
            @given(pair=FRUIT.strategy())
            def test_any_pair(model, pair):
                assert model.on(pair).patch("L1.N8") > 0.1

        A pair that cannot be used, or in which the behaviour is absent, is rejected as by ``hypothesis.assume``. Each
        example is run by itself: ``effect.each`` asks the same in batches.
        """
        self._refuse_generated("strategy()")
        return examples_of(self.description, self.only)

    def only(self, pair: Pair) -> "PromptPairs":
        """One of the pairs, by itself."""
        return self._of(Description(rows=(pair,), is_example=True, as_tokens=self.description.as_tokens))

    def with_prefix(self, prefixes: Sequence[str]) -> "PromptPairs":
        """Each pair behind each of these, in both prompts: distractor sentences, in a slot ``{prefix}`` of their own.

            FRUIT.with_prefix(["", "The dog was old.", "They sold the boat."])

        "" stands for no prefix; list it first, as the plainest.
        """
        self._refuse_generated("with_prefix")
        self._refuse_half("with_prefix")
        texts, slots = _prefixes(prefixes), self.description.slots
        if _PREFIX in slots or any(_PREFIX in pair.slots for pair in self.rows):
            raise PromptError(f"{self!r} has a slot {{{_PREFIX}}} already")
        if any(row.clean.ids is not None or row.corrupt.ids is not None for row in self.rows):
            raise PromptError(f"{self!r} has rows of token ids, in front of which no text can stand")
        made = replace(
            self.description,
            rows=tuple(row.behind(text, _PREFIX) for row in self.rows for text in texts),
            templates=tuple(f"{{{_PREFIX}}}{template}" for template in self.templates),
            slots=slots if self.rows else {_PREFIX: slot_of(_PREFIX, texts), **slots},
        )
        return self._of(made)

    def with_noise(self, kinds: Sequence[str] = KINDS) -> "PromptPairs":
        """Each pair with at most one typographical error in the words outside the slots, the same in both prompts.

            FRUIT.with_noise()                     # any of "swap", "drop", "double", "case"
            FRUIT.with_noise(["swap", "drop"])     # climbed -> cilmbed, climbed -> climed

        No error at all is the plainest, so that a counterexample shrinks to it. The slot ``{noise}`` says what was done.
        """
        self._refuse_generated("with_noise")
        self._refuse_half("with_noise")
        if self.rows:
            raise PromptError(f"{self!r} has no slots, so that nothing is outside them: make noisy rows yourself")
        if NOISE in self.description.slots or self.description.noise:
            raise PromptError(f"{self!r} has a slot {{{NOISE}}} already")
        wrong = [kind for kind in kinds if kind not in KINDS]
        if isinstance(kinds, str) or wrong or not kinds:
            raise PromptError(f"noise is a list of {', '.join(map(repr, KINDS))}, not {kinds!r}")
        return self._of(replace(self.description, noise=tuple(dict.fromkeys(kinds))))

    def _refuse_generated(self, what: str) -> None:
        if self.generator is not None:
            raise PromptError(f"{self!r} has no {what}: change the strategy itself, with its .map")

    def _refuse_half(self, what: str) -> None:
        if self.description.half:
            raise PromptError(f"{self!r} is the half {self.description.half!r} already: {what} comes before split")

    def split(self, half: Literal["discover", "confirm"]) -> "PromptPairs":
        """One of two disjoint halves of the population, about as large as each other, the same in every session.

            best = model.on(FRUIT.split("discover")).sweep("L1.N*").top(1)
            assert model.on(FRUIT.split("confirm")).patch("L1.N8") > 0.4

        A site that was chosen because it scored best needs pairs that it was not chosen on.
        """
        if half not in ("discover", "confirm"):
            raise PromptError(f"a half is 'discover' or 'confirm', not {half!r}")
        if self.description.half:
            raise PromptError(f"{self!r} is a half already, {self.description.half!r}")
        self._refuse_generated("halves")
        if half not in self._halves:
            rows = tuple(row for row in self.rows if half_of([row.clean.text, row.corrupt.text]) == half)
            if self.rows and not rows:
                raise PromptError(f"the half {half!r} of {self!r} has no rows")
            self._halves[half] = self._of(replace(self.description, half=half, rows=rows))
        return self._halves[half]

    def show(self, model: Any, n: int = 4) -> str:
        """How the first ``n`` pairs tokenise on ``model``, with their slots marked and what was rejected. Printed, too."""
        text: str = model.on(self).show(n)
        print(text)
        return text


def _as_tokens(merging: Merging) -> bool:
    if merging not in ("", "as tokens"):
        raise PromptError(
            f"merging= is 'as tokens' (answers are their own tokens) or nothing (a pair whose answer merges is rejected), not {merging!r}"
        )
    return bool(merging)


def _prefixes(given: Sequence[str]) -> list[str]:
    """Texts to put in front of prompts, each followed by a space."""
    if isinstance(given, str) or not all(isinstance(text, str) for text in given):
        raise PromptError(f"with_prefix takes a list of texts, not {given!r}")
    slot = slot_of(_PREFIX, [f"{text.rstrip()} " if text.strip() else "" for text in given])
    return [text for text, _ in slot.options] if isinstance(slot, Choice) else []
