"""Claims over several workers: the same report, and the claims of a model, then of a file, on one of them."""

import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest
import torch

from circuitcheck.bundled import PATH
from circuitcheck.records.store_files import check
from circuitcheck.session import resources
from circuitcheck.session.models_asked import read
from circuitcheck.session.xdist_scheduling import ClaimScheduling
from tests.conftest import HEAD

# Each test notes which worker ran it.
NOTES = """
import os
@pytest.fixture(autouse=True)
def _noted(request, pytestconfig):
    with open(pytestconfig.rootpath / "ran", "a") as file:
        file.write(os.environ.get("PYTEST_XDIST_WORKER", "-") + " " + request.node.nodeid + "\\n")
"""
CLAIMS = """
def test_restores(model):
    "One neuron restores most of it."
    assert model.on(FRUIT).patch("L1.N8") > 0.4
def test_more(model):
    assert model.on(FRUIT).patch("L1.N8") > 0.9
def test_needed(model):
    assert model.on(FRUIT).ablate("L1.N8", "mean") > 0.3
@pytest.mark.skip(reason="not now")
def test_skipped(model):
    assert model.on(FRUIT).gap > 1
"""


def ran(folder: Path) -> dict[str, str]:
    """The worker of each test."""
    lines = [line.split(" ", 1) for line in (folder / "ran").read_text().splitlines()]
    (folder / "ran").unlink()
    return {test: worker for worker, test in lines}


def numbers(content: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(content, dict | list):
        items = content.items() if isinstance(content, dict) else enumerate(content)
        for key, value in items:
            yield from numbers(value, f"{path}/{key}")
    else:
        yield path, content


@pytest.mark.slow
def test_two_workers_report_what_one_process_does_each_with_its_model(pytester: pytest.Pytester) -> None:
    pytester.makeini("[pytest]\n")
    pytester.makepyfile(**{f"test_{name}": HEAD + NOTES + CLAIMS for name in "abc"})
    reports = {}
    options = (
        "--circuit-model=bundled",
        "--circuit-model=bundled,weights=raw",
        "--circuit-store=off",
        "-p",
        "no:randomly",
    )
    for workers in ("0", "2"):
        result = pytester.runpytest_subprocess(*options, f"-n{workers}", "--circuit-json=found.json", "-v")
        result.assert_outcomes(passed=12, failed=6, skipped=6)
        reports[workers] = json.loads(Path(pytester.path, "found.json").read_text())
        where = ran(pytester.path)
        result.stdout.fnmatch_lines(["by model", "  *bundled *bundled,weights=raw"])
    by_model: dict[bool, set[str]] = {}
    for test, worker in where.items():
        by_model.setdefault("raw" in test, set()).add(worker)
    assert sorted(map(sorted, by_model.values())) == [["gw0"], ["gw1"]]
    one, two = (dict(numbers(reports[workers])) for workers in ("0", "2"))
    assert list(one) == list(two)
    for path, value in one.items():
        if isinstance(value, float):
            assert two[path] == pytest.approx(value, abs=1e-5), path
        elif not path.endswith("/explanation"):
            assert two[path] == value, path


@pytest.mark.slow
def test_one_models_claims_stay_together_by_file_and_the_store_is_shared(pytester: pytest.Pytester) -> None:
    pytester.makeini("[pytest]\ncircuit_model = bundled\n")
    pytester.makepyfile(**{f"test_{name}": HEAD + NOTES + CLAIMS for name in "abcd"})
    pytester.runpytest_subprocess("-n2").assert_outcomes(passed=8, failed=4, skipped=4)
    by_file: dict[str, set[str]] = {}
    for test, worker in ran(pytester.path).items():
        by_file.setdefault(test.partition("::")[0], set()).add(worker)
    assert len(by_file) == 4
    assert all(len(workers) == 1 for workers in by_file.values())
    assert set.union(*by_file.values()) == {"gw0", "gw1"}
    assert check(Path(pytester.path, ".circuitcheck", "evidence.sqlite")) == []


@pytest.mark.slow
def test_other_suites_and_other_ways_of_distribution_are_left_alone(pytester: pytest.Pytester) -> None:
    hook = """
    import pytest
    @pytest.hookimpl(wrapper=True)
    def pytest_xdist_make_scheduler(config):
        found = yield
        print("SCHEDULED", type(found).__name__)
        return found
    """
    pytester.makeconftest(hook)
    pytester.makepyfile("def test_it(): pass")
    for options, scheduled in (
        ((), "LoadScheduling"),
        (("--circuit-model=bundled",), "ClaimScheduling"),
        (("--circuit-model=bundled", "--dist=worksteal"), "WorkStealingScheduling"),
    ):
        result = pytester.runpytest_subprocess("-n1", "-s", *options)
        result.stdout.fnmatch_lines([f"*SCHEDULED {scheduled}*"])


class Node:
    """A worker that only takes in what it is sent."""

    def __init__(self, name: str):
        self.gateway, self.shutting_down, self.sent = SimpleNamespace(id=name), False, list[int]()

    def send_runtest_some(self, indices: list[int]) -> None:
        self.sent += indices

    def shutdown(self) -> None:
        self.shutting_down = True


def test_a_worker_takes_all_files_of_its_model_before_another_model() -> None:
    tests = [f"test_{file}.py::test_{n}[{model}]" for file in "abc" for model in ("one", "two") for n in (1, 2)]
    nodes = [Node("gw0"), Node("gw1")]
    config: Any = SimpleNamespace(
        getvalue=lambda name: ["popen", "popen"], option=SimpleNamespace(loadscopereorder=True, tx=["popen", "popen"])
    )
    config.getoption = config.getvalue
    scheduling = ClaimScheduling(config, None, ["one", "two"])
    for node in nodes:
        scheduling.add_node(node)
        scheduling.add_node_collection(node, tests)
    scheduling.schedule()
    for _ in tests:
        for node in nodes:
            for index in [
                index
                for index in node.sent
                if not scheduling.assigned_work[node][scheduling._split_scope(tests[index])][tests[index]]
            ][:1]:
                scheduling.mark_test_complete(node, index)
    taken = [[tests[index].partition("[")[2] for index in node.sent] for node in nodes]
    assert taken == [["one]"] * 6, ["two]"] * 6]


def test_auto_counts_memory_and_gpus_rather_than_cores(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda which: set(range(8)))
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    large = tmp_path / "large"
    large.mkdir()
    (large / "model.safetensors").touch()
    monkeypatch.setattr(resources, "size", lambda model: 2**32 if "large" in str(model) else 2**20)
    for gigabytes, models, expected in (
        (64, ["small"], 8),
        (4, ["small"], 3),
        (64, ["small", "large"], 3),
        (1, ["large"], 1),
    ):
        monkeypatch.setattr(psutil, "virtual_memory", lambda free=gigabytes: SimpleNamespace(available=free * 2**30))
        assert resources.processes(read(models, tmp_path), tmp_path, None) == expected
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 3)
    asked = read(["small"], tmp_path)
    assert [resources.processes(asked, tmp_path, device) for device in (None, "cuda", "cuda:1", "cpu")] == [3, 3, 1, 1]
    assert resources.processes([], tmp_path, None) is None
    assert [resources.device_of(None, worker, 4) for worker in range(4)] == ["cuda:0", "cuda:1", "cuda:2", "cuda:0"]
    assert [resources.device_of(*given) for given in (("cpu", 1, 4), (None, 0, 1))] == ["cpu", None]


def test_a_models_size_is_that_of_its_weights(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    weights = (PATH / "model.safetensors").stat().st_size
    assert resources.size("bundled") == resources.size(PATH) == resources.size(PATH / "model.safetensors") == weights
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    blobs = tmp_path / "models--org--name" / "blobs"
    blobs.mkdir(parents=True)
    (blobs / "a").write_bytes(b"12345")
    assert resources.size("org/name") == 5
    assert resources.size("org/other") == 0
