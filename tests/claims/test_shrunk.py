"""Smaller circuits: what was planted is what is left, and it is confirmed on pairs that had no part in it."""

import pytest

from circuitcheck import BehaviourAbsent, Circuit, ClaimRefuted, MethodError, Model, PromptError, PromptPairs
from circuitcheck.reference_models.planted import planted
from tests.conftest import each

ALL = "L*.H* | L*.N*"


@pytest.mark.parametrize("backup", each([0.0, 1.0], (1.0,)))
def test_what_was_planted_is_what_is_left(backup: float) -> None:
    plant = planted(share=0.5, scatter=0.1, backup=backup, nouns=8)
    smaller = plant.model.on(plant.pairs).shrink(ALL, above=0.95)
    assert str(smaller.circuit) == "L0.H0 | L0.H1 | L0.N0"
    assert len(smaller.removed) == 9
    assert all(cost == pytest.approx(0, abs=1e-5) for _, cost in smaller.removed)
    assert smaller.confirmed > 0.95
    assert smaller.kept == pytest.approx(1, abs=1e-5)


def test_it_stays_above_and_nothing_more_can_go() -> None:
    """With a lower threshold the member goes that makes least difference; what each step costs adds up."""
    plant = planted(share=0.3, scatter=0.0, nouns=8)
    run = plant.model.on(plant.pairs)
    smaller = run.shrink(ALL, above=0.5)
    assert str(smaller.circuit) == plant.direct
    assert smaller.kept == pytest.approx(0.7, abs=1e-4)
    costs = dict(smaller.removed)
    assert costs[plant.neuron] + costs["L0.H1"] == pytest.approx(0.3, abs=1e-4)
    assert 1 - sum(costs.values()) == pytest.approx(smaller.kept, abs=1e-4)
    assert run.shrink(plant.direct, above=0.5).removed == ()
    assert "nothing could be removed" in repr(run.shrink(plant.direct, above=0.5))


@pytest.mark.slow
def test_it_is_found_on_one_half_and_confirmed_on_the_other(bundled: Model, fruit: PromptPairs) -> None:
    run = bundled.on(fruit)
    smaller = run.shrink("L*.H* | L1.N8", above=0.9)
    confirmed = smaller.confirmed.measure()
    halves = {half: bundled.on(fruit.split(half)) for half in ("discover", "confirm")}  # type: ignore[arg-type]
    assert [pair.clean for pair in confirmed.pairs] == [pair.clean for pair in halves["confirm"]._setup.sample.pairs]
    assert smaller.pairs == len(halves["discover"]._setup.sample.pairs)
    found = {half: on.keep(smaller.circuit).measure().estimate for half, on in halves.items()}
    assert found["discover"] == pytest.approx(smaller.kept)
    assert found["confirm"] == pytest.approx(confirmed.estimate)
    assert smaller.confirmed > 0.85
    kept = halves["discover"].keep("L*.H* | L1.N8").measure().estimate
    members = "L*.H* | L1.N8"
    for member, cost in smaller.removed:
        left = [str(site) for site in Circuit(members).sites(bundled.anatomy) if str(site) != member]
        members = " | ".join(left)
        now = halves["discover"].keep(members).measure().estimate
        assert cost == pytest.approx(kept - now, abs=1e-6)
        assert now > 0.9
        kept = now
    for site in smaller.circuit.sites(bundled.anatomy):
        left = [str(one) for one in smaller.circuit.sites(bundled.anatomy) if one != site]
        assert halves["discover"].keep(" | ".join(left)).measure().estimate <= 0.9


def test_groups_stay_and_the_result_tells_what_went() -> None:
    plant = planted(share=0.5, scatter=0.0, nouns=8)
    run = plant.model.on(plant.pairs)
    smaller = run.shrink(Circuit("L0.H0", movers="L0.H1 | L1.H0", neurons="L0.N0 | L1.N1", idle="L1.N2"), above=0.9)
    assert repr(smaller.circuit) == "Circuit('L0.H0', movers='L0.H1', neurons='L0.N0')"
    shown = repr(smaller).splitlines()
    assert shown[0].startswith("Circuit('L0.H0', movers='L0.H1', neurons='L0.N0') keeps 1 of the behaviour on the")
    assert {line.split()[0] for line in shown[1:]} == {"L1.H0", "L1.N1", "L1.N2"}


def test_the_confirmation_can_fail() -> None:
    plant = planted(share=0.5, scatter=0.0, nouns=8)
    smaller = plant.model.on(plant.pairs).shrink(f"{plant.neuron} | L0.H0 | L0.H1", above=0.4)
    with pytest.raises(ClaimRefuted):
        assert smaller.confirmed > 0.9


@pytest.mark.slow
def test_what_cannot_be_shrunk_says_why(bundled: Model, fruit: PromptPairs) -> None:
    run = bundled.on(fruit)
    with pytest.raises(MethodError, match=r"L1.N8 keeps .* which is not above 0.9: there is nothing to shrink"):
        run.shrink("L1.N8", above=0.9)
    with pytest.raises(MethodError, match="L0.H0 -> L1.N8 is an edge"):
        run.shrink("L0.H0 -> L1.N8 | L*.H* | L*.N*", above=0.1)
    with pytest.raises(PromptError, match="a half already"):
        bundled.on(fruit.split("discover")).shrink("L1.N8", above=0.1)
    plant = planted(share=0.5, nouns=8)
    absent = PromptPairs.from_rows([row.as_row() | {"answer": 1, "foil": 0} for row in plant.pairs.rows])
    with pytest.raises(BehaviourAbsent):
        plant.model.on(absent).shrink(plant.neuron, above=0.1)


def test_it_is_read_as_the_run_is(bundled: Model, fruit: PromptPairs) -> None:
    """The halves are of the same readout, at the same position, about the same fillers."""
    run = bundled.on(fruit, readout="probability", generalise="tree", at="@end")
    halves = [run._setup.again(pairs=fruit.split(half)) for half in ("discover", "confirm")]  # type: ignore[arg-type]
    for half in halves:
        assert (half.readout, half.generalise, half.read_at) == (run._setup.readout, "tree", run._setup.read_at)
    smaller = bundled.on(fruit, readout="probability").shrink("L*.H* | L*.MLP", above=0.5)
    assert smaller.confirmed._estimand.run.readout.name == "probability"
    kept = bundled.on(fruit.split("discover"), readout="probability").keep(smaller.circuit).measure()
    assert smaller.kept == pytest.approx(kept.estimate)

    def margin(logits: object, pair: object) -> float:
        return 0.0

    assert bundled.on(fruit, readout=margin)._setup.again(pairs=fruit.split("confirm")).readout.given is margin
