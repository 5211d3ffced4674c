"""What generated text costs: circuitcheck beside transformers' own generate, on one model, the same prompts, the same threads.

    python -m benchmarks.generating                 the bundled model
    python -m benchmarks.generating smollm2         after circuitcheck fetch smollm2: two minutes on two free cores

Both write greedily with a cache, prompts of one length in one batch, in alternating runs; the texts are seen to be the same.
"""

import sys
import time
from collections.abc import Callable
from statistics import median

import torch
from transformers import AutoModelForCausalLM

from circuitcheck import Model, PromptPairs, contrast, generated, load, scaled
from circuitcheck.bundled import PATH
from circuitcheck.engine.generation.continuing import stops_of
from circuitcheck.models.fetching.cache import kept

_RUNS, _TOKENS = 3, 32
_PAIRS = PromptPairs(
    "I climbed up the {tree} tree and picked a {tree}. I climbed up the {fruit} tree and picked",
    tree=["pear", "plum", "fig", "lime"],
    fruit=contrast(clean=["apple", "orange", "olive"], corrupt=["lemon", "banana", "peach"]),
    answer=" an",
    foil=" a",
)
_TEXTS = generated(bool, _TOKENS)
Work = Callable[[], list[str]]


def _plain(model: Model, folder: object) -> Work:
    """transformers' own model, that nobody has wrapped."""
    network = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    prompts = torch.tensor([pair.clean for pair in model.on(_PAIRS)._setup.sample.pairs])
    stops = sorted(stops_of(model.bridge))
    asked = {"attention_mask": torch.ones_like(prompts), "max_new_tokens": _TOKENS, "do_sample": False}

    def work() -> list[str]:
        with torch.inference_mode():
            found = network.generate(prompts, eos_token_id=stops, pad_token_id=stops[0], **asked)
        texts = [[token for token in row if token not in stops] for row in found[:, prompts.shape[1] :].tolist()]
        return [model.bridge.tokenizer.decode(row) for row in texts]

    return work


def _unchanged(model: Model) -> Work:
    def work() -> list[str]:
        model._loaded.answers._outcomes.clear()
        return list(model.on(_PAIRS, readout=_TEXTS)._setup.base(model.on(_PAIRS)._setup.sample, "clean").texts)

    return work


def _scaled(model: Model, what: str) -> Work:
    """With a write at every step; the unchanged texts, of which there are those of the run before, are no part of it."""

    def work() -> list[str]:
        effect = model.on(_PAIRS, readout=_TEXTS).ablate(what, scaled(0.5))
        answers = model._loaded.answers
        for key in [key for key in answers._outcomes if "ablate" in repr(key)]:
            del answers._outcomes[key]
        return [texts["with"] for texts in effect._estimand.on(effect._estimand.run.sample).texts]

    return work


def main() -> None:
    """Print a table."""
    name = (sys.argv[1:] or ["bundled"])[0]
    model, threads = load(name), torch.get_num_threads()
    pairs, layer = model.on(_PAIRS)._setup.sample.pairs, model.anatomy.n_layers // 2
    print(f"{name}: {len(pairs)} prompts of {pairs[0].length} tokens, {_TOKENS} tokens each at most, {threads} threads")
    plain = "transformers' generate"
    works = {plain: _plain(model, PATH if name == "bundled" else kept("smollm2-q4")), "unchanged": _unchanged(model)}
    works |= {f"{what} scaled": _scaled(model, what) for what in (f"L{layer}.RESID_POST", "L*.H1")}
    times: dict[str, list[float]] = {what: [] for what in works}
    for run in range(_RUNS + 1):
        texts = {}
        for what, work in works.items():
            began = time.perf_counter()
            texts[what] = work()
            if run:  # the first sees whether a cache gives what a plain run gives
                times[what].append(time.perf_counter() - began)
        if texts[plain] != texts["unchanged"]:
            raise SystemExit("the texts differ")
    for what, seconds in times.items():
        ratio = median(ours / theirs for ours, theirs in zip(seconds, times[plain], strict=True))
        print(f"| {what} | {median(seconds):.2f} s | {ratio:.2f}x |")


if __name__ == "__main__":
    main()
