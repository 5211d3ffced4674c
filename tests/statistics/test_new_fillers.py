"""Limits for a half with other fillers: what has a filler in common is no draw of its own."""

from dataclasses import dataclass

import numpy as np

from circuitcheck.prompts.pairs import Pair, Prompt
from circuitcheck.statistics.clusters import groups_of_fillers
from circuitcheck.statistics.prediction import lower_prediction_limit

FILLERS, EACH, LEVEL, HALVES = 8, 12, 0.02, 4000


@dataclass(frozen=True)
class One:
    pair: Pair


def pairs(fillers: list[tuple[str, str]]) -> list[One]:
    text = Prompt(ids=(1,))
    return [One(Pair(text, text, (" a",), (" b",), fillers=(("noun", *both),))) for both in fillers]


def test_a_half_with_other_fillers_is_hardly_ever_below_the_limit() -> None:
    draw, base = np.random.default_rng(0), np.ones(FILLERS * EACH)
    [groups, _] = groups_of_fillers(pairs([(f"n{n}", f"m{n}") for n in range(FILLERS) for _ in range(EACH)]), "noun")
    below = {"pairs": 0, "fillers": 0}
    for _ in range(HALVES):
        halves = [
            np.repeat(draw.normal(0.5, 0.2, FILLERS), EACH) + draw.normal(0, 0.05, FILLERS * EACH) for _ in range(2)
        ]
        limits = {
            "pairs": lower_prediction_limit(halves[0], base, len(base), LEVEL),
            "fillers": lower_prediction_limit(groups.means(halves[0]), groups.means(base), FILLERS, LEVEL),
        }
        for name, limit in limits.items():
            below[name] += halves[1].mean() < limit
    assert below["fillers"] / HALVES < 1.3 * LEVEL
    assert below["pairs"] / HALVES > 5 * LEVEL


def test_clean_and_corrupted_fillers_are_groups_of_their_own() -> None:
    crossed = pairs([(clean, corrupt) for clean in "abc" for corrupt in "xy"])
    assert [one.rows for one in groups_of_fillers(crossed, "noun")] == [
        {"a": [0, 1], "b": [2, 3], "c": [4, 5]},
        {"x": [0, 2, 4], "y": [1, 3, 5]},
    ]
    assert groups_of_fillers(pairs([("a", "x")] * 3), "noun") == []
