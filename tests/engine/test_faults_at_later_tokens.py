"""Faults at later tokens of prompts whose first token's stream is a thousand times theirs, as in most trained models."""

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers.models.auto import AutoModelForCausalLM

from circuitcheck import Model, PromptPairs, load
from circuitcheck.engine.cone.cone import Cone
from circuitcheck.engine.graphs import streams
from circuitcheck.engine.paths import Paths
from tests.architectures import ARCHITECTURES, saved

# A hundredth or so of a later token's stream, and a millionth of the first one's.
FAULT = 0.02
PAIRS = PromptPairs.from_rows(
    [
        {"clean": [5, 17, 40 + row, 9, 21], "corrupt": [6, 17, 60 + row, 9, 21], "answer": 30, "foil": 31}
        for row in range(3)
    ]
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = saved(tmp_path_factory.mktemp("first"), ARCHITECTURES["GPT-2"], 0.15)
    network = AutoModelForCausalLM.from_pretrained(found)
    place, feed_forward = network.transformer.wpe.weight, network.transformer.h[1].mlp
    with torch.no_grad():
        # A neuron that only the first place in a prompt makes fire writes the large stream there.
        place[0] = 100 * (place[0] - place[0].mean())
        feed_forward.c_fc.weight[:, 0] = place[0] / place[0].norm()
        feed_forward.c_fc.bias[0] = -5.0
        feed_forward.c_proj.weight[0] *= 1e5
    network.save_pretrained(found)
    return found


@pytest.fixture
def model(folder: Path) -> Model:
    return load(folder, weights="raw")


@pytest.fixture(scope="module")
def right(folder: Path) -> Model:
    """Which nothing was done to."""
    return load(folder, weights="raw")


def faulty(activation: torch.Tensor) -> torch.Tensor:
    """Off by little in half of the width, at all tokens after the first."""
    off = activation.clone()
    off[:, 1:, ::2] += FAULT
    return off


def test_of_what_is_recorded(model: Model, right: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    run, again = right.on(PAIRS), model.on(PAIRS)
    wanted = run.patch("L2.RESID_PRE")._estimand.shift_on(run._setup.sample)
    assert right._loaded.answers.describe() == "cone"
    activation = Cone.activation
    monkeypatch.setattr(Cone, "activation", lambda *where: faulty(activation(*where)))
    assert again.patch("L2.RESID_PRE")._estimand.shift_on(again._setup.sample) == pytest.approx(wanted, abs=1e-5)
    assert "what was recorded at blocks.2.hook_resid_pre is not" in model._loaded.answers.describe()


def test_of_what_a_component_writes_in_a_graph(model: Model, right: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    run, again = right.on(PAIRS), model.on(PAIRS)
    wanted = run.keep("L0.H0 -> L1.MLP | L1.MLP")._estimand.shift_on(run._setup.sample)
    assert right._loaded.answers.describe() == "cone"
    added = streams.Sublayers._added
    monkeypatch.setattr(streams.Sublayers, "_added", lambda *where: faulty(added(*where)))
    assert again.keep("L0.H0 -> L1.MLP | L1.MLP")._estimand.shift_on(again._setup.sample) == pytest.approx(
        wanted, abs=1e-5
    )
    assert "what L1.MLP writes in a circuit with edges was not" in model._loaded.answers.describe()


def test_of_what_arrives_at_the_end_of_a_path(model: Model, right: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    run, again = right.on(PAIRS), model.on(PAIRS)
    wanted = run.patch("L0.H0 -> L1.MLP")._estimand.shift_on(run._setup.sample)
    assert right._loaded.answers.describe() == "cone"
    arriving = Paths.arriving

    def off(paths: Paths, *where: Any) -> torch.Tensor:
        found = arriving(paths, *where)
        return faulty(found) if isinstance(paths.runner, Cone) else found

    monkeypatch.setattr(Paths, "arriving", off)
    assert again.patch("L0.H0 -> L1.MLP")._estimand.shift_on(again._setup.sample) == pytest.approx(wanted, abs=1e-5)
    assert "what arrives at the end of a path" in model._loaded.answers.describe()
