"""Locks as sessions make them, without a session."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from circuitcheck.records.locks.lock import Lock

METHOD = {
    "verb": "patch",
    "component": "L1.N8",
    "value": "clean",
    "readout": "answer - foil",
    "reference": "",
    "sites": 1,
}
PROMPTS = {"templates": ["The {fruit} is"], "{fruit}": ["apple", "olive"], "answer": [" an"], "foil": [" a"]}
# Of a comparison whose prompts were edited.
EDITED: dict[str, Any] = {"population_id": "q", "prompts": PROMPTS | {"{fruit}": ["apple", "fig"]}}
SETTINGS = {"seed": "0", "budget": 1024, "bound": 2.0, "precision": None, "reference": 256, "drift": None}


def claimed(
    numbers: Sequence[float] = (0.5,) * 8,
    fingerprint: str = "a",
    test: str = "t.py::t",
    words: str = "words",
    asked: str | None = None,
    base: float = 1.0,
    gaps: Sequence[float] | None = None,
    right: Sequence[float] | None = None,
    settings: dict[str, Any] | None = None,
    outcome: str = "passed",
    **changes: Any,
) -> dict[str, Any]:
    """A claim of one comparison, as the JSON report has it, with the shift of each pair. ``changes``: of the comparison."""
    gaps, right = gaps or [14.7] * len(numbers), right or [1.0] * len(numbers)
    effect = {
        "operator": ">", "threshold": 0.1, "margin": None, "unit": "gap", "label": "patch L1.N8", "population": "8 pairs",
        "population_id": "p", "verdict": "supported", "estimate": float(np.mean(numbers)) / base, "low": None, "high": None,
        "exact": True, "level": 0.95, "n": len(numbers), "method": METHOD, "fingerprint": fingerprint, "prompts": PROMPTS,
        "gap": float(np.mean(gaps)), "gap_unit": "logits", "accuracy": float(np.mean(right)),
        "pairs": {f"{n:x}": [number, base, gaps[n], right[n], 1.0] for n, number in enumerate(numbers)},
    }  # fmt: skip
    effect |= changes
    nodeid = test if asked is None else f"{test}[{asked}]"
    said = {
        "nodeid": nodeid,
        "claim": words,
        "outcome": outcome,
        "verdict": effect["verdict"],
        "problem": "",
        "asked": asked,
    }
    return said | {"effects": [effect], "settings": SETTINGS | (settings or {})}


def undecided(problem: str, test: str = "t.py::t", outcome: str = "failed", words: str = "words") -> dict[str, Any]:
    """A claim that came to no comparison."""
    said = {
        "nodeid": test,
        "claim": words,
        "outcome": outcome,
        "verdict": "undecided",
        "problem": problem,
        "asked": None,
    }
    return said | {"effects": []}


def lock_of(*claims: dict[str, Any], dtype: str = "float32", saved: str = "float32") -> Lock:
    """The lock of a session's claims, about models that were run in one dtype and saved in another."""
    models = dict.fromkeys((claim["asked"], claim["effects"][0]["fingerprint"]) for claim in claims if claim["effects"])
    known = {"dtype": dtype, "saved": saved}
    described = [{"asked": asked, "fingerprint": fp, "name": asked or "m"} | known for asked, fp in models]
    return Lock.of_claims(claims, described)  # type: ignore[arg-type]
