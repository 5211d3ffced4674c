"""Numbers go from one store to another and stay what they are: merged where they agree, named where they do not, lost nowhere."""

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from circuitcheck.cli import main
from circuitcheck.records import mounts
from circuitcheck.records.store import FORMAT, Store, key_of
from circuitcheck.records.store_files import check
from tests.conftest import Claims

HERE, THERE = "torch 2.13.0; cpu", "torch 2.13.0; cuda"
KEY, OTHER = key_of("model", "patch", "patch, L1.N8"), key_of("model", "base", "base, clean")


@pytest.fixture
def begin(tmp_path: Path) -> Callable[..., Path]:
    """Begins a store of this name, whose pairs have these numbers of an origin."""

    def make(name: str, numbers: dict[bytes, float | bytes], origin: str = HERE, beside: float = 0.0) -> Path:
        with closing(Store(tmp_path / name)) as store:
            store.keep([(KEY, pair, value, beside) for pair, value in numbers.items()], origin)
            assert store.messages == []
        return tmp_path / name

    return make


def of(path: Path, origin: str = HERE) -> dict[bytes, tuple[float | bytes, float]]:
    with closing(Store(path)) as store:
        assert store.messages == []
        return store.recall(KEY, [b"a", b"b", b"c"], origin)


def test_what_agrees_is_brought_together_with_its_origins(
    begin: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one = begin("one", {b"a": 1.0, b"b": 2.0})
    two = begin("two", {b"b": 2.00001, b"c": np.float32([3, 4]).tobytes()}, beside=4.0)
    far = begin("far", {b"a": 1.0001}, THERE)
    with closing(Store(two)) as store:
        store.note("model", "name (here)", "bundled")
        store.decided("test.py::test_it", "model", ["{}"])
        store.note_digest("/a/file", "1 2 3 4", "ab" * 32)
    into = tmp_path / "deep" / "all"
    assert main(["store", "merge", str(one), str(two), str(far), f"--into={into}"]) == 0
    shown = capsys.readouterr().out
    assert shown == f"4 new numbers in {into}; 1 of the same origin were there already\n  3 of {HERE}\n  1 of {THERE}\n"
    assert of(into) == {b"a": (1.0, 0.0), b"b": (2.0, 0.0), b"c": (np.float32([3, 4]).tobytes(), 4.0)}
    assert of(into, THERE) == {b"a": (1.0001, 0.0)}
    with closing(Store(into)) as store:
        assert store.fact("model", "name (here)") == "bundled"
        assert store.decisions() == [("test.py::test_it", "{}")]
        assert store.digest("/a/file", "1 2 3 4") is None  # of a file of another machine
    assert check(into) == []
    assert main(["store", f"--store={into}"]) == 0
    assert f"3 numbers of 1 model computed by {HERE}" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("value", "other", "beside"),
    [(1.0, 1.01, 0.0), (np.float32([1, 2]).tobytes(), np.float32([1, 2.1]).tobytes(), 4.0), (1.0, b"1234", 0.0)],
)
def test_numbers_of_one_origin_that_disagree_are_named_and_nothing_is_merged(
    begin: Callable[..., Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    value: float | bytes,
    other: float | bytes,
    beside: float,
) -> None:
    one, two = begin("one", {b"a": value}, beside=beside), begin("two", {b"b": 7.0, b"a": other}, beside=beside)
    into = begin("into", {b"c": 9.0})
    before = {path: path.read_bytes() for path in (one, two)}
    assert main(["store", "merge", str(one), str(two), f"--into={into}"]) == 2
    error = capsys.readouterr().err
    assert "nothing was merged" in error
    assert "patch, L1.N8 in model model, pair 61: " in error
    assert f"in {two}" in error
    assert f"in {into} or {one}" in error
    assert of(into) == {b"c": (9.0, 0.0)}
    assert {path: path.read_bytes() for path in before} == before


def test_numbers_of_two_origins_that_disagree_are_both_there_and_both_named(
    begin: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one, two = begin("one", {b"a": 1.0}), begin("two", {b"a": 1.5}, THERE)
    assert main(["store", "merge", str(one), str(two), f"--into={tmp_path / 'all'}"]) == 1
    assert f"1.5 in {two} ({THERE}), 1 in {one} ({HERE})" in capsys.readouterr().err
    assert (of(tmp_path / "all"), of(tmp_path / "all", THERE)) == ({b"a": (1.0, 0.0)}, {b"a": (1.5, 0.0)})


def test_what_rounding_is_depends_on_the_dtype_of_the_model(begin: Callable[..., Path], tmp_path: Path) -> None:
    one, two = begin("one", {b"a": 1.0}), begin("two", {b"a": 1.5})
    with closing(Store(one)) as store:
        store.note("model", "rounding (here)", repr(4 * 2.0**-7))  # bfloat16
    assert main(["store", "merge", str(one), str(two), f"--into={tmp_path / 'all'}"]) == 0
    assert of(tmp_path / "all") == {b"a": (1.0, 0.0)}


def test_of_decisions_the_newer_stand_and_of_counts_the_larger(tmp_path: Path) -> None:
    for name, count, content in (("old", "3", "before"), ("new", "2", "after")):
        with closing(Store(tmp_path / name)) as store:
            store.note("model", "finds", count)
            store.decided("test.py::test_it", "model", [content])
    with closing(sqlite3.connect(tmp_path / "old")) as connection:
        connection.execute("UPDATE decisions SET seen = seen - 100")
        connection.commit()
    for order in (("old", "new"), ("new", "old")):
        into = tmp_path / "-".join(order)
        assert main(["store", "merge", *(str(tmp_path / name) for name in order), f"--into={into}"]) == 0
        with closing(Store(into)) as store:
            assert store.fact("model", "finds") == "3"
            assert store.decisions() == [("test.py::test_it", "after")]


def test_what_is_exported_is_imported_as_it_was(
    begin: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one, file, into = (
        begin("one", {b"a": 0.1 + 0.2, b"b": b"\0\1\2\3"}, beside=4.0),
        tmp_path / "out.jsonl",
        tmp_path / "two",
    )
    with closing(Store(one)) as store:
        store.keep([(key_of("another", "patch", "patch"), b"a", 5.0, 0.0)], HERE)
        store.note("model", "name (here)", "a ü \ud800".encode("utf-8", "replace").decode())
        store.decided("test.py::test_it", "model", ["{}", "{}"])
        store.note_digest("/a/file", "1 2 3 4", "ab" * 32)
    assert main(["store", "export", str(file), f"--store={one}", "--model=model"]) == 0
    assert f"wrote {file}: 2 numbers" in capsys.readouterr().out
    assert "/a/file" not in file.read_text()
    assert main(["store", "import", str(file), f"--store={into}"]) == 0
    capsys.readouterr()
    assert of(into) == of(one) == {b"a": (0.1 + 0.2, 4.0), b"b": (b"\0\1\2\3", 4.0)}
    with closing(Store(into)) as store:
        assert [model.model for model in store.models()] == ["model"]
        assert store.fact("model", "name (here)") == "a ü ?"
        assert len(store.decisions()) == 2
    assert main(["store", "export", str(file), f"--store={one}"]) == 2  # there is such a file
    assert main(["store", "export", "-", f"--store={one}"]) == 0
    assert capsys.readouterr().out.startswith('{"circuitcheck store":1,')


def cut(lines: list[str]) -> list[str]:
    return lines[:-1]


def newer(lines: list[str]) -> list[str]:
    return [lines[0].replace(":1,", ":2,"), *lines[1:]]


def missing(lines: list[str]) -> list[str]:
    return [lines[0], *lines[2:]]


def odd(lines: list[str]) -> list[str]:
    return [*lines[:-1], json.dumps({"file": ["a", "b", {"c": 1}]}), lines[-1]]


def not_finite(lines: list[str]) -> list[str]:
    return [line.replace("1.25", "NaN") for line in lines]


def more(lines: list[str]) -> list[str]:
    return [*lines, lines[1]]


def pickled(lines: list[str]) -> list[str]:
    return ["\x80\x04\x95"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (cut, "was cut off"),
        (newer, "has format 2"),
        (missing, "has 1 lines of the 2"),
        (odd, "is no line of an exported store"),
        (not_finite, "is no line of an exported store"),
        (more, "stands after the end"),
        (pickled, "is no line of an exported store"),
    ],
)
def test_a_file_that_is_no_whole_export_is_refused_and_nothing_of_it_is_taken(
    begin: Callable[..., Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    change: Callable[[list[str]], list[str]],
    words: str,
) -> None:
    one, file, into = begin("one", {b"a": 1.25}), tmp_path / "out.jsonl", begin("two", {b"b": 2.0})
    with closing(Store(one)) as store:
        store.note("model", "a fact", "a value")
    assert main(["store", "export", str(file), f"--store={one}"]) == 0
    file.write_text("\n".join(change(file.read_text().splitlines())) + "\n")
    assert main(["store", "import", str(file), f"--store={into}"]) == 2
    assert words in capsys.readouterr().err
    assert of(into) == {b"b": (2.0, 0.0)}


def damaged(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[4096:8192] = b"\xff" * 4096
    path.write_bytes(content)


def of_format(version: int) -> Callable[[Path], None]:
    def change(path: Path) -> None:
        with closing(sqlite3.connect(path)) as connection:
            connection.execute(f"PRAGMA user_version = {version}")

    return change


WRONG: dict[str, tuple[Callable[[Path], object], str]] = {
    "newer": (of_format(FORMAT + 1), "update circuitcheck"),
    "older": (of_format(1), "the older format 1"),
    "damaged": (damaged, "cannot be used"),
    "notes": (lambda path: path.write_text("notes"), "it is no store"),
    "not there": (lambda path: path.unlink(), "there is no"),
}


@pytest.mark.parametrize("name", WRONG)
@pytest.mark.parametrize("place", ["source", "target"])
def test_a_file_that_cannot_be_used_is_refused_untouched(
    begin: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, place: str
) -> None:
    if (place, name) == ("target", "not there"):
        return
    change, words = WRONG[name]
    one, two = begin("one", {b"a": 1.0}), begin("two", {b"b": 1.0})
    with closing(sqlite3.connect(two)) as connection:
        connection.execute("PRAGMA journal_mode = DELETE")
    change(two)
    before = two.read_bytes() if two.exists() else None
    sources, into = ((two, one), tmp_path / "all") if place == "source" else ((one,), two)
    assert main(["store", "merge", *map(str, sources), f"--into={into}"]) == 2
    assert words in capsys.readouterr().err
    assert (two.read_bytes() if two.exists() else None) == before
    assert {path.name for path in tmp_path.iterdir()} <= {
        "one",
        "two",
        "all",
        "two-wal",
        "two-shm",
        "one-wal",
        "one-shm",
    }


def test_a_store_on_a_network_file_system_is_read_and_never_written(
    begin: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    far, here = tmp_path / "far away", tmp_path / "here"
    far.mkdir()
    one = begin("far away/one", {b"a": 1.0})
    listed = tmp_path / "mounts"
    escaped = str(far).replace(" ", "\\040")
    listed.write_text(
        f"/dev/sda / ext4 rw 0 0\nserver:/x {escaped} nfs4 rw 0 0\nwhere {tmp_path}/farther fuse.sshfs rw 0 0\n"
    )
    monkeypatch.setattr(mounts, "_MOUNTS", listed)
    assert mounts.network(tmp_path / "farther" / "not there yet") == f"fuse.sshfs at {tmp_path}/farther"
    assert mounts.network(here) == ""
    for path in (one, far / "new"):
        store = Store(path)
        assert store.off
        assert (
            f"network file system (nfs4 at {far}), over which SQLite's write-ahead log does not work"
            in store.messages[0]
        )
        assert "circuitcheck store merge" in store.messages[0]
        assert main(["store", "merge", str(one), f"--into={path}"]) == 2
    assert main(["store", "merge", str(one), f"--into={here}"]) == 0
    assert of(here) == {b"a": (1.0, 0.0)}
    assert [path.name for path in far.iterdir()] == ["one"]
    listed.write_text(f"server:/x {escaped} nfs4 rw 0 0\n/dev/sdb {escaped} ext4 rw 0 0\n")  # mounted over it
    assert mounts.network(one) == ""


def test_files_that_an_action_does_not_take_are_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for words, said in (
        (["show", "a"], "unrecognized arguments: a"),
        (["merge", "a"], "merge needs --into PATH"),
        (["merge", "--into", "a"], "merge needs stores"),
        (["export"], "export needs one file"),
        (["export", "a", "b"], "export needs one file"),
        (["import", "a", "--into", "b"], "--into is for merge, not for import"),
    ):
        with pytest.raises(SystemExit):
            main(["store", *words])
        assert said in capsys.readouterr().err


def test_numbers_of_other_origins_are_taken_unless_here_is_asked_for(claims: Claims, pytester: pytest.Pytester) -> None:
    suite = "def test_it(model):\n    assert model.on(FRUIT).patch(ALL) > 0.5\n"
    store = Path(pytester.path, ".circuitcheck", "evidence.sqlite")
    claims(suite).assert_outcomes(passed=1)
    with closing(sqlite3.connect(store)) as connection:
        connection.execute("UPDATE experiments SET origin = 'elsewhere'")
        connection.commit()
    origins = "SELECT origin, COUNT(*) FROM experiments GROUP BY origin"
    for options, computed in (([], 0), (["--circuit-origin=here"], 1)):
        claims(suite, *options, "--circuit-json=found.json").assert_outcomes(passed=1)
        [claim] = json.loads(Path(pytester.path, "found.json").read_text())["claims"]
        assert ('"origin": "elsewhere"' in json.dumps(claim)) is not bool(computed)
        with closing(sqlite3.connect(store)) as connection:
            assert len(connection.execute(origins).fetchall()) == 1 + computed
    result = claims(suite, "--circuit-origin=there")
    result.stdout.fnmatch_lines(["*--circuit-origin is any or here, not 'there'*"])
