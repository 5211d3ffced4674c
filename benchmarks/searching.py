"""What a search costs beside plain evaluation in batches, and what adversaries find.

python -m benchmarks.searching          about a minute on two cores
"""

import time
from collections.abc import Callable
from statistics import median

from hypothesis import strategies as st

from benchmarks.rare_failure import THRESHOLD, rare_failure
from circuitcheck.model import Model, load
from circuitcheck.prompts.alignment import Rejections
from circuitcheck.prompts.populations import Population
from circuitcheck.prompts.prompt_pairs import PromptPairs
from circuitcheck.prompts.slots import contrast
from circuitcheck.reference_models.bundled import vocabulary
from circuitcheck.sampling.samples import Sample
from circuitcheck.search.strategies import Generated
from circuitcheck.search.trials import Trials
from circuitcheck.settings import Settings

_PAIRS, _RUNS, _SEEDS = 4096, 3, 10
_SITE = "L1.N8"
NOUNS = PromptPairs(
    "They sold the {other}. We looked for the {noun} and found",
    other=list(vocabulary.A_NOUNS[:20]),
    noun=contrast(clean=list(vocabulary.AN_NOUNS[:24]), corrupt=list(vocabulary.A_NOUNS[20:44])),
    answer=" an",
    foil=" a",
)


def _rows() -> st.SearchStrategy[dict[str, str]]:
    def row(other: str, clean: str, corrupt: str) -> dict[str, str]:
        text = "They sold the {}. We looked for the {} and found"
        return {
            "clean": text.format(other, clean),
            "corrupt": text.format(other, corrupt),
            "answer": " an",
            "foil": " a",
        }

    words = (vocabulary.A_NOUNS[:20], vocabulary.AN_NOUNS[:24], vocabulary.A_NOUNS[20:44])
    return st.builds(row, *map(st.sampled_from, words))


def _evaluated(model: Model) -> None:
    """The same work without a search: the first pairs of the search's order, aligned and patched in batches."""
    run = model.on(NOUNS)
    population = Population(NOUNS.description, 0)
    numbers = [number for number, _ in zip(population.search(), range(_PAIRS), strict=False)]
    for start in range(0, _PAIRS, Trials.batch):
        some = [population.pair(number) for number in numbers[start : start + Trials.batch]]
        run.patch(_SITE)._estimand.shift_on(
            Sample(tuple(model._loaded.sampler.aligner.align(some, Rejections())), whole=False)
        )


def _searched(model: Model) -> None:
    _require((model.on(NOUNS).patch(_SITE).each > -5).searched.tried == _PAIRS)


def _searched_strategy(model: Model) -> None:
    _require((model.on(PromptPairs.from_strategy(_rows())).patch(_SITE).each > -5).searched.tried > _PAIRS // 2)


def _require(tried_all: bool) -> None:
    if not tried_all:
        raise RuntimeError("the search did not try the pairs that it is timed for")


def _seconds(work: Callable[[Model], None]) -> float:
    model = load("bundled", settings=Settings(examples=_PAIRS))
    model.on(NOUNS).patch(_SITE).measure()  # what is done once a session
    started = time.perf_counter()
    work(model)
    return time.perf_counter() - started


def main() -> None:
    """Print the figures."""
    works = {"in batches": _evaluated, "search": _searched, "a strategy's search": _searched_strategy}
    times = [{name: _seconds(work) for name, work in works.items()} for _ in range(_RUNS)]
    for name in works:
        ratios = [run[name] / run["in batches"] for run in times]
        print(f"{_PAIRS:,} pairs, {name}: {median(run[name] for run in times):.2f} s, {median(ratios):.2f}x")
    found = Generated(_rows(), 0, _PAIRS)
    print(f"a strategy's {_PAIRS:,} examples are {len(list(found.order())):,} pairs")
    for name in ("gradient", "coordinate", "random"):
        _report_needle(name)


def _report_needle(name: str) -> None:
    spent = []
    for seed in range(_SEEDS):
        plant = rare_failure(seed, examples=2000)
        each = plant.model.on(plant.pairs).patch(plant.neuron).each
        verdict = (each if name == "random" else each.against(name)) > THRESHOLD
        ours = verdict.searched.tried if verdict.searched.duel is None else verdict.searched.duel.spent
        if verdict.decision == "refuted":
            spent.append(ours)
    evaluations = f", after {median(spent):.0f} evaluations (at most {max(spent)})" if spent else ""
    print(f"one pair in 10,000, {name}: found in {len(spent)} of {_SEEDS} seeds{evaluations}")


if __name__ == "__main__":
    main()
