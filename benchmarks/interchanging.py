"""What an interchange costs beside a patch: as many pairs of base and source prompts as of clean and corrupted ones, drawn and run.

python -m benchmarks.interchanging
"""

import time
from statistics import median

from circuitcheck import Model, PromptPairs, contrast, load
from circuitcheck.settings import Settings

_PAIRS, _RUNS, _SITE = 1_024, 3, "L2.H2@end"
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


def _seconds(model: Model, pairs: PromptPairs, interchanged: bool) -> tuple[float, float]:
    """To draw the pairs, and to run the effect on them, with nothing known."""
    run = model.on(pairs)
    effect = run.interchange(_SITE, "giver") if interchanged else run.patch(_SITE)
    started = time.perf_counter()
    *_, stages = effect.run.drawn.looks(_PAIRS)
    drawn = time.perf_counter()
    effect.shift_of(stages)
    return drawn - started, time.perf_counter() - drawn


def main() -> None:
    """Print the seconds of both, and their ratio."""
    found = {}
    for name, pairs, interchanged in (("patched", _PATCHED, False), ("interchanged", _INTERCHANGED, True)):
        times = []
        for _ in range(_RUNS):
            model = load("bundled", settings=Settings(budget=_PAIRS))
            times.append(_seconds(model, pairs, interchanged))
        found[name] = [median(one) for one in zip(*times, strict=True)]
        print(f"{_PAIRS:,} pairs {name}: drawn in {found[name][0]:.2f} s, run in {found[name][1]:.2f} s")
    print(f"interchanged / patched, run: {found['interchanged'][1] / found['patched'][1]:.2f}")


if __name__ == "__main__":
    main()
