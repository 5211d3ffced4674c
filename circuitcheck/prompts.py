"""One description of prompt pairs: templates, slots, answers.

    PromptPairs(
        "When {io} and {s} went to the {place}, {s2} gave a {thing} to",
        io=["Mary", "Tom"], s=["John", "Ann"], distinct=("io", "s"), s2=contrast(clean="{s}", corrupt="{io}"),
        place=["park", "shop"], thing=["book", "key"], answer=" {io}", foil=" {s}",
    )

A slot is a list of fillers, a ``contrast`` (what differs between the clean and the corrupted prompt), or text in which
other slots stand. ``populations.py`` draws pairs from a description; ``alignment.py`` turns them into tokens.
"""

import string
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from functools import lru_cache
from operator import index
from typing import Any, cast

from circuitcheck.errors import PromptError
from circuitcheck.pairs import Pair, Prompt, Segment

Fillers = Mapping[str, str]
AnswerSpec = str | Sequence[str] | Callable[[Fillers], str | Sequence[str]]


class contrast:  # a word of the notation, written like a function
    """What differs between the clean and the corrupted prompt.

    contrast(clean=["apple", "olive"], corrupt=["lemon", "fig"])      every clean filler with every corrupted one
    contrast.pairs([("apple", "lemon"), ("olive", "fig")])            these couples only
    contrast(clean="{s}", corrupt="{io}")                             text in which other slots stand
    """

    def __init__(self, *, clean: str | Sequence[str], corrupt: str | Sequence[str]):
        if isinstance(clean, str) != isinstance(corrupt, str):
            raise PromptError("contrast takes two lists of fillers or two texts, not one of each")
        self.is_text = isinstance(clean, str)
        if isinstance(clean, str) and isinstance(corrupt, str):
            self.options = [(clean, corrupt)]
        else:
            sides = _fillers("contrast(clean=...)", clean), _fillers("contrast(corrupt=...)", corrupt)
            self.options = [(left, right) for left in sides[0] for right in sides[1]]

    @classmethod
    def pairs(cls, couples: Sequence[tuple[str, str]]) -> "contrast":
        made = cls(clean="", corrupt="")
        made.is_text = False
        made.options = [_couple(couple) for couple in couples]
        twice = {couple for couple in made.options if made.options.count(couple) > 1}
        if twice:
            raise PromptError(f"contrast.pairs has a couple twice, which would count its pairs twice: {min(twice)}")
        if not made.options:
            raise PromptError("contrast.pairs([]) has no couples, so that there is nothing to compare")
        return made

    def __repr__(self) -> str:
        return f"contrast.pairs({self.options!r})"


@dataclass(frozen=True)
class _Choice:
    """A slot that is chosen: its (clean, corrupt) options."""

    options: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class _Text:
    """A slot made of other slots: its clean and its corrupted text."""

    clean: str
    corrupt: str

    @property
    def slots(self) -> tuple[str, ...]:
        return slots_of(self.clean) + slots_of(self.corrupt)


class PromptPairs:
    """A population of clean / corrupted prompt pairs, described once.

    FRUIT = PromptPairs(
        "I climbed up the {fruit} tree and picked",
        fruit=contrast(clean=["apple", "orange"], corrupt=["lemon", "peach"]), answer=" an", foil=" a",
    )

    Several templates make one population. ``answer`` and ``foil`` are text in which slots may stand (filled as in the
    clean prompt), a list of such texts, or a function from the clean fillers to either. ``where`` is a function from
    the fillers (clean, then corrupted) to True for the pairs to keep; ``distinct`` names slots whose fillers must
    differ on each side. Raises ``PromptError`` for a description that cannot be.
    """

    def __init__(
        self,
        *templates: str,
        answer: AnswerSpec,
        foil: AnswerSpec = (),
        where: Callable[[Fillers, Fillers], bool] | None = None,
        distinct: Sequence[str] = (),
        **slots: Sequence[str] | contrast | str,
    ):
        if not templates:
            raise PromptError("PromptPairs needs at least one template, such as 'The {thing} is'")
        for template in templates:
            if not isinstance(template, str):
                raise PromptError(f"a template is text, not {template!r} (several: PromptPairs(*templates, ...))")
            if templates.count(template) > 1:
                raise PromptError(f"template {template!r} is given twice, which would count its pairs twice")
        self.templates = templates
        self.answer, self.foil, self.where = _spec("answer", answer), _spec("foil", foil), where
        self.distinct = (distinct,) if isinstance(distinct, str) else tuple(distinct)
        self.rows: tuple[Pair, ...] = ()
        self._slots = {slot: _slot(slot, value) for slot, value in slots.items()}
        self._used: dict[int, list[str]] = {}
        self._check()

    @classmethod
    def from_rows(cls, rows: Sequence[Mapping[str, Any]]) -> "PromptPairs":
        """Pairs as they are: mappings with ``clean``, ``corrupt``, ``answer`` and (if there is one) ``foil``.

            PromptPairs.from_rows([{"clean": "The keys", "corrupt": "The key", "answer": " are", "foil": " is"}])

        Prompts are text, or lists of token ids *with* the BOS token where the model wants one; answers and foils are
        text or token ids, one or several.
        """
        made = cls.__new__(cls)
        made.templates, made.distinct, made.where = (), (), None
        made.answer = made.foil = ()
        made._slots, made._used = {}, {}
        made.rows = tuple(_row(number, row) for number, row in enumerate(rows, start=1))
        if not made.rows:
            raise PromptError("PromptPairs.from_rows([]) is an empty population: there is nothing to measure")
        first = {row: number for number, row in reversed(list(enumerate(made.rows, start=1)))}
        for number, row in enumerate(made.rows, start=1):
            if first[row] != number:
                raise PromptError(f"row {number} repeats row {first[row]}, which would count the pair twice")
        return made

    def choices(self, template: int) -> dict[str, tuple[tuple[str, str], ...]]:
        """The slots that are chosen for a template, each with its (clean, corrupt) options."""
        return {
            name: slot.options for name in self._used_by(template) if isinstance(slot := self._slots[name], _Choice)
        }

    def keeps(self, template: int, chosen: Mapping[str, tuple[str, str]]) -> bool:
        """Whether ``distinct`` and ``where`` keep the pair in which ``chosen`` fills the slots."""
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
        return Pair(
            clean=Prompt(_segments(self.templates[template], clean)),
            corrupt=Prompt(_segments(self.templates[template], corrupt)),
            answer=_answers("answer", self.answer, clean),
            foil=_answers("foil", self.foil, clean),
            fillers=tuple((name, clean[name], corrupt[name]) for name in clean),
            template=template,
        )

    def description(self) -> dict[str, Any]:
        """All of the description that is data, for hashing: functions count by what they select."""
        if self.rows:
            return {"rows": [[row.clean.text, row.corrupt.text, row.answer, row.foil] for row in self.rows]}
        return {
            "templates": self.templates,
            "slots": {name: repr(slot) for name, slot in self._slots.items()},
            "distinct": self.distinct,
            "answer": None if callable(self.answer) else self.answer,
            "foil": None if callable(self.foil) else self.foil,
        }

    def show(self, model: Any, n: int = 4) -> str:
        """How the first ``n`` pairs tokenise on ``model``, with their slots marked and what was rejected. Printed, too."""
        text: str = model.on(self).show(n)
        print(text)
        return text

    def __repr__(self) -> str:
        what = self.templates[0] if self.templates else f"{len(self.rows)} rows"
        return f"PromptPairs({what!r})"

    def _sides(self, template: int, chosen: Mapping[str, tuple[str, str]]) -> tuple[Fillers, Fillers]:
        """The fillers of the clean and of the corrupted prompt."""
        fillers = {name: self._filled(name, chosen) for name in self._used_by(template)}
        return {name: sides[0] for name, sides in fillers.items()}, {name: sides[1] for name, sides in fillers.items()}

    def _filled(self, name: str, chosen: Mapping[str, tuple[str, str]]) -> tuple[str, str]:
        slot = self._slots[name]
        if isinstance(slot, _Choice):
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
            for inner in slot.slots if isinstance(slot, _Text) else []:
                visit(inner)
            used[name] = None

        roots = [*slots_of(self.templates[template])]
        roots += [slot for spec in (self.answer, self.foil) for text in _texts(spec) for slot in slots_of(text)]
        for root in roots:
            visit(root)
        return list(used)

    def _check(self) -> None:
        """Every slot that stands somewhere is given, and every one given stands somewhere."""
        texts = {f"template {template!r}": slots_of(template) for template in self.templates}
        for what, spec in (("answer", self.answer), ("foil", self.foil)):
            texts |= {f"{what} {text!r}": slots_of(text) for text in _texts(spec)}
        for name, slot in self._slots.items():
            self._check_not_circular(name, [])
            texts[f"slot {name!r}"] = slot.slots if isinstance(slot, _Text) else ()
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
        for inner in slot.slots if isinstance(slot, _Text) else []:
            self._check_not_circular(inner, [*above, name])


@lru_cache(maxsize=4096)
def slots_of(text: str) -> tuple[str, ...]:
    """The slots that stand in a text, in order, repeats included."""
    try:
        parsed = list(string.Formatter().parse(text))
    except ValueError as error:
        raise PromptError(f"{text!r} is not a template: {error} (a literal brace is written twice)") from None
    for _, slot, form, conversion in parsed:
        if slot is not None and (not slot.isidentifier() or form or conversion):
            written = f"{slot}{'!' + conversion if conversion else ''}{':' + form if form else ''}"
            raise PromptError(f"{text!r} is not a template: a slot is a plain name in braces, not {{{written}}}")
    return tuple(slot for _, slot, _, _ in parsed if slot is not None)


def _segments(template: str, fillers: Fillers) -> tuple[Segment, ...]:
    segments = []
    for literal, slot, _, _ in string.Formatter().parse(template):
        if literal:
            segments.append(Segment(literal))
        if slot is not None:
            segments.append(Segment(fillers[slot], slot))
    return tuple(segments)


def _slot(name: str, value: Sequence[str] | contrast | str) -> _Choice | _Text:
    if isinstance(value, contrast):
        return _Text(*value.options[0]) if value.is_text else _Choice(tuple(value.options))
    if isinstance(value, str):
        return _Text(value, value)
    return _Choice(tuple((filler, filler) for filler in _fillers(f"the slot {name!r}", value)))


def _fillers(what: str, values: Sequence[str]) -> list[str]:
    if not isinstance(values, Iterable) or isinstance(values, Set | Mapping):
        raise PromptError(f"{what} is a list of fillers (which has an order), text or a contrast, not {values!r}")
    fillers = [value if isinstance(value, str) else str(value) for value in values]
    if not fillers:
        raise PromptError(f"{what} has no fillers, so that the population is empty")
    twice = sorted({filler for filler in fillers if fillers.count(filler) > 1})
    if twice:
        raise PromptError(f"{what} has a filler twice, which would count its pairs twice: {', '.join(twice[:5])}")
    return fillers


def _couple(couple: object) -> tuple[str, str]:
    if isinstance(couple, str) or not isinstance(couple, Sequence) or len(couple) != 2:
        raise PromptError(f"contrast.pairs takes couples such as ('apple', 'lemon'), not {couple!r}")
    return str(couple[0]), str(couple[1])


def _spec(what: str, spec: Any) -> AnswerSpec:
    """An answer or a foil as it may be given, a set as a list."""
    if callable(spec) or isinstance(spec, str):
        return cast(AnswerSpec, spec)
    texts: list[Any] = (
        (sorted(spec, key=str) if isinstance(spec, Set) else list(spec)) if isinstance(spec, Iterable) else [spec]
    )
    wrong = [text for text in texts if not isinstance(text, str)]
    if wrong:
        raise PromptError(f"{what} is text, a list of texts or a function of the fillers; {wrong[0]!r} is none of them")
    return texts


def _texts(spec: AnswerSpec) -> Sequence[str]:
    """The texts of an answer or a foil, none where it is a function."""
    return [] if callable(spec) else [spec] if isinstance(spec, str) else spec


def _answers(what: str, spec: AnswerSpec, clean: Fillers) -> tuple[str, ...]:
    given = spec(clean) if callable(spec) else spec
    texts = [given] if isinstance(given, str) else list(given)
    filled = tuple(text.format_map(clean) if not callable(spec) else text for text in texts)
    if what == "answer" and not filled:
        raise PromptError(f"there is no answer for the fillers {dict(clean)}")
    return filled


def _row(number: int, row: Mapping[str, Any]) -> Pair:
    shape = "a row has clean, corrupt, answer and, if there is one, foil"
    if not isinstance(row, Mapping):
        raise PromptError(f"row {number} is not a mapping but {row!r} ({shape})")
    unknown = set(row) - {"clean", "corrupt", "answer", "foil"}
    missing = {"clean", "corrupt", "answer"} - set(row)
    if unknown or missing:
        problem = (
            f"lacks {', '.join(sorted(missing))}" if missing else f"has unknown keys: {', '.join(sorted(unknown))}"
        )
        raise PromptError(f"row {number} {problem} ({shape})")
    try:
        sides = [
            Prompt((Segment(given),)) if isinstance(given := row[side], str) else Prompt(ids=tuple(map(index, given)))
            for side in ("clean", "corrupt")
        ]
        answers = [_row_answers(row["answer"]), _row_answers(() if row.get("foil") is None else row["foil"])]
    except TypeError:
        raise PromptError(f"row {number} holds neither text nor token ids: {dict(row)!r}") from None
    if not answers[0]:
        raise PromptError(f"row {number} has no answer")
    if () in (sides[0].ids, sides[1].ids):
        raise PromptError(f"row {number} has an empty prompt")
    return Pair(sides[0], sides[1], answers[0], answers[1])


def _row_answers(given: Any) -> tuple[str | int, ...]:
    if isinstance(given, str):
        return (given,)
    if not isinstance(given, Iterable):
        return (index(given),)
    return tuple(one if isinstance(one, str) else index(one) for one in given)
