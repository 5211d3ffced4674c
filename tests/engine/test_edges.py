"""Circuits with edges: what is kept, against a forward pass by hand in which every input is summed edge by edge."""

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from circuitcheck import Circuit, MethodError, Model, PromptPairs, load
from circuitcheck.addresses.graphs import graph_of
from circuitcheck.addresses.parsing import parse
from tests import oracle
from tests.anatomies import alike
from tests.conftest import each

TOY = alike("toy", 3, 4, 5)
ALL = "L*.H* | L*.MLP"
Part = tuple[str, str]
# Whether what the first component (by its address) writes reaches the second one's part ("" where it has no parts).
Hears = Callable[[str, Part], bool]


class ByHand:
    """The bundled model's forward pass from its weights, one component at a time; heads and MLPs that are not kept write
    what they write on average over the reference prompts."""

    def __init__(self, model: Model, pairs: PromptPairs):
        self.model, self.bridge = model, model.bridge
        self.pairs = model.on(pairs)._setup.sample.pairs
        cached = [oracle.activations(model, tokens) for pair in self.pairs for tokens in (pair.clean, pair.corrupt)]
        self.mean = {name: torch.stack([cache[name][0].float() for cache in cached]).mean(0) for name in cached[0]}

    def kept(self, components: list[str], hears: Hears) -> np.ndarray:
        with torch.no_grad():
            return np.array([self._readout(pair, components, hears) for pair in self.pairs])

    def _readout(self, pair: Any, components: list[str], hears: Hears) -> float:
        tokens, bridge = torch.tensor(pair.clean), self.bridge
        cache = oracle.activations(self.model, pair.clean)
        embedded = cache["blocks.0.hook_resid_pre"][0]
        live: dict[str, torch.Tensor] = {}

        def stream(part: Part, layer: int, behind_attention: bool) -> torch.Tensor:
            total = embedded.clone()
            for at in range(layer + behind_attention):
                total += bridge.blocks[at].attn.b_O
                for head in range(4):
                    name = f"L{at}.H{head}"
                    total += live[name] if name in live and hears(name, part) else self._average_head(at, head)
            for at in range(layer):
                name = f"L{at}.MLP"
                total += live[name] if name in live and hears(name, part) else self.mean[f"blocks.{at}.hook_mlp_out"]
            return total

        for layer in range(3):
            attention, mlp = bridge.blocks[layer].attn, bridge.blocks[layer].mlp
            for head in range(4):
                name = f"L{layer}.H{head}"
                if name in components:
                    q, k, v = (
                        _normal(stream((name, letter), layer, False)) @ weight[head] + bias[head]
                        for letter, weight, bias in (
                            ("Q", attention.W_Q, attention.b_Q),
                            ("K", attention.W_K, attention.b_K),
                            ("V", attention.W_V, attention.b_V),
                        )
                    )
                    scores = (q @ k.T / k.shape[1] ** 0.5).masked_fill(
                        torch.ones(len(tokens), len(tokens)).triu(1).bool(), -torch.inf
                    )
                    live[name] = scores.softmax(-1) @ v @ attention.W_O[head]
            name = f"L{layer}.MLP"
            if name in components:
                hidden = _normal(stream((name, ""), layer, True)) @ mlp.W_in + mlp.b_in
                live[name] = torch.nn.functional.gelu(hidden, approximate="tanh") @ mlp.W_out + mlp.b_out
        last = _normal(stream(("LOGITS", ""), 3, False))[-1]
        logits = last @ bridge.W_U + bridge.b_U
        return oracle.logit_difference(self.model, pair, logits.reshape(1, 1, -1))

    def _average_head(self, layer: int, head: int) -> torch.Tensor:
        written: torch.Tensor = (
            self.mean[f"blocks.{layer}.attn.hook_z"][:, head] @ self.bridge.blocks[layer].attn.W_O[head]
        )
        return written


def _normal(stream: torch.Tensor) -> torch.Tensor:
    centred = stream - stream.mean(-1, keepdim=True)
    return centred / (centred.pow(2).mean(-1, keepdim=True) + 1e-5).sqrt()


@pytest.fixture(scope="module")
def by_hand(bundled: Model, fruit: PromptPairs) -> ByHand:
    return ByHand(bundled, fruit)


CASES: dict[str, tuple[list[str], Hears]] = {
    "L0.H2 | L0.MLP | L1.MLP | L2.H2": (
        ["L0.H2", "L0.MLP", "L1.MLP", "L2.H2"],
        lambda sender, part: True,
    ),
    "L0.MLP | L1.MLP | L0.H2 -> L1.H1.V | L0.H0 -> L1.H1.Q": (
        ["L0.H2", "L0.H0", "L1.H1", "L0.MLP", "L1.MLP"],
        lambda sender, part: (
            sender == "L0.H2"
            if part == ("L1.H1", "V")
            else sender == "L0.H0"
            if part == ("L1.H1", "Q")
            else sender not in ("L0.H2", "L0.H0")
        ),
    ),
    "L1.H3 | L0.H1 -> L1.MLP": (
        ["L0.H1", "L1.H3", "L1.MLP"],
        lambda sender, part: sender == "L0.H1" if part == ("L1.MLP", "") else sender != "L0.H1",
    ),
    "L0.H[0-3] -> L1.MLP | L1.MLP -> LOGITS": (
        ["L0.H0", "L0.H1", "L0.H2", "L0.H3", "L1.MLP"],
        lambda sender, part: sender[1] == "0" if part == ("L1.MLP", "") else sender == "L1.MLP",
    ),
    "L0.H2 | EMBED -> L1.H2.V | L1.MLP": (
        ["L0.H2", "L1.H2", "L1.MLP"],
        lambda sender, part: part != ("L1.H2", "V"),
    ),
}


@pytest.mark.parametrize("circuit", each(CASES, list(CASES)[-1:]))
def test_what_hears_only_whom_it_is_to_hear_is_what_the_weights_give(
    bundled: Model, fruit: PromptPairs, by_hand: ByHand, circuit: str
) -> None:
    run, (components, hears) = bundled.on(fruit), CASES[circuit]
    wanted = by_hand.kept(components, hears) - by_hand.kept([], lambda sender, part: False)
    assert run.keep(circuit)._estimand.shift_on(run._setup.sample) == pytest.approx(wanted, abs=2e-3)


@pytest.mark.parametrize("value", ["mean", "zero", "resample", "counterfactual"])
def test_all_edges_named_keep_what_the_components_keep(bundled: Model, more_fruit: PromptPairs, value: str) -> None:
    components = ["L0.H2", "L1.H0", "L1.MLP", "L2.H2"]
    edges = [f"{sender} -> {receiver}" for sender, receiver in itertools.combinations(components, 2)]
    run = bundled.on(more_fruit)
    named = " | ".join([*edges, *(f"{component} -> LOGITS" for component in components)])
    by_edges, by_components = (run.keep(circuit, value).measure() for circuit in (named, " | ".join(components)))
    assert by_edges.per_pair == pytest.approx(by_components.per_pair, abs=1e-4)


def test_who_hears_whom() -> None:
    def heard(circuit: str) -> dict[str, list[str]]:
        graph = graph_of(parse(circuit, TOY), TOY)
        return {
            f"{component}{'.' if part else ''}{part}".replace("LOGITS", "end"): sorted(map(str, senders))
            for (component, part), senders in graph.heard.items()
        }

    assert heard("L0.H1 | L1.MLP -> L2.H0.K") == {
        "L0.H1.Q": ["L0.H1", "L2.H0"],
        "L0.H1.K": ["L0.H1", "L2.H0"],
        "L0.H1.V": ["L0.H1", "L2.H0"],
        "L1.MLP": ["L0.H1", "L2.H0"],
        "L2.H0.Q": ["L0.H1", "L2.H0"],
        "L2.H0.K": ["L1.MLP"],
        "L2.H0.V": ["L0.H1", "L2.H0"],
        "end": ["L0.H1", "L2.H0"],
    }
    assert heard("L0.MLP -> LOGITS")["end"] == ["L0.MLP"]
    assert heard("EMBED -> L0.MLP")["L0.MLP"] == []


def test_what_is_no_edge_is_refused(bundled: Model, fruit: PromptPairs) -> None:
    run = bundled.on(fruit)
    with pytest.raises(MethodError, match=r"named one by one: L0.H2 -> L1.H0.K \| L1.H0.K -> L2.H1 instead of"):
        run.keep("L0.H2 -> L1.H0.K -> L2.H1")
    with pytest.raises(MethodError, match="is kept at all positions: leave out that of L0.H2@end"):
        run.keep("L0.H2@end -> L1.H0.K")
    with pytest.raises(MethodError, match="is kept at all positions: leave out that of L2.H2@end"):
        run.keep("L0.H2 -> L1.H0.K | L2.H2@end")
    with pytest.raises(MethodError, match=r"ends at a component, or at a head's Q, K or V"):
        run.keep("L0.H2 -> L1.H0.PATTERN")
    with pytest.raises(MethodError, match="L1.ATTN is kept as its parts"):
        run.keep("L0.H2 -> L1.ATTN | L1.H0")


def test_a_circuit_with_edges_is_one_everywhere(
    bundled: Model, fruit: PromptPairs, capsys: pytest.CaptureFixture[str]
) -> None:
    circuit = Circuit("L0.H2 | L1.N8", reading="L0.H2 -> L1.MLP")
    circuit.show(bundled)
    assert "reading  L0.H2 -> L1.MLP" in capsys.readouterr().out
    run = bundled.on(fruit)
    kept = run.keep("L0.H* | L0.H* -> L1.N8", within="L*.H* | L*.MLP").measure()
    assert kept.method.component == "L0.H* | L0.H* -> L1.N8"
    assert 0 < kept.estimate < 1


def test_no_random_circuit_stands_beside_one_with_edges(bundled: Model, fruit: PromptPairs) -> None:
    run = bundled.on(fruit)
    with pytest.raises(MethodError, match=r"random circuits are made of components: .* as random as L0.H2 -> L1.MLP"):
        run.keep("L0.H2 -> L1.MLP").beats_random(n=3)
    with pytest.raises(MethodError, match=r"random circuits are made of components"):
        run.patch("L1.MLP | L0.H2 -> L2.MLP").beats_random(n=3)


def test_a_part_that_a_model_only_shows_is_refused(fruit: PromptPairs, monkeypatch: pytest.MonkeyPatch) -> None:
    run = load("bundled").on(fruit)
    monkeypatch.setattr(run._setup.model.answers.engine.plain, "reads", lambda chunk, target: target.kind != "H.V")
    run.keep("L0.H2 -> L1.H0")._estimand.shift_on(run._setup.sample)
    with pytest.raises(MethodError, match=r"L1.H0.V cannot be written in this model"):
        run.keep("L0.H2 -> L1.H0.Q")._estimand.shift_on(run._setup.sample)
