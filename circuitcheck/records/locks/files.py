"""The two files of a lock: for people to read and for git to merge.

Entries stand in the order of the tests, a field a line, so that one claim's change is a few lines of a diff. A file in which git
has left a merge conflict has two sides.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from circuitcheck.errors import LockError
from circuitcheck.records.files import is_special, one_at_a_time, reason, write_together
from circuitcheck.records.locks.entries import Content, digest_of, is_sealed, sealed
from circuitcheck.records.locks.fields import problem_of, problem_of_pairs
from circuitcheck.records.locks.lock import Lock
from circuitcheck.records.locks.numbers import Rows, as_text
from circuitcheck.records.locks.numbers import read as rows_in
from circuitcheck.texts import encodable

# Of the first format, fingerprints are of an older definition (see ``identity.DEFINITION``), and compare with no others; of the
# first two, the names of reference sets are, and models have no seed; of the first three, pairs' numbers are shares of the mean
# base, and nothing is known of the behaviour and the prompts.
FORMAT = 4
_AGAIN = "take it from version control again, or write a new one: --circuit-lock=update --circuit-accept=all"
_WIDTH = 100
_CONFLICT = re.compile(r"^(<{7}|\|{7}|={7}|>{7})(?: .*)?$")


def read(path: Path) -> Lock:
    """A lock file with its numbers. Raises ``LockError`` for one that is not there, holds what no lock does, or has a conflict."""
    found, has_conflict = _sides(path, pairs_may_be_missing=False)
    if has_conflict:
        raise LockError(f"{path} has a merge conflict in it: --circuit-lock=update works it out")
    return found[0]


def sides(path: Path) -> tuple[list[Lock], list[str]]:
    """For an update: the lock, or both sides of a merge conflict in it; and what was wrong with the files, a line each."""
    found, has_conflict = _sides(path, pairs_may_be_missing=True)
    words = [f"{path.name} had a merge conflict: both sides were read"] if has_conflict else []
    if not _pairs_of(path).exists():
        words.append(f"{_pairs_of(path).name} was not there: numbers of pairs are those of this session")
    return found, words


def read_texts(name: str, text: str, numbers: str | None) -> Lock:
    """A lock of the texts of its two files, as version control has them; ``numbers`` None where there is no second."""
    [content, *more] = _contents(name, text)
    [pairs, *others] = _contents(f"{name}.pairs", numbers or "{}")
    if more or others:
        raise LockError(f"{name} has a merge conflict in it")
    return _lock(name, content, [pairs], numbers is None)


def write(lock: Lock, path: Path) -> None:
    """Write both files, or neither. Raises ``OSError``."""
    content = {"format": FORMAT, "models": lock.models, "populations": lock.populations, "claims": lock.claims}
    texts = {key: [as_text(rows) for rows in lock.pairs.get(key, [])] for key in lock.claims}
    write_together({_pairs_of(path): _bytes(texts), path: _bytes(content)})


def _sides(path: Path, pairs_may_be_missing: bool) -> tuple[list[Lock], bool]:
    """The lock, once for each side of a conflict in it; and whether there is one in either file."""
    try:
        with one_at_a_time(path.parent):  # the two files of one update
            text = _text(path, "--circuit-lock=update writes it")
            missing = pairs_may_be_missing and not _pairs_of(path).exists()
            numbers = "{}" if missing else _text(_pairs_of(path), _AGAIN)
    except TimeoutError as error:
        raise LockError(f"{path} cannot be read: {reason(error)}") from None
    contents, pairs = _contents(str(path), text), _contents(str(_pairs_of(path)), numbers)
    return [_lock(str(path), one, pairs, missing) for one in contents], max(len(contents), len(pairs)) > 1


def _lock(name: str, content: Content, numbers_of: list[Content], missing: bool) -> Lock:
    """What the texts of both files hold. Numbers are those of the side that an entry was written with; they may be ``missing``."""
    number = content.get("format")
    if type(number) is not int or not 1 <= number <= FORMAT:
        raise LockError(f"{name} is a lock of format {number!r}, and this circuitcheck reads formats up to {FORMAT}")
    if problem := problem_of(content):
        raise LockError(f"{name} is not a lock file: {problem}; {_AGAIN}")
    if problem := next(filter(None, map(problem_of_pairs, numbers_of)), ""):
        raise LockError(f"{name}.pairs does not belong to a lock file: {problem}; {_AGAIN}")
    models, populations = content.get("models", []), content.get("populations", {})
    claims, pairs, edited = dict[str, Content](), dict[str, list[Rows]](), dict[str, str]()
    for key, entry in content["claims"].items():
        there = [numbers[key] for numbers in numbers_of if key in numbers]
        fitting = [texts for texts in there if _digest_in(texts, number) == entry["pairs"]]
        pairs[key] = [*map(rows_in, next(iter([*fitting, *there]), []))]
        if what := _wrong_with(entry, populations, bool(fitting) or (missing and not there)):
            edited[key] = what
        claims[key] = entry if number == FORMAT else _migrated(entry, pairs[key], models, number, key in edited)
    if number == 1:
        models = [{**model, "fingerprint": ""} for model in models]
    return Lock(claims, pairs, models, populations, edited)


def _wrong_with(entry: Content, populations: Content, numbers_fit: bool) -> str:
    """In what an entry is not as a run wrote it; empty where it is."""
    if not is_sealed(entry):
        return "was edited by hand"
    said = {one["population_id"]: one["prompts"] for one in entry["effects"] if "prompts" in one}
    if any(digest_of(populations.get(one)) != digest for one, digest in said.items()):
        return "has prompts that were edited by hand"
    return "" if numbers_fit else "has other numbers of its pairs than were written"


def _digest_in(texts: list[str], number: int) -> str:
    """The digest of pairs' numbers, as each format takes it."""
    if number == FORMAT:
        return digest_of(texts)
    return digest_of([{pair: row.shift for pair, row in rows_in(text).items()} for text in texts])


def _migrated(entry: Content, rows: list[Rows], models: list[Content], number: int, edited: bool) -> Content:
    """An entry of an older format as one of today's; ``normalised``: its pairs' numbers are shares of the mean base."""
    seeds = [model.get("seed") for model in models if model["fingerprint"] == entry["fingerprint"]]
    now = dict(entry) | {"normalised": True, "settings": {"seed": seeds[0]} if any(seeds) else {}}
    if rows:  # none where the second file is missing
        now["pairs"] = digest_of([*map(as_text, rows)])
    if number == 1:
        now["fingerprint"] = ""
    if number < 3:
        unnamed = [
            {name: value for name, value in effect["method"].items() if name != "reference"}
            for effect in entry["effects"]
        ]
        now["effects"] = [effect | {"method": method} for effect, method in zip(entry["effects"], unnamed, strict=True)]
    return now if edited else sealed(now)


def _contents(name: str, text: str) -> list[Content]:
    """The JSON object of a file; of a merge conflict, or of names that stand in it twice, one for each side."""
    found: list[Content] = []
    for side in _versions(text):
        for wins in (0, -1):
            content = _json(name, side, wins)
            if content not in found:
                found.append(content)
    return found


def _versions(text: str) -> list[str]:
    """A text without conflicts as it is; of one with conflicts both sides."""
    lines: tuple[list[str], list[str]] = [], []
    into: tuple[int, ...] = (0, 1)
    for line in text.splitlines(keepends=True):
        if mark := _CONFLICT.match(line.rstrip("\r\n")):
            into = {"<": (0,), "|": (), "=": (1,), ">": (0, 1)}[mark[1][0]]
            continue
        for side in into:
            lines[side].append(line)
    return [*dict.fromkeys("".join(side) for side in lines)]


def _json(name: str, text: str, wins: int) -> Content:
    """``wins``: which value of a name counts that stands in an object twice."""

    def object_of(couples: list[tuple[str, Any]]) -> Content:
        return dict(couples if wins == -1 else couples[::-1]) if len(dict(couples)) < len(couples) else dict(couples)

    try:
        content = json.loads(text, parse_constant=_no_constant, object_pairs_hook=object_of)
        json.dumps(content)  # or its checksum cannot be made: it is nested too deep
    except (ValueError, RecursionError) as error:
        raise LockError(f"{name} cannot be read ({reason(error)}). {_AGAIN}") from None
    if not isinstance(content, dict):
        raise LockError(f"{name} is not a lock file; {_AGAIN}")
    return content


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is no number of JSON")


def _text(path: Path, where_missing: str) -> str:
    if is_special(path):
        raise LockError(f"{path} is a device or a pipe, and no lock file can be read from it")
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise LockError(f"there is no {path}: {where_missing}") from None
    except (OSError, ValueError) as error:
        raise LockError(f"{path} cannot be read ({reason(error)}). {_AGAIN}") from None


def _bytes(content: Any) -> bytes:
    return encodable("".join(_laid_out(content, ""))).encode() + b"\n"


def _laid_out(value: Any, indent: str) -> Iterator[str]:
    """JSON with what is short in one line."""
    line = json.dumps(value, ensure_ascii=False, allow_nan=False)
    if len(indent) + len(line) <= _WIDTH or not isinstance(value, dict | list) or not value:
        yield line
        return
    inner, ends = f"{indent} ", "{}" if isinstance(value, dict) else "[]"
    yield ends[0]
    for number, one in enumerate(value.items() if isinstance(value, dict) else value):
        yield f"{',' if number else ''}\n{inner}"
        if isinstance(value, dict):
            yield f"{json.dumps(one[0], ensure_ascii=False)}: "
            one = one[1]
        yield from _laid_out(one, inner)
    yield f"\n{indent}{ends[1]}"


def _pairs_of(path: Path) -> Path:
    return path.with_name(f"{path.name}.pairs")
