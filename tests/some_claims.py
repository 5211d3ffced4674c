"""Claims as reports carry them, with numbers that are drawn: nothing is run for them."""

import random
from typing import Any

from circuitcheck.experiments.methods import Method
from circuitcheck.reference_models.bundled import vocabulary
from circuitcheck.report.claims import Claim

# How far the estimate is above the threshold.
_OVER = {"supported": 0.15, "inconclusive": 0.05, "refuted": -0.15}
_VERDICTS = ("supported", "supported", "supported", "refuted", "inconclusive")
MODEL = {
    "name": "bundled", "fingerprint": "24e8dc575f1b6adf", "architecture": "GPT2LMHeadModel", "layers": 3, "weights": "processed",
    "bos": 0, "dtype": "float32", "device": "cpu", "engine": "cone", "transformer_lens": "4.3.0", "torch": "2.13.0", "seed": "0", "step": None,
}  # fmt: skip
METHOD = Method(
    verb="patch",
    granularity="neuron",
    component="L1.N8",
    value="clean activation",
    reference="",
    positions="all",
    direction="denoising",
    sites=1,
    universe="",
    frozen="nothing",
    readout="answer - foil logit difference, last position",
    clipped="±2 mean gaps of 17 logits (of 16 reference pairs)",
)


def effect(draw: random.Random, verdict: str = "supported") -> dict[str, Any]:
    """A comparison as reports carry it, with numbers that are drawn: 300 pairs of the founding prompt."""
    estimate = draw.uniform(0.1, 0.9)
    spread = sorted(float(f"{draw.gauss(estimate, 0.08):.4g}") for _ in range(200))
    trees, clean, corrupt = (
        draw.sample(words, 4) for words in (["pear", "plum", "fig", "oak"], vocabulary.AN_NOUNS, vocabulary.A_NOUNS)
    )

    def pair(value: float) -> dict[str, Any]:
        tree = draw.choice(trees)
        sides = {
            side: [["I climbed up the ", ""], [tree, "tree"], [" tree and picked a ", ""], [tree, "tree"],
                   [". I climbed up the ", ""], [draw.choice(fruits), "fruit"], [" tree and picked", ""]]
            for side, fruits in (("clean", clean), ("corrupt", corrupt))
        }  # fmt: skip
        return {"value": value, **sides, "answer": [" an"], "foil": [" a"]}

    couples = {f"{one} / {other}": draw.gauss(estimate, 0.05) for one in clean for other in corrupt}
    return {
        "verdict": verdict,
        "label": f"patch L1.N{draw.randrange(48)}",
        "site": "L1.N8",
        "method": METHOD.as_json(),
        "unit": "gap",
        "estimate": estimate,
        "low": estimate - 0.1,
        "high": estimate + 0.1,
        "level": 0.95,
        "exact": False,
        "n": 300,
        "counted": "pairs",
        "rejected": 0,
        "rejections": "",
        "gap": 21.7,
        "model": "bundled",
        "fingerprint": MODEL["fingerprint"],
        "origin": None,
        "population": "6720 pairs",
        "population_id": "d0c48c520a5d25c7",
        "fillers": {"tree": {tree: draw.gauss(estimate, 0.02) for tree in trees}, "fruit": couples},
        "controls": {
            "rank": 1, "of": 17, "median": 1e-5, "highest": 0.02, "best": "L1.N40", "whole": 0.7, "pairs": 32,
            "of_directions": False, "drawn_of": 47, "dead": 0,
        },
        "operator": ">",
        "threshold": round(estimate - _OVER.get(verdict, 0.15), 2),
        "margin": None,
        "needed": None,
        "examples": 1,
        "e_value": 812.0,
        "notes": [],
        "spread": spread,
        "lowest": [pair(value) for value in spread[:3]],
        "highest": [pair(value) for value in spread[:-4:-1]],
    }  # fmt: skip


def claims(count: int) -> list[Claim]:
    """Claims in files of 25, of each a comparison with a distribution over pairs."""
    draw, made = random.Random(0), []
    for number in range(count):
        verdict = draw.choice(_VERDICTS)
        outcome = "passed" if verdict == "supported" else "failed"
        nodeid = f"hypotheses/test_{vocabulary.AN_NOUNS[number // 25]}.py::test_claim_number_{number}"
        words = f"Neuron {number} alone restores at least its part of the ' an' - ' a' logit difference."
        found = [effect(draw, verdict)]
        made.append(Claim(nodeid, words, outcome, effects=found, model=MODEL, line=number))
    return made


def checkpoints(count: int, steps: list[int]) -> list[Claim]:
    """The same claims about several checkpoints of a model, whose effects grow with the training step."""
    draw, made = random.Random(1), []
    for step in steps:
        model = {**MODEL, "name": f"step{step}", "fingerprint": f"{step:016x}", "step": step}
        for number in range(count):
            verdict = "supported" if step > 1000 * number else "refuted"
            found = effect(draw, verdict) | {"label": f"patch L1.N{number}", "fingerprint": model["fingerprint"]}
            test = f"hypotheses/test_training.py::test_claim_number_{number}"
            words = f"Neuron {number} restores its part of the difference from step {1000 * number:,} on."
            passed = "passed" if verdict == "supported" else "failed"
            made.append(
                Claim(f"{test}[step{step}]", words, passed, effects=[found], model=model, line=number, test=test)
            )
    return made
