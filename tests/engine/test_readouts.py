"""What is read from a run: one number per pair, against numpy and by hand."""

from typing import Any, get_args

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from circuitcheck.engine.readouts.functions import readout
from circuitcheck.engine.readouts.named import Reading, ReadoutName
from circuitcheck.errors import MethodError, NumericsError
from circuitcheck.prompts.aligned_pairs import AlignedPair
from circuitcheck.prompts.pairs import Pair, Prompt, Segment
from tests import oracle


def pair(answer: tuple[int, ...], foil: tuple[int, ...] = (), text: str = "the") -> AlignedPair:
    prompt = Prompt((Segment(text),))
    return AlignedPair(Pair(prompt, prompt, answer, foil), (0,), (1,), answer, foil, (0,), ("",))


def first_token(logits: torch.Tensor, pairs: Any) -> torch.Tensor:
    return logits[:, 0]


def read_all(name: Any, logits: torch.Tensor, pairs: list[AlignedPair], clean: torch.Tensor | None = None) -> Any:
    """What is read of all logits; the reading is given those of its vocabulary."""
    reading = Reading(readout(name), pairs, clean=lambda which: (logits if clean is None else clean)[which])
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


numbers = st.lists(st.floats(-40, 40, width=32), min_size=6, max_size=6)


@settings(deadline=None)
@given(numbers, numbers, tokens, st.one_of(st.just(()), tokens), st.sampled_from(get_args(ReadoutName)))
def test_every_readout_is_what_its_definition_says(
    logits: list[float], clean: list[float], answer: tuple[int, ...], foil: tuple[int, ...], name: str
) -> None:
    if name == "logit_diff" and not foil:
        foil = (0,)
    one = pair(answer, foil)
    (found,) = read_all(name, torch.tensor([logits]), [one], torch.tensor([clean]))
    wanted = oracle.read(name, one, torch.tensor(logits).double(), torch.tensor(clean).double())
    assert found == pytest.approx(wanted, abs=1e-9)


@settings(deadline=None)
@given(numbers, numbers, tokens)
def test_how_readouts_hang_together(logits: list[float], clean: list[float], answer: tuple[int, ...]) -> None:
    def found(name: str, of: list[float]) -> float:
        return float(read_all(name, torch.tensor([of]), [pair(answer)], torch.tensor([clean]))[0])

    assert found("log_probability", logits) == pytest.approx(np.log(found("probability", logits)), abs=1e-9)
    assert (found("rank", logits) == -1) == (found("accuracy", logits) == 1)
    assert found("kl", logits) <= 0
    assert found("kl", clean) == 0
    assert found("kl", [number + 3 for number in clean]) == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize(("answer", "rank"), [((1,), 1), ((2,), 2), ((3,), 2), ((0,), 4), ((0, 2), 2), ((0, 1), 1)])
def test_a_rank_counts_from_the_top_and_its_sign_is_turned(answer: tuple[int, ...], rank: int) -> None:
    assert read("rank", [-1.0, 7.0, 3.0, 3.0], answer) == -rank


def test_what_needs_all_of_the_vocabulary_is_given_it() -> None:
    """For the odds of two tokens no others are unembedded; a probability is among all."""
    pairs = [pair((0,), (2,))]
    for name in get_args(ReadoutName):
        vocabulary = Reading(readout(name), pairs).vocabulary
        assert (vocabulary is None) == (name not in ("logit_diff", "accuracy"))


def test_a_function_reads_logits_of_all_tokens_beside_the_rows_pairs() -> None:
    def of_answers(logits: torch.Tensor, pairs: Any) -> list[float]:
        return [float(row[list(one.answer)].sum()) for row, one in zip(logits, pairs, strict=True)]

    logits = torch.tensor([[1.0, 2.0, 4.0], [1.0, 2.0, 5.0]])
    assert read_all(of_answers, logits, [pair((2,)), pair((0, 2))]).tolist() == [4.0, 6.0]
    assert read_all(lambda logits, pairs: logits[:, 1].numpy(), logits, [pair((2,)), pair((0,))]).tolist() == [2, 2]


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (
            lambda logits, pairs: logits.mean(),
            r"gave numbers of shape \(\): it takes logits \(2, 3\) of \[row, token\]",
        ),
        (lambda logits, pairs: logits, r"gave numbers of shape \(2, 3\)"),
        (lambda logits, pairs: ["high", "low"], "gave a list that is no array of numbers"),
        (
            lambda logits, pairs: logits[:, 0] - logits[:, 0].mean(),
            "beside others and 0 by itself: a row's number must be",
        ),
    ],
)
def test_a_function_that_gives_no_number_a_row_is_told_what_it_should(function: Any, message: str) -> None:
    logits = torch.tensor([[1.0, 2.0, 4.0], [3.0, 2.0, 5.0]])
    with pytest.raises(MethodError, match=message):
        read_all(function, logits, [pair((2,)), pair((0,))])


def test_a_function_that_gives_nan_is_an_error_that_names_the_prompt() -> None:
    logits = torch.tensor([[0.0, 1.0], [0.0, -1.0]])
    pairs = [pair((0,), text=text) for text in ("one", "two")]
    with pytest.raises(
        NumericsError, match=r"what tests\.engine\.test_readouts\..*<lambda> gave is NaN or infinite.*'two'"
    ):
        read_all(lambda logits, pairs: logits[:, 1].sqrt(), logits, pairs)


def _noise(name: Any, logits: list[float], rounding: float) -> float:
    given, which = torch.tensor([logits]), torch.arange(1)
    reading = Reading(readout(name), [pair((0,))], rounding=rounding, clean=lambda which: given)
    return float(reading.noise(given, which, reading.read(given, which))[0])


def test_what_rounding_can_make_of_a_number_depends_on_the_readout() -> None:
    """The largest logit is 10, so that rounding moves each of them by 0.01."""
    logits, rounding = [3.0, 3.015, 2.99, 3.05, 10.0], 1e-3
    for name in ("probability", "log_probability", "kl"):
        assert _noise(name, logits, rounding) == pytest.approx(0.01)
    assert _noise("rank", logits, rounding) == 2  # 3.015 and 2.99 may stand above 3.0 or below it
    assert _noise("accuracy", logits, rounding) == 0
    assert _noise(lambda logits, pairs: 5 * logits[:, 3], logits, rounding) == pytest.approx(0.05)
    assert _noise(lambda logits, pairs: 1e-4 * logits[:, 3], logits, rounding) == pytest.approx(1e-6)


def test_a_common_shift_of_all_logits_changes_no_logit_difference() -> None:
    logits = [0.5, -3.0, 2.0, 1.25]
    moved = [value + 1024.0 for value in logits]
    assert read("logit_diff", moved, (0, 2), (1,)) == pytest.approx(read("logit_diff", logits, (0, 2), (1,)))


@pytest.mark.parametrize(
    ("answer", "foil", "right"),
    [
        ((1,), (2,), 1.0),
        ((2,), (1,), 0.0),
        ((0, 1), (2, 3), 1.0),
        ((0, 2), (1, 3), 0.0),
        ((3,), (2,), 0.0),  # a tie is not right
        ((2,), (0,), 1.0),  # and another token's being on top does not matter
    ],
)
def test_with_a_foil_the_answer_is_right_where_it_is_above_the_foil(
    answer: tuple[int, ...], foil: tuple[int, ...], right: float
) -> None:
    assert read("accuracy", [-1.0, 7.0, 3.0, 3.0], answer, foil) == right


def test_sets_are_right_by_the_rule_of_the_logit_difference_log_sum_exp() -> None:
    logits, answer, foil = [0.0, 3.5, 3.0, 3.0], (2, 3), (1,)
    assert read("logit_diff", logits, answer, foil) == pytest.approx(3.0 + np.log(2) - 3.5)
    assert read("accuracy", logits, answer, foil) == 1.0
    sets = [pair(answer, foil)]
    assert readout("accuracy").words_of(sets).startswith("accuracy (of sets: log-sum-exp over the members")
    assert (
        readout("logit_diff").words_of(sets) == "answer - foil logit difference (of sets: log-sum-exp over the members)"
    )
    assert readout("logit_diff").words_of([pair((2,), foil)]) == "answer - foil logit difference"


@pytest.mark.parametrize(
    ("pairs", "said"),
    [
        ([pair((2,), (1,))], "accuracy above the foil"),
        ([pair((2,))], "top-1 accuracy"),
        ([pair((2,)), pair((2,), (1,))], "accuracy, above the foil or top-1"),
    ],
)
def test_a_label_says_above_what_an_answer_is_right(pairs: list[Any], said: str) -> None:
    assert readout("accuracy").short_of(pairs) == said


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
@pytest.mark.parametrize("name", get_args(ReadoutName))
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
    assert str(readout("logit_diff")) == "answer - foil logit difference"
    assert str(readout("kl")) == "minus the KL divergence from the clean run"
    units = [readout(name).unit for name in get_args(ReadoutName)]
    assert units == ["logits", "accuracy", "probability", "nats", "places", "nats"]
    assert [readout(name).limits for name in get_args(ReadoutName)] == [None, (-1, 1), (-1, 1), None, None, None]


def test_a_function_is_named_by_its_qualified_name() -> None:
    assert str(readout(first_token)) == "tests.engine.test_readouts.first_token"
    assert str(readout(lambda logits, pairs: logits[:, 0])).startswith("tests.engine.test_readouts.test_a_function")


@pytest.mark.parametrize("name", ["logitdiff", "", "Accuracy", None])
def test_an_unknown_readout_is_answered_with_those_there_are(name: str) -> None:
    with pytest.raises(MethodError) as caught:
        readout(name)
    assert str(caught.value) == (
        f"there is no readout {name!r}; there are logit_diff, accuracy, probability, log_probability, rank, kl, "
        "functions of logits and pairs, and generated(predicate)"
    )
