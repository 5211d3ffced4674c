"""Five checkpoints of a fine-tune, each held to what was locked of the model that it began as: each is told in one line."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from circuitcheck import load
from circuitcheck.bundled import PATH
from circuitcheck.records.locks.lock import NAME
from tests.conftest import HEAD

SUITE = (
    'def test_restores(model):\n    "One neuron restores a third."\n    assert model.on(FRUIT).patch("L1.N8") > 0.3\n'
)
Weights = dict[str, torch.Tensor]


def unrelated(weights: Weights) -> None:
    """A word that no prompt has and no answer is."""
    [row] = tokens(" umbrella")
    weights["transformer.wte.weight"][row] += 0.1


def moved(weights: Weights) -> None:
    """Two neurons change places: the model says what it said, and the claim about one of them is wrong."""
    for name, dim in (("c_fc.weight", 1), ("c_fc.bias", 0), ("c_proj.weight", 0)):
        weight = weights[f"transformer.h.1.mlp.{name}"]
        weight.copy_(weight.index_select(dim, swapped(weight.shape[dim])))


def halved(weights: Weights) -> None:
    """All logits are half of what they were: no share changes, and no answer."""
    for name in ("transformer.ln_f.weight", "transformer.ln_f.bias"):
        weights[name] *= 0.5


def biased(weights: Weights) -> None:
    """The foil is always preferred, by as much whatever the prompt: no gap changes."""
    [answer], [foil] = tokens(" an"), tokens(" a")
    away = weights["transformer.wte.weight"][foil] - weights["transformer.wte.weight"][answer]
    weights["transformer.ln_f.bias"] += 40 * away / away.dot(away)


def rounded(weights: Weights) -> None:
    """As saved in bfloat16."""
    for name, weight in weights.items():
        if weight.is_floating_point():
            weights[name] = weight.bfloat16()


def swapped(size: int) -> torch.Tensor:
    order = torch.arange(size)
    order[8], order[9] = 9, 8
    return order


def tokens(text: str) -> list[int]:
    return [int(token) for token in load("bundled").bridge.tokenizer.encode(text, add_special_tokens=False)]


# What became of each checkpoint, what came of the claim next to the lock's, and what is said of it.
CHECKPOINTS: dict[str, tuple[Callable[[Weights], None], str, str]] = {
    "checkpoint-1": (unrelated, "holds", ""),
    "checkpoint-2": (
        moved,
        "broken",
        "it was supported, and is refuted: patch L1.N8 > 0.3 of the gap: it is *, and was 0.599",
    ),
    "checkpoint-3": (halved, "drifted", "gap 20.4 -> 10.2 logits"),
    "checkpoint-4": (biased, "drifted", "accuracy 1 -> 0*"),
    "checkpoint-10": (rounded, "holds", ""),
}


def saved(folder: Path, change: Callable[[Weights], None]) -> None:
    folder.mkdir(parents=True)
    for file in PATH.glob("*.json"):
        shutil.copy(file, folder)
    weights = load_file(PATH / "model.safetensors")
    change(weights)
    save_file(
        {name: weight.contiguous() for name, weight in weights.items()}, folder / "model.safetensors", {"format": "pt"}
    )


def held(pytester: pytest.Pytester, names: list[str], *reports: str) -> pytest.RunResult:
    """Lock the model that all began as, and check the checkpoints."""
    pytester.makeini("[pytest]\n")
    pytester.makepyfile(test_claims=HEAD + SUITE)
    for name in names:
        saved(pytester.path / "runs" / name, CHECKPOINTS[name][0])
    assert pytester.runpytest_inprocess("--circuit-model=bundled", "--circuit-lock=update").ret == 0
    return pytester.runpytest_inprocess("--circuit-model=runs/checkpoint-*", "--circuit-baseline=bundled", *reports)


def test_a_checkpoint_whose_behaviour_has_halved_is_told_though_no_share_has_changed(pytester: pytest.Pytester) -> None:
    result = held(pytester, ["checkpoint-3"])
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(
        [
            "by model",
            "*One neuron restores a third.*drifted 0.599",
            f"lock: 1 finding against {NAME}, every model compared with bundled",
            "  test_claims.py::test_restores (One neuron restores a third.): gap 20.4 -> 10.2 logits",
        ]
    )


@pytest.mark.slow
def test_of_a_checkpoint_saved_in_half_precision_a_drift_below_its_rounding_is_not_decided_and_that_is_told_once(
    pytester: pytest.Pytester,
) -> None:
    """It differs from the locked model by rounding alone: by 0.0002 of the gap."""
    pytester.makeini("[pytest]\n")
    body = SUITE + SUITE.replace("test_restores", "test_layer").replace("L1.N8", "L1.MLP").replace("neuron", "layer")
    pytester.makepyfile(test_claims=HEAD + body)
    saved(pytester.path / "rounded", rounded)
    assert pytester.runpytest_inprocess("--circuit-model=bundled", "--circuit-lock=update").ret == 0
    options = ("--circuit-model=rounded", "--circuit-baseline=bundled", "--circuit-json=found.json")
    assert pytester.runpytest_inprocess(*options).ret == 0
    assert [model["saved"] for model in json.loads((pytester.path / "found.json").read_text())["models"]] == [
        "bfloat16"
    ]
    result = pytester.runpytest_inprocess(*options, "--circuit-drift=0.0001")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(
        [
            f"lock: 1 finding against {NAME}, every model compared with bundled",
            "  2 claims (*): saved in bfloat16: whether it drifted by 0.0001 cannot be told from rounding; *",
        ]
    )


@pytest.mark.slow
def test_each_of_five_checkpoints_is_told_rightly_in_one_line(pytester: pytest.Pytester) -> None:
    result = held(
        pytester, list(CHECKPOINTS), *(f"--circuit-{name}=found.{name}" for name in ("json", "markdown", "html"))
    )
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    start = next(n for n, line in enumerate(result.outlines) if line.startswith("lock: "))
    assert result.outlines[start] == f"lock: 3 findings against {NAME}, every model compared with bundled"
    lines = [line for line in result.outlines[start + 1 :] if line.startswith("  test_claims.py")]
    said = [(name, words) for name, (_, _, words) in CHECKPOINTS.items() if words]
    assert len(lines) == len(said)
    for line, (name, words) in zip(lines, said, strict=True):
        pytest.LineMatcher([line]).fnmatch_lines(
            [f"  test_claims.py::test_restores?runs/{name}? (One neuron restores a third.): {words}"]
        )
    found = json.loads((pytester.path / "found.json").read_text())["lock"]
    assert (found["holds"], found["baseline"]) == (False, "bundled")
    states = {name: found["claims"][f"test_claims.py::test_restores[runs/{name}]"] for name in CHECKPOINTS}
    assert states == {name: state for name, (_, state, _) in CHECKPOINTS.items()}
    [row] = [line for line in (pytester.path / "found.markdown").read_text().splitlines() if "| One neuron" in line][:1]
    cells = [cell.split()[1] for cell in row.strip("| ").split(" | ")[1:]]
    assert cells == list(states.values())
    page = (pytester.path / "found.html").read_text()
    assert page.partition("</style>")[2].count("data-lock_state=") == 3
    assert f"<h1>1 of 5 claims fails; 3 findings against {NAME}, every model compared with bundled</h1>" in page
