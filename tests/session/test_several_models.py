"""Several models: each claim on each of them, by the name that each was asked by."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from circuitcheck import load
from circuitcheck.bundled import PATH
from circuitcheck.models.checkpoints import step_of
from circuitcheck.records.locks.lock import NAME
from circuitcheck.session.models_asked import read
from circuitcheck.texts import without
from tests.conftest import HEAD

Run = Callable[..., pytest.RunResult]

SUITE = """
def test_restores(model):
    "One neuron restores most of it."
    assert model.on(FRUIT).patch("L1.N8") > 0.4
@pytest.mark.parametrize("least", [0.1, 0.2])
def test_gap(model, least):
    assert model.on(FRUIT).gap > least
"""


@pytest.fixture
def run(pytester: pytest.Pytester) -> Run:
    """Checkpoints 20 and 100 of a training run, beside what else a trainer leaves there, and claims about them."""
    for step, scale in ((100, 1.0), (20, 0.5)):
        folder = Path(pytester.path, "run", f"checkpoint-{step}")
        folder.mkdir(parents=True)
        for file in PATH.iterdir():
            if file.suffix == ".json":
                (folder / file.name).write_bytes(file.read_bytes())
        weights = load_file(PATH / "model.safetensors")
        weights["transformer.h.1.mlp.c_proj.weight"] *= scale
        save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    Path(pytester.path, "run", "logs").mkdir()
    pytester.makeini("[pytest]\n")
    pytester.makepyfile(test_claims=HEAD + SUITE)

    def go(models: list[str], *options: str) -> pytest.RunResult:
        return pytester.runpytest_inprocess(*(f"--circuit-model={one}" for one in models), *options)

    return go


def test_each_claim_is_asked_of_each_checkpoint_in_the_order_of_their_steps(
    run: Run, pytester: pytest.Pytester
) -> None:
    result = run(["run/checkpoint-*"], "--circuit-json=found.json", "--circuit-markdown=found.md", "-v")
    result.assert_outcomes(passed=6)
    result.stdout.fnmatch_lines(
        [
            "test_claims.py::test_restores?run/checkpoint-20? PASSED*",
            "test_claims.py::test_gap?run/checkpoint-20-0.1? PASSED*",
            "test_claims.py::test_restores?run/checkpoint-100? PASSED*",
            "by model",
            "  *checkpoint-20 *checkpoint-100",
            "  One neuron restores most of it.*supported 0.439*supported 0.599",
        ]
    )
    found = json.loads(Path(pytester.path, "found.json").read_text())
    assert [(model["asked"], model["step"]) for model in found["models"]] == [
        ("run/checkpoint-20", 20),
        ("run/checkpoint-100", 100),
    ]
    by_test: dict[str, list[str]] = {}
    for claim in found["claims"]:
        by_test.setdefault(claim["test"], []).append(claim["asked"])
    assert set(by_test) == {f"test_claims.py::{name}" for name in ("test_restores", "test_gap[0.1]", "test_gap[0.2]")}
    assert all(asked == ["run/checkpoint-20", "run/checkpoint-100"] for asked in by_test.values())
    assert "| checkpoint-20<br>step 20 | checkpoint-100<br>step 100 |" in Path(pytester.path, "found.md").read_text()


def test_a_model_may_be_asked_in_several_dtypes(run: Run, pytester: pytest.Pytester) -> None:
    asked = ["bundled", "bundled,dtype=bfloat16,weights=raw"]
    run(asked, "--circuit-json=found.json", "--circuit-dtype=float64").assert_outcomes(passed=6)
    found = json.loads(Path(pytester.path, "found.json").read_text())
    assert [(model["asked"], model["dtype"], model["weights"]) for model in found["models"]] == [
        ("bundled", "float64", "processed"),
        (asked[1], "bfloat16", "raw"),
    ]


@pytest.mark.slow
def test_a_lock_knows_each_model_by_the_name_that_it_was_asked_by(run: Run, pytester: pytest.Pytester) -> None:
    both = ["run/checkpoint-20", "run/checkpoint-100"]
    run(both, "--circuit-lock=update", "--circuit-accept=all")
    locked = json.loads(Path(pytester.path, NAME).read_text())
    assert sorted({key.partition("@")[2] for key in locked["claims"]}) == sorted(both)
    run(both[::-1], "--circuit-lock=check").stdout.fnmatch_lines(["lock: as in circuitcheck.lock"])
    weights = Path(pytester.path, "run", "checkpoint-20", "model.safetensors")
    save_file({key: value * 1.001 for key, value in load_file(weights).items()}, weights, metadata={"format": "pt"})
    run(both, "--circuit-lock=check").stdout.fnmatch_lines(
        ["lock: as in circuitcheck.lock", "  model checkpoint-20: it has changed (*weights, configuration*"]
    )
    fewer = run([both[1], "bundled"], "--circuit-lock=check")
    fewer.stdout.fnmatch_lines(
        [
            "lock: 2 findings against circuitcheck.lock",
            "  model run/checkpoint-20 of the lock: it was not asked (3 claims): see --circuit-model",
            "  model bundled: it is not in the lock (3 claims; --circuit-lock=update takes it in)",
        ]
    )
    part = run(both, "--circuit-lock=check", "-k", "checkpoint-100")
    part.stdout.fnmatch_lines(["lock: as in circuitcheck.lock"])


def test_a_marker_may_name_a_pattern_too(run: Run, pytester: pytest.Pytester) -> None:
    pytester.makepyfile(test_claims=HEAD + "@pytest.mark.circuit(model='run/check*')" + SUITE)
    run([], "-k", "restores", "--circuit-list", "-q").stdout.fnmatch_lines(
        ["test_claims.py::test_restores?run/checkpoint-20?", "test_claims.py::test_restores?run/checkpoint-100?"]
    )


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("run/nothing-*", "*no model's folder or file goes by that*"),
        ("bundled,dtyp=float16", "*stand dtype=..., weights=..., *not 'dtyp=float16'*"),
        (",dtype=float16", "*names no model*"),
    ],
)
def test_what_names_no_model_is_told_before_anything_is_run(run: Run, given: str, told: str) -> None:
    result = run([given])
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([told])


def test_a_revision_is_of_the_cache(run: Run) -> None:
    run(["bundled,revision=step3"]).stdout.fnmatch_lines(["*a revision is of a model in the Hugging Face cache*"])
    run(["a/b,revision=step3"]).stdout.fnmatch_lines(["*hf download a/b --revision step3 --include*"])


def test_a_step_is_what_the_trainer_or_the_name_says(tmp_path: Path) -> None:
    (tmp_path / "checkpoint-7").mkdir()
    assert step_of(tmp_path / "checkpoint-7") == 7
    (tmp_path / "checkpoint-7" / "trainer_state.json").write_text('{"global_step": 9}')
    assert step_of(tmp_path / "checkpoint-7") == 9
    assert [step_of(name) for name in ("step3000", "global_step_20", "gpt2", "llama-3", "mystep.pt")] == [
        3000,
        20,
        None,
        None,
        None,
    ]
    assert load(PATH).step is None


@given(
    asked=st.from_regex(r"[a-z/.,=*-]{1,12}", fullmatch=True),
    others=st.lists(st.from_regex(r"[a-z0-9.]{1,5}", fullmatch=True), max_size=2),
    first=st.booleans(),
)
def test_a_tests_name_without_its_model_is_what_it_was(asked: str, others: list[str], first: bool) -> None:
    ids = "-".join([asked, *others] if first else [*others, asked])
    assume(first or not f"{ids}-".startswith(f"{asked}-") or not others)
    bare = f"a/test_it.py::test_it[{'-'.join(others)}]" if others else "a/test_it.py::test_it"
    assert without(f"a/test_it.py::test_it[{ids}]", asked) == bare


def test_a_pattern_and_its_folder_are_one_model(tmp_path: Path) -> None:
    (tmp_path / "step1").mkdir()
    (tmp_path / "step1" / "config.json").write_text("{}")
    torch.save({}, tmp_path / "step2.pt")  # without its configuration
    assert [str(one) for one in read(["step1", "step*", "step1,dtype=float64"], tmp_path)] == [
        "step1",
        "step1,dtype=float64",
    ]
