"""What reports show of the numbers behind an estimate: how they spread over pairs, and the pairs at both ends.

    >>> shown_pairs(measured.pairs, measured.per_pair)
    {'spread': [0.438, ..., 0.747], 'lowest': [{'value': 0.438, 'clean': [['I climbed up the ', ''], ['fig', 'tree'], ...

Kept small: a report carries it for every comparison.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from circuitcheck.prompts.pairs import Pair, Prompt, listed
from circuitcheck.records.report_fields import PairFields, SpreadFields, Stretch

if TYPE_CHECKING:
    from circuitcheck.prompts.aligned_pairs import AlignedPair
    from circuitcheck.types import Floats

# Numbers that a spread has at most, pairs that are shown of each end, characters of a stretch of text that are.
_NUMBERS, _ENDS, _STRETCH = 200, 3, 400


def shown_pairs(pairs: "Sequence[AlignedPair]", numbers: "Floats") -> SpreadFields:
    """How numbers over pairs spread, in order (of many, so many quantiles), and the pairs with the lowest and the highest."""
    if not pairs:
        return {}
    order = np.argsort(numbers, kind="stable")
    spread = numbers[order]
    if len(spread) > _NUMBERS:
        spread = spread[np.linspace(0, len(spread) - 1, _NUMBERS).round().astype(int)]
    lowest, highest = order[:_ENDS], order[max(_ENDS, len(order) - _ENDS) :][::-1]
    return {
        "spread": [_rounded(number) for number in spread],
        "lowest": [{"value": _rounded(numbers[row]), **shown_pair(pairs[row].pair)} for row in lowest],
        "highest": [{"value": _rounded(numbers[row]), **shown_pair(pairs[row].pair)} for row in highest],
    }


def shown_pair(pair: Pair) -> PairFields:
    """A pair with each prompt in stretches of text, beside them the slot that they fill ("" between slots)."""
    return {
        "clean": _stretches(pair.clean),
        "corrupt": _stretches(pair.corrupt) if pair.is_contrast else [],
        "answer": listed(pair.answer),
        "foil": listed(pair.foil),
    }


def _stretches(prompt: Prompt) -> list[Stretch]:
    if prompt.ids is not None:
        return [[_short(prompt.text), ""]]
    return [[_short(segment.text), segment.slot] for segment in prompt.segments if segment.text]


def _short(text: str) -> str:
    """A text, or its beginning and its end."""
    return text if len(text) <= _STRETCH else f"{text[: _STRETCH // 2]} … {text[-_STRETCH // 2 :]}"


def _rounded(number: float) -> float:
    """A number with four digits, as a plain float."""
    return float(f"{number:.4g}")
