"""The lock file: what was claimed, of which model, and what came of it, committed beside the hypotheses.

    pytest hypotheses --circuit-lock=update     writes circuitcheck.lock, and each pair's numbers beside it
    pytest hypotheses --circuit-lock=check      says what has changed since

A claim is known by what it claims (method, population, unit, operator), not by its test's name, its threshold or its
model; where several models were asked, by the name that each was asked by, too. Every entry carries a hash of itself, so that an edit by hand is told from a run.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from circuitcheck.errors import LockError
from circuitcheck.records.files import is_special, one_at_a_time, reason, write_together
from circuitcheck.records.lock_fields import problem_of, problem_of_pairs
from circuitcheck.records.report_fields import ClaimFields, EffectFields, ModelFields
from circuitcheck.texts import digest, encodable

NAME = "circuitcheck.lock"
# Of the first format, fingerprints are of an older definition (see ``identity.DEFINITION``), and compare with no others; of the
# first two, the names of reference sets are, and models have no seed.
FORMAT = 3
FORMATS = (1, 2, 3)
# Of a method, what varies with the model or the sample, and so is not part of what is claimed.
VARIES = ("reference", "clipped", "sites", "chosen")
_STATED: tuple[str, ...] = (
    "operator", "threshold", "margin", "unit", "label", "population", "population_id", "verdict", "estimate", "low", "high", "exact",
    "level", "n", "method",
)  # fmt: skip

_AGAIN = "take it from version control again, or write a new one: --circuit-lock=update --circuit-accept-weaker"

Content = dict[str, Any]


@dataclass(frozen=True)
class Lock:
    """Claims by their identity, and of each effect of each claim the pairs' numbers by the pair's identity."""

    claims: dict[str, Content]
    pairs: dict[str, list[dict[str, float]]]
    models: list[Content]
    format: int = FORMAT

    def same_fingerprints(self, other: "Lock") -> bool:
        """Whether a model has the same fingerprint in both, unless it has changed."""
        return (self.format == 1) == (other.format == 1)

    @staticmethod
    def of_claims(claims: Sequence[ClaimFields], models: Sequence[ModelFields]) -> "Lock":
        """What a session found: claims as the JSON report has them, each effect with its ``pairs``' numbers."""
        entries: dict[str, Content] = {}
        pairs: dict[str, list[dict[str, float]]] = {}
        for claim in sorted((one for one in claims if one["effects"]), key=lambda one: str(one["nodeid"])):
            key = _free(_identity(claim["effects"]), claim.get("asked"), entries)
            numbers = [effect.get("pairs", {}) for effect in claim["effects"]]
            pairs[key] = numbers
            entry = {
                "test": claim["nodeid"],
                "claim": claim["claim"].partition("\n")[0],
                "outcome": claim["outcome"],
                "verdict": claim["verdict"],
                "fingerprint": claim["effects"][0]["fingerprint"],
                "asked": claim.get("asked"),
                "effects": [
                    {name: stated for name, stated in effect.items() if name in _STATED} for effect in claim["effects"]
                ],
                "pairs": _digest(numbers),
            }
            entries[key] = entry | {"checksum": _digest(entry)}
        return Lock(
            entries,
            pairs,
            [*map(dict, sorted(models, key=lambda model: (str(model.get("asked")), model["fingerprint"])))],
        )

    @staticmethod
    def read(path: Path) -> "Lock":
        """A lock file with its numbers. Raises ``LockError`` for one that is not there, or holds what no lock does."""
        try:
            with one_at_a_time(path.parent):  # the two files of one update
                content = _json(path, "--circuit-lock=update writes it")
                numbers = _json(_beside(path), _AGAIN)
        except TimeoutError as error:
            raise LockError(f"{path} cannot be read: {reason(error)}") from None
        if content.get("format") not in FORMATS:
            raise LockError(
                f"{path} is a lock of format {content.get('format')!r}, and this circuitcheck reads formats up to {FORMAT}"
            )
        if problem := problem_of(content):
            raise LockError(f"{path} is not a lock file: {problem}; {_AGAIN}")
        if problem := problem_of_pairs(numbers):
            raise LockError(f"{_beside(path)} does not belong to a lock file: {problem}; {_AGAIN}")
        pairs = {key: [_numbers(text) for text in texts] for key, texts in numbers.items()}
        return Lock(content["claims"], pairs, content.get("models", []), content["format"])

    def write(self, path: Path) -> None:
        """Write both files, or neither. Raises ``OSError``."""
        content = {"format": self.format, "models": self.models, "claims": self.claims}
        texts = {key: [_text(numbers) for numbers in effects] for key, effects in self.pairs.items()}
        write_together({_beside(path): _bytes(texts), path: _bytes(content)})

    def edited(self) -> dict[str, str]:
        """The entries that are not as a run wrote them, with what is wrong with each."""
        found = {}
        for key, entry in self.claims.items():
            content = {name: value for name, value in entry.items() if name != "checksum"}
            if _digest(content) != entry.get("checksum"):
                found[key] = "was edited by hand"
            elif _digest(self.pairs.get(key)) != entry["pairs"]:
                found[key] = "has other numbers of its pairs beside it than were written"
        return found


def _identity(effects: Sequence[EffectFields]) -> str:
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
    return _digest(said)


def _free(identity: str, asked: str | None, taken: Mapping[str, Content]) -> str:
    """The identity, numbered where several tests claim the same, with the model behind it where several were asked."""
    behind = "" if asked is None else f"@{asked}"
    number, free = 1, f"{identity}{behind}"
    while free in taken:
        number += 1
        free = f"{identity}-{number}{behind}"
    return free


def _numbers(text: str) -> dict[str, float]:
    return {pair: float(number) for pair, _, number in (one.partition("=") for one in str(text).split())}


def _text(numbers: Mapping[str, float]) -> str:
    return " ".join(f"{pair}={number:.7g}" for pair, number in numbers.items())


def _digest(content: Any) -> str:
    text = json.dumps(content, sort_keys=True, ensure_ascii=False)
    return digest(text, 16)


def _bytes(content: Any) -> bytes:
    text = json.dumps(content, indent=1, ensure_ascii=False, sort_keys=True, allow_nan=False)
    return encodable(text).encode() + b"\n"


def _beside(path: Path) -> Path:
    return path.with_name(f"{path.name}.pairs")


def _json(path: Path, where_missing: str) -> Content:
    if is_special(path):
        raise LockError(f"{path} is a device or a pipe, and no lock file can be read from it")
    try:
        content = json.loads(path.read_text(encoding="utf-8"), parse_constant=_no_constant)
        json.dumps(content)  # or its checksum cannot be made: it is nested too deep
    except FileNotFoundError:
        raise LockError(f"there is no {path}: {where_missing}") from None
    except (OSError, ValueError, RecursionError) as error:
        raise LockError(f"{path} cannot be read ({reason(error)}). {_AGAIN}") from None
    if not isinstance(content, dict):
        raise LockError(f"{path} is not a lock file; {_AGAIN}")
    return content


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is no number of JSON")
