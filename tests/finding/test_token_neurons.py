"""Neurons and tokens that are each other's most congruent, against the whole table of products and plain hooked runs."""

import csv
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import rankdata

from circuitcheck import MethodError, Model, PromptError, PromptPairs
from circuitcheck.engine.reading import exclusive
from circuitcheck.reference_models.bundled.corpus import TASKS, examination
from tests import oracle

TEXTS = [sentence.text for task in TASKS for sentence in examination(task, count=4)]


def outputs(model: Model) -> list[torch.Tensor]:
    """What each neuron of each layer adds to the stream, of shape [neuron, d_model]: what a unit of it adds to the MLP's output."""
    found = []
    for block in model.bridge.blocks:
        with torch.inference_mode():
            one_each = torch.eye(model.anatomy.layers[0].count("N"), dtype=model.bridge.cfg.dtype).unsqueeze(0)
            found.append((block.mlp.out(one_each)[0] - block.mlp.out(torch.zeros_like(one_each))[0]).double())
    return found


def by_hand(table: np.ndarray, top: int) -> list[tuple[int, int, float]]:
    """Of a table [neuron, token], the couples that are each other's strict best, with their scores."""
    found = []
    for neuron, token in enumerate(table.argmax(1)):
        if table[:, token].argmax() == neuron:
            first, second = np.sort(table[neuron])[::-1][:2]
            ours, theirs = np.sort(table[:, token])[::-1][:2]
            found.append((neuron, int(token), float((first - second) * (ours - theirs))))
    return sorted(found, key=lambda one: -one[2])[:top]


@pytest.mark.parametrize("blocks", [None, (7, 13, 2)])
@pytest.mark.parametrize("name", ["bundled", "stories", "raw"])
def test_they_are_those_of_the_whole_table(
    name: str, blocks: tuple[int, int, int] | None, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    if blocks is not None:
        for constant, size in zip(("_NEURONS", "_TOKENS", "_TRIED"), blocks, strict=True):
            monkeypatch.setattr(exclusive, constant, size)
    model: Model = request.getfixturevalue(name)
    table = (torch.cat(outputs(model)) @ model.bridge.W_U.detach().double()).numpy()
    found = model.token_neurons(top=6)
    width = model.anatomy.layers[0].count("N")
    expected = by_hand(table, 6)
    assert [(one.neuron, one.token) for one in found] == [(f"L{n // width}.N{n % width}", t) for n, t, _ in expected]
    for one, (neuron, token, score) in zip(found, expected, strict=True):
        assert one.exclusive == pytest.approx(score, abs=1e-4)
        assert one.congruence == pytest.approx(table[neuron, token], abs=1e-5)
        assert one.second_token == table[neuron].argsort()[-2]
        assert one.token_lead == pytest.approx(one.congruence - table[neuron, one.second_token], abs=1e-5)
    claimed = model.congruence(found[0].neuron, found[0].token).exclusive
    assert claimed.measure().estimate == pytest.approx(found[0].exclusive)
    assert f"{table.shape[0]:,} neurons and {table.shape[1]:,} tokens" in found.title


small = st.integers(-3, 3).map(float)


@settings(deadline=None, max_examples=25)
@given(st.data())
def test_ties_and_blocks_lose_no_couple(data: st.DataObject) -> None:
    """Of small whole numbers, of which many products are the same; in layers of different widths."""
    rows = data.draw(st.lists(st.integers(1, 5), min_size=1, max_size=3))
    tokens = torch.tensor(data.draw(st.lists(st.lists(small, min_size=3, max_size=3), min_size=2, max_size=9)))
    layers = [
        torch.tensor(data.draw(st.lists(st.lists(small, min_size=3, max_size=3), min_size=n, max_size=n))) for n in rows
    ]
    table = (torch.cat(layers) @ tokens.T).double().numpy()
    if table.shape[0] < 2:
        return
    weights: Any = SimpleNamespace(tokens=tokens, outputs=lambda layer: layers[layer])
    sizes = {"_NEURONS": 2, "_TOKENS": 3, "_TRIED": 2}
    with pytest.MonkeyPatch.context() as patch:
        for constant, size in sizes.items():
            patch.setattr(exclusive, constant, size)
        found = exclusive.best_couples(weights, range(len(layers)), 4)
    expected = [score for *_, score in by_hand(table, 4) if score > 0]
    assert [one.score for one in found if one.score > 0] == pytest.approx(expected)


def on_texts_by_hand(model: Model, couple: Any, texts: list[tuple[int, ...]]) -> dict[str, float]:
    """One plain run a text; the neuron at its mean but at BOS; of positions at which texts begin alike the first alone."""
    layer, index = (int(part[1:]) for part in couple.neuron.split("."))
    hook, seen, ablated = f"blocks.{layer}.mlp.out.hook_in", {}, {}

    def lead(logits: torch.Tensor) -> torch.Tensor:
        others = logits.clone()
        others[:, couple.token] = -torch.inf
        return logits[:, couple.token] - others.max(1).values

    for text in texts:
        activations, leads = oracle.activations(model, text)[hook][0, :, index], lead(oracle.run(model, text)[0])
        for at in range(len(text)):
            seen.setdefault(text[: at + 1], (float(activations[at]), float(leads[at])))
    mean = np.mean([activation for text, (activation, _) in seen.items() if text[-1] != model.bos])

    def write(activation: torch.Tensor, hook: Any) -> torch.Tensor:
        activation[:, 1:, index] = mean
        return activation

    for text in texts:
        leads = lead(oracle.run(model, text, [(hook, write)])[0])
        for at in range(len(text)):
            ablated.setdefault(text[: at + 1], float(leads[at]))
    there = [text for text, (_, margin) in seen.items() if margin > 0]
    inside = np.array([seen[text][0] for text in there])
    outside = np.array([activation for activation, margin in seen.values() if margin < 0])
    ranks = rankdata([*inside, *outside])[: len(inside)]
    return {
        "predicted": len(there),
        "auc": float((ranks.sum() - len(inside) * (len(inside) + 1) / 2) / (len(inside) * len(outside))),
        "activation": float(inside.mean()),
        "elsewhere": float(outside.mean()),
        "lost": float(np.mean([seen[text][1] - ablated[text] for text in there])),
        "still_top": float(np.mean([ablated[text] > 0 for text in there])),
    }


def test_on_texts_it_fires_and_costs_what_plain_runs_show(bundled: Model) -> None:
    found = bundled.token_neurons(top=2, on=TEXTS[::3])
    texts = [tuple(bundled.bridge.to_tokens(text)[0].tolist()) for text in TEXTS[::3]]
    assert all(text[0] == 0 for text in texts)
    for couple in found:
        assert couple.texts is not None
        assert couple.texts.predicted > 0
        assert vars(couple.texts) == pytest.approx(on_texts_by_hand(bundled, couple, texts), abs=1e-4)
    assert abs(found[0].texts.lost) > 0.01
    again = bundled.activation(found[0].neuron, predicts=found[0].token, on=TEXTS[::3]).auc.measure()
    assert found[0].texts.auc == pytest.approx(again.estimate)


def test_a_token_that_is_predicted_nowhere_has_no_effect_there(bundled: Model) -> None:
    found = bundled.token_neurons(top=1, on=["The table"])
    assert found[0].texts.predicted == 0
    assert np.isnan([found[0].texts.auc, found[0].texts.lost, found[0].texts.activation]).all()
    assert "nan" in str(found)


def test_tables_pictures_and_files(bundled: Model, fruit: PromptPairs, tmp_path: Path) -> None:
    found = bundled.token_neurons(top=3, on=fruit)
    assert len(found) == 3
    lines = str(found).splitlines()
    assert lines[0].startswith("mutually exclusive congruence of 144 neurons and ")
    assert lines[0].endswith(f"of bundled (processed weights); on {found.texts}")
    assert lines[2].split()[:2] == [found[0].text, found[0].neuron]
    assert found._repr_html_().count("<rect") == 4
    found.save(tmp_path / "x.svg")
    assert found[0].neuron in (tmp_path / "x.svg").read_text()
    found.save(str(tmp_path / "x.csv"))
    with (tmp_path / "x.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["neuron"] for row in rows] == [one.neuron for one in found]
    assert float(rows[0]["exclusive"]) == found[0].exclusive
    frame = found.as_frame()
    assert list(frame["token"]) == [one.text for one in found]
    with pytest.raises(MethodError, match=r"x.pdf is saved as .svg \(the picture\) or .csv"):
        found.save(tmp_path / "x.pdf")


def test_what_cannot_be_asked_says_why(bundled: Model) -> None:
    with pytest.raises(MethodError, match="top is at least 1, not 0"):
        bundled.token_neurons(top=0)
    with pytest.raises(PromptError, match="'nowhere.txt' is no text file"):
        bundled.token_neurons(on="nowhere.txt")
