"""Variables and functions of fillers: what they are given, what they may be, and what is said of those that do not fit."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from circuitcheck import PromptError, PromptPairs, contrast
from circuitcheck.prompts.pairs import Pair
from circuitcheck.prompts.populations import Population

NAMES = ["Ann", "Tom", "Sue"]


def gifts(**changed: Any) -> PromptPairs:
    said: dict[str, Any] = {
        "n1": NAMES,
        "n2": NAMES,
        "giver": NAMES,
        "distinct": ("n1", "n2"),
        "where": lambda giver, n1, n2: giver in (n1, n2),
        "variables": {"order": lambda n1, giver: "first" if giver == n1 else "second"},
        "answer": lambda n1, n2, order: f" {n2 if order == 'first' else n1}",
        "foil": lambda giver: f" {giver}",
    }
    return PromptPairs("{n1} and {n2} were there. {giver} gave it to", **(said | changed))


def drawn(pairs: PromptPairs) -> list[Pair]:
    return list(Population(pairs.description, 0).draw())


def test_parameters_name_slots_and_variables() -> None:
    pairs = drawn(gifts())
    assert len(pairs) == 12
    for pair in pairs:
        n1, n2, giver = ({name: clean for name, clean, _ in pair.fillers}[slot] for slot in ("n1", "n2", "giver"))
        assert pair.answer == (f" {({n1, n2} - {giver}).pop()}",)
        assert pair.foil == (f" {giver}",)


def test_a_description_without_a_contrast_but_with_variables_has_clean_prompts_alone() -> None:
    assert not any(pair.is_contrast for pair in drawn(gifts()))
    assert not gifts().description.is_contrast
    swapped = gifts(giver=contrast.pairs([("Ann", "Tom"), ("Tom", "Ann")]))
    assert swapped.description.is_contrast


def test_one_parameter_that_names_nothing_is_the_mapping_of_fillers_in_every_function() -> None:
    same = gifts(
        where=lambda given: given["giver"] in (given["n1"], given["n2"]),
        variables={"order": lambda f: "first" if f["giver"] == f["n1"] else "second"},
        answer=lambda f: f" {f['n2'] if f['order'] == 'first' else f['n1']}",
        foil=lambda fillers: f" {fillers['giver']}",
    )
    assert [(pair.clean.text, pair.answer, pair.foil) for pair in drawn(same)] == [
        (pair.clean.text, pair.answer, pair.foil) for pair in drawn(gifts())
    ]


def test_the_mapping_of_fillers_goes_through_the_slots_as_it_did() -> None:
    def seen(fillers: Mapping[str, str]) -> str:
        assert {**fillers} == dict(fillers.items()) == {slot: fillers[slot] for slot in ("n1", "n2", "giver")}
        assert fillers.get("nobody", "x") == "x"
        assert "n1" in fillers
        assert len(fillers) == 3
        return " Ann"

    assert {pair.answer for pair in drawn(gifts(answer=seen))} == {(" Ann",)}


def test_variables_stand_in_the_texts_of_answers_and_are_made_of_each_other() -> None:
    pairs = gifts(
        variables={
            "receiver": lambda n1, n2, order: n2 if order else n1,
            "order": lambda n1, giver: n1 == giver,
        },
        answer=" {receiver}",
        foil=[" {giver}"],
    )
    assert [pair.answer for pair in drawn(pairs)] == [pair.answer for pair in drawn(gifts())]


def test_a_function_of_texts_is_asked_of_both_prompts_and_one_of_two_mappings_of_both_at_once() -> None:
    def texts(**changed: Any) -> list[tuple[str, str]]:
        made = PromptPairs("{a}", a=contrast(clean=["x", "y"], corrupt=["x", "z"]), answer="w", **changed)
        return sorted((pair.clean.text, pair.corrupt.text) for pair in drawn(made))

    every = [("x", "x"), ("x", "z"), ("y", "x"), ("y", "z")]
    assert texts() == every
    assert texts(where=lambda a: a != "z") == texts(where=lambda f: f["a"] != "z") == [("x", "x"), ("y", "x")]
    assert texts(where=lambda clean, corrupt: clean["a"] != corrupt["a"]) == every[1:]
    assert texts(where=lambda *both: both[0]["a"] != both[1]["a"]) == every[1:]


def test_defaults_that_name_no_slot_stay_and_keywords_are_given_too() -> None:
    def other(n1: str, /, n2: str, *, giver: str, mark: str = "!") -> str:
        return f" {n2 if giver == n1 else n1}{mark}"

    assert all(pair.answer[0].endswith("!") for pair in drawn(gifts(answer=other)) if isinstance(pair.answer[0], str))
    assert all(pair.answer == (f" {NAMES[0]}",) for pair in drawn(gifts(answer=lambda f, names=NAMES: f" {names[0]}")))


def test_a_parameter_with_a_default_keeps_it_whatever_its_name() -> None:
    assert {pair.answer for pair in drawn(gifts(answer=lambda n1, giver=" x": giver))} == {(" x",)}
    assert {pair.answer for pair in drawn(gifts(answer=lambda f, n1=" y": n1))} == {(" y",)}


def test_a_slot_that_an_answer_s_parameter_names_is_a_slot_that_stands_somewhere() -> None:
    pairs = PromptPairs("{a}", a=["x"], b=["1", "2"], answer=lambda a, b: a + b)
    assert {pair.answer for pair in drawn(pairs)} == {("x1",), ("x2",)}


@pytest.mark.parametrize("value", [True, 3, 2.5, "text", np.int64(3), np.float32(0.5), np.bool_(False)])
def test_values_are_text_or_numbers(value: Any) -> None:
    assert gifts(variables={"order": lambda n1: value}, answer=" {order}").identity


def test_the_identity_of_a_function_is_its_values() -> None:
    one, same, other = (
        gifts(variables={"order": order}, answer=" x").identity
        for order in (
            lambda n1, giver: "first" if n1 == giver else "second",
            lambda f: ("second", "first")[f["n1"] == f["giver"]],
            lambda n2, giver: "first" if n2 == giver else "second",
        )
    )
    assert one == same != other
    assert gifts(variables={}, answer=" x", foil=" y").identity not in (one, other)


def test_variables_change_nothing_of_the_order_that_pairs_are_drawn_in() -> None:
    shown = [pair.clean.text for pair in drawn(gifts(variables={"more": lambda n1: n1}, answer=" x"))]
    assert shown == [pair.clean.text for pair in drawn(gifts())]


def subscripted(name: str) -> str:
    return (
        rf"subscripts text as if it were the mapping of all fillers.*parameter '{name}' has a slot's or a variable's name.*"
        rf"take the text as it is, lambda {name}: {name}.*lambda fillers: fillers\['{name}'\]"
    )


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"answer": lambda giver: giver["giver"]}, f"answer= {subscripted('giver')}"),
        ({"foil": lambda n1: n1["n2"]}, f"foil= {subscripted('n1')}"),
        ({"where": lambda n1: n1["n1"]}, f"where= {subscripted('n1')}"),
        ({"variables": {"order": lambda n1: n1["n1"]}}, f"the variable 'order' {subscripted('n1')}"),
        ({"answer": lambda order: order["n1"]}, f"answer= {subscripted('order')}"),
        (
            {"answer": lambda n1, oder: n1},
            "answer= takes 'oder', which names no slot and no variable; did you mean 'order'",
        ),
        ({"where": lambda a, b, c: a}, r"where= takes 'a', which names no slot and no variable \(there are: n1"),
        ({"variables": {"order": lambda n1, kind: n1}}, "the variable 'order' takes 'kind', which names no slot"),
        ({"answer": lambda: " x"}, "answer= is a function of nothing"),
        ({"answer": lambda f: f["n3"]}, r"answer= asks for the slot 'n3', which is not given \(given: n1, n2, giver\)"),
        (
            {"variables": {"order": lambda n1: None}},
            "the variable 'order' is text or a number, and its function gives None",
        ),
        ({"variables": {"order": lambda n1: [n1]}}, r"is text or a number, and its function gives \['"),
        ({"variables": {"order": lambda n1: float("nan")}}, "is text or a number, and its function gives nan"),
        (
            {"variables": {"order": lambda n1: 1 / 0}},
            "the variable 'order' raises ZeroDivisionError: division by zero, for",
        ),
        ({"answer": lambda n1: {}[n1]}, r"answer= raises KeyError: '\w+', for \{'n1': "),
        ({"where": lambda n1, n2: n1 + 1}, "where= raises TypeError"),
        (
            {"variables": {"order": lambda it: it, "it": lambda order: order}},
            "in a circle: (order -> it -> order|it -> order -> it)",
        ),
        ({"variables": {"order": lambda f: f["it"], "it": lambda order: order}}, "in a circle: order -> it -> order"),
        ({"variables": {"n1": lambda n2: n2}}, "'n1' is a slot and a variable"),
        ({"variables": {"side": lambda n2: n2}}, "a variable cannot be called 'side'"),
        ({"variables": {"a b": lambda n2: n2}}, "a variable cannot be called 'a b'"),
        ({"variables": {"order": "first"}}, "the variable 'order' is a function of the fillers, not 'first'"),
        ({"variables": ["order"]}, r"variables= maps names to functions of slots and of each other, not \['order'\]"),
        ({"thing": "{order}"}, r"slot 'thing' uses \{order\}, a variable"),
    ],
)
def test_what_cannot_be_is_said(changed: dict[str, Any], message: str) -> None:
    with pytest.raises(PromptError, match=f"(?s){message}"):
        _ = gifts(**changed).identity, drawn(gifts(**changed))


def test_variables_is_a_reserved_name_and_needs_the_slots_of_every_template() -> None:
    with pytest.raises(PromptError, match=r"uses the slot \{variables\}, which cannot be a slot: it is an argument"):
        PromptPairs("{variables}", answer=" x")
    with pytest.raises(PromptError, match=r"'kind' is made of the slot \{b\}, which the template 'one {a}' does not"):
        PromptPairs("one {a}", "two {a}{b}", a=["x"], b=["1"], answer="z", variables={"kind": lambda b: b})


def test_a_half_has_the_variables_of_the_whole() -> None:
    halves = [gifts().split(which) for which in ("discover", "confirm")]
    assert sum(len(drawn(half)) for half in halves) == 12
    assert all(half.description.variables for half in halves)
