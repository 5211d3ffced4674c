"""`circuitcheck reports`: what differs between two JSON reports."""

import json
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from circuitcheck.cli import main
from circuitcheck.report.differences import differences
from tests.conftest import Claims

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


def written(path: Path, claims: list[dict[str, Any]]) -> Path:
    path.write_text(json.dumps({"claims": claims}), encoding="utf-8")
    return path


@example(first={"a": None}, second={})
@example(first=True, second=1)
@example(first=[1], second=[1, 2])
@given(first=VALUES, second=VALUES)
def test_a_line_is_given_exactly_where_a_value_is_another(
    first: Any, second: Any, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("reports")
    old = written(folder / "old.json", [{"nodeid": "a", "what": first}])
    new = written(folder / "new.json", [{"nodeid": "a", "what": second}])
    same = json.dumps(first, sort_keys=True) == json.dumps(second, sort_keys=True)
    assert (differences(old, new) == []) == same


def test_two_runs_of_one_claim_do_not_differ_and_another_threshold_does(
    claims: Claims, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    body = 'def test_it(model):\n    assert model.on(FRUIT).patch("L1.N8") > {}'
    for name, threshold in (("old", 0.4), ("again", 0.4), ("new", 0.3)):
        claims(body.format(threshold), f"--circuit-json={tmp_path / name}.json")
    capsys.readouterr()
    assert main(["reports", str(tmp_path / "old.json"), str(tmp_path / "again.json")]) == 0
    assert capsys.readouterr().out == "nothing differs\n"
    assert main(["reports", str(tmp_path / "old.json"), str(tmp_path / "new.json")]) == 1
    assert "effects[0].threshold: 0.4 -> 0.3" in capsys.readouterr().out


def test_a_claim_that_is_gone_and_a_file_that_is_no_report_are_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    claims: list[dict[str, Any]] = [{"nodeid": "a"}, {"nodeid": "b"}]
    old, new = written(tmp_path / "old.json", claims), written(tmp_path / "new.json", deepcopy(claims)[:1])
    assert differences(old, new) == [f"b: only in {old}"]
    for content in ("[]", "{", '{"claims": 3}', '{"claims": [{}]}'):
        (broken := tmp_path / "broken.json").write_text(content)
        assert main(["reports", str(old), str(broken)]) == 2
        assert "is no report of --circuit-json" in capsys.readouterr().err
