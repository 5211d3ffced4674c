"""Circuits with edges by streams: what whole runs give, in as many runs whatever the circuit's size, and only where that is so."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from circuitcheck import Model, PromptPairs, load
from circuitcheck.engine.graphs import runs, streams
from circuitcheck.engine.hooks.plain import Plain
from tests.architectures import ARCHITECTURES, saved
from tests.conftest import each, first

CIRCUIT = "L0.H2 | L0.MLP | L0.MLP -> L1.H1.V | L0.H0 -> L1.H1.Q | EMBED -> L1.H3 | L1.H1 -> L2.MLP | L1.MLP"
NEURONS = "L0.H2 -> L1.N8 | L1.N8 -> L2.H1.K | L0.N3 -> L2.H1 | L1.N8 -> L2.N5 | L2.H1"
GROUPED = "L0.H1 -> L2.KV1.K | L1.MLP -> L2.KV1.V | L0.MLP -> L2.H3.Q | L2.H2 | L0.H1 -> L4.MLP | L3.H0 -> L4.MLP"


def both_ways(model: Model, pairs: PromptPairs, circuit: str, value: Any, **more: Any) -> tuple[np.ndarray, np.ndarray]:
    """What is kept, by streams and by whole runs; of another model of the same network, that nothing be remembered."""
    found = []
    for whole in (False, True):
        with pytest.MonkeyPatch.context() as patch:
            if whole:
                patch.setattr(runs, "all_is_ablated", lambda *_: False)
            model._loaded.answers._forget()
            run = model.on(pairs)
            found.append(run.keep(circuit, value, **more)._estimand.shift_on(run._setup.sample))
    return found[0], found[1]


@pytest.mark.parametrize(
    ("circuit", "value"),
    first(
        1, [(CIRCUIT, "mean"), (NEURONS, "zero"), (CIRCUIT, "resample"), (NEURONS, "mean"), (CIRCUIT, "counterfactual")]
    ),
)
def test_streams_give_what_whole_runs_give(more_fruit: PromptPairs, circuit: str, value: str) -> None:
    model = load("bundled")
    by_streams, by_runs = both_ways(model, more_fruit, circuit, value)
    assert np.abs(by_runs).max() > 0.01
    assert by_streams == pytest.approx(by_runs, abs=1e-4)
    assert (by_streams != by_runs).any()  # another way of adding up: it was not the same runs
    assert model._loaded.answers.engine.trust.why_plain == ""


@pytest.mark.parametrize("name", each(["Llama", "GPT-NeoX", "Gemma 2", "Mistral"], []))
def test_of_every_architecture(name: str, tmp_path: Path, fruit: PromptPairs) -> None:
    """Parallel sublayers read the same stream; where norms follow sublayers (Gemma 2) runs stay whole."""
    circuit = CIRCUIT.replace("L1.H1.V", "L1.KV0.V").replace("EMBED -> L1.H3", "L1.H0")
    circuit = circuit if name != "GPT-NeoX" else CIRCUIT
    model = load(saved(tmp_path, ARCHITECTURES[name], scale=0.2))
    by_streams, by_runs = both_ways(model, fruit, circuit, "mean")
    assert np.abs(by_runs).max() > 1e-4
    assert by_streams == pytest.approx(by_runs, abs=1e-3 * max(1.0, float(np.abs(by_runs).max())))


@pytest.mark.slow
def test_of_grouped_queries_and_spared_bos(stories: Model, named: PromptPairs) -> None:
    pairs = named.split("discover")
    for value in ("counterfactual", "zero"):
        by_streams, by_runs = both_ways(stories, pairs, GROUPED, value)
        assert np.abs(by_runs).max() > 0.01
        assert by_streams == pytest.approx(by_runs, abs=1e-3)


@pytest.mark.slow
def test_there_are_as_many_whole_runs_whatever_the_circuit(
    more_fruit: PromptPairs, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, ran, counts = load("bundled"), [], []
    run = model.on(more_fruit)
    run.keep(f"{CIRCUIT} | L1.H0 -> L2.H1.K")._estimand.shift_on(
        run._setup.sample
    )  # heads of one, two and three inputs are compared
    for name in ("run", "blocks"):
        whole = getattr(Plain, name)
        monkeypatch.setattr(Plain, name, lambda *given, whole=whole: ran.append(1) or whole(*given))
    for circuit in ("L0.H2 -> L1.H1.V | L1.H1", f"{CIRCUIT} | L1.H2 -> L2.H[0-3] | L0.H3 -> L2.H2.K"):
        ran.clear()
        run.keep(circuit)._estimand.shift_on(run._setup.sample)
        counts.append(len(ran))
    assert counts == [1, 1]


def test_streams_that_say_otherwise_are_not_believed(more_fruit: PromptPairs, monkeypatch: pytest.MonkeyPatch) -> None:
    model = load("bundled")
    _, wanted = both_ways(model, more_fruit, CIRCUIT, "mean")
    added = streams.Sublayers._added
    monkeypatch.setattr(streams.Sublayers, "_added", lambda *given: 1.5 * added(*given))
    model = load("bundled")
    run = model.on(more_fruit)
    assert run.keep(CIRCUIT)._estimand.shift_on(run._setup.sample) == pytest.approx(wanted, abs=1e-4)
    assert "in a circuit with edges was not what a plain run has there" in model._loaded.answers.engine.trust.why_plain


def test_what_is_not_ablated_lies_between(more_fruit: PromptPairs) -> None:
    """Within heads alone, MLPs answer to what each component hears, so that whole runs are needed."""
    model = load("bundled")
    circuit = "L0.H2 -> L1.H1.V | L1.H1 -> L2.H2 | L2.H2"
    found, wanted = both_ways(model, more_fruit, circuit, "mean", within="L*.H*")
    assert (found == wanted).all()
