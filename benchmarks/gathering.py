"""Six checkpoints on a Ray cluster of three nodes, one of which is killed in the middle, beside one process that does it all.

python -m benchmarks.gathering          two minutes on two cores; prints JSON, and ends with 1 where anything differs

The nodes are processes of this machine, each with stores of its own. The killed one's stores are deleted. Counted are the numbers that any job
computed, and those that the head had acknowledged and was sent again.
"""

import contextlib
import io
import json
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from circuitcheck.bundled import PATH
from circuitcheck.records.store import NAME
from circuitcheck.report.differences import differences
from circuitcheck.session.commands.gather import gather

_CHECKPOINTS, _NODES = 6, 3
_MODELS = "runs/checkpoint-*"
_CLAIMS = """
import pytest
from circuitcheck import PromptPairs, contrast

FRUIT = PromptPairs(
    "I climbed up the {tree} tree and picked a {tree}. I climbed up the {fruit} tree and picked",
    tree=["pear", "plum", "fig", "mango"], answer=" an", foil=" a",
    fruit=contrast(clean=["apple", "orange", "olive", "onion"], corrupt=["lemon", "banana", "peach", "pear"]),
)

@pytest.mark.parametrize("neuron", range(24))
def test_no_neuron_carries_all_of_it(model, neuron):
    assert model.on(FRUIT).patch(f"L1.N{neuron}") < 0.95

def test_the_last_stream_does(model):
    assert model.on(FRUIT).patch("L2.RESID_POST") > 0.9

def test_without_the_first_head_it_is_there(model):
    assert model.on(FRUIT).ablate("L0.H0", "mean") < 0.9
"""
# In jobs alone: a line for each number that is computed.
_COUNTING = """
import os
from circuitcheck.records.store import Store

keep = Store.keep

def counting(self, rows, origin):
    rows = list(rows)
    with open({log!r}, "a") as file:
        file.writelines(f"{{key.model}} {{key.digest.hex()}} {{pair.hex()}}\\n" for key, pair, *_ in rows)
    return keep(self, rows, origin)

if "CIRCUITCHECK_JOB" in os.environ:
    Store.keep = counting
"""


def main() -> int:
    """Print what was counted; 1 where the two ways do not come to the same."""
    with tempfile.TemporaryDirectory() as place:
        root = Path(place) / "study"
        _make_checkpoints(root / "runs")
        (root / "pytest.ini").write_text("[pytest]\n")
        (root / "test_claims.py").write_text(_CLAIMS)
        one = _decide(root, "one.json", f"--circuit-store={root / 'one.sqlite'}")
        log = Path(place) / "computed"
        (root / "conftest.py").write_text(_COUNTING.format(log=str(log)))
        log.touch()
        found = _gather(root)
        gathered = _decide(root, "gathered.json")
        computed = log.read_text().splitlines()
        found |= {
            "numbers computed in jobs": len(computed),
            "of them different ones": len(set(computed)),
            "one process, seconds": one,
            "deciding afterwards, seconds": gathered,
            "differences of the reports": differences(root / "one.json", root / "gathered.json"),
            "largest difference of numbers": _largest_difference(root / "one.sqlite", root / NAME),
        }
    print(json.dumps(found, indent=2))
    wrong = found["differences of the reports"] or found["acknowledged and computed again"] or found["gather returned"]
    return int(bool(wrong) or not found["killed"] or found["largest difference of numbers"] > 1e-4)


def _make_checkpoints(folder: Path) -> None:
    """Copies of the bundled model, each with a little noise in its weights."""
    for step in range(1, _CHECKPOINTS + 1):
        place = folder / f"checkpoint-{20 * step}"
        place.mkdir(parents=True)
        for file in PATH.glob("*.json"):
            shutil.copy(file, place)
        weights, generator = load_file(PATH / "model.safetensors"), torch.Generator().manual_seed(step)
        for name, weight in sorted(weights.items()):
            weights[name] = weight + 0.002 * weight.std() * torch.randn(weight.shape, generator=generator)
        save_file(weights, place / "model.safetensors", metadata={"format": "pt"})


def _decide(root: Path, report: str, *options: str) -> float:
    began = time.monotonic()
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        f"--circuit-model={_MODELS}",
        f"--circuit-json={report}",
        *options,
    ]
    subprocess.run(command, cwd=root, check=False, capture_output=True)  # noqa: S603 - pytest on claims of our own
    return round(time.monotonic() - began, 1)


def _gather(root: Path) -> dict[str, Any]:
    """Gather on a cluster of which a node is killed."""
    from ray.cluster_utils import Cluster

    size = {"num_cpus": 1, "memory": 2 * 2**30, "object_store_memory": 80 * 2**20}
    cluster = Cluster(initialize_head=True, head_node_args={**size, "include_dashboard": False})
    others = [cluster.add_node(**size) for _ in range(_NODES - 1)]
    killed: list[str] = []
    killer = threading.Thread(target=_kill, args=(cluster, others[-1], killed), daemon=True)
    said, began, before = io.StringIO(), time.monotonic(), Path.cwd()
    try:
        killer.start()
        os.chdir(root)
        with contextlib.redirect_stdout(said):
            code = gather([_MODELS], cluster.address, 0, None, [])
    finally:
        os.chdir(before)
        cluster.shutdown()
    lines = said.getvalue().splitlines()
    home = next(line for line in lines if "came home;" in line)
    return {
        "checkpoints": _CHECKPOINTS,
        "nodes": _NODES,
        "killed": killed,
        "gather returned": code,
        "gather, seconds": round(time.monotonic() - began, 1),
        "jobs begun again": sum("it goes on elsewhere" in line for line in lines),
        "numbers that came home": int(home.split()[0].replace(",", "")),
        "acknowledged and computed again": int(home.partition("home; ")[2].split()[0].replace(",", "")),
    }


def _kill(cluster: Any, node: Any, killed: list[str]) -> None:
    """Kill a node once a job on it has numbers that were acknowledged, and is not finished; its stores are deleted."""
    pattern = f"circuitcheck-{node.node_id[:12]}-*"
    while not killed:
        time.sleep(0.05)
        for store in Path(tempfile.gettempdir()).glob(f"{pattern}/evidence.sqlite"):
            numbers, listed = _counts(store)
            if numbers > listed > -1 and numbers > 100:
                cluster.remove_node(node, allow_graceful=False)
                killed.append(
                    f"with {numbers} numbers in its store, of which at least {numbers - listed} were acknowledged"
                )
    for folder in Path(tempfile.gettempdir()).glob(pattern):
        shutil.rmtree(folder, ignore_errors=True)


def _counts(store: Path) -> tuple[int, int]:
    """The numbers in a store, and how many of them wait to be sent."""
    try:
        with contextlib.closing(sqlite3.connect(f"file:{store}?mode=ro", uri=True)) as connection:
            listed = connection.execute("SELECT COUNT(*) FROM outbox WHERE kind = 'number'").fetchone()[0]
            return connection.execute("SELECT COUNT(*) FROM numbers").fetchone()[0], listed
    except sqlite3.Error:
        return 0, 0


def _largest_difference(one: Path, other: Path) -> float:
    a, b = dict(_numbers(one)), dict(_numbers(other))
    if a.keys() != b.keys():
        return float("inf")
    return max(abs(value - b[key]) for key, value in a.items())


def _numbers(path: Path) -> Iterator[tuple[tuple[bytes, bytes], float]]:
    with contextlib.closing(sqlite3.connect(path)) as connection:
        for key, pair, value in connection.execute(
            "SELECT key, pair, value FROM numbers JOIN experiments ON id = experiment"
        ):
            if isinstance(value, float):
                yield (key, pair), value


if __name__ == "__main__":
    sys.exit(main())
