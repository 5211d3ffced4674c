"""Rows of real files: what is read, what counts how often, and what is refused with file and line."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from circuitcheck import Model, PromptPairs
from circuitcheck.errors import PromptError
from circuitcheck.prompts.pairs import Pair

GOOD = {"clean": "The keys", "corrupt": "The key", "answer": " are", "foil": " is"}
PAIR = ("The keys", "The key", (" are",), (" is",))


def parts(pair: Pair) -> tuple[Any, ...]:
    return pair.clean.text, pair.corrupt.text, pair.answer, pair.foil


# Files as the field has them, in its own words


def test_a_csv_of_clean_corrupted_and_token_ids_is_three_lines(tmp_path: Path) -> None:
    """EAP-IG's indirect objects: the answers are GPT-2's token ids, and a column of no use has no name."""
    path = tmp_path / "ioi.csv"
    path.write_text(
        ',clean,corrupted,correct_idx,incorrect_idx\n0,"Then, Ann and Bob",Then it,262,383\n1,So it,So he,5,7\n'
    )
    pairs = PromptPairs.from_csv(
        path, corrupt="corrupted", answer=lambda r: int(r["correct_idx"]), foil=lambda r: int(r["incorrect_idx"])
    )
    assert [parts(row) for row in pairs.rows] == [
        ("Then, Ann and Bob", "Then it", (262,), (383,)),
        ("So it", "So he", (5,), (7,)),
    ]
    assert repr(pairs) == f"PromptPairs.from_csv({str(path)!r}) (2 rows)"


def test_a_year_is_answered_by_every_later_one(tmp_path: Path) -> None:
    path = tmp_path / "greater_than.tsv"
    path.write_text("clean\tcorrupted\tlabel\nThe war lasted from 1732 to 17\tThe war lasted from 1701 to 17\t97\n")
    pairs = PromptPairs.from_csv(
        path,
        corrupt="corrupted",
        answer=lambda row: [str(year) for year in range(int(row["label"]) + 1, 100)],
        foil=lambda row: [f"{year:02d}" for year in range(2)],
    )
    assert (pairs.rows[0].answer, pairs.rows[0].foil) == (("98", "99"), ("00", "01"))
    assert pairs.rows[0].fillers == (("label", "97", "97"),)


def test_json_lines_with_prefixes_and_patches_are_read_by_their_columns_names(tmp_path: Path) -> None:
    path = tmp_path / "nounpp.jsonl"
    line = {
        "clean_prefix": "The keys",
        "patch_prefix": "The key",
        "clean_answer": " are",
        "patch_answer": " is",
        "case": "plural",
    }
    path.write_text(f"\ufeff{json.dumps(line)}\n\n{json.dumps(line)}\n", encoding="utf-8")
    pairs = PromptPairs.from_jsonl(
        path, clean="clean_prefix", corrupt="patch_prefix", answer="clean_answer", foil="patch_answer"
    )
    [row] = pairs.rows
    assert parts(row) == PAIR
    assert row.fillers == (("case", "plural", "plural"),)


def test_a_json_document_of_prompts_is_rows() -> None:
    prompts = [{"clean": "The keys", "corrupt": "The key", "answers": [" are"], "wrong_answers": [" is"]}]
    assert parts(PromptPairs.from_rows(prompts, answer="answers", foil="wrong_answers").rows[0]) == PAIR


def test_two_sentences_are_a_prompt_and_what_continues_it(tmp_path: Path) -> None:
    """BLiMP: no corrupted prompt; what both sentences begin with is the prompt."""
    path = tmp_path / "agreement.jsonl"
    path.write_text(json.dumps({"sentence_good": "The cat sleeps.", "sentence_bad": "The cat sleep.", "UID": "sv"}))
    pairs = PromptPairs.from_jsonl(
        path,
        clean=lambda row: row["sentence_good"].rpartition(" ")[0],
        answer=lambda row: " " + row["sentence_good"].rpartition(" ")[2],
        foil=lambda row: " " + row["sentence_bad"].rpartition(" ")[2],
    )
    [row] = pairs.rows
    assert (row.clean.text, row.answer, row.foil, row.is_contrast) == ("The cat", (" sleeps.",), (" sleep.",), False)


# What counts how often


def test_a_row_that_comes_again_counts_as_often() -> None:
    other = GOOD | {"clean": "The cars"}
    pairs = PromptPairs.from_rows([GOOD, other, GOOD, GOOD])
    assert [(row.clean.text, row.weight) for row in pairs.rows] == [
        ("The keys", 1.0),
        ("The cars", pytest.approx(1 / 3)),
    ]


def test_weights_that_are_all_alike_are_none() -> None:
    assert PromptPairs.from_rows([GOOD, GOOD]).rows == PromptPairs.from_rows([GOOD | {"weight": 0.25}]).rows
    assert PromptPairs.from_rows([GOOD, GOOD]).identity == PromptPairs.from_rows([GOOD]).identity


def test_weights_and_columns_are_part_of_what_a_population_is() -> None:
    other = GOOD | {"clean": "The cars"}
    made = [[GOOD, other], [GOOD, GOOD, other], [GOOD, other | {"topic": "cars"}], [GOOD, other | {"topic": "keys"}]]
    assert len({PromptPairs.from_rows(rows).identity for rows in made}) == 4


def test_columns_that_are_no_text_and_no_number_are_left_out() -> None:
    row = GOOD | {"topic": "doors", "n": 3, "old": True, "none": None, "tokens": [1, 2], "more": {"a": 1}}
    assert {name: value for name, value, _ in PromptPairs.from_rows([row]).rows[0].fillers} == {
        "topic": "doors",
        "n": "3",
        "old": "True",
        "none": "None",
    }


# Token ids


ROWS_OF_IDS = [
    [3, 4],
    (3, 4),
    np.array([3, 4]),
    np.array([[3, 4]]),
    np.array([[[3], [4]]]),
    torch.tensor([[3, 4]]),
    torch.tensor([3, 4], dtype=torch.int32),
    [np.array([3]), torch.tensor([[4]])],
]


@pytest.mark.parametrize("given", ROWS_OF_IDS, ids=repr)
def test_arrays_of_one_row_are_token_ids(given: Any) -> None:
    row = PromptPairs.from_rows(
        [{"clean": given, "corrupt": [3, 5], "answer": np.array([[7]]), "foil": torch.tensor([8])}]
    ).rows[0]
    assert (row.clean.ids, row.answer, row.foil) == ((3, 4), (7,), (8,))


@pytest.mark.parametrize(
    "given",
    [np.array([[3, 4], [3, 4]]), torch.zeros(2, 2, dtype=torch.long), torch.tensor([3.0]), np.zeros((0, 3), int)],
    ids=repr,
)
def test_other_arrays_are_none(given: Any) -> None:
    with pytest.raises(PromptError, match="row 1 (holds neither text nor token ids|has an empty prompt)"):
        PromptPairs.from_rows([{"clean": given, "corrupt": [3, 5], "answer": 7}])


def test_rows_that_cannot_be_used_share_their_reason_whatever_their_columns(bundled: Model) -> None:
    rows = [
        {"clean": f"the {n} tree is", "corrupt": f"the {n} tree", "answer": " a", "n": n} for n in ("apple", "lemon")
    ]
    with pytest.raises(PromptError, match=r"\(0 of 2 can\):\n  2 pairs whose prompts differ in token count, e\.g\."):
        bundled.on(PromptPairs.from_rows(rows)).patch("L1.MLP").measure()


# What is refused, where


WRONG_CSV = {
    "clean,answer\na,b\n\na\n": "x.csv, line 4 has 1 cells, and the header names 2 columns",
    "clean,answer\na,b,c\n": "x.csv, line 2 has 3 cells, and the header names 2 columns",
    'clean,answer\n"a\nb",c\nd,\n': "x.csv, line 4 holds neither text nor token ids: {'clean': 'd', 'answer': None} (its answer is empty)",
    "clean;answer\na;b\n": "x.csv, line 2 lacks clean (it has clean;answer)",
    "clean,clean,answer\n": "x.csv, line 1: the header has the column 'clean' twice",
    "clean,answer\n": "has no rows: an empty population",
    "": "has no rows: an empty population",
    'clean,answer\n"a"b,c\n': "x.csv, line 2 is no row of comma-separated values",
    "clean,corrupted,answer\na,b,c\n": "x.csv, line 2 has 'corrupted' and no 'corrupt': say corrupt='corrupted'",
    "clean,corrupt,answer\na,b,c\nd,,e\n": "x.csv, line 3 has no corrupted prompt, and x.csv, line 2 has one",
    "clean,answer,weight\na,b,nan\n": "x.csv, line 2 has the weight 'nan': a weight is a positive number",
    "clean,answer,weight\na,b,-1\n": "x.csv, line 2 has the weight '-1'",
    "clean,answer,weight\na,b,much\n": "x.csv, line 2 has the weight 'much'",
    "clean,answer,weight\na,b,1\nc,d,0\n": "x.csv, line 3 has the weight '0'",
}  # fmt: skip


@pytest.mark.parametrize("content", WRONG_CSV, ids=repr)
def test_a_csv_file_that_is_none_is_refused_with_its_line(tmp_path: Path, content: str) -> None:
    path = tmp_path / "x.csv"
    path.write_text(content)
    with pytest.raises(PromptError) as caught:
        PromptPairs.from_csv(path)
    assert WRONG_CSV[content] in str(caught.value)


WRONG_LINES = {
    b'{"clean": "a", "answer": "b"}\n[1, 2]\n': "x.jsonl, line 2 is not a mapping but [1, 2]",
    b'{"clean": "a", "answer": "b"}\n{"clean": "a"\n': "x.jsonl, line 2 is not a JSON object",
    b'{"clean": "a"}\n': "x.jsonl, line 1 lacks answer (it has clean)",
    b'{"clean": "caf\xe9", "answer": "b"}\n': "x.jsonl, line 1 is not UTF-8: byte 0xe9",
    '{"clean": "a"}'.encode("utf-16"): "x.jsonl, line 1 is not UTF-8 (it looks like UTF-16)",
    b'{"clean": "a \\ud800", "answer": "b"}\n': "x.jsonl, line 1 has half a surrogate pair",
    b'{"clean": "a", "answer": "b \\udc00"}\n': "x.jsonl, line 1 has half a surrogate pair",
    b'{"clean": [1, 2.5], "answer": 3}\n': "x.jsonl, line 1 holds neither text nor token ids",
    b'{"clean": "a", "answer": "b", "weight": NaN}\n': "x.jsonl, line 1 has the weight nan",
    b'{"clean": "a", "answer": "b", "weight": true}\n': "x.jsonl, line 1 has the weight True",
    b'{"clean": "a", "answer": ' + b"1" * 5000 + b"}\n": "x.jsonl, line 1 is not a JSON object",
    b'{"clean": "", "answer": "b"}\n': "x.jsonl, line 1 has an empty prompt",
}


@pytest.mark.parametrize("content", WRONG_LINES, ids=lambda content: repr(content)[:40])
def test_a_file_of_json_lines_that_is_none_is_refused_with_its_line(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x.jsonl"
    path.write_bytes(content)
    with pytest.raises(PromptError) as caught:
        PromptPairs.from_jsonl(path)
    assert WRONG_LINES[content] in str(caught.value)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(PromptError, match="none.csv cannot be read: No such file"):
        PromptPairs.from_csv(tmp_path / "none.csv")
    with pytest.raises(PromptError, match="cannot be read"):
        PromptPairs.from_jsonl(tmp_path)


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({"answer": "label"}, "row 1 lacks 'label', which answer= names (it has clean, corrupt, answer, foil)"),
        ({"corrupt": "patch"}, "row 1 lacks 'patch', which corrupt= names"),
        ({"weight": "count"}, "row 1 lacks 'count', which weight= names"),
        ({"answer": lambda row: row["label"]}, "row 1: the function answer= asks for 'label', which is not there"),
        ({"answer": lambda row: int(row["answer"])}, "row 1: the function answer= fails: ValueError"),
        ({"answer": 5}, "answer= is the name of a column, or a function of the row, not 5"),
        ({"clean": None}, "clean= is the name of a column"),
    ],
)
def test_a_column_that_is_not_there_is_named(columns: Any, said: str) -> None:
    with pytest.raises(PromptError) as caught:
        PromptPairs.from_rows([GOOD], **columns)
    assert said in str(caught.value)


def test_weights_that_cannot_be_added_up_are_refused() -> None:
    rows = [GOOD | {"weight": 1e308}, GOOD | {"weight": 1e308}]
    with pytest.raises(PromptError, match="too large"):
        PromptPairs.from_rows(rows)
