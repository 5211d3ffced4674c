"""Claims as reports have them, without a run."""

from typing import Any

from circuitcheck.report.claims import Claim, ClaimCollector

_EFFECT = {"label": "patch L1.N8", "unit": "gap", "exact": True, "level": 0.95, "counted": "pairs", "margin": None}


def effect(verdict: str = "supported", estimate: float | None = 0.6, **more: Any) -> dict[str, Any]:
    limits = {"estimate": estimate, "low": estimate, "high": estimate, "n": 8, "operator": ">", "threshold": 0.4}
    return {**_EFFECT, **limits, "e_value": None, "verdict": verdict, **more}


def model(name: str, **more: Any) -> dict[str, Any]:
    return {
        "name": name,
        "fingerprint": f"of {name} {more}",
        "dtype": "float32",
        "weights": "processed",
        "step": None,
        **more,
    }


def claim(nodeid: str, verdict: str = "supported", outcome: str = "passed", words: str = "", **more: Any) -> Claim:
    """A claim of one comparison; of none where it was skipped or undecided."""
    effects = [] if verdict in ("skipped", "undecided") else [effect(verdict)]
    return Claim(nodeid, words, outcome, **{"effects": effects, "model": model("bundled"), **more})


def collected(*claims: Claim) -> ClaimCollector:
    collector = ClaimCollector()
    collector.claims.update({one.nodeid: one for one in claims})
    return collector
