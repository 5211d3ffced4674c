"""Pairs given as they are: mappings with the clean and the corrupted prompt, the answer and the foil."""

from collections.abc import Iterable, Mapping
from operator import index
from typing import Any

from circuitcheck.errors import PromptError
from circuitcheck.pairs import Pair, Prompt, Segment


def row_of(number: int, row: Mapping[str, Any]) -> Pair:
    """A row as a pair; raises ``PromptError``, naming the row by its number, for what is none."""
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
        answers = [_answers(row["answer"]), _answers(() if row.get("foil") is None else row["foil"])]
    except TypeError:
        raise PromptError(f"row {number} holds neither text nor token ids: {dict(row)!r}") from None
    if not answers[0]:
        raise PromptError(f"row {number} has no answer")
    if () in (sides[0].ids, sides[1].ids):
        raise PromptError(f"row {number} has an empty prompt")
    return Pair(sides[0], sides[1], answers[0], answers[1])


def _answers(given: Any) -> tuple[str | int, ...]:
    if isinstance(given, str):
        return (given,)
    if not isinstance(given, Iterable):
        return (index(given),)
    return tuple(one if isinstance(one, str) else index(one) for one in given)
