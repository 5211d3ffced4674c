"""What a lock file must hold to be compared: its fields, and what may stand in each."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

# Beyond it squares overflow.
_LARGEST = 1e100


@dataclass(frozen=True)
class Kind:
    """What may stand in a field, in words and as a test."""

    words: str
    allows: Callable[[Any], bool]
    optional: bool = False


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < _LARGEST


_TEXT = Kind("text", lambda value: isinstance(value, str))
_NUMBER = Kind("a finite number", _is_number)
_NUMBER_OR_NULL = Kind("a finite number or null", lambda value: value is None or _is_number(value))
_ENTRY = {
    **dict.fromkeys(("test", "claim", "outcome", "verdict", "fingerprint", "pairs"), _TEXT),
    "asked": Kind("text or null", lambda value: value is None or isinstance(value, str), optional=True),
    "effects": Kind("a list of comparisons", lambda value: isinstance(value, list) and bool(value)),
}
_EFFECT = {
    **dict.fromkeys(("unit", "label", "verdict"), _TEXT),
    **dict.fromkeys(("threshold", "estimate"), _NUMBER),
    "operator": Kind("a comparison", lambda value: value in (">", ">=", "<", "<=", "==")),
    "margin": _NUMBER_OR_NULL,
    "level": Kind("a number between 0 and 1", lambda value: _is_number(value) and 0 < value <= 1),
    "exact": Kind("true or false", lambda value: isinstance(value, bool)),
    "method": Kind("an object", lambda value: isinstance(value, dict)),
}
_MODEL = {
    **dict.fromkeys(("fingerprint", "name"), _TEXT),
    "dtype": Kind("text", _TEXT.allows, optional=True),
    "seed": Kind("text", _TEXT.allows, optional=True),
    "asked": _ENTRY["asked"],
}


def problem_of(content: Mapping[str, Any]) -> str:
    """What is wrong with a lock, in a line; empty where nothing is."""
    claims, models = content.get("claims"), content.get("models", [])
    if not isinstance(claims, dict):
        return "it has no claims"
    if not isinstance(models, list):
        return f"its models are {_shown(models)}, not a list"
    return next(_problems(claims, models), "")


def problem_of_pairs(numbers: Mapping[str, Any]) -> str:
    """What is wrong with the pairs' numbers beside a lock, in a line; empty where nothing is."""
    for key, texts in numbers.items():
        if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
            return f"the numbers of claim {key} are {_shown(texts)}, not a list of texts"
        for one in (one for text in texts for one in text.split()):
            if not _is_pair(one):
                return f"claim {key}: {_shown(one)} is no pair's number"
    return ""


def _problems(claims: Mapping[str, Any], models: list[Any]) -> Iterator[str]:
    for number, model in enumerate(models):
        yield from _wrong(f"model {number}", model, _MODEL)
    for key, entry in claims.items():
        entry_is_wrong = False
        for problem in _wrong(f"claim {key}", entry, _ENTRY):
            entry_is_wrong = True
            yield problem
        for number, effect in enumerate([] if entry_is_wrong else entry["effects"]):
            yield from _wrong(f"claim {key}, comparison {number}", effect, _EFFECT)


def _wrong(place: str, content: Any, fields: Mapping[str, Kind]) -> Iterator[str]:
    if not isinstance(content, dict):
        yield f"{place} is {_shown(content)}, not an object"
        return
    for name, kind in fields.items():
        if name in content and not kind.allows(content[name]):
            yield f"{place}: {name} is {_shown(content[name])}, not {kind.words}"
        elif name not in content and not kind.optional:
            yield f"{place} has no {name}"


def _is_pair(text: str) -> bool:
    _, equals, number = text.partition("=")
    try:
        return bool(equals) and abs(float(number)) < _LARGEST
    except ValueError:
        return False


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:59]}…"
