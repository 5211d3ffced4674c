"""What sweeps of a real model cost beside plain TransformerLens hooks: all heads, and all neurons of a late layer, at the last token.

python -m benchmarks.sweeping smollm2      after circuitcheck fetch smollm2: two minutes on two free cores

Plain hooks run one site at a time over all pairs in a batch, of some sites by equal steps through all, and are scaled up to all of them; both have
the same pairs, threads and weights, and give the same numbers. Runs alternate.
"""

import sys
import time
from collections.abc import Sequence
from statistics import median

import numpy as np
import torch

from benchmarks.peers import Claim, TransformerLensPeer
from circuitcheck import Model, PromptPairs, contrast, load
from circuitcheck.addresses.parsing import parse
from circuitcheck.engine.making import Patching

_RUNS, _TIMED, _PAIRS = 3, 12, 60
_NAMES = ["John", "David", "Paul", "Mark", "Peter", "James", "Anna", "Mary", "Sarah", "Kate"]
_GIFTS = PromptPairs(
    "When {n1} and {n2} went to the store, {giver} gave a book to",
    n1=_NAMES,
    n2=_NAMES,
    distinct=("n1", "n2"),
    giver=contrast(clean="{n2}", corrupt="{n1}"),
    answer=" {n1}",
    foil=" {n2}",
)


def _swept(name: str, address: str) -> tuple[float, torch.Tensor]:
    """Seconds of a sweep with nothing known, base runs among them, and its numbers in logits, of shape [site, pair]."""
    model = load(name)
    setup = model.on(_GIFTS)._setup
    sample, sites = setup.sample.first(_PAIRS), parse(address, model.anatomy)
    _ = model._loaded.answers.engine.trust  # compared with plain runs once, when a model is loaded
    started = time.perf_counter()
    found = model._loaded.answers.each(sample, [[site] for site in sites], Patching("corrupt"), setup.readout)
    return time.perf_counter() - started, torch.tensor(np.stack([one.values for one in found]))


def _plain(model: Model, claims: Sequence[Claim]) -> tuple[float, torch.Tensor]:
    """Seconds of plain hooks for all of these claims, from those of some, base runs among them; and the numbers of these, [claim, pair]."""
    pairs = model.on(_GIFTS)._setup.sample.first(_PAIRS).pairs
    clean, corrupt = (torch.tensor([pair.tokens(side) for pair in pairs]) for side in ("clean", "corrupt"))
    answer, foil = (torch.tensor([getattr(pair, name)[0] for pair in pairs]) for name in ("answer", "foil"))
    peer = TransformerLensPeer(model.bridge, clean, corrupt, answer, foil)
    started = time.perf_counter()
    peer.base_runs(claims)
    base = time.perf_counter() - started
    some = claims[:: max(1, len(claims) // _TIMED)]
    started = time.perf_counter()
    found = torch.stack([peer.patched(claim) for claim in some])
    return base + (time.perf_counter() - started) / len(some) * len(claims), found


def main(name: str = "bundled") -> None:
    """Print both times of both sweeps, and how far their numbers lie apart."""
    model = load(name)
    late = model.anatomy.n_layers - 5 if model.anatomy.n_layers > 5 else model.anatomy.n_layers - 1
    print(f"{model.name}: {_PAIRS} pairs, {torch.get_num_threads()} threads")
    for address in ("L*.H*@end", f"L{late}.N*@end"):
        claims = [Claim(site.kind, site.layer, site.index, -1) for site in parse(address, model.anatomy)]
        ours, theirs = list[float](), list[float]()
        for _ in range(_RUNS):
            seconds, numbers = _swept(name, address)
            hooked, wanted = _plain(model, claims)
            ours, theirs = [*ours, seconds], [*theirs, hooked]
        apart = float((numbers[:: max(1, len(claims) // _TIMED)] - wanted).abs().max())
        print(
            f"{address}: {len(claims):,} sites, {median(ours):.1f} s; plain hooks {median(theirs):,.0f} s, from {_TIMED} sites; "
            f"{median(theirs) / median(ours):.0f}x; numbers at most {apart:.1g} logits apart"
        )


if __name__ == "__main__":
    main(*sys.argv[1:])
