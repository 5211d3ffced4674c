"""Adversaries: what they promise, against finite differences; what they find, against a planted needle."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from benchmarks.rare_failure import THRESHOLD, rare_failure
from circuitcheck import ClaimRefuted, MethodError, Model, PromptPairs, contrast, load
from circuitcheck.prompts.aligned_pairs import AlignedPair
from circuitcheck.settings import Settings
from tests import oracle
from tests.conftest import Claims, each

ADVERSARIES = ("gradient", "coordinate")


@pytest.mark.parametrize("name", ADVERSARIES)
@pytest.mark.parametrize("seed", [pytest.param(seed, marks=[pytest.mark.slow] * (seed > 0)) for seed in range(10)])
def test_one_pair_in_ten_thousand_is_found_within_two_thousand_evaluations(name: str, seed: int) -> None:
    plant = rare_failure(seed, examples=2000)
    verdict = plant.model.on(plant.pairs).patch(plant.neuron).each.against(name) > THRESHOLD
    assert verdict.decision == "refuted"
    assert verdict.searched.duel is not None
    assert verdict.searched.duel.spent <= 2000
    assert verdict.searched.counterexample is not None
    assert verdict.searched.counterexample.pair.clean.text == plant.failing
    with pytest.raises(ClaimRefuted):
        assert verdict


@pytest.mark.slow
def test_all_pairs_hold_it_for_certain() -> None:
    plant = rare_failure(3, examples=10_000)
    verdict = plant.model.on(plant.pairs).patch(plant.neuron).each > THRESHOLD
    assert verdict.searched.counterexample is not None
    assert verdict.searched.counterexample.pair.clean.text == plant.failing
    held = plant.model.on(plant.pairs).patch(plant.neuron).each > 0.0
    assert (held.decision, held.searched.tried) == ("supported", 10_000)


@pytest.mark.slow
def test_the_report_puts_random_search_beside_it(claims: Claims, tmp_path: Path) -> None:
    path = tmp_path / "claims.json"
    body = """
def test_it(model):
    noisy = FRUIT.with_typos()
    assert model.on(noisy).patch("L2.RESID_POST").each.against("gradient") > 5
"""
    result = claims(body, "--circuit-examples=30", f"--circuit-json={path}")
    result.stdout.fnmatch_lines(
        ["*  against  gradient: the worst is *break the claim in * evaluations; random search in as many: *"]
    )
    [effect] = json.loads(path.read_text())["claims"][0]["effects"]
    assert effect["searched"]["duel"]["name"] == "gradient"
    assert effect["searched"]["duel"]["spent"] <= 30


def test_an_adversary_needs_slots_and_a_component(bundled: Model, fruit: PromptPairs) -> None:
    rows = PromptPairs.from_rows([{"clean": "The keys", "corrupt": "The key", "answer": " are", "foil": " is"}])
    with pytest.raises(MethodError, match="swaps the fillers of slots, and .* has none"):
        _ = bundled.on(rows).patch("L1.N8").each.against("gradient")
    with pytest.raises(MethodError, match="an adversary is 'gradient' or 'coordinate', not 'greedy'"):
        _ = bundled.on(fruit).patch("L1.N8").each.against("greedy")
    with pytest.raises(MethodError, match=r"against\('coordinate'\)"):
        _ = bundled.on(fruit).gap.each.against("gradient")
    assert bundled.on(fruit).gap.each.against("coordinate") > 0


MANY_FRUITS = contrast(
    clean=["apple", "orange", "olive", "avocado", "almond", "egg", "onion", "arrow", "owl", "engine"],
    corrupt=["lemon", "banana", "peach", "cherry", "lime", "table", "lamp", "river", "dog", "horse", "book", "drum"],
)


def of_the_answer(logits: torch.Tensor, pairs: Any) -> torch.Tensor:
    return logits[:, pairs[0].answer[0]] ** 2


SITES = {
    "L1.N8": ("blocks.1.mlp.out.hook_in", (..., 8)),
    "L0.H2": ("blocks.0.attn.hook_z", (slice(None), slice(None), 2)),
    "L1.H2.Q": ("blocks.1.attn.hook_q", (slice(None), slice(None), 2)),
    "L1.H2.K": ("blocks.1.attn.hook_k", (slice(None), slice(None), 2)),
    "L1.H2.PATTERN": ("blocks.1.attn.hook_pattern", (slice(None), 2)),
    "L1.MLP": ("blocks.1.hook_mlp_out", (...,)),
    "L1.RESID_MID": ("blocks.1.hook_resid_mid", (...,)),
    "L2.RESID_PRE@{fruit}": ("blocks.2.hook_resid_pre", None),
}


@pytest.mark.parametrize("into", ["corrupt", "clean"])
@pytest.mark.parametrize("site", each(SITES, ("L1.N8", "L1.H2.PATTERN", "L2.RESID_PRE@{fruit}")))
def test_slopes_are_the_derivatives_of_what_patching_shifts(
    bundled: Model, fruit: PromptPairs, site: str, into: Any
) -> None:
    run = bundled.on(fruit)
    effect = run.patch(site, into=into)
    pair = run._setup.sample.pairs[4]
    assert effect._estimand.experiment.at_components
    slopes = effect._estimand.experiment.slopes(pair)
    hook, entries = SITES[site]
    for side in ("clean", "corrupt"):
        for position in (pair.length - 4, pair.length - 1):
            expected = numerical(bundled, pair, hook, entries, into, side, position)
            found = float(slopes[side][position] @ direction()) if side in slopes else 0.0  # type: ignore[index]
            assert found == pytest.approx(expected, abs=0.02 + 0.02 * abs(expected))


@pytest.mark.parametrize("value", ["mean", "zero", "resample", 0.5])
def test_slopes_of_ablations_promise_what_swaps_bring(bundled: Model, fruit: PromptPairs, value: Any) -> None:
    """The direction of the steepest slope, taken a little way, changes what is lost by as much as promised."""
    run = bundled.on(fruit)
    effect = run.ablate("L1.N8", value)
    pair = run._setup.sample.pairs[2]
    assert effect._estimand.experiment.at_components
    slopes = effect._estimand.experiment.slopes(pair)
    assert set(slopes) == {"clean"}
    assert slopes["clean"].shape == (pair.length, 128)
    assert np.abs(slopes["clean"]).max() > 0.01


@pytest.mark.parametrize("readout", ["probability", "log_probability", "kl", of_the_answer])
def test_slopes_are_the_derivatives_of_other_readouts_too(bundled: Model, fruit: PromptPairs, readout: Any) -> None:
    """Of a divergence but for the clean run's own distribution, which is held: it is compared on the other side."""
    run = bundled.on(fruit, readout=readout)
    effect = run.patch("L0.H2")
    pair = run._setup.sample.pairs[4]
    assert effect._estimand.experiment.at_components
    slopes = effect._estimand.experiment.slopes(pair)
    hook, entries = SITES["L0.H2"]
    position = pair.length - 4
    expected = numerical(bundled, pair, hook, entries, "corrupt", "corrupt", position, readout)
    found = float(slopes["corrupt"][position] @ direction())
    assert abs(expected) > 1e-4
    assert found == pytest.approx(expected, rel=0.05)


def test_a_readout_without_a_gradient_is_searched_another_way(fruit: PromptPairs) -> None:
    def in_numpy(logits: torch.Tensor, pairs: Any) -> np.ndarray:
        found: np.ndarray = logits.numpy()[:, pairs[0].answer[0]]
        return found

    def in_steps(logits: torch.Tensor, pairs: Any) -> torch.Tensor:
        return logits.argmax(1) == pairs[0].answer[0]

    model = load("bundled", settings=Settings(examples=40))  # fewer than there are: otherwise all are tried
    many = PromptPairs(*fruit.templates, tree=["pear", "plum"], fruit=MANY_FRUITS, answer=" an", foil=" a")
    for function in (in_numpy, in_steps):
        each = model.on(many, readout=function).patch("L1.N8").each
        with pytest.raises(MethodError, match=r"lets no gradient through: write it in torch"):
            _ = each.against("gradient") > -5
        assert (each.against("coordinate") > -5).decision == "inconclusive"  # 40 are few


def direction() -> np.ndarray:
    found: np.ndarray = np.random.default_rng(0).normal(size=128)
    return found / np.linalg.norm(found)


def numerical(
    model: Model,
    pair: AlignedPair,
    hook: str,
    entries: Any,
    into: str,
    side: str,
    position: int,
    readout: Any = "logit_diff",
) -> float:
    """The shift's derivative along a direction of one token's embedding, by central differences of plain hooked runs."""
    step = 0.01
    up, down = (shift(model, pair, hook, entries, into, side, position, sign * step, readout) for sign in (1, -1))
    return (up - down) / (2 * step)


def shift(
    model: Model,
    pair: AlignedPair,
    hook: str,
    entries: Any,
    into: str,
    side: str,
    position: int,
    amount: float,
    readout: Any,
) -> float:
    bridge: Any = model.bridge
    moved = torch.tensor(direction(), dtype=torch.float32) * amount
    other = "clean" if into == "corrupt" else "corrupt"
    kept: dict[str, torch.Tensor] = {}
    clean = oracle.run(model, pair.clean)[0, -1]

    def nudged(of: str) -> Any:
        def nudge(activation: Any, hook: Any) -> Any:
            activation = activation.clone()
            if of == side:
                activation[:, position] += moved
            return activation

        return "hook_embed", nudge

    def margin(of: str, *hooks: Any) -> float:
        with torch.inference_mode():
            logits = bridge.run_with_hooks(torch.tensor([pair.tokens(of)]), fwd_hooks=[nudged(of), *hooks])
        if callable(readout):
            return float(readout(logits[:, -1], [pair])[0])
        return oracle.read(readout, pair, logits[0, -1], clean)

    def keep(activation: Any, hook: Any) -> None:
        kept["source"] = activation.clone()

    def put(activation: Any, hook: Any) -> Any:
        where = entries if entries is not None else (slice(None), pair.positions(model_position()))
        activation[where] = kept["source"][where]
        return activation

    margin(other, (hook, keep))
    change = margin(into, (hook, put)) - margin(into)
    return change if into == "corrupt" else -change


def model_position() -> Any:
    from circuitcheck.addresses.sites import Position

    return Position(slot="fruit")
