"""Files of rows: CSV with a header, and JSON lines.

>>> next(csv_rows("greater_than.csv"))
('greater_than.csv, line 2', {'clean': 'The war lasted from the year 1732 to the year 17', ...})
"""

import csv
import io
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from circuitcheck.errors import PromptError


def csv_rows(path: str | Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each row of a file of comma-separated values (tab-separated, where it is called .tsv) as a mapping from its header's names,
    with where it stands. An empty cell is None. Raises ``PromptError``, naming file and line."""
    name = Path(path).name
    tabs = name.endswith(".tsv")
    lines = csv.reader(io.StringIO(_text_of(path), newline=""), delimiter="\t" if tabs else ",", strict=True)
    header: list[str] = []
    try:
        for cells in lines:
            where = f"{name}, line {lines.line_num}"
            if not any(cells):
                continue
            if not header:
                header = [cell.strip() for cell in cells]
                if twice := [column for column, times in Counter(filter(None, header)).items() if times > 1]:
                    raise PromptError(f"{where}: the header has the column {twice[0]!r} twice")
                continue
            if len(cells) != len(header):
                raise PromptError(f"{where} has {len(cells)} cells, and the header names {len(header)} columns")
            yield where, {column: cell or None for column, cell in zip(header, cells, strict=True) if column}
    except csv.Error as error:
        raise PromptError(f"{name}, line {lines.line_num} is no row of comma-separated values: {error}") from None


def jsonl_rows(path: str | Path) -> Iterator[tuple[str, Any]]:
    """What each line of a file of JSON lines says, with where it stands. Raises ``PromptError``, naming file and line."""
    name = Path(path).name
    for number, line in enumerate(_text_of(path).split("\n"), start=1):
        if not line.strip():
            continue
        where = f"{name}, line {number}"
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise PromptError(
                f"{where} is not a JSON object ({error}): each line of the file is one row (a file that is one JSON document "
                "is read with json.load, and its list of rows given to PromptPairs.from_rows)"
            ) from None
        yield where, row


def _text_of(path: str | Path) -> str:
    try:
        content = Path(path).read_bytes()
    except (OSError, ValueError) as error:
        raise PromptError(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}") from None
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        wide = " (it looks like UTF-16)" if content[:2] in (b"\xff\xfe", b"\xfe\xff") else ""
        raise PromptError(
            f"{Path(path).name}, line {line} is not UTF-8{wide}: byte 0x{content[error.start]:02x}; save the file as UTF-8"
        ) from None
    return text
