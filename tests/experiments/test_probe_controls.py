"""Probes' controls, mutants and models with random weights, as claims report them."""

from pathlib import Path
from typing import Any

import pytest
import torch

from circuitcheck import Model, PromptPairs, load
from circuitcheck.bundled import PATH
from circuitcheck.engine.watching.snapshots import description, parts_of
from tests import oracle
from tests.architectures import ARCHITECTURES, saved
from tests.conftest import Claims, each


@pytest.mark.slow
def test_it_is_told_with_its_controls(claims: Claims, tmp_path: Any) -> None:
    import json

    path = tmp_path / "claims.json"
    result = claims(
        """
        NOUNS = PromptPairs(
            "They sold the window. We looked for the {noun} and found",
            noun=contrast.pairs(list(zip(
                "onion umbrella elephant owl engine arrow envelope instrument egg oven eagle apple".split(),
                "table lamp river dog horse book candle drum hammer mirror train spoon".split(),
            ))),
            answer=" an", foil=" a",
        )

        def vowel(fillers):
            return fillers["noun"][0] in "aeiou"

        def test_read(model):
            "Vowels are readable."
            assert model.on(NOUNS).probe("L0.RESID_POST@end", vowel).accuracy > 0.6

        def test_not_read_before(model):
            assert model.on(NOUNS).probe("L0.RESID_POST@{noun}-1", vowel).accuracy > 0.8

        def test_beats(model):
            assert model.on(NOUNS).probe("L0.RESID_POST@end", vowel).beats_controls()
        """.replace("\n        ", "\n"),
        f"--circuit-json={path}",
    )
    result.assert_outcomes(passed=2, failed=1)
    result.stdout.fnmatch_lines(
        [
            "*test_not_read_before*",
            "*ClaimRefuted: refuted: probe L0.RESID_POST@{noun}-1 for vowel > 0.8 accuracy: it is 0.5*",
            "*controls rank *; arbitrary labels: median *(of 16); random weights: median *(of 3)*",
            "supported *probe L0.RESID_POST@end for vowel > 0.6 accuracy: 1 (95% interval 0.* to 1, n=12, rank 1 of 20 (16 arbitrary labels, 3 random weights), *",
        ]
    )
    [read, _, _] = json.loads(path.read_text())["claims"]
    [effect] = read["effects"]
    assert effect["controls"]["rank"] == 1
    assert (effect["controls"]["arbitrary"], effect["controls"]["untrained"]) == (16, 3)
    assert all(isinstance(value, int | float | str) for value in effect["controls"].values())
    assert effect["method"]["verb"] == "probe"
    assert effect["method"]["value"] == "vowel: False (12), True (12)"
    assert "held out by fillers of {noun}" in effect["method"]["direction"]


@pytest.mark.slow
def test_a_probe_one_token_earlier_is_a_mutant_that_dies(claims: Claims) -> None:
    result = claims(
        """
        NOUNS = PromptPairs(
            "They sold the window. We looked for the {noun} and found",
            noun=contrast.pairs(list(zip(
                "onion umbrella elephant owl engine arrow envelope instrument egg oven eagle apple".split(),
                "table lamp river dog horse book candle drum hammer mirror train spoon".split(),
            ))),
            answer=" an", foil=" a",
        )

        def test_read(model):
            assert model.on(NOUNS).probe("L0.RESID_MID@end", lambda f: f["noun"][0] in "aeiou").accuracy > 0.8
        """.replace("\n        ", "\n"),
        "--circuit-mutate",
    )
    result.stdout.fnmatch_lines(["mutants: 1 * 3 not applicable"])


def test_a_model_with_random_weights(bundled: Model, fruit: PromptPairs) -> None:
    """Seeded, of the same architecture, processed alike, and not a matter of the process' own random numbers."""
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    one, same, other = bundled.untrained(0), bundled.untrained(0), bundled.untrained(1)
    assert torch.equal(torch.rand(3), expected)
    assert one.fingerprint == same.fingerprint
    assert len({one.fingerprint, other.fingerprint, bundled.fingerprint}) == 3
    assert one.anatomy.n_layers == bundled.anatomy.n_layers
    assert (one.weights, one.name) == ("processed", "bundled with random weights")
    assert abs(one.on(fruit).gap.measure().estimate) < 0.5
    assert bundled.on(fruit).gap.measure().estimate > 10
    embedding = one.bridge.original_model.transformer.wte.weight.detach()
    assert float(embedding.std()) == pytest.approx(0.02, rel=0.1)
    assert "_original_object_hash" in vars(one.bridge.original_model.generation_config)
    said = "".join(description(parts_of(one.bridge)))
    assert "hash=" not in said  # of an object: another in every session
    assert str(PATH) not in said


@pytest.mark.parametrize("name", each(ARCHITECTURES, ("GPT-2", "Gemma 2", "GPT-NeoX")))
def test_every_architecture_has_one_with_random_weights(name: str, tmp_path: Path) -> None:
    """And what is read of its activations is what a plain run has there."""
    weights = "raw" if name in ("Gemma 2", "OLMo 2", "Mixtral") else "processed"
    model = load(saved(tmp_path / "model", ARCHITECTURES[name]), weights=weights)
    other = model.untrained(5)
    assert other.anatomy.n_layers == model.anatomy.n_layers
    assert other.fingerprint != model.fingerprint
    assert other.weights == model.weights
    rows = [{"clean": [0, 7, n, 9], "corrupt": [0, 7, n + 1, 9], "answer": 3, "foil": 4} for n in range(100, 120, 2)]
    for one in (model, other):
        run = one.on(PromptPairs.from_rows(rows))
        found = one._loaded.answers.activations(run._setup.sample, "clean", run._setup.sites("L1.RESID_POST@end"))
        pair = run._setup.sample.pairs[7]
        plain = oracle.activations(one, pair.clean)["blocks.1.hook_resid_post"][0, -1]
        assert found[7] == pytest.approx(plain.double().numpy(), abs=1e-4)
