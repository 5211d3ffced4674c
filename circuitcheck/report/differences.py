"""What differs between two JSON reports: every value of every claim."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from circuitcheck.errors import CircuitError

# In the place of what one of the reports does not have.
_NOTHING = object()


def differences(old: Path, new: Path) -> list[str]:
    """A line for each value that is not the same in both; raises ``CircuitError`` for a file that is no report."""
    before, after = _claims(old), _claims(new)
    lines = [f"{name}: only in {old if name in before else new}" for name in before.keys() ^ after.keys()]
    try:
        for name in before.keys() & after.keys():
            lines += [f"{name}: {line}" for line in _between("", before[name], after[name])]
    except RecursionError:
        raise CircuitError(f"{old} or {new} is no report of --circuit-json: it is nested too deep") from None
    return sorted(lines)


def _claims(path: Path) -> dict[str, Any]:
    """The claims of a report by their test."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return {claim["nodeid"]: claim for claim in content["claims"]}
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise CircuitError(
            f"{path} is no report of --circuit-json ({type(error).__name__}: {error}); write one with "
            "pytest hypotheses --circuit-json=PATH"
        ) from None


def _between(place: str, old: Any, new: Any) -> Iterator[str]:
    """What differs below a place of a claim."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key in dict.fromkeys([*old, *new]):
            yield from _between(f"{place}.{key}".lstrip("."), old.get(key, _NOTHING), new.get(key, _NOTHING))
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        for number, (one, other) in enumerate(zip(old, new, strict=True)):
            yield from _between(f"{place}[{number}]", one, other)
    elif _whole(old) != _whole(new):
        yield f"{place}: {_short(old)} -> {_short(new)}"


def _whole(value: Any) -> str:
    return "nothing" if value is _NOTHING else json.dumps(value, ensure_ascii=False, sort_keys=True)


def _short(value: Any) -> str:
    text = _whole(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
