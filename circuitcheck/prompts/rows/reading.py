"""Pairs given as they are: mappings with the clean and the corrupted prompt, the answer and the foil, and further columns."""

import math
from collections.abc import Callable, Iterable, Mapping, Set
from dataclasses import dataclass, fields, replace
from difflib import get_close_matches
from numbers import Real
from typing import Any

from circuitcheck.errors import PromptError
from circuitcheck.prompts.chats.messages import checked_messages, is_chat
from circuitcheck.prompts.ids import id_of, members
from circuitcheck.prompts.pairs import Pair, Prompt, Segment
from circuitcheck.texts import is_writable

# The name of a column, a function of the row, or None for what the table has not.
Column = str | Callable[[Mapping[str, Any]], Any] | None
# What a row must have under its own name.
_NEEDED = ("clean", "answer")


@dataclass(frozen=True)
class Columns:
    """Where each part of a pair is in a row. Under its own name a part may be lacking that need not be there."""

    clean: Column = "clean"
    corrupt: Column = "corrupt"
    answer: Column = "answer"
    foil: Column = "foil"
    weight: Column = "weight"

    def parts(self) -> dict[str, Column]:
        """Each part with its column."""
        return {part.name: getattr(self, part.name) for part in fields(self)}


def pairs_of(rows: Iterable[tuple[str, Any]], columns: Columns) -> tuple[Pair, ...]:
    """Rows, each with where it stands (``"row 3"``), as pairs; one that comes again counts as often. Raises ``PromptError``,
    naming where, for what is no row, and for corrupted prompts that some rows have and others lack."""
    _check_columns(columns)
    weights: dict[Pair, float] = {}
    first: tuple[str, bool] | None = None
    for where, row in rows:
        pair = _pair_of(where, row, columns)
        first = first or (where, pair.is_contrast)
        if pair.is_contrast != first[1]:
            without, with_one = (where, first[0]) if first[1] else (first[0], where)
            raise PromptError(
                f"{without} has no corrupted prompt, and {with_one} has one: either all rows have one or none (corrupt=None)"
            )
        same = replace(pair, weight=1.0)
        weights[same] = weights.get(same, 0.0) + pair.weight
    largest = max(weights.values(), default=1.0)
    if not math.isfinite(sum(weights.values())):
        raise PromptError("the rows' weights are too large to be added up")
    alike = len(set(weights.values())) == 1
    return tuple(replace(pair, weight=1.0 if alike else weight / largest) for pair, weight in weights.items())


def _check_columns(columns: Columns) -> None:
    for part, column in columns.parts().items():
        if not isinstance(column, str) and not callable(column) and (column is not None or part == "clean"):
            raise PromptError(f"{part}= is the name of a column, or a function of the row, not {column!r}")


def _pair_of(where: str, row: Any, columns: Columns) -> Pair:
    if not isinstance(row, Mapping):
        raise PromptError(
            f"{where} is not a mapping but {row!r} (a row has clean, corrupt, answer and, if there is one, foil)"
        )
    given = {part: _value(where, row, part, column) for part, column in columns.parts().items()}
    needed = [part for part in _NEEDED if columns.parts()[part] is not None]
    used = {column for column in columns.parts().values() if isinstance(column, str)}
    further = {name: value for name, value in row.items() if name not in used}
    _check_no_misspelling(where, further, columns, row)
    try:
        if empty := [part for part in needed if given[part] is None]:
            raise TypeError(f"its {empty[0]} is empty")
        clean = _prompt(given["clean"])
        corrupt = clean if given["corrupt"] is None else _prompt(given["corrupt"])
        answers = [_answers(() if given[part] is None else given[part]) for part in ("answer", "foil")]
    except TypeError as error:
        shown = {part: value for part, value in given.items() if value is not None or part in needed}
        raise PromptError(f"{where} holds neither text nor token ids: {shown!r} ({error})") from None
    except PromptError as error:
        raise PromptError(f"{where}: {error}") from None
    if not answers[0] and "answer" in needed:
        raise PromptError(f"{where} has no answer")
    for prompt in (clean, corrupt):
        if not (prompt.text if prompt.ids is None else prompt.ids):
            raise PromptError(f"{where} has an empty prompt")
    for text in (clean.text, corrupt.text, *answers[0], *answers[1]):
        if isinstance(text, str) and not is_writable(text):
            raise PromptError(
                f"{where} has half a surrogate pair, which is no character and which no tokenizer reads: {text!r}"
            )
    labels = {str(name): str(value) for name, value in further.items() if isinstance(value, str | Real | None)}
    return Pair(
        clean,
        corrupt,
        answers[0],
        answers[1],
        fillers=tuple((name, value, value) for name, value in labels.items()),
        columns=tuple(labels),
        weight=_weight(where, given["weight"]),
        is_contrast=given["corrupt"] is not None,
    )


def _value(where: str, row: Mapping[str, Any], part: str, column: Column) -> Any:
    """What a row has for a part of a pair; None where it has none."""
    if column is None:
        return None
    if callable(column):
        try:
            return column(row)
        except KeyError as error:
            raise PromptError(
                f"{where}: the function {part}= asks for {error}, which is not there ({_has(row)})"
            ) from None
        except Exception as error:
            raise PromptError(f"{where}: the function {part}= fails: {type(error).__name__}: {error}") from error
    may_lack = column == part and part not in _NEEDED
    if column not in row and not may_lack:
        what = part if column == part else f"{column!r}, which {part}= names"
        raise PromptError(f"{where} lacks {what} ({_has(row)})")
    return row.get(column)


def _check_no_misspelling(where: str, further: Mapping[Any, Any], columns: Columns, row: Mapping[str, Any]) -> None:
    """A column that is nearly named as a part that the row lacks was meant for it."""
    lacking = [part for part, column in columns.parts().items() if column == part and part not in row]
    for name in further:
        if near := get_close_matches(str(name), lacking, n=1, cutoff=0.7):
            raise PromptError(
                f"{where} has {name!r} and no {near[0]!r}: say {near[0]}={name!r} if that is what it is, and {near[0]}=None "
                "if not"
            )


def _has(row: Mapping[str, Any]) -> str:
    return f"it has {', '.join(map(str, row)) or 'nothing'}"


def _prompt(given: Any) -> Prompt:
    if isinstance(given, str):
        return Prompt((Segment(given),))
    if is_chat(given):
        messages = checked_messages(given)
        segments = [Segment(content, message=number) for number, (_, content) in enumerate(messages) if content]
        return Prompt(tuple(segments), roles=tuple(role for role, _ in messages))
    if not isinstance(given, Iterable) or isinstance(given, bytes | bytearray | Mapping | Set):
        raise TypeError(f"{given!r} is neither text nor a list of token ids")
    return Prompt(ids=tuple(map(id_of, members(given))))


def _answers(given: Any) -> tuple[str | int | tuple[int, ...], ...]:
    """A set of texts, of token ids, or of lists of ids, each of which is an answer of several tokens."""
    return tuple(one if isinstance(one, str) else _tokens(one) for one in members(given))


def _tokens(answer: Any) -> int | tuple[int, ...]:
    if not isinstance(answer, list | tuple) and not getattr(answer, "ndim", 0):
        return id_of(answer)
    tokens = tuple(map(id_of, members(answer)))
    if not tokens:
        raise TypeError("an answer without tokens")
    return tokens[0] if len(tokens) == 1 and not isinstance(answer, list | tuple) else tokens


def _weight(where: str, given: Any) -> float:
    """How many times a row counts."""
    if given is None:
        return 1.0
    try:
        weight = math.nan if isinstance(given, bool) or not isinstance(given, Real | str) else float(given)
    except (ValueError, OverflowError):
        weight = math.nan
    if not 0 < weight < math.inf:
        raise PromptError(f"{where} has the weight {given!r}: a weight is a positive number")
    return weight
