"""A store as lines of JSON: what is exported to a file, and what a job sends home.

    {"circuitcheck store": 1, "written by": "0.2.0"}
    {"experiment": {"key": "9f0c...", "origin": "torch 2.13.0; ...; cpu", "model": "24e8dc575f1b6adf", "said": "base, clean, logit_diff",
        "used": 1764000000}, "numbers": [["5d41...", 3.29, 0.0], ...]}
    {"fact": ["24e8dc575f1b6adf", "name (torch 2.13.0; ...; cpu)", "bundled"]}
    {"decisions": [["test_first.py::test_it", 0, "24e8dc575f1b6adf", 1764000000, "..."], ...]}
    {"end": 3}

Keys and pairs are hexadecimal, arrays base64; the last line has how many there are before it, after the first. It is text alone: nothing in
it is run.
"""

import base64
import json
from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import Any, NoReturn

from circuitcheck.errors import StoreError
from circuitcheck.records.exchange.content import KINDS, Content, Experiment, Row, is_number
from circuitcheck.records.store import Number
from circuitcheck.texts import encodable, shortened
from circuitcheck.version import __version__

FORMAT = 1
_HEAD = "circuitcheck store"
_KEY = 16
# SQLite's whole numbers.
_LARGEST = 2**63


def written(contents: Iterable[Content]) -> Iterator[str]:
    """The lines, each with its end."""
    yield _line({_HEAD: FORMAT, "written by": __version__})
    count = 0
    for content in contents:
        for line in _lines(content):
            count += 1
            yield _line(line)
    yield _line({"end": count})


def read(lines: Iterable[str], name: str) -> Iterator[Content]:
    """The content of lines, a part a line; ``name`` is what they are called in errors. Raises ``StoreError`` for what is no export, one of
    a newer version, or one that is not whole."""
    count, ended = -1, False
    for number, line in enumerate(lines, 1):
        if ended:
            raise StoreError(f"{name}:{number} stands after the end")
        try:
            said = json.loads(line, parse_constant=_refuse_constant)
        except (ValueError, RecursionError):
            said = None
        if not isinstance(said, dict):
            raise StoreError(f"{name}:{number} is no line of an exported store: {shortened(line.strip(), 60)}")
        if count < 0:
            _check_head(said, name)
        elif "end" in said:
            if said["end"] != count:
                raise StoreError(f"{name} has {count} lines of the {said['end']!r} that were written")
            ended = True
            continue
        else:
            try:
                yield _content(said)
            except (KeyError, TypeError, ValueError):
                raise StoreError(
                    f"{name}:{number} is no line of an exported store: {shortened(line.strip(), 60)}"
                ) from None
        count += 1
    if not ended:
        raise StoreError(f"{name} ends before its end: it was cut off, or is no exported store")


def _check_head(said: dict[str, Any], name: str) -> None:
    version = said.get(_HEAD)
    if not isinstance(version, int):
        raise StoreError(f"{name} is no exported store: its first line does not say so")
    if version != FORMAT:
        raise StoreError(
            f"{name} has format {version}, and this circuitcheck reads format {FORMAT}: it was written by {said.get('written by')!r}"
        )


def _lines(content: Content) -> Iterator[dict[str, Any]]:
    for experiment, rows in groupby(content.numbers, lambda row: row[0]):
        said = {"key": experiment.key.hex(), "origin": experiment.origin, "model": experiment.model}
        said |= {"said": experiment.said, "used": experiment.used}
        yield {
            "experiment": said,
            "numbers": [[pair.hex(), _as_json(value), beside] for _, pair, value, beside in rows],
        }
    yield from ({"fact": row} for row in content.facts)
    for _, decided in groupby(content.decisions, lambda row: (row[0], row[2])):
        yield {"decisions": list(decided)}  # those of a test and a model go together
    yield from ({"file": row} for row in content.files)


def _content(said: dict[str, Any]) -> Content:
    """One line's; raises ``KeyError``, ``TypeError`` or ``ValueError`` for what is none."""
    if "experiment" in said:
        return Content(numbers=tuple(_rows(said["experiment"], said["numbers"])))
    if "decisions" in said:
        return Content(decisions=tuple(_checked_row("decision", row) for row in said["decisions"]))
    [(kind, row)] = said.items()
    return Content(**{f"{kind}s": (_checked_row(kind, row),)})


def _checked_row(kind: str, row: list[Any]) -> Any:
    return tuple(_checked(value, of) for value, of in zip(row, KINDS[kind], strict=True))


def _rows(said: dict[str, Any], numbers: list[list[Any]]) -> Iterator[Row]:
    origin, model, words = (_checked(said[name], str) for name in ("origin", "model", "said"))
    experiment = Experiment(bytes.fromhex(said["key"]), origin, model, words, _checked(said["used"], int))
    if len(experiment.key) != _KEY:
        raise ValueError(said["key"])
    for pair, value, beside in numbers:
        number: Number = base64.b64decode(value, validate=True) if isinstance(value, str) else value
        if not is_number(number, beside):
            raise ValueError(value)
        yield experiment, bytes.fromhex(pair), number, beside


def _checked(value: Any, kind: type) -> Any:
    """A value of a kind that a store takes; raises ``ValueError`` for any other."""
    if type(value) is not kind or (isinstance(value, int) and not -_LARGEST <= value < _LARGEST):
        raise ValueError(value)
    return encodable(value) if isinstance(value, str) else value


def _as_json(value: Number) -> float | str:
    return base64.b64encode(value).decode() if isinstance(value, bytes) else value


def _line(said: dict[str, Any]) -> str:
    return f"{json.dumps(said, separators=(',', ':'))}\n"


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(name)
