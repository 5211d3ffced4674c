"""One description of prompt pairs: templates, slots, answers.

    PromptPairs(
        "When {io} and {s} went to the {place}, {s2} gave a {thing} to",
        io=["Mary", "Tom"], s=["John", "Ann"], distinct=("io", "s"), s2=contrast(clean="{s}", corrupt="{io}"),
        place=["park", "shop"], thing=["book", "key"], answer=" {io}", foil=" {s}",
    )

A slot is a list of fillers, a ``contrast`` (what differs between the clean and the corrupted prompt), or text in which
other slots stand. ``populations.py`` draws pairs from a description; ``alignment.py`` turns them into tokens.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from circuitcheck.errors import OldNames, PromptError
from circuitcheck.prompts import halves
from circuitcheck.prompts.chats.messages import in_front, template_of
from circuitcheck.prompts.descriptions import Description, Half
from circuitcheck.prompts.hypothesis_examples import examples_of
from circuitcheck.prompts.pairs import Pair
from circuitcheck.prompts.rows.files import csv_rows, jsonl_rows
from circuitcheck.prompts.rows.reading import Column, Columns, pairs_of
from circuitcheck.prompts.slots import Choice, checked_text, contrast, slot_of
from circuitcheck.prompts.typos import KINDS, TYPO
from circuitcheck.prompts.variable_values import values_of
from circuitcheck.prompts.variables.answers import AnswerSpec, spec_of
from circuitcheck.texts import digest

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy

_PREFIX = "prefix"
Merging = Literal["", "as tokens"]


class PromptPairs(OldNames):
    """A population of clean / corrupted prompt pairs, described once.

    FRUIT = PromptPairs(
        "I climbed up the {fruit} tree and picked",
        fruit=contrast(clean=["apple", "orange"], corrupt=["lemon", "peach"]), answer=" an", foil=" a",
    )

    A slot is a list of fillers, a mapping from fillers to how likely they are, a ``contrast``, or text in which other slots
    stand. Several templates make one population. A template may be a list of messages, such as
    ``[{"role": "user", "content": "What is the capital of {country}?"}]``, which the model's own chat template writes; an assistant's
    message at the end is what the answer goes on from. ``answer`` and ``foil`` are text in which slots may stand (filled as in the
    clean prompt), a list of such texts, or a function of the clean fillers to either. ``variables`` are functions of the fillers and of
    each other, which may stand in answer and foil, too: see docs/reference/interchange.md. ``where`` is a function to True for the pairs to keep:
    of each prompt's fillers, or of both mappings (clean, then corrupted). A function's parameters name the slots and variables
    that it is given; one that names none is given the mapping of all fillers. ``distinct`` names slots whose fillers must differ on
    each side.

    Answers and foils are the tokens that continue the prompt, one or several (see docs/reference/answers.md). A pair whose answer merges with the
    end of its prompt is rejected; ``merging="as tokens"`` reads the answer's own tokens there. Raises ``PromptError`` for a description that cannot be.
    """

    # What this is a half of.
    _whole: "PromptPairs | None" = None

    def __init__(
        self,
        *templates: str | Sequence[Mapping[str, str]],
        answer: AnswerSpec,
        foil: AnswerSpec = (),
        where: Callable[..., bool] | None = None,
        distinct: Sequence[str] = (),
        merging: Merging = "",
        variables: Mapping[str, Callable[..., Any]] | None = None,
        **slots: Sequence[str] | Mapping[str, float] | contrast | str,
    ):
        if not templates:
            raise PromptError("PromptPairs needs at least one template, such as 'The {thing} is'")
        given = [template_of(template) for template in templates]
        for template in given:
            checked_text("the template", template[0])
            if given.count(template) > 1:
                raise PromptError(f"template {template[0]!r} is given twice, which would count its pairs twice")
        self.description = Description(
            tuple(text for text, _ in given),
            tuple(roles for _, roles in given),
            {slot: slot_of(slot, value) for slot, value in slots.items()},
            spec_of("answer", answer),
            spec_of("foil", foil),
            where,
            (distinct,) if isinstance(distinct, str) else tuple(distinct),
            as_tokens=_as_tokens(merging),
            variables={} if variables is None else variables,
        )
        self.description.check()
        self.left_out: tuple[str, ...] = ()
        self._halves: dict[tuple[str, tuple[str, ...]], PromptPairs] = {}

    @classmethod
    def from_rows(
        cls,
        rows: Iterable[Mapping[str, Any]],
        *,
        clean: Column = "clean",
        corrupt: Column = "corrupt",
        answer: Column = "answer",
        foil: Column = "foil",
        weight: Column = "weight",
        merging: Merging = "",
    ) -> "PromptPairs":
        """Pairs as they are: mappings with ``clean``, ``corrupt``, ``answer`` and (if there is one) ``foil``.

            PromptPairs.from_rows([{"clean": "The keys", "corrupt": "The key", "answer": " are", "foil": " is"}])
            PromptPairs.from_rows(json.load(file)["prompts"], answer="answers", foil="wrong_answers")
            PromptPairs.from_rows(ROWS, answer=lambda row: int(row["correct_idx"]), corrupt=None)

        Prompts are text, lists of messages, or lists of token ids *with* the BOS token where the model wants one; answers and
        foils are text or token ids, one or several: a list of ids is a set of answers of one token, and an answer of several tokens is a list in
        that list, ``"answer": [[281, 17180]]``. ``merging`` is that of ``PromptPairs``. Arrays of NumPy or torch with one row are token ids, too. What is in
        which column is said by the column's name or by a function of the row. Rows without a corrupted prompt are for claims about clean prompts
        alone, and without an answer (``answer=None``) for probes. A row counts as often as it is there, or ``weight`` times. By all other columns whose values are text or
        numbers effects are broken down, and ``split(by=...)``, ``generalise=...`` and probes may name them. Raises ``PromptError``, naming the row.
        """
        numbered = ((f"row {number}", row) for number, row in enumerate(rows, start=1))
        return cls._table("from_rows", numbered, Columns(clean, corrupt, answer, foil, weight), merging)

    @classmethod
    def from_csv(
        cls,
        path: str | Path,
        *,
        clean: Column = "clean",
        corrupt: Column = "corrupt",
        answer: Column = "answer",
        foil: Column = "foil",
        weight: Column = "weight",
        merging: Merging = "",
    ) -> "PromptPairs":
        """The rows of a CSV file with a header, in UTF-8 (with tabs, where it is called ``.tsv``).

            PromptPairs.from_csv("ioi.csv", corrupt="corrupted", answer="io", foil="s")
            PromptPairs.from_csv("ioi.csv", corrupt="corrupted", answer=lambda row: int(row["correct_idx"]))

        All cells are text, and an empty one is None: a token id takes a function. The rest is as in ``from_rows``. Raises
        ``PromptError``, naming file and line.
        """
        return cls._table(
            f"from_csv({str(path)!r})", csv_rows(path), Columns(clean, corrupt, answer, foil, weight), merging
        )

    @classmethod
    def from_jsonl(
        cls,
        path: str | Path,
        *,
        clean: Column = "clean",
        corrupt: Column = "corrupt",
        answer: Column = "answer",
        foil: Column = "foil",
        weight: Column = "weight",
        merging: Merging = "",
    ) -> "PromptPairs":
        """The rows of a file of JSON lines: an object a line, in UTF-8.

            PromptPairs.from_jsonl("nounpp.jsonl", clean="clean_prefix", corrupt="patch_prefix", answer="clean_answer", foil="patch_answer")

        The rest is as in ``from_rows``. Raises ``PromptError``, naming file and line.
        """
        return cls._table(
            f"from_jsonl({str(path)!r})", jsonl_rows(path), Columns(clean, corrupt, answer, foil, weight), merging
        )

    @classmethod
    def _table(cls, source: str, rows: Iterable[tuple[str, Any]], columns: Columns, merging: Merging) -> "PromptPairs":
        as_tokens = _as_tokens(merging)
        made = tuple(replace(pair, as_tokens=as_tokens) for pair in pairs_of(rows, columns))
        if not made:
            raise PromptError(
                f"PromptPairs.{source} has no rows: an empty population, of which there is nothing to measure"
            )
        return of_description(Description(rows=made, source=source, as_tokens=as_tokens))

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
        return of_description(Description(generator=strategy))

    @property
    def templates(self) -> tuple[str | list[dict[str, str]], ...]:
        """The templates as they were written; none of rows, or of what a strategy generates.

        FRUIT.templates    # ('I climbed up the {fruit} tree and picked',)
        """
        return tuple(map(self.description.written, range(len(self.description.templates))))

    @property
    def rows(self) -> tuple[Pair, ...]:
        """The pairs of rows; none of templates.

        PromptPairs.from_csv("ioi.csv").rows[0].clean.text
        """
        return self.description.rows

    @property
    def identity(self) -> str:
        """16 hex digits of the description, and of what its variables are in each prompt.

        FRUIT.identity == FRUIT.split("confirm").identity    # False
        """
        if not self.description.variables:
            return self.description.identity
        return digest([self.description.identity, values_of(self.description)], 16)

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
        return examples_of(self.description, lambda pair: only(self, pair))

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
            templates=tuple(
                in_front(_PREFIX, template, roles)
                for template, roles in zip(self.description.templates, self.description.roles, strict=True)
            ),
            slots=slots if self.rows else {_PREFIX: slot_of(_PREFIX, texts), **slots},
        )
        return of_description(made)

    def with_typos(self, kinds: Sequence[str] = KINDS) -> "PromptPairs":
        """Each pair with at most one typographical error in the words outside the slots, the same in both prompts.

            FRUIT.with_typos()                     # any of "swap", "drop", "double", "case"
            FRUIT.with_typos(["swap", "drop"])     # climbed -> cilmbed, climbed -> climed

        No error at all is the plainest, so that a counterexample shrinks to it. The slot ``{typo}`` says what was done.
        """
        self._refuse_generated("with_typos")
        self._refuse_half("with_typos")
        if self.rows:
            raise PromptError(f"{self!r} has no slots, so that nothing is outside them: make misspelt rows yourself")
        if TYPO in self.description.slots or self.description.noise:
            raise PromptError(f"{self!r} has a slot {{{TYPO}}} already")
        wrong = [kind for kind in kinds if kind not in KINDS]
        if isinstance(kinds, str) or wrong or not kinds:
            raise PromptError(f"with_typos takes a list of {', '.join(map(repr, KINDS))}, not {kinds!r}")
        return of_description(replace(self.description, noise=tuple(dict.fromkeys(kinds))))

    def _refuse_generated(self, what: str) -> None:
        if self.description.generator is not None:
            raise PromptError(f"{self!r} has no {what}: change the strategy itself, with its .map")

    def _refuse_half(self, what: str) -> None:
        if self.description.half:
            raise PromptError(f"{self!r} is the half {self.description.half!r} already: {what} comes before split")

    def split(self, half: Half, by: str | Sequence[str] = ()) -> "PromptPairs":
        """One of two disjoint halves of the population, about as large as each other, the same in every session.

            best = model.on(FRUIT.split("discover")).sweep("L1.N*").top(1)
            assert model.on(FRUIT.split("confirm")).patch("L1.N8") > 0.4
            assert model.on(IOI.split("confirm", by=("io", "s"))).patch("L9.H6") > 0.4

        A site that was chosen because it scored best needs pairs that it was not chosen on. ``by`` slots, columns of rows or "template":
        then of their fillers, too, none is in both halves (pairs that mix fillers of both are in neither). Raises ``PromptError`` where there are too few for that.
        """
        named = (by,) if isinstance(by, str) else tuple(by)
        if (half, named) not in self._halves:
            self._refuse_generated("halves")
            made = self._halves[half, named] = of_description(
                halves.half(self.description, half, named), kind=type(self)
            )
            made._whole = self
        return self._halves[half, named]

    def fitting(self, model: Any) -> "PromptPairs":
        """The population without the fillers (or rows) that can never be used on ``model``, and which those were. Printed, too.

            FIT = PAIRS.fitting(model)
            FIT.left_out     # ("{country} = 'Chad' / 'Peru': 12 pairs whose prompts differ in token count in {country}, e.g. ...",)

        Of a population that is too large to be gone through, 64 pairs of each filler are tried. Raises ``PromptError`` where nothing is left.
        """
        self._refuse_generated("fitting")
        fit: PromptPairs = model._loaded.sampler.fitting(self)
        print(
            "\n".join(
                [f"{len(fit.left_out) or 'nothing'} left out of {self!r}", *(f"  {line}" for line in fit.left_out)]
            )
        )
        return fit

    def show(self, model: Any, n: int = 4) -> None:
        """Prints how the first ``n`` pairs are tokenised on ``model``: see ``Run.show``.

        FRUIT.show(model, n=1)
        """
        model.on(self).show(n)


def of_description(
    description: Description, left_out: tuple[str, ...] = (), kind: type[PromptPairs] = PromptPairs
) -> PromptPairs:
    """The pairs of a description, of a ``kind``."""
    made = kind.__new__(kind)
    made.description, made.left_out, made._halves = description, left_out, {}
    return made


def only(pairs: PromptPairs, pair: Pair) -> PromptPairs:
    """One of some pairs, by itself."""
    return of_description(pairs.description.example(replace(pair, weight=1.0)), kind=type(pairs))


def whole_of(pairs: PromptPairs) -> PromptPairs | None:
    """What pairs are a half of; None where they are none."""
    return pairs._whole


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
