"""Counterexamples that stay: a readable file for each, tried first the next time.

.circuitcheck/counterexamples/3f2a91c07d5e-118.json

A file belongs to a claim (a population, an effect and the way it is compared, not its threshold), to a combination of
fillers and to the model that it was found on: another one tries it too, and says nothing of what it never broke. No run deletes one: ``circuitcheck replay --prune`` does, for those that break their claim no more: neither as it is
now nor as it was when they were found, since a looser threshold mends nothing.
"""

import json
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from circuitcheck import ledger
from circuitcheck.records.fields import NUMBER, TEXT, Kind, is_number, wrong
from circuitcheck.records.files import is_special, told_in_a_line, write
from circuitcheck.records.report_fields import ModelFields
from circuitcheck.texts import digest, encodable

if TYPE_CHECKING:
    from circuitcheck.prompts.pairs import Pair

FOLDER = Path(".circuitcheck") / "counterexamples"
SCHEMA = 2
_SAID = Kind("text or token ids", lambda value: isinstance(value, str | list))
_ANSWER = Kind("tokens", lambda value: isinstance(value, list))  # texts, ids, or lists of ids
_FIELDS = {
    "schema": Kind(f"{SCHEMA}", lambda value: is_number(value) and value == SCHEMA),
    **dict.fromkeys(("claim", "said", "test"), TEXT),
    "operator": Kind("a comparison", lambda value: isinstance(value, str) and value in BADNESS),
    "threshold": NUMBER,
    "number": Kind("a whole number or null", lambda value: value is None or (is_number(value) and value == int(value))),
    **dict.fromkeys(("clean", "corrupt"), _SAID),
    **dict.fromkeys(("answer", "foil"), _ANSWER),
}
# By how much a number breaks a claim, over 0.
BADNESS: dict[str, Callable[[float, float], float]] = {
    ">": lambda found, threshold: threshold - found,
    ">=": lambda found, threshold: threshold - found,
    "<": lambda found, threshold: found - threshold,
    "<=": lambda found, threshold: found - threshold,
}


@dataclass(frozen=True)
class Known:
    """One file, what was written in it, and when (seconds since 1970)."""

    path: Path
    content: dict[str, Any]
    written: float

    @property
    def nodeid(self) -> str:
        """The test that found it."""
        return str(self.content["test"])

    @property
    def model(self) -> str:
        """The name of the model that it breaks the claim on."""
        said = self.content.get("model")
        return str(said.get("name")) if isinstance(said, dict) else ""

    def badness(self, found: float) -> float:
        """By how much a number breaks the claim as it was when the counterexample was found, over 0."""
        return BADNESS[self.content["operator"]](found, self.content["threshold"])


@dataclass(frozen=True)
class Counterexamples:
    """A folder of counterexamples. Those that are found after ``began`` (seconds since 1970) are kept there, and are not known
    to the claims that are being decided: what one of them starts from must not depend on which others came first."""

    folder: Path
    began: float = field(default_factory=time.time)


@dataclass(frozen=True)
class Shelf:
    """The counterexamples of one claim (``of`` None: nothing is kept)."""

    of: Counterexamples | None
    claim: str

    def known(self) -> list[Known]:
        """Those that were found before, whatever the threshold was."""
        if self.of is None:
            return []
        found = [one for one in read(self.of.folder) if one.content["claim"] == self.claim]
        return [one for one in found if one.written < self.of.began]

    def keep(
        self, number: int | None, pair: "Pair", found: float, claim: tuple[str, str, float], model: ModelFields
    ) -> None:
        """Write a counterexample, unless its file is there and whole. ``number``: among the combinations of its population; ``claim``:
        what was claimed to be above or below which threshold."""
        if self.of is None:
            return
        label, operator, threshold = claim
        row = pair.as_row()
        name = digest(json.dumps(row)) if number is None else number
        path = self.of.folder / f"{self.claim}-{name}.json"
        if (there := _read(path)) is not None and there.model != model["name"]:
            path = self.of.folder / f"{self.claim}-{name}-{digest(model['name'], 6)}.json"
        if _read(path) is not None or _is_newer(path):
            return
        content = {
            "schema": SCHEMA,
            "claim": self.claim,
            "said": f"{label} {operator} {threshold:g}",
            "operator": operator,
            "threshold": threshold,
            "test": ledger.current().test,
            "number": number,
            **row,
            "slots": {name: [clean, corrupt] for name, clean, corrupt in pair.fillers},
            "effect": found,
            "model": {"name": model["name"], "fingerprint": model["fingerprint"], "dtype": model["dtype"]},
            "versions": {name: version(name) for name in ("circuitcheck", "transformer_lens", "torch")},
        }
        with told_in_a_line(ledger.current().unwritten, f"could not write {path}"):
            write(path, encodable(json.dumps(content, indent=2, ensure_ascii=False) + "\n").encode())


def read(folder: Path) -> list[Known]:
    """All counterexamples of a folder; a file that is none of ours, or damaged, is left alone."""
    paths = sorted(folder.glob("*.json")) if os.path.isdir(folder) else []
    return [known for path in paths if (known := _read(path)) is not None]


def _read(path: Path) -> Known | None:
    """A counterexample; None for a file that holds none, half of one, or what no counterexample does."""
    try:
        if is_special(path):  # a pipe would be waited for
            return None
        content = json.loads(path.read_text(encoding="utf-8"))
        if isinstance(content, dict) and content.get("schema") == 1:  # which told the threshold in words alone
            *_, content["operator"], threshold = str(content.get("said")).split()
            content |= {"schema": SCHEMA, "threshold": float(threshold)}
        if next(wrong(path.name, content, _FIELDS), ""):
            return None
        return Known(path, content, path.stat().st_mtime)
    except (ValueError, OSError, RecursionError):
        return None


def _is_newer(path: Path) -> bool:
    """Whether a file is a counterexample of a version to come."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, OSError, RecursionError):
        return False
    schema = content.get("schema", 0) if isinstance(content, dict) else 0
    return is_number(schema) and bool(schema > SCHEMA)
