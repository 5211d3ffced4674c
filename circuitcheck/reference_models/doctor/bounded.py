"""Claims about numbers that are bounded by their nature, equivalences at their edge, denominators at their floor, precision."""

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from circuitcheck.reference_models.calibration import Shape, log_won, shapes, speaks
from circuitcheck.reference_models.doctor.rows import Row, Table, row
from circuitcheck.settings import Settings, stage_ends
from circuitcheck.statistics.evidence import Evidence, Order, half_width

if TYPE_CHECKING:
    from circuitcheck.types import Floats

_AT_ONCE = 250
_MARGIN, _PRECISION = 0.1, 0.05


def accuracies(settings: Settings, claims: int) -> Table:
    """Shares of pairs, and differences of accuracies."""
    rows = []
    for rate in (0.5, 0.9, 0.99):
        draw = _bernoulli(rate)
        rows.append(_bounded(f"accuracy {rate:g}", "right or wrong", settings, claims, draw, rate, (0.0, 1.0)))
    for worse, better in ((0.0, 0.1), (0.1, 0.1), (0.02, 0.3)):
        draw, words = _changes(worse, better), f"{better:.0%} of pairs become right, {worse:.0%} wrong"
        truth = better - worse
        rows.append(_bounded(f"difference {truth:g}", words, settings, claims, draw, truth, (-1.0, 1.0)))
    planted = np.r_[np.ones(1350), np.zeros(150)]
    rows.append(_bounded("accuracy 0.9", "of 1,500 pairs", settings, claims, planted, 0.9, (0.0, 1.0)))
    return Table("Accuracies, shares of pairs and their differences", tuple(rows))


def equivalences(settings: Settings, claims: int) -> Table:
    """``== approx(...)`` where the truth is on the edge of the margin, or just inside it."""
    rows = []
    for shape in [one for one in shapes() if one.name in ("normal", "wide", "skewed", "two-point")]:
        random = np.random.default_rng([7, *shape.name.encode()])

        def residuals(n: int, pairs: int, shape: Shape = shape, random: np.random.Generator = random) -> "Floats":
            shift, gap = (part.reshape(n, pairs) for part in shape.draw(random, n * pairs))
            scale = np.abs(shape.draw(random, n * 16)[1].reshape(n, -1).mean(axis=1, keepdims=True))
            found: Floats = (shift - 0.5 * gap) / scale
            return found

        decisions = [_equivalent(residuals(n, settings.budget), 0.0, settings) for n in _batches(claims)]
        inside = [
            _equivalent(residuals(n, settings.budget), _MARGIN, settings) for n in _batches(max(200, claims // 10))
        ]
        more = {"in the middle": f"{np.mean(np.concatenate(inside) == 1):.0%}"}
        words = f"{shape.words}, margin {_MARGIN:g}"
        rows.append(row(shape.name, words, np.concatenate(decisions), settings.alpha / 2, **more))
    return Table("Equivalences at their edge", tuple(rows))


def presence(settings: Settings, claims: int) -> Table:
    """A mean gap that is at its floor, and what one that is far above it takes."""
    kinds: dict[str, Callable[[np.random.Generator, tuple[int, int]], Floats]] = {
        "normal, scatter 1": lambda random, shape: random.normal(0, 1, shape),
        "exponential": lambda random, shape: random.exponential(1, shape) - 1,
        "1 pair in 8 has 9 times the gap": lambda random, shape: np.where(random.random(shape) < 1 / 8, 4.0, -4 / 7),
        "1 pair in 20 at -1.9": lambda random, shape: np.where(random.random(shape) < 1 / 20, -1.9, 0.1),
    }
    ends, rows = list(stage_ends(settings.budget)), []
    for words, draw in kinds.items():
        random, above, pairs = np.random.default_rng([9, *words.encode()]), [], []
        for n in _batches(claims):
            found = speaks(draw(random, (n, ends[-1])), settings, None, ends).any(axis=1)
            below = speaks(-draw(random, (n, ends[-1])), settings, None, ends).any(axis=1)
            above.append(np.where(found, 1, np.where(below, -1, 0)))
        for n in _batches(max(200, claims // 10)):  # a mean gap of 1, and a floor of an eighth of that
            found = speaks(draw(random, (n, ends[-1])) + 0.875, settings, None, ends)
            pairs.append(np.where(found.any(axis=1), np.array(ends)[found.argmax(axis=1)], np.inf))
        more = {"pairs, at 8 times the floor": f"{np.median(np.concatenate(pairs)):.0f}"}
        rows.append(row("gap at its floor", words, np.concatenate(above), settings.alpha / 2, **more))
    return Table("Whether there is a gap", tuple(rows))


def precision(settings: Settings, claims: int) -> Table:
    """Evidence that is gathered until the interval is narrow, or the budget spent, at the truth."""
    ends, rows = list(stage_ends(settings.budget)), []
    for shape in [one for one in shapes() if one.name in ("normal", "skewed", "wide")]:
        random, decisions, used, narrow = np.random.default_rng([11, *shape.name.encode()]), [], [], 0
        for _ in range(claims):
            shift, gap = shape.draw(random, ends[-1])
            for end in ends:
                order = Order(tuple(range(end)), end)
                evidence = Evidence(
                    shift[:end], gap[:end], False, settings.alpha, order=order, scale=4.0, bound=settings.bound
                )
                if is_narrow := half_width(evidence) <= _PRECISION:
                    break
            decisions.append(1 if evidence.above(0.5) else -1 if evidence.below(0.5) else 0)
            used.append(end)
            narrow += is_narrow
        more = {"half-width reached": f"{narrow / claims:.0%}", "pairs": f"{np.median(used):.0f}"}
        words = f"{shape.words}, half-width {_PRECISION:g}"
        rows.append(row(shape.name, words, np.array(decisions), settings.alpha / 2, **more))
    return Table("As precise as wanted", tuple(rows))


def controls(settings: Settings, claims: int) -> Table:
    """``beats_controls`` of a probe that reads as much as those of arbitrary labels and random weights: nothing. To refute that is
    no error there."""
    rows, level, draws = [], settings.alpha / 2, math.ceil(2 / settings.alpha - 1e-9) - 1
    random = np.random.default_rng(13)
    for n in (12, 40, 100):
        decisions = []
        for some in _batches(claims):
            ours, others = random.random((some, n)) < 0.5, random.binomial(n, 0.5, (some, draws)) / n
            as_good = (others >= ours.mean(axis=1, keepdims=True) - 1e-9).sum(axis=1)
            beaten, beating = as_good == 0, as_good == draws
            for _ in range(3):  # random weights
                differences = ours.astype(float) - (random.random((some, n)) < 0.5)
                split = Settings(alpha=settings.alpha / 3)
                won = [log_won(side * differences, split, None, [n], reach=1.0)[1][:, 0] for side in (1, -1)]
                beaten &= (won[0] >= math.log(2 / split.alpha)) & (differences.mean(axis=1) > 0)
                beating |= (won[1] >= math.log(2 / split.alpha)) & (differences.mean(axis=1) < 0)
            decisions.append(np.where(beating, -1, np.where(beaten, 1, 0)))
        found = np.concatenate(decisions)
        words = f"nothing to be read; {draws} labellings, 3 random models"
        rows.append(row(f"{n} fillers", words, np.maximum(found, 0), level, refuted=f"{np.mean(found == -1):.1%}"))
    return Table("Probes: beats_controls", tuple(rows))


def _bounded(
    name: str,
    words: str,
    settings: Settings,
    claims: int,
    draw: "Callable[[np.random.Generator, tuple[int, int]], Floats] | Floats",
    truth: float,
    limits: tuple[float, float],
) -> Row:
    """Of numbers that are drawn, or (an array) a population of them, each taken once."""
    random, decisions, power = np.random.default_rng([5, *name.encode()]), [], []
    size = None if callable(draw) else len(draw)
    ends = list(stage_ends(settings.budget))
    for n in _batches(claims):
        if callable(draw):
            numbers = draw(random, (n, ends[-1]))
        else:
            numbers = draw[random.permuted(np.tile(np.arange(len(draw)), (n, 1)), axis=1)[:, : ends[-1]]]
        decisions.append(_first(numbers, truth, limits, settings, size, ends))
        power.append(_first(numbers[:100], truth - 0.1, limits, settings, size, ends))
    more = {"0.1 above": f"{np.mean(np.concatenate(power) == 1):.0%}"}
    return row(name, words, np.concatenate(decisions), settings.alpha / 2, **more)


def _first(
    numbers: "Floats",
    threshold: float,
    limits: tuple[float, float],
    settings: Settings,
    size: int | None,
    ends: list[int],
) -> Any:
    """What each claim is decided to be, where it is first decided."""
    above = speaks(numbers - threshold, settings, size, ends, reach=threshold - limits[0])
    below = speaks(threshold - numbers, settings, size, ends, reach=limits[1] - threshold)
    return _decided(above, below)


def _equivalent(residuals: "Floats", edge: float, settings: Settings) -> Any:
    """Of claims that a mean of 0 lies in the margin whose upper edge is at ``edge``."""
    ends = list(stage_ends(settings.budget))
    above_low = speaks(residuals - (edge - 2 * _MARGIN), settings, None, ends)
    below_high = speaks(edge - residuals, settings, None, ends)
    outside = speaks(residuals - edge, settings, None, ends) | speaks(
        edge - 2 * _MARGIN - residuals, settings, None, ends
    )
    return _decided(above_low & below_high, outside)


def _decided(supported: Any, refuted: Any) -> Any:
    first = (supported | refuted).argmax(axis=1)
    row_of = np.arange(len(first))
    return np.where(supported[row_of, first], 1, np.where(refuted[row_of, first], -1, 0))


def _bernoulli(rate: float) -> "Callable[[np.random.Generator, tuple[int, int]], Floats]":
    return lambda random, shape: (random.random(shape) < rate).astype(float)


def _changes(worse: float, better: float) -> "Callable[[np.random.Generator, tuple[int, int]], Floats]":
    """-1, 0 and 1 with these probabilities."""

    def draw(random: np.random.Generator, shape: tuple[int, int]) -> "Floats":
        chance = random.random(shape)
        return np.where(chance < worse, -1.0, np.where(chance < worse + better, 1.0, 0.0))

    return draw


def _batches(claims: int) -> list[int]:
    return [min(_AT_ONCE, claims - done) for done in range(0, claims, _AT_ONCE)]
