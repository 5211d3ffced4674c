"""Circuits of the best edges: nested, connected, and kept on the other half as ``run.keep`` says."""

import csv
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest

from circuitcheck import MethodError, Model, PromptPairs
from circuitcheck.finding.edges import EdgeCircuits

ALL = "L*.H* | L*.MLP"
SIZES = (3, 6, 12)


@pytest.fixture(scope="module")
def found(bundled: Model, more_fruit: PromptPairs) -> EdgeCircuits:
    return bundled.on(more_fruit).find(ALL, edges=True, steps=2, sizes=SIZES)


def test_circuits_grow_edge_by_edge_and_lead_to_the_logits(found: EdgeCircuits) -> None:
    assert [len(one.edges) for one in found.circuits] == list(SIZES)
    for smaller, larger in zip(found.circuits, found.circuits[1:], strict=False):
        assert larger.edges[: len(smaller.edges)] == smaller.edges
    for circuit in found.circuits:
        reached = {"LOGITS"}
        for edge in circuit.edges:  # each ends at what was reached before
            assert str(edge.receiver).split(".Q")[0].split(".K")[0].split(".V")[0] in reached
            reached.add(str(edge.sender))


def test_every_edge_is_attributed_and_the_largest_is_first(found: EdgeCircuits) -> None:
    # Of layer n what is before it: 5 a layer, into 3 inputs of 4 heads; its MLP hears 4 heads more; the logits hear all.
    assert len(found.attributed) == sum(12 * 5 * layer + 5 * layer + 4 for layer in range(3)) + 15
    sizes = [abs(edge.attributed) for edge in found.attributed]
    assert sizes == sorted(sizes, reverse=True)
    to_logits = [edge for edge in found.attributed if str(edge.receiver) == "LOGITS"]
    assert found.circuits[0].edges[0] == to_logits[0]


def test_what_is_kept_is_what_keep_says_on_the_other_half(
    bundled: Model, more_fruit: PromptPairs, found: EdgeCircuits
) -> None:
    run = bundled.on(more_fruit.split("confirm"))
    for circuit in found.circuits[::2]:
        assert run.keep(circuit.circuit, "counterfactual").measure().estimate == pytest.approx(circuit.kept, abs=1e-4)
    assert found.smallest(above=-10) is found.circuits[0]
    with pytest.raises(
        MethodError, match=r"no circuit of these keeps more than 5; the most is .*: ask for larger sizes="
    ):
        found.smallest(above=5)


def test_all_edges_are_the_model(bundled: Model, more_fruit: PromptPairs) -> None:
    [whole] = bundled.on(more_fruit).find(ALL, edges=True, steps=1, sizes=(10_000,)).circuits
    assert len(whole.edges) == len({str(edge) for edge in whole.edges}) == 222
    assert whole.kept == pytest.approx(1, abs=1e-3)


@pytest.mark.slow
def test_groups_of_heads_hear_together(stories: Model, named: PromptPairs) -> None:
    found = stories.on(named).find(ALL, edges=True, steps=1, sizes=(12,), pairs=4)
    [circuit] = found.circuits
    assert any(".KV" in str(edge.receiver) for edge in found.attributed)
    run = stories.on(named.split("confirm"))
    sample = run._setup.fixed(4)
    kept = run.keep(circuit.circuit, "counterfactual")._estimand.shift_on(sample)
    assert kept.shape == (len(sample.pairs),)
    ET.fromstring(circuit.svg())


def test_tables_and_pictures(found: EdgeCircuits, tmp_path: Path) -> None:
    lines = str(found).splitlines()
    assert lines[0].startswith(f"circuits of the best of 222 edges of {ALL}, attributed in 2 steps on ")
    assert [line.split()[0] for line in lines[1:]] == ["edges", "3", "6", "12"]
    circuit = found.circuits[1]
    picture = ET.fromstring(circuit._repr_svg_())
    tags: dict[str, list[Any]] = {}
    for element in picture.iter():
        tags.setdefault(element.tag.rpartition("}")[2], []).append(element)
    assert len(tags["path"]) == 6
    told = {element.text.split(":")[0] for element in tags["title"] if element.text}
    assert {str(edge) for edge in circuit.edges} <= told
    named = {element.text: float(element.get("y")) for element in tags["text"]}
    assert {str(edge.sender) for edge in circuit.edges} | {"LOGITS"} <= named.keys()
    assert all(named["LOGITS"] < named[str(edge.sender)] for edge in circuit.edges)
    assert "prefers-color-scheme:dark" in tags["style"][0].text
    found.save(tmp_path / "x.svg")
    found.save(tmp_path / "x.csv")
    with (tmp_path / "x.csv").open(encoding="utf-8") as file:
        assert len(list(csv.DictReader(file))) == len(found.attributed) == len(found.as_frame())


def test_what_cannot_be_asked_says_why(bundled: Model, more_fruit: PromptPairs) -> None:
    run = bundled.on(more_fruit)
    for given, words in (
        ({"address": "L1.N*"}, r"between heads and MLPs, at all positions; L1.N0 is none"),
        ({"address": "L1.H0@end"}, r"at all positions; L1.H0@end is none"),
        ({"address": ALL, "sizes": ()}, r"sizes= is made of whole numbers of at least 1, not \[0\]"),
        ({"address": ALL, "steps": 0}, r"steps= is made of whole numbers of at least 1, not \[0\]"),
    ):
        with pytest.raises(MethodError, match=words):
            run.find(**given, edges=True)
    with pytest.raises(MethodError, match="give it all of them, not a half"):
        bundled.on(more_fruit.split("discover")).find(ALL, edges=True)
