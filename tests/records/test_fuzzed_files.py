"""Whatever stands in a file that circuitcheck reads: every field of it is made anything, and no run and no command breaks."""

import json
import sqlite3
import warnings
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import strategies as st

from circuitcheck import Model, PromptPairs, StoreError
from circuitcheck.addresses.anatomy import Anatomy, Layer
from circuitcheck.cli import main
from circuitcheck.errors import CircuitError
from circuitcheck.records.counterexamples import FOLDER, read
from circuitcheck.records.decisions import answered, as_text, readable
from circuitcheck.records.store import NAME, Store
from circuitcheck.report.differences import differences
from circuitcheck.sampling.remembered import Remembered
from circuitcheck.sampling.samples import Sample
from circuitcheck.search.plans import Plan
from circuitcheck.search.search import search
from circuitcheck.search.strategies import Generated
from circuitcheck.search.trials import Numbers, Trials
from tests.conftest import Claims, each
from tests.records.test_damaged_lock import OTHERS, changed, places

SEARCH = "def test_it(model):\n    assert model.on(FRUIT).patch('L1.N8').each > 0.6\n"
SUITE = """
def test_patch(model):
    assert model.on(FRUIT).patch("L1.N8") > 0.4
def test_probe(model):
    assert model.on(FRUIT).attention("L0.H0", source="{fruit}") >= 0
"""
DEEP = "[" * 100_000


def mutated(text: str) -> Iterator[str]:
    """A JSON document with anything in each of its places, one after another."""
    content = json.loads(text)
    for path in places(content):
        for other in OTHERS:
            yield json.dumps(changed(content, path, other))


# Counterexamples


@pytest.fixture
def counterexample(claims: Claims, pytester: pytest.Pytester) -> Path:
    claims(SEARCH).assert_outcomes(failed=1)
    [path] = (pytester.path / FOLDER).glob("*.json")
    return path


def test_every_field_of_a_counterexample_may_be_anything(
    counterexample: Path, bundled: Model, fruit: PromptPairs, record_property: Callable[[str, object], None]
) -> None:
    def numbers(sample: Sample) -> Numbers:
        zeros = np.zeros(len(sample.pairs))
        return Numbers(zeros, zeros, [True] * len(sample.pairs))

    combinations, aligner = bundled.on(fruit)._setup.search_space(100)
    tried = refused = 0
    for text in mutated(counterexample.read_text()):
        counterexample.write_text(text)
        known = read(counterexample.parent)
        refused += not known
        for one in known:
            assert isinstance(one.badness(0.5), float)
            assert isinstance(one.nodeid, str)
        for space in (combinations, Generated(st.nothing(), 0, 100)):
            trials = Trials(space, aligner, numbers, lambda found: found - 0.5)
            found = search(trials, Plan(generate=False), known)
            tried += found.tried
    assert min(tried, refused) > 50
    record_property("cases", tried + refused)


def test_a_half_written_counterexample_is_written_again(
    counterexample: Path, claims: Claims, pytester: pytest.Pytester
) -> None:
    whole = counterexample.read_text()
    for cut in range(len(whole) - 1):
        counterexample.write_text(whole[:cut])
        assert read(counterexample.parent) == []
    counterexample.write_text(whole[: len(whole) // 2])
    claims(SEARCH).assert_outcomes(failed=1)
    assert json.loads(counterexample.read_text()) == json.loads(whole)
    counterexample.write_text(newer := whole.replace('"schema": 2', '"schema": 3'))
    claims(SEARCH).assert_outcomes(failed=1)
    assert counterexample.read_text() == newer, "it is a later version's"


# Stores


def columns(path: Path) -> list[tuple[str, str]]:
    with closing(sqlite3.connect(path)) as connection:
        tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        return [
            (table, str(row[1]))
            for table in tables
            if not table.startswith("sqlite_")
            for row in connection.execute(f"PRAGMA table_info({table})")
        ]


ANYTHING: tuple[Any, ...] = ("text", "", "\x1b[31m", b"\xff\xfe", b"", -1, 2**62, 0.5, float("inf"), -1e300, "[]", "{}")


def filled(path: Path, table: str, column: str, value: Any) -> bool:
    """Put a value into a column, wherever it may stand."""
    with closing(sqlite3.connect(path)) as connection:
        try:
            count = connection.execute(f"UPDATE OR IGNORE {table} SET {column} = ?", (value,)).rowcount  # noqa: S608
        except sqlite3.IntegrityError:
            return False
        connection.commit()
    return count > 0


@pytest.mark.parametrize("values", each([ANYTHING[3:4], ANYTHING], (ANYTHING[3:4],)), ids=["one", "all"])
def test_every_field_of_a_store_may_be_anything(
    claims: Claims,
    pytester: pytest.Pytester,
    capsys: pytest.CaptureFixture[str],
    values: tuple[Any, ...],
    record_property: Callable[[str, object], None],
) -> None:
    claims(SUITE).assert_outcomes(passed=2)
    path = pytester.path / NAME
    whole, looked = path.read_bytes(), 0
    with closing(Store(path)) as store:
        [model] = [kept.model for kept in store.models()]
        origin = store.origins(model)[0]
    for table, column in columns(path):
        for value in values:
            path = pytester.path / f"{looked}-{table}-{column}.sqlite"
            path.write_bytes(whole)
            looked += filled(path, table, column, value)
            for words in (["store"], ["decide"], ["store", "check"], ["store", "prune"]):
                assert main([*words, f"--store={path}"]) in (0, 1, 2), (table, column, value)
            with closing(Store(path)) as store:
                remembered = Remembered(store, model, "cpu")
                assert all(isinstance(one, str) for one in remembered.others)
                assert isinstance(remembered.fact("engine", others=True), str | None)
                assert store.digest("somewhere", "stamp") is None
                assert isinstance(store.origins(model), list)
    assert looked > 12 * len(values)
    record_property("cases", looked)
    assert origin
    assert "Traceback" not in capsys.readouterr().err


@pytest.mark.parametrize("value", each(["text", b"\xff", float("inf"), 2**62, b"\0" * 7, ""], ("text",)))
def test_what_is_no_number_is_computed_again_with_a_word(claims: Claims, pytester: pytest.Pytester, value: Any) -> None:
    claims(SUITE).assert_outcomes(passed=2)
    path = pytester.path / NAME
    assert filled(path, "numbers", "value", value)
    again = claims(SUITE, "--circuit-json=found.json")
    again.assert_outcomes(passed=2)
    again.stdout.fnmatch_lines([f"store: {path} held what is no number, of *: it is computed again"])
    last = claims(SUITE)
    last.assert_outcomes(passed=2)
    last.stdout.no_fnmatch_line("*no number*")


@pytest.mark.slow
def test_no_field_of_a_store_breaks_a_run(claims: Claims, pytester: pytest.Pytester) -> None:
    claims(SUITE).assert_outcomes(passed=2)
    path = pytester.path / NAME
    whole = path.read_bytes()
    for table, column in columns(path):
        for value in ("text", b"\xff\xfe", 2**62):
            if (column, value) == ("beside", 2**62):
                continue  # which is a number, and may be anybody's
            path.write_bytes(whole)
            for end in ("-wal", "-shm"):
                path.with_name(f"{path.name}{end}").unlink(missing_ok=True)
            filled(path, table, column, value)
            result = claims(SUITE)
            assert result.parseoutcomes() == {"passed": 2}, (table, column, value)
            result.stdout.no_fnmatch_line("*INTERNALERROR*")


def test_every_field_of_a_decision_may_be_anything(
    bundled: Model, fruit: PromptPairs, record_property: Callable[[str, object], None]
) -> None:
    verdict = bundled.on(fruit).patch("L1.N8") > 0.3
    assert verdict.evidence is not None
    text = as_text(verdict.asked(), verdict.evidence)
    refused, answers = list[str](), 0
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for one in [*mutated(text), text[:100], DEEP, "", "7"]:
            try:
                kept = readable("test_it", one)
                _, words = answered(kept, 0.5, None)
                answers += isinstance(words, str)
            except StoreError as error:
                refused.append(str(error))
    assert min(len(refused), answers) > 30
    record_property("cases", len(refused) + answers)
    assert all(told.startswith("what was decided in test_it cannot be read (") for told in refused)
    assert all(len(told.splitlines()) == 1 for told in refused)


def test_what_was_noted_of_a_model_is_believed_only_where_it_can_be(bundled: Model) -> None:
    layers = Anatomy("it", (Layer(4, 8, missing={"KV": "has no groups"}), Layer(0, None)))
    assert Anatomy.from_json("it", layers.as_json()) == layers
    for text in [*mutated(layers.as_json()), "", "[]", "7", DEEP]:
        try:
            found = Anatomy.from_json("it", text)
        except ValueError:
            continue
        for layer in found.layers:
            assert layer.count("H") + layer.count("N") >= 0
            assert [*layer.missing.values()] == [str(why) for why in layer.missing.values()]


# Reports


def test_every_field_of_a_report_may_be_anything(tmp_path: Path) -> None:
    effect = {"verdict": "supported", "estimate": 0.5, "fillers": {"fruit": {"apple": 0.5}}, "notes": ["odd"]}
    report = {"schema": 2, "claims": [{"nodeid": "t.py::t", "verdict": "supported", "effects": [effect]}]}
    old, new = tmp_path / "old.json", tmp_path / "new.json"
    old.write_text(json.dumps(report))
    nested = '{"claims": ' + '[{"nodeid": "a", "x": ' * 300 + "1" + "}]" * 300 + "}"
    refused = list[str]()
    for text in [*mutated(old.read_text()), DEEP, "", nested]:
        new.write_text(text)
        for one, other in ((old, new), (new, old), (new, new)):
            try:
                assert all(isinstance(line, str) for line in differences(one, other))
            except CircuitError as error:
                refused.append(str(error))
    assert len(refused) > 50
    assert all("is no report of --circuit-json" in told for told in refused)
