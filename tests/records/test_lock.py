"""The lock file: what changes is found and named, what does not is let be."""

import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from circuitcheck import LockError
from circuitcheck.bundled import PATH
from circuitcheck.cli import main
from circuitcheck.records.locks.files import read
from circuitcheck.records.locks.lock import NAME
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
        r"its prompts are others: half: 'discover' came",
    ),
    "a filler came": (
        edit(
            "def test_restores",
            "FRUIT = PromptPairs(*FRUIT.templates, tree=['pear', 'fig', 'plum'], fruit=contrast(clean=['apple', 'olive'], "
            "corrupt=['lemon', 'peach']), answer=' an', foil=' a')\ndef test_restores",
        ),
        True,
        r"6 claims \(.*\): its prompts are others: \{tree\}: 'plum' came",
    ),
    "a template came": (
        edit(
            "def test_restores",
            "FRUIT = PromptPairs(*FRUIT.templates, 'We saw the {tree} and the {fruit} and picked', tree=['pear', 'fig'], "
            "fruit=contrast(clean=['apple', 'olive'], corrupt=['lemon', 'peach']), answer=' an', foil=' a')\ndef test_restores",
        ),
        True,
        r"its prompts are others: templates: 'We saw the \{tree\} and the \{fruit\} and picked' came",
    ),
    "renamed, and loosened": (
        edit(
            'test_restores(model):\n    "One neuron restores a third."\n    assert model.on(FRUIT).patch("L1.N8") > 0.3',
            'test_new(model):\n    assert model.on(FRUIT).patch("L1.N8") > 0.2',
        ),
        True,
        r"test_new \(before: .*::test_restores\): its threshold was loosened from > 0.3 to > 0.2",
    ),
    "a marker widens the drift": (
        edit("def test_restores", "@pytest.mark.circuit(drift=0.5)\ndef test_restores"),
        True,
        r"the drift that it allows was the session's, and is 0.5",
    ),
    "site": (edit('patch("L1.N8") > 0.3', 'patch("L1.MLP") > 0.3'), True, r"component 'L1.N8' -> 'L1.MLP'"),
    "position": (edit('patch("L1.N8") > 0.3', 'patch("L1.N8@end") > 0.3'), True, r"positions 'all' -> '@end'"),
    "ablation's value": (edit('"mean") > 0.3', '"zero") > 0.3'), True, r"value 'mean' -> 'zero'"),
    "unit": (edit('patch("L1.N8") > 0.3', 'patch("L1.N8").raw > 0.3'), True, r"unit 'gap' -> 'logits'"),
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
        r"test_new: the claim is new",
    ),
    "xfail added": (
        edit("def test_restores", "@pytest.mark.xfail(raises=ClaimRefuted)\ndef test_restores"),
        True,
        r"xfail was added",
    ),
    "error rate": (option("--circuit-alpha=0.2"), True, r"its error rate is 0.2, not 0.05"),
    "test skipped": (
        edit("def test_needed", "@pytest.mark.skip\ndef test_needed"),
        True,
        r"test_needed .*: it was skipped: unconditional skip",
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
        by_hand(f"{NAME}.pairs", r"=(\d)", r"=9\1"),
        True,
        r"has other numbers of its pairs",
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
        r"(?s)model tuned: it has changed.*name bundled -> tuned.*it drifted from 0.\d+ to 0.\d+ of the gap, by -",
    ),
    "hardly tuned": (model("nudged", nudged), False, r"(?s)^lock: as in .*model nudged: it has changed"),
    "processing": (option("--circuit-weights=raw"), False, r"weights processed -> raw"),
    "dtype": (option("--circuit-dtype=bfloat16"), False, r"dtype float32 -> bfloat16"),
}


USUAL = ("a docstring", "threshold loosened", "claim deleted", "a filler came")


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
            "lock: 5 as they were, 1 left as it was (--circuit-accept=NODEID, or all, takes what claims less or does not hold)",
            "  left as it was: *threshold was loosened from > 0.3 to > 0.1",
        ]
    )
    assert path.read_text() == before
    assert workplace.run("--circuit-lock=update", "--circuit-accept=all").ret == 0
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
    workplace.run("--circuit-lock=update", "--circuit-accept=all")
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
            read(path)
