"""Pairs given as they are: mappings with the clean and the corrupted prompt, the answer and the foil."""

from collections.abc import Iterable, Mapping, Set
from typing import Any

from circuitcheck.errors import PromptError
from circuitcheck.prompts.ids import id_of, members
from circuitcheck.prompts.pairs import Pair, Prompt, Segment


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
        sides = [_prompt(row[side]) for side in ("clean", "corrupt")]
        answers = [_answers(row["answer"]), _answers(() if row.get("foil") is None else row["foil"])]
    except TypeError as error:
        raise PromptError(f"row {number} holds neither text nor token ids: {dict(row)!r} ({error})") from None
    if not answers[0]:
        raise PromptError(f"row {number} has no answer")
    if () in (sides[0].ids, sides[1].ids):
        raise PromptError(f"row {number} has an empty prompt")
    return Pair(sides[0], sides[1], answers[0], answers[1])


def _prompt(given: Any) -> Prompt:
    if isinstance(given, str):
        return Prompt((Segment(given),))
    if not isinstance(given, Iterable) or isinstance(given, bytes | bytearray | Mapping | Set):
        raise TypeError(f"{given!r} is neither text nor a list of token ids")
    return Prompt(ids=tuple(map(id_of, given)))


def _answers(given: Any) -> tuple[str | int | tuple[int, ...], ...]:
    """A set of texts, of token ids, or of lists of ids, each of which is an answer of several tokens."""
    return tuple(one if isinstance(one, str) else _tokens(one) for one in members(given))


def _tokens(answer: Any) -> int | tuple[int, ...]:
    if not isinstance(answer, list | tuple) and not getattr(answer, "ndim", 0):
        return id_of(answer)
    if not len(answer):
        raise TypeError("an answer without tokens")
    return tuple(map(id_of, answer))
