"""Pairs as tokens: what corresponds, what is rejected and how that is told, and where positions lie."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from circuitcheck.addresses.parsing import parse
from circuitcheck.addresses.sites import EVERYWHERE
from circuitcheck.errors import PromptError
from circuitcheck.prompts.aligned_pairs import AlignedPair
from circuitcheck.prompts.alignment import Aligner, Rejected, Rejections
from circuitcheck.prompts.populations import Population
from circuitcheck.prompts.prompt_pairs import PromptPairs, contrast
from tests.anatomies import alike
from tests.tokenizers_for_tests import byte_level, word_level

WORDS = ["I", "ate", "the", "apple", "lemon", "fig", "pear", "tree", "trees", "and", "a", "an", "Ann", "Tom", "gave"]
GPT = byte_level(*WORDS, *(f" {word}" for word in WORDS))
VOCABULARY = len(GPT)
GPT_BOS = GPT.bos_token_id


def align(pairs: PromptPairs, bos: int | None = None, tokenizer: Any = GPT) -> tuple[list[AlignedPair], Rejections]:
    """Where prompts must correspond token by token."""
    aligner = Aligner(tokenizer, bos, VOCABULARY).where_corresponding(frozenset({EVERYWHERE}))
    return usable_of(aligner.align(Population(pairs.description, seed=0).draw()))


def usable_of(outcomes: list[AlignedPair | Rejected]) -> tuple[list[AlignedPair], Rejections]:
    return [one for one in outcomes if isinstance(one, AlignedPair)], Rejections.of(outcomes)


def one(pairs: PromptPairs, bos: int | None = None, tokenizer: Any = GPT) -> AlignedPair:
    aligned, rejections = align(pairs, bos, tokenizer)
    assert not rejections.total, str(rejections)
    (pair,) = aligned
    return pair


def pieces(ids: Any) -> list[str]:
    return [GPT.decode([token]) for token in ids]


def at(pair: AlignedPair, position: str) -> list[int]:
    """Where an address with this position reads the pair."""
    (site,) = parse(f"L0.MLP@{position}", alike("any", 1, 1, 1))
    return pair.positions(site.position)


def fruit(template: str = "I ate the {fruit} tree", **arguments: Any) -> PromptPairs:
    fruits = contrast(clean=["apple"], corrupt=["lemon"])
    return PromptPairs(template, **{"fruit": fruits, "answer": " an", "foil": " a", **arguments})


# Tokens and their segments


def test_a_pair_is_its_prompts_as_the_tokenizer_reads_them() -> None:
    pair = one(fruit())
    assert pieces(pair.clean) == ["I", " ate", " the", " apple", " tree"]
    assert pieces(pair.corrupt) == ["I", " ate", " the", " lemon", " tree"]
    assert (pair.tokens("clean"), pair.tokens("corrupt")) == (pair.clean, pair.corrupt)
    assert (pieces(pair.answer), pieces(pair.foil)) == ([" an"], [" a"])
    assert pair.length == 5


def test_the_space_before_a_slot_is_part_of_the_slots_first_token() -> None:
    pair = one(fruit("the {fruit} tree ({fruit})."))
    assert pieces(pair.clean) == ["the", " apple", " tree", " ", "(", "apple", ")", "."]
    assert pair.segments == (0, 1, 2, 2, 2, 3, 4, 4)
    assert pair.slots == ("", "fruit", "", "fruit", "")


def test_white_space_in_a_token_goes_with_what_follows_it_and_so_does_a_space_on_its_own() -> None:
    pair = one(fruit(fruit=contrast(clean=["kiwi"], corrupt=["quiz"])))
    assert [pieces(pair.clean)[index] for index in at(pair, "{fruit}")] == [" ", "k", "i", "w", "i"]
    assert at(one(fruit("I\n{fruit}\ntree")), "{fruit}") == [2]
    tabs = byte_level("\tapple", "\tlemon", split=False)
    assert at(one(fruit("I\t{fruit}", answer="n", foil="a"), tokenizer=tabs), "{fruit}") == [1]


def test_a_word_tokenizer_aligns_alike_though_no_token_holds_a_space() -> None:
    tokenizer = word_level("the", "apple", "lemon", "tree", "an", "a")
    pair = one(fruit("the {fruit} tree"), tokenizer=tokenizer)
    assert at(pair, "{fruit}") == [1]
    assert pair.segments == (0, 1, 2)


def test_a_slot_of_several_tokens_is_all_of_them() -> None:
    pair = one(fruit(fruit=contrast(clean=["fig tree"], corrupt=["apple trees"])))
    assert pieces(pair.clean[index] for index in at(pair, "{fruit}")) == [" fig", " tree"]
    assert pieces(pair.corrupt[index] for index in at(pair, "{fruit}")) == [" apple", " trees"]


def test_roles_count_each_segments_tokens_down_to_its_last() -> None:
    pair = one(fruit("I ate the {fruit}", fruit=contrast(clean=["fig tree"], corrupt=["apple trees"])))
    assert pair.roles == ((0, 2), (0, 1), (0, 0), (1, 1), (1, 0))
    assert pair.roles_of("corrupt", from_first=True) == ((0, 0), (0, 1), (0, 2), (1, 0), (1, 1))


fillers = st.lists(st.sampled_from(WORDS), min_size=1, max_size=3).map(" ".join)


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(fillers, fillers), min_size=1, max_size=4), st.sampled_from([None, GPT_BOS]))
def test_segments_are_as_long_on_both_sides_or_the_pair_is_rejected(
    slots: list[tuple[str, str]], bos: int | None
) -> None:
    """Words are tokens here, so that a slot's tokens are known by counting its words."""
    template = "the" + "".join(f" {{s{number}}} and" for number in range(len(slots)))
    given = {f"s{number}": contrast.pairs([couple]) for number, couple in enumerate(slots)}
    aligned, rejections = align(PromptPairs(template, answer=" an", foil=" a", **given), bos)
    same = all(clean == corrupt for clean, corrupt in slots)
    lengths = [(len(clean.split()), len(corrupt.split())) for clean, corrupt in slots]
    if same or any(clean != corrupt for clean, corrupt in lengths):
        assert (aligned, rejections.total) == ([], 1)
        return
    (pair,) = aligned
    assert rejections.total == 0
    expected, start = [], 1 + (bos is not None)
    for number, (length, _) in enumerate(lengths):
        assert at(pair, f"{{s{number}}}") == list(range(start, start + length))
        expected += [2 * number + 1] * length + [2 * number + 2]
        start += length + 1
    assert pair.segments == (*([-1] if bos is not None else []), 0, *expected)
    assert pair.length == start == len(pair.corrupt)


# The BOS token


def test_bos_is_put_in_front_of_text_and_belongs_to_no_segment() -> None:
    pair = one(fruit(), bos=GPT_BOS)
    assert (pair.clean[0], pair.corrupt[0], pair.segments[0]) == (GPT_BOS, GPT_BOS, -1)
    assert pair.clean[1:] == one(fruit()).clean
    assert at(pair, "{fruit}") == [4]


def test_bos_is_not_put_in_front_of_token_ids() -> None:
    rows = PromptPairs.from_rows([{"clean": [5, 6], "corrupt": [5, 7], "answer": 8, "foil": [9, 10]}])
    pair = one(rows, bos=GPT_BOS)
    assert (pair.clean, pair.corrupt, pair.answer, pair.foil) == ((5, 6), (5, 7), (8,), (9, 10))


def test_token_ids_need_no_tokenizer_and_text_does() -> None:
    assert one(PromptPairs.from_rows([{"clean": [5], "corrupt": [7], "answer": 8}]), tokenizer=None).length == 1
    with pytest.raises(PromptError, match=r"no tokenizer: give prompts as token ids with PromptPairs\.from_rows"):
        align(fruit(), tokenizer=None)


def test_a_tokenizer_without_character_offsets_is_refused() -> None:
    class Slow:
        is_fast = False

    with pytest.raises(PromptError, match="reports no character offsets"):
        align(fruit(), tokenizer=Slow())


# Rejections


def test_pairs_whose_slot_differs_in_token_count_are_rejected_counted_and_exemplified() -> None:
    pairs = fruit(fruit=contrast(clean=["apple", "fig tree", "pear tree"], corrupt=["lemon"]))
    aligned, rejections = align(pairs)
    assert [pair.pair.clean.text for pair in aligned] == ["I ate the apple tree"]
    assert rejections.total == 2
    assert str(rejections).startswith("2 pairs whose prompts differ in token count in {fruit}, e.g. 'I ate the ")
    assert "tree' / 'I ate the lemon tree' ('" in str(rejections)
    assert "tree' is 2 tokens, 'lemon' is 1 token: not all positions (@*) have a counterpart; @end" in str(rejections)
    assert str(rejections).endswith("; @end, @{fruit}.first and @{fruit}.last have one)")


def test_counts_that_only_balance_each_other_out_do_not_align() -> None:
    slots = {"x": contrast(clean=["fig tree"], corrupt=["fig"]), "y": contrast(clean=["pear"], corrupt=["pear tree"])}
    aligned, rejections = align(PromptPairs("the {x} and {y}", answer=" an", **slots))
    assert aligned == []
    assert "differ in token count in {x}" in str(rejections)


def test_rows_that_differ_in_token_count_are_counted_as_one_reason() -> None:
    rows = [{"clean": f"the {word} tree", "corrupt": f"the {word}", "answer": " an"} for word in ("fig", "pear")]
    _, rejections = align(PromptPairs.from_rows(rows))
    assert list(rejections.counts.values()) == [2]


def test_prompts_that_do_not_differ_are_rejected() -> None:
    aligned, rejections = align(fruit(fruit=["apple", "lemon"]))
    assert aligned == []
    assert str(rejections).startswith("2 pairs whose prompts do not differ, e.g. 'I ate the ")


@pytest.mark.parametrize(("what", "text"), [("answer", "s"), ("answer", "sx"), ("foil", "s")])
def test_an_answer_that_merges_with_the_prompt_is_rejected_with_both_texts_and_the_ways_out(
    what: str, text: str
) -> None:
    """ "s" and "sx" turn " tree" into " trees"."""
    aligned, rejections = align(fruit(**{what: text}))
    assert (aligned, list(rejections.counts)) == ([], ["whose answer or foil merges with the prompt"])
    said = str(rejections)
    assert f"{text!r} after 'I ate the apple tree', where ['Ġtree'] becomes ['Ġtrees'" in said
    assert said.endswith(
        "give token ids, end the prompt before the merge, or read the answer's own tokens: merging='as tokens'"
    )


def test_an_answer_that_is_no_token_is_rejected() -> None:
    _, rejections = align(fruit(answer=""))
    assert str(rejections) == "1 pair whose answer or foil is no token, e.g. '' after 'I ate the apple tree'"


def test_a_prompt_that_ends_in_a_space_merges_with_a_word() -> None:
    """The commonest case: "the" would be one token by itself, and none has the space in front of it."""
    _, rejections = align(fruit("I ate {fruit} ", answer="the", foil="a"))
    assert "'the' after 'I ate apple ', where ['Ġ'] becomes ['Ġthe']" in str(rejections)


@pytest.mark.parametrize("order", [[0, 1], [1, 0]])
def test_whether_an_answer_merges_is_asked_of_each_prompt(order: list[int]) -> None:
    """After "-x" the answer "y" is a token of its own; "zx" and "y" are one token, "zxy", though the text ends alike."""
    tokenizer = byte_level("zxy", "wx")
    described = PromptPairs("0{a}x", a=contrast.pairs([("-", "+"), ("z", "w")]), answer="y")
    drawn = sorted(Population(described.description, seed=0).draw(), key=lambda pair: pair.clean.text)
    outcomes = Aligner(tokenizer, None, len(tokenizer)).align([drawn[number] for number in order])
    aligned, rejections = usable_of(outcomes)
    assert [pair.pair.clean.text for pair in aligned] == ["0-x"]
    assert rejections.counts == {"whose answer or foil merges with the prompt": 1}


def test_an_answer_equal_to_its_foil_is_rejected() -> None:
    aligned, rejections = align(fruit(answer=[" an", " a"], foil=[" the", " a"]))
    assert aligned == []
    said = "1 pair whose answer is also their foil, e.g. (' an', ' a') and (' the', ' a') after 'I ate the apple"
    assert str(rejections).startswith(said)


def test_several_answers_are_a_set_of_tokens() -> None:
    assert pieces(one(fruit(answer=[" an", " the", " an"])).answer) == [" an", " the"]


def test_many_pairs_stay_in_order_and_none_is_lost() -> None:
    couples = [(a + b, c + b) for b in map(chr, range(97, 123)) for a in "abcdefgh" for c in "stuvwxyz"]
    drawn = list(Population(fruit(fruit=contrast.pairs(couples)).description, seed=0).draw())
    aligned, rejections = usable_of(Aligner(GPT, None, VOCABULARY).align(drawn))
    kept = {pair.pair for pair in aligned}
    assert len(kept) + rejections.total == len(drawn) == len(couples) > 1024
    assert [pair.pair for pair in aligned] == [pair for pair in drawn if pair in kept]
    assert all(GPT.decode(pair.clean) == pair.pair.clean.text for pair in aligned)


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"clean": [5, VOCABULARY], "corrupt": [5, 6], "answer": 1}, f"token id {VOCABULARY} is outside"),
        ({"clean": [5, 6], "corrupt": [5, -1], "answer": 1}, "token id -1 is outside"),
        ({"clean": [5, 6], "corrupt": [5, 7], "answer": VOCABULARY}, f"answer or foil {VOCABULARY} is outside"),
        ({"clean": [5, 6], "corrupt": [5, 7], "answer": " an"}, "answer ' an' is text, but the prompt is token ids"),
    ],
)
def test_ids_that_the_model_cannot_mean_are_errors(row: dict[str, Any], said: str) -> None:
    with pytest.raises(PromptError) as caught:
        align(PromptPairs.from_rows([row]))
    assert said in str(caught.value)


# Positions


def test_positions_are_counted_from_the_end_or_from_a_slot() -> None:
    pair = one(fruit("the {fruit} tree and {who} gave the {fruit}", who=["Ann Tom"]), bos=GPT_BOS)
    # 0:bos 1:the 2:{fruit} 3:tree 4:and 5,6:{who} 7:gave 8:the 9:{fruit}
    assert at(pair, "*") == list(range(10))
    assert at(pair, "end") == at(pair, "-1") == [9]
    assert at(pair, "-10") == [0]
    assert at(pair, "{who}") == at(pair, "{who}[1]") == [5, 6]
    assert (at(pair, "{who}+1"), at(pair, "{who}-1")) == ([7], [4])
    assert (at(pair, "{fruit}[1]"), at(pair, "{fruit}[2]")) == ([2], [9])
    assert (at(pair, "{fruit}[1]+1"), at(pair, "{fruit}[1]-2")) == ([3], [0])


@pytest.mark.parametrize(
    ("position", "said"),
    [
        ("-9", "@-9 lies outside 'the apple tree and Ann gave the apple' (8 tokens)"),
        ("{fruit}", "@{fruit} is ambiguous: the slot occurs 2 times; write @{fruit}[1] or @{fruit}[2]"),
        ("{fruit}[3]", "@{fruit}[3]: the slot occurs only 2 times"),
        ("{fruit}[2]+1", "@{fruit}[2]+1 lies outside 'the apple"),
        ("{fruit}[1]-2", "@{fruit}[1]-2 lies outside 'the apple"),
        ("{froot}", "@{froot}: the prompts have no slot 'froot' (slots: @{fruit}, @{who})"),
    ],
)
def test_a_position_that_a_prompt_does_not_have_is_an_error(position: str, said: str) -> None:
    pair = one(fruit("the {fruit} tree and {who} gave the {fruit}", who=["Ann"]))
    with pytest.raises(PromptError) as caught:
        at(pair, position)
    assert said in str(caught.value)


def test_a_slot_that_has_no_token_of_its_own_is_an_error() -> None:
    pair = one(fruit("the {fruit} tree{ending}", ending=["s"]))
    assert pieces(pair.clean)[-1] == " trees"
    with pytest.raises(PromptError, match=r"@\{ending\}: the slot has no token of its own in 'the apple trees'"):
        at(pair, "{ending}")


def test_rows_have_no_slots() -> None:
    pair = one(PromptPairs.from_rows([{"clean": "I ate the fig", "corrupt": "I ate the pear", "answer": " a"}]))
    assert at(pair, "end") == [3]
    with pytest.raises(PromptError, match=r"no slot 'x' \(slots: none\)"):
        at(pair, "{x}")
