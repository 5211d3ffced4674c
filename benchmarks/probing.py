"""How often a probe's verdicts are wrong, where the truth is known: simulated fillers, fits and folds as in a claim.

python -m benchmarks.probing          1,000 sets a row: about ten minutes on one core
python -m benchmarks.probing 200      so many sets a row

Fillers are drawn with normal features and, where there is something to be read, a shift along one of them by their class;
each stands in six prompts. "Alike": fillers come in couples that are nearly the same, so that there are fewer than there
seem to be. The truth is one half where there is nothing to be read, and otherwise the mean of all runs.
"""

import sys
from itertools import product

import numpy as np

from circuitcheck.experiments.probing.fits import by_group, held_out
from circuitcheck.statistics.evidence import Evidence
from circuitcheck.types import Floats

_RUNS, _DEALT, _DEALT_RUNS = 1000, 39, 100  # sets a row, labellings of each of the first ones
_PROMPTS, _WIDTH = 6, 32
_ALIKE = 0.2


def _fillers(count: int, shift: float, alike: bool, chance: np.random.Generator) -> tuple[Floats, Floats]:
    """Features of every prompt's activation, of shape [prompt, width], and each filler's class."""
    drawn = chance.normal(size=(count, _WIDTH))
    if alike:
        drawn = np.repeat(drawn[: count // 2], 2, axis=0) + _ALIKE * drawn
    labels = chance.permutation(np.arange(count) % 2)
    drawn[:, 0] += shift * (2 * labels - 1)
    prompts = np.repeat(drawn, _PROMPTS, axis=0)
    return prompts + 0.3 * chance.normal(size=prompts.shape), labels


def _row(count: int, shift: float, alike: bool, runs: int) -> str:
    groups, accuracies, intervals, best = np.repeat(np.arange(count), _PROMPTS), [], [], 0
    for run in range(runs):
        chance = np.random.default_rng(run)
        features, of_fillers = _fillers(count, shift, alike, chance)
        labels = of_fillers[groups]
        numbers = by_group(held_out(features, labels, groups, run), labels, groups)
        evidence = Evidence(numbers, np.ones(count), False, limits=(0.0, 1.0), clusters=True)
        accuracies.append(evidence.estimate)
        intervals.append(evidence.interval())
        if shift or run >= _DEALT_RUNS:
            continue
        for _ in range(_DEALT):
            dealt = chance.permutation(of_fillers)[groups]
            other = by_group(held_out(features, dealt, groups, run), dealt, groups).mean()
            if other >= evidence.estimate - 1e-9:
                break
        else:
            best += 1
    truth = float(np.mean(accuracies)) if shift else 0.5
    above = np.mean([low is not None and low > truth for low, _ in intervals])
    below = np.mean([high is not None and high < truth for _, high in intervals])
    fillers = f"{count}{', alike' if alike else ''}"
    share = "" if shift else f"{100 * best / min(runs, _DEALT_RUNS):.0f} %"
    return f"| {fillers} | {truth:.2f} | {100 * above:.1f} % | {100 * below:.1f} % | {share} |"


def main() -> None:
    """Print the table of docs/reference/probes.md."""
    runs = int(sys.argv[1]) if sys.argv[1:] else _RUNS
    print("| fillers | true accuracy | interval above it | interval below it | best of 40 labellings |")
    print("|---|---|---|---|---|")
    for shift, alike, count in product((0.0, 1.5), (False, True), (12, 20, 40)):
        print(_row(count, shift, alike, runs), flush=True)


if __name__ == "__main__":
    main()
