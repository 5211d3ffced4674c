"""Train a dictionary for a model at a site, on English text that every Python brings (its own manual): within 20 minutes on two cores for SmolLM2.

.venv/bin/python -m tools.train_dictionary smollm2 L28.RESID_POST runs/smollm2-L28 --features 2048 --k 32
.venv/bin/pytest hypotheses/smollm2 --circuit-dictionary L28.RESID_POST=runs/smollm2-L28

Streams are taken with processed weights, as claims have them. Another text: ``--text FILE``.
"""

import argparse
import random
from pathlib import Path
from pydoc_data.topics import topics

from circuitcheck import load
from circuitcheck.addresses.kinds import KINDS
from circuitcheck.addresses.parsing import parse
from circuitcheck.reference_models.training_dictionaries import save, streams_of, train

WINDOW = 64  # tokens of a text that are run together
# Names of hook points that configurations use, by the kind of site.
_WRITTEN = ("RESID_PRE", "RESID_MID", "RESID_POST", "MLP", "ATTN")


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
    [site] = parse(given.site, model.anatomy)
    if site.kind not in _WRITTEN:
        parser.error(f"a dictionary is trained at {', '.join(_WRITTEN)}, not at {site}")
    hook = KINDS[site.kind].hook.format(site.layer)
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
    save(tensors, given.out, hook=hook, k=given.k, processed=True, name=model.name)


if __name__ == "__main__":
    main()
