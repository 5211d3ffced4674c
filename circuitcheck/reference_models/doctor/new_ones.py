"""Claims about new templates and fillers: means of them, and how many are above a threshold."""

import math
from collections.abc import Callable, Iterator
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np

from circuitcheck.prompts.populations import Population
from circuitcheck.prompts.prompt_pairs import PromptPairs
from circuitcheck.reference_models.calibration import log_won
from circuitcheck.reference_models.doctor.rows import Row, Table, row
from circuitcheck.settings import Settings
from circuitcheck.statistics.clusters import fewest
from circuitcheck.statistics.counts import speaks_above

if TYPE_CHECKING:
    from circuitcheck.types import Floats

_COUNTS = (6, 12, 20, 40)
_PAIRS = 256
_WITHIN = 0.15
# Deviations of cluster means from the truth, in mean gaps, of shape [claim, cluster].
Draw = Callable[[np.random.Generator, "tuple[int, int]"], "Floats"]
_SHAPES: "dict[str, Draw]" = {
    "normal, scatter 0.3": lambda random, shape: random.normal(0, 0.3, shape),
    "exponential, scatter 0.3": lambda random, shape: 0.3 * (random.exponential(1, shape) - 1),
    "minus exponential, scatter 0.3": lambda random, shape: 0.3 * (1 - random.exponential(1, shape)),
    "one in ten fails: 0 for 1": lambda random, shape: np.where(random.random(shape) < 0.1, -0.9, 0.1),
    "one in ten fails: -27 for 3": lambda random, shape: np.where(random.random(shape) < 0.1, -27.0, 3.0),
}


def means(settings: Settings, claims: int) -> Table:
    """Means of few clusters."""
    rows = [_row(f"{n} new ones", words, settings, draw, n, claims) for words, draw in _SHAPES.items() for n in _COUNTS]
    return Table("Means of new templates or fillers", (*rows, *_of_unequal_sizes(settings, claims)))


def counts(settings: Settings, claims: int) -> Table:
    """How many of the new ones are above a threshold."""
    random, level, rows = np.random.default_rng(3), settings.alpha / 2, []
    for share in (0.5, 0.8, 0.9):
        for n in _COUNTS:
            above = [speaks_above(count, n, share, level) for count in range(n + 1)]
            below = [speaks_above(n - count, n, 1 - share, level) for count in range(n + 1)]
            seen = random.binomial(n, share, claims)
            decisions = np.where(np.array(above)[seen], 1, np.where(np.array(below)[seen], -1, 0))
            half = [speaks_above(count, n, share / 2, level) for count in range(n + 1)]
            more = {"claimed of half as many": f"{np.mean(np.array(half)[seen]):.0%}"}
            rows.append(row(f"{n} new ones", f"{share:g} of all are above", decisions, level, **more))
    return Table("Shares of new templates or fillers that are above a threshold", tuple(rows))


def decided(residuals: "Floats", settings: Settings) -> Any:
    """``Evidence`` of many claims about a mean of new ones at once: 1, -1 or 0 for each row of cluster means."""
    n = residuals.shape[1]
    found = np.zeros(len(residuals), dtype=int)
    for side in (1, -1) if n >= fewest(settings.alpha) else ():
        last = log_won(side * residuals, settings, None, [n])[1][:, 0]
        found[(last >= math.log(2 / settings.alpha)) & (side * residuals.mean(axis=1) > 1e-12)] = side
    return found


def _row(name: str, words: str, settings: Settings, draw: Draw, n: int, claims: int) -> Row:
    random = np.random.default_rng([n, *words.encode()])
    decisions = decided(draw(random, (claims, n)), settings)
    power = decided(0.3 + draw(random, (max(200, claims // 10), n)), settings)
    undecided = n < fewest(settings.alpha)
    more = {"0.3 above": "not decided" if undecided else f"{np.mean(power == 1):.0%}"}
    return row(name, words, decisions, settings.alpha / 2, **more)


def _of_unequal_sizes(settings: Settings, claims: int) -> Iterator[Row]:
    """Half of the templates have a hundred times the pairs of the others, and other effects: 0.3 below for 0.3 above."""
    for n in _COUNTS:
        random, sizes = np.random.default_rng(n), counts_of(n, seed=0)
        small = random.random((claims, n)) < 0.5
        noise = _WITHIN / np.sqrt(np.where(small, sizes.min(), sizes.max()))
        drawn = np.where(small, -0.3, 0.3) + noise * random.normal(size=(claims, n))
        undecided = n < fewest(settings.alpha)
        more = {"0.3 above": "not decided" if undecided else f"{np.mean(decided(0.3 + drawn, settings) == 1):.0%}"}
        words = f"unequal sizes, {sizes.min()} to {sizes.max()} pairs of each"
        yield row(f"{n} new ones", words, decided(drawn, settings), settings.alpha / 2, **more)


def counts_of(n: int, seed: int) -> Any:
    """How many pairs of each of so many templates a claim rests on, of which half have a hundred times as many as the others."""
    noun, few = [f"noun {number}" for number in range(10)], (n + 1) // 2
    templates = [f"{number}: the {{noun}}" for number in range(few)]
    templates += [f"{number}: the {{noun}} and the {{other}}" for number in range(few, n)]
    other = [f"other {number}" for number in range(100)]
    pairs = PromptPairs(*templates, noun=noun, other=other, answer=" a", foil=" b")
    drawn = islice(Population(pairs.description, seed).draw(evenly="template"), _PAIRS)
    return np.bincount([pair.template for pair in drawn], minlength=n)
