"""Halves that have no filler in common: of one slot, of several, of what they are made of, of columns, of templates."""

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from circuitcheck import PromptError, PromptPairs, contrast
from circuitcheck.prompts.pairs import Pair
from circuitcheck.prompts.populations import Population

NAMES = ["Ann", "Bob", "Tom", "Sue", "Max", "Kim", "Leo"]
IOI = PromptPairs(
    "When {io} and {s} went to the {place}, {giver} gave it to",
    io=NAMES, s=NAMES, distinct=("io", "s"), place=["park", "shop"], giver=contrast(clean="{s}", corrupt="{io}"),
    answer=" {io}", foil=" {s}",
)  # fmt: skip
FRUIT = PromptPairs(
    "The {tree} and the {fruit}",
    "A {fruit} in a {tree}",
    tree=["pear", "plum", "fig", "oak"],
    fruit=contrast(clean=["apple", "orange", "olive"], corrupt=["lemon", "banana", "peach"]),
    answer=" x",
)


def drawn(pairs: PromptPairs, half: Any, by: str | Sequence[str]) -> list[Pair]:
    return list(Population(pairs.split(half, by=by).description, seed=0).draw())


def fillers(pairs: Sequence[Pair], slots: Sequence[str]) -> set[str]:
    return {filler for pair in pairs for name, *both in pair.fillers if name in slots for filler in both}


@pytest.mark.parametrize(
    ("pairs", "by", "slots"),
    [
        (FRUIT, "tree", ["tree"]),
        (FRUIT, "fruit", ["fruit"]),
        (FRUIT, ["tree", "fruit"], ["tree", "fruit"]),
        (IOI, ("io", "s"), ["io", "s", "giver"]),
        (IOI, "giver", ["io", "s", "giver"]),
        (IOI, ["place"], ["place"]),
    ],
)
def test_no_filler_is_in_both_halves(pairs: PromptPairs, by: Any, slots: list[str]) -> None:
    discover, confirm = (drawn(pairs, half, by) for half in ("discover", "confirm"))
    first, second = fillers(discover, slots), fillers(confirm, slots)
    assert not first & second
    assert abs(len(first) - len(second)) <= len(slots)
    whole = set(Population(pairs.description, seed=0).draw())
    assert {pair.clean.text for pair in (*discover, *confirm)} <= {pair.clean.text for pair in whole}


def test_couples_stay_together_where_they_can() -> None:
    pairs = PromptPairs("{n}", n=contrast.pairs([(f"{i}s", f"{i}") for i in range(10)]), answer="x")
    assert [len(drawn(pairs, half, "n")) for half in ("discover", "confirm")] == [5, 5]


def test_a_column_parts_rows_and_a_template_templates() -> None:
    rows = [
        {"clean": f"The {n} {i}", "answer": " x", "topic": n} for n in ("city", "sea", "sky", "ice") for i in range(3)
    ]
    pairs = PromptPairs.from_rows(rows)
    discover, confirm = (drawn(pairs, half, "topic") for half in ("discover", "confirm"))
    assert len(discover) == len(confirm) == 6
    assert not fillers(discover, ["topic"]) & fillers(confirm, ["topic"])
    assert {FRUIT.split(half, by="template").templates for half in ("discover", "confirm")} == {  # type: ignore[arg-type]
        (template,) for template in FRUIT.templates
    }


def test_weights_go_with_their_fillers() -> None:
    pairs = PromptPairs("{n} {m}", n={"a": 1, "b": 2, "c": 3, "d": 4}, m=contrast.pairs([("x", "y")]), answer="z")
    weights = {"a": 1.0, "b": 2.0, "c": 3.0, "d": 4.0}
    for half in ("discover", "confirm"):
        slot = pairs.split(half, by="n").description.slots["n"]  # type: ignore[arg-type]
        assert [weights[clean] for clean, _ in slot.options] == list(slot.weights)  # type: ignore[union-attr]
        assert len(slot.weights) == 2  # type: ignore[union-attr]


@settings(max_examples=30)
@given(st.lists(st.tuples(*[st.sampled_from("abcdefghijkl")] * 2), min_size=4, unique=True))
def test_halves_of_any_couples_have_nothing_in_common(couples: list[tuple[str, str]]) -> None:
    pairs = PromptPairs("{n}", n=contrast.pairs(couples), answer="x")
    found = []
    for half in ("discover", "confirm"):
        try:
            found.append(fillers(drawn(pairs, half, "n"), ["n"]))
        except PromptError:
            found.append(set())
    assert not found[0] & found[1]
    assert pairs.split("discover") is pairs.split("discover")


@pytest.mark.parametrize(
    ("pairs", "by", "said"),
    [
        (FRUIT, "nut", r"split\(by='nut'\): .* has no such slot; it has {tree}, {fruit}, 'template'"),
        (PromptPairs("{a} {b}", a=["x"], b=contrast.pairs([("y", "z")]), answer="w"), "a", "has no filler of {a}: it has too few"),
        (
            PromptPairs("{a} {b}", "{b}", a=["x", "v"], b=contrast.pairs([("y", "z")]), answer="w"),
            "a",
            "'{b}' has no {a}, so that both halves would have its pairs",
        ),
        (PromptPairs("{a} {b}", a="is", b=contrast.pairs([("y", "z")]), answer="w"), "a", "{a} is always the same text"),
        (PromptPairs.from_rows([{"clean": "a", "answer": "b", "n": 1}]), "m", r"has no such column \(columns: 'n'\)"),
        (PromptPairs.from_rows([{"clean": "a", "answer": "b", "n": 1}]), "n", "too few for two halves"),
    ],
)  # fmt: skip
def test_what_cannot_be_parted_is_refused(pairs: PromptPairs, by: str, said: str) -> None:
    with pytest.raises(PromptError, match=said):
        _ = [pairs.split(half, by=by) for half in ("discover", "confirm")]  # type: ignore[arg-type]
