"""What answers a prompt, and what does not: texts in which slots may stand, or a function of the fillers."""

from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from typing import Any, cast

from circuitcheck.errors import PromptError

Fillers = Mapping[str, str]
AnswerSpec = str | Sequence[str] | Callable[[Fillers], str | Sequence[str]]


def spec_of(what: str, spec: Any) -> AnswerSpec:
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


def texts_of(spec: AnswerSpec) -> Sequence[str]:
    """The texts of an answer or a foil, none where it is a function."""
    return [] if callable(spec) else [spec] if isinstance(spec, str) else spec


def answers_of(what: str, spec: AnswerSpec, clean: Fillers) -> tuple[str, ...]:
    """The texts of an answer or a foil, slots filled as in the clean prompt."""
    given = spec(clean) if callable(spec) else spec
    texts = [given] if isinstance(given, str) else list(given)
    filled = tuple(text.format_map(clean) if not callable(spec) else text for text in texts)
    if what == "answer" and not filled:
        raise PromptError(f"there is no answer for the fillers {dict(clean)}")
    return filled
