"""is / are: the verb agrees with its subject, not with the noun that stands nearer."""

import pytest

from circuitcheck import PromptPairs, contrast

SUBJECTS = [
    ("keys", "key"),
    ("dogs", "dog"),
    ("boys", "boy"),
    ("books", "book"),
    ("letters", "letter"),
    ("cars", "car"),
]
VERB = PromptPairs(
    "The {subject} {preposition} the {attractor}",
    subject=contrast.pairs(SUBJECTS),
    preposition=["near", "behind", "under"],
    attractor=["cabinet", "table", "tree", "doors", "cups", "flowers"],
    answer=" are",
    foil=" is",
)


EITHER = PromptPairs(
    "The {subject} {preposition} the {attractor}",
    subject=contrast.pairs([*SUBJECTS, *((one, many) for many, one in SUBJECTS)]),
    preposition=["near", "behind", "under"],
    attractor=["cabinet", "table", "doors", "cups"],
    answer=lambda clean: " are" if clean["subject"].endswith("s") else " is",
    foil=lambda clean: " is" if clean["subject"].endswith("s") else " are",
)


def test_the_verb_agrees_across_an_attractor(model):
    """At least 99 % of the verbs agree with their subject, whether the noun in between is one or many."""
    assert model.on(EITHER).accuracy >= 0.99


def test_the_number_is_read_from_the_subject(model):
    """The stream at the subject's token, before the first layer, holds the whole difference."""
    assert 0.95 < model.on(VERB).patch("L0.RESID_PRE@{subject}") < 1.05


def test_the_attractor_is_ignored(model):
    """By the last layer there is next to nothing of it to be had at the attractor's own token until it is the last."""
    assert model.on(VERB).patch("L0.RESID_PRE@{attractor}") == pytest.approx(0, abs=0.05)


def test_two_heads_fetch_the_number(model):
    """L0.H0 and L0.H2 together restore most of the difference."""
    assert model.on(VERB).patch("L0.H[0,2]") > 0.5
