"""An entry of a lock: what a claim claims, and its outcome; how it is known, and that it is as a run wrote it."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from circuitcheck.records.locks.numbers import Rows, as_text, rows_of
from circuitcheck.records.report_fields import ClaimFields, EffectFields
from circuitcheck.texts import digest, without

Content = dict[str, Any]
# Rows, or fillers, of a population that are written out.
_WRITTEN_OUT = 200
# Of a method, what varies with the model or the sample, and so is not part of what is claimed.
VARIES = ("reference", "clipped", "sites", "chosen")
_STATED = (
    "label", "operator", "threshold", "margin", "unit", "population", "population_id", "verdict", "estimate", "low", "high",
    "exact", "level", "n", "gap", "gap_unit", "accuracy", "method",
)  # fmt: skip


def entry_of(claim: ClaimFields) -> tuple[Content, list[Rows]]:
    """The entry of a claim, and each comparison's pairs; the claim is as the JSON report has it."""
    numbers = [rows_of(effect.get("pairs", {})) for effect in claim["effects"]]
    entry = {
        "test": claim["nodeid"],
        "claim": claim["claim"].partition("\n")[0],
        "outcome": claim["outcome"],
        "verdict": claim["verdict"],
        "fingerprint": claim["effects"][0]["fingerprint"],
        "asked": claim.get("asked"),
        "settings": dict(claim.get("settings") or {}),
        "effects": [_stated(effect) for effect in claim["effects"]],
        "pairs": digest_of(list(map(as_text, numbers))),
    }
    return sealed(entry), numbers


def sealed(entry: Content) -> Content:
    """An entry with a checksum of itself, so that an edit by hand can be distinguished from a run."""
    content = {name: value for name, value in entry.items() if name != "checksum"}
    return content | {"checksum": digest_of(content)}


def is_sealed(entry: Content) -> bool:
    """Whether an entry, or a population, is as it was written."""
    return bool(sealed(entry)["checksum"] == entry.get("checksum"))


def key_of(claim: ClaimFields, taken: Mapping[str, Content]) -> str:
    """What an entry is known by: 16 hex digits of what is claimed, with a number where several tests claim the same, and with the
    model's name where several were asked."""
    behind = f"@{claim['asked']}" if claim.get("asked") is not None else ""
    identity = identity_of(claim["effects"])
    number, free = 1, f"{identity}{behind}"
    while free in taken:
        number += 1
        free = f"{identity}-{number}{behind}"
    return free


def identity_in(key: str) -> str:
    """Of a key, what is claimed alone."""
    return key.partition("@")[0].partition("-")[0]


def test_of(entry: Content) -> str:
    """Its test without the model's name."""
    return without(entry["test"], entry["asked"]) if entry.get("asked") else str(entry["test"])


def name_of(entry: Content) -> str:
    """The test's name with the claim in words."""
    return f"{entry['test']} ({entry['claim']})" if entry["claim"] else str(entry["test"])


def digest_of(content: Any) -> str:
    """16 hex digits of what JSON takes."""
    return digest(json.dumps(content, sort_keys=True, ensure_ascii=False), 16)


def _stated(effect: EffectFields) -> Content:
    """Of a comparison, what the lock keeps: numbers with seven digits, and of the method what applies."""
    content: Content = {name: _seven(value) for name, value in effect.items() if name in _STATED}
    content["method"] = {name: value for name, value in content["method"].items() if value not in ("", None)}
    stated = {name: content[name] for name in _STATED if name in content}
    if "searched" in effect:
        stated["searched"] = True
    return stated | ({"prompts": digest_of(shortened(effect["prompts"]))} if effect.get("prompts") else {})


def shortened(parts: Mapping[str, list[str]]) -> dict[str, list[str]]:
    """A population in parts, as the lock has it: of very many rows or fillers a hash."""
    return {
        name: texts if len(texts) <= _WRITTEN_OUT else [f"{len(texts)} of them, {digest_of(texts)}"]
        for name, texts in parts.items()
    }


def _seven(value: Any) -> Any:
    return float(f"{value:.7g}") if isinstance(value, float) else value


def identity_of(effects: Sequence[EffectFields]) -> str:
    """16 hex digits of what is claimed."""
    said = [
        {
            "method": {name: value for name, value in effect["method"].items() if name not in VARIES},
            "operator": effect["operator"],
            "unit": effect["unit"],
            "label": effect["label"],
            "population": effect["population_id"],
            "searched": "searched" in effect,
        }
        for effect in effects
    ]
    return digest_of(said)
