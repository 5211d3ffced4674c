"""What an update writes, keeps and refuses, to the byte; merge conflicts; claims that are found again."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from circuitcheck import LockError
from circuitcheck.records.locks.compare import Compared, compare
from circuitcheck.records.locks.files import read, sides, write
from circuitcheck.records.locks.lock import NAME, Lock
from circuitcheck.records.locks.updating import Updated, updated
from tests.locks_for_tests import EDITED, claimed, lock_of, undecided

ONE = claimed(test="t.py::one", words="one")
TWO = claimed(test="t.py::two", words="two", label="patch L1.N9")
THREE = claimed(test="t.py::three", words="three", label="patch L1.N10")


def again(claim: dict[str, Any], settings: dict[str, Any] | None = None, **changes: Any) -> dict[str, Any]:
    """A claim with something else in its comparison."""
    verdict = changes.get("verdict", claim["verdict"])
    effects = [claim["effects"][0] | changes]
    return claim | {"effects": effects, "verdict": verdict, "settings": claim["settings"] | (settings or {})}


def update(
    old: Lock | list[Lock], *claims: dict[str, Any], accept: Callable[[Compared], bool] | None = None
) -> Updated:
    there = old if isinstance(old, list) else [old]
    return updated(there, lock_of(*claims), 0.05, None, accept or (lambda claim: False))


def names_of(lock: Lock) -> list[str]:
    return [entry["test"].rpartition("::")[2] for entry in lock.claims.values()]


def test_what_is_not_weaker_is_written_and_the_rest_stays_by_name(tmp_path: Path) -> None:
    old = lock_of(ONE, TWO, THREE)
    new = claimed(test="t.py::new", label="patch L2.MLP")
    found = update(old, again(ONE, threshold=0.2), again(TWO, threshold=0.05), new, THREE)
    assert [one.nodeid for one in found.written] == ["t.py::one", "t.py::new"]
    assert [one.nodeid for one in found.refused] == ["t.py::two"]
    assert [one.nodeid for one in found.kept] == ["t.py::three"]
    assert names_of(found.lock) == ["one", "two", "new", "three"]
    assert [entry["effects"][0]["threshold"] for entry in found.lock.claims.values()] == [0.2, 0.1, 0.1, 0.1]
    accepted = update(old, ONE, again(TWO, threshold=0.05), THREE, accept=lambda claim: claim.nodeid == "t.py::two")
    assert ([one.nodeid for one in accepted.accepted], accepted.refused) == (["t.py::two"], [])
    assert [change.words for change in accepted.accepted[0].changes] == [
        "its threshold was loosened from > 0.1 to > 0.05"
    ]


@pytest.mark.parametrize(
    "now",
    [
        ONE,
        again(ONE, settings={"budget": 64, "bound": 3.0, "precision": 0.2}),  # another n, budget, normaliser
        again(ONE, pairs={key: [a + 1e-6, *rest] for key, (a, *rest) in ONE["effects"][0]["pairs"].items()}),
        again(ONE, estimate=0.5000001, n=8, clipped=None),
        again(ONE, pairs=dict([*ONE["effects"][0]["pairs"].items()][:4]), n=4),
    ],
    ids=["nothing", "settings", "rounding", "digits", "fewer pairs"],
)
def test_an_entry_that_has_not_changed_is_the_same_to_the_byte(tmp_path: Path, now: dict[str, Any]) -> None:
    path = tmp_path / NAME
    write(lock_of(ONE, TWO), path)
    before = [file.read_bytes() for file in sorted(tmp_path.iterdir())]
    new = lock_of(now, TWO)
    new.models[0]["torch"] = "another version"
    found = updated([read(path)], new, 0.05, None, lambda claim: False)
    assert (found.written, found.refused) == ([], [])
    write(found.lock, path)
    assert [file.read_bytes() for file in sorted(tmp_path.iterdir())] == before


def test_more_pairs_of_the_same_claim_are_written(tmp_path: Path) -> None:
    few = again(ONE, pairs=dict([*ONE["effects"][0]["pairs"].items()][:4]), n=4)
    found = update(lock_of(few), ONE)
    assert [change.words for one in found.written for change in one.changes] == [
        "numbers of 8 pairs, where there were 4"
    ]


def test_one_claims_change_is_a_few_lines(tmp_path: Path) -> None:
    path = tmp_path / NAME
    texts = []
    for claim in (ONE, again(ONE, threshold=0.2)):
        write(lock_of(claim, TWO, THREE), path)
        texts.append(path.read_text().splitlines())
    assert sum(one != other for one, other in zip(*texts, strict=True)) == 2  # the threshold, and the checksum
    assert max(map(len, texts[0])) <= 140


@pytest.mark.parametrize(
    "problem",
    [
        "circuitcheck.BehaviourAbsent: behaviour absent: on m the gap is 0.1 logits",
        "circuitcheck.ClaimInconclusive: inconclusive: 0.2",
        "RuntimeError: broken",
    ],
)
def test_what_failed_or_was_not_decided_is_never_dropped(problem: str) -> None:
    old = lock_of(ONE, TWO)
    for accept in (lambda claim: False, lambda claim: True):
        found = update(old, undecided(problem, "t.py::one", words="one"), TWO, accept=accept)
        assert names_of(found.lock) == ["one", "two"]
        assert [one.nodeid for one in found.refused] == ["t.py::one"]
    skipped = update(old, undecided("not today", "t.py::one", "skipped", "one"), TWO)
    assert names_of(skipped.lock) == ["one", "two"]
    assert "it was skipped: not today" in skipped.refused[0].changes[0].words


def test_a_claim_that_is_gone_goes_where_that_is_accepted() -> None:
    old = lock_of(ONE, TWO)
    assert names_of(update(old, TWO).lock) == ["one", "two"]
    assert names_of(update(old, TWO, accept=lambda claim: claim.nodeid == "t.py::one").lock) == ["two"]


def test_claims_of_a_model_that_was_not_asked_stay_unless_that_is_accepted() -> None:
    both = lock_of(claimed(asked="a"), claimed(asked="b", fingerprint="f"))
    one = claimed(asked="a")
    found = update(both, one)
    assert (names_of(found.lock), len(found.lock.models)) == (["t[a]", "t[b]"], 2)
    assert [change.words for one in found.refused for change in one.changes] == [
        "its model b was not asked: see --circuit-model"
    ]
    dropped = update(both, one, accept=lambda claim: True)
    assert (names_of(dropped.lock), [model["asked"] for model in dropped.lock.models]) == (["t[a]"], ["a"])


def test_claims_that_could_not_have_been_found_stay_and_are_not_missed() -> None:
    """Of a folder that was not asked for."""
    found = updated([lock_of(ONE, TWO, THREE)], lock_of(TWO), 0.05, {"t.py::two"}, lambda claim: True)
    assert (names_of(found.lock), found.refused, found.accepted) == (["one", "two", "three"], [], [])


def test_a_new_claim_that_does_not_hold_is_not_locked_unless_that_is_accepted() -> None:
    new = again(THREE, verdict="refuted", estimate=0.02) | {"outcome": "failed"}
    found = update(lock_of(ONE), ONE, new)
    assert (names_of(found.lock), [one.nodeid for one in found.refused]) == (["one"], ["t.py::three"])
    assert [change.words for one in found.refused for change in one.changes] == [
        "it is refuted: patch L1.N10 > 0.1 of the gap: it is 0.02"
    ]
    assert names_of(update(lock_of(ONE), ONE, new, accept=lambda claim: True).lock) == ["one", "three"]
    first = updated(
        [], lock_of(ONE, new, undecided("RuntimeError: broken", "t.py::four")), 0.05, None, lambda claim: False
    )
    assert (names_of(first.lock), [one.test for one in first.unlocked]) == (["one"], ["t.py::four"])


def test_prompts_may_be_edited_where_their_claims_still_hold() -> None:
    old = lock_of(ONE, TWO)
    found = update(old, again(ONE, **EDITED), again(TWO, **EDITED))
    assert [one.nodeid for one in found.written] == ["t.py::one", "t.py::two"]
    assert {*found.lock.populations} == {"q"}
    [shared] = compare(old, lock_of(again(ONE, **EDITED), again(TWO, **EDITED)))
    assert shared.line == "2 claims (one, two): its prompts are others: {fruit}: 'fig' came, 'olive' went"
    refuted = again(ONE, verdict="refuted", estimate=0.05, **EDITED) | {"outcome": "failed"}
    assert [one.nodeid for one in update(old, refuted, again(TWO, **EDITED)).refused] == ["t.py::one"]


def test_a_claim_that_was_renamed_and_edited_at_once_is_one_claim_with_its_changes() -> None:
    moved = again(ONE, threshold=0.05, **EDITED) | {"nodeid": "t.py::moved", "claim": "other words"}
    [about] = compare(lock_of(ONE, TWO), lock_of(again(moved), TWO))
    assert about.nodeids == ("t.py::moved",)
    assert [change.words for change in about.changes] == [
        "its prompts are others: {fruit}: 'fig' came, 'olive' went",
        "its threshold was loosened from > 0.1 to > 0.05",
    ]
    assert "before: t.py::one" in about.about
    swapped = [ONE | {"nodeid": "t.py::two"}, TWO | {"nodeid": "t.py::one"}]
    assert compare(lock_of(ONE, TWO), lock_of(*swapped)) == []


def test_a_test_that_ended_at_its_first_comparison_has_lost_none() -> None:
    both = ONE | {"effects": [*ONE["effects"], ONE["effects"][0] | {"operator": "<", "threshold": 0.9}]}
    ended = again(ONE, verdict="refuted", estimate=0.02) | {"outcome": "failed"}
    [about] = compare(lock_of(both), lock_of(ended))
    assert [change.words for change in about.changes] == [
        "it was supported, and is refuted: patch L1.N8 > 0.1 of the gap: it is 0.02, and was 0.5"
    ]


@pytest.mark.parametrize("accepted", [True, False])
def test_an_update_writes_populations_as_they_are_and_not_as_they_were_edited(tmp_path: Path, accepted: bool) -> None:
    path = tmp_path / NAME
    write(lock_of(ONE), path)
    path.write_text(path.read_text().replace('"olive"', '"fig"'))
    edited = read(path)
    assert [*edited.edited.values()] == ["has prompts that were edited by hand"]
    found = updated([edited], lock_of(ONE, TWO), 0.05, None, lambda claim: accepted)
    assert len(found.accepted) == accepted
    write(found.lock, path)
    assert read(path).edited == {}


# Merges


def merged(folder: Path, base: Lock, ours: Lock, theirs: Lock) -> Path:
    """What git makes of two branches that have each changed both files."""
    for name, lock in (("base", base), ("ours", ours), ("theirs", theirs)):
        write(lock, folder / name)
    for suffix in ("", ".pairs"):
        files = [str(folder / f"{name}{suffix}") for name in ("ours", "base", "theirs")]
        done = subprocess.run(["git", "merge-file", "-p", *files], capture_output=True, check=False)  # noqa: S607
        (folder / f"{NAME}{suffix}").write_bytes(done.stdout)
    return folder / NAME


def test_branches_that_add_or_change_other_claims_merge_by_themselves(tmp_path: Path) -> None:
    base = lock_of(ONE, TWO, THREE)
    path = merged(
        tmp_path, base, lock_of(again(ONE, threshold=0.2), TWO, THREE), lock_of(ONE, TWO, again(THREE, threshold=0.3))
    )
    both = read(path)
    assert [entry["effects"][0]["threshold"] for entry in both.claims.values()] == [0.2, 0.1, 0.3]
    assert both.edited == {}


@pytest.mark.parametrize(
    ("threshold", "refused", "locked"),
    [(0.3, [], 0.3), (0.2, ["from > 0.3 to > 0.2"], 0.3), (0.4, [], 0.4), (0.05, ["from > 0.3 to > 0.05"], 0.3)],
)
def test_of_two_branches_that_edit_one_claim_the_stronger_stays_and_what_is_weaker_is_asked_about(
    tmp_path: Path, threshold: float, refused: list[str], locked: float
) -> None:
    path = merged(
        tmp_path, lock_of(ONE, TWO), lock_of(again(ONE, threshold=0.3), TWO), lock_of(again(ONE, threshold=0.2), TWO)
    )
    with pytest.raises(LockError, match="has a merge conflict in it: --circuit-lock=update works it out"):
        read(path)
    there, words = sides(path)
    assert words == [f"{NAME} had a merge conflict: both sides were read"]
    found = update(there, again(ONE, threshold=threshold), TWO)
    assert [change.words.partition("loosened ")[2] for one in found.refused for change in one.changes] == refused
    write(found.lock, path)
    assert [entry["effects"][0]["threshold"] for entry in read(path).claims.values()] == [locked, 0.1]


def test_what_stands_on_either_side_of_a_conflict_stays(tmp_path: Path) -> None:
    path = merged(tmp_path, lock_of(ONE), lock_of(ONE, TWO), lock_of(ONE, THREE))
    there, _ = sides(path)
    found = update(there, ONE)
    assert sorted(names_of(found.lock)) == ["one", "three", "two"]
    assert {one.nodeid for one in found.refused} == {"t.py::two", "t.py::three"}
    whole = update(there, ONE, TWO, THREE)
    assert (names_of(whole.lock), whole.refused, whole.written) == (["one", "two", "three"], [], [])


def test_an_entry_that_stands_in_a_file_twice_is_a_conflict(tmp_path: Path) -> None:
    path = tmp_path / NAME
    write(lock_of(ONE), path)
    entry = json.dumps(next(iter(lock_of(again(ONE, threshold=0.3)).claims.values())))
    [key] = lock_of(ONE).claims
    path.write_text(path.read_text().replace(f'"{key}": {{', f'"{key}": {entry}, "{key}": {{', 1))
    with pytest.raises(LockError, match="merge conflict"):
        read(path)
    assert len(sides(path)[0]) == 2


def test_numbers_that_are_missing_are_written_again(tmp_path: Path) -> None:
    path = tmp_path / NAME
    write(lock_of(ONE, TWO), path)
    whole = path.with_name(f"{NAME}.pairs").read_bytes()
    path.with_name(f"{NAME}.pairs").unlink()
    there, words = sides(path)
    assert words == [f"{NAME}.pairs was not there: numbers of pairs are those of this session"]
    found = update(there, ONE, again(TWO, threshold=0.05))
    assert [one.nodeid for one in found.refused] == ["t.py::two"]
    write(update(there, ONE, TWO).lock, path)
    assert path.with_name(f"{NAME}.pairs").read_bytes() == whole
