"""Two real trained models, as a user would test them."""

import random

import pytest

from circuitcheck import Model, PromptError, PromptPairs, load
from circuitcheck.settings import Settings
from tests.conftest import shared_model

HE_OR_SHE = """
import pytest
from circuitcheck import ClaimRefuted, PromptPairs, contrast

PRONOUN = PromptPairs(
    "Once upon a time, there was a little {who} named {name}.",
    "One day, a {who} named {name} was happy.",
    who=contrast.pairs([("girl", "boy")]),
    name=["Lily", "Tim", "Ben", "Anna", "Max", "Jack", "Sara", "Bob"],
    answer=" She", foil=" He",
)

def test_behaviour(model):
    assert model.on(PRONOUN).accuracy > 0.95

def test_one_head_carries_most(model):
    "L4.H2 alone restores most of the gap between she and he."
    assert model.on(PRONOUN).patch("L4.H2@end") > 0.6

def test_it_is_needed(model):
    assert model.on(PRONOUN).ablate("L4.H2", "mean") > 0.5

@pytest.mark.parametrize("head", [0, 1, 3, 4, 5, 6, 7])
def test_no_other_head_of_its_layer_does_half_of_it(model, head):
    assert model.on(PRONOUN).patch(f"L4.H{head}") < 0.35

def test_the_gender_is_in_the_stream_at_the_word_then_at_the_end(model):
    assert model.on(PRONOUN).patch("L0.RESID_PRE@{who}") == pytest.approx(1, abs=1e-3)
    assert model.on(PRONOUN).patch("L4.RESID_POST@end") == pytest.approx(1, abs=1e-3)

@pytest.mark.xfail(raises=ClaimRefuted, strict=True)
def test_one_neuron_carries_most(model):
    assert model.on(PRONOUN).patch("L2.N3") > 0.5
"""


@pytest.mark.slow
def test_he_and_she_on_a_real_language_model(pytester: pytest.Pytester, stories: Model) -> None:
    pytester.makepyfile(HE_OR_SHE)
    path = shared_model("stories260K")
    result = pytester.runpytest_inprocess(f"--circuit-model={path}", "--circuit-bos=always", "-p", "no:cacheprovider")
    result.assert_outcomes(passed=11, xfailed=1)
    result.stdout.fnmatch_lines(
        [
            "supported*patch L4.H2@end > 0.6 of the gap: 0.7* (exact, n=16, rank 1 of 8 (all 7 others, on the same 16 pairs), stories260K)*"
        ]
    )


def test_a_head_of_grouped_queries_is_itself_and_no_neighbour(stories: Model, named: PromptPairs) -> None:
    """Eight query heads over four key and value heads: the address counts query heads."""
    shares = [stories.on(named).patch(f"L4.H{head}").measure().estimate for head in range(8)]
    assert max(range(8), key=shares.__getitem__) == 2
    assert len(set(shares)) == 8


def induction_rows(n: int = 2000, seed: int = 0) -> list[dict[str, object]]:
    """Token ids ``A B ... A`` whose answer is B; corrupted by another B."""
    draw = random.Random(seed)
    rows = []
    for _ in range(n):
        first, second, other = draw.sample(range(26), 3)
        clean = [draw.choice([token for token in range(26) if token != first]) for _ in range(8)]
        at = draw.randrange(6)
        clean[at], clean[at + 1], clean[-1] = first, second, first
        corrupt = [*clean[: at + 1], other, *clean[at + 2 :]]
        rows.append({"clean": clean, "corrupt": corrupt, "answer": second, "foil": other})
    return rows


@pytest.fixture(scope="module")
def induction() -> Model:
    """Evaluated whole, on enough prompts to compare with published figures."""
    return load(shared_model("gbmi_induction") / "finetuned_model_0.pt", settings=Settings(whole=2000))


@pytest.fixture(scope="module")
def repeated() -> PromptPairs:
    return PromptPairs.from_rows([{**row, "foil": ()} for row in induction_rows()])


def test_the_published_accuracy_of_the_induction_model(induction: Model, repeated: PromptPairs) -> None:
    """0.98 as published."""
    assert induction.on(repeated, readout="accuracy").accuracy == pytest.approx(0.98, abs=0.01)


@pytest.mark.parametrize(("head", "left"), [("L0.H0", 0.20), ("L1.H0", 0.04)])
def test_the_published_ablations_of_the_induction_model(
    induction: Model, repeated: PromptPairs, head: str, left: float
) -> None:
    """Resampling the head's output leaves so much accuracy of 0.98."""
    lost = induction.on(repeated, readout="accuracy").ablate(head, "resample").raw
    assert lost == pytest.approx(0.98 - left, abs=0.05)


def test_batched_equals_single_on_token_ids(induction: Model) -> None:
    rows = induction_rows(24, seed=1)
    together = induction.on(PromptPairs.from_rows(rows)).patch("L0.H0").measure()
    for pair, share in zip(together.pairs, together.per_pair, strict=True):
        row = {"clean": pair.clean, "corrupt": pair.corrupt, "answer": pair.answer, "foil": pair.foil}
        alone = induction.on(PromptPairs.from_rows([row])).patch("L0.H0").raw.measure()
        assert alone.estimate / together.gap == pytest.approx(share, abs=1e-5)


def test_a_model_without_a_tokenizer_asks_for_token_ids(induction: Model) -> None:
    rows = [{"clean": "a b a", "corrupt": "a c a", "answer": "b", "foil": "c"}]
    with pytest.raises(PromptError, match="no tokenizer: give prompts as token ids"):
        induction.on(PromptPairs.from_rows(rows)).gap.measure()


def test_a_model_that_cannot_be_taken_up_in_the_middle_is_run_plainly_and_the_report_says_so(
    pytester: pytest.Pytester,
) -> None:
    rows = induction_rows(40)
    pytester.makepyfile(f"""
from circuitcheck import PromptPairs

LISTS = PromptPairs.from_rows({rows})

def test_induction(model):
    assert model.on(LISTS).patch("L1.H0") > 0.5
""")
    path = shared_model("gbmi_induction") / "finetuned_model_0.pt"
    result = pytester.runpytest_inprocess(f"--circuit-model={path}", "-p", "no:cacheprovider")
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(
        [
            "finetuned_model_0 was run by plain hooked runs of the whole model, slower and with the same numbers: *past_key_values*"
        ]
    )
