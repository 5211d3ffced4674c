"""A description of prompt pairs: templates, slots, answers, and which pairs they make."""

import json
import string
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from random import Random
from textwrap import shorten
from typing import TYPE_CHECKING, Any, Literal

from circuitcheck.errors import PromptError
from circuitcheck.prompts.chats.messages import SEPARATOR, messages_of
from circuitcheck.prompts.pairs import Pair, Prompt, Segment, couple
from circuitcheck.prompts.slots import Choice, Text, slots_of
from circuitcheck.prompts.typos import TYPO, typos
from circuitcheck.prompts.variables.algorithms import Algorithm
from circuitcheck.prompts.variables.answers import AnswerSpec, Fillers, texts_of
from circuitcheck.prompts.variables.functions import Values
from circuitcheck.texts import digest, plural

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy


Half = Literal["discover", "confirm"]
HALVES: tuple[Half, Half] = ("discover", "confirm")


@dataclass(frozen=True, eq=False, repr=False)
class Description:
    """All that says which pairs there are. A template that is a chat is the contents of its messages, parted by a separator;
    ``roles``, for each template, are those of its messages (none: it is text). ``half`` is which half of them, empty for all, and
    ``by`` the slots of which it has fillers of its own; ``noise`` the kinds of typographical errors; ``generator`` a Hypothesis
    strategy that generates them; ``is_example``: a single pair that ``strategy`` gave; ``as_tokens``: answers are their own tokens,
    whatever they would be where they are read with the prompt; ``source``: where rows are from; ``variables``: functions of slots and of
    each other."""

    templates: tuple[str, ...] = ()
    roles: tuple[tuple[str, ...], ...] = ()
    slots: Mapping[str, Choice | Text] = field(default_factory=dict)
    answer: AnswerSpec = ()
    foil: AnswerSpec = ()
    where: Callable[..., bool] | None = None
    distinct: tuple[str, ...] = ()
    rows: tuple[Pair, ...] = ()
    half: str = ""
    by: tuple[str, ...] = ()
    noise: tuple[str, ...] = ()
    generator: "SearchStrategy[Any] | None" = None
    is_example: bool = False
    as_tokens: bool = False
    source: str = "from_rows"
    variables: Mapping[str, Callable[..., Any]] = field(default_factory=dict)
    _used: dict[int, list[str]] = field(default_factory=dict, init=False)

    @cached_property
    def algorithm(self) -> Algorithm:
        """What the prompts say of how their answers are made: slots, variables, answer and foil."""
        return Algorithm.of(self.slots, self.variables, self.answer, self.foil, self.where)

    def example(self, row: Pair) -> "Description":
        """Of one of its pairs, by itself."""
        return Description(rows=(row,), is_example=True, as_tokens=self.as_tokens)

    def choices(self, template: int) -> dict[str, tuple[tuple[str, str], ...]]:
        """The slots that are chosen for a template, each with its (clean, corrupt) options."""
        used = self.used_by(template)
        noise = {TYPO: tuple((label, label) for label in self._typos(template))} if self.noise else {}
        return {name: slot.options for name in used if isinstance(slot := self.slots[name], Choice)} | noise

    def weights(self, template: int) -> dict[str, tuple[float, ...]]:
        """How likely the options of a template's slots are, of those that are not equally likely."""
        slots = {name: self.slots[name] for name in self.used_by(template)}
        return {name: slot.weights for name, slot in slots.items() if isinstance(slot, Choice) and slot.weights}

    def random(
        self,
        template: int,
        choices: Mapping[str, Sequence[tuple[str, str]]],
        weights: Mapping[str, Sequence[float]],
        shuffler: Random,
    ) -> dict[str, tuple[str, str]]:
        """An option of each slot of a template, which ``keeps`` may leave out."""
        return {name: one_of(options, weights.get(name), shuffler) for name, options in choices.items()}

    def keeps(self, template: int, chosen: Mapping[str, tuple[str, str]]) -> bool:
        """Whether ``distinct`` and ``where`` keep the pair in which ``chosen`` fills the slots."""
        if self.rows:
            return True
        if self.half and not self.by and half_of([self.templates[template], *chosen.values()]) != self.half:
            return False
        if not self.distinct and self.where is None:
            return True
        apart = [self.filled(name, chosen) for name in self.distinct if name in self.used_by(template)]
        if any(len(set(values)) < len(values) for values in zip(*apart, strict=True)):
            return False
        return self.where is None or self.algorithm.admits(*self._sides(template, chosen))

    def render(self, template: int, chosen: Mapping[str, tuple[str, str]]) -> Pair:
        """The pair in which ``chosen`` fills the slots."""
        if self.rows:
            return self.rows[template]
        clean, corrupt = self._sides(template, chosen)
        text = self._typos(template)[chosen[TYPO][0]] if self.noise else self.templates[template]
        noise = [(TYPO, *chosen[TYPO])] if self.noise else []
        roles = self.roles[template]
        return Pair(
            clean=Prompt(_segments(text, clean, roles), roles=roles),
            corrupt=Prompt(_segments(text, corrupt, roles), roles=roles),
            answer=self.algorithm.answers(clean),
            foil=self.algorithm.foils(clean),
            fillers=(*((name, clean[name], corrupt[name]) for name in clean), *noise),
            template=template,
            as_tokens=self.as_tokens,
            is_contrast=self.is_contrast,
        )

    def cluster(self, template: int, chosen: Mapping[str, tuple[str, str]], by: str) -> str | None:
        """``Pair.cluster`` of the pair in which ``chosen`` fills the slots."""
        if self.rows:
            return self.rows[template].cluster(by)
        if by == "template":
            return str(template)
        if by == TYPO and self.noise:
            return couple(*chosen[TYPO])
        return couple(*self.filled(by, chosen)) if by in self.used_by(template) else None

    def as_json(self) -> dict[str, Any]:
        """All of the description that is data, for hashing: functions count by what they select."""
        half: dict[str, Any] = {"half": self.half} if self.half else {}
        half |= {"by": self.by} if self.by else {}
        if self.generator is not None:
            return {"strategy": repr(self.generator)}
        half |= {"noise": self.noise} if self.noise else {}
        half |= {"merging": "as tokens"} if self.as_tokens else {}
        if self.rows:
            return half | {"rows": list(map(_as_json, self.rows))}
        return half | {
            "templates": self.templates,
            **({"roles": self.roles} if any(self.roles) else {}),
            "slots": {name: repr(slot) for name, slot in self.slots.items()},
            "distinct": self.distinct,
            "answer": None if callable(self.answer) else self.answer,
            "foil": None if callable(self.foil) else self.foil,
        }

    @property
    def grouped_by(self) -> str:
        """What pairs have in common that are no evidence by themselves, as a slot; empty where each is."""
        return ""

    @property
    def how(self) -> str:
        """How the corrupted prompts are made of the clean ones, in words; empty where slots say so."""
        return ""

    @property
    def identity(self) -> str:
        """16 hex digits of the description."""
        return digest(self.as_json(), 16)

    def in_parts(self) -> dict[str, list[str]]:
        """What the description is made of, each part a list of texts: what an edit of it adds and takes away can be read off two.

        {"templates": ["The {x} is"], "{x} clean": ["fig"], "{x} corrupt": ["pear"], "answer": [" an"], "foil": [" a"]}
        """
        if self.generator is not None:
            return {"strategy": [repr(self.generator)]}
        parts: dict[str, list[str]] = {"rows": [_in_words(row) for row in self.rows]}
        if not self.rows:
            parts["templates"] = [
                json.dumps(self.written(n), ensure_ascii=False) if self.roles[n] else text
                for n, text in enumerate(self.templates)
            ]
            for name, slot in self.slots.items():
                parts |= slot.in_parts(f"{{{name}}}")
            for name, spec in (("answer", self.answer), ("foil", self.foil)):
                parts[name] = ["a function"] if callable(spec) else [*texts_of(spec)]
            parts["distinct"] = [*self.distinct]
        parts |= {"half": [self.half] if self.half else [], "halves by": [*self.by], "noise": [*self.noise]}
        parts["merging"] = ["as tokens"] if self.as_tokens else []
        return {name: texts for name, texts in parts.items() if texts}

    def __repr__(self) -> str:
        if self.generator is not None:
            return f"PromptPairs.from_strategy({shorten(repr(self.generator), 80, placeholder=' ...')})"
        if self.is_example:
            merging = ", merging='as tokens'" if self.as_tokens else ""
            return f"PromptPairs.from_rows([{self.rows[0].as_row()!r}]{merging})"
        if self.rows:
            return f"PromptPairs.{self.source} ({plural(len(self.rows), 'row')})"
        return f"PromptPairs({self.written(0)!r})"

    def written(self, template: int) -> str | list[dict[str, str]]:
        """A template as it was given: text, or messages."""
        roles = self.roles[template]
        return messages_of(self.templates[template], roles) if roles else self.templates[template]

    @property
    def is_contrast(self) -> bool:
        """Whether there are corrupted prompts: without a contrast, but with variables, clean prompts are all that is claimed about."""
        if self.rows:
            return self.rows[0].is_contrast
        return not self.variables or any(map(self._differs, self.slots))

    @property
    def without_contrast(self) -> "str | list[dict[str, str]] | None":
        """The first template whose clean and corrupted prompts are alike, whatever the fillers, where there are to be corrupted ones."""
        if not self.is_contrast:
            return None
        alike = (n for n, one in enumerate(self.templates) if not any(map(self._differs, slots_of(one))))
        return next(map(self.written, alike), None)

    def _differs(self, name: str) -> bool:
        slot = self.slots[name]
        if isinstance(slot, Choice):
            return any(clean != corrupt for clean, corrupt in slot.options)
        return slot.clean != slot.corrupt or any(map(self._differs, slot.slots))

    def _typos(self, template: int) -> dict[str, str]:
        """The template with each single error, by what was done; without any under the empty text."""
        return typos(self.templates[template], self.noise)

    def _sides(self, template: int, chosen: Mapping[str, tuple[str, str]]) -> tuple[Values, Values]:
        """The fillers of the clean and of the corrupted prompt, with the variables that they make."""
        fillers = {name: self.filled(name, chosen) for name in self.used_by(template)}
        clean, corrupt = ({name: sides[side] for name, sides in fillers.items()} for side in (0, 1))
        return self.algorithm.values(clean), self.algorithm.values(corrupt)

    def values(self, pair: Pair) -> Values:
        """The fillers of a pair's clean prompt, with the variables that they make."""
        return self.algorithm.values({name: clean for name, clean, _ in pair.fillers if name in self.slots})

    def filled(self, name: str, chosen: Mapping[str, tuple[str, str]]) -> tuple[str, str]:
        """A slot's clean and corrupted filler."""
        slot = self.slots[name]
        if isinstance(slot, Choice):
            return chosen[name]
        clean, corrupt = (
            text.format_map({inner: self.filled(inner, chosen)[side] for inner in slots_of(text)})
            for side, text in enumerate((slot.clean, slot.corrupt))
        )
        return clean, corrupt

    def used_by(self, template: int) -> list[str]:
        """The slots that a template, the answer and the foil stand on, each once, chosen ones before those made of them."""
        if template not in self._used:
            self._used[template] = self._find_used(template)
        return self._used[template]

    def _find_used(self, template: int) -> list[str]:
        used: dict[str, None] = {}

        def visit(name: str) -> None:
            slot = self.slots[name]
            for inner in slot.slots if isinstance(slot, Text) else []:
                visit(inner)
            used[name] = None

        for root in [*slots_of(self.templates[template]), *self.algorithm.slots_of_answers]:
            visit(root)
        return list(used)

    def check(self) -> None:
        """Every slot that stands somewhere is given, and every one given stands somewhere."""
        texts = {f"template {template!r}": slots_of(template) for template in self.templates}
        for what, spec in (("answer", self.answer), ("foil", self.foil)):
            named = {text: [name for name in slots_of(text) if name not in self.variables] for text in texts_of(spec)}
            texts |= {f"{what} {text!r}": tuple(names) for text, names in named.items()}
        for name, slot in self.slots.items():
            self._check_not_circular(name, [])
            texts[f"slot {name!r}"] = slot.slots if isinstance(slot, Text) else ()
        texts[f"distinct={self.distinct!r}"] = self.distinct
        have = ", ".join(self.slots) or "none"
        for what, used in texts.items():
            missing = [name for name in used if name not in self.slots]
            if missing and missing[0] in ("answer", "foil", "where", "distinct", "merging", "variables"):
                raise PromptError(f"{what} uses the slot {{{missing[0]}}}, which cannot be a slot: it is an argument")
            if missing and missing[0] in self.variables:
                raise PromptError(
                    f"{what} uses {{{missing[0]}}}, a variable: it may stand in answer and foil, where no slot is needed"
                )
            if missing:
                raise PromptError(f"{what} uses the slot {{{missing[0]}}}, which is not given (given: {have})")
        if len(self.distinct) == 1:
            raise PromptError(f"distinct={self.distinct!r} names one slot: it takes two or more that must differ")
        del texts[f"distinct={self.distinct!r}"]
        used_somewhere = {name for used in texts.values() for name in used} | set(self.algorithm.slots_of_answers)
        if unused := set(self.slots) - used_somewhere:
            raise PromptError(f"the slot {min(unused)!r} is given but stands in no template, slot, answer or foil")
        for number in range(len(self.templates)):
            self.algorithm.check_made_of(self.used_by(number), self.templates[number])

    def _check_not_circular(self, name: str, above: list[str]) -> None:
        if name in above:
            raise PromptError(f"slots stand in each other in a circle: {' -> '.join([*above, name])}")
        slot = self.slots.get(name)
        for inner in slot.slots if isinstance(slot, Text) else []:
            self._check_not_circular(inner, [*above, name])


def _as_json(row: Pair) -> list[Any]:
    """All of a row that says which pair it is, and how often it counts."""
    prompts = [prompt.written if prompt.roles else prompt.text for prompt in (row.clean, row.corrupt)]
    further = [[name, value] for name, value, _ in row.fillers if name in row.columns]
    more = [[further, row.weight, row.is_contrast]] if further or row.weight != 1 or not row.is_contrast else []
    return [*prompts, row.answer, row.foil, *more]


def _in_words(row: Pair) -> str:
    """A row in a line."""
    prompts = [row.clean, row.corrupt] if row.is_contrast else [row.clean]
    sides = [str(prompt.written) if prompt.roles else prompt.text for prompt in prompts]
    over = f" over {', '.join(map(repr, row.foil))}" if row.foil else ""
    times = "" if row.weight == 1 else f" (counts {row.weight:g} times)"
    return f"{' / '.join(sides)} -> {', '.join(map(repr, row.answer))}{over}{times}"


def half_of(pair: object) -> str:
    """Which half a pair belongs to: by its own text alone."""
    return HALVES[1 - int(digest(json.dumps(pair), 2), 16) % 2]


def one_of(options: Sequence[tuple[str, str]], weights: Sequence[float] | None, shuffler: Random) -> tuple[str, str]:
    """One of the options, as ``shuffler.choices`` takes it; of those that are equally likely without what that costs."""
    return options[int(shuffler.random() * len(options))] if weights is None else shuffler.choices(options, weights)[0]


def _segments(template: str, fillers: Fillers, roles: Sequence[str]) -> tuple[Segment, ...]:
    segments = []
    for number, content in enumerate(template.split(SEPARATOR)) if roles else [(-1, template)]:
        for literal, slot, _, _ in string.Formatter().parse(content):
            if literal:
                segments.append(Segment(literal, message=number))
            if slot is not None:
                segments.append(Segment(fillers[slot], slot, number))
    return tuple(segments)
