"""Train the two dictionaries of the bundled model, of two seeds, and write their card: `python -m circuitcheck.reference_models.bundled.dictionaries`.

Each is of L1.RESID_POST, where the article's neuron has written, on the sentences that the model was trained on.
"""

import argparse
import random
from itertools import islice
from pathlib import Path
from typing import Final

import torch

from circuitcheck.bundled import DICTIONARIES
from circuitcheck.model import Model, load
from circuitcheck.models.dictionaries.loading import read_dictionary
from circuitcheck.reference_models.bundled import corpus
from circuitcheck.reference_models.training_dictionaries import save, streams_of, train

SEEDS: Final = (0, 1)
SITE, HOOK, FEATURES, K, STEPS = "L1.RESID_POST", "blocks.1.hook_resid_post", 512, 8, 4000
SENTENCES: Final = 3000  # of each task

_CARD = """# Dictionaries of the bundled model

Two top-k sparse autoencoders of `{site}`, with processed weights, of two seeds (`bundled-seed0`, `bundled-seed1`): {n} features, {k} of them active at a
token. They were trained on the streams at {tokens:,} tokens of the model's own training sentences, {steps} steps of 1,024 tokens; made by
`make bundled-dictionary`, they are for tests and examples. The format is SAELens'.

| seed | of the variance explained | features active at no token |
|---|---|---|
{rows}

On the same sentences, in single precision. What they explain of other texts is not known.
"""


def texts_of(model: Model) -> list[list[int]]:
    """Training sentences as token ids."""
    rng = random.Random(0)
    sentences = [one.text for task in corpus.TASKS for one in islice(corpus.sentences(task, "train", rng), SENTENCES)]
    return [[model.bos or 0, *model.bridge.tokenizer.encode(text, add_special_tokens=False)] for text in sentences]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=DICTIONARIES)
    parser.add_argument("--steps", type=int, default=STEPS)
    given = parser.parse_args()
    model = load("bundled")
    streams = streams_of(model.bridge, texts_of(model), HOOK)
    rows = []
    for seed in SEEDS:
        tensors = train(streams, FEATURES, K, seed, given.steps)
        folder = given.out / f"seed{seed}"
        save(tensors, folder, hook=HOOK, k=K, processed=True, name="bundled")
        rows.append(_row(folder, streams, seed))
    card = _CARD.format(site=SITE, n=FEATURES, k=K, tokens=len(streams), steps=given.steps, rows="\n".join(rows))
    (given.out / "README.md").write_text(card, encoding="utf-8")


def _row(folder: Path, streams: torch.Tensor, seed: int) -> str:
    dictionary, _ = read_dictionary(folder, "cpu", False, None)
    features = dictionary.encode(streams)
    left = (streams - dictionary.decode(features, streams)).square().sum()
    share = 1 - float(left / (streams - streams.mean(0)).square().sum())
    return f"| {seed} | {share:.3f} | {int((features > 0).any(0).logical_not().sum())} of {FEATURES} |"


if __name__ == "__main__":
    main()
