"""Interchanges in a trained model whose algorithm was published: induction in two layers of one head each.

L0.H0 tells each token which one stands before it; L1.H0 asks at the last token for what followed its earlier copy, looks there, and
copies what it finds. So its query carries which token is asked for, its pattern where that stands, and its output what is answered.
"""

import pytest

from circuitcheck import Model, PromptPairs, load
from tests.conftest import shared_model
from tests.tokenizers_for_tests import letters

# Two keys with their values, and which key is asked for; the 26 tokens are called by letters.
KEYS, VALUES = ["a", "b", "c"], ["m", "n", "o"]
PAIRS = PromptPairs(
    "x {first} {one} y {second} {other} z {asked}",
    first=KEYS,
    second=KEYS,
    asked=KEYS,
    one=VALUES,
    other=VALUES,
    distinct=("first", "second"),
    where=lambda first, second, asked, one, other: asked in (first, second) and one != other,
    variables={
        "place": lambda first, asked: 1 if asked == first else 2,
        "value": lambda one, other, place: one if place == 1 else other,
    },
    answer=" {value}",
    foil=lambda one, other, place: f" {other if place == 1 else one}",
)


@pytest.fixture(scope="module")
def induction() -> Model:
    model = load(shared_model("gbmi_induction") / "finetuned_model_0.pt")
    model.bridge.tokenizer = letters(26)
    return load(model.bridge, weights="raw")


@pytest.mark.parametrize(
    ("site", "variable", "low", "high"),
    [
        ("L1.H0.PATTERN@end", "place", 0.9, 1.0),
        ("L1.H0.Q@end", "asked", 0.9, 1.0),
        ("L1.H0.Q@end", "place", 0.0, 0.5),
        ("L1.H0@end", "place", 0.0, 0.1),
        ("L1.H0@end", "value", 0.9, 1.0),
        ("L0.H0@end", "place", 0.0, 0.1),
    ],
)
def test_each_part_of_the_circuit_carries_what_was_published(
    induction: Model, site: str, variable: str, low: float, high: float
) -> None:
    measured = induction.on(PAIRS).interchange(site, variable).measure()
    assert measured.n > 20
    assert low <= measured.estimate <= high


def test_the_first_head_tells_each_value_which_key_stands_before_it(induction: Model) -> None:
    """What L0.H0 has at a value may be any prompt's in which the same key stands before it. Where the other key is the same, this one is by
    chance in one prompt of two."""
    run = induction.on(PAIRS)
    same, other = (
        run.scrub({"L0.H0@{one}": names, "L0.H0@{other}": others}).measure().estimate
        for names, others in (("first", "second"), ("second", "first"))
    )
    assert same > 0.9
    assert other < 0.6
