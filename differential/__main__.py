"""circuitcheck compared with plain transformers, over every architecture that both sides can make a small random model of.

python -m differential                          all architectures, float32 and bfloat16
python -m differential LlamaForCausalLM         some
python -m differential --page docs/reference/models.md    write the table there
"""

import argparse
import json
import os
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict
from importlib.metadata import version
from multiprocessing import get_context
from pathlib import Path

import torch
import transformers

from differential.comparison import DTYPES, INTERVENTIONS, Finding, compared, failed, told
from differential.configurations import ARCHITECTURES, saved
from differential.table import as_markdown, write

_VERSIONS = ("circuitcheck", "torch", "transformers", "transformer_lens")
_SECONDS = 10  # of one architecture, in both dtypes, on one core


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m differential", description=__doc__)
    parser.add_argument(
        "architectures", nargs="*", metavar="ARCHITECTURE", help="such as LlamaForCausalLM (default: all)"
    )
    parser.add_argument("--dtype", action="append", choices=DTYPES, help="default: all")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="processes (default: one a core)")
    parser.add_argument("--json", type=Path, default=Path("differential.json"), help="where to write all numbers")
    parser.add_argument("--page", type=Path, help="the page in which to write the table")
    given = parser.parse_args(arguments)
    names, dtypes = given.architectures or list(ARCHITECTURES), given.dtype or list(DTYPES)
    if unknown := [name for name in names if name not in ARCHITECTURES]:
        parser.error(f"no architecture {', '.join(unknown)} here; there are {', '.join(ARCHITECTURES)}")
    workers = min(given.workers, len(names))
    minutes = _SECONDS * len(names) * len(dtypes) / len(DTYPES) / workers / 60
    print(
        f"{len(names)} architectures in {' and '.join(dtypes)}, {len(INTERVENTIONS)} interventions in each: "
        f"about {max(1, round(minutes))} minutes in {workers} processes",
        file=sys.stderr,
    )
    found: dict[str, list[Finding]] = {}
    for name, findings, seconds in _all(names, dtypes, workers):
        found[name] = findings
        print(
            f"{len(found):3} of {len(names)}  {name}: {told(findings)} ({seconds:.0f} s)", file=sys.stderr, flush=True
        )
    found = {name: found[name] for name in names}
    versions = {name: version(name) for name in _VERSIONS}
    numbers = {name: [asdict(one) for one in findings] for name, findings in found.items()}
    given.json.write_text(json.dumps({"versions": versions, "architectures": numbers}, indent=1) + "\n")
    print(as_markdown(found))
    if given.page:
        write(given.page, found)
    wrong = [one for findings in found.values() for one in findings if failed(one)]
    for one in wrong:
        what = one.reason or f"{one.numbers}, which may differ by {one.reach:.2g}"
        print(f"WRONG {one.architecture} {one.dtype}, {one.group}: {one.what}: {what}", file=sys.stderr)
    print(f"written to {given.json}; {len(wrong)} failures", file=sys.stderr)
    return 1 if wrong else 0


def _all(names: list[str], dtypes: list[str], workers: int) -> Iterator[tuple[str, list[Finding], float]]:
    """What came of each architecture, as soon as it is there."""
    with ProcessPoolExecutor(workers, get_context("fork"), _quiet) as pool:
        running = {pool.submit(_one, name, dtypes): name for name in names}
        for done in as_completed(running):
            name = running[done]
            try:
                yield name, *done.result()
            except Exception as error:  # the process has ended
                yield name, [_crash(name, dtypes[0], error)], 0.0


def _one(name: str, dtypes: list[str]) -> tuple[list[Finding], float]:
    """What came of one architecture; one that crashes is a finding."""
    found: list[Finding] = []
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        for dtype in dtypes:
            try:
                found += compared(name, saved(name, Path(folder) / dtype / name, dtype), dtype)
            except Exception as error:
                found.append(_crash(name, dtype, error))
    return found, time.perf_counter() - began


def _crash(name: str, dtype: str, error: Exception) -> Finding:
    return Finding(name, dtype, "base run", "the comparison", "error", reason=f"{type(error).__name__}: {error}")


def _quiet() -> None:
    warnings.simplefilter("ignore")
    transformers.logging.set_verbosity(50)
    transformers.logging.disable_progress_bar()
    torch.set_num_threads(1)


if __name__ == "__main__":
    sys.exit(main())
