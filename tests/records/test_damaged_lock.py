"""A lock that is damaged or was edited by hand is said to be so, whatever is wrong with it."""

import copy
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from circuitcheck import LockError
from circuitcheck.cli import main
from circuitcheck.records.locks.compare import compare
from circuitcheck.records.locks.files import read
from circuitcheck.records.locks.lock import NAME
from tests.conftest import Claims

SUITE = """
def test_both(model):
    "Both."
    assert 0.3 < model.on(FRUIT).patch("L1.N8") < 0.9
def test_margin(model):
    assert model.on(FRUIT).patch("L2.MLP") == pytest.approx(0, abs=0.1)
"""
TEXTS: dict[str, bytes] = {
    "nothing": b"",
    "cut off": b'{"format": 1, "claims": {',
    "no UTF-8": b'{"format": 1, "claims": {"\xff": {}}}',
    "binary": bytes(range(256)),
    "too deep": b"[" * 100_000,
    "nearly too deep": b'{"format": 2, "claims": {}, "models": [' + b"[" * 900 + b"]" * 900 + b"]}",
    "a list": b"[]",
    "a number": b"1",
    "null": b"null",
    "text": b'"lock"',
    "NaN": b'{"format": NaN}',
    "another format": b'{"format": 99}',
    "no format": b"{}",
    "no claims": b'{"format": 1}',
    "claims in a list": b'{"format": 1, "claims": []}',
    "a claim that is text": b'{"format": 1, "claims": {"a": "b"}}',
    "models in a mapping": b'{"format": 1, "claims": {}, "models": {}}',
    "a model that is null": b'{"format": 1, "claims": {}, "models": [null]}',
}
NUMBERS: dict[str, bytes] = {
    "nothing": b"",
    "no UTF-8": b'{"a": ["\xff=1"]}',
    "a list": b"[]",
    "texts that are a number": b'{"a": 1}',
    "texts that are one": b'{"a": "1=2"}',
    "a number for a text": b'{"a": [1]}',
    "no number": b'{"a": ["1=x"]}',
    "no pair": b'{"a": ["1"]}',
    "not a number": b'{"a": ["1=nan"]}',
    "infinite": b'{"a": ["1=1e999"]}',
}


@pytest.mark.parametrize("name", TEXTS)
def test_a_file_that_is_no_lock_is_a_lock_error(tmp_path: Path, name: str) -> None:
    (tmp_path / NAME).write_bytes(TEXTS[name])
    (tmp_path / f"{NAME}.pairs").write_text("{}")
    with pytest.raises(LockError, match=NAME):
        read(tmp_path / NAME)


@pytest.mark.parametrize("name", NUMBERS)
def test_a_file_that_has_no_numbers_of_pairs_is_a_lock_error(tmp_path: Path, name: str) -> None:
    (tmp_path / NAME).write_text('{"format": 1, "claims": {}, "models": []}')
    (tmp_path / f"{NAME}.pairs").write_bytes(NUMBERS[name])
    with pytest.raises(LockError, match=f"{NAME}.pairs"):
        read(tmp_path / NAME)


def places(content: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where there is anything in a JSON document."""
    if path:
        yield path
    if isinstance(content, dict | list):
        for key in content if isinstance(content, dict) else range(len(content)):
            yield from places(content[key], (*path, key))


GONE = object()
OTHERS = (GONE, None, True, "text", "\ud800", -1.5, float("nan"), float("inf"), 10**400, [], {}, [{}], {"a": 1})


def changed(content: Any, path: tuple[Any, ...], other: Any) -> Any:
    made = copy.deepcopy(content)
    inside = made
    for step in path[:-1]:
        inside = inside[step]
    if other is GONE:
        del inside[path[-1]]
    else:
        inside[path[-1]] = other
    return made


def test_every_field_of_a_lock_may_be_anything_and_that_is_told(
    claims: Claims, pytester: pytest.Pytester, record_property: Callable[[str, object], None]
) -> None:
    claims(SUITE, "--circuit-lock=update")
    whole = read(pytester.path / NAME)
    texts = {name: json.loads((pytester.path / name).read_text()) for name in (NAME, f"{NAME}.pairs")}
    refused, seen = list[str](), 0
    for name, content in texts.items():
        for path in places(content):
            for other in OTHERS:
                text = json.dumps(changed(content, path, other))
                if json.loads(text) == content:
                    continue
                (pytester.path / name).write_text(text)
                try:
                    lock = read(pytester.path / NAME)
                except LockError as error:
                    refused.append(str(error))
                    continue
                found = [*map(str, compare(lock, whole)), *map(str, compare(whole, lock))]
                seen += 1
                assert path[0] == "models" or found, (path, other)
        (pytester.path / name).write_text(json.dumps(content))
    assert all(len(told.splitlines()) == 1 for told in refused)
    assert min(len(refused), seen) > 100, "some of it is no lock any more, and some one that was edited"
    record_property("cases", len(refused) + seen)


@pytest.mark.parametrize(
    ("field", "other", "said"),
    [
        pytest.param("effects", "all", "effects is 'all', not a list of comparisons", marks=pytest.mark.slow),
        pytest.param("effects", [], "effects is [], not a list of comparisons", marks=pytest.mark.slow),
        ("effects", [7], "comparison 0 is 7, not an object"),
        pytest.param("test", None, "test is None, not text", marks=pytest.mark.slow),
        ("outcome", GONE, "has no outcome"),
    ],
)
def test_what_is_wrong_is_a_line_of_the_session_and_of_the_command(
    claims: Claims,
    pytester: pytest.Pytester,
    capsys: pytest.CaptureFixture[str],
    field: str,
    other: Any,
    said: str,
) -> None:
    claims(SUITE, "--circuit-lock=update")
    path = pytester.path / NAME
    content = json.loads(path.read_text())
    path.write_text(json.dumps(changed(content, ("claims", next(iter(content["claims"])), field), other)))
    before = path.read_text()
    for option in ("check", "update"):
        result = claims(SUITE, f"--circuit-lock={option}")
        assert result.ret == pytest.ExitCode.TESTS_FAILED
        result.assert_outcomes(passed=2)
        [line] = [line for line in result.outlines if line.startswith("lock: ")]
        assert said in line
        assert path.read_text() == before
    capsys.readouterr()
    assert main(["compare", str(path), str(path)]) == 2
    assert said in capsys.readouterr().err
    assert claims(SUITE, "--circuit-lock=update", "--circuit-accept=all").ret == 0
    assert claims(SUITE, "--circuit-lock=check").ret == 0


def test_a_comparison_that_was_taken_out_by_hand_is_told(claims: Claims, pytester: pytest.Pytester) -> None:
    claims(SUITE, "--circuit-lock=update")
    path = pytester.path / NAME
    content = json.loads(path.read_text())
    key = next(key for key, entry in content["claims"].items() if len(entry["effects"]) == 2)
    path.write_text(json.dumps(changed(content, ("claims", key, "effects", 1), GONE)))
    result = claims(SUITE, "--circuit-lock=check")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(["*was edited by hand", "*2 comparisons, not 1"])
