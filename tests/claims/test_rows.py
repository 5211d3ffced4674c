"""Numbers about rows: weighted means by hand, claims about clean prompts alone, token ids beside the same rows as text."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from circuitcheck import MethodError, Model, PromptError, PromptPairs, mean, scaled
from circuitcheck.run import Run
from tests import oracle

TEXT = "I climbed up the {} tree and picked a {}. I climbed up the {} tree and picked"
FRUITS = [
    ("pear", "apple", "lemon"),
    ("plum", "apple", "lemon"),
    ("fig", "olive", "peach"),
    ("fig", "orange", "banana"),
]
ROWS = [
    {
        "clean": TEXT.format(tree, tree, clean),
        "corrupt": TEXT.format(tree, tree, corrupt),
        "answer": " an",
        "foil": " a",
        "tree": tree,
    }
    for tree, clean, corrupt in FRUITS
]
WEIGHTS = np.array([3.0, 1.0, 0.5, 2.0])
WEIGHTED = PromptPairs.from_rows([{**row, "weight": weight} for row, weight in zip(ROWS, WEIGHTS, strict=True)])
AGAIN = PromptPairs.from_rows([ROWS[0], ROWS[1], ROWS[0], ROWS[2], ROWS[0]])
PLAIN = PromptPairs.from_rows(ROWS)
CLEAN = PromptPairs.from_rows(ROWS, corrupt=None)
# With either answer, so that there is something for a mean to take away.
BOTH_WAYS = [
    *ROWS,
    *({**row, "clean": row["corrupt"], "corrupt": row["clean"], "answer": " a", "foil": " an"} for row in ROWS),
]


def gaps_by_hand(model: Model, rows: list[dict[str, str]]) -> "np.ndarray[Any, Any]":
    pairs = model.on(PromptPairs.from_rows(rows))._setup.sample.pairs
    by_text = {
        pair.pair.clean.text: oracle.logit_difference(model, pair, oracle.run(model, pair.clean))
        - oracle.logit_difference(model, pair, oracle.run(model, pair.corrupt))
        for pair in pairs
    }
    return np.array([by_text[row["clean"]] for row in rows])


def aligned(model: Model, effect: Callable[[Run], Any]) -> "np.ndarray[Any, Any]":
    """An effect's shift in each of the rows, in their order, in the readout's unit."""
    measured = effect(model.on(PLAIN)).raw.measure()
    by_text = {pair.pair.clean.text: number for pair, number in zip(measured.pairs, measured.per_pair, strict=True)}
    return np.array([by_text[row["clean"]] for row in ROWS])


def test_a_weighted_gap_is_the_weighted_mean_and_exact(bundled: Model) -> None:
    measured, gaps = bundled.on(WEIGHTED).gap.measure(), gaps_by_hand(bundled, ROWS)
    assert measured.estimate == pytest.approx(np.average(gaps, weights=WEIGHTS), abs=1e-4)
    assert (measured.exact, measured.n, measured.low) == (True, 4, measured.estimate)
    assert bundled.on(AGAIN).gap.measure().estimate == pytest.approx(np.average(gaps[:3], weights=[3, 1, 1]), abs=1e-4)


def test_a_share_of_weighted_rows_is_the_ratio_of_weighted_means(bundled: Model) -> None:
    shifts, gaps = aligned(bundled, lambda run: run.patch("L1.N8")), gaps_by_hand(bundled, ROWS)
    share = np.average(shifts, weights=WEIGHTS) / np.average(gaps, weights=WEIGHTS)
    run = bundled.on(WEIGHTED)
    assert run.patch("L1.N8").measure().estimate == pytest.approx(share, abs=1e-6)
    assert run.sweep("L1.N*").top(1)[0][1] == pytest.approx(share, abs=1e-6)
    assert share != pytest.approx(shifts.sum() / gaps.sum(), abs=5e-5)
    assert run.patch("L1.N8") > share - 1e-3
    assert run.patch("L1.N8") < share + 1e-3


def test_shares_of_pairs_and_what_columns_break_down_are_weighted(bundled: Model) -> None:
    measured = bundled.on(WEIGHTED).gap.measure()
    above = bundled.on(WEIGHTED).patch("L1.N8").pairs_above(0.6).measure()
    per_pair = bundled.on(WEIGHTED).patch("L1.N8").measure()
    by_text = {pair.pair.clean.text: number for pair, number in zip(per_pair.pairs, per_pair.per_pair, strict=True)}
    over = [by_text[row["clean"]] > 0.6 for row in ROWS]
    assert 0 < sum(over) < 4
    assert above.estimate == pytest.approx(np.average(over, weights=WEIGHTS))
    gaps = gaps_by_hand(bundled, ROWS)
    found = measured.as_json()["fillers"]["tree"]
    assert found["fig"] == pytest.approx(np.average(gaps[2:], weights=[0.5, 2]), abs=1e-4)
    assert found["pear"] == pytest.approx(gaps[0], abs=1e-4)


def test_the_mean_of_reference_prompts_counts_each_as_often_as_its_row(bundled: Model) -> None:
    rows = [{**row, "weight": weight} for row, weight in zip(ROWS[:2], (3, 1), strict=True)]
    pairs = PromptPairs.from_rows(rows)
    sample = bundled.on(pairs)._setup.sample.pairs
    weights = [pair.pair.weight for pair in sample for _ in range(2)]
    hook = "blocks.1.mlp.hook_post"
    there = [
        oracle.activations(bundled, tokens)[hook][0, -1, 8] for pair in sample for tokens in (pair.clean, pair.corrupt)
    ]
    middle = float(np.average(np.array(there), weights=weights))
    lost = []
    for pair in sample:

        def write(activation: Any, hook: Any) -> Any:
            activation[0, -1, 8] = middle
            return activation

        before = oracle.logit_difference(bundled, pair, oracle.run(bundled, pair.clean))
        lost.append(before - oracle.logit_difference(bundled, pair, oracle.run(bundled, pair.clean, [(hook, write)])))
    found = bundled.on(pairs).ablate("L1.N8@end", "mean").raw.measure()
    assert found.per_pair == pytest.approx(np.array(lost), abs=1e-4)


def test_many_weighted_rows_are_drawn_by_their_weights(anew: Any) -> None:
    from circuitcheck.settings import Settings

    model = anew(Settings(whole=3))
    measured = model.on(WEIGHTED).gap.measure()
    drawn = [pair.pair.clean.text for pair in measured.pairs]
    assert not measured.exact
    assert len(drawn) == 256
    often = np.array([drawn.count(row["clean"]) for row in ROWS]) / len(drawn)
    assert often == pytest.approx(WEIGHTS / WEIGHTS.sum(), abs=0.1)
    assert measured.low < np.average(gaps_by_hand(model, ROWS), weights=WEIGHTS) < measured.high


# Without a corrupted prompt


def test_claims_about_clean_prompts_need_no_corrupted_one(bundled: Model) -> None:
    with_both = bundled.on(PromptPairs.from_rows(BOTH_WAYS))
    alone = bundled.on(PromptPairs.from_rows(BOTH_WAYS, corrupt=None))
    claims: list[Callable[[Run], Any]] = [
        lambda run: run.accuracy,
        lambda run: run.ablate("L1.N8", mean(of="clean")),
        lambda run: run.ablate("L0.MLP", "zero"),
        lambda run: run.keep("L1.MLP | L0.MLP | L0.H2", mean(of="clean")),
        lambda run: run.direct("L1.N8"),
        lambda run: run.lens("L1.RESID_POST"),
        lambda run: run.attention("L0.H2", "@-2"),
    ]
    for claim in claims:
        ours, theirs = claim(alone).measure(), claim(with_both).measure()
        assert ours.estimate == pytest.approx(theirs.estimate, abs=1e-5)
        assert ours.as_json()["gap"] is None
    assert alone.ablate("L1.N8").measure().estimate == pytest.approx(
        alone.ablate("L1.N8", mean(of="clean")).measure().estimate
    )
    assert alone.ablate("L1.N8").each > 0
    assert "8 clean prompts" in alone.ablate("L1.N8").measure().method.reference
    assert "corrupt" not in alone._setup.tokenised(1)


NEEDS: dict[str, Callable[[Run], Any]] = {
    "the gap": lambda run: run.gap.measure(),
    "a patch": lambda run: run.patch("L1.N8").measure(),
    "ablation by counterfactual": lambda run: run.ablate("L1.N8", "counterfactual").measure(),
    "ablation by mean(of='corrupt')": lambda run: run.ablate("L1.N8", mean(of="corrupt")).measure(),
    "ablate L1.N8 (scaled(-1)), in the share of the gap,": lambda run: run.ablate("L1.N8", scaled(-1)).measure(),
    "direct L1.N8 (clean - corrupted run), in the share of the gap,": lambda run: run.direct("L1.N8").of_gap.measure(),
    "logit lens of the corrupted run": lambda run: run.lens("L1.RESID_POST", side="corrupt"),
    "attention of the corrupted run": lambda run: run.attention("L0.H2", "@-2", side="corrupt"),
    "steering into the corrupted run": lambda run: run.steer("L1.N8", 1.0),
    "mean_difference": lambda run: run.mean_difference("L1.RESID_POST@end"),
}


@pytest.mark.parametrize("what", NEEDS)
def test_what_needs_a_corrupted_prompt_is_refused_by_name(bundled: Model, what: str) -> None:
    with pytest.raises(MethodError) as caught:
        NEEDS[what](bundled.on(CLEAN))
    assert f"{what} needs corrupted prompts, and PromptPairs.from_rows (4 rows) has none" in str(caught.value)


# Token ids


def as_ids(model: Model) -> PromptPairs:
    tokenizer = model.bridge.tokenizer
    read = lambda text: tokenizer.encode(text, add_special_tokens=False)  # noqa: E731
    return PromptPairs.from_rows(
        [
            {"clean": [model.bos, *read(row["clean"])], "corrupt": [model.bos, *read(row["corrupt"])], "answer": read(" an"), "foil": read(" a")}
            for row in [*ROWS, {"clean": "I climbed up the apple tree and picked", "corrupt": "I climbed up the lemon tree and picked"}]
        ]
    )  # fmt: skip


def test_token_ids_play_the_roles_of_the_same_rows_as_text(bundled: Model) -> None:
    """In prompts of two lengths: the tokens of which a mean is made are counted from the end, and BOS is by itself."""
    short = {"clean": "I climbed up the apple tree and picked", "corrupt": "I climbed up the lemon tree and picked"}
    text, ids = (
        bundled.on(PromptPairs.from_rows([*ROWS, short | {"answer": " an", "foil": " a"}])),
        bundled.on(as_ids(bundled)),
    )
    claims: list[Callable[[Run], Any]] = [
        lambda run: run.ablate("L0.MLP", "mean"),
        lambda run: run.ablate("L0.MLP", "zero"),
        lambda run: run.patch("L1.RESID_PRE@-3"),
    ]
    for claim in claims:
        ours, theirs = claim(ids).measure(), claim(text).measure()
        assert sorted(ours.per_pair) == pytest.approx(sorted(theirs.per_pair), abs=1e-5)


def test_token_ids_may_be_counted_from_the_front_and_text_not(bundled: Model) -> None:
    pairs = PromptPairs.from_rows([row.as_row() for row in as_ids(bundled).rows[:4]])
    run, length = bundled.on(pairs), len(pairs.rows[0].clean.ids or ())
    assert (
        run.patch(f"L1.RESID_PRE@{length - 1}").measure().estimate == run.patch("L1.RESID_PRE@end").measure().estimate
    )
    both = run.patch(f"L1.RESID_PRE@{length - 3}-{length - 1}").measure()
    assert both.estimate == pytest.approx(
        run.patch("L1.RESID_PRE@-3 | L1.RESID_PRE@-2 | L1.RESID_PRE@-1").measure().estimate
    )
    assert run.attention("L0.H2", f"@0-{length - 1}").measure().estimate == pytest.approx(1)
    with pytest.raises(PromptError, match=r"lies outside .* \(20 tokens\)"):
        run.patch("L1.RESID_PRE@20").measure()
    with pytest.raises(PromptError, match="@5-6 counts tokens from the front, as in rows of token ids"):
        bundled.on(PLAIN).patch("L1.RESID_PRE@5-6").measure()
