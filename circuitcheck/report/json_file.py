"""The JSON report: what schema.json describes."""

import json
from pathlib import Path
from typing import Any

from circuitcheck.records.files import write
from circuitcheck.report.claims import ClaimCollector, LockReport, established
from circuitcheck.texts import encodable
from circuitcheck.version import __version__

SCHEMA = 2


def write_json(path: Path, collector: ClaimCollector, fdr: float | None = None, lock: LockReport | None = None) -> None:
    """Write all that was found. ``established``: the claims that are, at the false discovery rate ``fdr``; None where it was
    not asked. ``lock``: what became of the lock file; None where it was not asked for."""
    content = {
        "schema": SCHEMA,
        "circuitcheck": __version__,
        "models": collector.models(),
        "claims": [claim.as_json() for claim in collector.claims.values()],
        "fdr": fdr,
        "established": None if fdr is None else [claim.nodeid for claim in established(collector, fdr)],
        "lock": None if lock is None else _as_json(lock),
    }
    text = json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False)
    write(path, encodable(text).encode() + b"\n")


def _as_json(lock: LockReport) -> dict[str, Any]:
    return {"holds": lock.holds, "lines": lock.lines, "baseline": lock.baseline or None, "claims": lock.states}
