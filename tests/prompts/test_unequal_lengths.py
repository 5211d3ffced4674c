"""Prompts of unequal length: what of them corresponds, what is refused by name, and where positions lie in each."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from circuitcheck.addresses.parsing import parse_position
from circuitcheck.addresses.sites import EVERYWHERE, Position
from circuitcheck.errors import PromptError
from circuitcheck.prompts.aligned_pairs import AlignedPair
from circuitcheck.prompts.alignment import Aligner, Rejected
from circuitcheck.prompts.pairs import Side, sides
from circuitcheck.prompts.populations import Population
from circuitcheck.prompts.prompt_pairs import PromptPairs, contrast
from tests.anatomies import alike
from tests.conftest import examples
from tests.tokenizers_for_tests import byte_level

WORDS = ["the", "fig", "pear", "tree", "old", "and", "an", "a", "Ann", "gave"]
GPT = byte_level(*WORDS, *(f" {word}" for word in WORDS))
BOTH: tuple[Side, ...] = ("clean", "corrupt")


def outcome(pairs: PromptPairs, at: str = "", corresponding: str = "") -> AlignedPair | Rejected:
    aligner = Aligner(GPT, None, len(GPT))
    aligner = aligner.reading_at(position(at)) if at else aligner
    if corresponding:
        aligner = aligner.where_corresponding(frozenset({position(corresponding)}))
    [found] = aligner.align(Population(pairs.description, seed=0).draw())
    return found


def aligned(pairs: PromptPairs, at: str = "") -> AlignedPair:
    found = outcome(pairs, at)
    assert isinstance(found, AlignedPair), found
    return found


def position(written: str) -> Position:
    return parse_position(written, alike("any", 1, 1, 1))


def fruit(template: str, clean: str, corrupt: str, **more: Any) -> PromptPairs:
    return PromptPairs(template, x=contrast(clean=[clean], corrupt=[corrupt]), answer=" an", foil=" a", **more)


def test_a_pair_of_unequal_length_has_the_tokens_and_segments_of_each_prompt() -> None:
    pair = aligned(fruit("the {x} and", "fig", "old pear tree"))
    assert [GPT.decode([token]) for token in pair.corrupt] == ["the", " old", " pear", " tree", " and"]
    assert (pair.segments_of("clean"), pair.segments_of("corrupt")) == ((0, 1, 2), (0, 1, 1, 1, 2))
    assert (pair.length, pair.is_aligned) == (5, False)
    assert aligned(fruit("the {x} and", "fig", "pear")).is_aligned


@pytest.mark.parametrize(
    ("written", "clean", "corrupt"),
    [
        ("@end", [7], [9]),
        ("@-3", [5], [7]),
        ("@{x}[1].first", [1], [1]),
        ("@{x}[1].last", [1], [2]),
        ("@{x}[2].first", [4], [5]),
        ("@{x}[2].last", [4], [6]),
        ("@{x}[1].last+1", [2], [3]),
        ("@{x}[1]+2", [3], [4]),
        ("@{x}[2]-1", [3], [4]),
        ("@{x}[2].first-2", [2], [3]),
        ("@{who}", [5, 6], [7, 8]),
        ("@{who}.first", [5], [7]),
        ("@{who}.last-1", [5], [7]),
        ("@{who}-1", [4], [6]),
    ],
)
def test_what_a_position_names_in_each_prompt_corresponds(written: str, clean: list[int], corrupt: list[int]) -> None:
    # 0:the 1:{x} 2:and 3:the 4:{x} 5,6:{who} 7:gave
    pair = aligned(fruit("the {x} and the {x} {who} gave", "fig", "pear tree", who=["old Ann"]))
    if written == "@{who}-1":  # which is of the slot {x}, whose last token is not as far from anything that both have
        assert pair.apart(position(written)) == "whose prompts differ in token count in {x}"
        return
    assert pair.counterparts(position(written)) == (clean, corrupt)


@pytest.mark.parametrize(
    ("written", "where"),
    [
        ("@*", " in {x}"),
        ("@{x}", " in {x}"),
        ("@{y}", " in {y}"),
        ("@-4", " in {x}"),
        ("@{x}.last-1", " in {x}"),
        ("@{x}.first+1", " in {x}"),
        ("@{y}+2", " in {y}"),
    ],
)
def test_what_has_no_counterpart_is_refused_by_name(written: str, where: str) -> None:
    described = fruit("the {x} and the {y} gave", "fig", "old pear tree", y=contrast(clean=["Ann"], corrupt=["a a"]))
    pair = aligned(described)
    if written == "@{y}+2":
        with pytest.raises(PromptError, match=r"@\{y\}\+2 lies outside 'the fig and the Ann gave' \(6 tokens\)"):
            pair.counterparts(position(written))
        return
    with pytest.raises(PromptError) as caught:
        pair.counterparts(position(written))
    said = str(caught.value)
    assert said.startswith("all positions" if written == "@*" else written)
    assert (
        f"of pairs whose prompts differ in token count{where}: 'the fig and the Ann gave' / 'the old pear tree and"
        in said
    )
    every = ": not all positions (@*) have a counterpart" if written == "@*" else ""
    assert said.endswith(
        f"('fig' is 1 token, 'old pear tree' is 3 tokens{every}; @end, @{{x}}.first and @{{x}}.last have one)"
    )
    rejected = outcome(described, corresponding=written)
    assert isinstance(rejected, Rejected)
    suffix = "" if written == "@*" else f", so that {written} has no counterpart"
    assert rejected.reason == f"whose prompts differ in token count{where}{suffix}"


def test_a_mistake_in_a_position_is_no_matter_of_lengths() -> None:
    for written, said in (("@{z}", "no slot 'z'"), ("@{x}[2]", "occurs only 1 time"), ("@-9", "lies outside")):
        with pytest.raises(PromptError, match=said):
            outcome(fruit("the {x} and", "fig", "pear tree"), corresponding=written)


def test_rows_have_their_identical_trailing_tokens_in_common() -> None:
    row = {"clean": "the old fig tree and Ann gave", "corrupt": "the pear tree and Ann gave", "answer": " an"}
    pair = aligned(PromptPairs.from_rows([row]))
    for back in (1, 2, 3, 4):
        assert pair.counterparts(Position(offset=-back)) == ([7 - back], [6 - back])
    assert pair.apart(Position(offset=-5)) == "whose prompts differ in token count"
    assert pair.told_apart(Position(offset=-5)).endswith("(7 tokens, 6 tokens; @end has one)")
    last = {"clean": "the old fig", "corrupt": "the pear", "answer": " an"}
    pair = aligned(PromptPairs.from_rows([last]))
    assert pair.counterparts(Position(offset=-1)) == ([2], [1])
    assert pair.apart(Position(offset=-2)) == "whose prompts differ in token count"


def test_counts_that_balance_each_other_out_are_unequal_all_the_same() -> None:
    slots = {"x": contrast(clean=["fig tree"], corrupt=["fig"]), "y": contrast(clean=["pear"], corrupt=["pear tree"])}
    pair = aligned(PromptPairs("the {x} and {y} gave", answer=" an", **slots))
    assert len(pair.clean) == len(pair.corrupt)
    assert pair.apart(EVERYWHERE) == "whose prompts differ in token count in {x}"
    assert pair.counterparts(position("@{x}.last")) == ([2], [1])
    assert pair.counterparts(position("@{x}+1")) == ([3], [2])
    assert pair.apart(position("@{y}")) == "whose prompts differ in token count in {y}"


def test_runs_are_read_behind_what_both_prompts_have() -> None:
    described = fruit("the {x} and the {y} gave", "fig", "old pear tree", y=["Ann"])
    pair = aligned(described, "@{x}")
    assert (len(pair.clean), len(pair.corrupt), pair.read_at) == (2, 4, position("@{x}"))
    assert aligned(described, "@{x}+1").corrupt_segments == (0, 1, 1, 1, 2)
    assert aligned(
        fruit("the {y} gave the {x}", "fig", "old pear", y=contrast.pairs([("Ann", "a")])), "@{y}"
    ).is_aligned
    rejected = outcome(fruit("the {x} and", "fig", "old pear tree"), "@{x}.first+1")
    assert isinstance(rejected, Rejected)
    assert rejected.reason == "whose prompts differ in token count in {x}, so that @{x}.first+1 has no counterpart"
    for fillers in (("old fig", "pear"), ("pear", "old fig")):
        with pytest.raises(
            PromptError, match="stands inside the filler of {x} in 'the old fig and', and a slot is not cut"
        ):
            outcome(fruit("the {x} and", *fillers), "@{x}.first")


def test_what_numbers_of_pairs_of_one_length_are_stored_under_is_as_it_was() -> None:
    """So that what is in stores of the time before is found again."""
    assert repr(Position(offset=-1)) == "Position(everywhere=False, slot='', occurrence=0, offset=-1, outside=False)"
    assert repr(position("@{x}[2].last-1")).endswith("occurrence=2, offset=-1, outside=False, anchor='last')")


# Any template


FILLER = st.lists(st.sampled_from(["fig", "pear", "tree", "old"]), min_size=1, max_size=3)
SLOTS = st.lists(st.tuples(FILLER, FILLER), min_size=1, max_size=3)
OFFSET = st.integers(-4, 4)
WRITTEN = st.one_of(
    st.tuples(st.just("end"), st.just(0), st.just(""), st.integers(-9, -1)),
    st.tuples(st.just("slot"), st.integers(0, 2), st.sampled_from(["first", "last", ""]), OFFSET),
)


@pytest.mark.thorough
@settings(deadline=None, max_examples=examples(150, 3000))
@given(SLOTS, WRITTEN)
def test_of_any_template_what_corresponds_is_what_is_as_far_from_what_does(
    slots: list[tuple[list[str], list[str]]], written: tuple[str, int, str, int]
) -> None:
    """Beside words, which are tokens here, in lists."""
    prompts = [[("", "the")], [("", "the")]]
    for number, fillers in enumerate(slots):
        for prompt, filler in zip(prompts, fillers, strict=True):
            prompt += [
                *((f"s{number}", word) for word in filler),
                (f"after {number}", "and"),
                (f"after {number}", "gave"),
            ]
    if prompts[0] == prompts[1]:
        return
    pair = aligned(
        PromptPairs(
            "the" + "".join(f" {{s{number}}} and gave" for number in range(len(slots))),
            answer=" an",
            **{f"s{number}": contrast.pairs([(" ".join(a), " ".join(b))]) for number, (a, b) in enumerate(slots)},
        )
    )
    kind, number, anchor, offset = written
    place = (
        Position(offset=offset)
        if kind == "end"
        else Position(slot=f"s{number % len(slots)}", anchor=anchor, offset=offset)
    )
    spots = [_spots(prompt, place) for prompt in prompts]
    if all(spot is None for spot in spots):
        with pytest.raises(PromptError, match="lies outside"):
            pair.counterparts(place)
        return
    for side, spot in zip(sides("both"), spots, strict=True):
        if spot is not None:
            assert pair.positions(place, side) == spot
    if _is_matched(prompts, place, spots):
        assert pair.counterparts(place) == tuple(spots)
    else:
        with pytest.raises(PromptError, match="whose prompts differ in token count in"):
            pair.counterparts(place)


Words = list[tuple[str, str]]


def _spots(prompt: Words, place: Position) -> list[int] | None:
    own = [at for at, (segment, _) in enumerate(prompt) if segment == place.slot]
    if place.slot and not place.anchor and not place.offset:
        return own
    begin = len(prompt) if not place.slot else own[0] if _is_first(place) else own[-1]
    return [begin + place.offset] if 0 <= begin + place.offset < len(prompt) else None


def _is_first(place: Position) -> bool:
    return place.anchor == "first" or (place.anchor == "" and place.offset < 0)


def _is_matched(prompts: list[Words], place: Position, spots: list[list[int] | None]) -> bool:
    clean, corrupt = prompts
    if [segment for segment, _ in clean] == [segment for segment, _ in corrupt]:
        return True
    if spots[0] is None or spots[1] is None:
        return False
    if place.slot and not place.offset:
        return bool(place.anchor) or len(spots[0]) == len(spots[1])
    if place == Position(offset=-1):
        return True
    stretches = []
    for prompt, [spot] in zip(prompts, spots, strict=True):
        begin = spot - place.offset
        stretches.append(prompt[begin + 1 : spot + 1] if place.offset > 0 else prompt[spot:begin][::-1])
    even = {one for one, _ in clean if [s for s, _ in clean].count(one) == [s for s, _ in corrupt].count(one)}
    return all(
        one == other or (one[0] == other[0] and (one[0] in even or one[0] == place.slot))
        for one, other in zip(*stretches, strict=True)
    )
