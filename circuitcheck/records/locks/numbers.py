"""Each pair's own numbers, as the lock's second file has them: one text a comparison, one word a pair.

    3f2a91c07d5e=6.27/14.7/14.7/1     shift 6.27 of a base of 14.7, both in the readout's unit; gap 14.7; answered right

What stands at a word's end may be left out: the base where it is 1, the gap and whether the pair is answered right where there is
no such thing, the number of times that the pair counts where it counts once.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from circuitcheck.records.fields import LARGEST


class Row(NamedTuple):
    """What a lock knows of a pair. In locks of a format before the fourth a shift is a share of the mean base already."""

    shift: float
    base: float = 1.0
    gap: float | None = None
    right: float | None = None
    weight: float = 1.0


Rows = dict[str, Row]
_DEFAULTS = Row(0.0)


def rows_of(pairs: Mapping[str, Sequence[float | None]]) -> Rows:
    """The rows of a report's ``pairs``, with seven digits."""
    return {pair: _row_of([None if one is None else _seven(one) for one in numbers]) for pair, numbers in pairs.items()}


def as_text(rows: Mapping[str, Row]) -> str:
    """The text again."""
    return " ".join(f"{pair}={_word(row)}" for pair, row in rows.items())


def read(text: str) -> Rows:
    """The rows of a text; raises ``ValueError`` for what holds none."""
    return {pair: _row(word) for pair, _, word in (one.partition("=") for one in text.split())}


def means(rows: Iterable[Row]) -> tuple[float | None, float | None]:
    """The mean gap, and the share that is answered right, where all of some rows say."""
    there = [*rows]
    total = sum(row.weight for row in there)

    def mean(numbers: Sequence[float | None]) -> float | None:
        if not there or not total or None in numbers:
            return None
        return sum(row.weight * (number or 0.0) for row, number in zip(there, numbers, strict=True)) / total

    return mean([row.gap for row in there]), mean([row.right for row in there])


def _seven(number: float) -> float:
    return float(f"{number:.7g}")


def _word(row: Row) -> str:
    numbers = list(row)
    while len(numbers) > 1 and numbers[-1] == _DEFAULTS[len(numbers) - 1]:
        numbers.pop()
    return "/".join("" if number is None else f"{number:.7g}" for number in numbers)


def _row(word: str) -> Row:
    texts = word.split("/")
    if len(texts) > len(_DEFAULTS):
        raise ValueError(f"{len(texts)} numbers")
    found = _row_of([_number(text, default) for text, default in zip(texts, _DEFAULTS, strict=False)])
    if not found.weight > 0:
        raise ValueError("a pair counts more than 0 times")
    return found


def _row_of(numbers: Sequence[float | None]) -> Row:
    """A row of its first numbers; raises ``ValueError`` where one of those is missing that every pair has."""
    shift, base, gap, right, weight = *numbers, *_DEFAULTS[len(numbers) :]
    if shift is None or base is None or weight is None:
        raise ValueError("a pair has a shift, a base and a weight")
    return Row(shift, base, gap, right, weight)


def _number(text: str, default: float | None) -> float | None:
    if not text and default is None:
        return None
    number = float(text)
    if not abs(number) < LARGEST:
        raise ValueError(f"{text} is no number")
    return number
