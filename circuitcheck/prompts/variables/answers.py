"""What answers a prompt, and what does not: texts in which slots may stand, or a function of the fillers."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

from circuitcheck.errors import PromptError
from circuitcheck.prompts.ids import members
from circuitcheck.prompts.slots import checked_text
from circuitcheck.prompts.variables.functions import Function, Values

Fillers = Mapping[str, str]
AnswerSpec = str | Sequence[str] | Callable[..., str | Sequence[str]]


def spec_of(what: str, spec: Any) -> AnswerSpec:
    """An answer or a foil as it may be given, a set as a list."""
    if callable(spec):
        return cast(AnswerSpec, spec)
    if isinstance(spec, str):
        return checked_text(what, spec)
    return _texts(what, f"{what} is text, a list of texts or a function of the fillers", spec)


def texts_of(spec: AnswerSpec) -> Sequence[str]:
    """The texts of an answer or a foil, none where it is a function."""
    return [] if callable(spec) else [spec] if isinstance(spec, str) else spec


def answers_of(what: str, spec: str | Sequence[str] | Function, clean: Values) -> tuple[str, ...]:
    """The texts of an answer or a foil, filled with the slots and variables of the clean prompt."""
    if isinstance(spec, Function):
        filled = tuple(_texts(what, f"the function {what}= gives text or a list of texts", spec(clean)))
    else:
        filled = tuple(text.format_map(clean) for text in texts_of(spec))
    if what == "answer" and not filled:
        raise PromptError(f"there is no answer for the fillers {clean!r}")
    return filled


def _texts(what: str, rule: str, given: Any) -> list[str]:
    """One text, or several in an order that is the same in every session; raises ``PromptError`` for what is not text."""
    texts = members(given)
    for text in texts:
        if not isinstance(text, str):
            raise PromptError(f"{rule}; {text!r} is none of them (token ids go with PromptPairs.from_rows)")
        checked_text(what, text)
    return texts
