"""The bundled model answers sentences that training never saw; its card says what it is."""

import random

import pytest
from transformers import AutoModelForCausalLM, AutoTokenizer

from circuitcheck import Model
from circuitcheck.bundled import PATH
from circuitcheck.reference_models.bundled import corpus, vocabulary
from circuitcheck.reference_models.bundled.tokenizer import check
from circuitcheck.reference_models.bundled.train import evaluate


def test_every_task_is_answered_on_sentences_that_were_held_out() -> None:
    accuracies = evaluate(AutoModelForCausalLM.from_pretrained(PATH), AutoTokenizer.from_pretrained(PATH))
    assert set(accuracies) == set(corpus.TASKS)
    assert all(share >= 0.99 for share in accuracies.values()), accuracies


def test_every_word_is_one_token_and_any_text_comes_back() -> None:
    check(AutoTokenizer.from_pretrained(PATH))


@pytest.mark.parametrize("task", corpus.TASKS)
def test_training_never_sees_a_held_out_prompt(task: str) -> None:
    rng = random.Random(0)
    stream = corpus.sentences(task, "train", rng)
    seen = {next(stream).prompt for _ in range(5000)}
    assert not seen & {sentence.prompt for sentence in corpus.examination(task, 300)}


def test_there_are_enough_nouns_of_both_kinds() -> None:
    assert len(set(vocabulary.AN_NOUNS)) >= 60
    assert len(set(vocabulary.A_NOUNS)) >= 60
    assert not set(vocabulary.AN_NOUNS) & set(vocabulary.A_NOUNS)


def test_the_card_is_of_these_weights(bundled: Model) -> None:
    assert bundled.fingerprint in (PATH / "README.md").read_text()
