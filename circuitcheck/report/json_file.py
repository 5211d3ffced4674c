"""The JSON report."""

import json
from pathlib import Path

from circuitcheck.report.claims import ClaimCollector, established

SCHEMA = 1


def write_json(path: Path, collector: ClaimCollector, fdr: float | None = None) -> None:
    """Write ``{"schema", "model", "claims"}``; ``model`` is the first one, ``models`` are all. ``established``: the claims
    that are, at the false discovery rate ``fdr``; None where it was not asked."""
    models = collector.models()
    content = {
        "schema": SCHEMA,
        "model": models[0] if models else None,
        "models": models,
        "fdr": fdr,
        "established": None if fdr is None else [claim.nodeid for claim in established(collector, fdr)],
        "claims": [claim.as_json() for claim in collector.claims.values()],
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8")
