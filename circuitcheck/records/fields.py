"""What may stand in the fields of a file that somebody else may have written, and what is wrong with one, in a line.

fields = {"test": TEXT, "threshold": NUMBER, "asked": TEXT_OR_NULL.or_missing}
next(wrong("claim 3f2a", {"test": 7}, fields))     # 'claim 3f2a: test is 7, not text'
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

# Beyond it squares overflow.
LARGEST = 1e100


@dataclass(frozen=True)
class Kind:
    """What may stand in a field, in words and as a test."""

    words: str
    allows: Callable[[Any], bool]
    optional: bool = False

    @property
    def or_missing(self) -> "Kind":
        """The same of a field that need not be there."""
        return replace(self, optional=True)


def is_number(value: Any) -> bool:
    """Whether it is a finite number that can be reckoned with."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < LARGEST


def is_plain(value: Any) -> bool:
    """Whether it is text, a number, true, false or null."""
    return value is None or isinstance(value, str | bool) or is_number(value)


TEXT = Kind("text", lambda value: isinstance(value, str))
TEXT_OR_NULL = Kind("text or null", lambda value: value is None or isinstance(value, str))
NUMBER = Kind("a finite number", is_number)
NUMBER_OR_NULL = Kind("a finite number or null", lambda value: value is None or is_number(value))


def wrong(place: str, content: Any, fields: Mapping[str, Kind]) -> Iterator[str]:
    """What is wrong with the fields of an object that stands at a place, a line each; fields of other names may be anything."""
    if not isinstance(content, dict):
        yield f"{place} is {shown(content)}, not an object"
        return
    for name, kind in fields.items():
        if name in content and not kind.allows(content[name]):
            yield f"{place}: {name} is {shown(content[name])}, not {kind.words}"
        elif name not in content and not kind.optional:
            yield f"{place} has no {name}"


def shown(value: Any) -> str:
    """A value, as much of it as a line takes."""
    try:
        text = repr(value)
    except RecursionError:
        text = "something nested too deep"
    return text if len(text) <= 60 else f"{text[:59]}…"
