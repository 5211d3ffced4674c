"""What the doctor measures is what a session does; and it sees when a method is wrong."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from circuitcheck.cli import main
from circuitcheck.reference_models import calibration, doctor
from circuitcheck.reference_models.doctor import bounded, gathered, new_ones, rows, suites
from circuitcheck.settings import Settings, stage_ends
from circuitcheck.statistics.evidence import Evidence, Order
from tests.conftest import each

SHORT = Settings(budget=192)


def shape(name: str) -> calibration.Shape:
    return next(one for one in calibration.shapes() if one.name == name)


@pytest.mark.parametrize("name", ["normal", "skewed", "beyond the bound"])
@pytest.mark.parametrize("size", [None, 250])
def test_simulated_claims_are_decided_as_evidence_decides_them(name: str, size: int | None) -> None:
    random, ends = np.random.default_rng(5), [end for end in stage_ends(192) if end < 192] + [192]
    shift, gap = (part.reshape(20, 192) for part in shape(name).draw(random, 20 * 192))
    scale = gap[:, :16].mean(axis=1, keepdims=True)
    above = calibration.speaks((shift - 0.45 * gap) / scale, SHORT, size, ends)
    seen = set()
    for claim in range(20):
        for number, end in enumerate(ends):
            order = Order(tuple(range(end)), end, size)
            found = Evidence(shift[claim, :end], gap[claim, :end], False, order=order, scale=float(scale[claim, 0]))
            assert found.above(0.45) == above[claim, number]
            seen.add(bool(above[claim, number]))
    assert seen == {True, False}


@pytest.mark.parametrize("name", each([one.name for one in calibration.shapes()], ("normal", "skewed")))
def test_errors_at_the_boundary_are_as_rare_as_stated(name: str) -> None:
    """1,000 claims of each shape: a method that errs at 5 % has over 8 % of them wrong once in 10,000 times."""
    found = calibration.examine(shape(name), SHORT, 1000)
    if found.why:
        assert found.name.startswith("catastrophe") == (found.false_pass > 0.2)
        return
    assert found.false_pass + found.false_refute <= 0.08
    assert found.coverage >= 0.92
    assert found.power["0.3"] > 0.9 or name == "wide"


def test_a_test_that_peeks_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """A z-test after every stage errs far more often than it says, and the doctor says so."""

    def peeking(numbers: np.ndarray, reach: float, size: int | None = None) -> np.ndarray:
        n = np.arange(1, numbers.shape[-1] + 1)
        mean = np.cumsum(numbers, axis=-1) / n
        variance = np.cumsum(numbers**2, axis=-1) / n - mean**2
        z = mean / np.sqrt(np.maximum(variance, 1e-12) / n)
        rich: np.ndarray = np.where((z > 1.96) & (n >= 16), math.log(1000), 0.0)
        return rich

    monkeypatch.setattr(calibration, "log_wealth", peeking)
    found = calibration.examine(shape("normal"), SHORT, 500)
    assert found.false_pass + found.false_refute > 0.2
    assert found.coverage < 0.8


def test_a_few_pairs_decide_what_is_clear() -> None:
    found = calibration.examine(shape("normal"), Settings(), 200)
    assert found.pairs["0.3"] <= 64
    assert found.pairs["0.05"] <= 400


def test_what_lies_beyond_the_bound_is_told() -> None:
    found = calibration.examine(shape("beyond the bound"), SHORT, 100)
    assert found.clipped == pytest.approx(1 / 500, rel=0.2)
    assert found.beyond == pytest.approx(-28 / 500, rel=0.3)


@pytest.mark.slow
def test_the_command_prints_tables_and_writes_them_and_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = tmp_path / "page.md"
    page.write_text("# Page\n\n<!-- found: from make calibration -->\nold\n<!-- end of found -->\nrest")
    options = ["--claims=60", "--budget=48", "--alpha=0.1", f"--page={page}"]
    main(["doctor", *options, f"--json={tmp_path / 'found.json'}"])
    printed = capsys.readouterr().out
    assert "alpha 0.1, budget 48, B = 2 mean gaps" in printed
    found = json.loads((tmp_path / "found.json").read_text())
    assert found["settings"]["budget"] == 48
    names = [one["name"] for one in found["shapes"]]
    planted = [f"planted share {share}" for share in ("0", "0.25", "0.5", "0.75", "1")]
    planted += ["planted, skewed", "planted, clustered", "planted, opposed"]
    assert names == [*(one.name for one in calibration.shapes()), *planted, "bundled model"]
    assert all(name in printed for name in names)
    assert {"false_pass", "false_refute", "coverage", "pairs_median"} <= set(found["shapes"][0])
    assert len(found["tables"]) == len(doctor.TABLES)
    assert all(
        {"promise", "false_pass_upper", "broken"} <= set(row) for rows in found["tables"].values() for row in rows
    )
    assert page.read_text().startswith("# Page")
    assert page.read_text().endswith("rest")
    assert printed.strip() in page.read_text()
    assert "old" not in page.read_text()


def test_a_decision_about_new_ones_is_that_of_their_evidence() -> None:
    random = np.random.default_rng(0)
    for n in (12, 40):
        numbers = np.concatenate([random.normal(at, 0.3, (20, n)) for at in (-0.6, 0.0, 0.6)])
        numbers[0, 0] = numbers[50, 0] = -30.0
        found = new_ones.decided(numbers, Settings())
        for one, decision in zip(numbers, found, strict=True):
            evidence = Evidence(one, np.ones(n), False, clusters=True)
            assert (evidence.above(0.0), evidence.below(0.0)) == (decision == 1, decision == -1)
        assert set(found) == ({0} if n == 12 else {-1, 0, 1})


def test_half_of_twenty_templates_has_a_hundred_times_the_pairs_and_all_are_drawn_alike() -> None:
    assert set(new_ones.counts_of(20, seed=0)) == {10, 15, 16}
    assert set(new_ones.counts_of(40, seed=1)) == {6, 7}


@pytest.mark.parametrize(("make", "claims"), [(new_ones.means, 400), (new_ones.counts, 2000), (bounded.controls, 400)])
def test_claims_of_other_kinds_keep_their_promise_in_short(make: Any, claims: int) -> None:
    table = make(Settings(budget=96), claims)
    for row in table.rows:
        assert max(row.false_pass, row.false_refute) <= row.promise + 0.02, row
        assert row.promise == 0.025


@pytest.mark.parametrize(
    "make", each([bounded.accuracies, bounded.equivalences, bounded.presence], (bounded.presence,))
)
def test_claims_about_pairs_of_other_kinds_keep_their_promise_in_short(make: Any) -> None:
    for row in make(Settings(budget=192), 300).rows:
        assert max(row.false_pass, row.false_refute) <= 0.05, row


def test_e_values_that_go_on_establish_true_claims() -> None:
    """Of 20 in 100 nearly all, of the others hardly any; and with e-values that stop at the decision hardly one."""
    [row] = suites.suites(Settings(budget=256), 10).rows
    assert row.more["at least 10"] == "100%"
    assert row.false_pass < 0.05


def test_errors_beyond_a_promise_are_named() -> None:
    good, bad = rows.row("good", "", np.zeros(20_000), 0.025), rows.row("bad", "", np.arange(20_000) < 520, 0.025)
    named = rows.row("named", "", np.ones(20_000), None, why="nobody can")
    few = rows.row("few", "", np.arange(100) < 1, 0.025)
    assert rows.broken([], [rows.Table("Some", (good, bad, named, few))], Settings()) == ["Some: bad"]
    assert "none: nobody can" in rows.as_markdown(Settings(), [], [rows.Table("Some", (good, bad, named, few))])


@pytest.mark.slow
def test_planted_transformers_are_asked_as_in_a_session() -> None:
    table = gathered.gathered(Settings(), 10)
    assert len(table.rows) == 6
    assert all(row.false_pass == row.false_refute == 0 for row in table.rows)


@pytest.mark.parametrize("wrong", ["--alpha=0.7", "--budget=3", "--bound=0"])
def test_settings_that_are_none_are_errors(wrong: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["doctor", wrong])
    assert stopped.value.code == 2
    assert wrong.partition("=")[0] in capsys.readouterr().err
