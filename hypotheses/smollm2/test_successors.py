"""Successors: what comes after a day or a number (findings 28 and 29: Gould et al. 2023, Lan et al. 2023).

Thresholds are the published list's; on the discovering halves L23.H3 restored 0.56 of days and 0.45 of numbers, and was first among all heads for either.
"""

import pytest
from behaviours import CAPITALS, DAYS, NUMBERS

from circuitcheck import ClaimRefuted

pytestmark = pytest.mark.circuit(model="smollm2", optional=True)

NEXT_DAYS, NEXT_NUMBERS, OTHER = DAYS.split("confirm"), NUMBERS.split("confirm"), CAPITALS.split("confirm")


def test_one_head_brings_the_next_day(model):
    """L23.H3 alone restores a quarter of the next day at the last token (finding 28)."""
    assert model.on(NEXT_DAYS).patch("L23.H3@end") > 0.25


def test_no_other_head_brings_as_much_of_it(model):
    """... and more than any other head of its layer."""
    assert model.on(NEXT_DAYS).patch("L23.H3@end").beats("L23.H*")


def test_the_same_head_brings_the_next_number(model):
    """It restores a quarter of the next number, too (finding 29) ..."""
    assert model.on(NEXT_NUMBERS).patch("L23.H3@end") > 0.25


def test_it_is_among_the_first_for_numbers(model):
    """... and is among the first five of the heads of the last ten layers there."""
    assert model.on(NEXT_NUMBERS).patch("L23.H3@end").rank_within("L20-29.H*") <= 5


def test_for_every_day(model):
    """There is no day, and no example, for which it restores nothing."""
    assert model.on(NEXT_DAYS).patch("L23.H3@end").each > 0


@pytest.mark.xfail(
    raises=ClaimRefuted, strict=True, reason="0.38 of its attention: less than half, though nine heads' median is 0.04"
)
def test_it_attends_to_the_day(model):
    """It looks at the day more than at all else together."""
    assert model.on(NEXT_DAYS).attention("L23.H3", source="{day}") > 0.5


def test_it_does_not_copy(model):
    """By its weights it lowers what it reads: a successor head is no copying head."""
    assert model.head("L23.H3").copying < 0


@pytest.mark.xfail(
    raises=ClaimRefuted, strict=True, reason="0.05: of its 0.53 nearly all goes by later components, MLPs above all"
)
def test_it_writes_the_next_day_itself(model):
    """It writes a quarter of the next day into the logits itself (finding 28: the head's output alone is the successor)."""
    assert model.on(NEXT_DAYS).direct("L23.H3@end").of_gap > 0.25


def test_it_is_no_part_of_capitals(model):
    """Of capitals, which another head of its layer brings, it restores less than a tenth."""
    assert model.on(OTHER).patch("L23.H3@end") < 0.1
