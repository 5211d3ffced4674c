"""Circuits: what is kept, against plain hooks; what a circuit is, against a planted one."""

from typing import Any

import numpy as np
import pytest
import torch

from circuitcheck import AddressError, Circuit, ClaimRefuted, MethodError, Model, PromptPairs
from circuitcheck.addresses.circuits import random_like, rest_of
from circuitcheck.addresses.parsing import parse
from tests import oracle
from tests.anatomies import alike
from tests.conftest import each

ALL = "L*.H* | L*.MLP"
TOY = alike("toy", 3, 4, 5)


def by_plain_hooks(model: Model, pairs: PromptPairs, ablated: dict[str, list[Any]], value: str) -> np.ndarray:
    """The clean readout of each pair with entries of hook points replaced by their means over all prompts, or zero."""
    sample = model.on(pairs)._setup.sample
    prompts = [tokens for pair in sample.pairs for tokens in (pair.clean, pair.corrupt)]
    cached = [oracle.activations(model, tokens) for tokens in prompts]
    means = {name: torch.stack([cache[name][0] for cache in cached]).mean(0) for name in ablated}
    found = []
    for pair in sample.pairs:

        def hook_at(name: str, entries: list[Any], pair: Any = pair) -> tuple[str, Any]:
            mean = means[name]

            def write(activation: Any, hook: Any) -> Any:
                for entry in entries:
                    places = [at for at in range(pair.length) if value == "mean" or pair.clean[at] != model.bos]
                    index = (0, places) if entry is None else (0, places, entry)
                    source = mean[places] if entry is None else mean[places, entry]
                    activation[index] = source if value == "mean" else 0.0
                return activation

            return name, write

        hooks = [hook_at(name, entries) for name, entries in ablated.items()]
        found.append(oracle.logit_difference(model, pair, oracle.run(model, pair.clean, hooks)))
    return np.array(found)


@pytest.mark.parametrize("value", each(["mean", "zero"], ("mean",)))
def test_what_is_kept_is_what_plain_hooks_leave(bundled: Model, fruit: PromptPairs, value: str) -> None:
    """A head and a neuron kept; all other heads, the other MLPs and the other neurons of that MLP are ablated."""
    others = {
        f"blocks.{layer}.attn.hook_z": [head for head in range(4) if (layer, head) != (0, 2)] for layer in range(3)
    }
    neurons = {"blocks.1.mlp.out.hook_in": [n for n in range(bundled.anatomy.layers[0].count("N")) if n != 8]}
    mlps: dict[str, list[Any]] = {f"blocks.{layer}.hook_mlp_out": [None] for layer in (0, 2)}
    kept = by_plain_hooks(bundled, fruit, {**others, **neurons, **mlps}, value)
    everything = {f"blocks.{layer}.attn.hook_z": list(range(4)) for layer in range(3)}
    all_neurons = {"blocks.1.mlp.out.hook_in": list(range(bundled.anatomy.layers[0].count("N")))}
    nothing = by_plain_hooks(bundled, fruit, {**everything, **all_neurons, **mlps}, value)
    clean = by_plain_hooks(bundled, fruit, {}, value)
    expected = (kept - nothing).mean() / (clean - nothing).mean()
    measured = bundled.on(fruit).keep("L0.H2 | L1.N8", value).measure()
    assert measured.estimate == pytest.approx(expected, abs=1e-4)
    assert measured.method.universe == ALL


@pytest.mark.parametrize("value", ["mean", "zero", "resample"])
def test_nothing_keeps_nothing_and_everything_all(bundled: Model, more_fruit: PromptPairs, value: str) -> None:
    run = bundled.on(more_fruit)
    for everything in (ALL, "L*.ATTN | L*.MLP", "L*.H* | L*.N*"):
        assert run.keep(everything, value, within=everything).measure().estimate == pytest.approx(1)
        assert run.keep(everything, value, within=ALL).measure().estimate == pytest.approx(1)
    assert run.keep(Circuit(), value).measure().estimate == pytest.approx(0, abs=1e-6)
    assert run.ablate(ALL, value).measure().estimate == pytest.approx(1)


def test_what_a_circuit_leaves_out() -> None:
    def rest(circuit: str, universe: str = ALL) -> str:
        return " | ".join(map(str, rest_of(parse(circuit, TOY), parse(universe, TOY), TOY)[0]))

    assert rest("L*.H* | L0-1.MLP") == "L2.MLP"
    assert rest("L*.H* | L0-1.MLP | L2.N[0,3]") == "L2.N1 | L2.N2 | L2.N4"
    assert rest("L*.ATTN", "L*.H*") == ""
    assert rest("L0.H1", "L0.ATTN") == "L0.H0 | L0.H2 | L0.H3"
    assert rest("L0.H[0-3]@end", "L0.ATTN") == "L0.H0@* but end | L0.H1@* but end | L0.H2@* but end | L0.H3@* but end"


def test_members_at_positions_are_kept_there_alone(bundled: Model, fruit: PromptPairs) -> None:
    """The neuron writes at the last token what is read there: kept at that token, it is as good as kept at all."""
    run = bundled.on(fruit)
    everywhere, at_end, elsewhere = (
        run.keep(f"L*.H* | L0.MLP | L2.MLP | L1.N8{position}").measure().estimate for position in ("", "@end", "@-2")
    )
    assert at_end == pytest.approx(everywhere, abs=0.05)
    assert elsewhere < everywhere - 0.2
    with pytest.raises(MethodError, match="is kept at several positions"):
        run.keep("L1.N8@end | L1.N8@-2").measure()


def test_members_lie_inside_the_universe(bundled: Model, fruit: PromptPairs) -> None:
    with pytest.raises(MethodError, match=r"L1.RESID_PRE lies outside within='L0.H0 | L0.H1"):
        bundled.on(fruit).keep("L1.RESID_PRE")
    with pytest.raises(MethodError, match=r"L1.N8 lies outside"):
        bundled.on(fruit).keep("L1.N8", within="L*.H*")
    with pytest.raises(AddressError):
        bundled.on(fruit).keep(Circuit("L9.H1"))


def test_a_circuit_stands_where_an_address_does(
    bundled: Model, fruit: PromptPairs, capsys: pytest.CaptureFixture[str]
) -> None:
    circuit = Circuit("L0.H2", neurons="L1.N8 | L1.N9")
    run = bundled.on(fruit)
    assert str(circuit) == "L0.H2 | L1.N8 | L1.N9"
    assert repr(circuit) == "Circuit('L0.H2', neurons='L1.N8 | L1.N9')"
    for verb in (run.patch, run.ablate, run.keep):
        ours, written = (verb(which).measure() for which in (circuit, str(circuit)))  # type: ignore[operator]
        assert (ours.label, ours.estimate) == (written.label, written.estimate)
    circuit.show(bundled)
    shown = capsys.readouterr().out
    assert "neurons  L1.N8, L1.N9" in shown
    assert "3 members in bundled" in shown
    with pytest.raises(MethodError, match="movers='' is no address"):
        Circuit("L0.H2", movers="")


def test_random_circuits_are_of_the_same_kinds_and_sizes() -> None:
    circuit = parse("L0.H1@end | L1.H[2,3]@end | L2.MLP | L0.N3", TOY)
    drawn = random_like(circuit, parse(ALL, TOY), TOY, 20, "seed")
    assert len(drawn) == len({frozenset(map(str, one)) for one in drawn}) == 20
    for one in drawn:
        assert [site.kind for site in one] == ["H", "H", "H", "MLP", "N"]
        assert [str(site.position) for site in one] == ["end", "end", "end", "*", "*"]
        assert set(one) != set(circuit)
    assert drawn == random_like(circuit, parse(ALL, TOY), TOY, 20, "seed")
    assert len(random_like(parse("L0.MLP", TOY), parse(ALL, TOY), TOY, 20, "seed")) == 2


def test_a_circuit_beats_random_ones_or_does_not(bundled: Model, fruit: PromptPairs) -> None:
    run = bundled.on(fruit)
    verdict = run.keep("L0.H2 | L2.H2 | L1.N8 | L0.MLP").beats_random(n=10)
    others = [
        run.keep(" | ".join(map(str, one))).measure().estimate
        for one in random_like(
            parse("L0.H2 | L2.H2 | L1.N8 | L0.MLP", bundled.anatomy),
            parse(ALL, bundled.anatomy),
            bundled.anatomy,
            10,
            f"0/random/{run.keep('L0.H2 | L2.H2 | L1.N8 | L0.MLP').label}",
        )
    ]
    ours = run.keep("L0.H2 | L2.H2 | L1.N8 | L0.MLP").measure().estimate
    assert verdict.measurement.estimate == 1 + sum(other > ours for other in others)
    assert run.patch("L1.N8").beats_random(n=20)
    with pytest.raises(ClaimRefuted):
        assert run.patch("L1.N3").beats_random(n=40)
    with pytest.raises(MethodError, match="no other circuit"):
        run.keep(ALL).beats_random(3)
