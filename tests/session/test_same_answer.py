"""The same question has the same answer, whatever was asked, refused, failed or interrupted before it."""

import json
import random
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from circuitcheck import Model, PromptError, PromptPairs, contrast, load
from circuitcheck.engine.trust import Trust
from tests.conftest import Claims, each, examples

PREFIXES = ["", "The dog was old. ", "The cat was old. "]
PREFIXES += [f"They sold the {x}. " for x in ("boat", "book", "glove", "spoon", "window", "guitar", "bottle", "eagle")]
PREFIXES += ["They found the island. "]
TREE = "{}I climbed up the {} tree and picked a {}. I climbed up the {} tree and picked"


def rows(usable: int, unusable: int) -> list[dict[str, Any]]:
    """So many rows with an answer that continues the prompt, and others with one that merges with it."""
    good = [
        {"clean": TREE.format(p, t, t, x), "corrupt": TREE.format(p, t, t, y), "answer": " an", "foil": " a"}
        for p in PREFIXES
        for t in ("pear", "plum", "fig")
        for x in ("apple", "orange", "olive")
        for y in ("lemon", "banana", "peach")
    ]
    return good[:usable] + [row | {"answer": "s"} for row in good[:unusable]]


@pytest.mark.parametrize("unusable", each([296, 324], [296]))
def test_a_population_of_which_at_least_half_can_be_used_is_measured(bundled: Model, unusable: int) -> None:
    pairs = PromptPairs.from_rows(rows(324, unusable))
    first, second = (str(bundled.on(pairs).gap.measure()) for _ in range(2))
    assert first == second


def test_a_population_of_which_most_cannot_be_used_is_refused_however_little_of_it_is_looked_at(bundled: Model) -> None:
    pairs = PromptPairs.from_rows(rows(296, 324))
    said = []
    for ask in (lambda run: run._setup.sample, lambda run: run.gap.measure(), lambda run: run._setup.tokenised(4)):
        with pytest.raises(PromptError, match=r"most pairs .* cannot be used \(\d+ of \d+ can\)") as caught:
            ask(bundled.on(pairs))
        said.append(str(caught.value))
    assert len(set(said)) == 1
    assert "(296 of 620 can)" in said[0]


def test_how_many_pairs_were_rejected_does_not_depend_on_what_was_asked_before(bundled: Model) -> None:
    small = PromptPairs.from_rows(rows(324, 200))
    before = bundled.on(small).gap.measure()
    shown = bundled.on(small)._setup.tokenised(4)
    list(bundled.on(small)._setup.drawn.stages(10_000))
    again = bundled.on(small).gap.measure()
    assert (again.rejected, again.rejections, bundled.on(small)._setup.tokenised(4)) == (
        before.rejected,
        before.rejections,
        shown,
    )
    fresh = PromptPairs.from_rows(rows(324, 200))
    list(bundled.on(fresh)._setup.drawn.stages(10_000))
    assert bundled.on(fresh).gap.measure().rejected == before.rejected > 0


@pytest.mark.parametrize("error", each([KeyboardInterrupt, ValueError], (KeyboardInterrupt,)))
def test_an_interrupted_draw_is_no_end_of_a_population(bundled: Model, error: type[BaseException]) -> None:
    """A generator that raised gives no more: the pairs up to there would be taken for the whole population."""

    def pairs(answer: Any) -> PromptPairs:
        return PromptPairs(
            "{before}I climbed up the {tree} tree and picked a {tree}. I climbed up the {fruit} tree and picked",
            before=PREFIXES,
            tree=["pear", "plum", "fig"],
            fruit=contrast(clean=["apple", "orange", "olive"], corrupt=["lemon", "banana", "peach"]),
            answer=answer,
            foil=" a",
        )

    calls, interrupted = [0], [True]

    def answer(fillers: Any) -> str:
        calls[0] += 1
        if interrupted[0] and calls[0] == 100:
            raise error
        return " an"

    wanted = bundled.on(pairs(" an")).gap.measure()
    described = pairs(answer)
    calls[0] = 0
    with pytest.raises(PromptError if error is ValueError else error):
        bundled.on(described).gap.measure()
    interrupted[0] = False
    assert str(bundled.on(described).gap.measure()) == str(wanted)


def test_a_check_that_was_interrupted_is_made_again(fruit: PromptPairs, monkeypatch: pytest.MonkeyPatch) -> None:
    """Or cones would be trusted that were never compared with a plain run."""
    model, compared = load("bundled"), [0]
    disagreement = Trust._disagreement

    def interrupted_first(self: Trust, *given: Any) -> str:
        compared[0] += 1
        if compared[0] == 1:
            raise KeyboardInterrupt
        return disagreement(self, *given)

    monkeypatch.setattr(Trust, "_disagreement", interrupted_first)
    for expected in (1, 3):  # the base runs' again, and the patched ones'
        with suppress(KeyboardInterrupt):
            model.on(fruit).patch("L1.N8").measure()
        assert compared == [expected]


CLAIMS = """
from contextlib import suppress

def rows(usable, unusable):
    trees, clean, corrupt = ["pear", "plum", "fig"], ["apple", "orange", "olive"], ["lemon", "banana", "peach"]
    before = ["", "The dog was old. ", "The cat was old. ", "They sold the boat. ", "They sold the book. "]
    text = "{}I climbed up the {} tree and picked a {}. I climbed up the {} tree and picked"
    good = [
        dict(clean=text.format(p, t, t, x), corrupt=text.format(p, t, t, y), answer=" an", foil=" a")
        for p in before for t in trees for x in clean for y in corrupt
    ]
    return good[:usable] + [row | dict(answer=" an apple", foil=" a lemon") for row in good[:unusable]]

HALF, MOSTLY_NOT = PromptPairs.from_rows(rows(135, 130)), PromptPairs.from_rows(rows(60, 70))
LARGE = PromptPairs.from_rows(rows(135, 125))
stopped = [False]

def answer(fillers):
    if stopped[0] and fillers["tree"] == "fig":
        raise KeyboardInterrupt
    return " an"

STOPPED = PromptPairs(
    "I climbed up the {tree} tree and picked a {tree}. I climbed up the {fruit} tree and picked",
    tree=["pear", "plum", "fig"], fruit=contrast(clean=["apple", "orange", "olive"], corrupt=["lemon", "banana", "peach"]),
    answer=answer, foil=" a",
)

def boom(logits, pairs):
    raise ValueError("no such readout")

def ctrl_c(logits, pairs):
    raise KeyboardInterrupt

def test_half(model):
    assert model.on(HALF).patch("L1.N8") > 0.4
@pytest.mark.circuit(budget=32)
def test_half_of_few(model):
    assert model.on(HALF).patch("L1.N8") > 0.1
def test_logits(model):
    assert model.on(FRUIT).patch("L1.N8").raw > 1
def test_gap(model):
    assert model.on(FRUIT).gap > 1
def test_large(model):
    assert model.on(LARGE).gap > 1
def test_refused(model):
    assert model.on(MOSTLY_NOT).patch("L1.N8") > 0.4
def test_refused_again(model):
    assert model.on(MOSTLY_NOT).gap > 0.4
def test_raises(model):
    assert model.on(FRUIT, readout=boom).patch("L1.N8") > 0.4
def test_fails(model):
    assert model.on(FRUIT).patch("L1.N8") > 0.9
def test_every(model):
    assert model.on(FRUIT).patch("L1.N8").each > 0.6
def test_every_other(model):
    assert model.on(FRUIT).patch("L1.N8").each > 0.55
def test_interrupted_run(model):
    with pytest.raises(KeyboardInterrupt):
        model.on(FRUIT, readout=ctrl_c).patch("L1.N8").measure()
    assert model.on(FRUIT).ablate("L1.N8", "mean") > 0.1
def test_interrupted_draw(model):
    stopped[0] = True
    with suppress(KeyboardInterrupt):  # which it is, unless all of it was drawn before
        model.on(STOPPED).gap.measure()
    stopped[0] = False
    assert model.on(STOPPED).patch("L1.N8") > 0.4
def test_drawn(model):
    assert model.on(STOPPED).patch("L1.N8") > 0.3
def test_hooked(model):
    handle = model.bridge.blocks[1].mlp.register_forward_hook(lambda module, given, output: output * 0)
    try:
        assert model.on(FRUIT).patch("L1.N8") < 0.1
    finally:
        handle.remove()
"""
NAMES = [line.partition("(")[0].removeprefix("def ") for line in CLAIMS.splitlines() if line.startswith("def test_")]


def differences(one: Any, other: Any, path: str = "") -> list[str]:
    """Where two entries of reports are not the same, but for rounding (claims that are run together round together)."""
    if isinstance(one, dict) and isinstance(other, dict) and one.keys() == other.keys():
        return [found for key in one for found in differences(one[key], other[key], f"{path}/{key}")]
    if isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        return [
            found for n, both in enumerate(zip(one, other, strict=True)) for found in differences(*both, f"{path}/{n}")
        ]
    if isinstance(one, float) and isinstance(other, float):
        return [] if one == pytest.approx(other, rel=1e-4, abs=1e-5) else [f"{path}: {one} {other}"]
    return [] if one == other else [f"{path}: {one!r} {other!r}"]


@pytest.mark.thorough
def test_each_claims_report_is_the_same_in_every_order_and_selection(
    claims: Claims, pytester: pytest.Pytester, request: pytest.FixtureRequest
) -> None:
    def reported(names: list[str]) -> dict[str, Any]:
        path = f"{request.function.__name__}.py"  # as pytester calls it
        options = ["--circuit-json=found.json", "--circuit-controls=4", "--circuit-examples=40", "--circuit-budget=64"]
        claims(CLAIMS, *options, *(f"{path}::{name}" for name in names))
        report = json.loads(Path(pytester.path, "found.json").read_text())["claims"]
        for kept in Path(pytester.path, ".circuitcheck", "counterexamples").glob("*.json"):
            kept.unlink()
        unordered = {"duration", "seconds"}
        return {
            claim["nodeid"].rpartition("::")[2]: {key: value for key, value in claim.items() if key not in unordered}
            for claim in report
        }

    shuffled = random.Random(0)
    known: dict[str, Any] = {}
    some = [shuffled.sample(NAMES, shuffled.randint(len(NAMES) // 2, len(NAMES))) for _ in range(examples(0, 12))]
    for names in [NAMES, NAMES[::-1] if some else NAMES[::-3], *some]:
        if shuffled.random() < 0.5:
            Path(pytester.path, ".circuitcheck", "evidence.sqlite").unlink(missing_ok=True)
        for name, entry in reported(names).items():
            assert differences(entry, known.setdefault(name, entry), name) == []
    assert sum(entry["outcome"] == "passed" for entry in known.values()) >= 5
