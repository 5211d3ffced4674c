"""On a Ray cluster a node is killed in the middle, and the report is that of one process."""

import json
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.slow
def test_a_node_that_is_killed_loses_nothing_that_came_home() -> None:
    command = [sys.executable, "-m", "benchmarks.gathering"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parents[2])
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(done.stdout)
    assert len(found["killed"]) == 1
    assert found["jobs begun again"] >= 1
    assert found["acknowledged and computed again"] == 0
    assert found["numbers that came home"] == found["of them different ones"] > 10_000
    assert found["differences of the reports"] == []
    assert found["largest difference of numbers"] < 1e-4
