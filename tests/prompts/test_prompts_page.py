"""docs/how_to/files_of_pairs.md and chat.md: each kind of file, and a chat, is loaded as the page says."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch

from circuitcheck import Model, PromptPairs, contrast

HOW_TO = Path(__file__).parents[2] / "docs" / "how_to"
FILES = {
    "ioi.csv": "clean,corrupted,correct_idx,incorrect_idx\nAnn and Bob,Ann and Tom,5,6\n",
    "greater_than.csv": "clean,corrupted,label\nfrom 1732 to 17,from 1701 to 17,97\n",
    "nounpp.jsonl": json.dumps({"clean_prefix": "a", "patch_prefix": "b", "clean_answer": " c", "patch_answer": " d"}),
    "docstring.json": json.dumps(
        {"prompts": [{"clean": "a", "corrupt": "b", "answers": [" c"], "wrong_answers": [" d"]}]}
    ),
    "agreement.jsonl": json.dumps({"sentence_good": "The cats sleep.", "sentence_bad": "The cats sleeps.", "UID": "x"}),
    "cities.csv": "statement,label,country\nThe city of Paris is in France.,1,France\n",
}
# What each block of the page makes, and the first row's clean prompt, answer and foil.
MADE: dict[str, tuple[Any, Any, Any]] = {
    "IOI": ("Ann and Bob", (5,), (6,)),
    "YEARS": ("from 1732 to 17", ("98", "99"), tuple(f"{year:02d}" for year in range(98))),
    "AGREEMENT": ("a", (" c",), (" d",)),
    "PROMPTS": ("a", (" c",), (" d",)),
    "BLIMP": ("The cats", (" sleep.",), (" sleeps.",)),
    "CITIES": ("The city of Paris is in France.", (), ()),
    "IDS": ("[0, 5, 6, 7]", (11,), (12,)),
    "CAPITALS": None,  # type: ignore[dict-item]
}


def test_the_page_loads_each_kind_of_file_in_three_lines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bundled: Model
) -> None:
    for name, content in FILES.items():
        (tmp_path / name).write_text(content)
    monkeypatch.chdir(tmp_path)
    made: dict[str, Any] = {
        "PromptPairs": PromptPairs,
        "contrast": contrast,
        "json": json,
        "Path": Path,
        "torch": torch,
        "model": bundled,
    }
    pages = ((HOW_TO / page).read_text(encoding="utf-8") for page in ("files_of_pairs.md", "chat.md"))
    files, [chat, *_] = (re.findall(r"```python\n(.*?)```", page, re.DOTALL) for page in pages)
    blocks = [*files, chat]
    assert len(blocks) == len(MADE)
    for block, (name, expected) in zip(blocks, MADE.items(), strict=True):
        exec(block, made)  # noqa: S102
        if expected is not None:
            assert block.count("\n") <= 3
            [row] = made[name].rows
            assert (row.clean.text, row.answer, row.foil) == expected
    assert made["CAPITALS"].templates[0][0]["role"] == "user"
