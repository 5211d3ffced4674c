"""The lock file: what changes is found and named, what does not is let be."""

import json
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from circuitcheck import LockError
from circuitcheck.bundled import PATH
from circuitcheck.cli import main
from circuitcheck.records.drift import compare
from circuitcheck.records.lock import NAME, Lock
from tests.conftest import Claims, each

SUITE = """
def test_restores(model):
    "One neuron restores a third."
    assert model.on(FRUIT).patch("L1.N8") > 0.3
def test_margin(model):
    "The last MLP does nothing."
    assert model.on(FRUIT).patch("L2.MLP") == pytest.approx(0, abs=0.1)
def test_needed(model):
    "It is needed."
    assert model.on(FRUIT).ablate("L1.N8", "mean") > 0.3
def test_knows(model):
    assert model.on(FRUIT).accuracy > 0.9
def test_rank(model):
    "Nothing does as much."
    assert model.on(FRUIT).patch("L1.N8").rank_within("L1.N*") <= 2
def test_every(model):
    "In every pair."
    assert model.on(FRUIT).patch("L1.N8").each > 0.2
"""


@dataclass
class Workplace:
    """A suite with its lock, in which things can be changed."""

    claims: Claims
    folder: Path
    body: str = SUITE

    def run(self, *options: str, model: object = "bundled") -> pytest.RunResult:
        return self.claims(self.body, *options, model=model)

    def check(self, *options: str, model: object = "bundled") -> tuple[int, str]:
        result = self.run("--circuit-lock=check", *options, model=model)
        lines = [line for line in result.outlines if line.startswith(("lock:", "  "))]
        return int(result.ret), "\n".join(lines[next(n for n, line in enumerate(lines) if line.startswith("lock:")) :])


@pytest.fixture
def workplace(claims: Claims, pytester: pytest.Pytester) -> Workplace:
    place = Workplace(claims, pytester.path)
    result = place.run("--circuit-lock=update")
    result.stdout.fnmatch_lines([f"lock: 6 claims written to {NAME}"])
    return place


def changed_model(folder: Path, change: Callable[[str, torch.Tensor], torch.Tensor]) -> Path:
    """The bundled model with other weights."""
    shutil.copytree(PATH, folder)
    weights = load_file(folder / "model.safetensors")
    save_file(
        {name: change(name, weight).contiguous() for name, weight in weights.items()},
        folder / "model.safetensors",
        {"format": "pt"},
    )
    return folder


def rewritten(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


Change = Callable[[Workplace], tuple[int, str]]


def edit(old: str, new: str, *options: str) -> Change:
    """A change of the suite."""

    def change(place: Workplace) -> tuple[int, str]:
        assert old in SUITE
        place.body = SUITE.replace(old, new, 1)
        return place.check(*options)

    return change


def option(*options: str) -> Change:
    return lambda place: place.check(*options)


def by_hand(file: str, pattern: str, new: str) -> Change:
    """A change of the lock itself."""

    def change(place: Workplace) -> tuple[int, str]:
        path = place.folder / file
        text = path.read_text()
        assert re.search(pattern, text)
        path.write_text(re.sub(pattern, new, text, count=1))
        return place.check()

    return change


def model(name: str, change: Callable[[str, torch.Tensor], torch.Tensor]) -> Change:
    def changed(place: Workplace) -> tuple[int, str]:
        return place.check(model=changed_model(place.folder / name, change))

    return changed


def fine_tuned(name: str, weight: torch.Tensor) -> torch.Tensor:
    return weight * 0.55 if name.endswith("h.1.mlp.c_proj.weight") else weight


def nudged(name: str, weight: torch.Tensor) -> torch.Tensor:
    noise = torch.randn(weight.shape, generator=torch.Generator().manual_seed(0))
    return weight + 1e-4 * weight.std() * noise if weight.is_floating_point() and weight.numel() > 1 else weight


# What is changed, whether the check then fails, and what it says.
CHANGES: dict[str, tuple[Change, bool, str]] = {
    "nothing": (option(), False, r"^lock: as in circuitcheck.lock$"),
    "a test renamed": (edit("test_restores", "test_brings_back"), False, r"^lock: as in circuitcheck.lock$"),
    "a docstring": (edit("One neuron", "A single neuron"), False, r"^lock: as in circuitcheck.lock$"),
    "an order": (
        edit("def test_knows", "def test_a_first(model):\n    pass\ntest_a_first = None\ndef test_knows"),
        False,
        "as in",
    ),
    "threshold loosened": (edit("> 0.3", "> 0.2"), True, r"threshold was loosened from > 0.3 to > 0.2"),
    "threshold tightened": (edit("> 0.3", "> 0.5"), True, r"threshold was tightened from > 0.3 to > 0.5"),
    "margin widened": (edit("abs=0.1", "abs=0.2"), True, r"margin was widened from 0.1 to 0.2"),
    "compared with another": (edit("approx(0,", "approx(0.01,"), True, r"is compared with 0.01, not 0"),
    "operator": (edit('"L1.N8") > 0.3', '"L1.N8") < 0.9'), True, r"claims something else now: operator '>' -> '<'"),
    "rank loosened": (edit("<= 2", "<= 9"), True, r"threshold was loosened from <= 2 to <= 9"),
    "prompt edited": (
        edit("def test_knows", "FRUIT = FRUIT.split('discover')\ndef test_knows"),
        True,
        r"claims something else now: .*its prompts are others",
    ),
    "site": (edit('patch("L1.N8") > 0.3', 'patch("L1.MLP") > 0.3'), True, r"component 'L1.N8' -> 'L1.MLP'"),
    "position": (edit('patch("L1.N8") > 0.3', 'patch("L1.N8@end") > 0.3'), True, r"positions 'all' -> '@end'"),
    "ablation's value": (edit('"mean") > 0.3', '"zero") > 0.3'), True, r"value 'mean' -> 'zero'"),
    "unit": (edit('patch("L1.N8") > 0.3', 'patch("L1.N8").in_logits > 0.3'), True, r"unit 'gap' -> 'logits'"),
    "claim deleted": (
        edit(SUITE[SUITE.index("def test_needed") : SUITE.index("def test_knows")], ""),
        True,
        r"test_needed \(It is needed.\): the claim is gone",
    ),
    "claim added": (
        edit(
            "def test_knows", 'def test_new(model):\n    assert model.on(FRUIT).patch("L1.MLP") > 0.3\ndef test_knows'
        ),
        True,
        r"test_new: the claim is not in the lock",
    ),
    "xfail added": (
        edit("def test_restores", "@pytest.mark.xfail(raises=ClaimRefuted)\ndef test_restores"),
        True,
        r"test_restores \(One neuron restores a third.\): xfail was added",
    ),
    "error rate": (option("--circuit-alpha=0.2"), True, r"its error rate is 0.2, not 0.05"),
    "test skipped": (
        edit("def test_needed", "@pytest.mark.skip\ndef test_needed"),
        True,
        r"test_needed .*the claim is gone",
    ),
    "lock edited: threshold": (
        by_hand(NAME, r'"threshold": 0.3', '"threshold": 0.1'),
        True,
        r"its entry in the lock was edited by hand",
    ),
    "lock edited: verdict": (
        by_hand(NAME, r'"verdict": "supported"', '"verdict": "refuted"'),
        True,
        r"its entry in the lock was edited by hand",
    ),
    "numbers edited": (
        by_hand(f"{NAME}.pairs", r"=0\.(\d)", r"=0.9\1"),
        True,
        r"has other numbers of its pairs beside it",
    ),
    "numbers gone": (
        lambda place: ((place.folder / f"{NAME}.pairs").unlink(), place.check())[1],
        True,
        r"there is no .*circuitcheck.lock.pairs",
    ),
    "lock gone": (
        lambda place: ((place.folder / NAME).unlink(), place.check())[1],
        True,
        r"there is no .*circuitcheck.lock: --circuit-lock=update writes it",
    ),
    "fine-tuned": (
        model("tuned", fine_tuned),
        True,
        r"(?s)model tuned has changed.*name bundled -> tuned.*it drifted from 0.\d+ to 0.\d+, by -",
    ),
    "hardly tuned": (model("nudged", nudged), False, r"(?s)^lock: as in .*model nudged has changed"),
    "processing": (option("--circuit-weights=raw"), False, r"weights processed -> raw"),
    "dtype": (option("--circuit-dtype=bfloat16"), False, r"dtype float32 -> bfloat16"),
}


USUAL = ("a docstring", "threshold loosened", "claim deleted", "fine-tuned")


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", each(CHANGES, USUAL))
def test_every_change_is_found_and_named_and_noise_is_not(workplace: Workplace, name: str) -> None:
    change, fails, said = CHANGES[name]
    code, lines = change(workplace)
    assert bool(code) == fails
    assert re.search(said, lines, re.MULTILINE), lines


def test_an_update_claims_no_less_unless_that_is_accepted(workplace: Workplace) -> None:
    path, before = workplace.folder / NAME, (workplace.folder / NAME).read_text()
    workplace.body = SUITE.replace("> 0.3", "> 0.1", 1)
    result = workplace.run("--circuit-lock=update")
    assert result.ret == 1
    result.stdout.fnmatch_lines(
        [
            "*circuitcheck.lock is left as it was, since it would claim less*",
            "*threshold was loosened from > 0.3 to > 0.1",
        ]
    )
    assert path.read_text() == before
    assert workplace.run("--circuit-lock=update", "--circuit-accept-weaker").ret == 0
    assert '"threshold": 0.1' in path.read_text()
    workplace.body = SUITE.replace("> 0.3", "> 0.4", 1)
    assert workplace.run("--circuit-lock=update").ret == 0
    assert workplace.check() == (0, f"lock: as in {NAME}")


def test_claims_are_missed_only_where_the_whole_suite_was_asked_for(workplace: Workplace) -> None:
    assert workplace.check("-k", "needed") == (0, f"lock: as in {NAME}")
    result = workplace.run("--circuit-lock=update", "-k", "needed")
    assert result.ret == 1
    result.stdout.fnmatch_lines(["lock: an update takes the whole suite: *"])


def test_a_lock_is_read_and_compared_without_pytest(workplace: Workplace, capsys: pytest.CaptureFixture[str]) -> None:
    old, new = workplace.folder / "old.lock", workplace.folder / "new.lock"
    for suffix in ("", ".pairs"):
        shutil.copy(workplace.folder / f"{NAME}{suffix}", old.with_name(f"old.lock{suffix}"))
    workplace.body = SUITE.replace("> 0.3", "> 0.1", 1)
    workplace.run("--circuit-lock=update", "--circuit-accept-weaker")
    for suffix in ("", ".pairs"):
        shutil.copy(workplace.folder / f"{NAME}{suffix}", new.with_name(f"new.lock{suffix}"))
    capsys.readouterr()
    assert main(["compare", str(old), str(old)]) == 0
    assert capsys.readouterr().out == "nothing has changed\n"
    assert main(["compare", str(old), str(new)]) == 1
    assert "threshold was loosened from > 0.3 to > 0.1" in capsys.readouterr().out
    assert main(["compare", str(old), str(workplace.folder / "none.lock")]) == 2
    assert "none.lock" in capsys.readouterr().err


def test_what_is_no_lock_is_said_to_be_none(tmp_path: Path) -> None:
    path = tmp_path / NAME
    for text, said in (("[]", "is not a lock file"), ("{", "cannot be read"), ('{"format": 99}', "of format 99")):
        path.write_text(text)
        (tmp_path / f"{NAME}.pairs").write_text("{}")
        with pytest.raises(LockError, match=said):
            Lock.read(path)


def locked(numbers: list[float], fingerprint: str, exact: bool = True, unit: str = "gap") -> Lock:
    """A lock of one claim on so many pairs."""
    method = {"verb": "patch", "component": "L1.N8", "reference": "", "clipped": "", "sites": 1}
    effect = {
        "operator": ">", "threshold": 0.1, "margin": None, "unit": unit, "label": "patch L1.N8", "population": "all",
        "population_id": "p", "verdict": "supported", "estimate": float(np.mean(numbers)), "low": None, "high": None,
        "exact": exact, "level": 0.95, "n": len(numbers), "method": method, "fingerprint": fingerprint,
        "pairs": {f"{n:x}": float(f"{number:.7g}") for n, number in enumerate(numbers)},
    }  # fmt: skip
    claim = {"nodeid": "t.py::t", "claim": "words", "outcome": "passed", "verdict": "supported", "effects": [effect]}
    dtypes = {"fingerprint": fingerprint, "name": "m", "dtype": "float32"}
    return Lock.of_claims([claim], [dtypes])


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
    assert any("it drifted" in finding.line for finding in found if finding.fails) == (abs(drift) > 0.05)
    same = compare(locked(numbers, "a"), locked([number + drift for number in numbers], "a"))
    assert any("the same model gives other numbers" in finding.line for finding in same) == (abs(drift) > 1e-3)


@pytest.mark.parametrize(("off", "fails"), [(1e-5, False), (0.01, False), (0.2, True)])
def test_a_lock_of_the_first_format_does_not_say_whether_the_model_has_changed(
    off: float, fails: bool, tmp_path: Path
) -> None:
    """Its fingerprints are of an older definition: where the numbers are the same, so is the model; otherwise it is another one."""
    path, now = tmp_path / NAME, locked([0.5 + off] * 5, "of the newer definition")
    replace(locked([0.5] * 5, "of the older definition"), format=1).write(path)
    old = Lock.read(path)
    assert old.format == 1
    about_the_model, *others = compare(old, now)
    assert "has a fingerprint of another definition in each lock" in about_the_model.line
    assert not about_the_model.fails
    assert [("it drifted" in finding.line, finding.fails) for finding in others] == [(True, True)] * fails
    now.write(path)
    assert json.loads(path.read_text())["format"] == 3
    assert compare(Lock.read(path), now) == []


@pytest.mark.parametrize("unit", ["logits", "nats", "places", "function", "parts", "gap", "probability"])
def test_what_has_no_natural_size_may_drift_by_a_share_of_what_it_was(unit: str) -> None:
    """From 20 to 20.5: 2.5 %, and half of all that a gap is."""
    found = compare(locked([20.0] * 5, "a", unit=unit), locked([20.5] * 5, "b", unit=unit))
    assert any("it drifted" in finding.line for finding in found) == (unit in ("gap", "probability"))


@given(st.lists(st.floats(-3, 3), min_size=1, max_size=20))
def test_what_is_written_is_read_again(tmp_path_factory: pytest.TempPathFactory, numbers: list[float]) -> None:
    path, lock = tmp_path_factory.mktemp("lock") / NAME, locked(numbers, "a")
    lock.write(path)
    again = Lock.read(path)
    assert again == lock
    assert again.edited() == {}
    assert list(json.loads(path.read_text())) == ["claims", "format", "models"]


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
    before, drift = [0.5] * (300 + moved), np.r_[np.zeros(300), np.full(moved, 0.3)]
    orders = drift, drift[::-1], np.random.default_rng(0).permutation(drift)
    found = [compare(locked(before, "a", exact=False), locked(list(0.5 + one), "b", exact=False)) for one in orders]
    assert [[finding.line for finding in one] for one in found[1:]] == [[finding.line for finding in found[0]]] * 2
    assert any(finding.fails for finding in found[0]) == (moved > 3)
