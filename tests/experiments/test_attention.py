"""What heads attend to: against patterns of plain runs, by token, slot and occurrence."""

import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from circuitcheck import MethodError, Model, PromptPairs, contrast, load
from circuitcheck.engine.chunks import chunks_of
from circuitcheck.prompts.aligned_pairs import AlignedPair
from circuitcheck.settings import Settings
from tests import oracle
from tests.conftest import shared_model
from tests.experiments.test_observations import SIDES, pairs_of


def attended(
    model: Model, pair: AlignedPair, layer: int, index: int, at: int, to: list[int], side: str = "clean"
) -> float:
    pattern = oracle.activations(model, pair.tokens(side))[f"blocks.{layer}.attn.hook_pattern"]
    return float(pattern[0, index, at, to].sum())


def test_attention_is_what_the_pattern_says(stories: Model, named: PromptPairs) -> None:
    """Names of one to three tokens, on grouped queries."""
    run, pairs = stories.on(named), pairs_of(stories, named)
    names = [
        [at for at, owner in enumerate(pair.segments) if owner >= 0 and pair.slots[owner] == "name"] for pair in pairs
    ]
    assert len({len(places) for places in names}) > 1
    for side in ("clean", "corrupt"):
        expected = [
            attended(stories, pair, 3, 5, pair.length - 1, places, side)
            for pair, places in zip(pairs, names, strict=True)
        ]
        found = run.attention("L3.H5", source="{name}", side=side).measure()  # type: ignore[arg-type]
        assert found.per_pair == pytest.approx(np.array(expected), abs=1e-5)
        assert (found.unit, found.exact) == ("attention", True)
    before = [attended(stories, pair, 1, 2, pair.length - 2, [pair.length - 3]) for pair in pairs]
    found = run.attention("L1.H2", source="-3", destination="@-2").measure()
    assert found.per_pair == pytest.approx(np.array(before), abs=1e-5)


def test_attention_is_read_where_each_pair_has_its_token(bundled: Model) -> None:
    """Two templates of one length and one first difference, with the other noun at different places."""
    pairs = PromptPairs(
        "They sold the {noun} near the {other} and the lamp",
        "They sold the {noun} near the lamp and the {other}",
        noun=contrast(clean=["apple", "olive", "owl"], corrupt=["lemon", "dog"]),
        other=["table", "book", "river"],
        answer=" an",
        foil=" a",
    )
    sample = bundled.on(pairs)._setup.sample
    assert len(chunks_of(sample, 10**6)) == 1
    places = [7 + 3 * pair.pair.template for pair in sample.pairs]
    expected = [attended(bundled, pair, 0, 1, at, [4]) for pair, at in zip(sample.pairs, places, strict=True)]
    found = bundled.on(pairs).attention("L0.H1", source="{noun}", destination="{other}").measure()
    assert found.per_pair == pytest.approx(np.array(expected), abs=1e-5)
    assert np.ptp(expected) > 0.01


def test_of_a_sample_there_is_an_interval_within_what_attention_can_be(
    anew: Callable[..., Model], fruit: PromptPairs
) -> None:
    model = anew(Settings(whole=8, budget=64))
    truth = anew().on(fruit)
    for effect, exact in (
        (model.on(fruit).attention("L0.H2", source="{fruit}"), truth.attention("L0.H2", source="{fruit}")),
        (model.on(fruit).direct("L1.N8").of_gap, truth.direct("L1.N8").of_gap),
        (model.on(fruit).lens("L1.RESID_POST"), truth.lens("L1.RESID_POST")),
    ):
        found, known = effect.measure(), exact.measure().estimate
        assert found.low is not None
        assert found.high is not None
        assert found.low <= known <= found.high
    assert model.on(fruit).attention("L0.H2", source="{fruit}").measure().high <= 1.001  # type: ignore[operator]


def test_attention_is_paid_from_one_token(stories: Model, named: PromptPairs) -> None:
    with pytest.raises(MethodError, match=r"attention is paid from one token, and @{name} is \d in"):
        stories.on(named).attention("L0.H0", source="{who}", destination="{name}").measure()


def test_where_a_head_attends_is_asked_without_a_foil(bundled: Model, fruit: PromptPairs) -> None:
    rows = [{"clean": p.clean, "corrupt": p.corrupt, "answer": p.answer[0]} for p in pairs_of(bundled, fruit)[:3]]
    with_foils = [row | {"foil": pair.foil[0]} for row, pair in zip(rows, pairs_of(bundled, fruit), strict=False)]
    found, wanted = (
        bundled.on(PromptPairs.from_rows(some)).attention("L0.H2", source="@-4").measure()
        for some in (rows, with_foils)
    )
    assert found.label == wanted.label
    assert found.estimate == wanted.estimate > 0


def test_attention_patterns_of_prompts_of_one_shape_have_a_mean(bundled: Model, fruit: PromptPairs) -> None:
    """By plain hooks: the mean pattern of the clean and corrupted prompts is put in; of prompts as long, whatever else there is."""
    hook, pairs = "blocks.0.attn.hook_pattern", pairs_of(bundled, fruit)

    def lost(alike: tuple[AlignedPair, ...]) -> list[float]:
        patterns = [oracle.activations(bundled, pair.tokens(side))[hook][0, 2] for pair in alike for side in SIDES]
        mean = torch.stack(patterns).double().mean(0).float()

        def put(activation: torch.Tensor, hook: Any) -> torch.Tensor:
            activation[0, 2] = mean
            return activation

        return [
            oracle.logit_difference(bundled, pair, oracle.run(bundled, pair.clean))
            - oracle.logit_difference(bundled, pair, oracle.run(bundled, pair.clean, [(hook, put)]))
            for pair in alike
        ]

    measured = bundled.on(fruit).ablate("L0.H2.PATTERN").raw.measure()
    assert measured.estimate == pytest.approx(np.mean(lost(pairs)), abs=1e-4)
    ids = [{"answer": p.answer[0], "foil": p.foil[0], "clean": p.clean, "corrupt": p.corrupt} for p in pairs]
    longer = [row | {"clean": (*row["clean"], 20), "corrupt": (*row["corrupt"], 20)} for row in ids[:2]]  # type: ignore[misc]
    mixed = PromptPairs.from_rows([*ids, *longer])
    wanted = [*lost(pairs), *lost(pairs_of(bundled, PromptPairs.from_rows(longer)))]
    measured = bundled.on(mixed).ablate("L0.H2.PATTERN").raw.measure()
    assert measured.estimate == pytest.approx(np.mean(wanted), abs=1e-4)


def induction_pairs(place: int) -> PromptPairs:
    """``A B ... A`` -> B with the first A at one place."""
    draw, rows = random.Random(0), []
    for _ in range(100):
        first, second, other, *rest = draw.sample(range(26), 8)
        clean = [*rest[:place], first, second, *rest[place:], first]
        corrupt = [*clean[: place + 1], other, *clean[place + 2 :]]
        rows.append({"clean": clean, "corrupt": corrupt, "answer": second, "foil": other})
    return PromptPairs.from_rows(rows)


def test_the_published_heads_of_an_induction_model() -> None:
    """L0.H0 looks at the token before, L1.H0 at the one behind the earlier copy, and L1.H0 writes the answer; no norm here."""
    model = load(shared_model("gbmi_induction") / "finetuned_model_0.pt", weights="raw")
    run = model.on(induction_pairs(2))
    assert run.attention("L0.H0", source="@-6", destination="@-5") > 0.8
    assert run.attention("L1.H0", source="@-5") > 0.8
    for elsewhere in ("@end", "@-2", "@-3", "@-4", "@-6", "@-7", "@-8"):
        assert run.attention("L1.H0", source=elsewhere) < 0.1
    assert run.direct("L1.H0").of_gap == pytest.approx(1, abs=0.02)
    assert run.direct("EMBED | L*.ATTN").of_gap == pytest.approx(1, abs=1e-4)
    assert run.lens("L0.RESID_POST").of_gap == pytest.approx(0, abs=0.02)
