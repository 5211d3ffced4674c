"""Train a dictionary for a model at a site, on English text that every Python brings (its own manual): within 20 minutes on two cores for SmolLM2.

.venv/bin/python -m tools.train_dictionary smollm2 L25.RESID_POST runs/smollm2-L25
.venv/bin/pytest hypotheses/smollm2 --circuit-dictionary L25.RESID_POST=runs/smollm2-L25

Streams are those of the weights that claims have: processed, where the model allows it. Another text: ``--text FILE``.
"""

import argparse
import random
from pathlib import Path
from pydoc_data.topics import topics

from circuitcheck import load
from circuitcheck.engine.hooks.hookpoints import hook_name
from circuitcheck.models.dictionaries.attaching import place_of
from circuitcheck.reference_models.training_dictionaries import save, streams_of, train

WINDOW = 64  # tokens of a text that are run together


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("site")
    parser.add_argument("out", type=Path)
    parser.add_argument("--features", type=int, default=2048)
    parser.add_argument("--k", type=int, default=32)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=3000)
    parser.add_argument("--text", type=Path)
    parser.add_argument("--minutes", type=float, default=18, help="for reading and training together")
    given = parser.parse_args()
    model = load(given.model)
    hook = hook_name(*place_of(given.site, model.anatomy))
    text = (
        given.text.read_text(encoding="utf-8") if given.text else "\n\n".join(topics[name] for name in sorted(topics))
    )
    ids = model.bridge.tokenizer.encode(text, add_special_tokens=False)
    front = [] if model.bos is None else [model.bos]
    size = min(WINDOW, int(model.bridge.cfg.n_ctx) - len(front))
    windows = [[*front, *ids[start : start + size]] for start in range(0, len(ids) - size, size)]
    random.Random(given.seed).shuffle(windows)
    streams = streams_of(model.bridge, windows, hook, given.minutes / 2)
    print(f"{len(streams):,} tokens of {len(windows) * size:,}")
    tensors = train(streams, given.features, given.k, given.seed, given.steps, minutes=given.minutes / 2)
    save(tensors, given.out, hook=hook, k=given.k, processed=model.weights == "processed", name=model.name)


if __name__ == "__main__":
    main()
