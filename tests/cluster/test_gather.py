"""``circuitcheck gather``: numbers that other processes compute come home, and plain pytest decides as if it had computed them."""

import importlib.util
import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file

from circuitcheck.bundled import PATH
from circuitcheck.cli import main
from circuitcheck.records.store import NAME
from circuitcheck.report.differences import differences
from tests.conftest import HEAD

# Its process dies in the middle, once, and every number that any process computes is written down.
SUITE = """
from pathlib import Path
from helpers import least

def test_before(model):
    assert model.on(FRUIT).patch("L1.N8") > least
def test_dies(model):
    died = Path({folder!r}, "died")
    if "CIRCUITCHECK_JOB" in os.environ and "checkpoint-20" in os.environ["CIRCUITCHECK_JOB"] and not died.exists():
        died.touch()
        time.sleep(1.5)
        os.kill(os.getpid(), signal.SIGKILL)
    assert model.on(FRUIT).patch(ALL) > 0.5
def test_looks(model):
    assert model.on(FRUIT).ablate("L0.H0", "mean") < 0.9
"""
COMPUTED = """
import json, os, sys
from circuitcheck.records.store import Store

keep = Store.keep
def counting(self, rows, origin):
    rows = list(rows)
    with open({folder!r} + "/computed", "a") as file:
        file.writelines(key.model + key.digest.hex() + pair.hex() + "\\n" for key, pair, *_ in rows)
    return keep(self, rows, origin)
if "CIRCUITCHECK_JOB" in os.environ:
    Store.keep = counting
"""


def checkpoints(folder: Path, *scales: float) -> None:
    for step, scale in enumerate(scales, 1):
        place = folder / f"checkpoint-{20 * step}"
        place.mkdir(parents=True)
        for file in PATH.glob("*.json"):
            (place / file.name).write_bytes(file.read_bytes())
        weights = load_file(PATH / "model.safetensors")
        weights["transformer.h.1.mlp.c_proj.weight"] *= scale
        save_file(weights, place / "model.safetensors", metadata={"format": "pt"})


def numbers(store: Path) -> dict[tuple[bytes, bytes], float]:
    query = "SELECT key, pair, value FROM numbers JOIN experiments ON id = experiment"
    with closing(sqlite3.connect(store)) as connection:
        return {(key, pair): value for key, pair, value in connection.execute(query)}


def test_a_job_that_dies_goes_on_elsewhere_and_nothing_is_computed_twice(
    pytester: pytest.Pytester, tmp_path_factory: pytest.TempPathFactory, capsys: pytest.CaptureFixture[str]
) -> None:
    outside = str(tmp_path_factory.mktemp("outside"))
    checkpoints(pytester.path / "runs", 1.0, 0.9)
    pytester.makeini("[pytest]\n")
    pytester.makeconftest(COMPUTED.format(folder=outside))
    pytester.mkdir("claims").joinpath("test_claims.py").write_text(
        f"import os, signal, time\n{HEAD}{SUITE.format(folder=outside)}"
    )
    pytester.path.joinpath("claims", "helpers.py").write_text("least = 0.4\n")
    models = "--circuit-model=runs/checkpoint-*"
    assert main(["gather", "claims", "--model=runs/checkpoint-*", "--local=2", "-k", "test_"]) == 0
    said = capsys.readouterr().out
    assert said.startswith("2 jobs: 6 claims in 1 file about 2 models of at most 1 MB; ")
    assert "claims/test_claims.py of runs/checkpoint-20 died on process" in said
    assert "(it was ended by signal 9): it goes on elsewhere, from what came home" in said
    assert "computed twice; 1 job begun again" in said
    assert said.splitlines()[-1] == "decide with: pytest '--circuit-model=runs/checkpoint-*' claims -k test_"

    home = numbers(pytester.path / NAME)
    computed = Path(outside, "computed").read_text().splitlines()
    assert len(computed) == len(set(computed)) == len(home) > 100
    assert f"{len(home)} new numbers came home; 0 numbers computed twice" in said
    pytester.runpytest_inprocess("claims", models, "--circuit-json=gathered.json").assert_outcomes(passed=6)
    assert numbers(pytester.path / NAME) == home
    pytester.runpytest_inprocess("claims", models, "--circuit-json=here.json", "--circuit-store=here").assert_outcomes(
        passed=6
    )
    here = numbers(pytester.path / "here")
    assert here.keys() == home.keys()
    assert all(abs(home[one] - value) < 1e-4 for one, value in here.items() if isinstance(value, float))
    assert differences(pytester.path / "here.json", pytester.path / "gathered.json") == []


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--local=0"], "--local is a number of processes of at least 1, not 0"),
        (["--local=1"], "test_claims.py::test_it has no model: name one with --model"),
        (["--local=1", "--model=bundled", "-k", "nothing"], "there are no claims among what was named"),
        (["--local=1", "--model=runs/*"], "no model's folder or file goes by that"),
        (
            ["--local=1", "--model=bundled", "--circuit-json=a.json"],
            "gather decides nothing, so that --circuit-json has nothing to tell",
        ),
        (["--local=1", "--model=bundled", "--circuit-lock=update"], "gather decides nothing that could be locked"),
        (["--local=1", "--model=bundled", "--store=notes"], "notes cannot be used (it is no store"),
        (["--local=1", "--model=bundled", "--circuit-store=off"], "the store is off, and numbers have no home"),
        (["--ray=ray://far:10001", "--model=bundled"], "ray://far:10001 is a client's address"),
    ],
)
def test_what_cannot_be_gathered_is_said_in_a_line(
    pytester: pytest.Pytester, capfd: pytest.CaptureFixture[str], words: list[str], said: str
) -> None:
    pytester.makeini("[pytest]\n")
    pytester.path.joinpath("notes").write_text("notes")
    pytester.makepyfile(test_claims="def test_it(model):\n    pass\n")
    assert main(["gather", *words]) == 2
    assert said in capfd.readouterr().err


def test_without_ray_it_is_said_what_to_install(
    pytester: pytest.Pytester, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *package: None if name == "ray" else find(name, *package)
    )
    pytester.makeini("[pytest]\n")
    pytester.makepyfile(test_claims="def test_it(model):\n    pass\n")
    assert main(["gather", "--ray=auto", "--model=bundled"]) == 2
    assert (
        capfd.readouterr().err == "gather --ray needs Ray: pip install 'circuitcheck[ray]' (--local N needs nothing)\n"
    )


@pytest.mark.slow
def test_a_model_that_cannot_be_loaded_is_told(pytester: pytest.Pytester, capfd: pytest.CaptureFixture[str]) -> None:
    pytester.makeini("[pytest]\n")
    pytester.makepyfile(test_claims="def test_it(model):\n    assert model\n")
    pytester.mkdir("empty").joinpath("config.json").write_text(json.dumps({}))
    assert main(["gather", "--local=1", "--model=empty"]) == 1
    said = capfd.readouterr()
    assert "test_claims.py of empty: test_claims.py::test_it: " in said.err
    assert "ModelError" in said.err
    assert "0 new numbers came home" in said.out
