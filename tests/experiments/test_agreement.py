"""Agreement: which answers of the model a circuit gives too, by plain hooks and by hand."""

import numpy as np
import pytest

from circuitcheck import BehaviourAbsent, ClaimInconclusive, MethodError, Model, PromptPairs
from circuitcheck.reference_models.planted import planted
from circuitcheck.settings import Settings
from circuitcheck.statistics.evidence import Evidence, Order
from tests import oracle
from tests.addresses.test_circuits import by_plain_hooks
from tests.conftest import examples


@pytest.fixture(scope="module")
def mixed() -> tuple[Model, PromptPairs]:
    """A planted model, and prompts of which every other one is asked for what it does not say."""
    plant = planted(share=0.3, scatter=0.7, nouns=8, seed=3)
    rows = []
    for number, row in enumerate(plant.pairs.rows):
        answers = (0, 1) if number % 3 else (1, 0)
        rows.append(
            {
                "clean": list(row.clean.ids or ()),
                "corrupt": list(row.corrupt.ids or ()),
                "answer": answers[0],
                "foil": answers[1],
            }
        )
    return oracle.share(plant.model), PromptPairs.from_rows(rows)


def test_it_is_the_share_of_pairs_with_the_same_answer_by_plain_hooks(mixed: tuple[Model, PromptPairs]) -> None:
    model, pairs = mixed
    run = model.on(pairs)
    clean = by_plain_hooks(model, pairs, {}, "mean")
    others = {
        "blocks.0.attn.hook_z": [0],
        "blocks.0.mlp.out.hook_in": [1, 2, 3],
        "blocks.1.attn.hook_z": [0, 1],
        "blocks.1.hook_mlp_out": [None],
    }
    alone = by_plain_hooks(model, pairs, others, "mean")
    same = (clean > 0) == (alone > 0)
    for on, rows in (("errors", clean <= 0), ("right", clean > 0), ("all", clean < np.inf)):
        measured = run.agreement("L0.N0 | L0.H1", on=on).measure()  # type: ignore[arg-type]
        assert 0.2 < same[rows].mean() < 0.95, "a test that could not fail"
        assert measured.estimate == pytest.approx(same[rows].mean())
        assert measured.n == len(measured.per_pair) == rows.sum()
        assert measured.exact
        assert set(measured.per_pair) == {0.0, 1.0}
    told = run.agreement("L0.N0 | L0.H1").measure()
    assert f"{(clean <= 0).sum()} of 64 pairs are among the model's errors" in told.notes
    everything = run.agreement("L*.H* | L*.MLP").measure()
    assert everything.estimate == 1


def test_one_answer_to_all_is_told(mixed: tuple[Model, PromptPairs]) -> None:
    model, pairs = mixed
    wrong = PromptPairs.from_rows([row.as_row() for number, row in enumerate(pairs.rows) if not number % 3])
    assert "one and the same answer" in str(model.on(wrong).agreement("L0.N0 | L0.H1").measure().notes)
    # Right on some and wrong on others, it says the same.
    assert "one and the same answer" in str(model.on(pairs).agreement("L0.N0 | L0.H1", on="all").measure().notes)
    both = PromptPairs.from_rows(
        [
            row.as_row() | {"clean": row.corrupt.written, "corrupt": row.clean.written} if number % 2 else row.as_row()
            for number, row in enumerate(pairs.rows)
        ]
    )
    assert "one and the same answer" not in str(model.on(both).agreement("L0.N0 | L0.H1").measure().notes)


def test_a_model_without_errors_is_told(bundled: Model, fruit: PromptPairs) -> None:
    with pytest.raises(BehaviourAbsent, match=r"bundled gives no errors on these pairs \(n=12\)"):
        assert bundled.on(fruit).agreement("L1.N8") > 0.5


def test_a_sample_without_errors_decides_nothing() -> None:
    """There may be some among the pairs that were not drawn."""
    plant = planted(share=0.5, nouns=20, settings=Settings(whole=16, budget=64))
    with pytest.raises(ClaimInconclusive, match=r"planted gives no errors on these pairs \(n=64\)"):
        assert plant.model.on(plant.pairs).agreement("L0.N0") > 0.5


def test_what_it_cannot_be_asked(bundled: Model, fruit: PromptPairs, mixed: tuple[Model, PromptPairs]) -> None:
    model, pairs = mixed
    with pytest.raises(MethodError, match="'errors', 'right', 'all', not on 'wrong'"):
        bundled.on(fruit).agreement("L1.N8", on="wrong")  # type: ignore[arg-type]
    no_foil = PromptPairs.from_rows([row.as_row() | {"foil": []} for row in pairs.rows[:4]])
    with pytest.raises(MethodError, match="these prompts have no foil"):
        model.on(no_foil).agreement("L0.N0").measure()
    effect = model.on(pairs).agreement("L0.N0")
    for ask in (lambda: effect.each > 0.5, lambda: effect.pairs_above(0.5), lambda: effect.of_gap):
        with pytest.raises(MethodError, match="no number of its own|is not a share of anything else"):
            ask()
    with pytest.raises(MethodError, match="lies between 0 and 1"):
        assert effect > 2


@pytest.mark.slow
def test_a_circuit_may_have_edges(mixed: tuple[Model, PromptPairs]) -> None:
    """It answers as what is kept along them does."""
    model, pairs = mixed
    run = model.on(pairs)
    circuit = "L0.H1 -> L0.N0 | L0.N0 -> LOGITS"
    along = run.agreement(circuit, on="all").measure()
    clean = by_plain_hooks(model, pairs, {}, "mean")
    lost = run.keep("L*.H* | L*.MLP").raw.measure().per_pair - run.keep(circuit).raw.measure().per_pair
    assert along.per_pair == pytest.approx(((clean - lost > 0) == (clean > 0)).astype(float))
    assert 0 < along.estimate < 1


def test_two_circuits_are_compared_on_the_same_errors(mixed: tuple[Model, PromptPairs]) -> None:
    model, pairs = mixed
    run = model.on(pairs)
    better, worse = (run.agreement(circuit) for circuit in ("L0.H* | L0.N0", "L0.N0 | L0.H1"))
    assert better > worse
    difference = (better > worse).measurement.estimate
    assert difference == pytest.approx(better.measure().estimate - worse.measure().estimate)


@pytest.mark.thorough
def test_of_a_sample_only_the_pairs_that_count_are_bet_on() -> None:
    """Coverage of the share among errors, whatever their share among pairs."""
    missed, trials = 0, examples(60, 300)
    for seed in range(trials):
        chance = np.random.default_rng(seed)
        errors = (chance.random(256) < 0.2).astype(float)
        agreed = errors * (chance.random(256) < 0.6)
        low, high = Evidence(agreed, errors, whole=False, limits=(0.0, 1.0)).interval()
        missed += not (low is not None and high is not None and low <= 0.6 <= high)
    assert missed <= 0.05 * trials


def test_pairs_that_cannot_be_used_do_not_break_an_interval_at_its_limit() -> None:
    """They are zeros, also where a threshold beyond the limit is asked about."""
    ones = np.ones(40)
    low, high = Evidence(ones, ones, whole=False, limits=(0.0, 1.0), order=Order(tuple(range(0, 80, 2)), 80)).interval()
    assert low is not None
    assert 0 < low < 1 == high
