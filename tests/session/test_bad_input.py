"""Bad input gets an error that says what to do, and a failed or errored test: never a pass."""

import re
from pathlib import Path

import pytest

from tests.conftest import Claims

PAIRS = """
def pairs(template="We looked for the {x} and found", answer=" an", foil=" a", **slots):
    slots.setdefault("x", contrast(clean=["apple", "olive"], corrupt=["lemon", "peach"]))
    return PromptPairs(template, answer=answer, foil=foil, **slots)
"""

# What is wrong, the claim, and what the user reads.
MISTAKES = {
    "layer out of range": (
        'model.on(FRUIT).patch("L7.H0")',
        ["*AddressError: bundled has layers 0-2*", "*L7.H0*", "E    *^*"],
    ),
    "head out of range": ('model.on(FRUIT).patch("L1.H9")', ["*AddressError: bundled has heads 0-3 in each layer*"]),
    "unknown component": (
        'model.on(FRUIT).patch("L1.MPL")',
        ["*AddressError: bundled has no component 'MPL'*", "*nearest: L1.MLP*"],
    ),
    "a path backwards": (
        'model.on(FRUIT).patch("L1.H2 -> L0.H1")',
        ["*AddressError: L0.H1 reads the stream before L1.H2 writes into it*"],
    ),
    "unknown slot": ('model.on(FRUIT).patch("L1.H0@{fuit}")', ["*no slot 'fuit' (slots: @{tree}, @{fruit})*"]),
    "ambiguous slot": (
        'model.on(FRUIT).patch("L1.H0@{tree}")',
        ["*ambiguous: the slot occurs 2 times; write @{tree}[[]1[]]*"],
    ),
    "position outside": ('model.on(FRUIT).patch("L1.H0@-40")', ["*@-40 lies outside 'I climbed*"]),
    "answer that merges": (
        'model.on(pairs(answer="s")).patch(ALL)',
        ["*most pairs*", "*whose answer or foil merges with the prompt, e.g. 's' after 'We *"],
    ),
    "answer without its space": (
        'model.on(pairs(answer="an")).patch(ALL)',
        ["*whose answer or foil lacks its leading space, e.g. 'an' instead of ' an'"],
    ),
    "answer is the foil": ('model.on(pairs(foil=" an")).patch(ALL)', ["*whose answer is also their foil*"]),
    "prompts do not differ": (
        'model.on(pairs("We {x}", x=["apple", "lemon"])).patch(ALL)',
        ["*no slot of 'We {x}' is a contrast, so that clean and corrupted prompts are alike*"],
    ),
    "token counts differ": (
        'model.on(pairs(x=contrast(clean=["apple"], corrupt=["xylophone"]))).patch(ALL)',
        ["*differ in token count in {x}, e.g. *xylophone*"],
    ),
    "empty population": (
        "model.on(pairs(where=lambda clean, corrupt: False)).patch(ALL)",
        ["*empty population: where= or distinct= leave no pair*"],
    ),
    "where asks for no slot": (
        'model.on(pairs(where=lambda clean, corrupt: clean["y"])).patch(ALL)',
        ["*where= asks for the slot 'y', which is not given (given: x)*"],
    ),
    "missing slot": (
        'model.on(pairs("We {y} {x}")).patch(ALL)',
        ["*uses the slot {y}, which is not given (given: x)*"],
    ),
    "unused slot": ('model.on(pairs(z=["a", "b"])).patch(ALL)', ["*the slot 'z' is given but stands in no template*"]),
    "unknown readout": (
        'model.on(FRUIT, readout="perplexity").patch(ALL)',
        ["*there is no readout 'perplexity'; there are logit_diff, accuracy*"],
    ),
    "no foil": ("model.on(pairs(foil=())).patch(ALL)", ["*the logit difference needs a foil*readout='accuracy'*"]),
    "unknown ablation": (
        'model.on(FRUIT).ablate(ALL, "average")',
        ["*'mean', 'zero', 'resample', 'counterfactual', scaled(factor) or a number, not 'average'*"],
    ),
    "unknown direction": (
        'model.on(FRUIT).patch(ALL, into="dirty")',
        ["*into='corrupt' (denoising) or into='clean' (noising)*"],
    ),
    "a measurement for a claim": (
        "model.on(FRUIT).patch(ALL).measure()",
        ["*ComparisonError: patch * was measured, which decides nothing: claim the effect itself*"],
    ),
    "a name of before": ("model.on(FRUIT).patch(ALL).in_logits", ["*no attribute 'in_logits': write .raw*"]),
    "a share of an accuracy": ("model.on(FRUIT).accuracy.of_gap", ["*is not a share of anything*"]),
    "resampling from nobody": (
        'model.on(PromptPairs.from_rows([{"clean": "We looked for the apple and found", "corrupt": "We looked for the lemon and found", "answer": " an", "foil": " a"}])).ablate(ALL, "resample")',
        ["*resampling needs another pair of the same template*"],
    ),
    "behaviour absent": (
        'model.on(pairs("The {x} is")).patch(ALL)',
        ["*BehaviourAbsent: behaviour absent: on bundled the gap*floor of 0.5*"],
    ),
}


def test_mistakes_are_told_and_fail(claims: Claims) -> None:
    tests = [
        f"def test_{number}(model):\n    assert {claim} > -1" for number, (claim, _) in enumerate(MISTAKES.values())
    ]
    result = claims("\n".join([PAIRS, *tests]))
    result.assert_outcomes(failed=len(MISTAKES))
    said = re.split(r"^_+ test_\d+ _+$", result.stdout.str(), flags=re.MULTILINE)[1:]
    for (_, told), section in zip(MISTAKES.values(), said, strict=True):
        pytest.LineMatcher(section.splitlines()).fnmatch_lines(told)


def test_an_accuracy_is_compared_with_a_share(claims: Claims) -> None:
    result = claims("def test_it(model):\n    assert model.on(FRUIT).accuracy > 90")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*accuracy lies between 0 and 1; 90 does not*"])


def test_some_misaligned_pairs_are_rejected_counted_and_shown(claims: Claims) -> None:
    result = claims(
        PAIRS
        + """
def test_it(model):
    mixed = pairs(x=contrast(clean=["apple", "olive"], corrupt=["lemon", "peach", "xylophone"]))
    verdict = model.on(mixed).patch(ALL) > 2
    assert verdict.measurement.n == 4 and verdict.measurement.rejected == 2
    assert verdict
"""
    )
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        ["*refuted*n=4*", "*pairs    4 of 6 pairs; rejected 2 pairs whose prompts differ in token count in {x}*"]
    )


@pytest.mark.parametrize(
    ("model", "told"),
    [
        ("", ["*no model is given: pass --circuit-model*"]),
        (
            "gpt2-large",
            [
                "*'gpt2-large' is neither a folder here nor in a local cache, and a test run downloads nothing.*",
                "*hf download gpt2-large --include*",
            ],
        ),
        ("no such name!", ["*neither a folder or file here, nor a model's name on the hub*"]),
        ("nowhere/else/", ["*neither a folder*"]),
        ("gone.pt", ["*gone.pt does not exist*"]),
    ],
)
def test_a_model_that_cannot_be_found_says_how_to_get_it(claims: Claims, model: str, told: list[str]) -> None:
    result = claims("def test_it(model):\n    assert model.on(FRUIT).patch(ALL) > 0", model=model)
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(told)


def test_a_model_error_under_xfail_is_an_error(claims: Claims) -> None:
    body = "@pytest.mark.xfail\ndef test_it(model):\n    assert model.on(FRUIT).patch(ALL) > 0"
    claims(body, model="gpt2-large").assert_outcomes(errors=1)


def test_a_pickled_checkpoint_is_not_opened(claims: Claims, pytester: pytest.Pytester) -> None:
    folder = Path(pytester.path, "checkpoint")
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    (folder / "pytorch_model.bin").write_bytes(b"\x80\x04never loaded")
    result = claims("def test_it(model):\n    assert model.on(FRUIT).patch(ALL) > 0", model=folder)
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*only pytorch_model.bin, and a pickle can run any code*save_pretrained*"])


@pytest.mark.parametrize("option", ["--circuit-seed=-1", "--circuit-budget=3", "--circuit-weights=folded"])
def test_an_option_that_means_nothing_is_told(claims: Claims, option: str) -> None:
    result = claims("def test_it(model):\n    assert model.on(FRUIT).patch(ALL) > 0", option)
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines([f"*{option.split('=')[1]}*"])
