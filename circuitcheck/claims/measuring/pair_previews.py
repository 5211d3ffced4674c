"""What reports show of the numbers behind an estimate: how they spread over pairs, and the pairs at both ends.

    >>> shown_pairs(measured.pairs, measured.per_pair)
    {'spread': [0.438, ..., 0.747], 'lowest': [{'value': 0.438, 'clean': [['I climbed up the ', ''], ['fig', 'tree'], ...

Kept small: a report carries it for every comparison.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from circuitcheck.prompts.pairs import Prompt, listed
from circuitcheck.records.report_fields import PairFields, SpreadFields, Stretch
from circuitcheck.texts import shortened

if TYPE_CHECKING:
    from circuitcheck.prompts.aligned_pairs import AlignedPair
    from circuitcheck.types import Floats

# Numbers that a spread has at most, pairs that are shown of each end, characters of a stretch of text that are.
_NUMBERS, _ENDS, _STRETCH = 200, 3, 400


def shown_pairs(
    pairs: "Sequence[AlignedPair]", numbers: "Floats", texts: Sequence[dict[str, str]] = ()
) -> SpreadFields:
    """How numbers over pairs spread, in order (of many, so many quantiles), and the pairs with the lowest and the highest, with what
    was written after them, where ``texts`` are read."""

    def shown(row: int) -> PairFields:
        pictured = row in (order[0], order[-1])  # of many, these alone: they are large
        found = shown_pair(pairs[row], pictured)
        found["value"] = _rounded(numbers[row])
        if texts:
            found["texts"] = {which: shortened(text, _STRETCH) for which, text in texts[row].items()}
        return found

    if not pairs:
        return {}
    order = np.argsort(numbers, kind="stable")
    spread = numbers[order]
    if len(spread) > _NUMBERS:
        spread = spread[np.linspace(0, len(spread) - 1, _NUMBERS).round().astype(int)]
    lowest, highest = order[:_ENDS], order[max(_ENDS, len(order) - _ENDS) :][::-1]
    return {
        "spread": [_rounded(number) for number in spread],
        "lowest": [shown(row) for row in lowest],
        "highest": [shown(row) for row in highest],
    }


def shown_pair(aligned: "AlignedPair", pictured: bool = True) -> PairFields:
    """A pair with each prompt in stretches of text, beside them the slot that they fill ("" between slots); of pictures with these, where they
    are to be ``pictured``."""
    pair = aligned.pair
    found: PairFields = {
        "clean": _stretches(pair.clean),
        "corrupt": _stretches(pair.corrupt) if pair.is_contrast else [],
        "answer": listed(pair.answer),
        "foil": listed(pair.foil),
    }
    if pictured and (pictures := aligned.previews):
        found["pictures"] = pictures
    return found


def _stretches(prompt: Prompt) -> list[Stretch]:
    if prompt.ids is not None:
        return [[shortened(prompt.text, _STRETCH), ""]]
    return [[shortened(segment.text, _STRETCH), segment.slot] for segment in prompt.segments if segment.text]


def _rounded(number: float) -> float:
    """A number with four digits, as a plain float."""
    return float(f"{number:.4g}")
