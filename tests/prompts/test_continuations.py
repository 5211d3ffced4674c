"""Answers are the tokens that come after the prompt's, where prompt and answer are read together: of every kind of tokenizer."""

import random
from collections import Counter
from itertools import product
from typing import Any

import numpy as np
import pytest

from circuitcheck import Model, PromptError, PromptPairs, contrast
from circuitcheck.prompts.aligned_pairs import AlignedPair
from circuitcheck.prompts.alignment import Aligner, Rejected
from circuitcheck.prompts.populations import Population
from tests.tokenizers_for_tests import byte_level, metaspace, with_mark, word_level, word_pieces

WORDS = ["the", "tree", "trees", "a", "an", "ann", "17", "52", "1752", "zx", "zxy"]
SPACED = [*WORDS, *(f" {word}" for word in WORDS)]
TOKENIZERS = {
    "byte-level BPE": byte_level(*SPACED),
    "byte-level BPE over whole texts": byte_level(*SPACED, " an ann", split=False),
    "SentencePiece": metaspace(*WORDS, "an ann", "the tree an"),
    "SentencePiece, normalised": metaspace(*WORDS, "an ann", "the tree an", normalized=True),
    "SentencePiece by words": metaspace(*WORDS, split=True),
    "WordPiece": word_pieces(*WORDS),
    "words": word_level(*WORDS),
    "with a mark that takes the space after it": with_mark(byte_level(*SPACED), "<mark>"),
}
BEGINNINGS = ["the ", "a the ", "an ", "", "<mark> ", "the\n"]
ENDS = ["tree", "17", "zx", "an", "the tree ", "a, "]
ANSWERS = [" an", " ann", "52", "s", "n", "an", "y", " 52 an", " the tree", " trees and", ", the", "\nan", "  a"]


MERGES = "whose answer or foil merges with the prompt"


def rows() -> list[dict[str, Any]]:
    """Of which the same text stands at the end of many prompts."""
    prompts = [f"{begin}{end}" for begin, end in product(BEGINNINGS, ENDS)]
    given = [
        {"clean": f"17 {one}", "corrupt": f"52 {one}", "answer": answer} for one, answer in product(prompts, ANSWERS)
    ]
    random.Random(0).shuffle(given)
    return given


def read_together(tokenizer: Any, prompt: str, answer: str) -> tuple[int, ...] | None:
    before, both = (tuple(tokenizer.encode(text, add_special_tokens=False)) for text in (prompt, prompt + answer))
    return both[len(before) :] if both[: len(before)] == before else None


def align(tokenizer: Any, given: list[dict[str, Any]], **options: Any) -> list[AlignedPair | Rejected]:
    described = PromptPairs.from_rows(given, **options).description
    return Aligner(tokenizer, None, len(tokenizer)).align(described.rows)


@pytest.mark.parametrize("tokenizer", TOKENIZERS.values(), ids=TOKENIZERS)
def test_answers_are_read_in_the_context_of_both_prompts_whatever_was_asked_before(tokenizer: Any) -> None:
    given, counts = rows(), Counter[str]()
    for row, outcome in zip(given, align(tokenizer, given), strict=True):
        clean, corrupt = (read_together(tokenizer, row[side], row["answer"]) for side in ("clean", "corrupt"))
        if isinstance(outcome, AlignedPair):
            assert (
                tuple(outcome.answer if isinstance(outcome.answer[0], int) else outcome.answer[0]) == clean == corrupt
            )
            counts["used"] += 1
        elif outcome.reason == MERGES:
            assert None in (clean, corrupt)
            assert row["answer"] in outcome.example
            counts["merging"] += 1
        else:
            assert any(known in outcome.reason for known in ("space", "token count", "text that", "same tokens after"))
    assert counts["used"] > 10
    assert counts["merging"] > 2


def test_what_is_another_continuation_after_the_corrupted_prompt_is_rejected() -> None:
    """Behind a mark "a" is a word of its own."""
    [outcome] = align(word_pieces("tree", ",", "a"), [{"clean": "tree", "corrupt": ",", "answer": "a"}])
    assert isinstance(outcome, Rejected)
    assert outcome.reason == "whose answer or foil is not the same tokens after both prompts"
    assert outcome.example == "'a' is ['##a'] after 'tree' and ['a'] after ','"


@pytest.mark.parametrize(
    ("end", "answer", "advised"),
    [
        (" picked", "an", True),
        (" the,", "an", True),
        (" picked", "52", True),
        (" 17", "52", False),
        (" (", "an", False),
        (" picked ", "an", False),
        (" picked\n", "an", False),  # as a chat's prompt ends
        (" the,\n", "an", False),
        (" picked", "?!", False),
        (" tree", "s", False),
    ],
)
def test_a_space_is_advised_where_one_would_make_sense(end: str, answer: str, advised: bool) -> None:
    tokenizer = byte_level(" picked", " an", " 52", " 17", " 1752", " the", " (", " tree", " trees", " s")
    [outcome] = align(tokenizer, [{"clean": f"I{end}", "corrupt": f"a{end}", "answer": answer, "foil": " the"}])
    reason = outcome.reason if isinstance(outcome, Rejected) else ""
    assert ("leading space" in reason) == advised


def years(**given: Any) -> PromptPairs:
    return PromptPairs(
        "From 17{start} to 17",
        start=contrast(clean=["52"], corrupt=["01"]),
        answer=["53", "99"],
        foil=["00", "51"],
        **given,
    )


TWO_DIGITS = [f"{year:02d}" for year in range(100)]
GPT = byte_level("From", " to", " 17", *TWO_DIGITS, " 1700", " 1799", " 1753")


def test_what_would_merge_is_read_as_its_own_tokens_on_purpose() -> None:
    described = years(merging="as tokens").description
    [pair] = Aligner(GPT, None, len(GPT)).align(Population(described, 0).draw())
    assert isinstance(pair, AlignedPair)
    assert [GPT.decode([token]) for token in (*pair.answer, *pair.foil)] == ["53", "99", "00", "51"]
    replayed = PromptPairs.from_rows([pair.as_row()])
    [again] = Aligner(GPT, None, len(GPT)).align(replayed.rows)
    assert isinstance(again, AlignedPair)
    assert (again.clean, again.corrupt, again.answer, again.foil) == (pair.clean, pair.corrupt, pair.answer, pair.foil)
    [merging] = Aligner(GPT, None, len(GPT)).align(Population(years().description, 0).draw())
    assert isinstance(merging, Rejected)
    assert merging.reason == MERGES
    assert "'53' after 'From 1752 to 17', where ['Ġ17'] becomes ['Ġ1753']" in merging.example


def test_an_answers_own_tokens_have_no_space_that_it_has_not() -> None:
    """As SentencePiece would put one in front of a text by itself."""
    tokenizer = metaspace("17", "52", "an")
    [pair] = align(tokenizer, [{"clean": "17", "corrupt": "52", "answer": "5", "foil": " an"}], merging="as tokens")
    assert isinstance(pair, AlignedPair)
    assert tokenizer.convert_ids_to_tokens([pair.answer[0], pair.foil[0]]) == ["5", "▁an"]


def test_the_method_says_that_answers_are_their_own_tokens(bundled: Model) -> None:
    plainly, own = bundled.on(years()), bundled.on(years(merging="as tokens"))
    assert "own tokens" not in plainly.patch("L1.MLP")._estimand.method.readout
    assert own.patch("L1.MLP")._estimand.method.readout.endswith("answers read as their own tokens")
    assert own._setup.pairs.identity != plainly._setup.pairs.identity


def test_merging_is_as_tokens_or_not_at_all() -> None:
    with pytest.raises(PromptError, match="merging= is 'as tokens'"):
        years(merging="yes")


@pytest.mark.parametrize(
    ("answer", "foil", "reason", "example"),
    [
        ([" an", " an ann"], [" the"], "answers begin one another", "' an' and ' an ann'"),
        ([" the"], [" an ann", " an"], "foils begin one another", "' an' and ' an ann'"),
        ([" an"], [" an ann"], "answer and foil begin one another", "' an' and ' an ann'"),
        ([" an ann"], [" an ann"], "answer is also their foil", "(' an ann',) and (' an ann',)"),
    ],
)
def test_texts_that_begin_one_another_are_no_alternatives(answer: Any, foil: Any, reason: str, example: str) -> None:
    row = {"clean": "the tree", "corrupt": "a tree", "answer": answer, "foil": foil}
    [outcome] = align(TOKENIZERS["byte-level BPE"], [row])
    assert isinstance(outcome, Rejected)
    assert outcome.reason == f"whose {reason}"
    assert example in outcome.example


def test_rows_of_ids_take_lists_of_ids() -> None:
    row = {"clean": [5, 6], "corrupt": [5, 7], "answer": [[8, 9], 4], "foil": [[10], np.array([11, 12])]}
    described = PromptPairs.from_rows([row]).description
    [pair] = Aligner(None, None, 20).align(described.rows)
    assert isinstance(pair, AlignedPair)
    assert (pair.answer, pair.foil) == (((8, 9), 4), (10, (11, 12)))
    assert PromptPairs.from_rows([pair.as_row()]).rows == PromptPairs.from_rows([row]).rows
    with pytest.raises(PromptError, match="neither text nor token ids"):
        PromptPairs.from_rows([row | {"answer": [[]]}])
    with pytest.raises(PromptError, match="answer or foil 20 is outside"):
        align_ids({"answer": [[8, 20]]})


def align_ids(given: dict[str, Any]) -> Any:
    rows = PromptPairs.from_rows([{"clean": [5, 6], "corrupt": [5, 7], **given}]).rows
    return Aligner(None, None, 20).align(rows)
