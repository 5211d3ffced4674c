"""How often verdicts are wrong, and what they cost: measured on effects of known size, under the user's settings.

    circuitcheck doctor                     # a table in a minute or two
    circuitcheck doctor --full              # 20,000 simulated claims a shape, as in docs/explanation/evidence.md
    circuitcheck doctor --alpha 0.01 --budget 256 --json doctor.json

Of every shape of per-pair effects many claims are simulated, each as a session decides it: a scale from reference pairs,
then stages of pairs until the claim is decided or the budget spent. At the boundary, where the threshold is the truth,
every decision is an error.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from circuitcheck.settings import Settings, stage_ends
from circuitcheck.statistics.betting import log_wealth

if TYPE_CHECKING:
    from circuitcheck.types import Floats

# Shift and gap of so many pairs, drawn by a generator; shape [pair].
Draw = Callable[[np.random.Generator, int], "tuple[Floats, Floats]"]
_TRUTH = 0.5
_GAP = 4.0
_REFERENCE_PAIRS = 16
_TRUTH_FROM = 2_000_000
_AT_ONCE = 250
AWAY = (0.05, 0.1, 0.3)


@dataclass(frozen=True)
class Shape:
    """A distribution of per-pair effects; ``pairs``, where it is a finite population that is drawn without replacement.

    ``known``: what ``pairs`` should be, where that is known without having measured it; the truth is taken from there. ``why``:
    why nothing is promised of it; its truth is the plain ratio of means, and not that of clipped pairs.
    """

    name: str
    words: str
    draw: Draw
    pairs: "tuple[Floats, Floats] | None" = None
    known: "tuple[Floats, Floats] | None" = None
    why: str = ""


@dataclass(frozen=True)
class Found:
    """What came of one shape. Rates are shares of ``claims``; ``*_upper`` and ``coverage_lower`` are their 99 % bounds.

    ``pairs`` and ``power`` are by the distance from the threshold to the truth, in mean gaps; ``pairs_median`` is that at
    0.3. ``clipped`` is the share of pairs beyond the bound, ``beyond`` how far the mean of all pairs lies from that of the
    clipped ones, in mean gaps. ``why``: why nothing is promised of it, empty where it is.
    """

    name: str
    words: str
    claims: int
    false_pass: float
    false_pass_upper: float
    false_refute: float
    false_refute_upper: float
    coverage: float
    coverage_lower: float
    pairs_median: float
    pairs: dict[str, float]
    power: dict[str, float]
    clipped: float
    beyond: float
    why: str = ""


def examine(shape: Shape, settings: Settings, claims: int, seed: int = 0) -> Found:
    """Simulate so many claims at the boundary, and a tenth as many away from it."""
    random = np.random.default_rng([seed, *shape.name.encode()])
    truth, clipped, beyond = _truth(shape, settings)
    at_boundary = _decide(shape, settings, claims, truth, random)
    false_pass, false_refute = float((at_boundary[0] == 1).mean()), float((at_boundary[0] == -1).mean())
    covered = float(at_boundary[2].mean())
    pairs, power = {}, {}
    for away in AWAY:
        decisions, used, _ = _decide(shape, settings, max(200, claims // 10), truth - away, random)
        pairs[f"{away:g}"], power[f"{away:g}"] = float(np.median(used)), float((decisions == 1).mean())
    return Found(
        shape.name,
        shape.words,
        claims,
        false_pass,
        bounds(false_pass, claims)[1],
        false_refute,
        bounds(false_refute, claims)[1],
        covered,
        bounds(covered, claims)[0],
        pairs[f"{AWAY[-1]:g}"],
        pairs,
        power,
        clipped,
        beyond,
        shape.why,
    )


def _decide(
    shape: Shape, settings: Settings, claims: int, threshold: float, random: np.random.Generator
) -> "tuple[Any, Any, Any]":
    """Of each claim: 1 for supported, -1 for refuted, 0; the pairs used; whether every interval on the way held the threshold."""
    found = [
        _decide_some(shape, settings, min(_AT_ONCE, claims - done), threshold, random)
        for done in range(0, claims, _AT_ONCE)
    ]
    decisions, used, covered = (np.concatenate(parts) for parts in zip(*found, strict=True))
    return decisions, used, covered


def _decide_some(
    shape: Shape, settings: Settings, claims: int, threshold: float, random: np.random.Generator
) -> "tuple[Any, Any, Any]":
    size = None if shape.pairs is None else len(shape.pairs[0])
    most = settings.budget if size is None else min(settings.budget, size - 1)  # the last pair makes it exact
    shift, gap, scale = _drawn(shape, claims, most, random)
    ends = [end for end in stage_ends(settings.budget) if end < most] + [most]
    present = speaks((gap - settings.floor_logits) / scale, settings, size, ends)
    sides = [speaks(side * (shift - threshold * gap) / scale, settings, size, ends) for side in (1, -1)]
    decided = (sides[0] | sides[1]) & present
    first = np.where(decided.any(1), decided.argmax(1), len(ends) - 1)
    row = np.arange(claims)
    decisions = np.where(decided[row, first], np.where(sides[0][row, first], 1, -1), 0)
    return decisions, np.array(ends)[first], ~(sides[0] | sides[1]).any(1)


def speaks(
    residuals: "Floats", settings: Settings, size: int | None, ends: list[int], reach: float | None = None
) -> Any:
    """After each stage, whether the evidence says that the mean of residuals is above 0; ``Evidence`` of many claims at once.

    ``residuals`` in mean gaps, of shape [claim, pair]; the answer is of shape [claim, stage]. ``reach``: none is under minus
    that by its nature; others are clipped.
    """
    return (np.cumsum(residuals, axis=1)[:, np.array(ends) - 1] > 1e-12) & (
        log_won(residuals, settings, size, ends, reach)[0] >= math.log(2 / settings.alpha)
    )


def log_won(
    residuals: "Floats", settings: Settings, size: int | None, ends: list[int], reach: float | None = None
) -> "tuple[Floats, Floats]":
    """The logarithm of what a bet that their mean is above 0 had won at most by the end of each stage, and what it has then
    (the evidence): at the clip and at its multiples up to the largest that speaks against it. Both of shape [claim, stage]."""
    upto = np.array(ends) - 1
    if reach is not None:
        wealth = log_wealth(residuals, reach, size)
        return np.maximum.accumulate(wealth, axis=1)[:, upto], wealth[:, upto]
    worst, bound = np.maximum.accumulate(-residuals, axis=1)[:, upto], settings.bound
    most, last = np.full(worst.shape, np.inf), np.full(worst.shape, np.inf)
    asked = np.ones(
        worst.shape, dtype=bool
    )  # at the clip of all, at each multiple of those that have seen more than half of it
    while (rows := asked.any(axis=1)).any():
        wealth, of_rows = log_wealth(np.clip(residuals[rows], -bound, bound), bound, size), asked[rows]
        highest = np.maximum.accumulate(wealth, axis=1)[:, upto]
        most[rows] = np.where(of_rows, np.minimum(most[rows], highest), most[rows])
        last[rows] = np.where(of_rows, np.minimum(last[rows], wealth[:, upto]), last[rows])
        asked, bound = worst > bound, 2 * bound
    return most, last


def _drawn(shape: Shape, claims: int, n: int, random: np.random.Generator) -> "tuple[Floats, Floats, Floats]":
    """Shifts and gaps of shape [claim, pair], and each claim's scale, of shape [claim, 1]."""
    if shape.pairs is None:
        shift, gap = (part.reshape(claims, n) for part in shape.draw(random, claims * n))
        reference = shape.draw(random, claims * _REFERENCE_PAIRS)[1].reshape(claims, -1)
    else:
        order = random.permuted(np.tile(np.arange(len(shape.pairs[0])), (claims, 1)), axis=1)
        shift, gap = (part[order[:, :n]] for part in shape.pairs)
        reference = shape.pairs[1][random.permuted(order, axis=1)[:, :_REFERENCE_PAIRS]]
    return shift, gap, np.abs(reference.mean(axis=1, keepdims=True))


def _truth(shape: Shape, settings: Settings) -> tuple[float, float, float]:
    """The ratio at which clipped evidence is balanced, the share of pairs that it clips, and how far from the ratio of
    the means of all pairs that is."""
    shift, gap = shape.known or shape.pairs or shape.draw(np.random.default_rng(0), _TRUTH_FROM)
    if shape.why:
        residuals = (shift - _TRUTH * gap) / gap.mean()
        return _TRUTH, float((np.abs(residuals) > settings.bound).mean()), 0.0
    low, high = -10.0, 10.0
    for _ in range(50):
        middle = (low + high) / 2
        residuals = np.clip((shift - middle * gap) / gap.mean(), -settings.bound, settings.bound)
        low, high = (middle, high) if residuals.mean() > 0 else (low, middle)
    truth = (low + high) / 2
    clipped = float((np.abs(shift - truth * gap) / gap.mean() > settings.bound).mean())
    return truth, clipped, float(shift.mean() / gap.mean() - truth)


def bounds(rate: float, n: int) -> tuple[float, float]:
    """One-sided 99 % bounds of a rate (Clopper & Pearson)."""
    from scipy.stats import binomtest

    found = binomtest(round(rate * n), n).proportion_ci(0.98)
    return float(found.low), float(found.high)


def _residuals(name: str, words: str, noise: Callable[[np.random.Generator, int], "Floats"], why: str = "") -> Shape:
    """A shape whose effects scatter about the truth by ``noise`` mean gaps of mean 0, over gaps that scatter too."""

    def draw(random: np.random.Generator, n: int) -> "tuple[Floats, Floats]":
        gap = _GAP * random.gamma(16.0, 1 / 16, n)
        return _TRUTH * gap + _GAP * noise(random, n), gap

    return Shape(name, words, draw, why=why)


def _catastrophe(one_in: int, at: float) -> Callable[[np.random.Generator, int], "Floats"]:
    """Deviations of mean 0, of which one in so many lies at ``at`` mean gaps."""
    rare = 1 / one_in

    def noise(random: np.random.Generator, n: int) -> "Floats":
        good = random.normal(-at * rare / (1 - rare), 0.15, n)
        return np.where(random.random(n) < rare, at, good)

    return noise


def shapes() -> list[Shape]:
    """The per-pair simulations."""
    templates = np.random.default_rng(12).normal(0, 0.3, 12)
    templates -= templates.mean()

    def beyond(random: np.random.Generator, n: int) -> "Floats":
        good = random.normal(0.06, 0.15, n)
        return np.where(random.random(n) < 1 / 500, -30.0, good)

    def clustered(random: np.random.Generator, n: int) -> "Floats":
        effects: Floats = templates[random.integers(0, 12, n)] + random.normal(0, 0.1, n)
        return effects

    return [
        _residuals("normal", "scatter 0.15", lambda random, n: random.normal(0, 0.15, n)),
        _residuals("wide", "scatter 0.6", lambda random, n: random.normal(0, 0.6, n)),
        _residuals("skewed", "exponential, scatter 0.3", lambda random, n: 0.3 * (random.exponential(1, n) - 1)),
        _residuals("heavy-tailed", "Student's t of 2 degrees", lambda random, n: 0.15 * random.standard_t(2, n)),
        _residuals("two-point", "one pair in five has all", lambda random, n: (random.random(n) < 0.2) - 0.2),
        _residuals("clustered", "12 templates, scatter 0.3", clustered),
        _residuals("rare catastrophe", "1 pair in 100 at -1.8", _catastrophe(100, -1.8)),
        _residuals("beyond the bound", "1 pair in 500 at -30", beyond),
        *_not_promised(),
    ]


def _not_promised() -> list[Shape]:
    """What no method can promise of a sample: means of unbounded numbers, at the plain truth."""
    rare = "a sample without one of them says nothing about them"
    tail = "the mean is that of pairs which a sample seldom has"
    found = [
        _residuals(f"catastrophe, 1 in {one_in:,}", "at -20, plain truth", _catastrophe(one_in, -20.0), rare)
        for one_in in (100, 300, 1000)
    ]
    tails: list[tuple[str, str, Callable[[np.random.Generator, int], Floats]]] = [
        ("lognormal, below", "minus lognormal of sigma 1.5, scatter 0.3", lambda random, n: -_lognormal(random, n)),
        ("lognormal, above", "lognormal of sigma 1.5, scatter 0.3", _lognormal),
        ("Pareto, below", "minus Pareto of 1.5, times 0.1", lambda random, n: 0.1 * (2 - random.pareto(1.5, n))),
    ]
    return found + [_residuals(name, f"{words}, plain truth", noise, tail) for name, words, noise in tails]


def _lognormal(random: np.random.Generator, n: int) -> "Floats":
    drawn: Floats = 0.3 * (random.lognormal(0, 1.5, n) - math.exp(1.125)) / math.sqrt(math.exp(4.5) - math.exp(2.25))
    return drawn


def of_population(
    name: str, words: str, shift: "Floats", gap: "Floats", known: "tuple[Floats, Floats] | None" = None
) -> Shape:
    """A finite population of measured pairs, drawn without replacement."""
    return Shape(name, words, lambda random, n: (shift[:n], gap[:n]), (shift, gap), known)


def of_bundled() -> Shape:
    """Effects as they were measured on the bundled model: one neuron's patch on a population of nouns."""
    from circuitcheck.model import load
    from circuitcheck.prompts.prompt_pairs import PromptPairs
    from circuitcheck.prompts.slots import contrast

    vowels = ["onion", "umbrella", "elephant", "owl", "engine", "arrow", "envelope", "egg", "oven", "apple", "olive"]
    others = ["table", "lamp", "river", "dog", "horse", "book", "candle", "drum", "hammer", "lemon", "peach"]
    pairs = PromptPairs(
        "They sold the {other}. We looked for the {noun} and found",
        noun=contrast(clean=vowels, corrupt=others),
        other=["window", "train", "airplane", "island", "spoon", "anchor"],
        answer=" an",
        foil=" a",
    )
    run = load("bundled", settings=Settings(whole=10_000)).on(pairs)
    measured, gap = run.patch("L1.N8").raw.measure(), run.gap.measure()
    return of_population("bundled model", f"L1.N8 on {measured.n} pairs", measured.per_pair, gap.per_pair)


def of_planted() -> list[Shape]:
    """Effects as they were measured on planted transformers, of which the truth is known by construction."""
    from circuitcheck.reference_models.planted import planted

    plants: list[tuple[str, str, dict[str, Any]]] = [
        (f"planted share {share:g}", "normal, scatter 0.15", {"share": share}) for share in (0, 0.25, 0.5, 0.75, 1)
    ]
    plants += [
        ("planted, skewed", "exponential, scatter 0.3", {"share": 0.5, "noise": "skewed", "scatter": 0.3}),
        ("planted, clustered", "8 groups of nouns, scatter 0.3", {"share": 0.5, "clusters": 8, "scatter": 0.3}),
        ("planted, opposed", "backup 0.5, negative 0.25", {"share": 0.5, "backup": 0.5, "negative": 0.25}),
    ]
    found = []
    for seed, (name, words, options) in enumerate(plants):
        plant = planted(**options, seed=seed, settings=Settings(whole=10_000))
        run = plant.model.on(plant.pairs)
        measured, gap = run.patch(plant.neuron).raw.measure(), run.gap.measure()
        words = f"{plant.neuron} on {measured.n:,} pairs, {words}"
        found.append(of_population(name, words, measured.per_pair, gap.per_pair, (plant.shift, plant.gap)))
    return found
