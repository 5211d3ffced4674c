"""A result is of the model as it was when it was asked: what is read of it later is that, or an error that says that the model has changed."""

from collections.abc import Callable
from typing import Any

import pytest
import torch

from circuitcheck import Model, PromptPairs, load
from circuitcheck.errors import CircuitError

RESULTS: dict[str, Callable[[Any], Any]] = {
    "sweep": lambda run: run.sweep("L1.H*"),
    "sweep of ablations": lambda run: run.sweep("L1.H*", "ablate"),
    "find": lambda run: run.find("L1.H* | L1.N*", top=3),
    "edges": lambda run: run.find("L*.H* | L*.MLP", edges=True, sizes=[4, 8], steps=1),
    "measurement": lambda run: run.patch("L1.N8").measure(),
    "measurement of an ablation": lambda run: run.ablate("L1.N8", "mean").measure(),
    "accuracy": lambda run: run.accuracy.measure(),
}
READ: dict[str, Callable[[Any], Any]] = {
    "text": str,
    "low": lambda found: getattr(found, "low", None),
    "high": lambda found: getattr(found, "high", None),
    "values": lambda found: getattr(found, "values", None),
    "picture": lambda found: found.svg() if hasattr(found, "svg") else None,
    "stable": lambda found: str(found.stable.measure()) if hasattr(found, "stable") else None,
}


@pytest.mark.parametrize("result", RESULTS)
def test_it_is_of_the_model_that_was_asked(result: str, more_fruit: PromptPairs) -> None:
    wanted = _read(RESULTS[result](load("bundled").on(more_fruit)))
    model: Model = load("bundled")
    found = RESULTS[result](model.on(more_fruit))
    with torch.no_grad():
        model.bridge.blocks[1].mlp.out.original_component.weight.mul_(0.5)
    now = _read(found)
    for was, one in zip(wanted, now, strict=True):
        assert one == was or "has changed since" in one


def _read(found: Any) -> list[str]:
    texts = []
    for read in READ.values():
        try:
            texts.append(repr(read(found)))
        except CircuitError as error:
            texts.append(str(error))
    return texts
