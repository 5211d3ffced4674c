"""How long it takes to find, in how much memory, and what is missed.

OMP_NUM_THREADS=2 python -m benchmarks.finding --model smollm2
OMP_NUM_THREADS=2 python -m benchmarks.finding --model bundled --recall
OMP_NUM_THREADS=2 python -m benchmarks.finding --model smollm2 --recall --kinds 'L*.H*' 'L[4,11,18,25].N*' --pairs 32
"""

import argparse
import runpy
import threading
import time
from pathlib import Path

import numpy as np
import psutil

from circuitcheck import Model, PromptPairs, contrast, load
from circuitcheck.experiments.patching import Patch
from circuitcheck.statistics.weights import mean_over

_ALL = "L*.N* | L*.H* | L*.MLP | L*.ATTN"
# The largest effects, of which it is said how much was found; and how large an effect may not be missed, of the gap.
_LARGEST, _NOT_MISSED, _FOUND = 20, 0.05, 64

_CLAIMS = Path(__file__).parents[1] / "hypotheses"


def _pairs(file: str, **names: str) -> dict[str, PromptPairs]:
    """Populations of the claims here, by what they are called in the table."""
    there = runpy.run_path(str(_CLAIMS / file))
    return {name: there[constant] for name, constant in names.items()}


PRONOUN = PromptPairs(
    "Once upon a time, there was a little {who} named {name}.",
    who=contrast.pairs([("girl", "boy")]),
    name=["Lily", "Tim", "Ben", "Anna", "Max", "Jack", "Sara", "Bob"],
    answer=" She",
    foil=" He",
)
BEHAVIOURS = {
    "smollm2": _pairs(
        "smollm2/behaviours.py",
        articles="ARTICLES",
        agreement="AGREEMENT",
        pronouns="PRONOUNS",
        receivers="INDIRECT",
        years="YEARS",
        repetition="INDUCTION",
    ),
    "bundled": {
        **_pairs("test_articles.py", articles="FRUIT"),
        **_pairs("test_agreement.py", agreement="VERB"),
        **_pairs("test_pronouns.py", pronouns="HOME"),
        **_pairs("test_indirect_objects.py", receivers="GIFT"),
        **_pairs("test_greater_than.py", years="YEARS"),
        **_pairs("test_induction.py", repetition="LIST"),
    },
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.finding", description=__doc__)
    parser.add_argument("--model", default="smollm2")
    parser.add_argument("--recall", action="store_true")
    parser.add_argument("--kinds", nargs="+", default=["L*.H*", "L*.N*"], help="addresses of which all is measured")
    parser.add_argument("--behaviours", nargs="+", help="some of them alone")
    parser.add_argument("--pairs", type=int, default=64)
    given = parser.parse_args()
    model = load(given.model, bos="always" if "stories" in given.model else "auto")
    behaviours = BEHAVIOURS.get(given.model, {"pronoun": PRONOUN})
    if given.recall:
        print("| behaviour | components | of the 20 largest | above 5 % of the gap | missed |\n|---|---|---|---|---|")
    for name in given.behaviours or behaviours:
        pairs = behaviours[name]
        if given.recall:
            for address in given.kinds:
                print(_recall(model, name, pairs, address, given.pairs), flush=True)
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


def _recall(model: Model, name: str, pairs: PromptPairs, address: str, many: int) -> str:
    """How much of the largest exact effects, each component at all positions, is of components among those found, on the same pairs."""
    candidates = model.on(pairs).find(address, top=_FOUND, pairs=many)
    found, sample = {(one.site.layer, one.site.index) for one in candidates.measured}, candidates.sample
    sites = candidates.run.sites(address)
    every = Patch.at(str(sites[0]), candidates.run, candidates.into).shifts(sample, [[site] for site in sites])
    sizes = {
        (site.layer, site.index): abs(float(mean_over(sample.pairs, shift.values))) / candidates.gap
        for site, shift in zip(sites, every, strict=True)
    }
    largest = sorted(sizes, key=lambda one: -sizes[one])[:_LARGEST]
    summed = sum(sizes[one] for one in largest if one in found) / sum(sizes[one] for one in largest)
    large = [one for one in sizes if sizes[one] > _NOT_MISSED]
    missed = [f"L{layer}.{index} {sizes[layer, index]:.2f}" for layer, index in large if (layer, index) not in found]
    count = np.mean([one in found for one in largest])
    return f"| {name}, {len(sample.pairs)} pairs | {len(sizes):,} of {address} | {summed:.3f} ({count:.2f} by count) | {len(large)} | {', '.join(missed) or 'none'} |"


if __name__ == "__main__":
    main()
