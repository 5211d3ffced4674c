"""A run that is killed at a random moment: the store stays whole, and what was finished is never computed again."""

import json
import os
import random
import signal
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from circuitcheck import load
from circuitcheck.records.store import NAME, Store
from circuitcheck.records.store_files import check
from tests.conftest import HEAD

SUITE = """
NOUNS = PromptPairs(
    "We looked for the {noun} and found", answer=" an", foil=" a",
    noun=contrast(clean=["eagle", "engine", "apple", "olive"], corrupt=["lemon", "window", "bottle", "peach"]),
)
def test_restores(model):
    assert model.on(FRUIT).patch("L1.N8") > 0.4
def test_needed(model):
    assert model.on(NOUNS).ablate("L1.N8", "mean") > 0.3
def test_circuit(model):
    assert model.on(FRUIT).keep("L*.H* | L1.N8") > 0.5
def test_all_heads(model):
    assert model.on(NOUNS).patch("L*.H*") > 0.9
def test_every(model):
    assert model.on(NOUNS, readout="probability").patch("L1.N8").each > -1
def test_attends(model):
    assert model.on(FRUIT).attention("L0.H0", source="{fruit}") >= 0
"""
TRIALS = 50


@pytest.fixture
def _one_thread() -> Iterator[None]:
    """A process that is forked has none of the others' threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    load("bundled")
    yield
    torch.set_num_threads(before)


def claims_of(folder: Path) -> Any:
    return json.loads((folder / "found.json").read_text())["claims"]


def go(folder: Path) -> int:
    """A process of its own that runs the claims; it notes how many numbers it wrote, and how many were there before."""
    if child := os.fork():
        return child
    try:
        os.chdir(folder)
        with open(os.devnull, "w") as nothing:
            os.dup2(nothing.fileno(), 1)
            os.dup2(nothing.fileno(), 2)
        keep = Store.keep

        def counted(self: Store, rows: Any) -> int:
            new = keep(self, listed := list(rows))
            with open("written", "a") as file:
                file.write(f"{len(listed)} {new}\n")
            return new

        Store.keep = counted  # type: ignore[method-assign]
        options = [
            "-p",
            "no:cacheprovider",
            "-p",
            "no:faulthandler",
            "--circuit-model=bundled",
            "--circuit-json=found.json",
        ]
        os._exit(int(pytest.main([*options, f"--rootdir={folder}", "test_claims.py"])))
    finally:
        os._exit(99)


def wait_until_it_writes(folder: Path) -> None:
    deadline = time.monotonic() + 60
    while not (folder / "written").exists() and time.monotonic() < deadline:
        time.sleep(0.001)


def ended(child: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def rows(folder: Path) -> set[tuple[Any, ...]]:
    connection = sqlite3.connect(folder / NAME)
    found = connection.execute(
        "SELECT key, pair, value, beside FROM numbers JOIN experiments ON id = experiment"
    ).fetchall()
    connection.close()
    return set(found)


def same(one: Any, other: Any) -> bool:
    """Equal to within what another batch rounds to."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    return one == pytest.approx(other, abs=1e-4) if isinstance(one, float) else bool(one == other)


@pytest.mark.slow
@pytest.mark.usefixtures("_one_thread")
def test_killed_at_any_moment_it_loses_nothing_and_computes_nothing_twice(tmp_path: Path) -> None:
    def made(name: str) -> Path:
        folder = tmp_path / name
        folder.mkdir()
        (folder / "test_claims.py").write_text(HEAD + SUITE)
        (folder / "pytest.ini").write_text("[pytest]\n")
        return folder

    whole = made("whole")
    start = time.monotonic()
    child = go(whole)
    wait_until_it_writes(whole)
    writes_from = time.monotonic()
    assert ended(child) == 0
    takes, writes_for = time.monotonic() - start, time.monotonic() - writes_from
    expected, everything = claims_of(whole), rows(whole)
    assert len(everything) > 200
    chance, at_work = random.Random(0), 0
    for trial in range(TRIALS):
        folder = made(f"trial{trial}")
        child = go(folder)
        if trial % 2:  # a busy machine takes longer to come that far
            wait_until_it_writes(folder)
        time.sleep(chance.uniform(0, writes_for if trial % 2 else takes))
        os.kill(child, signal.SIGKILL)
        assert ended(child) in (-signal.SIGKILL, 0)
        there = (folder / NAME).exists()
        assert not there or check(folder / NAME) == []
        before = rows(folder) if there and (folder / NAME).stat().st_size else set()
        at_work += 0 < len(before) < len(everything)
        (folder / "written").unlink(missing_ok=True)
        assert ended(go(folder)) == 0
        after = rows(folder)
        assert check(folder / NAME) == []
        assert before <= after
        assert {row[:2] for row in after} == {row[:2] for row in everything}
        written = (
            [tuple(map(int, line.split())) for line in (folder / "written").read_text().splitlines()]
            if len(after) > len(before)
            else []
        )
        assert sum(asked for asked, _ in written) == sum(new for _, new in written) == len(after) - len(before)
        assert same(claims_of(folder), expected)
    assert at_work >= TRIALS // 4, f"{at_work} of {TRIALS} were killed while they wrote"
