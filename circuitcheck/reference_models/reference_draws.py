"""Whether an interval holds what the whole population as reference set would give, over many reference sets.

    >>> examine(populations()[0], Settings(), draws=10_000).coverage
    0.99...

A mean ablation's number rests on the reference pairs that were drawn. Here a neuron is ablated whose activations are planted,
so that every pair's number follows from them and the reference prompts' mean in closed form, as in the transformers of
``circuitcheck.reference_models.planted``. Reference pairs and pairs are drawn anew each time, and the evidence is made of them
as that of a model is.
"""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from circuitcheck.sampling.references import PARTS
from circuitcheck.settings import Settings, all_stage_ends
from circuitcheck.statistics.evidence import Evidence, Order
from circuitcheck.statistics.reference_parts import Parts

if TYPE_CHECKING:
    from circuitcheck.types import Floats

_GAP = 4.0
_NOUNS = 40
_SCALE_PAIRS = 16


@dataclass(frozen=True)
class Population:
    """Of each pair, what the neuron has in its clean prompt, what it has in both in the mean, and the gap, all in logits, of
    shape [pair]. ``backup``: the part of what is missing that another neuron brings."""

    name: str
    words: str
    clean: "Floats"
    both: "Floats"
    gap: "Floats"
    backup: float = 0.0

    def lost(self, rows: Any, mean: float) -> "Floats":
        """What those pairs lose where the neuron is held at a mean."""
        missing = self.clean[rows] - mean
        lost: Floats = missing - self.backup * np.maximum(missing, 0)
        return lost

    @property
    def truth(self) -> float:
        """The share of the gap that is lost at the whole population's mean."""
        everything = np.arange(len(self.gap))
        return float(self.lost(everything, float(self.both.mean())).mean() / self.gap.mean())


@dataclass(frozen=True)
class Covered:
    """How often the interval held the truth, with its 99 % lower bound; ``ignoring``: how often one would that takes the
    reference set for granted. ``half_width``: the median interval's, in mean gaps."""

    name: str
    words: str
    draws: int
    coverage: float
    coverage_lower: float
    ignoring: float
    half_width: float


def populations(seed: int = 0) -> list[Population]:
    """1,600 pairs each: every clean noun with every corrupted one."""
    random = np.random.default_rng(seed)

    def of(name: str, words: str, clean: "Floats", corrupt: "Floats", backup: float = 0.0) -> Population:
        each = [part.ravel() for part in np.meshgrid(clean, corrupt, indexing="ij")]
        gap = _GAP * random.gamma(16.0, 1 / 16, len(each[0]))
        return Population(name, words, each[0], (each[0] + each[1]) / 2, gap, backup)

    alike = np.full(_NOUNS, _GAP / 2)
    normal, skewed = random.normal(0, 1, (2, _NOUNS)), random.exponential(1, (2, _NOUNS)) - 1
    heavy = random.standard_t(3, _NOUNS)
    return [
        of("references, normal", "prompts scatter by 0.3", _GAP * (0.5 + 0.3 * normal[0]), 0.3 * _GAP * normal[1]),
        of("references, skewed", "exponential, scatter 0.5", _GAP * (0.5 + 0.5 * skewed[0]), 0.5 * _GAP * skewed[1]),
        of(
            "references, backed up", "half is brought back", _GAP * (0.5 + 0.3 * normal[0]), 0.3 * _GAP * normal[1], 0.5
        ),
        of("references alone", "pairs are alike, corrupted prompts skewed by 1", alike, _GAP * skewed[0]),
        of("references, heavy-tailed", "pairs are alike, Student's t of 3 degrees", alike, 0.5 * _GAP * heavy),
    ]


def examine(population: Population, settings: Settings, draws: int, seed: int = 0) -> Covered:
    """Draw so many reference sets, each with pairs of its own."""
    random = np.random.default_rng([seed, *population.name.encode()])
    found = [_is_covered(population, evidence_of(population, settings, random)) for _ in range(draws)]
    few = [evidence_of(population, settings, random) for _ in range(max(1, draws // 20))]
    ignoring = [_is_covered(population, replace(one, parts=None)) for one in few]
    covered = sum(found) / draws
    widths = [_half_width(one) for one in few[:25]]
    return Covered(
        population.name,
        population.words,
        draws,
        covered,
        _lower(covered, draws),
        sum(ignoring) / len(ignoring),
        float(np.median(widths)),
    )


def evidence_of(population: Population, settings: Settings, random: np.random.Generator) -> Evidence:
    """What one reference set and one order of pairs give, with the budget spent."""
    size = len(population.gap)
    reference = random.permutation(size)[: settings.reference]
    order = random.permutation(size)[: min(settings.budget, size - 1)]
    values = population.both[reference]
    part = np.arange(len(values)) % PARTS
    first = order[: next(all_stage_ends())]
    without = [population.lost(first, float(values[part != one].mean())).mean() for one in range(PARTS)]
    return Evidence(
        population.lost(order, float(values.mean())),
        population.gap[order],
        whole=False,
        alpha=settings.alpha,
        order=Order(tuple(range(len(order))), len(order), size),
        scale=float(population.gap[reference[:_SCALE_PAIRS]].mean()),
        bound=settings.bound,
        parts=Parts(
            np.array(without),
            np.full(PARTS, population.gap[first].mean()),
            float(np.sqrt(1 - settings.reference / size)),
        ),
    )


def _is_covered(population: Population, evidence: Evidence) -> bool:
    return not (evidence.above(population.truth) or evidence.below(population.truth))


def _half_width(evidence: Evidence) -> float:
    low, high = evidence.interval()
    return float("inf") if low is None or high is None else (high - low) / 2


def _lower(rate: float, n: int) -> float:
    """The one-sided 99 % lower bound of a rate (Clopper & Pearson)."""
    from scipy.stats import binomtest

    return float(binomtest(round(rate * n), n).proportion_ci(0.98).low)
