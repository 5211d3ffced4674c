"""Counterexamples that stay: a readable file for each, tried first the next time.

.circuitcheck/counterexamples/3f2a91c07d5e-118.json

A file belongs to a claim (a population, an effect and the way it is compared, not its threshold) and to a combination of
fillers. No run deletes one: ``circuitcheck replay --prune`` does, for those that break their claim no more.
"""

import json
import os
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from circuitcheck import ledger
from circuitcheck.records.files import told_in_a_line, write
from circuitcheck.texts import digest, encodable

if TYPE_CHECKING:
    from circuitcheck.prompts.pairs import Pair

SCHEMA = 1


@dataclass(frozen=True)
class Known:
    """One file, and what was written in it."""

    path: Path
    content: dict[str, Any]

    @property
    def nodeid(self) -> str:
        """The test that found it."""
        return str(self.content["test"])


@dataclass(frozen=True)
class Shelf:
    """The counterexamples of one claim, in a folder (None: nothing is kept)."""

    folder: Path | None
    claim: str

    def known(self) -> list[Known]:
        """Those that were found before, whatever the threshold was."""
        return [one for one in read(self.folder) if one.content["claim"] == self.claim]

    def keep(self, number: int | None, pair: "Pair", found: float, said: str, model: dict[str, Any]) -> None:
        """Write a counterexample, unless its file is there. ``number``: among the combinations of its population."""
        if self.folder is None:
            return
        row = pair.as_row()
        name = digest(json.dumps(row)) if number is None else number
        path = self.folder / f"{self.claim}-{name}.json"
        if os.path.lexists(path):
            return
        content = {
            "schema": SCHEMA,
            "claim": self.claim,
            "said": said,
            "test": ledger.current().test,
            "number": number,
            **row,
            "slots": {name: [clean, corrupt] for name, clean, corrupt in pair.fillers},
            "effect": found,
            "model": {key: model[key] for key in ("name", "fingerprint", "dtype")},
            "versions": {name: version(name) for name in ("circuitcheck", "transformer_lens", "torch")},
        }
        with told_in_a_line(ledger.current().unwritten, f"could not write {path}"):
            write(path, encodable(json.dumps(content, indent=2, ensure_ascii=False) + "\n").encode())


def read(folder: Path | None) -> list[Known]:
    """All counterexamples of a folder; a file that is none of ours, or damaged, is left alone."""
    found = []
    for path in sorted(folder.glob("*.json")) if folder is not None and os.path.isdir(folder) else []:
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            parts = ("said", "number", "clean", "corrupt", "answer", "foil")
            is_ours = (
                content["schema"] == SCHEMA
                and isinstance(content["claim"], str)
                and all(map(content.__contains__, parts))
            )
            if is_ours and not str(content["test"]).startswith("-"):  # a test's name, and no option of pytest's
                found.append(Known(path, content))
        except (ValueError, KeyError, TypeError, OSError, RecursionError):
            continue
    return found
