"""What is read from a run: one number per pair, against numpy and by hand."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from circuitcheck.alignment import AlignedPair
from circuitcheck.errors import MethodError, NumericsError
from circuitcheck.pairs import Pair, Prompt, Segment
from circuitcheck.readouts import readout


def pair(answer: tuple[int, ...], foil: tuple[int, ...] = (), text: str = "the") -> AlignedPair:
    prompt = Prompt((Segment(text),))
    return AlignedPair(Pair(prompt, prompt, answer, foil), (0,), (1,), answer, foil, (0,), ("",))


def read_all(name: str, logits: torch.Tensor, pairs: list[AlignedPair]) -> Any:
    """What is read of all logits; the reading is given those of its vocabulary."""
    reading = readout(name).reading(pairs)
    given = logits if reading.vocabulary is None else logits[:, reading.vocabulary]
    return reading.read(given, torch.arange(len(pairs)))


def read(name: str, logits: list[float], answer: tuple[int, ...], foil: tuple[int, ...] = ()) -> float:
    (number,) = read_all(name, torch.tensor([logits]), [pair(answer, foil)])
    return float(number)


def test_the_logit_difference_of_two_tokens_is_the_difference_of_their_logits() -> None:
    assert read("logit_diff", [1.0, 5.0, 2.5], (1,), (2,)) == 2.5
    assert read("logit_diff", [1.0, 5.0, 2.5], (0,), (1,)) == -4.0


tokens = st.lists(st.integers(0, 5), min_size=1, max_size=4, unique=True).map(tuple)


@settings(deadline=None)
@given(st.lists(st.floats(-80, 80, width=32), min_size=6, max_size=6), tokens, tokens)
def test_the_logit_difference_of_sets_is_the_log_odds_of_their_summed_probabilities(
    logits: list[float], answer: tuple[int, ...], foil: tuple[int, ...]
) -> None:
    probabilities = np.exp(np.array(logits) - max(logits))
    odds = probabilities[list(answer)].sum() / probabilities[list(foil)].sum()
    assert read("logit_diff", logits, answer, foil) == pytest.approx(np.log(odds), abs=1e-9)


def test_a_common_shift_of_all_logits_changes_no_logit_difference() -> None:
    logits = [0.5, -3.0, 2.0, 1.25]
    moved = [value + 1024.0 for value in logits]
    assert read("logit_diff", moved, (0, 2), (1,)) == pytest.approx(read("logit_diff", logits, (0, 2), (1,)))


@pytest.mark.parametrize(
    ("answer", "foil", "right"),
    [
        ((1,), (2,), 1.0),
        ((2,), (1,), 0.0),
        ((0, 1), (2, 3), 1.0),  # the best of each counts
        ((0, 2), (1, 3), 0.0),
        ((3,), (2,), 0.0),  # a tie is not right
        ((2,), (0,), 1.0),  # and another token's being on top does not matter
    ],
)
def test_with_a_foil_the_answer_is_right_where_it_is_above_the_foil(
    answer: tuple[int, ...], foil: tuple[int, ...], right: float
) -> None:
    assert read("accuracy", [-1.0, 7.0, 3.0, 3.0], answer, foil) == right


@pytest.mark.parametrize(("answer", "right"), [((1,), 1.0), ((0, 1), 1.0), ((2,), 0.0), ((0, 3), 0.0)])
def test_without_a_foil_the_answer_is_right_where_it_is_on_top_of_the_vocabulary(
    answer: tuple[int, ...], right: float
) -> None:
    assert read("accuracy", [-1.0, 7.0, 3.0, 3.0], answer) == right


def test_each_pair_is_read_from_its_own_row() -> None:
    logits = torch.tensor([[1.0, 2.0, 4.0], [1.0, 2.0, 4.0], [0.0, -2.0, 0.0]])
    pairs = [pair((2,), (0,)), pair((0,), (1, 1)), pair((1,), (2,))]
    numbers = read_all("logit_diff", logits, pairs)
    assert numbers.shape == (3,)
    assert numbers.tolist() == pytest.approx([3.0, -1.0 - np.log(2), -2.0])
    assert read_all("accuracy", logits, pairs).tolist() == [1.0, 0.0, 0.0]


def test_logits_of_half_precision_are_read_in_double() -> None:
    logits = torch.tensor([[8.0, 0.0, 0.0]], dtype=torch.bfloat16)
    (number,) = read_all("logit_diff", logits, [pair((0,), (1, 2))])
    assert number == pytest.approx(8.0 - np.log(2), abs=1e-12)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("name", ["logit_diff", "accuracy"])
def test_logits_that_are_not_numbers_are_an_error_that_names_the_prompt(name: str, bad: float) -> None:
    logits = torch.tensor([[0.0, 1.0], [0.0, bad], [0.0, 1.0]])
    pairs = [pair((0,), (1,), text) for text in ("one", "two", "three")]
    with pytest.raises(NumericsError, match="the model's logits are NaN or infinite for the pair of 'two'"):
        read_all(name, logits, pairs)


def test_the_logit_difference_needs_a_foil_for_every_pair_and_accuracy_does_not() -> None:
    pairs = [pair((0,), (1,)), pair((0,))]
    with pytest.raises(MethodError, match=r"needs a foil beside the answer: give foil=.*readout='accuracy'"):
        readout("logit_diff").check(pairs)
    readout("accuracy").check(pairs)
    readout("logit_diff").check(pairs[:1])


def test_a_readout_says_what_it_is_and_in_which_unit() -> None:
    assert str(readout("logit_diff")) == "answer - foil logit difference, last position"
    assert str(readout("accuracy")) == "accuracy, last position"
    assert [readout(name).unit for name in ("logit_diff", "accuracy")] == ["logits", "accuracy"]


@pytest.mark.parametrize("name", ["logitdiff", "", "Accuracy", None])
def test_an_unknown_readout_is_answered_with_those_there_are(name: str) -> None:
    with pytest.raises(MethodError) as caught:
        readout(name)
    assert str(caught.value) == f"there is no readout {name!r}; there are logit_diff, accuracy"
