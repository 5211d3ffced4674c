"""How long it takes to find, in how much memory, and what is missed.

OMP_NUM_THREADS=2 python -m benchmarks.finding --model smollm2
OMP_NUM_THREADS=2 python -m benchmarks.finding --model bundled --recall
"""

import argparse
import runpy
import threading
import time
from pathlib import Path

import numpy as np
import psutil

from circuitcheck import Model, PromptPairs, contrast, load

_ALL = "L*.N* | L*.H* | L*.MLP | L*.ATTN"
# The largest effects, of which it is said how much was found; and how large an effect may not be missed, of the gap.
_LARGEST, _NOT_MISSED, _FOUND = 20, 0.05, 64

ARTICLES = runpy.run_path(str(Path(__file__).parents[1] / "hypotheses" / "smollm2" / "behaviours.py"))["ARTICLES"]
FRUIT = PromptPairs(
    "I climbed up the {tree} tree and picked a {tree}. I climbed up the {fruit} tree and picked",
    tree=["pear", "plum", "fig"],
    fruit=contrast(clean=["apple", "orange", "olive"], corrupt=["lemon", "banana", "peach"]),
    answer=" an",
    foil=" a",
)
PRONOUN = PromptPairs(
    "Once upon a time, there was a little {who} named {name}.",
    who=contrast.pairs([("girl", "boy")]),
    name=["Lily", "Tim", "Ben", "Anna", "Max", "Jack", "Sara", "Bob"],
    answer=" She",
    foil=" He",
)
BEHAVIOURS = {"smollm2": {"articles": ARTICLES, "pronoun": PRONOUN}, "bundled": {"articles": FRUIT}}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.finding", description=__doc__)
    parser.add_argument("--model", default="smollm2")
    parser.add_argument("--recall", action="store_true")
    parser.add_argument("--kinds", nargs="+", default=["L*.H*", "L*.N*"], help="addresses of which all is measured")
    given = parser.parse_args()
    model = load(given.model, bos="always" if "stories" in given.model else "auto")
    behaviours = BEHAVIOURS.get(given.model, {"pronoun": PRONOUN})
    if given.recall:
        print("| behaviour | components | of the 20 largest | above 5 % of the gap | missed |\n|---|---|---|---|---|")
    for name, pairs in behaviours.items():
        if given.recall:
            for address in given.kinds:
                print(_recall(model, name, pairs, address))
        else:
            _time(model, name, pairs)


def _time(model: Model, name: str, pairs: PromptPairs) -> None:
    process = psutil.Process()
    before, peak, done = process.memory_info().rss, [0], threading.Event()

    def watch() -> None:
        while not done.wait(0.02):
            peak[0] = max(peak[0], process.memory_info().rss)

    watcher = threading.Thread(target=watch)
    watcher.start()
    times = []
    for top in (1, 22):
        start, spent = time.perf_counter(), time.process_time()
        found = model.on(pairs).find(_ALL, top=top)
        times.append((time.perf_counter() - start, time.process_time() - spent))
    done.set()
    watcher.join()
    print(found)
    for what, (wall, cpu) in zip(("few measured", f"{len(found.measured)} measured"), times, strict=True):
        print(f"{name}, {len(found.pairs)} pairs, {what}: {wall:.1f} s, {cpu:.1f} s of processors")
    print(f"peak beside the model {(peak[0] - before) / 2**30:.2f} GiB")


def _recall(model: Model, name: str, pairs: PromptPairs, address: str) -> str:
    """How much of the largest exact effects, each component at all positions, is of components among those found."""
    run = model.on(pairs)
    found = {(one.site.layer, one.site.index) for one in run.find(address, top=_FOUND).measured}
    sweep = run.sweep(address)
    sizes = {
        (site.layer, site.index): abs(float(one)) for site, one in zip(sweep.sites, sweep.values.ravel(), strict=True)
    }
    largest = sorted(sizes, key=lambda one: -sizes[one])[:_LARGEST]
    summed = sum(sizes[one] for one in largest if one in found) / sum(sizes[one] for one in largest)
    large = [one for one in sizes if sizes[one] > _NOT_MISSED]
    missed = [f"L{layer}.{index} {sizes[layer, index]:.2f}" for layer, index in large if (layer, index) not in found]
    count = np.mean([one in found for one in largest])
    return f"| {name} | {len(sizes):,} of {address} | {summed:.3f} ({count:.2f} by count) | {len(large)} | {', '.join(missed) or 'none'} |"


if __name__ == "__main__":
    main()
