"""A description of prompt pairs: templates, slots, answers, and which pairs they make."""

import json
import string
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from textwrap import shorten
from typing import TYPE_CHECKING, Any

from circuitcheck.errors import PromptError
from circuitcheck.prompts.answers import AnswerSpec, Fillers, answers_of, texts_of
from circuitcheck.prompts.pairs import Pair, Prompt, Segment, couple
from circuitcheck.prompts.slots import Choice, Text, slots_of
from circuitcheck.prompts.typos import NOISE, typos
from circuitcheck.texts import digest

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy


@dataclass(frozen=True, eq=False, repr=False)
class Description:
    """All that says which pairs there are. ``half`` is which half of them, empty for all; ``noise`` the kinds of typographical
    errors; ``generator`` a Hypothesis strategy that generates them; ``is_example``: a single pair that ``strategy`` gave; ``as_tokens``:
    answers are their own tokens, whatever they would be where they are read with the prompt."""

    templates: tuple[str, ...] = ()
    slots: Mapping[str, Choice | Text] = field(default_factory=dict)
    answer: AnswerSpec = ()
    foil: AnswerSpec = ()
    where: Callable[[Fillers, Fillers], bool] | None = None
    distinct: tuple[str, ...] = ()
    rows: tuple[Pair, ...] = ()
    half: str = ""
    noise: tuple[str, ...] = ()
    generator: "SearchStrategy[Any] | None" = None
    is_example: bool = False
    as_tokens: bool = False
    _used: dict[int, list[str]] = field(default_factory=dict, init=False)

    def choices(self, template: int) -> dict[str, tuple[tuple[str, str], ...]]:
        """The slots that are chosen for a template, each with its (clean, corrupt) options."""
        used = self._used_by(template)
        noise = {NOISE: tuple((label, label) for label in self._typos(template))} if self.noise else {}
        return {name: slot.options for name in used if isinstance(slot := self.slots[name], Choice)} | noise

    def weights(self, template: int) -> dict[str, tuple[float, ...]]:
        """How likely the options of a template's slots are, of those that are not equally likely."""
        slots = {name: self.slots[name] for name in self._used_by(template)}
        return {name: slot.weights for name, slot in slots.items() if isinstance(slot, Choice) and slot.weights}

    def keeps(self, template: int, chosen: Mapping[str, tuple[str, str]]) -> bool:
        """Whether ``distinct`` and ``where`` keep the pair in which ``chosen`` fills the slots."""
        if self.rows:
            return True
        if self.half and half_of([self.templates[template], *chosen.values()]) != self.half:
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
        text = self._typos(template)[chosen[NOISE][0]] if self.noise else self.templates[template]
        noise = [(NOISE, *chosen[NOISE])] if self.noise else []
        return Pair(
            clean=Prompt(_segments(text, clean)),
            corrupt=Prompt(_segments(text, corrupt)),
            answer=answers_of("answer", self.answer, clean),
            foil=answers_of("foil", self.foil, clean),
            fillers=(*((name, clean[name], corrupt[name]) for name in clean), *noise),
            template=template,
            as_tokens=self.as_tokens,
        )

    def cluster(self, template: int, chosen: Mapping[str, tuple[str, str]], by: str) -> str | None:
        """``Pair.cluster`` of the pair in which ``chosen`` fills the slots."""
        if self.rows:
            return self.rows[template].cluster(by)
        if by == "template":
            return str(template)
        if by == NOISE and self.noise:
            return couple(*chosen[NOISE])
        return couple(*self._filled(by, chosen)) if by in self._used_by(template) else None

    def as_json(self) -> dict[str, Any]:
        """All of the description that is data, for hashing: functions count by what they select."""
        half: dict[str, Any] = {"half": self.half} if self.half else {}
        if self.generator is not None:
            return {"strategy": repr(self.generator)}
        half |= {"noise": self.noise} if self.noise else {}
        half |= {"merging": "as tokens"} if self.as_tokens else {}
        if self.rows:
            return half | {"rows": [[row.clean.text, row.corrupt.text, row.answer, row.foil] for row in self.rows]}
        return half | {
            "templates": self.templates,
            "slots": {name: repr(slot) for name, slot in self.slots.items()},
            "distinct": self.distinct,
            "answer": None if callable(self.answer) else self.answer,
            "foil": None if callable(self.foil) else self.foil,
        }

    @property
    def identity(self) -> str:
        """16 hex digits of the description."""
        return digest(self.as_json(), 16)

    def __repr__(self) -> str:
        if self.generator is not None:
            return f"PromptPairs.from_strategy({shorten(repr(self.generator), 80, placeholder=' ...')})"
        if self.is_example:
            merging = ", merging='as tokens'" if self.as_tokens else ""
            return f"PromptPairs.from_rows([{self.rows[0].as_row()!r}]{merging})"
        what = self.templates[0] if self.templates else f"{len(self.rows)} rows"
        return f"PromptPairs({what!r})"

    def _typos(self, template: int) -> dict[str, str]:
        """The template with each single error, by what was done; without any under the empty text."""
        return typos(self.templates[template], self.noise)

    def _sides(self, template: int, chosen: Mapping[str, tuple[str, str]]) -> tuple[Fillers, Fillers]:
        """The fillers of the clean and of the corrupted prompt."""
        fillers = {name: self._filled(name, chosen) for name in self._used_by(template)}
        return {name: sides[0] for name, sides in fillers.items()}, {name: sides[1] for name, sides in fillers.items()}

    def _filled(self, name: str, chosen: Mapping[str, tuple[str, str]]) -> tuple[str, str]:
        slot = self.slots[name]
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
            slot = self.slots[name]
            for inner in slot.slots if isinstance(slot, Text) else []:
                visit(inner)
            used[name] = None

        roots = [*slots_of(self.templates[template])]
        roots += [slot for spec in (self.answer, self.foil) for text in texts_of(spec) for slot in slots_of(text)]
        for root in roots:
            visit(root)
        return list(used)

    def check(self) -> None:
        """Every slot that stands somewhere is given, and every one given stands somewhere."""
        texts = {f"template {template!r}": slots_of(template) for template in self.templates}
        for what, spec in (("answer", self.answer), ("foil", self.foil)):
            texts |= {f"{what} {text!r}": slots_of(text) for text in texts_of(spec)}
        for name, slot in self.slots.items():
            self._check_not_circular(name, [])
            texts[f"slot {name!r}"] = slot.slots if isinstance(slot, Text) else ()
        texts[f"distinct={self.distinct!r}"] = self.distinct
        have = ", ".join(self.slots) or "none"
        for what, used in texts.items():
            missing = [name for name in used if name not in self.slots]
            if missing and missing[0] in ("answer", "foil", "where", "distinct", "merging"):
                raise PromptError(f"{what} uses the slot {{{missing[0]}}}, which cannot be a slot: it is an argument")
            if missing:
                raise PromptError(f"{what} uses the slot {{{missing[0]}}}, which is not given (given: {have})")
        if len(self.distinct) == 1:
            raise PromptError(f"distinct={self.distinct!r} names one slot: it takes two or more that must differ")
        del texts[f"distinct={self.distinct!r}"]
        unused = set(self.slots) - {name for used in texts.values() for name in used}
        if unused:
            raise PromptError(f"the slot {min(unused)!r} is given but stands in no template, slot, answer or foil")

    def _check_not_circular(self, name: str, above: list[str]) -> None:
        if name in above:
            raise PromptError(f"slots stand in each other in a circle: {' -> '.join([*above, name])}")
        slot = self.slots.get(name)
        for inner in slot.slots if isinstance(slot, Text) else []:
            self._check_not_circular(inner, [*above, name])


def half_of(pair: object) -> str:
    """Which half a pair belongs to: by its own text alone."""
    return "discover" if int(digest(json.dumps(pair), 2), 16) % 2 else "confirm"


def _segments(template: str, fillers: Fillers) -> tuple[Segment, ...]:
    segments = []
    for literal, slot, _, _ in string.Formatter().parse(template):
        if literal:
            segments.append(Segment(literal))
        if slot is not None:
            segments.append(Segment(fillers[slot], slot))
    return tuple(segments)
