"""Edges: what circuits keep, on pairs that they were not found on, by whose attributions their edges were chosen.

OMP_NUM_THREADS=2 python -m benchmarks.edges

The bundled model, since TransformerLens attributes no edges of grouped queries.
"""

import time
from collections import defaultdict
from collections.abc import Sequence

import torch
from transformer_lens.tools.analysis.attribution_patching import EdgeAttributionConfig, Node, attribution_patch

from circuitcheck import PromptPairs, contrast, load
from circuitcheck.addresses.parsing import parse
from circuitcheck.addresses.sites import Site
from circuitcheck.finding.edges import Edge, EdgeCircuit, circuits
from circuitcheck.run import Run

ALL, SIZES, PAIRS = "L*.H* | L*.MLP", (4, 8, 16, 32), 16
NAMES = ["John", "Mary", "Tom", "Anna", "James", "Emma"]
BEHAVIOURS = {
    "an or a": PromptPairs(
        "I climbed up the {tree} tree and picked a {tree}. I climbed up the {fruit} tree and picked",
        tree=["pear", "plum", "fig"],
        fruit=contrast(clean=["apple", "orange", "olive"], corrupt=["lemon", "banana", "peach"]),
        answer=" an",
        foil=" a",
    ),
    "who gets it": PromptPairs(
        "When {io} and {s} went to the {place}, {giver} gave a {thing} to",
        io=NAMES,
        s=NAMES,
        distinct=("io", "s"),
        giver=contrast(clean="{s}", corrupt="{io}"),
        place=["store", "park", "school"],
        thing=["drink", "book", "ball"],
        answer=" {io}",
        foil=" {s}",
    ),
    "she or he": PromptPairs(
        "{name} went to the {place} because",
        name=contrast(
            clean=["Mary", "Anna", "Emma", "Sarah", "Alice"], corrupt=["John", "Tom", "James", "Mark", "Paul"]
        ),
        place=["park", "school"],
        answer=" she",
        foil=" he",
    ),
}


def main() -> None:
    model = load("bundled")
    print(f"what circuits of {', '.join(map(str, SIZES))} edges keep on the other half")
    for name, pairs in BEHAVIOURS.items():
        run = model.on(pairs)
        confirm = run._setup.again(pairs=pairs.split("confirm"))
        _ = confirm.gaps
        start = time.perf_counter()
        edges = transformer_lens(Run(run._setup.again(pairs=pairs.split("discover"))))
        took = time.perf_counter() - start
        print(
            f"{name}, TransformerLens' attributions ({took:.1f} s): {_kept(circuits(confirm, edges, ALL, PAIRS, SIZES))}"
        )
        for steps in (1, 5):
            start = time.perf_counter()
            found = run.find(ALL, edges=True, steps=steps, pairs=PAIRS, sizes=SIZES)
            took = time.perf_counter() - start
            print(f"{name}, ours, {steps} steps ({took:.1f} s with the circuits): {_kept(found.circuits)}")


def transformer_lens(run: Run) -> list[Edge]:
    """The edges by TransformerLens' own attributions, summed over positions."""
    totals: dict[tuple[Site, Site], float] = defaultdict(float)
    for pair in run._setup.fixed(PAIRS).pairs:

        def metric(logits: torch.Tensor, answer: int = pair.answer[0], foil: int = pair.foil[0]) -> torch.Tensor:
            return (logits[..., -1, answer] - logits[..., -1, foil]).sum()

        clean, corrupt = torch.tensor([pair.clean]), torch.tensor([pair.corrupt])
        found = attribution_patch(run._setup.model.bridge, clean, corrupt, metric, EdgeAttributionConfig("edge"))
        for (sender, receiver), score in found.edge_scores.items():
            if sender.kind != "embed":
                totals[_site(sender, run), _site(receiver, run)] += score
    return sorted((Edge(*ends, score) for ends, score in totals.items()), key=lambda edge: -abs(edge.attributed))


def _site(node: Node, run: Run) -> Site:
    if node.kind == "logits":
        return Site(0, "LOGITS")
    part = f".{node.kind[0].upper()}" if node.kind in ("q_input", "k_input", "v_input") else ""
    name = f"L{node.layer}.MLP" if node.kind.startswith("mlp") else f"L{node.layer}.H{node.head}{part}"
    [site] = parse(name, run._setup.model.anatomy)
    return site


def _kept(found: Sequence[EdgeCircuit]) -> str:
    return ", ".join(f"{one.kept:.3f}" for one in found)


if __name__ == "__main__":
    main()
