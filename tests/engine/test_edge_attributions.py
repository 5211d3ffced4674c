"""Edge attributions against a forward pass by hand, TransformerLens' own, and attributions of whole components."""

from typing import Any

import numpy as np
import pytest
import torch
from transformer_lens.tools.analysis.attribution_patching import EdgeAttributionConfig, Node, attribution_patch

from circuitcheck import MethodError, Model, PromptPairs, contrast
from circuitcheck.addresses.parsing import parse
from circuitcheck.addresses.sites import Site
from circuitcheck.engine.gradients.edges import edge_attributions
from tests import oracle

SENDERS, READERS = "L*.H* | L*.MLP", "L*.H*.Q | L*.H*.K | L*.H*.V | L*.MLP"
LOGITS = Site(0, "LOGITS")
Scores = dict[tuple[str, str], float]


@pytest.fixture(scope="module")
def few() -> PromptPairs:
    return PromptPairs(
        "I climbed up the {tree} tree and picked a {tree}. I climbed up the {fruit} tree and picked",
        tree=["pear"],
        fruit=contrast(clean=["apple", "olive"], corrupt=["lemon"]),
        answer=" an",
        foil=" a",
    )


def ours(model: Model, pairs: PromptPairs, into: Any, steps: int, readers: str = READERS) -> Scores:
    run = model.on(pairs)
    senders, receivers = parse(SENDERS, model.anatomy), (*parse(readers, model.anatomy), LOGITS)
    found = edge_attributions(
        model._loaded.answers, run._setup.sample, senders, receivers, into, run._setup.readout, steps
    )
    return {
        (str(sender), str(receiver)): float(found[row, column])
        for row, sender in enumerate(senders)
        for column, receiver in enumerate(receivers)
        if not np.isnan(found[row, column])
    }


class Pass:
    """A forward pass of the bundled model from its weights. To what each component reads by itself zeros are added, whose gradients
    are its slopes; ``written`` has what each adds to the stream."""

    def __init__(self, model: Model, embedded: torch.Tensor, pair: Any):
        self.written: dict[str, torch.Tensor] = {}
        self.zeros: dict[str, torch.Tensor] = {}
        bridge, stream = model.bridge, embedded
        causal = torch.ones(len(stream), len(stream)).triu(1).bool()
        for layer in range(3):
            attention, mlp = bridge.blocks[layer].attn, bridge.blocks[layer].mlp
            after = stream + attention.b_O
            for head in range(4):
                name = f"L{layer}.H{head}"
                q, k, v = (
                    self._read(f"{name}.{part}", stream) @ weight[head] + bias[head]
                    for part, weight, bias in (
                        ("Q", attention.W_Q, attention.b_Q),
                        ("K", attention.W_K, attention.b_K),
                        ("V", attention.W_V, attention.b_V),
                    )
                )
                scores = (q @ k.T / k.shape[1] ** 0.5).masked_fill(causal, -torch.inf)
                self.written[name] = scores.softmax(-1) @ v @ attention.W_O[head]
                after = after + self.written[name]
            hidden = self._read(f"L{layer}.MLP", after) @ mlp.W_in + mlp.b_in
            self.written[f"L{layer}.MLP"] = torch.nn.functional.gelu(hidden, approximate="tanh") @ mlp.W_out + mlp.b_out
            stream = after + self.written[f"L{layer}.MLP"]
        logits = self._read("LOGITS", stream)[-1] @ bridge.W_U + bridge.b_U
        self.readout = logits[pair.answer[0]] - logits[pair.foil[0]]

    def _read(self, name: str, stream: torch.Tensor) -> torch.Tensor:
        self.zeros[name] = torch.zeros_like(stream).requires_grad_()
        read = stream + self.zeros[name]
        centred = read - read.mean(-1, keepdim=True)
        return centred / (centred.pow(2).mean(-1, keepdim=True) + 1e-5).sqrt()


def order(name: str) -> tuple[int, int]:
    """When a component reads, or writes."""
    return (3, 0) if name == "LOGITS" else (int(name[1]), int("MLP" in name))


def by_hand(model: Model, pairs: PromptPairs, into: str, steps: int) -> Scores:
    sample, total = model.on(pairs)._setup.sample.pairs, {}
    for pair in sample:
        embedded = {
            side: oracle.activations(model, pair.tokens(side))["blocks.0.hook_resid_pre"][0]
            for side in ("clean", "corrupt")
        }
        start, end = embedded[into], embedded["corrupt" if into == "clean" else "clean"]
        clean, corrupt = (Pass(model, embedded[side], pair).written for side in ("clean", "corrupt"))
        for step in range(steps):
            here = start if steps == 1 else start + (end - start) * (step + 0.5) / steps
            ran = Pass(model, here, pair)
            slopes = dict(zip(ran.zeros, torch.autograd.grad(ran.readout, list(ran.zeros.values())), strict=True))
            for sender in clean:
                for receiver, slope in slopes.items():
                    if order(sender) < order(receiver):
                        score = float(((clean[sender] - corrupt[sender]) * slope).sum().detach())
                        key = sender, receiver
                        total[key] = total.get(key, 0.0) + score / steps / len(sample)
    return total


@pytest.mark.parametrize(("into", "steps"), [("corrupt", 1), ("clean", 1), ("corrupt", 3)])
def test_they_are_the_changes_times_the_slopes_of_a_pass_by_hand(
    bundled: Model, few: PromptPairs, into: str, steps: int
) -> None:
    wanted, found = by_hand(bundled, few, into, steps), ours(bundled, few, into, steps)
    assert found.keys() == wanted.keys()
    assert max(map(abs, wanted.values())) > 1
    for edge, score in wanted.items():
        assert found[edge] == pytest.approx(score, abs=2e-3), edge


def test_they_are_those_of_transformer_lens(few: PromptPairs) -> None:
    from circuitcheck import load

    model = load("bundled")
    found, pairs = ours(model, few, "corrupt", 1), model.on(few)._setup.sample.pairs
    clean, corrupt = (torch.tensor([pair.tokens(side) for pair in pairs]) for side in ("clean", "corrupt"))
    answer, foil = pairs[0].answer[0], pairs[0].foil[0]

    def metric(logits: torch.Tensor) -> torch.Tensor:
        return (logits[..., -1, answer] - logits[..., -1, foil]).sum()

    theirs: Scores = {}
    for (sender, receiver), score in attribution_patch(
        model.bridge, clean, corrupt, metric, EdgeAttributionConfig("edge")
    ).edge_scores.items():
        if sender.kind != "embed":
            key = _named(sender), _named(receiver)
            theirs[key] = theirs.get(key, 0.0) + score
    assert found == pytest.approx(theirs, abs=2e-3)


def _named(node: Node) -> str:
    part = f".{node.kind[0].upper()}" if node.kind in ("q_input", "k_input", "v_input") else ""
    if node.kind == "logits":
        return "LOGITS"
    return f"L{node.layer}.MLP" if node.kind.startswith("mlp") else f"L{node.layer}.H{node.head}{part}"


@pytest.mark.slow
def test_all_edges_of_a_sender_are_the_sender(stories: Model, named: PromptPairs) -> None:
    """Of grouped queries and a gated MLP: the sum over all that hears a component is the slope by its own activation."""
    pairs = named.split("discover")
    found = ours(stories, pairs, "clean", 1, "L*.H*.Q | L*.KV*.K | L*.KV*.V | L*.MLP")
    sample = stories.on(pairs)._setup.sample.pairs
    hooks = {f"L{layer}.MLP": f"blocks.{layer}.hook_mlp_out" for layer in range(stories.anatomy.n_layers)}
    wanted = dict.fromkeys(hooks, 0.0)
    for pair in sample:
        clean, corrupt = (oracle.activations(stories, pair.tokens(side)) for side in ("clean", "corrupt"))
        zeros = {hook: torch.zeros_like(clean[hook]).requires_grad_() for hook in hooks.values()}
        adding = [(hook, lambda there, hook, zero=zero: there + zero) for hook, zero in zeros.items()]
        with torch.enable_grad():
            logits = stories.bridge.run_with_hooks(torch.tensor([pair.clean]), fwd_hooks=adding)
            (logits[0, -1, pair.answer[0]] - logits[0, -1, pair.foil[0]]).backward()
        for name, hook in hooks.items():
            slope = zeros[hook].grad
            assert slope is not None
            wanted[name] += float(((clean[hook] - corrupt[hook]) * slope).sum()) / len(sample)
    assert max(map(abs, wanted.values())) > 0.01
    for name, score in wanted.items():
        summed = sum(value for (sender, _), value in found.items() if sender == name)
        assert summed == pytest.approx(score, abs=1e-3), name


def test_what_cannot_be_attributed_says_why(bundled: Model, few: PromptPairs) -> None:
    run = bundled.on(few, readout="accuracy")
    with pytest.raises(MethodError, match="moves in steps, so that its slope is 0"):
        edge_attributions(
            bundled._loaded.answers, run._setup.sample, [Site(0, "MLP")], [LOGITS], "corrupt", run._setup.readout
        )
