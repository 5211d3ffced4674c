"""How far numbers may go: pairs, gaps and accuracies of two locks."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from circuitcheck import LockError
from circuitcheck.records.locks.compare import compare
from circuitcheck.records.locks.entries import digest_of, sealed
from circuitcheck.records.locks.files import read, write
from circuitcheck.records.locks.lock import NAME, Lock
from circuitcheck.records.locks.numbers import Row, as_text
from circuitcheck.records.locks.updating import updated
from tests.locks_for_tests import METHOD, claimed, lock_of


def locked(numbers: list[float], fingerprint: str, exact: bool = True, unit: str = "gap", base: float = 1.0) -> Lock:
    """A lock of one claim on so many pairs, with the shift of each, and a base."""
    return lock_of(claimed(numbers, fingerprint, exact=exact, unit=unit, base=base))


@given(
    numbers=st.lists(st.floats(-2, 2), min_size=2, max_size=60),
    noise=st.lists(st.floats(-1e-5, 1e-5), min_size=60, max_size=60),
)
def test_rounding_on_another_machine_is_no_finding(numbers: list[float], noise: list[float]) -> None:
    other = [number + off for number, off in zip(numbers, noise, strict=False)]
    assert compare(locked(numbers, "a"), locked(other, "a")) == []
    assert [finding for finding in compare(locked(numbers, "a"), locked(other, "b")) if finding.fails] == []


@given(
    numbers=st.lists(st.floats(-1, 1), min_size=2, max_size=60),
    drift=st.floats(-1, 1).filter(lambda drift: min(abs(abs(drift) - edge) for edge in (0.05, 1e-3)) > 1e-6),
)
def test_a_drift_of_all_pairs_is_found_just_where_it_is_beyond_the_margin(numbers: list[float], drift: float) -> None:
    found = compare(locked(numbers, "a"), locked([number + drift for number in numbers], "b"))
    assert any("it drifted" in finding.line for finding in found if finding.fails) == (drift < -0.05)
    assert any("it improved" in finding.line for finding in found if not finding.fails) == (drift > 0.05)
    same = compare(locked(numbers, "a"), locked([number + drift for number in numbers], "a"))
    assert any("the same model gives other numbers" in finding.line for finding in same) == (abs(drift) > 1e-3)


@pytest.mark.parametrize(("off", "fails"), [(1e-5, False), (0.01, False), (0.2, True)])
def test_a_lock_of_the_first_format_does_not_say_whether_the_model_has_changed(
    off: float, fails: bool, tmp_path: Path
) -> None:
    """Its fingerprints are of an older definition: where the numbers are the same, so is the model; otherwise it is another one."""
    path, now = tmp_path / NAME, locked([0.5 - off] * 5, "of the newer definition")
    as_of_format(1, locked([0.5] * 5, "of the older definition"), path)
    about_the_model, *others = compare(read(path), now)
    assert "has a fingerprint of another definition in the lock" in about_the_model.line
    assert not about_the_model.fails
    assert [("it drifted" in finding.line, finding.fails) for finding in others] == [(True, True)] * fails
    write(now, path)
    assert json.loads(path.read_text())["format"] == 4
    assert compare(read(path), now) == []


@pytest.mark.parametrize("number", [2, 3])
def test_a_lock_of_an_older_format_is_compared_and_an_update_writes_the_newer_one(number: int, tmp_path: Path) -> None:
    """Its pairs' numbers are shares of the mean base; here each pair's base is 8, and its shift 4."""
    path = tmp_path / NAME
    as_of_format(number, locked([0.5] * 5, "a"), path)
    assert compare(read(path), locked([4.0] * 5, "a", base=8.0)) == []
    [off] = compare(read(path), locked([3.0] * 5, "a", base=8.0))
    assert "the same model gives other numbers" in off.line
    found = updated([read(path)], locked([4.0] * 5, "a", base=8.0), 0.05, None, lambda claim: False)
    write(found.lock, path)
    assert (json.loads(path.read_text())["format"], len(found.written)) == (4, 1)
    assert next(iter(read(path).pairs.values()))[0]["0"] == (4.0, 8.0, 14.7, 1.0, 1.0)


@pytest.mark.parametrize("number", [1, 2, 3])
def test_an_entry_of_an_older_format_that_an_update_leaves_is_not_taken_for_one_that_was_edited(
    number: int, tmp_path: Path
) -> None:
    path, one, two = tmp_path / NAME, claimed(test="t.py::one"), claimed(test="t.py::two", label="patch L1.N9")
    as_of_format(number, lock_of(one, two), path)
    found = updated([read(path)], lock_of(one), 0.05, {"t.py::one"}, lambda claim: False)
    write(found.lock, path)
    assert ([claim.nodeid for claim in found.written], len(found.lock.claims)) == (["t.py::one"], 2)
    assert read(path).edited == {}


def as_of_format(number: int, lock: Lock, path: Path) -> None:
    """Write a lock as versions before the fourth did: with shares of the mean base, the seed with the models, and no more."""
    claims = {}
    for key, entry in lock.claims.items():
        old = {name: value for name, value in entry.items() if name not in ("settings", "checksum")}
        late = ("gap", "gap_unit", "accuracy", "prompts")
        old["effects"] = [{name: one[name] for name in one if name not in late} for one in entry["effects"]]
        old["pairs"] = digest_of([{pair: row.shift for pair, row in rows.items()} for rows in lock.pairs[key]])
        claims[key] = sealed(old)
    shares = {
        key: [{pair: Row(row.shift) for pair, row in rows.items()} for rows in effects]
        for key, effects in lock.pairs.items()
    }
    pairs = {key: [as_text(rows) for rows in effects] for key, effects in shares.items()}
    seed = {"seed": "0"} if number == 3 else {}
    models = [model | seed for model in lock.models]
    path.write_text(json.dumps({"format": number, "models": models, "claims": claims}))
    path.with_name(f"{path.name}.pairs").write_text(json.dumps(pairs))


@pytest.mark.parametrize("unit", ["logits", "nats", "places", "function", "features", "parts", "gap", "probability"])
def test_what_has_no_natural_size_may_drift_by_a_share_of_what_it_was(unit: str) -> None:
    """From 20.5 to 20: 2.5 %, and half of all that a gap is."""
    found = compare(locked([20.5] * 5, "a", unit=unit), locked([20.0] * 5, "b", unit=unit))
    assert any("it drifted" in finding.line for finding in found) == (unit in ("gap", "probability"))


@given(st.lists(st.floats(-3, 3), min_size=1, max_size=20))
def test_what_is_written_is_read_again(tmp_path_factory: pytest.TempPathFactory, numbers: list[float]) -> None:
    path, lock = tmp_path_factory.mktemp("lock") / NAME, locked(numbers, "a")
    write(lock, path)
    again = read(path)
    assert again == lock
    assert again.edited == {}
    assert list(json.loads(path.read_text())) == ["format", "models", "populations", "claims"]


def test_a_sampled_drift_must_be_shown_to_be_small() -> None:
    """Five pairs that scatter show nothing; five hundred do."""
    noise = np.random.default_rng(0).normal(0, 0.04, 500)
    few = compare(locked([0.5] * 5, "a", exact=False), locked(list(0.5 + noise[:5]), "b", exact=False))
    assert any("not shown to be within the margin" in finding.line for finding in few)
    many = compare(locked([0.5] * 500, "a", exact=False), locked(list(0.5 + noise), "b", exact=False))
    assert [finding for finding in many if finding.fails] == []


@pytest.mark.parametrize("moved", [3, 60, 100])
def test_a_sampled_drift_is_the_same_in_whatever_order_the_pairs_stand(moved: int) -> None:
    """All pairs are looked at together: three hundred that have not moved, before or behind some that have."""
    before, drift = [0.5] * (300 + moved), np.r_[np.zeros(300), np.full(moved, -0.3)]
    orders = drift, drift[::-1], np.random.default_rng(0).permutation(drift)
    found = [compare(locked(before, "a", exact=False), locked(list(0.5 + one), "b", exact=False)) for one in orders]
    assert [[finding.line for finding in one] for one in found[1:]] == [[finding.line for finding in found[0]]] * 2
    assert any(finding.fails for finding in found[0]) == (moved > 3)


GAPS = [14.7] * 8


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"gaps": [2.26] * 8}, "gap 14.7 -> 2.26 logits"),
        ({"gaps": [14.2] * 8}, ""),  # by 3.4 %
        ({"gaps": [20.0] * 8}, ""),
        ({"right": [1.0, 0.0] * 4}, "accuracy 1 -> 0.5"),
        ({"gaps": [7.0] * 8, "right": [0.0] * 8}, "gap 14.7 -> 7 logits; accuracy 1 -> 0"),
    ],
)
def test_a_fall_of_gap_or_accuracy_beyond_the_margin_is_a_finding_and_a_rise_is_none(
    changes: dict[str, Any], said: str
) -> None:
    found = [one for one in compare(lock_of(claimed()), lock_of(claimed(fingerprint="b", **changes))) if one.fails]
    assert [one.line.partition(": ")[2] for one in found] == ([said] if said else [])
    assert all(one.weaker and one.state == "drifted" for one in found)
    assert compare(lock_of(claimed(words="w")), lock_of(claimed(words="w", **changes))) == [], "of the same model"


def test_what_many_claims_say_of_one_behaviour_is_told_once() -> None:
    both = [
        claimed(fingerprint="b", gaps=[2.26] * 8, test=f"t.py::{n}", words=f"{n}", label=f"patch L1.N{n}")
        for n in (1, 2)
    ]
    before = [claimed(test=f"t.py::{n}", words=f"{n}", label=f"patch L1.N{n}") for n in (1, 2)]
    [shared] = [one for one in compare(lock_of(*before), lock_of(*both)) if one.fails]
    assert shared.line == "2 claims (1, 2): gap 14.7 -> 2.26 logits"


def test_behaviours_that_fall_each_to_another_number_are_each_told() -> None:
    """As those of several checkpoints do: the first one's number is not the second's."""
    asked = {"x": 2.26, "y": 5.5}
    now = [claimed(fingerprint=name, asked=name, gaps=[gap] * 8) for name, gap in asked.items()]
    found = compare(lock_of(*(claimed(asked=name) for name in asked)), lock_of(*now))
    lines = [one.line for one in found if one.fails]
    assert [line.partition("gap ")[2] for line in lines] == ["14.7 -> 2.26 logits", "14.7 -> 5.5 logits"]


@pytest.mark.parametrize(
    ("operator", "by", "better"), [(">", 0.2, True), ("<", -0.2, True), (">", -0.2, False), ("<", 0.2, False)]
)
def test_an_improvement_is_told_apart_from_a_loss(operator: str, by: float, better: bool) -> None:
    before, now = (claimed([0.5 + off] * 8, fp, operator=operator, threshold=0.5) for off, fp in ((0, "a"), (by, "b")))
    [model, about] = compare(lock_of(before), lock_of(now))
    assert not model.fails
    assert (about.fails, about.weaker) == (not better, not better)
    assert ("improved" in about.line, "drifted" in about.line) == (better, not better)


def test_of_an_equivalence_what_comes_nearer_to_its_value_is_an_improvement() -> None:
    stated = {"operator": "==", "threshold": 0.0, "margin": 0.5}
    near, far = claimed([0.1] * 8, "a", **stated), claimed([0.3] * 8, "b", **stated)
    assert [one.fails for one in compare(lock_of(near), lock_of(far))] == [False, True]
    assert [one.fails for one in compare(lock_of(far), lock_of(near))] == [False, False]


NOISE = [0.5 + (0.3 if n % 2 else -0.3) for n in range(8)]


def test_a_drift_that_is_not_decided_says_which_option_helps() -> None:
    old = lock_of(claimed([0.5] * 8, exact=False))
    [_, about] = compare(old, lock_of(claimed(NOISE, "b", exact=False)))
    assert (
        "which is not shown to be within the margin of 0.05: lock more pairs, --circuit-lock=update --circuit-budget="
        in about.line
    )
    [_, exact] = compare(lock_of(claimed([0.5] * 8)), lock_of(claimed(NOISE, "b", exact=False)))
    assert "drift= of its marker, widens the margin" in exact.line


HALF = {
    "run": ({"dtype": "bfloat16"}, 0.04, "run in bfloat16", "--circuit-dtype=float32 decides"),
    "saved": ({"saved": "bfloat16"}, 0.008, "saved in bfloat16", "a checkpoint saved in float32 decides"),
    "saved in float16": ({"saved": "float16"}, 0.0015, "saved in float16", "a checkpoint saved in float32 decides"),
}


def two_claims(numbers: list[float], fingerprint: str, exact: bool, **model: str) -> Lock:
    names = [{"test": f"t.py::{n}", "words": f"{n}", "label": f"patch L1.N{n}"} for n in (1, 2)]
    return lock_of(*(claimed(numbers, fingerprint, exact=exact, **name) for name in names), **model)


@pytest.mark.parametrize("exact", [True, False])
@pytest.mark.parametrize("half", HALF)
def test_what_cannot_be_told_from_half_precisions_rounding_says_so_once(half: str, exact: bool) -> None:
    """On either side, and of gaps too, where the margin is below what rounding makes."""
    model, off, how, helps = HALF[half]
    margin = 0.9 * off
    scattered = [0.5 - off * (1 + 0.1 * (-1) ** n) for n in range(400)]
    plain, rounded = two_claims([0.5] * 400, "a", exact), two_claims(scattered, "b", exact, **model)
    for old, new in (
        (plain, rounded),
        (two_claims([0.5] * 400, "a", exact, **model), two_claims(scattered, "b", exact)),
    ):
        [about] = [one for one in compare(old, new, drift=margin) if one.fails]
        told = f"whether it drifted by {margin:.3g} cannot be told from rounding; {helps}"
        assert about.line == f"2 claims (1, 2): {how}: {told}"
        assert about.weaker
    fallen = lock_of(claimed(fingerprint="b", gaps=[14.7 * (1 - off)] * 8), **model)
    [about] = [one for one in compare(lock_of(claimed()), fallen, drift=margin) if one.fails]
    assert about.line.endswith(f"{how}: {told}")


@pytest.mark.parametrize("half", HALF)
def test_what_is_farther_off_than_rounding_and_what_lacks_pairs_is_not_put_down_to_it(half: str) -> None:
    model, off, *_ = HALF[half]
    moved = two_claims([0.5 - 10 * off] * 400, "b", exact=True, **model)
    found = [one for one in compare(two_claims([0.5] * 400, "a", exact=True), moved, drift=off) if one.fails]
    assert ["it drifted from 0.5" in one.line for one in found] == [True, True]
    few = two_claims([0.5 - off, 0.5 + off] * 4, "b", exact=False, **model)
    found = [one for one in compare(two_claims([0.5] * 8, "a", exact=False), few, drift=off) if one.fails]
    assert ["lock more pairs" in one.line for one in found] == [True, True]
    better = two_claims([0.5 + off] * 400, "b", exact=True, **model)
    assert not [one for one in compare(two_claims([0.5] * 400, "a", exact=True), better, drift=0.9 * off) if one.fails]


def test_a_marker_has_its_own_margin_and_one_that_was_widened_is_told() -> None:
    old = lock_of(claimed(settings={"drift": 0.3}))
    assert [one for one in compare(old, lock_of(claimed([0.3] * 8, "b", settings={"drift": 0.3}))) if one.fails] == []
    [_, about] = compare(lock_of(claimed()), lock_of(claimed([0.3] * 8, "b", settings={"drift": 0.3})))
    assert about.line.endswith("the drift that it allows was the session's, and is 0.3")
    assert about.weaker


@pytest.mark.parametrize(
    ("settings", "changes"),
    [({"budget": 64}, {"n": 4}), ({"bound": 3.0}, {}), ({"precision": 0.1}, {}), ({"reference": 32}, {})],
)
def test_another_n_budget_bound_or_normaliser_is_no_change(settings: dict[str, Any], changes: dict[str, Any]) -> None:
    """Half of the pairs, with a larger mean base: the numbers of those are what they were."""
    gaps = [10.0] * 4 + [20.0] * 4
    shifts = [5.0] * 8
    whole = claimed(shifts, gaps=gaps, estimate=1 / 3, exact=False)
    pairs = {key: [row[0], row[2], *row[2:]] for key, row in whole["effects"][0]["pairs"].items()}
    half = dict([*pairs.items()][:4]) if changes else pairs
    old = lock_of(whole | {"effects": [whole["effects"][0] | {"pairs": pairs}]})
    now = whole["effects"][0] | changes | {"pairs": half, "estimate": 0.5 if changes else 1 / 3}
    assert compare(old, lock_of(whole | {"effects": [now], "settings": whole["settings"] | settings})) == []


def test_other_numbers_of_the_same_model_name_their_cause_where_there_is_one() -> None:
    off = claimed([0.3] * 8, settings={"budget": 64})
    [about] = compare(lock_of(claimed()), lock_of(off))
    assert "it drifted from 0.5 to 0.3 of the gap" in about.line
    assert about.line.endswith("; --circuit-budget 1024 -> 64")
    [alone] = compare(lock_of(claimed()), lock_of(claimed([0.3] * 8)))
    assert "the same model gives other numbers: 8 of 8 pairs are off" in alone.line
    seeds = claimed([0.3] * 8, settings={"seed": "1"}, exact=False)
    [seed] = compare(lock_of(claimed(exact=False)), lock_of(seeds))
    assert seed.line.endswith("drawn under --circuit-seed=1, and in the lock under 0")


@pytest.mark.parametrize("locked_choice", ["trained basis 1", ""], ids=["another", "of an older lock"])
def test_what_rests_on_another_training_of_the_same_model_may_drift_and_no_further(locked_choice: str) -> None:
    """Of 400 pairs a few flip when gradient descent has ended elsewhere; a tenth of them is more than the margin."""

    def trained(flipped: int, chosen: str) -> Lock:
        numbers = [0.0] * flipped + [1.0] * (400 - flipped)
        return lock_of(claimed(numbers, "a", method=METHOD | {"chosen": chosen}))

    assert compare(trained(0, locked_choice), trained(5, "trained basis 2")) == []
    [far] = compare(trained(0, locked_choice), trained(40, "trained basis 2"))
    assert "it drifted from 1 to 0.9" in far.line
    assert "what was chosen or trained on other pairs is another" in far.line
    [same] = compare(trained(0, "trained basis 1"), trained(5, "trained basis 1"))
    assert "the same model gives other numbers: 5 of 400 pairs are off" in same.line


def test_of_several_models_that_markers_name_each_is_compared_with_itself() -> None:
    def of(**fingerprints: str) -> Lock:
        lock = lock_of(*(claimed(fingerprint=one, label=f"patch {name}") for name, one in fingerprints.items()))
        lock.models[:] = [{"fingerprint": one, "name": name} for name, one in fingerprints.items()]
        return lock

    both = of(small="a", large="b")
    assert compare(both, both) == []
    about, *_ = compare(both, of(small="a", large="c"))
    assert about.line == "model large: it has changed (b -> c): its weights, configuration or vocabulary are others"
    assert [one.about for one in compare(of(small="a"), both) if one.about.startswith("model")] == []


def failing(asked: Sequence[str], old: Lock, baseline: str = "") -> list[tuple[str, str]]:
    """What fails of models whose effect is smaller the later they are asked: what it is about, and what has changed."""
    new = lock_of(*(claimed([0.5 - n * 0.1] * 8, f"f{n}", asked=name) for n, name in enumerate(asked)))
    found = [one for one in compare(old, new, baseline=baseline) if one.fails]
    return [
        (one.about.partition(" (")[0], one.changes[0].words.partition(" from")[0].partition(" (")[0]) for one in found
    ]


@pytest.mark.parametrize(
    ("baseline", "old"),
    [("m", lock_of(claimed())), ("base", lock_of(claimed(asked="base"), claimed([0.9] * 8, "z", asked="x")))],
)
def test_every_model_is_compared_with_a_baseline(baseline: str, old: Lock) -> None:
    found = failing(("run/c-1", "run/c-2", "run/c-3"), old, baseline)
    assert found == [(f"t.py::t[run/c-{n}]", "it drifted") for n in (2, 3)]
    with pytest.raises(
        LockError, match=r"--circuit-baseline=none names no model of the lock and no lock file \(models: "
    ):
        failing(("run/c-1",), old, "none")


@pytest.mark.parametrize("old", [lock_of(claimed(asked="m")), lock_of(claimed())], ids=["by its name", "the only one"])
def test_an_adapter_is_held_to_its_base(old: Lock) -> None:
    assert failing(("m", "m,adapter=runs/1", "o"), old) == [
        ("model o", "it is not in the lock"),
        ("t.py::t[m,adapter=runs/1]", "it drifted"),
    ]
    own = lock_of(claimed(asked="m"), claimed([0.4] * 8, "f", asked="m,adapter=runs/1"))
    assert failing(("m", "m,adapter=runs/1"), own) == [], "which has an entry of its own"
