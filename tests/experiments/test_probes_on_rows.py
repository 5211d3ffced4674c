"""Probes for a column of rows: statements with a label, whose topics are new in each fold."""

from typing import Any

import numpy as np
import pytest

from circuitcheck import MethodError, Model, PromptPairs
from circuitcheck.reference_models.bundled.vocabulary import A_NOUNS, AN_NOUNS

VOWELS = ["apple", "orange", "olive"]
OTHERS = ["lemon", "banana", "peach", "pear", "plum", "fig"]
# Statements without answers: a label each, and the noun that they are about.
STATEMENTS = [
    {"statement": f"{begin}I climbed up the {noun} tree and picked", "label": noun in VOWELS, "noun": noun, "n": number}
    for noun in (*VOWELS, *OTHERS)
    for number, begin in enumerate(("", "The dog was old. "))
]


@pytest.fixture(scope="module")
def statements() -> PromptPairs:
    return PromptPairs.from_rows(STATEMENTS, clean="statement", answer=None)


def test_a_column_is_read_on_topics_that_are_new(bundled: Model, statements: PromptPairs) -> None:
    probe = bundled.on(statements, generalise="noun").probe("L1.RESID_POST@end", "label")
    measured = probe.accuracy.measure()
    assert (measured.n, probe.task.new, probe.task.classes) == (18, "fillers of {noun}", ("False", "True"))
    assert measured.estimate > 0.8
    assert probe.accuracy > 0.5
    folds = {probe.task.groups[n] for n in range(18)}
    assert len(folds) == 9


def test_a_function_of_columns_is_the_column(bundled: Model, statements: PromptPairs) -> None:
    run = bundled.on(statements, generalise="noun")
    by_name, by_function = (
        run.probe("L1.RESID_POST@end", concept).accuracy.measure().estimate
        for concept in ("label", lambda row: row["label"])
    )
    assert by_name == by_function


def test_a_column_is_about_the_clean_prompt_of_its_row(bundled: Model, statements: PromptPairs) -> None:
    """A row's corrupted prompt is not labelled by it, which would read the same label of both."""
    rows = [row | {"corrupt": str(row["statement"]).replace("picked", "sold")} for row in STATEMENTS]
    both = bundled.on(PromptPairs.from_rows(rows, clean="statement", answer=None), generalise="noun")
    alone = bundled.on(statements, generalise="noun")
    ours, theirs = (run.probe("L1.RESID_POST@end", "label") for run in (both, alone))
    assert {side for _, side in ours.task.sources} == {"clean"}
    assert sorted(ours.task.labels) == sorted(theirs.task.labels)
    assert np.isclose(ours.accuracy.measure().estimate, theirs.accuracy.measure().estimate)


@pytest.mark.parametrize(
    ("generalise", "concept", "said"),
    [
        ("noun", "side", "the side needs corrupted prompts, and these rows have none"),
        ("noun", "topic", "'topic' is no slot and no column of these prompts; they have label, noun, n"),
        ("topic", "label", "generalise='topic' is no slot of these prompts"),
        ("", "label", "each filler of {label} is a class of its own"),
        ("n", "label", "a probe is a statement about new fillers of {n}, and 2 are too few"),
    ],
)
def test_what_cannot_be_learnt_of_columns_is_refused(
    bundled: Model, statements: PromptPairs, generalise: str, concept: Any, said: str
) -> None:
    with pytest.raises(MethodError, match=said):
        bundled.on(statements, generalise=generalise).probe("L1.RESID_POST@end", concept).accuracy.measure()


def test_statements_without_answers_are_for_probes_alone(bundled: Model, statements: PromptPairs) -> None:
    for claim in (lambda run: run.accuracy, lambda run: run.ablate("L1.N8"), lambda run: run.lens("L1.RESID_POST")):
        with pytest.raises(MethodError, match="needs an answer, and these rows have none: give answer="):
            claim(bundled.on(statements)).measure()


def test_controls_of_a_column_of_two_values_are_other_labels(bundled: Model) -> None:
    """Dealt out between the two values they would be the label itself or its contrary, and as readable."""
    nouns = [*AN_NOUNS[20:60], *A_NOUNS[20:60]]
    rows = [
        {
            "clean": f"They sold the {other}. We looked for the {noun} and found",
            "vowel": noun[0] in "aeiou",
            "noun": noun,
        }
        for noun in nouns
        for other in ("train",)
    ]
    probe = bundled.on(PromptPairs.from_rows(rows, answer=None), generalise="noun").probe("L0.RESID_MID@end", "vowel")
    ours = probe.accuracy.measure().estimate
    assert ours > 0.85
    arbitrary = [probe.arbitrary(number) for number in range(8)]
    assert max(arbitrary) < ours - 0.1
    assert np.mean(arbitrary) == pytest.approx(0.5, abs=0.12)
    verdict = probe.beats_controls()
    assert verdict.decision == "supported"
    assert "dealt out" not in verdict.explain()


def test_too_few_topics_for_labels_to_be_dealt_out_are_told(bundled: Model) -> None:
    rows = [row for row in STATEMENTS if row["noun"] in [*VOWELS, *OTHERS[:3]]]
    run = bundled.on(PromptPairs.from_rows(rows, clean="statement", answer=None), generalise="noun")
    verdict = run.probe("L1.RESID_POST@end", "label").beats_controls()
    assert verdict.decision != "supported"
    assert "labels can be dealt out in 10 ways, and not in 40 of which they could be the best" in verdict.explain()
