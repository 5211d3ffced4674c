"""Slots: lists of fillers, what differs between the clean and the corrupted prompt, or text in which other slots stand."""

import math
import string
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from functools import lru_cache
from numbers import Real

from circuitcheck.errors import PromptError
from circuitcheck.texts import is_writable


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
            self.options = [
                (checked_text("contrast(clean=...)", clean), checked_text("contrast(corrupt=...)", corrupt))
            ]
        else:
            sides = _fillers("contrast(clean=...)", clean), _fillers("contrast(corrupt=...)", corrupt)
            self.options = [(left, right) for left in sides[0] for right in sides[1]]

    @classmethod
    def pairs(cls, couples: Sequence[tuple[str, str]]) -> "contrast":
        """Couples of a clean and a corrupted filler, in place of every clean one with every corrupted one.

            fruit=contrast.pairs([("apple", "lemon"), ("orange", "peach")])

        Raises ``PromptError`` for no couples, and for one that is there twice.
        """
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
class Choice:
    """A slot that is chosen: its (clean, corrupt) options, with their ``weights`` where they are not equally likely."""

    options: tuple[tuple[str, str], ...]
    weights: tuple[float, ...] = ()

    def only(self, keeps: Callable[[tuple[str, str]], bool]) -> "Choice":
        """The same with some of its options."""
        kept = [place for place, option in enumerate(self.options) if keeps(option)]
        weights = tuple(self.weights[place] for place in kept) if self.weights else ()
        return Choice(tuple(self.options[place] for place in kept), weights)

    def in_parts(self, name: str) -> dict[str, list[str]]:
        """Its fillers as texts, under its name; those of either side by themselves where each clean one goes with each
        corrupted one."""
        cleans, corrupts = ([*dict.fromkeys(option[side] for option in self.options)] for side in (0, 1))
        product = [(clean, corrupt) for clean in cleans for corrupt in corrupts]
        if list(self.options) == product and len(product) > 1:
            return {f"{name} clean": cleans, f"{name} corrupt": corrupts}
        texts = [clean if clean == corrupt else f"{clean} / {corrupt}" for clean, corrupt in self.options]
        if self.weights:
            texts = [f"{text} ({weight:g})" for text, weight in zip(texts, self.weights, strict=True)]
        return {name: texts}


@dataclass(frozen=True)
class Text:
    """A slot made of other slots: its clean and its corrupted text."""

    clean: str
    corrupt: str

    @property
    def slots(self) -> tuple[str, ...]:
        return slots_of(self.clean) + slots_of(self.corrupt)

    def in_parts(self, name: str) -> dict[str, list[str]]:
        """Its text, under its name."""
        return {name: [self.clean if self.clean == self.corrupt else f"{self.clean} / {self.corrupt}"]}


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


def slot_of(name: str, value: Sequence[str] | Mapping[str, float] | contrast | str) -> Choice | Text:
    """A slot as it may be given; raises ``PromptError`` for what is none."""
    if isinstance(value, contrast):
        return Text(*value.options[0]) if value.is_text else Choice(tuple(value.options))
    if isinstance(value, str):
        text = checked_text(f"the slot {name!r}", value)
        return Text(text, text)
    fillers = _fillers(f"the slot {name!r}", list(value) if isinstance(value, Mapping) else value)
    weights = _weights(name, value) if isinstance(value, Mapping) else ()
    return Choice(tuple((filler, filler) for filler in fillers), weights)


def _weights(name: str, value: Mapping[str, float]) -> tuple[float, ...]:
    """How likely each filler is, relative to the others."""
    for filler, weight in value.items():
        if isinstance(weight, bool) or not isinstance(weight, Real) or not 0 < float(weight) < math.inf:
            raise PromptError(
                f"the slot {name!r} gives {filler!r} the weight {weight!r}: a weight is a positive number"
            )
    return tuple(float(weight) for weight in value.values())


def _fillers(what: str, values: Sequence[str]) -> list[str]:
    if not isinstance(values, Iterable) or isinstance(values, Set | Mapping | bytes):
        raise PromptError(
            f"{what} is a list of fillers (which has an order), a mapping from fillers to weights, text or a contrast, not {values!r}"
        )
    fillers = [_filler(what, value) for value in values]
    if not fillers:
        raise PromptError(f"{what} has no fillers, so that the population is empty")
    twice = sorted({filler for filler in fillers if fillers.count(filler) > 1})
    if twice:
        raise PromptError(f"{what} has a filler twice, which would count its pairs twice: {', '.join(twice[:5])}")
    return fillers


def checked_text(what: str, text: str) -> str:
    """A text; raises ``PromptError`` for one with half a surrogate pair, which JSON can hold and no tokenizer reads."""
    if not is_writable(text):
        raise PromptError(f"{what} has half a surrogate pair, which is no character: {text!r}")
    return text


def _couple(couple: object) -> tuple[str, str]:
    if isinstance(couple, str) or not isinstance(couple, Sequence) or len(couple) != 2:
        raise PromptError(f"contrast.pairs takes couples such as ('apple', 'lemon'), not {couple!r}")
    return _filler("contrast.pairs", couple[0]), _filler("contrast.pairs", couple[1])


def _filler(what: str, value: object) -> str:
    """A filler as text. A number is written out; None, a truth value and the like would be read as what nobody wrote."""
    if isinstance(value, str):
        return checked_text(what, value)
    if isinstance(value, bool) or not isinstance(value, Real) or not math.isfinite(value):
        raise PromptError(f"{what} takes fillers that are text or numbers, not {value!r}")
    return str(value)
