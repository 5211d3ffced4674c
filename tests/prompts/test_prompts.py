"""A description of prompt pairs: what it renders, and what it refuses in the user's own words."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from circuitcheck import PromptPairs, contrast
from circuitcheck.errors import PromptError
from circuitcheck.prompts.pairs import Pair, Segment
from circuitcheck.prompts.populations import Population


def rendered(pairs: PromptPairs) -> list[Pair]:
    return sorted(
        Population(pairs.description, seed=0).draw(),
        key=lambda pair: (pair.template, pair.clean.text, pair.corrupt.text),
    )


def texts(pairs: PromptPairs) -> list[tuple[str, str]]:
    return [(pair.clean.text, pair.corrupt.text) for pair in rendered(pairs)]


def the_pair(pairs: PromptPairs) -> Pair:
    (pair,) = rendered(pairs)
    return pair


# What is rendered


def test_a_list_fills_both_prompts_alike_and_a_contrast_makes_the_difference() -> None:
    pairs = PromptPairs(
        "A {tree} and a {fruit}.",
        tree=["fig"],
        fruit=contrast(clean=["apple", "olive"], corrupt=["lemon", "pear"]),
        answer="x",
    )
    assert texts(pairs) == [
        (f"A fig and a {clean}.", f"A fig and a {corrupt}.")
        for clean in ["apple", "olive"]
        for corrupt in ["lemon", "pear"]
    ]


def test_contrast_pairs_couples_only_what_is_coupled() -> None:
    pairs = PromptPairs("The {n} are", n=contrast.pairs([("keys", "key"), ("cars", "car")]), answer="x")
    assert texts(pairs) == [("The cars are", "The car are"), ("The keys are", "The key are")]


def test_a_slot_may_be_text_in_which_other_slots_stand_however_deep() -> None:
    pairs = PromptPairs(
        "{greeting} So said {s2}.",
        greeting="{hello}, {s}!",
        hello=["Hi"],
        s=["Ann"],
        io=["Tom"],
        s2=contrast(clean="{s}", corrupt="{io}"),
        answer=" {io}",
        foil=" {s2}",
    )
    pair = the_pair(pairs)
    assert (pair.clean.text, pair.corrupt.text) == ("Hi, Ann! So said Ann.", "Hi, Ann! So said Tom.")
    assert (pair.answer, pair.foil) == ((" Tom",), (" Ann",))


def test_answer_and_foil_are_filled_as_in_the_clean_prompt() -> None:
    pair = the_pair(PromptPairs("{a} or", a=contrast(clean=["cat"], corrupt=["dog"]), answer=" {a}", foil=[" no {a}"]))
    assert (pair.answer, pair.foil) == ((" cat",), (" no cat",))


def test_answers_may_be_several_or_a_function_of_the_clean_fillers() -> None:
    def later(fillers: Any) -> list[str]:
        return [str(year) for year in range(int(fillers["year"]) + 1, 100)]

    pair = the_pair(
        PromptPairs(
            "from 19{year} to 19",
            year=contrast(clean=["97"], corrupt=["01"]),
            answer=later,
            foil=lambda fillers: fillers["year"],
        )
    )
    assert (pair.answer, pair.foil) == (("98", "99"), ("97",))


def test_what_a_function_answers_is_taken_as_it_is_braces_and_all() -> None:
    assert the_pair(PromptPairs("{a}", a=["x"], answer=lambda _: "{a}")).answer == ("{a}",)


def test_a_foil_is_not_required() -> None:
    assert the_pair(PromptPairs("{a}", a=["x"], answer="y")).foil == ()


def test_several_templates_make_one_population_and_need_not_use_the_same_slots() -> None:
    pairs = PromptPairs("one {a}", "two {a}{b}", a=["x", "y"], b=["1", "2"], answer="z")
    assert [clean for clean, _ in texts(pairs)] == ["one x", "one y", "two x1", "two x2", "two y1", "two y2"]
    assert {pair.template for pair in rendered(pairs)} == {0, 1}


def test_segments_tell_each_slot_from_the_text_around_it() -> None:
    pair = the_pair(PromptPairs("A {a}{b} {a}.", a=["x"], b=["y"], answer="z"))
    assert pair.clean.segments == (
        Segment("A "),
        Segment("x", "a"),
        Segment("y", "b"),
        Segment(" "),
        Segment("x", "a"),
        Segment("."),
    )


def test_braces_are_written_twice_in_templates_and_once_in_fillers() -> None:
    pair = the_pair(PromptPairs("f{{{a}}} =", a=["{a}"], answer="}}"))
    assert pair.clean.text == "f{{a}} ="
    assert pair.answer == ("}",)


def test_distinct_slots_differ_on_each_side() -> None:
    pairs = PromptPairs(
        "{a}{b}", a=["x", "y", "z"], b=contrast(clean=["x", "y"], corrupt=["z"]), distinct=("a", "b"), answer="w"
    )
    assert texts(pairs) == [("xy", "xz"), ("yx", "yz")]  # neither "zx" / "zz" nor "xx" / "xz"


def test_where_sees_the_clean_and_then_the_corrupted_fillers() -> None:
    pairs = PromptPairs(
        "{a}",
        a=contrast(clean=["apple", "fig"], corrupt=["lemon", "fig", "kiwi"]),
        where=lambda clean, corrupt: len(clean["a"]) > len(corrupt["a"]),
        answer="w",
    )
    assert texts(pairs) == [("apple", "fig"), ("apple", "kiwi")]


@settings(deadline=None)
@given(st.text())
def test_any_text_is_a_template_or_refused_and_a_template_says_its_literal_text(template: str) -> None:
    try:
        pairs = PromptPairs(template, answer="x")
    except PromptError:
        assert "{" in template or "}" in template
    else:
        assert the_pair(pairs).clean.text == template.replace("{{", "{").replace("}}", "}")


# What is refused


@pytest.mark.parametrize(
    ("templates", "arguments", "said"),
    [
        ([], {}, "PromptPairs needs at least one template"),
        (["a {x}"], {}, r"template 'a {x}' uses the slot {x}, which is not given (given: none)"),
        (["a {x}"], {"y": ["1"]}, r"template 'a {x}' uses the slot {x}, which is not given (given: y)"),
        (["a"], {"answer": " {x}"}, r"answer ' {x}' uses the slot {x}, which is not given"),
        (["a"], {"foil": ["b", " {x}"]}, r"foil ' {x}' uses the slot {x}, which is not given"),
        (["{s}"], {"s": "{x}"}, r"slot 's' uses the slot {x}, which is not given (given: s)"),
        (["a"], {"distinct": ("x", "y")}, r"distinct=('x', 'y') uses the slot {x}, which is not given"),
        (["a"], {"x": ["1"]}, "the slot 'x' is given but stands in no template, slot, answer or foil"),
        (
            ["{a}"],
            {"a": ["1"], "b": ["2"], "distinct": ("a", "b")},
            "the slot 'b' is given but stands in no template, slot, answer or foil",
        ),
        (["{a}"], {"a": "{b}", "b": "{c}", "c": "{a}"}, "slots stand in each other in a circle: a -> b -> c -> a"),
        (["{a}"], {"a": "{a}"}, "slots stand in each other in a circle: a -> a"),
        (
            ["a {x"],
            {},
            "'a {x' is not a template: expected '}' before end of string (a literal brace is written twice)",
        ),
        (["a}"], {}, "'a}' is not a template: Single '}' encountered"),
        (["{}"], {}, "'{}' is not a template: a slot is a plain name in braces, not {}"),
        (["{0}"], {}, "a slot is a plain name in braces, not {0}"),
        (["{a.b}"], {"a": ["1"]}, "a slot is a plain name in braces, not {a.b}"),
        (["{a:>3}"], {"a": ["1"]}, "a slot is a plain name in braces, not {a:>3}"),
        (["{a!r}"], {"a": ["1"]}, "a slot is a plain name in braces, not {a!r}"),
        (["{a}"], {"a": ["1"], "answer": "{a"}, "'{a' is not a template"),
        (["{a}"], {"a": []}, "the slot 'a' has no fillers, so that the population is empty"),
        (["{a}"], {"a": ["1", "2", 1]}, "the slot 'a' has a filler twice, which would count its pairs twice: 1"),
        (["{a}", "{a}"], {"a": ["1"]}, "twice"),
        (["{a}"], {"a": 3}, "'a'"),
        (["{a}"], {"a": {"x", "y"}}, "'a'"),
        (["a"], {"answer": 3}, "answer"),
        (["a"], {"answer": None}, "answer"),
        (["a"], {"answer": "x", "foil": [3]}, "foil"),
        ([["{a}"]], {"a": ["1"]}, "template"),
        (["{a}"], {"a": ["1"], "distinct": "a"}, "distinct"),
    ],
)
def test_a_description_that_cannot_be_is_refused_at_once_and_by_name(
    templates: list[str], arguments: dict[str, Any], said: str
) -> None:
    with pytest.raises(PromptError) as caught:
        PromptPairs(*templates, **{"answer": "z", **arguments})
    assert said in str(caught.value)


def test_a_slot_called_like_an_argument_is_said_to_be_one() -> None:
    with pytest.raises(PromptError, match=r"\{answer\}.*(argument|cannot be (called|a slot)|reserved)"):
        PromptPairs("{answer}", answer=" x")


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: contrast(clean=["a"], corrupt="b"), "contrast takes two lists of fillers or two texts"),
        (lambda: contrast(clean=[], corrupt=["b"]), "contrast(clean=...) has no fillers"),
        (lambda: contrast(clean=["a"], corrupt=["b", "b"]), "contrast(corrupt=...) has a filler twice"),
        (lambda: contrast.pairs([]), "contrast.pairs([]) has no couples"),
        (lambda: contrast.pairs([("a", "b"), ("c", "d"), ("a", "b")]), "twice"),
        (lambda: contrast.pairs([("a", "b", "c")]), "contrast.pairs"),
        (lambda: contrast.pairs(["ab"]), "contrast.pairs"),  # not 'a' against 'b'
    ],
)
def test_a_contrast_that_cannot_be_is_refused(make: Any, said: str) -> None:
    with pytest.raises(PromptError) as caught:
        make()
    assert said in str(caught.value)


@pytest.mark.parametrize("answer", [[], lambda fillers: []])
def test_no_answer_is_refused_with_the_fillers_that_have_none(answer: Any) -> None:
    with pytest.raises(PromptError, match=r"no answer for the fillers \{'a': 'x'\}"):
        rendered(PromptPairs("{a}", a=["x"], answer=answer))


@pytest.mark.parametrize("spec", [{" b", " c"}, (" b", " c"), {" b": 1, " c": 1}.keys()])
def test_a_set_of_answers_may_be_written_as_a_set(spec: Any) -> None:
    assert set(the_pair(PromptPairs("{a}", a=["x"], answer=spec)).answer) == {" b", " c"}


# Rows


def test_rows_are_taken_as_they_are() -> None:
    pairs = PromptPairs.from_rows(
        [
            {"clean": "The {keys}", "corrupt": "The key", "answer": [" are", " were"], "foil": " is"},
            {"clean": [0, 5, 7], "corrupt": (0, 6, 7), "answer": 9},
        ]
    )
    text, ids = sorted(Population(pairs.description, seed=0).draw(), key=lambda pair: pair.clean.ids is not None)
    assert (text.clean.text, text.corrupt.text) == ("The {keys}", "The key")
    assert (text.answer, text.foil) == ((" are", " were"), (" is",))
    assert (ids.clean.ids, ids.corrupt.ids, ids.answer, ids.foil) == ((0, 5, 7), (0, 6, 7), (9,), ())


def test_numpy_ids_are_ids_like_any_other() -> None:
    row = {"clean": np.array([0, 5]), "corrupt": np.array([0, 6]), "answer": np.int64(9), "foil": np.array([1, 2])}
    pair = the_pair(PromptPairs.from_rows([row]))
    assert (pair.clean.ids, pair.answer, pair.foil) == ((0, 5), (9,), (1, 2))
    assert all(type(token) is int for token in (*pair.answer, *pair.foil))


def test_a_foil_of_none_is_no_foil_as_in_a_row_of_json() -> None:
    row = {"clean": "a", "corrupt": "b", "answer": "c", "foil": None}
    assert the_pair(PromptPairs.from_rows([row])).foil == ()


GOOD = {"clean": "a", "corrupt": "b", "answer": "c"}


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([], "has no rows: an empty population"),
        ([GOOD, {"clean": "a"}], "row 2 lacks answer (it has clean)"),
        ([GOOD | {"fiol": "d"}], "row 1 has 'fiol' and no 'foil'"),
        ([GOOD, GOOD | {"answer": []}], "row 2"),
        ([GOOD, GOOD | {"answer": None}], "row 2"),
        ([GOOD, GOOD | {"clean": 5}], "row 2"),
        ([GOOD, GOOD | {"clean": []}], "row 2"),
        ([GOOD, ("a", "b", "c")], "row 2"),
    ],
)
def test_a_row_that_cannot_be_is_refused_by_its_number(rows: Any, said: str) -> None:
    with pytest.raises(PromptError) as caught:
        PromptPairs.from_rows(rows)
    assert said in str(caught.value)


def test_a_description_is_named_by_its_first_template_or_by_its_rows() -> None:
    assert repr(PromptPairs("one {a}", "two", a=["x"], answer="y")) == "PromptPairs('one {a}')"
    assert "1 row" in repr(PromptPairs.from_rows([GOOD]))
