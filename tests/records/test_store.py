"""What was computed stays computed: no forward pass twice, nothing lost, nothing stale."""

import json
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers.pytorch_utils import Conv1D

from circuitcheck import PromptPairs, StoreError, load
from circuitcheck.cli import main
from circuitcheck.engine import answers
from circuitcheck.records.store import NAME, Store, key_of
from circuitcheck.records.store_files import check
from circuitcheck.sampling import remembered
from circuitcheck.session.commands import store as store_commands
from tests.conftest import HEAD, Claims, each

SUITE = """
def test_restores(model):
    assert model.on(FRUIT).patch("L1.N8") > 0.4
def test_needed(model):
    assert model.on(FRUIT).ablate("L1.N8 | L0.H0", "mean") > 0.3
def test_circuit(model):
    assert model.on(FRUIT).keep("L*.H* | L1.N8") > 0.5
def test_no_more(model):
    assert model.on(FRUIT).patch("L1.N8@end") > 0.8
def test_every(model):
    assert model.on(FRUIT, readout="probability").patch("L1.N8").each > 0
def test_attends(model):
    assert model.on(FRUIT).attention("L0.H0", source="{fruit}") >= 0
"""


# Matrices of the bundled model that one run multiplies by.
A_RUN = 9


@pytest.fixture
def passes(monkeypatch: pytest.MonkeyPatch) -> Callable[[], int]:
    """How often a block's matrix has been multiplied since the last time that this was asked: every run does."""
    counted = [0]
    forward = Conv1D.forward

    def counting(self: Any, *arguments: Any) -> Any:
        counted[0] += 1
        return forward(self, *arguments)

    monkeypatch.setattr(Conv1D, "forward", counting)

    def since() -> int:
        counted.append(0)
        return counted.pop(0)

    return since


def report(pytester: pytest.Pytester) -> Any:
    return json.loads(Path(pytester.path, "found.json").read_text())


def different(one: Any, other: Any, path: str = "") -> list[str]:
    """Where two reports are not the same."""
    if isinstance(one, dict) and isinstance(other, dict) and one.keys() == other.keys():
        return [found for key in one for found in different(one[key], other[key], f"{path}/{key}")]
    if isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        return [
            found
            for key, pair in enumerate(zip(one, other, strict=True))
            for found in different(*pair, f"{path}/{key}")
        ]
    return [] if one == other else [f"{path}: {one!r} {other!r}"[:200]]


@contextmanager
def numbers(folder: Path) -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(folder / NAME)
    yield connection
    connection.close()


def how_many(folder: Path) -> int:
    with numbers(folder) as connection:
        return int(connection.execute("SELECT COUNT(*) FROM numbers").fetchone()[0])


def test_a_second_run_does_no_forward_pass_makes_no_engine_and_reports_the_same(
    claims: Claims, pytester: pytest.Pytester, passes: Callable[[], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    claims(SUITE, "--circuit-json=found.json").assert_outcomes(passed=5, failed=1)
    first, cost = report(pytester), passes()
    monkeypatch.setattr(answers, "Engine", lambda *given: pytest.fail("an engine was made"))
    claims(SUITE, "--circuit-json=found.json").assert_outcomes(passed=5, failed=1)
    assert cost > 100
    assert passes() == 0
    assert different(report(pytester), first) == []


def test_only_what_changed_is_computed(claims: Claims, pytester: pytest.Pytester, passes: Callable[[], int]) -> None:
    one = 'def test_it(model):\n    assert model.on(FRUIT).patch("L1.N8") > 0.4\n'
    claims(one, "--circuit-controls=off")
    assert how_many(pytester.path) == 3 * 8  # clean, corrupted and patched of 8 pairs
    claims(one.replace("0.4", "0.5"), "--circuit-controls=off")
    assert how_many(pytester.path) == 3 * 8
    passes()
    claims(one.replace('"L1.N8"', '"L1.N9 | L1.N8"'), "--circuit-controls=off")
    assert how_many(pytester.path) == 4 * 8
    pytester.makepyfile(HEAD.replace('"olive"', '"olive", "apricot"') + one)
    pytester.runpytest_inprocess("--circuit-model=bundled", "--circuit-controls=off")
    assert how_many(pytester.path) == 4 * 8 + 3 * 4  # of 4 new pairs
    assert passes() > 0


@pytest.mark.slow
def test_other_weights_and_dtypes_are_computed_anew(claims: Claims, pytester: pytest.Pytester) -> None:
    one = 'def test_it(model):\n    assert model.on(FRUIT).patch("L1.N8") > 0.4\n'
    sizes = []
    for options in ((), (), ("--circuit-dtype=float64",), ("--circuit-weights=raw",)):
        claims(one, "--circuit-controls=off", *options)
        sizes.append(how_many(pytester.path))
    assert sizes == [24, 24, 48, 72]


ORIGINS = """
def test_patch(model):
    assert model.on(FRUIT).patch("L1.N8") > 0.4
{}
"""
MORE = """
def test_other(model):
    assert model.on(FRUIT).patch("L1.N9") < 0.4
"""


def test_an_effects_numbers_are_of_one_origin_and_the_report_names_another(
    claims: Claims, pytester: pytest.Pytester, passes: Callable[[], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A cluster has filled the store, or a library has a new version since."""

    def origins(body: str) -> dict[str, Any]:
        claims(body, "--circuit-controls=off", "--circuit-json=found.json")
        found = report(pytester)["claims"]
        return {claim["nodeid"].rpartition("::")[2]: claim["effects"][0] for claim in found}

    with monkeypatch.context() as patched:
        patched.setattr(remembered, "version", lambda name: "0.9")
        assert origins(ORIGINS.format(""))["test_patch"]["origin"] is None
    passes()
    elsewhere = "torch 0.9; transformer_lens 0.9; transformers 0.9; circuitcheck 0.9; cpu"
    effect = origins(ORIGINS.format(""))["test_patch"]
    assert effect["origin"] == elsewhere
    assert effect["notes"] == [f"computed elsewhere, by {elsewhere}"]
    assert passes() == A_RUN  # of a few words: what TransformerLens shows of the model here
    # What nobody has is computed here, and its base runs with it: no effect is of two origins.
    both = origins(ORIGINS.format(MORE))
    assert (both["test_patch"]["origin"], both["test_other"]["origin"]) == (elsewhere, None)
    assert passes() > 0
    assert how_many(pytester.path) == 3 * 8 + 3 * 8
    # Its own come first: the base runs are there now, and what they are compared with is not.
    assert origins(ORIGINS.format(MORE))["test_patch"]["origin"] == elsewhere
    assert passes() == 0


def of_format_1(path: Path) -> None:
    """A store as circuitcheck 0.2 wrote it first."""
    with sqlite3.connect(path) as connection:
        for table in (
            "experiments (id INTEGER PRIMARY KEY AUTOINCREMENT, key BLOB NOT NULL UNIQUE, model TEXT NOT NULL,"
            " said TEXT NOT NULL, used INTEGER NOT NULL)",
            "numbers (experiment INTEGER NOT NULL, pair BLOB NOT NULL, value NOT NULL, beside REAL NOT NULL,"
            " PRIMARY KEY (experiment, pair)) WITHOUT ROWID",
            "facts (model TEXT NOT NULL, name TEXT NOT NULL, value TEXT NOT NULL, PRIMARY KEY (model, name))",
            "decisions (test TEXT NOT NULL, place INTEGER NOT NULL, model TEXT NOT NULL, seen INTEGER NOT NULL,"
            " content TEXT NOT NULL, PRIMARY KEY (test, place, model))",
        ):
            connection.execute(f"CREATE TABLE {table}")
        connection.execute("INSERT INTO experiments VALUES (1, x'00', 'old', 'patch', 0)")
        connection.execute("INSERT INTO numbers VALUES (1, x'01', 0.5, 0.0)")
        connection.execute("INSERT INTO decisions VALUES ('test_it', 0, 'old', 0, '{}')")
        connection.execute("PRAGMA user_version = 1")
    connection.close()


def test_a_store_of_the_first_format_is_set_aside_with_a_word_and_its_decisions_go_on(tmp_path: Path) -> None:
    path = tmp_path / "evidence.sqlite"
    of_format_1(path)
    stores = [Store(path), Store(path)]  # two workers
    assert [store.decisions() for store in stores] == [[("test_it", "{}")]] * 2
    [message] = [message for store in stores for message in store.messages]
    assert "it is evidence.sqlite.format-1 now, and a new one was begun with what was decided" in message
    key = key_of("model", "experiment", "said")
    assert stores[0].keep([(key, b"pair", 1.0, 0.0)], "here") == 1
    assert stores[1].recall(key, [b"pair"], "here") == {b"pair": (1.0, 0.0)}
    with sqlite3.connect(f"{path}.format-1") as connection:
        assert connection.execute("SELECT value FROM numbers").fetchall() == [(0.5,)]
    connection.close()


def test_what_weights_that_a_test_changed_give_is_not_kept(fruit: PromptPairs, tmp_path: Path) -> None:
    store = Store(tmp_path / "evidence.sqlite")
    model = load("bundled", store=store)
    run = model.on(fruit)
    before = run.patch("L1.N8").measure().estimate
    weight = model.bridge.blocks[1].mlp.out.original_component.weight
    with torch.no_grad():
        weight[8] *= 0.5
    changed = run.patch("L1.N8").measure().estimate
    assert changed < before - 0.1
    assert len(store.models()) == 1
    assert load("bundled", store=store).on(fruit).patch("L1.N8").measure().estimate == before


def test_hooks_of_somebody_elses_leave_nothing_behind(fruit: PromptPairs, tmp_path: Path) -> None:
    store = Store(tmp_path / "evidence.sqlite")
    model = load("bundled", store=store)
    model.bridge.add_hook("blocks.1.hook_mlp_out", lambda activation, hook: activation * 0)
    assert model.on(fruit).patch("L1.N8").measure().estimate == pytest.approx(0, abs=1e-3)
    assert store.models() == []


FUNCTION = """
SCALE = {scale}
def twice(logits, pairs):
    return SCALE * logits[:, 5] - logits[:, 9]
def test_it(model):
    assert model.on(FRUIT, readout=twice).gap > -100
"""


def test_a_function_is_known_by_its_code_and_what_it_names(
    claims: Claims, pytester: pytest.Pytester, passes: Callable[[], int]
) -> None:
    estimates = []
    for scale, computed in ((1, True), (1, False), (2, True), (1, False)):
        passes()
        claims(FUNCTION.format(scale=scale), "--circuit-json=found.json").assert_outcomes(passed=1)
        assert (passes() > 0) == computed
        estimates.append(report(pytester)["claims"][0]["effects"][0]["estimate"])
    assert estimates[0] == estimates[1] == estimates[3] != estimates[2]


UNKNOWN = """
import random
def test_it(model):
    some = random.Random(1)
    assert model.on(FRUIT, readout=lambda logits, pairs: logits[:, 5] * some.random()).gap > -100
"""


def test_a_function_that_rests_on_what_has_no_name_is_not_remembered(claims: Claims, passes: Callable[[], int]) -> None:
    body = UNKNOWN.replace("some.random()", "(1 if some else 0)")
    for _ in range(2):
        passes()
        claims(body).assert_outcomes(passed=1)
        assert passes() > 0


@pytest.mark.parametrize("from_byte", each([100, 6000], (100,)))
def test_a_damaged_file_is_set_aside_and_the_run_goes_on(
    claims: Claims, pytester: pytest.Pytester, from_byte: int
) -> None:
    claims(SUITE)
    path = Path(pytester.path, NAME)
    whole = path.read_bytes()
    path.write_bytes(whole[:from_byte] + b"\xa5" * (len(whole) - from_byte))
    result = claims(SUITE)
    result.assert_outcomes(passed=5, failed=1)
    result.stdout.fnmatch_lines(
        [f"store: {path} is damaged (*); it is evidence.sqlite.damaged now, and a new one was begun"]
    )
    assert path.with_name("evidence.sqlite.damaged").exists()
    assert check(path) == []
    assert how_many(pytester.path) > 24


def test_it_can_be_off_or_elsewhere(claims: Claims, pytester: pytest.Pytester, passes: Callable[[], int]) -> None:
    claims(SUITE, "--circuit-store=off")
    assert not Path(pytester.path, NAME).exists()
    claims(SUITE, "--circuit-store=kept/numbers.sqlite")
    assert check(Path(pytester.path, "kept", "numbers.sqlite")) == []
    passes()
    claims(SUITE, "--circuit-store=kept/numbers.sqlite")
    assert passes() == 0
    claims(SUITE, "--circuit-store=kept").stdout.fnmatch_lines(
        ["*--circuit-store=kept is a folder; name a file, or off*"]
    )


def test_what_cannot_be_written_is_told_and_gone_without(claims: Claims, pytester: pytest.Pytester) -> None:
    Path(pytester.path, "file").touch()
    result = claims(SUITE, "--circuit-store=file/evidence.sqlite")
    result.assert_outcomes(passed=5, failed=1)
    result.stdout.fnmatch_lines(["store: *file/evidence.sqlite cannot be used (*): nothing is remembered of this run"])


@pytest.mark.slow
def test_an_interrupted_run_leaves_what_was_finished(
    claims: Claims, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = claims(SUITE, "--circuit-json=found.json")
    first, total = report(pytester), how_many(pytester.path)
    Path(pytester.path, NAME).unlink()
    for end in ("-wal", "-shm"):
        Path(pytester.path, f"{NAME}{end}").unlink(missing_ok=True)
    keep, calls = Store.keep, [0]

    def until_then(self: Store, rows: Any, origin: str) -> int:
        calls[0] += 1
        if calls[0] == 6:
            raise KeyboardInterrupt
        return keep(self, rows, origin)

    with monkeypatch.context() as patched:
        patched.setattr(Store, "keep", until_then)
        with pytest.raises(KeyboardInterrupt):
            claims(SUITE)
    some = how_many(pytester.path)
    assert 0 < some < total
    written = []
    monkeypatch.setattr(
        Store, "keep", lambda self, rows, origin: written.append(listed := [*rows]) or keep(self, listed, origin)
    )
    assert claims(SUITE, "--circuit-json=found.json").parseoutcomes() == whole.parseoutcomes()
    assert different(report(pytester), first) == []
    assert sum(map(len, written)) == total - some == how_many(pytester.path) - some


def test_the_store_is_shown_pruned_and_checked(
    claims: Claims, pytester: pytest.Pytester, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(pytester.path)
    assert main(["store"]) == 2
    assert "there is no" in capsys.readouterr().err
    claims(SUITE)
    capsys.readouterr()
    assert main(["store"]) == 0
    shown = capsys.readouterr().out
    assert "bundled  24e8dc575f1b6adf" in shown
    assert f"{how_many(pytester.path):,}" in shown
    assert main(["store", "check"]) == 0
    assert main(["store", "prune"]) == 0
    assert "removed 0 numbers" in capsys.readouterr().out
    assert main(["store", "prune", "--older", "0", "--model", "another"]) == 0
    assert how_many(pytester.path) > 0
    assert main(["store", "prune", "--older", "0"]) == 0
    assert how_many(pytester.path) == 0
    Path(pytester.path, NAME).write_bytes(b"SQLite format 3\0" + b"nonsense" * 500)
    assert main(["store", "check"]) == 1
    with pytest.raises(StoreError):
        store_commands.show(Path(pytester.path, "nowhere.sqlite"))
