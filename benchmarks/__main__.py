"""One table: circuitcheck and its peers on the same pairs, in one process.

python -m benchmarks          GPT-2-small shape, a few minutes on two cores
python -m benchmarks --profile  what one claim of GPT-2-Large shape spends its time on
python -m benchmarks --full   GPT-2-Large shape as well: three quarters of an hour on two cores
"""

import argparse
import json
import platform
import sys
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import torch

from benchmarks.profiled import profile
from benchmarks.table import as_markdown
from benchmarks.workplace import SHAPES
from benchmarks.works import Bench

_VERSIONS = ("circuitcheck", "torch", "transformers", "transformer_lens", "nnsight", "pyvene")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--full", action="store_true", help="GPT-2-Large shape as well")
    parser.add_argument("--runs", type=int, default=3, help="alternating runs of each (default 3)")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--json", type=Path, default=Path("bench.json"), help="where to write the numbers")
    parser.add_argument(
        "--profile", action="store_true", help="profile one claim on a head of GPT-2-Large shape instead"
    )
    given = parser.parse_args()
    if given.profile:
        print(profile(next(iter(SHAPES)), given.device))
        return
    shapes = list(SHAPES) if given.full else list(SHAPES)[-1:]
    found = {
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "machine": f"{platform.processor() or platform.machine()}, {torch.get_num_threads()} threads, {given.device}",
        "versions": {name: version(name) for name in _VERSIONS},
        "runs": given.runs,
        "tables": {},
    }
    for shape in shapes:
        pairs = 64 if given.full else 16
        bench = Bench(shape, pairs=pairs, runs=given.runs, device=given.device, sweep=None if given.full else 512)
        found["tables"][shape] = bench.table()
        given.json.write_text(json.dumps(found, indent=1) + "\n")
    print(as_markdown(found))
    print(f"written to {given.json}", file=sys.stderr)


if __name__ == "__main__":
    main()
