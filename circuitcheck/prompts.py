"""One description of prompt pairs: templates, slots, answers.

    PromptPairs(
        "When {io} and {s} went to the {place}, {s2} gave a {thing} to",
        io=["Mary", "Tom"], s=["John", "Ann"], distinct=("io", "s"), s2=contrast(clean="{s}", corrupt="{io}"),
        place=["park", "shop"], thing=["book", "key"], answer=" {io}", foil=" {s}",
    )

A slot is a list of fillers, a ``contrast`` (what differs between the clean and the corrupted prompt), or text in which
other slots stand. ``populations.py`` draws pairs from a description; ``alignment.py`` turns them into tokens.
"""

import hashlib
import json
import string
from collections.abc import Callable, Mapping, Sequence
from copy import copy
from textwrap import shorten
from typing import TYPE_CHECKING, Any, Literal

from circuitcheck.answers import AnswerSpec, Fillers, answers_of, spec_of, texts_of
from circuitcheck.errors import PromptError
from circuitcheck.noise import KINDS, NOISE, typos
from circuitcheck.pairs import Pair, Prompt, Segment
from circuitcheck.rows import row_of
from circuitcheck.slots import Choice, Text, contrast, slot_of, slots_of

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy

_PREFIX = "prefix"


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
    differ on each side. Raises ``PromptError`` for a description that cannot be.
    """

    # Of what a Hypothesis strategy generates: that; of a single pair that ``strategy`` gave: that it is one.
    generator: "SearchStrategy[Any] | None" = None
    is_example = False
    _noise: tuple[str, ...] = ()

    def __init__(
        self,
        *templates: str,
        answer: AnswerSpec,
        foil: AnswerSpec = (),
        where: Callable[[Fillers, Fillers], bool] | None = None,
        distinct: Sequence[str] = (),
        **slots: Sequence[str] | Mapping[str, float] | contrast | str,
    ):
        if not templates:
            raise PromptError("PromptPairs needs at least one template, such as 'The {thing} is'")
        for template in templates:
            if not isinstance(template, str):
                raise PromptError(f"a template is text, not {template!r} (several: PromptPairs(*templates, ...))")
            if templates.count(template) > 1:
                raise PromptError(f"template {template!r} is given twice, which would count its pairs twice")
        self.templates = templates
        self.answer, self.foil, self.where = spec_of("answer", answer), spec_of("foil", foil), where
        self.distinct = (distinct,) if isinstance(distinct, str) else tuple(distinct)
        self.rows: tuple[Pair, ...] = ()
        self._slots = {slot: slot_of(slot, value) for slot, value in slots.items()}
        self._used: dict[int, list[str]] = {}
        self._half = ""
        self._halves: dict[str, PromptPairs] = {}
        self._check()

    @classmethod
    def from_rows(cls, rows: Sequence[Mapping[str, Any]]) -> "PromptPairs":
        """Pairs as they are: mappings with ``clean``, ``corrupt``, ``answer`` and (if there is one) ``foil``.

            PromptPairs.from_rows([{"clean": "The keys", "corrupt": "The key", "answer": " are", "foil": " is"}])

        Prompts are text, or lists of token ids *with* the BOS token where the model wants one; answers and foils are
        text or token ids, one or several.
        """
        made = cls._without_templates()
        made.rows = tuple(row_of(number, row) for number, row in enumerate(rows, start=1))
        if not made.rows:
            raise PromptError("PromptPairs.from_rows([]) is an empty population: there is nothing to measure")
        first = {row: number for number, row in reversed(list(enumerate(made.rows, start=1)))}
        for number, row in enumerate(made.rows, start=1):
            if first[row] != number:
                raise PromptError(f"row {number} repeats row {first[row]}, which would count the pair twice")
        return made

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
        made = cls._without_templates()
        made.generator = strategy
        return made

    @classmethod
    def _without_templates(cls) -> "PromptPairs":
        made = cls.__new__(cls)
        made.templates, made.distinct, made.where, made.rows = (), (), None, ()
        made.answer = made.foil = ()
        made._slots, made._used = {}, {}
        made._half, made._halves = "", {}
        return made

    def strategy(self) -> "SearchStrategy[PromptPairs]":
        """Single pairs, for a Hypothesis test of your own.

            @settings(deadline=None)
            @given(pair=FRUIT.strategy())
            def test_any_pair(model, pair):
                assert model.on(pair).patch("L1.N8") > 0.1

        A pair that cannot be used, or in which the behaviour is absent, is rejected as by ``hypothesis.assume``. Each
        example is run by itself: ``effect.each`` asks the same in batches.
        """
        from circuitcheck.given import examples_of

        self._refuse_generated("strategy()")
        return examples_of(self)

    def only(self, pair: Pair) -> "PromptPairs":
        """One of the pairs, by itself."""
        made = self._without_templates()
        made.rows, made.is_example = (pair,), True
        return made

    def with_prefix(self, prefixes: Sequence[str]) -> "PromptPairs":
        """Each pair behind each of these, in both prompts: distractor sentences, in a slot ``{prefix}`` of their own.

            FRUIT.with_prefix(["", "The dog was old.", "They sold the boat."])

        "" stands for no prefix; list it first, as the plainest.
        """
        self._refuse_generated("with_prefix")
        self._refuse_half("with_prefix")
        made = copy(self)
        made._used, made._halves = {}, {}
        texts = _prefixes(prefixes)
        if _PREFIX in self._slots or any(_PREFIX in pair.slots for pair in self.rows):
            raise PromptError(f"{self!r} has a slot {{{_PREFIX}}} already")
        if any(row.clean.ids is not None or row.corrupt.ids is not None for row in self.rows):
            raise PromptError(f"{self!r} has rows of token ids, in front of which no text can stand")
        made.rows = tuple(row.behind(text, _PREFIX) for row in self.rows for text in texts)
        made.templates = tuple(f"{{{_PREFIX}}}{template}" for template in self.templates)
        made._slots = self._slots if self.rows else {_PREFIX: slot_of(_PREFIX, texts), **self._slots}
        return made

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
        if NOISE in self._slots or self._noise:
            raise PromptError(f"{self!r} has a slot {{{NOISE}}} already")
        wrong = [kind for kind in kinds if kind not in KINDS]
        if isinstance(kinds, str) or wrong or not kinds:
            raise PromptError(f"noise is a list of {', '.join(map(repr, KINDS))}, not {kinds!r}")
        made = copy(self)
        made._used, made._halves, made._noise = {}, {}, tuple(dict.fromkeys(kinds))
        return made

    def _refuse_generated(self, what: str) -> None:
        if self.generator is not None:
            raise PromptError(f"{self!r} has no {what}: change the strategy itself, with its .map")

    def _refuse_half(self, what: str) -> None:
        if self._half:
            raise PromptError(f"{self!r} is the half {self._half!r} already: {what} comes before split")

    def split(self, half: Literal["discover", "confirm"]) -> "PromptPairs":
        """One of two disjoint halves of the population, about as large as each other, the same in every session.

            best = model.on(FRUIT.split("discover")).sweep("L1.N*").top(1)
            assert model.on(FRUIT.split("confirm")).patch("L1.N8") > 0.4

        A site that was chosen because it scored best needs pairs that it was not chosen on.
        """
        if half not in ("discover", "confirm"):
            raise PromptError(f"a half is 'discover' or 'confirm', not {half!r}")
        if self._half:
            raise PromptError(f"{self!r} is a half already, {self._half!r}")
        self._refuse_generated("halves")
        if half not in self._halves:
            made = copy(self)
            made._half, made._halves = half, {}
            made.rows = tuple(row for row in self.rows if _half_of([row.clean.text, row.corrupt.text]) == half)
            if self.rows and not made.rows:
                raise PromptError(f"the half {half!r} of {self!r} has no rows")
            self._halves[half] = made
        return self._halves[half]

    def choices(self, template: int) -> dict[str, tuple[tuple[str, str], ...]]:
        """The slots that are chosen for a template, each with its (clean, corrupt) options."""
        used = self._used_by(template)
        noise = {NOISE: tuple((label, label) for label in self._typos(template))} if self._noise else {}
        return {name: slot.options for name in used if isinstance(slot := self._slots[name], Choice)} | noise

    def weights(self, template: int) -> dict[str, tuple[float, ...]]:
        """How likely the options of a template's slots are, of those that are not equally likely."""
        slots = {name: self._slots[name] for name in self._used_by(template)}
        return {name: slot.weights for name, slot in slots.items() if isinstance(slot, Choice) and slot.weights}

    def keeps(self, template: int, chosen: Mapping[str, tuple[str, str]]) -> bool:
        """Whether ``distinct`` and ``where`` keep the pair in which ``chosen`` fills the slots."""
        if self.rows:
            return True
        if self._half and _half_of([self.templates[template], *chosen.values()]) != self._half:
            return False
        if not self.distinct and self.where is None:
            return True
        apart = [self._filled(name, chosen) for name in self.distinct if name in self._used_by(template)]
        if any(len(set(values)) < len(values) for values in zip(*apart, strict=True)):
            return False
        if self.where is None:
            return True
        clean, corrupt = self._sides(template, chosen)
        try:
            return bool(self.where(clean, corrupt))
        except KeyError as error:
            raise PromptError(
                f"where= asks for the slot {error}, which is not given (given: {', '.join(clean)})"
            ) from None

    def render(self, template: int, chosen: Mapping[str, tuple[str, str]]) -> Pair:
        """The pair in which ``chosen`` fills the slots."""
        if self.rows:
            return self.rows[template]
        clean, corrupt = self._sides(template, chosen)
        text = self._typos(template)[chosen[NOISE][0]] if self._noise else self.templates[template]
        noise = [(NOISE, *chosen[NOISE])] if self._noise else []
        return Pair(
            clean=Prompt(_segments(text, clean)),
            corrupt=Prompt(_segments(text, corrupt)),
            answer=answers_of("answer", self.answer, clean),
            foil=answers_of("foil", self.foil, clean),
            fillers=(*((name, clean[name], corrupt[name]) for name in clean), *noise),
            template=template,
        )

    def description(self) -> dict[str, Any]:
        """All of the description that is data, for hashing: functions count by what they select."""
        half: dict[str, Any] = {"half": self._half} if self._half else {}
        if self.generator is not None:
            return {"strategy": repr(self.generator)}
        half |= {"noise": self._noise} if self._noise else {}
        if self.rows:
            return half | {"rows": [[row.clean.text, row.corrupt.text, row.answer, row.foil] for row in self.rows]}
        return half | {
            "templates": self.templates,
            "slots": {name: repr(slot) for name, slot in self._slots.items()},
            "distinct": self.distinct,
            "answer": None if callable(self.answer) else self.answer,
            "foil": None if callable(self.foil) else self.foil,
        }

    @property
    def identity(self) -> str:
        """16 hex digits of the description."""
        return hashlib.sha256(json.dumps(self.description(), sort_keys=True).encode()).hexdigest()[:16]

    def show(self, model: Any, n: int = 4) -> str:
        """How the first ``n`` pairs tokenise on ``model``, with their slots marked and what was rejected. Printed, too."""
        text: str = model.on(self).show(n)
        print(text)
        return text

    def __repr__(self) -> str:
        if self.generator is not None:
            return f"PromptPairs.from_strategy({shorten(repr(self.generator), 80, placeholder=' ...')})"
        if self.is_example:
            return f"PromptPairs.from_rows([{self.rows[0].as_row()!r}])"
        what = self.templates[0] if self.templates else f"{len(self.rows)} rows"
        return f"PromptPairs({what!r})"

    def _typos(self, template: int) -> dict[str, str]:
        """The template with each single error, by what was done; without any under the empty text."""
        return typos(self.templates[template], self._noise)

    def _sides(self, template: int, chosen: Mapping[str, tuple[str, str]]) -> tuple[Fillers, Fillers]:
        """The fillers of the clean and of the corrupted prompt."""
        fillers = {name: self._filled(name, chosen) for name in self._used_by(template)}
        return {name: sides[0] for name, sides in fillers.items()}, {name: sides[1] for name, sides in fillers.items()}

    def _filled(self, name: str, chosen: Mapping[str, tuple[str, str]]) -> tuple[str, str]:
        slot = self._slots[name]
        if isinstance(slot, Choice):
            return chosen[name]
        clean, corrupt = (
            text.format_map({inner: self._filled(inner, chosen)[side] for inner in slots_of(text)})
            for side, text in enumerate((slot.clean, slot.corrupt))
        )
        return clean, corrupt

    def _used_by(self, template: int) -> list[str]:
        """The slots that a template, the answer and the foil stand on, each once, chosen ones before those made of them."""
        if template not in self._used:
            self._used[template] = self._find_used(template)
        return self._used[template]

    def _find_used(self, template: int) -> list[str]:
        used: dict[str, None] = {}

        def visit(name: str) -> None:
            slot = self._slots[name]
            for inner in slot.slots if isinstance(slot, Text) else []:
                visit(inner)
            used[name] = None

        roots = [*slots_of(self.templates[template])]
        roots += [slot for spec in (self.answer, self.foil) for text in texts_of(spec) for slot in slots_of(text)]
        for root in roots:
            visit(root)
        return list(used)

    def _check(self) -> None:
        """Every slot that stands somewhere is given, and every one given stands somewhere."""
        texts = {f"template {template!r}": slots_of(template) for template in self.templates}
        for what, spec in (("answer", self.answer), ("foil", self.foil)):
            texts |= {f"{what} {text!r}": slots_of(text) for text in texts_of(spec)}
        for name, slot in self._slots.items():
            self._check_not_circular(name, [])
            texts[f"slot {name!r}"] = slot.slots if isinstance(slot, Text) else ()
        texts[f"distinct={self.distinct!r}"] = self.distinct
        have = ", ".join(self._slots) or "none"
        for what, used in texts.items():
            missing = [name for name in used if name not in self._slots]
            if missing and missing[0] in ("answer", "foil", "where", "distinct"):
                raise PromptError(f"{what} uses the slot {{{missing[0]}}}, which cannot be a slot: it is an argument")
            if missing:
                raise PromptError(f"{what} uses the slot {{{missing[0]}}}, which is not given (given: {have})")
        if len(self.distinct) == 1:
            raise PromptError(f"distinct={self.distinct!r} names one slot: it takes two or more that must differ")
        del texts[f"distinct={self.distinct!r}"]
        unused = set(self._slots) - {name for used in texts.values() for name in used}
        if unused:
            raise PromptError(f"the slot {min(unused)!r} is given but stands in no template, slot, answer or foil")

    def _check_not_circular(self, name: str, above: list[str]) -> None:
        if name in above:
            raise PromptError(f"slots stand in each other in a circle: {' -> '.join([*above, name])}")
        slot = self._slots.get(name)
        for inner in slot.slots if isinstance(slot, Text) else []:
            self._check_not_circular(inner, [*above, name])


def _prefixes(given: Sequence[str]) -> list[str]:
    """Texts to stand in front of prompts, each with the space behind it."""
    if isinstance(given, str) or not all(isinstance(text, str) for text in given):
        raise PromptError(f"with_prefix takes a list of texts, not {given!r}")
    slot = slot_of(_PREFIX, [f"{text.rstrip()} " if text.strip() else "" for text in given])
    return [text for text, _ in slot.options] if isinstance(slot, Choice) else []


def _half_of(pair: object) -> str:
    """Which half a pair belongs to: by its own text alone."""
    digest = hashlib.sha256(json.dumps(pair).encode()).digest()
    return "discover" if digest[0] % 2 else "confirm"


def _segments(template: str, fillers: Fillers) -> tuple[Segment, ...]:
    segments = []
    for literal, slot, _, _ in string.Formatter().parse(template):
        if literal:
            segments.append(Segment(literal))
        if slot is not None:
            segments.append(Segment(fillers[slot], slot))
    return tuple(segments)
