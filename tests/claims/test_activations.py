"""A neuron on texts: its area under the ROC curve and its curve, against plain runs of one text at a time."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from circuitcheck import BehaviourAbsent, ClaimRefuted, MethodError, Model, PromptError, PromptPairs
from circuitcheck.claims.exact.activations import area_under
from circuitcheck.models.loaded import LoadedModel
from circuitcheck.reference_models.bundled.corpus import TASKS, examination
from tests import oracle
from tests.conftest import Claims, first

TEXTS = [sentence.text for task in TASKS for sentence in examination(task, count=8)]


def plainly(
    model: Model, texts: list[tuple[int, ...]], layer: int, index: int, token: int
) -> tuple[np.ndarray, np.ndarray]:
    """Activation and whether the token is on top, at every distinct beginning of the texts; one run a text."""
    found: dict[tuple[int, ...], tuple[float, bool]] = {}
    for text in texts:
        cache = oracle.activations(model, text)
        neuron, logits = cache[f"blocks.{layer}.mlp.out.hook_in"][0, :, index], oracle.run(model, text)[0]
        for at in range(len(text)):
            found[text[: at + 1]] = float(neuron[at]), int(logits[at].argmax()) == token
    activations, top = zip(*found.values(), strict=True)
    return np.array(activations), np.array(top)


def area_by_hand(activations: np.ndarray, top: np.ndarray) -> float:
    """In how many couples the one inside is higher; ties count half."""
    inside, outside = activations[top][:, None], activations[~top][None]
    return float(((inside > outside) + 0.5 * (inside == outside)).mean())


def tokens_of(model: Model, texts: list[str]) -> list[tuple[int, ...]]:
    return [tuple(model.bridge.to_tokens(text)[0].tolist()) for text in texts]


@pytest.mark.parametrize(("neuron", "token"), first(1, [("L1.N8", " a"), ("L1.N8", " an"), ("L0.N3", " the")]))
def test_the_area_on_texts_is_that_of_all_couples(bundled: Model, neuron: str, token: str) -> None:
    number = bundled.bridge.tokenizer.convert_tokens_to_ids(f"Ġ{token[1:]}")
    activations, top = plainly(bundled, tokens_of(bundled, TEXTS), int(neuron[1]), int(neuron[4:]), number)
    found = bundled.activation(neuron, predicts=token, on=TEXTS)
    measured = found.auc.measure()
    assert measured.estimate == pytest.approx(area_by_hand(activations, top), abs=1e-9)
    assert (measured.n, measured.counted, measured.exact) == (len(top), "positions", True)
    assert measured.population == f"n={0}".replace(
        "n=0", f"{len(top):,} positions of 48 texts; about these texts alone"
    )
    assert measured.notes == (f"the top prediction at {top.sum()} positions",)
    curve = found.curve
    assert curve.positions.sum() == len(top)
    for low, high, count, share in zip(curve.edges[:-1], curve.edges[1:], curve.positions, curve.share, strict=True):
        last = high == curve.edges[-1]
        inside = (activations >= low - 1e-6) & ((activations <= high + 1e-6) if last else (activations < high - 1e-6))
        assert abs(int(inside.sum()) - count) <= 1
        assert math.isnan(share) if not count else share == pytest.approx(top[inside].mean(), abs=1 / count)


def test_on_pairs_it_is_about_both_sides_prompts_each_beginning_once(bundled: Model, fruit: PromptPairs) -> None:
    pairs = bundled.on(fruit)._setup.sample.pairs
    prompts = list(dict.fromkeys(tokens for pair in pairs for tokens in (pair.clean, pair.corrupt)))
    number = bundled.bridge.tokenizer.convert_tokens_to_ids("Ġa")
    activations, top = plainly(bundled, prompts, 1, 8, number)
    measured = bundled.activation("L1.N8", predicts=" a", on=fruit).auc.measure()
    assert measured.estimate == pytest.approx(area_by_hand(activations, top), abs=1e-9)
    assert measured.n == len(top) < sum(map(len, prompts)) / 2
    assert measured.population == f"{len(top)} positions of 12 prompts, of 12 of 12 pairs; about these texts alone"


def test_a_gated_neuron_and_a_tokenizer_that_marks_its_spaces(stories: Model) -> None:
    texts = [
        "Once upon a time, there was a little girl named Lily. She was happy. One day, Tim saw a dog.",
        "Tim ran. He fell.",
    ]
    she = stories.bridge.tokenizer.convert_tokens_to_ids("▁He")
    activations, top = plainly(stories, tokens_of(stories, texts), 3, 20, she)
    assert top.any()
    found = stories.activation("L3.N20", predicts=" He", on=texts).auc.measure()
    assert found.estimate == pytest.approx(area_by_hand(activations, top), abs=1e-9)


def test_a_text_file_is_read_by_paragraphs_and_long_ones_in_windows(bundled: Model, tmp_path: Path) -> None:
    file = tmp_path / "novel.txt"
    file.write_text(f"{TEXTS[0]}\n\n \n{TEXTS[1]}\n\n{' '.join(TEXTS)}\n", encoding="utf-8")
    number = bundled.bridge.tokenizer.convert_tokens_to_ids("Ġa")
    long = bundled.bridge.tokenizer.encode(" ".join(TEXTS) + "\n", add_special_tokens=False)
    pieces = [(0, *long[start : start + 63]) for start in range(0, len(long), 63)]
    assert len(pieces) > 2
    activations, top = plainly(bundled, [*tokens_of(bundled, TEXTS[:2]), *pieces], 1, 8, number)
    measured = bundled.activation("L1.N8", predicts=" a", on=file).auc.measure()
    assert measured.estimate == pytest.approx(area_by_hand(activations, top), abs=1e-9)
    assert measured.n == len(top)
    assert measured.population.endswith("positions of 3 paragraphs of novel.txt; about these texts alone")
    assert bundled.activation("L1.N8", predicts=" a", on=str(file)).auc.measure().estimate == measured.estimate


numbers = st.lists(st.integers(-4, 4).map(lambda n: n / 2), min_size=1, max_size=12)


@settings(deadline=None)
@given(numbers, numbers)
def test_couples_nearer_than_rounding_are_in_doubt_and_equal_ones_are_not(
    inside: list[float], outside: list[float]
) -> None:
    first, second = np.array(inside), np.array(outside)
    couples = first[:, None] - second[None]
    area, doubt = area_under(first, second, 0.75)
    assert area == pytest.approx(float(((couples > 0) + 0.5 * (couples == 0)).mean()))
    assert doubt == pytest.approx(float(((np.abs(couples) < 0.75) & (couples != 0)).mean()))


def test_a_near_tie_on_top_is_left_out(bundled: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    """With rounding as large as two logits of twenty, many positions have no sure top prediction."""
    all_there = bundled.activation("L1.N8", predicts=" a", on=TEXTS).auc.measure().n
    monkeypatch.setattr(LoadedModel, "rounding", 0.1)
    fewer = bundled.activation("L1.N8", predicts=" a", on=TEXTS).auc.measure()
    assert fewer.n < all_there
    assert fewer.notes[1] == f"{all_there - fewer.n} positions are left out, where rounding decides what is on top"


def test_claims(bundled: Model, fruit: PromptPairs) -> None:
    found = bundled.activation("L1.N8", predicts=" a", on=fruit)
    assert repr(found) == "<activation of L1.N8 where ' a' is predicted>"
    assert "_seen" not in vars(found)
    assert found.auc > 0.9
    assert found.auc >= 1
    assert found.auc == pytest.approx(1, abs=0.001)
    with pytest.raises(
        ClaimRefuted, match=r"refuted: AUC of L1.N8 where ' an' is predicted > 0.9: it is 0\.\d+ \(exact, "
    ):
        assert bundled.activation("L1.N8", predicts=" an", on=fruit).auc > 0.9
    with pytest.raises(MethodError, match="lies between 0 and 1; 90 does not"):
        _ = found.auc > 90


def test_the_curve_has_a_table_and_a_picture(bundled: Model, fruit: PromptPairs, tmp_path: Path) -> None:
    curve = bundled.activation("L1.N8", predicts=" a", on=fruit).curve
    lines = str(curve).splitlines()
    assert lines[0].startswith("activation of L1.N8 where ' a' is predicted: share of ")
    assert len(lines) == 1 + int((curve.positions > 0).sum())
    assert lines[1].split()[:3:2] == [f"{curve.edges[0]:.2f}", f"{curve.edges[1]:.2f}"]
    assert "100.0%" in lines[-1]
    assert "  0.0%" in lines[1]
    curve.save(tmp_path / "curve.svg")
    assert (tmp_path / "curve.svg").read_text().count("<rect") >= len(curve.rows)


@pytest.mark.parametrize(
    ("given", "error", "words"),
    [
        ({"on": "nowhere.txt"}, PromptError, "'nowhere.txt' is no text file; texts themselves are given as a list"),
        ({"on": []}, PromptError, "PromptPairs, a text file's path or a list of texts"),
        ({"on": ["a", 3]}, PromptError, "a list of texts, not 3"),
        ({"predicts": " an apple"}, PromptError, "is not one token"),
        ({"neuron": "L1.MLP"}, MethodError, "'L1.MLP' is not one neuron"),
        (
            {"predicts": 5, "on": ["The table"]},
            BehaviourAbsent,
            "on bundled '%' is the top prediction at none of 3 positions of",
        ),
    ],
)
def test_what_cannot_be_claimed_says_why(bundled: Model, given: dict[str, Any], error: Any, words: str) -> None:
    arguments = {"neuron": "L1.N8", "predicts": " a", "on": TEXTS} | given
    with pytest.raises(error, match=words):
        bundled.activation(**arguments).auc.measure()


def test_it_is_reported_like_other_claims(claims: Claims) -> None:
    body = """
def test_fires(model):
    "L1.N8 fires where ' a' comes next."
    assert model.activation("L1.N8", predicts=" a", on=FRUIT).auc > 0.99
def test_looks(model):
    print(model.activation("L1.N8", predicts=" a", on=FRUIT).curve)
"""
    result = claims(body, "--circuit-mutate", "--circuit-fdr")
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(
        [
            "supported     AUC of L1.N8 where ' a' is predicted > 0.99: 1 (exact, * positions, bundled)  L1.N8 fires*",
            "1 of 2 claims are established *",
            "mutants: 4 not applicable",
        ]
    )
