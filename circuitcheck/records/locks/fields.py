"""What a lock file must hold to be compared: its fields, and what may stand in each."""

from collections.abc import Iterator, Mapping
from typing import Any

from circuitcheck.records.fields import (
    NUMBER,
    NUMBER_OR_NULL,
    TEXT,
    TEXT_OR_NULL,
    Kind,
    is_number,
    is_plain,
    shown,
    wrong,
)
from circuitcheck.records.locks.numbers import read

_OBJECT = Kind(
    "an object of texts and numbers", lambda value: isinstance(value, dict) and all(map(is_plain, value.values()))
)
_ENTRY = {
    **dict.fromkeys(("test", "claim", "outcome", "verdict", "fingerprint", "pairs"), TEXT),
    "asked": TEXT_OR_NULL.or_missing,
    "settings": Kind(
        "an object of texts and numbers, whose drift is above 0",
        lambda value: _OBJECT.allows(value) and (value.get("drift") is None or _is_above_0(value["drift"])),
    ).or_missing,
    "normalised": Kind("true or false", lambda value: isinstance(value, bool)).or_missing,
    "effects": Kind("a list of comparisons", lambda value: isinstance(value, list) and bool(value)),
}
_EFFECT = {
    **dict.fromkeys(("unit", "label", "verdict"), TEXT),
    "threshold": NUMBER,
    "estimate": NUMBER_OR_NULL,  # null where there is no number
    "operator": Kind("a comparison", lambda value: value in (">", ">=", "<", "<=", "==")),
    "margin": NUMBER_OR_NULL,
    "level": Kind("a number between 0 and 1", lambda value: is_number(value) and 0 < value <= 1),
    "exact": Kind("true or false", lambda value: isinstance(value, bool)),
    "method": _OBJECT,
    "searched": Kind("true or false", lambda value: isinstance(value, bool)).or_missing,
    **dict.fromkeys(("gap", "accuracy"), NUMBER_OR_NULL.or_missing),
    **dict.fromkeys(("population_id", "prompts", "gap_unit"), TEXT.or_missing),
}
_PARTS = Kind("lists of texts", lambda value: isinstance(value, list) and all(isinstance(text, str) for text in value))
_MODEL = {
    **dict.fromkeys(("fingerprint", "name"), TEXT),
    **dict.fromkeys(
        ("architecture", "weights", "dtype", "saved", "torch", "transformer_lens", "seed"), TEXT.or_missing
    ),
    **dict.fromkeys(("layers", "bos"), NUMBER_OR_NULL.or_missing),
    "asked": _ENTRY["asked"],
}


def problem_of(content: Mapping[str, Any]) -> str:
    """What is wrong with a lock, in a line; empty where nothing is."""
    claims, models, populations = content.get("claims"), content.get("models", []), content.get("populations", {})
    if not isinstance(claims, dict):
        return "it has no claims"
    if not isinstance(models, list):
        return f"its models are {shown(models)}, not a list"
    if not isinstance(populations, dict):
        return f"its populations are {shown(populations)}, not an object"
    for key, parts in populations.items():
        if problem := next(
            wrong(f"population {key}", parts, dict.fromkeys(parts if isinstance(parts, dict) else (), _PARTS)), ""
        ):
            return problem
    return next(_problems(claims, models), "")


def problem_of_pairs(numbers: Mapping[str, Any]) -> str:
    """What is wrong with the pairs' numbers of a lock's second file, in a line; empty where nothing is."""
    for key, texts in numbers.items():
        if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
            return f"the numbers of claim {key} are {shown(texts)}, not a list of texts"
        for one in (one for text in texts for one in text.split()):
            if not _is_pair(one):
                return f"claim {key}: {shown(one)} is no pair's number"
    return ""


def _problems(claims: Mapping[str, Any], models: list[Any]) -> Iterator[str]:
    for number, model in enumerate(models):
        yield from wrong(f"model {number}", model, _MODEL)
    for key, entry in claims.items():
        entry_is_wrong = False
        for problem in wrong(f"claim {key}", entry, _ENTRY):
            entry_is_wrong = True
            yield problem
        for number, effect in enumerate([] if entry_is_wrong else entry["effects"]):
            yield from wrong(f"claim {key}, comparison {number}", effect, _EFFECT)


def _is_above_0(value: Any) -> bool:
    return is_number(value) and value > 0


def _is_pair(text: str) -> bool:
    try:
        return "=" in text and bool(read(text))
    except ValueError:
        return False
