"""A run whose numbers are all in the store loads nothing; and a model that was changed is never answered from there."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

BLOCKED = """
import sys

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("torch", "transformers", "transformer_lens"):
            raise AssertionError(f"{name} is imported")

sys.meta_path.insert(0, Blocked())
"""
CLAIMS = """
import json
import pytest
from circuitcheck import PromptPairs, contrast

FRUIT = PromptPairs(
    "I climbed up the {tree} tree and picked a {tree}. I climbed up the {fruit} tree and picked",
    tree=["pear", "plum", "fig"],
    fruit=contrast(clean=["apple", "orange", "olive"], corrupt=["lemon", "banana", "peach"]),
    answer=" an", foil=" a",
)

def test_one_neuron_restores_the_article(model):
    assert model.on(FRUIT).patch("L1.N8") > 0.4

def test_its_mean_loses_it(model):
    assert model.on(FRUIT).ablate("L1.N8") > 0.1

@pytest.mark.circuit(claim=False)
def test_that_looks(model):
    assert model.on(FRUIT).gap.measure().estimate > 0
"""
LOOKS = """
import pytest
from test_claims import FRUIT

pytestmark = pytest.mark.circuit(claim=False)

def looked(model):
    return model.on(FRUIT).patch("L1.N8").measure().estimate

def note(**numbers):
    import json, os
    with open(os.environ["NOTES"], "w") as file:
        json.dump(numbers, file)

def test_weights(model):
    before, fingerprint = looked(model), model.fingerprint
    weight = next(model.bridge.blocks[1].mlp.out.parameters()).data
    was = weight.clone()
    weight[8] = 0
    changed, other = looked(model), model.fingerprint
    weight[:] = was
    note(before=before, changed=changed, after=looked(model), told=other != fingerprint)

def test_functions(model, monkeypatch):
    before = looked(model)
    from transformers.activations import NewGELUActivation
    monkeypatch.setattr(NewGELUActivation, "forward", lambda self, given: given.clamp(min=0))
    note(before=before, changed=looked(model))

def test_settings(model):
    before = looked(model)
    import torch
    torch.set_default_dtype(torch.float64)
    off = model.on(FRUIT).gap.measure() is not None and model.answers.remembered.off
    note(before=before, off=off)
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Claims that were decided once."""
    place = tmp_path_factory.mktemp("warm")
    (place / "test_claims.py").write_text(CLAIMS)
    (place / "test_looks.py").write_text(LOOKS)
    (place / "pytest.ini").write_text("[pytest]\ncircuit_model = bundled\n")
    assert "3 passed" in _run(place, "test_claims.py")
    return place


def _run(place: Path, *given: str, notes: str = "") -> str:
    environment = {**os.environ, "NOTES": notes, "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *given]
    done = subprocess.run(command, cwd=place, env=environment, capture_output=True, text=True)
    return done.stdout + done.stderr


def _noted(place: Path, test: str) -> dict[str, Any]:
    notes = place / f"{test}.json"
    told = _run(place, f"test_looks.py::{test}", notes=str(notes))
    assert "1 passed" in told, told
    found: dict[str, Any] = json.loads(notes.read_text())
    return found


def test_a_second_run_imports_nothing_heavy(folder: Path) -> None:
    (folder / "conftest.py").write_text(BLOCKED)
    try:
        told = _run(folder, "test_claims.py", "--circuit-json=report.json")
    finally:
        (folder / "conftest.py").unlink()
    assert "3 passed" in told, told
    [model] = json.loads((folder / "report.json").read_text())["models"]
    assert model["engine"] == "cone"
    assert model["base_run"] == "the untouched model's"


def test_weights_that_change_after_they_were_trusted_are_asked_themselves(folder: Path) -> None:
    found = _noted(folder, "test_weights")
    assert found["told"]
    assert abs(found["changed"]) < 1e-3 < 0.4 < found["before"] == found["after"]


@pytest.mark.slow
def test_so_are_functions_that_somebody_replaced_before_the_model_was_loaded(folder: Path) -> None:
    found = _noted(folder, "test_functions")
    assert found["changed"] != pytest.approx(found["before"], abs=1e-3)


@pytest.mark.slow
def test_nothing_is_recalled_under_another_precision(folder: Path) -> None:
    assert _noted(folder, "test_settings")["off"]


@pytest.mark.slow
def test_the_bundled_claims_are_decided_again_without_pytorch() -> None:
    """All of them, a second time."""
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-m", "benchmarks.warm"], cwd=root, capture_output=True, text=True)
    found = json.loads(done.stdout)
    assert found["heavy"] == []
    assert done.returncode == found["second"]["status"] == 0, done.stdout
