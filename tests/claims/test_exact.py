"""What is called exact is a number of the population: no seed changes it."""

import math
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from transformers import GPT2LMHeadModel

from circuitcheck import Model, PromptPairs, contrast, mean
from circuitcheck.claims.measuring.measurement import Measurement
from circuitcheck.claims.sweeps import Sweep
from circuitcheck.claims.verdicts import Verdict
from circuitcheck.reference_models.bundled.vocabulary import A_NOUNS, AN_NOUNS
from circuitcheck.run import Run
from circuitcheck.settings import Settings
from tests.conftest import each

SEEDS = (0, 1)
# More pairs than a reference set or a first stage has; they come to an end within the budget.
PAIRS = PromptPairs(
    "They sold the {other}. We looked for the {noun} and found",
    other=["window", "train"],
    noun=contrast(clean=AN_NOUNS[:9], corrupt=A_NOUNS[:9]),
    answer=" an",
    foil=" a",
)
FEW = PromptPairs(
    "I climbed up the {tree} tree and picked a {tree}. I climbed up the {fruit} tree and picked",
    tree=["pear", "fig"],
    fruit=contrast(clean=["apple", "orange"], corrupt=["lemon", "peach"]),
    answer=" an",
    foil=" a",
)
CIRCUIT = "L0.H2 | L1.H2 | L1.N8"


class Asked(NamedTuple):
    """A seed's runs: on pairs that come to an end after several stages, on the same in one stage, on a part of them, and on
    others that are few."""

    run: Run
    at_once: Run
    part: Run
    few: Run


def along(asked: Asked) -> Any:
    return asked.few.patch("L1.RESID_POST@end", along=asked.run.mean_difference("L1.RESID_POST@end"))


def along_a_probe(found_on: Run, few: Run) -> Any:
    direction = found_on.probe("L1.RESID_POST@end", lambda f: f["noun"][0] in "aeiou").direction
    return few.patch("L1.RESID_POST@end", along=direction)


def steered(asked: Asked) -> Any:
    return asked.few.steer("L1.RESID_POST@end", asked.run.mean_difference("L1.RESID_POST@end"), 20.0)


# What is exact of pairs that come to an end.
EXACT: dict[str, Callable[[Asked], Any]] = {
    "pairs above a share": lambda asked: asked.run.patch("L1.N8").pairs_above(0.55),
    "pairs above a share of the behaviour": lambda asked: asked.run.ablate("L1.N8").pairs_above(0.4),
    "every pair": lambda asked: asked.run.patch("L1.N8").each > 0.1,
    "every pair, refuted": lambda asked: asked.run.patch("L1.N8").each > 0.5,
    "every pair's ablation": lambda asked: asked.run.ablate("L1.N8").raw.each > 0.1,
    "ablation": lambda asked: asked.run.ablate("L1.H2").raw,
    "ablation by one side's mean": lambda asked: asked.run.ablate("L1.H2", mean(of="clean")).raw,
    "share of the behaviour": lambda asked: asked.run.ablate("L1.N8"),
    "keep": lambda asked: asked.run.keep(CIRCUIT),
    "over its parts": lambda asked: asked.run.ablate("L1.H2 | L1.N8").over_parts,
    "completeness": lambda asked: asked.run.completeness(CIRCUIT),
    "completeness by zeros": lambda asked: asked.run.completeness(CIRCUIT, "zero"),
    "completeness, some parts": lambda asked: asked.run.completeness(CIRCUIT, n=3),
    "minimality": lambda asked: asked.at_once.minimality(CIRCUIT) > 0.01,
    "agreement": lambda asked: asked.run.agreement(CIRCUIT, on="all"),
    "independence": lambda asked: asked.run.independence(CIRCUIT),
    "across": lambda asked: asked.at_once.ablate("L1.N8").across(values=["mean", "zero"]) > 0.1,
    "rank": lambda asked: asked.at_once.ablate("L0.H2").rank_within("L0.H*") <= 3,
    "along a direction": lambda asked: asked.few.patch(
        "L1.RESID_POST@end", along=asked.at_once.mean_difference("L1.RESID_POST@end")
    ),
    "along a probe's direction": lambda asked: along_a_probe(asked.run, asked.few),
    "sweep": lambda asked: asked.run.sweep("L1.H*", "ablate"),
    "shrink": lambda asked: asked.run.shrink(CIRCUIT, above=0.3).confirmed,
    "where it fires": lambda asked: Model(asked.run._setup.model).activation("L1.N8", predicts=" a", on=PAIRS).auc,
    "where it fires in a part": lambda asked: (
        Model(asked.part._setup.model).activation("L1.N27", predicts=" a", on=PAIRS).auc
    ),
}
# What rests on another draw, of however many pairs.
NEVER: dict[str, Callable[[Asked], Any]] = {
    "resample": lambda asked: asked.run.ablate("L1.N8", "resample"),
    "every pair's resampled": lambda asked: asked.run.ablate("L1.N8", "resample").raw.each > -50,
    "every one of a few resampled": lambda asked: asked.few.ablate("L1.N8", "resample").raw.each > -50,
    "across, one of them resampled": lambda asked: (
        asked.at_once.ablate("L1.N8").across(values=["resample", "zero"]) > -5
    ),
    "minimality by resampling": lambda asked: asked.at_once.minimality(CIRCUIT, "resample") > -5,
    "drawn rivals": lambda asked: asked.few.patch("L1.N27").rank_within("L1.N*", n=8) <= 9,
    "random circuits": lambda asked: asked.few.keep("L1.N8 | L0.H2").beats_random(4),
    "random directions": lambda asked: along(asked).beats_random(4),
    "along a direction": along,
    "along a probe's direction": lambda asked: along_a_probe(asked.part, asked.few),
    "steering": steered,
    "probe": lambda asked: asked.run.probe("L1.RESID_POST@end", lambda f: f["noun"][0] in "aeiou").accuracy,
}


@pytest.fixture(scope="module")
def asked_of(anew: Callable[..., Model]) -> Callable[[int], Asked]:
    @cache
    def asked(seed: int) -> Asked:
        drawn = Settings(seed=seed, whole=32, reference=128)
        settings = Settings(seed=seed), drawn, replace(drawn, budget=64)
        at_once, run, part = map(anew, settings)
        return Asked(run.on(PAIRS), at_once.on(PAIRS), part.on(PAIRS), anew(settings[0]).on(FEW))

    return asked


def told(thing: Any) -> tuple[bool, list[float], str]:
    """Whether something says that it is exact, its numbers, and its verdict."""
    if isinstance(thing, Sweep):
        return thing.exact, thing.values.tolist(), ""
    if isinstance(thing, Verdict):
        return thing.measurement.exact, [thing.measurement.estimate], thing.decision
    measured: Measurement = thing.measure()
    return measured.exact, [measured.estimate], measured.label


USUAL = ("pairs above a share", "every pair", "ablation", "rank", "where it fires in a part")


@pytest.mark.parametrize("name", each(EXACT, USUAL))
def test_what_is_exact_is_so_under_every_seed(asked_of: Callable[[int], Asked], name: str) -> None:
    found = [told(EXACT[name](asked_of(seed))) for seed in SEEDS]
    assert all(exact for exact, _, _ in found) or name == "every pair, refuted"
    said = [(numbers, verdict) for exact, numbers, verdict in found if exact]
    for numbers, verdict in said:
        assert numbers == pytest.approx(said[0][0], abs=1e-5)
        assert verdict == said[0][1]


@pytest.mark.parametrize("name", NEVER)
def test_what_rests_on_another_draw_is_never_exact(asked_of: Callable[[int], Asked], name: str) -> None:
    thing = NEVER[name](asked_of(0))
    assert not told(thing)[0]
    if isinstance(thing, Verdict):
        assert math.isfinite(thing.e_value)


def test_a_population_taken_in_whole_is_its_own_reference(asked_of: Callable[[int], Asked]) -> None:
    """The loss is that of plain hooks with the mean over both sides of all pairs."""
    run = asked_of(0).run
    measured = run.ablate("L1.MLP").raw.measure()
    assert measured.exact
    assert measured.n == 162
    wanted = plain_loss(Model(run._setup.model), measured)
    assert measured.estimate == pytest.approx(wanted, abs=1e-4)


def plain_loss(model: Model, measured: Measurement) -> float:
    """What the clean answers lose where what layer 1's MLP writes is its mean at each token, by PyTorch's own hooks."""
    from circuitcheck.bundled import PATH

    plain = GPT2LMHeadModel.from_pretrained(PATH).eval()
    sides = [torch.tensor([pair.tokens(side) for pair in measured.pairs]) for side in ("clean", "corrupt")]
    block = plain.transformer.h[1].mlp
    seen: list[torch.Tensor] = []

    def differences() -> torch.Tensor:
        logits = plain(sides[0]).logits[:, -1]
        rows = range(len(measured.pairs))
        answers, foils = ([getattr(pair, name)[0] for pair in measured.pairs] for name in ("answer", "foil"))
        return logits[rows, answers] - logits[rows, foils]

    with torch.no_grad():
        before = differences()
        watch = block.register_forward_hook(lambda *args: seen.append(args[-1]))
        for side in sides:
            plain(side)
        watch.remove()
        average = torch.cat(seen).mean(0)
        block.register_forward_hook(lambda *args: average.expand_as(args[-1]))
        return float((before - differences()).mean())


def test_a_share_of_pairs_is_counted_by_the_populations_own_gap(asked_of: Callable[[int], Asked]) -> None:
    run = asked_of(1).run
    restored = run.patch("L1.N8").raw.measure().per_pair
    gap = run.gap.measure().estimate
    for limit in (0.5, 0.55, 0.6):
        found = run.patch("L1.N8").pairs_above(limit).measure()
        assert found.exact
        assert found.estimate == pytest.approx(np.mean(restored / gap > limit))


def test_an_answer_does_not_depend_on_what_was_asked_before(anew: Callable[..., Model]) -> None:
    """A search goes through pairs that the budget does not reach."""
    fresh, used = (anew(Settings(whole=32, budget=64)).on(PAIRS) for _ in range(2))
    _ = used.patch("L1.N8").each > 0.1
    effects = [lambda run: run.ablate("L1.H2").raw, lambda run: run.patch("L1.N8").pairs_above(0.55)]
    for effect in effects:
        one, other = (effect(run).measure() for run in (fresh, used))
        assert not one.exact
        assert (one.estimate, one.low, one.high) == (other.estimate, other.low, other.high)
