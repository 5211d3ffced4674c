"""What helps with prompts: pairs that fit a model, token counts of fillers, reference prompts of other pairs, early errors."""

from dataclasses import replace
from typing import Any

import pytest

from circuitcheck import MethodError, Model, PromptError, PromptPairs, contrast, mean, resample
from tests import oracle

TEMPLATE = "I climbed up the {tree} tree and picked a {tree}. I climbed up the {fruit} tree and picked"
FRUITS = contrast(clean=["apple", "orange", "pomegranate"], corrupt=["lemon", "banana"])
FRUIT = PromptPairs(TEMPLATE, tree=["pear", "plum"], fruit=FRUITS, answer=" an", foil=" a")

LARGE = PromptPairs(
    TEMPLATE, tree=["pear", "plum", "fig", "apple"], fruit=contrast(clean=["apple", "orange", "olive"], corrupt=["lemon", "banana", "peach"]), answer=" an", foil=" a"
)  # fmt: skip


def test_what_can_never_align_is_left_out_and_told(bundled: Model, capsys: pytest.CaptureFixture[str]) -> None:
    answers = {"apple": " an", "orange": " an", "pomegranate": " a", "guava": " neverseen"}
    pairs = PromptPairs(
        TEMPLATE,
        tree=["pear", "plum"],
        fruit=contrast(clean=list(answers), corrupt=["lemon"]),
        answer=lambda f: answers[f["fruit"]],
        foil=" the",
    )
    fit = pairs.fitting(bundled)
    assert bundled.on(fit)._setup.drawn.first.rejections.total == 0
    assert {pair.pair.clean.text.split()[-4] for pair in bundled.on(fit)._setup.sample.pairs} >= {"apple", "orange"}
    assert any(line.startswith("{fruit} = 'guava' / 'lemon': 2 pairs") for line in fit.left_out)
    assert not any("{tree}" in line.split(":")[0] for line in fit.left_out)
    said = capsys.readouterr().out.splitlines()
    assert said[0].startswith(f"{len(fit.left_out)} left out of PromptPairs(")
    assert [line.strip() for line in said[1:]] == list(fit.left_out)
    assert fit.fitting(bundled).left_out == ()


def test_rows_that_cannot_be_used_are_left_out(bundled: Model) -> None:
    good = {"clean": "the apple tree", "corrupt": "the lemon tree", "answer": " an", "foil": " a"}
    fit = PromptPairs.from_rows([good, good | {"clean": "the lemon tree"}]).fitting(bundled)
    assert len(fit.rows) == 1
    assert fit.left_out == ("1 pair whose prompts do not differ, e.g. 'the lemon tree' / 'the lemon tree'",)
    with pytest.raises(PromptError, match="no pair of .* can be used, whatever the fillers"):
        PromptPairs.from_rows([good | {"clean": "the lemon tree"}]).fitting(bundled)


def test_of_a_large_population_each_filler_is_tried(bundled: Model) -> None:
    words = [f"{first} {second}" for first in ("the", "a", "my") for second in ("boat", "book", "dog", "cat", "glove")]
    pairs = PromptPairs(
        "{a} {b} {c} {d} {fruit} tree and picked",
        a=words, b=words, c=words, d=[*words, "the apple"], fruit=contrast(clean=["apple", "☃"], corrupt=["lemon"]),
        answer=" an", foil=" a",
    )  # fmt: skip
    fit = pairs.fitting(bundled)
    assert [line.split(":")[0] for line in fit.left_out] == ["{fruit} = '☃' / 'lemon'"]


def test_show_counts_the_tokens_of_either_sides_fillers(bundled: Model) -> None:
    trees = contrast(clean=["apple"], corrupt=["pear tree and lemon"])
    pairs = PromptPairs("I climbed up the {fruit} tree and picked", fruit=trees, answer=" an", foil=" a")
    assert bundled.on(pairs)._setup.tokenised(4).endswith("tokens  {fruit} apple 1, pear tree and lemon 4")


def test_show_counts_the_tokens_of_fillers(bundled: Model) -> None:
    assert "tokens  {tree} " in bundled.on(FRUIT)._setup.tokenised(1)
    counts = dict(
        part.rsplit(" ", 1)
        for part in bundled.on(FRUIT)._setup.tokenised(1).split("{tree} ")[1].split(";")[0].split(", ")
    )
    tokenizer = bundled.bridge.tokenizer
    assert counts == {
        tree: str(len(tokenizer.encode(f" {tree}", add_special_tokens=False))) for tree in ("pear", "plum")
    }


# Reference prompts of other pairs

OTHER = PromptPairs(TEMPLATE, tree=["fig"], fruit=contrast(clean=["olive"], corrupt=["peach"]), answer=" an", foil=" a")


def test_a_mean_over_other_pairs_is_theirs(bundled: Model) -> None:
    run, hook = bundled.on(FRUIT.fitting(bundled)), "blocks.1.mlp.hook_post"
    [other] = bundled.on(OTHER)._setup.sample.pairs
    for of, tokens in (("both", (other.clean, other.corrupt)), ("clean", (other.clean,))):
        middle = sum(float(oracle.activations(bundled, one)[hook][0, -1, 8]) for one in tokens) / len(tokens)
        lost = []
        for pair in run._setup.sample.pairs:

            def write(activation: Any, hook: Any, middle: float = middle) -> Any:
                activation[0, -1, 8] = middle
                return activation

            before, after = (
                oracle.logit_difference(bundled, pair, oracle.run(bundled, pair.clean, hooks))
                for hooks in ([], [(hook, write)])
            )
            lost.append(before - after)
        measured = run.ablate("L1.N8@end", mean(of=of, over=OTHER)).raw.measure()  # type: ignore[arg-type]
        assert measured.per_pair == pytest.approx(lost, abs=1e-4)
        assert measured.exact
        assert "over=PromptPairs(" in measured.label
    assert "2 clean and corrupted prompts" in run.ablate("L1.N8@end", mean(over=OTHER)).measure().method.reference


def test_donors_of_other_pairs_are_theirs(bundled: Model) -> None:
    run = bundled.on(FRUIT.fitting(bundled))
    of_mean, of_donor = (run.ablate("L1.N8@end", how(of="clean", over=OTHER)).raw.measure() for how in (mean, resample))
    assert of_donor.per_pair == pytest.approx(of_mean.per_pair, abs=1e-5)
    assert not of_donor.exact


def test_a_mean_over_a_draw_of_other_pairs_is_not_exact(anew: Any) -> None:
    from circuitcheck.settings import Settings

    model = anew(Settings(whole=4, reference=16))
    trees = ["pear", "plum", "fig", "apple", "orange", "lemon", "banana", "peach"]
    more = PromptPairs(
        TEMPLATE, tree=trees, fruit=contrast.pairs(LARGE.description.slots["fruit"].options), answer=" an"
    )  # type: ignore[union-attr, arg-type]
    assert model.on(LARGE).ablate("L1.N8", mean()).measure().exact
    run = model.on(LARGE)
    effect = run.ablate("L1.N8", mean(over=more)).raw
    measured, evidence = effect.measure(), effect._estimand.evidence(run._setup.described)
    assert not measured.exact
    # ... and the interval holds what another draw of them would give.
    assert evidence.parts is not None
    taken_for_granted = replace(evidence, parts=None).interval()
    narrow, wide = (high - low for low, high in (taken_for_granted, (measured.low, measured.high)))  # type: ignore[operator]
    assert wide > narrow + 2 * 0.9 * evidence.parts.reach(0.0, 0.005)


def test_pairs_whose_tokens_play_other_roles_are_no_reference(bundled: Model) -> None:
    other = PromptPairs("The {fruit} tree", fruit=contrast(clean=["apple"], corrupt=["lemon"]), answer=" an", foil=" a")
    with pytest.raises(MethodError, match="has no prompts whose tokens play the roles of those of"):
        bundled.on(OTHER).ablate("L1.N8", mean(over=other)).measure()
    with pytest.raises(MethodError, match="over= is PromptPairs"):
        mean(over="corrupt")  # type: ignore[arg-type]


# What is told when pairs are first seen

EARLY: dict[str, tuple[Any, str]] = {
    "a contrast that is missing": (
        lambda: PromptPairs("The {tree} is", tree=["fig", "pear"], answer=" an"),
        "no slot of 'The {tree} is' is a contrast",
    ),
    "a contrast in the answer alone": (
        lambda: PromptPairs("The {tree} is", tree=["fig"], n=contrast.pairs([("a", "b")]), answer=" {n}"),
        "no slot of 'The {tree} is' is a contrast",
    ),
    "a prompt beyond the context": (
        lambda: PromptPairs.from_rows([{"clean": "the apple" + " tree" * 200, "corrupt": "the lemon" + " tree" * 200, "answer": " an"}]),
        r"1 pair longer than the \d+ tokens that the model is made for, e.g. 20\d tokens: 'the apple tree",
    ),
    "half a surrogate pair in a template": (lambda: PromptPairs("a\ud800 {x}", x=contrast.pairs([("a", "b")]), answer="c"), "half a surrogate"),
    "half a surrogate pair in a filler": (lambda: PromptPairs("{x}", x=contrast.pairs([("a\udc00", "b")]), answer="c"), "half a surrogate"),
    "half a surrogate pair in a text of slots": (lambda: PromptPairs("{x}", x=contrast(clean="\ud800", corrupt="b"), answer="c"), "half a surrogate"),
    "half a surrogate pair in an answer": (lambda: PromptPairs("{x}", x=contrast.pairs([("a", "b")]), answer="\ud800"), "half a surrogate"),
    "half a surrogate pair from a function": (
        lambda: PromptPairs("{x}", x=contrast.pairs([("a", "b")]), answer=lambda _: "\ud800"),
        "half a surrogate",
    ),
    "ids beyond the vocabulary": (
        lambda: PromptPairs.from_rows([{"clean": [1, 10**30], "corrupt": [1, 2], "answer": 3}]),
        "outside the model's vocabulary of 850",
    ),
    "an id below the first": (
        lambda: PromptPairs.from_rows([{"clean": [1, -5], "corrupt": [1, 2], "answer": 3}]),
        "outside the model's vocabulary of 850",
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", EARLY)
def test_what_cannot_be_run_is_told_when_the_pairs_are_first_seen(bundled: Model, what: str) -> None:
    make, said = EARLY[what]
    with pytest.raises(PromptError, match=said):
        bundled.on(make())._setup.tokenised(4)


# A site that a sweep found


@pytest.mark.parametrize(
    ("swept", "claimed", "said"),
    [
        (LARGE, LARGE, "36 of 36 pairs are also in the sweep of patch L1.N[4-9]"),
        (LARGE.split("discover"), LARGE.split("confirm"), "the same fillers of {tree}, {fruit}"),
        (LARGE.split("discover", by="fruit"), LARGE.split("confirm", by="fruit"), "the same fillers of {tree} "),
        (LARGE.split("discover", by=("tree", "fruit")), LARGE.split("confirm", by=("tree", "fruit")), None),
    ],
)
def test_a_claim_says_where_its_site_was_found_on_the_same_fillers(
    bundled: Model, swept: PromptPairs, claimed: PromptPairs, said: str | None
) -> None:
    from circuitcheck import ledger

    with ledger.opened():
        site, _ = bundled.on(swept).sweep("L1.N[4-9]").top(1)[0]
        verdict = bundled.on(claimed).patch(site) > 0.3
        elsewhere = bundled.on(claimed).patch("L1.N11") < 0.3
        assert bool(verdict)
        assert bool(elsewhere)
    words = [note for note in verdict.measurement.notes if "sweep" in note]
    assert [said in words[0]] == [True] if said else not words
    assert not any("sweep" in note for note in elsewhere.measurement.notes)
    assert not any("sweep" in note for note in (bundled.on(claimed).patch(site) > 0.3).measurement.notes)
