"""The planted GPT-2 at a small scale: the same code, the same circuit, and plain hooks find what was planted."""

import runpy
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from circuitcheck import Model, PromptError, PromptPairs, contrast, load
from circuitcheck.prompts.aligned_pairs import AlignedPair
from circuitcheck.reference_models.planted_gpt2 import Blueprint, PlantedGPT2, planted_gpt2
from tests import oracle
from tests.conftest import first, shared_model
from tests.tokenizers_for_tests import byte_level

VOWELS, CONSONANTS = ["apple", "olive", "orange", "owl"], ["lemon", "peach", "pear", "dog"]
WORDS = ["I", " climbed", " up", " the", " tree", " and", " picked", " a", ".", " an"]
SMALL = Blueprint(layers=5, width=128, heads=4, neuron=(3, 9), mover=(2, 1), bypass=(1, 3))
NEURON, MOVER, BYPASS = "L3.N9", "L2.H1", "L1.H3"
# What random weights and LayerNorms may do to a share of the gap, and to a pair's logits: each LayerNorm divides by a
# little more the more there is in the stream.
TOLERANCE, OF_LOGITS = 0.005, 0.1
PAIRS = PromptPairs(
    "I climbed up the {tree} tree and picked a {tree}. I climbed up the {fruit} tree and picked",
    tree=["pear"],
    fruit=contrast(clean=VOWELS, corrupt=CONSONANTS),
    answer=" an",
    foil=" a",
)


@pytest.fixture(scope="module")
def plant() -> PlantedGPT2:
    tokenizer = byte_level(*WORDS, *(f" {noun}" for noun in VOWELS + CONSONANTS))
    return planted_gpt2(tokenizer, VOWELS, CONSONANTS, SMALL)


@pytest.fixture(scope="module")
def model(plant: PlantedGPT2, tmp_path_factory: pytest.TempPathFactory) -> Model:
    """As users get it: written to a folder, loaded, folded and centred."""
    folder = tmp_path_factory.mktemp("planted")
    plant.save(folder)
    assert (folder / "model.safetensors").exists()
    return oracle.share(load(folder))


def fruit(pair: AlignedPair) -> tuple[int, int]:
    """The nouns' tokens, which stand fourth from the end."""
    return pair.clean[-4], pair.corrupt[-4]


def replace_last(activation: Any, source: Any, at: Any) -> None:
    activation[(..., *at)] = source[(..., *at)]


@pytest.mark.parametrize(
    ("site", "hook", "at", "share"),
    first(
        1,
        [
            (NEURON, "blocks.3.mlp.out.hook_in", [9], 0.45),
            (MOVER, "blocks.2.attn.hook_z", [1, slice(None)], 0.75),
            (BYPASS, "blocks.1.attn.hook_z", [3, slice(None)], 0.25),
        ],
    ),
)
def test_plain_hooks_and_circuitcheck_find_the_planted_shares(
    model: Model, site: str, hook: str, at: list[Any], share: float
) -> None:
    run = model.on(PAIRS)
    measured = run.patch(site).measure()
    assert measured.exact
    assert measured.n == 16
    assert measured.estimate == pytest.approx(share, abs=TOLERANCE)
    found = oracle.patched_share(model, run._setup.sample.pairs, hook, partial(replace_last, at=at))
    assert found == pytest.approx(share, abs=TOLERANCE)


@pytest.mark.parametrize(
    ("path", "share"),
    [
        (f"{MOVER} -> {NEURON}", 0.45),
        (f"{MOVER} -> {NEURON} -> LOGITS", 0.45),
        (f"{MOVER} -> LOGITS", 0.30),
        (f"{MOVER} -> L3.MLP | {MOVER} -> LOGITS", 0.75),
        (f"{BYPASS} -> LOGITS", 0.25),
        (f"{BYPASS} -> {NEURON}", 0.0),
        (f"EMBED@{{fruit}} -> {MOVER}.V -> {NEURON}", 0.45),
        (f"EMBED@{{fruit}} -> {MOVER}.K", 0.0),
    ],
)
def test_paths_carry_what_was_planted_on_them(model: Model, path: str, share: float) -> None:
    assert model.on(PAIRS).patch(path).measure().estimate == pytest.approx(share, abs=TOLERANCE)


@pytest.mark.parametrize(
    ("circuit", "share"),
    [
        (f"{MOVER} | {NEURON} | {BYPASS}", 1.0),
        (f"{MOVER} | {NEURON}", 0.75),
        (f"{MOVER} -> {NEURON} | {NEURON} -> LOGITS", 0.45),
        # A neuron that does not hear the head is silent, and so says 0.45 less than on average.
        (f"{MOVER} -> LOGITS | {NEURON}", 0.30 - 0.45),
        (f"{MOVER} | {BYPASS} -> {NEURON}", 0.30 - 0.45),
    ],
)
def test_circuits_keep_what_their_edges_carry(model: Model, circuit: str, share: float) -> None:
    assert model.on(PAIRS).keep(circuit).measure().estimate == pytest.approx(share, abs=2 * TOLERANCE)


def test_every_pair_has_its_planted_numbers(plant: PlantedGPT2, model: Model) -> None:
    run = model.on(PAIRS)
    pairs = run._setup.sample.pairs
    for effect, planted in (
        (run.patch(NEURON).raw, plant.by_neuron),
        (run.ablate(NEURON, "zero").raw, plant.by_neuron),  # it is silent for the corrupted noun
        (run.patch(MOVER).raw, plant.by_mover),
        (run.gap, plant.by_all),
    ):
        expected = [planted(*fruit(pair)) for pair in pairs]
        assert np.ptp(expected) > 0.4  # they are not all the same
        assert effect.measure().per_pair == pytest.approx(np.array(expected), abs=OF_LOGITS)
    assert np.mean([plant.by_all(*fruit(pair)) for pair in pairs]) == pytest.approx(SMALL.gap)


def test_the_claims_of_the_founding_finding_come_out(model: Model) -> None:
    run = model.on(PAIRS)
    assert run.accuracy >= 1
    assert 0.445 < run.patch(NEURON) < 0.455
    assert 0.445 < run.ablate(NEURON, "mean") < 0.455  # the reference is clean and corrupted prompts alike
    assert run.patch(NEURON).beats("L3.N*", n=50)
    assert run.patch(MOVER).beats("L*.H*")
    assert run.patch("L3.MLP@end") == pytest.approx(0.45, abs=TOLERANCE)
    assert run.patch("L0.MLP") == pytest.approx(0, abs=TOLERANCE)
    assert run.patch("EMBED@{fruit}") == pytest.approx(1, abs=TOLERANCE)


def test_all_else_is_random_as_gpt2_is_initialised(plant: PlantedGPT2) -> None:
    """... but for the entries of the stream that are the circuit's, which nothing random reads or writes."""
    block = plant.network.transformer.h[4]
    projected = 0.02 / np.sqrt(2 * SMALL.layers)
    for weights, spread in ((block.attn.c_attn, 0.02), (block.mlp.c_fc, 0.02)):
        assert float(weights.weight[14:].detach().std()) == pytest.approx(spread, rel=0.05)
        assert not weights.weight[:14].any()
    for weights, spread in ((block.attn.c_proj, projected), (block.mlp.c_proj, projected)):
        assert float(weights.weight[:, 14:].detach().std()) == pytest.approx(spread, rel=0.05)
        assert not weights.weight[:, :14].any()


def test_another_seed_gives_other_weights_and_votes(plant: PlantedGPT2) -> None:
    again = planted_gpt2(plant.tokenizer, VOWELS, CONSONANTS, SMALL, seed=1)
    weights = [made.network.transformer.h[4].mlp.c_fc.weight for made in (plant, again)]
    assert not (weights[0][14:] == weights[1][14:]).any()
    assert not set(again.votes.values()) & set(plant.votes.values())


def test_a_seed_gives_the_same_network(plant: PlantedGPT2) -> None:
    again = planted_gpt2(plant.tokenizer, VOWELS, CONSONANTS, SMALL)
    for (name, one), other in zip(plant.network.state_dict().items(), again.network.state_dict().values(), strict=True):
        assert (one == other).all(), name


def test_a_noun_of_several_tokens_is_refused(plant: PlantedGPT2) -> None:
    with pytest.raises(PromptError, match="' plums' is [0-9]+ tokens"):
        planted_gpt2(plant.tokenizer, ["plums"], CONSONANTS, SMALL)


def test_the_nouns_of_the_claims_are_single_tokens_of_gpt2() -> None:
    """... so that no pair of the founding claims is rejected, and the circuit can be planted on them."""
    from transformers import GPT2TokenizerFast

    tokenizer = GPT2TokenizerFast.from_pretrained(shared_model("gpt2_bpe"))
    nouns = runpy.run_path(str(Path(__file__).parents[2] / "hypotheses" / "gpt2_large" / "nouns.py"))
    assert [len(nouns[side]) for side in ("VOWELS", "CONSONANTS")] == [50, 50]
    everyone = {*nouns["VOWELS"], *nouns["CONSONANTS"], "pear", "fig", "pine"}
    assert len(everyone) == 103
    assert [noun for noun in everyone if len(tokenizer(f" {noun}")["input_ids"]) != 1] == []
