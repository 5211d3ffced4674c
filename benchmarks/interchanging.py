"""What an interchange costs beside a patch: as many pairs of base and source prompts as of clean and corrupted ones, drawn and run.

python -m benchmarks.interchanging
python -m benchmarks.interchanging smollm2 256      another model, and so many pairs
"""

import sys
import time
from collections.abc import Callable
from statistics import median
from typing import Any

from circuitcheck import Model, PromptPairs, contrast, load
from circuitcheck.settings import Settings

_RUNS, _SITE = 3, "L2.H2@end"
_NAMES = ["John", "Mary", "Tom", "Anna", "James", "Emma", "Mark", "Sarah", "Paul", "Alice", "Peter", "Jane"]
_SLOTS = {"place": ["store", "park", "school", "market"], "thing": ["drink", "book", "ball", "letter"]}
_TEXT = "When {n1} and {n2} went to the {place}, {giver} gave a {thing} to"
_PATCHED = PromptPairs(
    _TEXT,
    n1=_NAMES,
    n2=_NAMES,
    distinct=("n1", "n2"),
    giver=contrast(clean="{n2}", corrupt="{n1}"),
    answer=" {n1}",
    foil=" {n2}",
    place=_SLOTS["place"],
    thing=_SLOTS["thing"],
)
_INTERCHANGED = PromptPairs(
    _TEXT,
    n1=_NAMES,
    n2=_NAMES,
    distinct=("n1", "n2"),
    giver=_NAMES,
    where=lambda giver, n1, n2: giver in (n1, n2),
    variables={"receiver": lambda n1, n2, giver: n2 if giver == n1 else n1},
    answer=" {receiver}",
    foil=" {giver}",
    place=_SLOTS["place"],
    thing=_SLOTS["thing"],
)


def _seconds(model: Model, pairs: PromptPairs, n: int, interchanged: bool) -> tuple[float, float, list[Any]]:
    """To draw ``n`` pairs, and to run the effect on them, with nothing known; and these pairs as rows."""
    run = model.on(pairs)
    effect = run.interchange(_SITE, "giver") if interchanged else run.patch(_SITE)
    started = time.perf_counter()
    *_, stages = effect._estimand.run.drawn.looks(n)
    drawn = time.perf_counter()
    effect._estimand.shift_of(stages)
    done = time.perf_counter()
    return drawn - started, done - drawn, [pair.pair.as_row() for stage in stages for pair in stage.sample.pairs]


def main(name: str = "bundled", pairs: str = "1024") -> None:
    """Print the seconds of interchanges, of patches between the same prompts, and of as many patches of prompts that differ in one word."""
    n, rows = int(pairs), list[Any]()

    def timed(what: str, population: Callable[[], PromptPairs], interchanged: bool = False) -> float:
        times = []
        for _ in range(_RUNS):
            model = load(name, settings=Settings(budget=n))
            *seconds, rows[:] = _seconds(model, population(), n, interchanged)
            times.append(seconds)
        drawn, ran = (median(one) for one in zip(*times, strict=True))
        print(f"{n:,} pairs {what}: drawn in {drawn:.2f} s, run in {ran:.2f} s")
        return ran

    interchanged = timed("interchanged", lambda: _INTERCHANGED, interchanged=True)
    same = list(rows)
    patched = timed("of the same prompts, patched", lambda: PromptPairs.from_rows(same))
    alike = timed("that differ in one word, patched", lambda: _PATCHED)
    print(
        f"interchanged / patched, run: {interchanged / patched:.2f}, beside prompts that share their beginnings {interchanged / alike:.2f}"
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
