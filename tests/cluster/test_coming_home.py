"""What a job sends home: its working directory laid out, its new numbers listed, and written before they are acknowledged."""

import io
import sqlite3
import zipfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from circuitcheck.cluster.head import Head
from circuitcheck.cluster.jobs import Job
from circuitcheck.cluster.working_directory import lay_out, missing, packed
from circuitcheck.errors import CircuitError, StoreError
from circuitcheck.records.exchange import lines, outbox
from circuitcheck.records.exchange.merging import merge
from circuitcheck.records.exchange.outbox import Outbox
from circuitcheck.records.store import Store, key_of

KEY = key_of("model", "patch", "patch, L1.N8")
JOB = Job("runs/a", "test_a.py", ("test_it",), 1, 1, ("runs/a",))


def listed(box: Outbox) -> list[tuple[bytes, object]]:
    found = []
    while (part := box.part())[0]:
        found += [(pair, value) for _, pair, value, _ in part[1].numbers]
        box.forget(part[0])
    return found


def test_what_is_new_in_a_store_is_listed_until_it_has_arrived(tmp_path: Path) -> None:
    path = tmp_path / "store"
    with closing(Store(path)) as store:
        store.keep([(KEY, b"before", 1.0, 0.0)], "here")
        box = Outbox(path)
        assert box.part() == (0, box.part()[1])
        assert not box.part()[1]
        store.keep([(KEY, b"a", 2.0, 0.0), (KEY, b"before", 1.0, 0.0)], "here")
        store.note("model", "name", "x")
        store.note_digest("/file", "1 2 3 4", "ab" * 32)
        last, content = box.part()
        assert [(row[1], row[2]) for row in content.numbers] == [(b"a", 2.0)]
        assert content.facts == (("model", "name", "x"),)
        assert content.files == (("/file", "1 2 3 4", "ab" * 32),)
        box.close()  # not acknowledged: it is still there for whoever opens it next
        box = Outbox(path)
        assert box.part() == (last, content)
        box.forget(last)
        assert box.part()[0] == 0
        store.keep([(KEY, b"b", 3.0, 0.0)], "here")
        assert listed(box) == [(b"b", 3.0)]
        box.close()


def test_parts_are_small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbox, "_AT_ONCE", 3)
    monkeypatch.setattr(outbox, "_BYTES", 10)
    with closing(Store(tmp_path / "store")) as store, closing(Outbox(tmp_path / "store")) as box:
        store.keep([(KEY, bytes([n]), 1.0, 0.0) for n in range(5)] + [(KEY, b"large", b"12345678" * 2, 4.0)], "here")
        assert len(box.part()[1].numbers) <= 3
        assert len(listed(box)) == 6


@pytest.fixture
def head(tmp_path: Path) -> Iterator[Head]:
    with closing(Head(tmp_path / "home")) as made:
        yield made


def batch(tmp_path: Path, pair: bytes, value: float, name: str) -> str:
    with closing(Outbox(tmp_path / name)) as box, closing(Store(tmp_path / name)) as store:
        store.keep([(KEY, pair, value, 0.0)], "there")
        return "".join(lines.written([box.part()[1]]))


def test_what_the_head_took_is_there_and_what_comes_twice_is_counted(tmp_path: Path, head: Head) -> None:
    assert head.take(JOB, batch(tmp_path, b"a", 1.0, "one"), "node 1") == 1
    with closing(Store(head.path)) as store:
        assert store.recall(KEY, [b"a"], "there") == {b"a": (1.0, 0.0)}
    assert (head.merged().new.total(), head.merged().known) == (1, 0)
    head.take(JOB, batch(tmp_path, b"a", 1.0, "two"), "node 2")
    assert (head.merged().new.total(), head.merged().known, head.merged().conflicts) == (1, 1, [])
    head.take(JOB, batch(tmp_path, b"a", 1.5, "three"), "node 3")
    [conflict] = head.merged().conflicts
    assert "1.5 in node 3" in str(conflict)
    assert "1 in " in str(conflict)


def test_a_batch_that_is_not_whole_is_not_taken(tmp_path: Path, head: Head) -> None:
    sent = batch(tmp_path, b"a", 1.0, "one")
    with pytest.raises(StoreError, match="cut off"):
        head.take(JOB, sent[: sent.rindex("\n", 0, -1) + 1], "node 1")
    assert head.merged().new.total() == 0
    assert head.take(JOB, sent, "node 1") == 1


def test_a_job_that_begins_again_has_what_the_head_has_of_its_model_alone(tmp_path: Path, head: Head) -> None:
    head.take(JOB, batch(tmp_path, b"a", 1.0, "one"), "node 1")
    with closing(Store(head.path)) as store:
        store.keep([(key_of("known by name", "patch", "p"), b"a", 2.0, 0.0)], "there")
        store.note("known by name", "name (there)", "a")
        store.keep([(key_of("another", "patch", "p"), b"a", 3.0, 0.0)], "there")
    merge(tmp_path / "node", {"the head": lines.read(head.known(JOB), "the head")})
    with closing(sqlite3.connect(tmp_path / "node")) as connection:
        found = connection.execute(
            "SELECT model, value FROM numbers JOIN experiments ON id = experiment ORDER BY value"
        )
        assert found.fetchall() == [("model", 1.0), ("known by name", 2.0)]
    other = Job("runs/b", "test_a.py", ("test_it",), 1, 1, ("runs/b",))
    merge(tmp_path / "other", {"the head": lines.read(head.known(other), "the head")})
    with closing(Store(tmp_path / "other")) as store:
        assert store.models() == []


def test_the_working_directory_goes_along_without_models_and_leads_to_them(tmp_path: Path) -> None:
    root, far = tmp_path / "some" / "project", tmp_path / "some" / "models" / "b"
    for file in (
        "pytest.ini", "claims/test_a.py", "claims/rows.csv", ".git/config", ".venv/x.py", "env/pyvenv.cfg", "env/x.py", "runs/a/config.json",
        "runs/a/model.safetensors", "old/model.bin", "claims/__pycache__/x.pyc", ".circuitcheck/evidence.sqlite", ".circuitcheck/counterexamples/1.json",
    ):  # fmt: skip
        (root / file).parent.mkdir(parents=True, exist_ok=True)
        (root / file).write_text(file)
    far.mkdir(parents=True)
    (far / "config.json").write_text("far")
    paths = ["runs/a", "../models/b", str(far)]
    archive = packed(root, paths)
    with zipfile.ZipFile(io.BytesIO(archive)) as files:
        assert set(files.namelist()) == {
            "pytest.ini",
            "claims/test_a.py",
            "claims/rows.csv",
            ".circuitcheck/counterexamples/1.json",
        }
    work = lay_out(archive, root, tmp_path / "node", paths)
    assert (work / "claims" / "test_a.py").read_text() == "claims/test_a.py"
    assert (work / "runs" / "a" / "config.json").read_text() == "runs/a/config.json"
    assert (work / ".." / "models" / "b" / "config.json").read_text() == "far"
    assert (work / "runs" / "a").resolve() == root / "runs" / "a"
    assert missing(root, [*paths, "runs/c"]) == ("runs/c",)


def test_a_working_directory_that_is_too_large_is_refused_by_what_is_large(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("circuitcheck.cluster.working_directory._MOST", 2**20)
    for name in ("data", "claims"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_bytes(b"\0" * (2**20 - 2**10 if name == "data" else 2**10))
    (tmp_path / "one more").write_text("x")
    with pytest.raises(CircuitError, match=r"has more than 1 MB besides models.*data 1 MB"):
        packed(tmp_path, [])
