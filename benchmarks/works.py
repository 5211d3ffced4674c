"""The works that are timed, each by circuitcheck and by its peers, whose results must be the same."""

import gc
import sys
import threading
import time
from collections.abc import Callable, Sequence
from statistics import median
from typing import Any

import numpy as np
import psutil
import torch

from benchmarks.peers import Claim, NnsightPeer, Peer, PyvenePeer, TransformerLensPeer
from benchmarks.workplace import AN, A, as_pairs, model_of, prompts, random_models
from circuitcheck import Model
from circuitcheck.addresses.parsing import parse
from circuitcheck.engine.making import Patching
from circuitcheck.run import Run

_SWEPT_PAIRS = 16
_SWEEP_MEMORY = 2**30
OURS = "circuitcheck"
_PLACES = {tuple(clean): place for place, clean in enumerate(prompts(64)[0].tolist())}
Row = dict[str, Any]


class Bench:
    """One model's shape: its works, timed in alternating runs."""

    def __init__(self, shape: str, pairs: int, runs: int, device: str, sweep: int | None):
        self.shape, self.runs, self.device = shape, runs, device
        self.bridge, plain = random_models(shape, device)
        self.n_layers, self.d_model = int(self.bridge.cfg.n_layers), int(self.bridge.cfg.d_model)
        self.swept = sweep or 4 * self.d_model
        self.clean, self.corrupt = (side.to(device) for side in prompts(pairs))
        self.peers = self._peers(plain, self.clean, self.corrupt)
        few = self.clean[:_SWEPT_PAIRS], self.corrupt[:_SWEPT_PAIRS]
        self.few, self.few_peers = as_pairs(*few), self._peers(plain, *few)
        self.pairs = as_pairs(self.clean, self.corrupt)
        self.late = self.n_layers - 5
        self.limit = 0.0

    def table(self) -> list[Row]:
        rows = []
        for work in (self.late_neuron, self.middle_head, self.suite, self.sweep):
            self.limit = max(self.limit, arithmetic_limit(self.device))
            rows.append(work())
            print(f"{self.shape}: {rows[-1]['work']}: {rows[-1]['ratio']:.0f}x", file=sys.stderr, flush=True)
        for row in rows:
            row["share"] = row["arithmetic"] / row["times"][OURS]["median"] / self.limit
        return rows

    def late_neuron(self) -> Row:
        claim = Claim("N", self.late, 892, -1)
        work = self._arithmetic(self.late, 1, after_mlp=True) * len(self.clean)
        return self._one_more(f"one more claim: {_named(claim)}, patched", claim, work)

    def middle_head(self) -> Row:
        claim = Claim("H", self.n_layers // 2, 3, None)
        work = self._arithmetic(self.n_layers // 2, 4, after_mlp=False) * len(self.clean)
        return self._one_more(f"one more claim: {_named(claim)}, patched at all positions", claim, work)

    def suite(self) -> Row:
        """Base runs and twenty claims. A peer's claim costs what its forward costs: it is timed on one, and scaled."""
        claims = self._suite()
        blocks = [self._arithmetic(claim.layer, 4, claim.kind != "H") for claim in claims]
        base = self._arithmetic(0, 16, False) * len({tuple(row[:16].tolist()) for row in self.clean})
        base += 2 * self._arithmetic(0, 4, False) * len(self.clean)
        times: dict[str, list[float]] = {OURS: []}
        for number in range(self.runs):
            run = self._fresh().on(self.pairs)
            found, took = _timed(lambda run=run: [self._ours(run, claim) for claim in claims])
            sample = 8 * number % len(claims)  # a neuron, a head, an MLP
            times[OURS].append(took)
            for peer in self.peers:
                _, base_took = _timed(lambda peer=peer: peer.base_runs(claims))
                a_claim = self._a_claim(peer, {sample: claims[sample]}, found)
                times.setdefault(peer.name, []).append(base_took + a_claim * len(claims))
        name = f"{len(claims)} claims (8 neurons, 8 heads, 4 MLPs, all depths and positions), with base runs"
        return _row(name, times, sum(blocks) * len(self.clean) + base, scaled=True)

    def sweep(self) -> Row:
        """Each neuron of a late layer. Peers are timed on three neurons, and scaled."""
        claims = [Claim("N", self.late, index, -1) for index in range(self.swept)]
        times: dict[str, list[float]] = {OURS: []}
        grown = 0.0
        for _ in range(self.runs):
            run = self._fresh(_SWEEP_MEMORY).on(self.few)
            with Peak(self.device) as peak:
                _ = run._setup.gaps
                self._ours(run, Claim("N", self.late - 1, 0, -1))
                found, took = _timed(lambda run=run: self._all(run, claims))
            grown = max(grown, peak.grown)
            times[OURS].append(took)
            for peer in self.few_peers:
                sample = {row: claims[row] for row in (0, self.swept // 2, self.swept - 1)}
                peer.base_runs(list(sample.values()))
                times.setdefault(peer.name, []).append(self._a_claim(peer, sample, found) * len(claims))
        work = self._arithmetic(self.late, 1, after_mlp=True) * len(claims) * _SWEPT_PAIRS
        name = f"{len(claims):,} neurons of L{self.late} at the last position, {_SWEPT_PAIRS} pairs"
        return _row(name, times, work, scaled=True) | {"memory": _SWEEP_MEMORY, "grown": grown}

    def _a_claim(self, peer: Peer, sample: dict[int, Claim], found: Sequence[np.ndarray]) -> float:
        """The mean time of a peer's claim, over some of them, whose results are those that we ``found``."""
        results, took = _timed(lambda: [peer.patched(claim) for claim in sample.values()])
        for row, wanted in zip(sample, results, strict=True):
            _same(found[row], wanted)
        return took / len(sample)

    def _one_more(self, name: str, claim: Claim, work: float) -> Row:
        """A claim when the base runs and one claim of its kind are there, but none in its layer."""
        times: dict[str, list[float]] = {OURS: []}
        for peer in self.peers:
            peer.base_runs([claim])
        for _ in range(self.runs):
            run = self._fresh().on(self.pairs)
            _ = run._setup.gaps
            self._ours(run, Claim(claim.kind, claim.layer - 1, claim.index, claim.position))
            found, took = _timed(lambda run=run: self._ours(run, claim))
            times[OURS].append(took)
            for peer in self.peers:
                wanted, took = _timed(lambda peer=peer: peer.patched(claim))
                times.setdefault(peer.name, []).append(took)
                _same(found, wanted)
        return _row(name, times, work)

    def _ours(self, run: Run, claim: Claim) -> np.ndarray:
        """The patched logit differences, as a claim's evidence has them."""
        sites = parse(_address(claim), run._setup.model.anatomy)
        return _in_order(
            run,
            run._setup.model.answers.each(run._setup.sample, [sites], Patching("corrupt"), run._setup.readout)[
                0
            ].values,
        )

    def _all(self, run: Run, claims: Sequence[Claim]) -> list[np.ndarray]:
        """As a sweep has them (whose shares would mean nothing of random weights)."""
        sets = [parse(_address(claim), run._setup.model.anatomy) for claim in claims]
        outcomes = run._setup.model.answers.each(run._setup.sample, sets, Patching("corrupt"), run._setup.readout)
        return [_in_order(run, outcome.values) for outcome in outcomes]

    def _fresh(self, memory: int | None = None) -> Model:
        return model_of(self.bridge, memory)

    def _peers(self, plain: Any, clean: torch.Tensor, corrupt: torch.Tensor) -> list[Peer]:
        answer, foil = (torch.full((len(clean),), token, device=self.device) for token in (AN, A))
        batches = clean, corrupt, answer, foil
        return [TransformerLensPeer(self.bridge, *batches), NnsightPeer(plain, *batches), PyvenePeer(plain, *batches)]

    def _suite(self) -> list[Claim]:
        def depths(count: int) -> list[int]:
            return [round((step + 0.5) * self.n_layers / count - 0.5) for step in range(count)]

        neurons = [Claim("N", layer, 17 * layer + 5, None) for layer in depths(8)]
        heads = [Claim("H", layer, layer % 12, None) for layer in depths(8)]
        return [*neurons, *heads, *(Claim("MLP", layer, -1, None) for layer in depths(4))]

    def _arithmetic(self, first: int, tokens: int, after_mlp: bool) -> float:
        """Multiplications and additions that a cone cannot do without, one prompt: the blocks behind the first, and in
        the first the output projection of its MLP (or of its attention, and the MLP), for so many tokens."""
        square = 2.0 * self.d_model**2
        return tokens * square * (12 * (self.n_layers - 1 - first) + (4 if after_mlp else 9))


def arithmetic_limit(device: str) -> float:
    """Multiplications and additions a second in a large matrix product."""
    a, b = (torch.randn(4096, 4096, device=device) for _ in range(2))
    took = []
    for _ in range(6):
        took.append(_timed(lambda: a @ b)[1])
    return 2 * 4096**3 / median(took[1:])


def _row(work: str, times: dict[str, list[float]], arithmetic: float, scaled: bool = False) -> Row:
    found = {name: {"median": median(taken), "low": min(taken), "high": max(taken)} for name, taken in times.items()}
    best = min(found[name]["median"] for name in found if name != OURS)
    ratio = best / found[OURS]["median"]
    return {"work": work, "times": found, "ratio": ratio, "arithmetic": arithmetic, "scaled": scaled}


def _in_order(run: Run, values: np.ndarray) -> np.ndarray:
    """Numbers of a sample, whose order is seeded, in the order of the batches that the peers have."""
    return values[sorted(range(len(values)), key=lambda row: _PLACES[run._setup.sample.pairs[row].clean])]


def _timed(function: Callable[[], Any]) -> tuple[Any, float]:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    begun = time.perf_counter()
    result = function()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return result, time.perf_counter() - begun


def _same(found: np.ndarray, wanted: torch.Tensor) -> None:
    there = wanted.double().cpu().numpy()
    if not np.allclose(found, there, atol=1e-4 * max(1.0, float(np.abs(there).max()))):
        raise AssertionError(f"results differ by up to {np.abs(found - there).max():.2g}")


class Peak:
    """The most memory that was taken inside a block beyond that before it, in bytes, looked at every few milliseconds."""

    def __init__(self, device: str):
        self.cuda, self.grown, self._stop = device.startswith("cuda"), 0.0, threading.Event()

    def __enter__(self) -> "Peak":
        gc.collect()
        self._before = self._now()
        self._watcher = threading.Thread(target=self._watch)
        self._watcher.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._watcher.join()

    def _watch(self) -> None:
        while not self._stop.wait(0.01):
            self.grown = max(self.grown, self._now() - self._before)

    def _now(self) -> float:
        return float(torch.cuda.memory_allocated() if self.cuda else psutil.Process().memory_info().rss)


def _address(claim: Claim) -> str:
    number = claim.index if claim.index >= 0 else ""
    return f"L{claim.layer}.{claim.kind}{number}" + ("@end" if claim.position == -1 else "")


def _named(claim: Claim) -> str:
    return {"N": "neuron", "H": "head", "MLP": "MLP"}[claim.kind] + f" {_address(claim)}"
