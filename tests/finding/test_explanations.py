"""One neuron, against the weights of the modules themselves and plain runs."""

import csv
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from circuitcheck import MethodError, Model, PromptError
from tests import oracle
from tests.finding.test_token_neurons import TEXTS, outputs

STORY = ["Once upon a time, there was a little girl named Lily. She was happy. One day, Tim saw a dog."]


def inputs(model: Model, layer: int, index: int) -> dict[str, torch.Tensor]:
    """What a neuron reads the normalised stream with: the gradient of what it reads with respect to that."""
    mlp, found = model.bridge.blocks[layer].mlp, {}
    names = {"gate": "gate", "up": "in"} if hasattr(mlp, "gate") else {"input": "in"}
    for name, module in names.items():
        stream = torch.zeros(1, 1, model.bridge.cfg.d_model, requires_grad=True)
        with torch.enable_grad():
            getattr(mlp, module)(stream)[0, 0, index].backward()
        assert stream.grad is not None
        found[name] = stream.grad[0, 0].double()
    return found


def sorted_by(values: torch.Tensor) -> tuple[list[int], list[int]]:
    order = values.argsort(descending=True).tolist()
    return order, order[::-1]


@pytest.mark.parametrize(("name", "neuron"), [("bundled", "L1.N8"), ("stories", "L3.N20"), ("raw", "L2.N5")])
def test_what_it_writes_and_reads_is_what_the_weights_say(
    name: str, neuron: str, request: pytest.FixtureRequest
) -> None:
    model: Model = request.getfixturevalue(name)
    layer, index = (int(part[1:]) for part in neuron.split("."))
    width, written = model.anatomy.layers[0].count("N"), outputs(model)
    found = model.explain(neuron, top=4)

    def token(place: int) -> str:
        return repr(model.bridge.tokenizer.decode([place]))

    def agrees(ranking: Any, values: torch.Tensor, named: Any) -> None:
        for some, order in zip((ranking.highest, ranking.lowest), sorted_by(values), strict=True):
            assert [one for one, _ in some] == [named(place) for place in order[:4]]
            assert [value for _, value in some] == pytest.approx(values[order[:4]].tolist(), abs=1e-5)

    agrees(found.writes, written[layer][index] @ model.bridge.W_U.detach().double(), token)
    read = inputs(model, layer, index)
    assert list(found.reads) == list(found.hears) == list(read)
    assert list(read) == (["gate", "up"] if name == "stories" else ["input"])
    for part, vector in read.items():
        agrees(found.reads[part], model.bridge.embed.weight.detach().double() @ vector, token)
        upstream = torch.cat(written[:layer]) @ vector
        agrees(found.hears[part], upstream, lambda place: f"L{place // width}.N{place % width}")
    assert (found.fires, found.texts) == ((), "")


@pytest.mark.parametrize(("name", "neuron", "texts"), [("bundled", "L1.N8", TEXTS[::3]), ("stories", "L3.N20", STORY)])
def test_it_fires_where_plain_runs_say(
    name: str, neuron: str, texts: list[str], request: pytest.FixtureRequest
) -> None:
    """At the largest activations of either sign; where texts begin alike, once."""
    model: Model = request.getfixturevalue(name)
    layer, index = (int(part[1:]) for part in neuron.split("."))
    found: dict[tuple[int, ...], float] = {}
    for text in texts:
        tokens = tuple(model.bridge.to_tokens(text)[0].tolist())
        activations = oracle.activations(model, tokens)[f"blocks.{layer}.mlp.out.hook_in"][0, :, index]
        for at in range(len(tokens)):
            found.setdefault(tokens[: at + 1], float(activations[at]))
    largest = sorted(found.items(), key=lambda one: -abs(one[1]))[:6]
    explained = model.explain(neuron, top=6, on=texts)
    assert [one.activation for one in explained.fires] == pytest.approx([value for _, value in largest], abs=1e-5)
    for one, (tokens, _) in zip(explained.fires, largest, strict=True):
        assert (one.before + one.token) == model.bridge.tokenizer.decode(list(tokens[-9:]))
        assert one.token
    if name == "stories":
        assert min(one.activation for one in explained.fires) < 0
        assert explained.fires[0].after == ". One day"


def test_the_first_layer_hears_no_neuron(bundled: Model) -> None:
    assert bundled.explain("L0.N3").hears == {}


def test_tables_pictures_and_files(bundled: Model, tmp_path: Path) -> None:
    found = bundled.explain("L1.N8", top=2, on=TEXTS)
    lines = str(found).splitlines()
    assert lines[:2] == ["L1.N8 of bundled", "L1.N8 writes: output weights · unembedding"]
    assert lines[2].startswith("      for  ' a' 1.25, ")
    assert lines[3].startswith("  against  ' an' -1.09, ")
    assert lines[10] == f"where L1.N8 fires, in {len(TEXTS)} texts"
    found.save(tmp_path / "x.svg")
    picture = ET.parse(tmp_path / "x.svg").getroot()
    tops = [int(part.get("y", "0")) for part in picture if part.tag.endswith("svg")]
    assert len(tops) == 4
    assert np.all(np.diff(tops) > 60)
    assert len(found.rows) == 3 * 4 + 2
    found.save(tmp_path / "x.csv")
    with (tmp_path / "x.csv").open(encoding="utf-8") as file:
        assert next(csv.DictReader(file))["name"] == "' a'"
    assert len(found.as_frame()) == len(found.rows)


def test_a_layer_of_few_names_none_on_both_sides(bundled: Model) -> None:
    found = bundled.explain("L1.N8", top=30).hears["input"]
    assert len(found.highest) == 30
    assert len(found.lowest) == 48 - 30
    assert not {name for name, _ in found.highest} & {name for name, _ in found.lowest}


def test_what_cannot_be_asked_says_why(bundled: Model) -> None:
    with pytest.raises(MethodError, match="'L1.MLP' is not one neuron"):
        bundled.explain("L1.MLP")
    with pytest.raises(MethodError, match="top is at least 1"):
        bundled.explain("L1.N8", top=0)
    with pytest.raises(PromptError, match="is no text file"):
        bundled.explain("L1.N8", on="nowhere.txt")
