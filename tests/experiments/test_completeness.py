"""Completeness and minimality: against plain hooks, every part there is, and circuits with a planted backup or passenger."""

import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from circuitcheck import Circuit, ClaimRefuted, ComparisonError, MethodError, Model, PromptPairs, contrast, scaled
from circuitcheck.addresses.parsing import parse
from circuitcheck.addresses.sites import Site
from circuitcheck.experiments.circuits.knockouts import Knockouts, as_one_work
from circuitcheck.experiments.circuits.subcircuits import drawn, greedy, largest
from circuitcheck.records.locks.entries import identity_of
from circuitcheck.reference_models.planted import planted
from circuitcheck.settings import Settings
from tests import oracle
from tests.addresses.test_circuits import TOY, by_plain_hooks
from tests.conftest import Claims, each

MEMBERS = ["L0.H0", "L0.H2", "L0.H3", "L1.H2", "L1.N8", "L1.N27", "L2.MLP"]
ARTICLES = "L0.H0 | L0.H2 | L0.H3 | L1.H2 | L1.N8"
HEADS = "L0.H0 | L0.H1"


@pytest.fixture(scope="module")
def few() -> PromptPairs:
    return PromptPairs(
        "I climbed up the pear tree and picked a pear. I climbed up the {fruit} tree and picked",
        fruit=contrast(clean=["apple", "orange"], corrupt=["lemon", "peach"]),
        answer=" an",
        foil=" a",
    )


def entries(model: Model, members: list[str]) -> dict[str, list[Any]]:
    """Components by hook point, as plain hooks take them."""
    found: dict[str, list[Any]] = {}
    for site in parse(" | ".join(members), model.anatomy) if members else ():
        hook = {"H": "attn.hook_z", "N": "mlp.out.hook_in", "MLP": "hook_mlp_out"}[site.kind]
        found.setdefault(f"blocks.{site.layer}.{hook}", []).append(None if site.kind == "MLP" else site.index)
    return found


def all_but(model: Model, members: list[str]) -> list[str]:
    """All else: heads, the neurons of the layer that has some among ``MEMBERS``, other layers' MLPs."""
    universe = [f"L{layer}.H{head}" for layer in range(3) for head in range(4)] + ["L0.MLP", "L2.MLP"]
    universe += [f"L1.N{number}" for number in range(model.anatomy.layers[0].count("N"))]
    return [one for one in universe if one not in members]


@pytest.mark.parametrize("value", ["mean", "zero"])
@pytest.mark.parametrize("seed", each(range(3), (1,)))
def test_without_a_part_model_and_circuit_are_what_plain_hooks_leave(
    bundled: Model, few: PromptPairs, value: str, seed: int
) -> None:
    chance = random.Random(seed)
    part = sorted(chance.sample(MEMBERS, chance.randint(0, len(MEMBERS))))
    left = [member for member in MEMBERS if member not in part]
    clean, nothing, model, alone = (
        by_plain_hooks(bundled, few, entries(bundled, ablated), value)
        for ablated in ([], all_but(bundled, []), part, all_but(bundled, left))
    )
    run = bundled.on(few)
    without = Circuit(" | ".join(part))
    measured = run.completeness(" | ".join(MEMBERS), value, without=without).raw.measure()
    assert measured.per_pair == pytest.approx(model - alone, abs=1e-3)
    share = run.completeness(" | ".join(MEMBERS), value, without=without).measure()
    assert share.estimate == pytest.approx((model - alone).mean() / (clean - nothing).mean(), abs=1e-4)


def test_with_nothing_out_it_is_what_keeping_lacks(bundled: Model, fruit: PromptPairs) -> None:
    run = bundled.on(fruit)
    lacking = run.completeness(ARTICLES, without=Circuit()).measure().estimate
    assert lacking == pytest.approx(1 - run.keep(ARTICLES).measure().estimate, abs=1e-6)
    without_all = run.completeness(ARTICLES, without=ARTICLES).measure().estimate
    assert without_all == pytest.approx(1 - run.ablate(ARTICLES).measure().estimate, abs=1e-6)


@pytest.mark.parametrize("n", [100, 5])
def test_a_backup_outside_the_circuit_is_found(n: int) -> None:
    """It does nothing until the neuron is gone. By trying all parts, and by greedy search where few are tried at random."""
    plant = planted(share=0.5, scatter=0.0, backup=1.0, nouns=6)
    run = plant.model.on(plant.pairs)
    circuit = f"{plant.neuron} | {HEADS} | {'L0.N1 | L0.N2 | L0.N3' if n == 5 else 'L0.N1'}"
    assert run.keep(circuit) == pytest.approx(1, abs=0.001)
    effect = run.completeness(circuit, n=n)
    measured = effect.measure()
    assert measured.method.chosen == "K = L0.N0"
    assert measured.estimate == pytest.approx(0.5, abs=1e-4)
    assert ("there may be worse" in str(measured.notes)) == (n == 5)
    with pytest.raises(ClaimRefuted, match="K = L0.N0 is the worst of all 16 parts|greedy search: 0.5 without L0.N0"):
        assert effect == pytest.approx(0, abs=0.2)


def test_with_its_backup_the_circuit_is_complete() -> None:
    plant = planted(share=0.5, scatter=0.0, backup=1.0, nouns=6)
    run = plant.model.on(plant.pairs)
    circuit = f"{plant.neuron} | {HEADS} | {plant.backup}"
    assert run.completeness(circuit) == pytest.approx(0, abs=0.001)
    assert run.minimality(circuit) > 0.4


@pytest.mark.parametrize("value", ["mean", "zero"])
def test_the_worst_of_all_parts_is_found(bundled: Model, few: PromptPairs, value: str) -> None:
    members = parse(ARTICLES, bundled.anatomy)
    run = bundled.on(few)
    parts = [Circuit(" | ".join(map(str, part))) for part in drawn(members, 32, "")]
    assert len(parts) == 32
    each = [run.completeness(ARTICLES, value, without=part).measure().estimate for part in parts]
    found = run.completeness(ARTICLES, value).measure().estimate
    assert abs(found) == pytest.approx(max(map(abs, each)), abs=1e-3)


def test_a_part_is_chosen_on_other_pairs_than_it_is_claimed_on(anew: Callable[..., Model], fruit: PromptPairs) -> None:
    """The reference set of a sampled population; other donors where donors are drawn, of a whole one, too."""
    model = anew(Settings(whole=10))
    run = model.on(fruit)
    assert Knockouts(run._setup, ARTICLES, "mean", None).searched.pairs == run._setup.reference.sample.pairs[:32]
    searched = Knockouts(run._setup, ARTICLES, "resample", None).searched
    samples = searched, run._setup.reference.sample
    donors = [
        [donors.source(pair) for pair in sample.pairs]
        for sample in samples
        for donors in [run._setup.sampler.donors(fruit, replace(sample, part_of=run._setup.reference.sample), "both")]
    ]
    assert donors[0] != donors[1]
    assert [pair.clean for pair in searched.pairs] == [pair.clean for pair in run._setup.reference.sample.pairs]


# Minimality


def table(notes: tuple[str, ...]) -> dict[str, float]:
    """The members' numbers, as the explanation has them."""
    found = [note.split() for note in notes if note.endswith(("supported", "refuted", "inconclusive"))]
    return {name.rstrip(":"): float(number) for name, number, _ in found}


@pytest.mark.parametrize("value", ["mean", "zero"])
def test_what_a_member_adds_is_what_plain_hooks_leave_with_and_without_it(
    bundled: Model, few: PromptPairs, value: str
) -> None:
    verdict = bundled.on(few).minimality(" | ".join(MEMBERS), value) > 0.05
    measured = verdict.measurement
    assert set(table(measured.notes)) == set(MEMBERS)
    member = verdict.line.rpartition(": ")[2]
    assert table(measured.notes)[member] == min(table(measured.notes).values())
    chosen = measured.method.chosen.removeprefix("K = ").split(" | ")
    left = [one for one in MEMBERS if one not in chosen]
    assert member in left
    clean, nothing, with_it, without = (
        by_plain_hooks(bundled, few, entries(bundled, ablated), value)
        for ablated in (
            [],
            all_but(bundled, []),
            all_but(bundled, left),
            all_but(bundled, [one for one in left if one != member]),
        )
    )
    expected = abs((with_it - without).mean()) / (clean - nothing).mean()
    assert measured.estimate == pytest.approx(expected, abs=1e-4)


def test_no_member_adds_less_than_with_nothing_out(bundled: Model, few: PromptPairs) -> None:
    run = bundled.on(few)
    found = table((run.minimality(ARTICLES) > 0.1).measurement.notes)
    for member, adds in found.items():
        others = " | ".join(one for one in ARTICLES.split(" | ") if one != member)
        alone = run.keep(ARTICLES).measure().estimate - run.keep(others).measure().estimate
        assert adds >= abs(alone) - 2e-3


def test_a_passenger_is_named() -> None:
    plant = planted(share=0.5, scatter=0.1, nouns=6)
    run = plant.model.on(plant.pairs)
    assert run.minimality(f"{plant.neuron} | {HEADS}") > 0.02
    with_passenger = run.minimality(Circuit(HEADS, neurons=f"{plant.neuron} | L1.N3")) > 0.02
    assert with_passenger.decision == "refuted"
    with pytest.raises(
        ClaimRefuted, match=r"refuted: minimality of .*, the worst of 4 members > 0.02 .*: it is .*: L1\.N3\n"
    ):
        assert with_passenger
    assert table(with_passenger.measurement.notes) == pytest.approx(
        {"L0.H0": 0.5, "L0.H1": 0.5, "L0.N0": 0.5, "L1.N3": 0}, abs=0.01
    )


def test_a_member_that_works_against_the_others_matters() -> None:
    plant = planted(share=0.5, scatter=0.0, negative=0.25, nouns=6)
    run = plant.model.on(plant.pairs)
    verdict = run.minimality(f"{plant.neuron} | {HEADS} | {plant.negative}") > 0.2
    measured = verdict.measurement
    assert verdict.line.endswith(": L0.N1")
    assert measured.estimate == pytest.approx(0.25, abs=1e-4)
    assert "where it works against it" in str(measured.notes)


def test_what_is_claimed_does_not_hang_on_what_was_found() -> None:
    """A lock knows a claim whichever member is the worst, and whatever K is."""
    worst, known, chosen = [], set(), set()
    for share in (0.3, 0.7):
        plant = planted(share=share, scatter=0.0, backup=0.5, nouns=6)
        run, circuit = plant.model.on(plant.pairs), f"{plant.neuron} | {plant.direct} | L0.H1 | {plant.backup}"
        minimal = run.minimality(circuit) > 0.2
        complete = run.completeness(f"{plant.direct} | {plant.neuron} | L0.H1", n=4) < 2
        worst.append(minimal.line.rpartition(": ")[2])
        chosen.add((minimal.measurement.method.chosen, complete.measurement.method.chosen))
        known.add(identity_of([minimal.as_json(), complete.as_json()]))
    assert worst[0] != worst[1] == plant.direct
    assert len(chosen) == 2
    assert len(known) == 1


def test_members_that_back_each_other_up_both_matter() -> None:
    """With the neuron there the backup does nothing: its K has the neuron in it."""
    plant = planted(share=0.5, scatter=0.0, backup=1.0, nouns=6)
    run = plant.model.on(plant.pairs)
    circuit = f"{plant.neuron} | {HEADS} | {plant.backup}"
    alone = run.keep(circuit).measure().estimate - run.keep(f"{plant.neuron} | {HEADS}").measure().estimate
    assert alone == pytest.approx(0, abs=1e-6)
    assert table((run.minimality(circuit) > 0.1).measurement.notes)[plant.backup] == pytest.approx(0.5, abs=1e-3)


# The search


@given(st.lists(st.floats(-1, 1), min_size=1, max_size=6), st.randoms(use_true_random=False))
def test_no_single_step_betters_what_is_found_greedily(gains: list[float], chance: random.Random) -> None:
    """Whatever the numbers; and where members add up, it is the best of all."""
    pool = parse("L0.H[0,1,2,3] | L1.H[0,1]", TOY)[: len(gains)]
    additive = dict(zip(pool, gains, strict=True))
    noise = {part: chance.random() for part in drawn(pool, 64, "")}

    def total(part: tuple[Site, ...]) -> float:
        return sum(additive[site] for site in part)

    for score, is_best in ((total, True), (lambda part: noise[part], False)):
        [found] = greedy([pool], lambda steps, score=score: [score(part) for _, part in steps])  # type: ignore[misc]
        near = [tuple(one for one in pool if (one in found) != (one == site)) for site in pool]
        assert score(found) >= max(map(score, near)) - 1e-3
        if is_best:
            assert score(found) == pytest.approx(sum(max(gain, 0) for gain in gains), abs=1e-3 * len(gains))


def test_parts_are_drawn_without_repeats_and_all_of_them_where_they_are_few() -> None:
    members = parse("L0.H* | L1.H* | L2.H*", TOY)
    some = drawn(members, 60, "seed")
    assert len(set(some)) == 60
    assert {(), members} <= set(some)
    assert some == drawn(members, 60, "seed") != drawn(members, 60, "another")
    assert len(drawn(members[:3], 8, "seed")) == 8
    assert drawn((), 1, "seed") == [()]
    assert largest([members, members[:1], ()], [0.5, 0.4999, 0.1]) == 1


def test_progress_is_that_of_one_work(anew: Callable[..., Model], bundled: Model, few: PromptPairs) -> None:
    told: list[tuple[str, int, int]] = []
    answers = anew()._loaded.answers
    answers.progress = lambda what, done, total: told.append((what, done, total))
    outer = answers.progress
    with as_one_work(answers, "a search", 10):
        for done, total in ((2, 4), (4, 4), (4, 4), (6, 6)):
            answers.progress("a batch", done, total)
    assert [done for _, done, _ in told] == [0, 2, 4, 8, 9, 10]
    assert {(what, total) for what, _, total in told} == {("a search", 10)}
    assert answers.progress is outer
    bundled._loaded.answers.progress, kept = outer, bundled._loaded.answers.progress
    try:
        bundled.on(few).completeness("L0.H1 | L1.H3").measure()
    finally:
        bundled._loaded.answers.progress = kept
    assert any(what.startswith("completeness of L0.H1") for what, _, _ in told)


# Claims


def test_what_cannot_be_claimed_says_why(bundled: Model, few: PromptPairs) -> None:
    run = bundled.on(few)
    with pytest.raises(MethodError, match=r"L0.H1 is no member of L0.H0"):
        run.completeness("L0.H0", without="L0.H1")
    with pytest.raises(MethodError, match=r"L1.MLP and L1.N8 have something in common"):
        run.completeness("L1.MLP | L1.N8")
    with pytest.raises(MethodError, match=r"lies outside within"):
        run.minimality("L1.N8", within="L*.H*")
    with pytest.raises(MethodError, match="what is scaled is still there"):
        run.completeness("L0.H0", scaled(-1))
    for verb in (run.completeness, run.minimality):
        with pytest.raises(MethodError, match="L0.H0 -> L1.N8 is an edge"):
            verb("L0.H0 -> L1.N8")
    with pytest.raises(MethodError, match="parts that are tried at random"):
        run.completeness("L0.H0", n=0)
    with pytest.raises(MethodError, match="has none that could matter"):
        run.minimality(Circuit())
    with pytest.raises(ComparisonError, match="claim that each is > or <"):
        run.minimality("L0.H0") == pytest.approx(0, abs=0.1)  # noqa: B015
    with pytest.raises(ComparisonError, match="is no claim"):
        bool(run.minimality("L0.H0"))
    assert repr(run.minimality("L0.H0 | L0.H1")) == "<minimality of L0.H0 | L0.H1 (mean), of 2 members>"


@pytest.mark.slow
def test_a_circuit_of_neighbours_lacks_much(claims: Claims) -> None:
    """A claim that nothing is missing has mutants like any other: other components in its members' places, and in K's."""
    body = """
CIRCUIT = "L0.H0 | L0.H2 | L1.N8"
def test_the_worst(model):
    assert model.on(FRUIT).completeness(CIRCUIT) == pytest.approx(0, abs=0.6)
def test_a_given_one(model):
    assert model.on(FRUIT).completeness(CIRCUIT, without="L0.H0") == pytest.approx(0, abs=0.4)
def test_minimal(model):
    assert model.on(FRUIT).minimality("L0.H0 | L1.N8") > 0.1
"""
    result = claims(body, "--circuit-mutate")
    result.assert_outcomes(passed=3)
    result.stdout.fnmatch_lines(["mutants: 4 killed, 8 not applicable"])


# All of several effects


@pytest.mark.slow
def test_one_of_many_refutes_only_at_as_much_less_than_alpha() -> None:
    from circuitcheck.claims.combining.several import AllOf

    plant = planted(share=0.5, scatter=0.3, nouns=40, settings=Settings(whole=16, budget=48))
    effect = plant.model.on(plant.pairs).patch(plant.neuron)
    thresholds = np.arange(0.5, 2.0, 0.02)
    refuted = [t for t in thresholds if effect._estimand.compared(">", float(t)).decision == "refuted"]
    barely = float(min(refuted))
    assert effect._estimand.compared(">", barely, together=20).decision == "inconclusive"
    assert effect._estimand.compared(">", 1.9, together=20).decision == "refuted"
    many = AllOf("it", "members", {str(number): effect._estimand for number in range(20)})
    assert (many > barely).decision == "inconclusive"
    assert (many > 1.9).decision == "refuted"
    assert (many > 0.1).decision == "supported"


def test_the_worst_is_the_one_farthest_from_what_was_claimed(bundled: Model, fruit: PromptPairs) -> None:
    effects = {name: bundled.on(fruit).patch(name)._estimand for name in ("L1.N8", "L0.H0", "L1.N3")}
    from circuitcheck.claims.combining.several import AllOf

    all_of = AllOf("three of them", "members", effects)
    assert (all_of > -1).line.endswith("(exact, n=12): L1.N3")
    assert (all_of < 0.9).line.endswith("(exact, n=12): L1.N8")
    assert (all_of > -1).claim == "three of them, the worst of 3 members > -1 of the gap"
    assert (all_of < 0.5).decision == "refuted"


# Independence


def test_what_gets_past_a_circuit_is_counted_in_every_pair(bundled: Model, fruit: PromptPairs) -> None:
    """By plain hooks: the clean run with the circuit as it is in the corrupted one, beside the corrupted run."""
    circuit = {"blocks.0.attn.hook_z": [0, 2], "blocks.1.mlp.out.hook_in": [8]}
    past, gaps = [], []
    for pair in bundled.on(fruit)._setup.sample.pairs:
        source = oracle.activations(bundled, pair.corrupt)

        def hook_at(name: str, entries: list[int], source: Any = source) -> tuple[str, Any]:
            def write(activation: Any, hook: Any) -> Any:
                activation[:, :, entries] = source[name][:, :, entries]
                return activation

            return name, write

        held = oracle.run(bundled, pair.clean, [hook_at(name, entries) for name, entries in circuit.items()])
        clean, corrupt, left = (
            oracle.logit_difference(bundled, pair, logits)
            for logits in (oracle.run(bundled, pair.clean), oracle.run(bundled, pair.corrupt), held)
        )
        past.append(left - corrupt)
        gaps.append(clean - corrupt)
    measured = bundled.on(fruit).independence("L0.H[0,2] | L1.N8").measure()
    assert measured.per_pair == pytest.approx(np.abs(past) / np.mean(gaps), abs=1e-5)
    assert bundled.on(fruit).independence("L2.RESID_POST") < 1e-4


def test_what_two_pairs_make_up_for_is_not_forgiven() -> None:
    """Of a share of 0 that scatters nothing gets lost on average, and much in each pair."""
    plant = planted(share=0.0, scatter=0.5, nouns=8)
    run = plant.model.on(plant.pairs)
    assert run.patch(f"{plant.direct} | L1.H0", into="clean") == pytest.approx(1, abs=0.01)
    measured = run.independence(plant.direct).measure()
    assert measured.estimate == pytest.approx(np.abs(plant.shift).mean() / plant.gap.mean(), abs=1e-3)
    assert measured.estimate > 0.3
