"""Rows of named numbers and words as text, as a data frame and in files."""

import csv
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from circuitcheck.errors import MethodError

Row = Mapping[str, object]


def as_text(rows: Sequence[Row]) -> list[str]:
    """Lines: the names, then a row each, in columns."""
    if not rows:
        return []
    cells = [list(rows[0]), *([_written(value) for value in row.values()] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    numbers = [isinstance(value, float | int) for value in rows[0].values()]
    return [
        "  ".join(
            cell.rjust(width) if number else cell.ljust(width)
            for cell, width, number in zip(line, widths, numbers, strict=True)
        ).rstrip()
        for line in cells
    ]


def as_frame(rows: Sequence[Row]) -> Any:
    """The rows as a pandas ``DataFrame``. Raises ``MethodError`` where pandas is not installed."""
    try:
        from pandas import DataFrame
    except ImportError:
        raise MethodError("a data frame takes pandas: pip install 'circuitcheck[frames]', or .save('x.csv')") from None
    return DataFrame(list(rows))


def save(path: str | Path, picture: str, rows: Sequence[Row], png: Callable[[], bytes] | None = None) -> None:
    """Write the picture as .svg (or .png, where it can be drawn so), or the rows as .csv. Raises ``MethodError`` for other files."""
    file = Path(path)
    kind = file.suffix.lower()
    if kind == ".svg":
        file.write_text(picture, encoding="utf-8")
    elif kind == ".png" and png is not None:
        file.write_bytes(png())
    elif kind == ".csv":
        with file.open("w", encoding="utf-8", newline="") as written:
            table = csv.DictWriter(written, list(rows[0]) if rows else [])
            table.writeheader()
            table.writerows(rows)
    else:
        pictures = ".svg" if png is None else ".svg or .png"
        raise MethodError(f"{file.name} is saved as {pictures} (the picture) or .csv (the numbers)")


def _written(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
