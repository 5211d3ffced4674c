"""Models and prompts that several tests use."""

from collections.abc import Callable
from pathlib import Path

# Whatever a pytester run in this process imports first is forgotten behind it, and a module must not be there twice; and
# Hypothesis, which its plugin imports in every run, takes seconds.
import hypothesis  # noqa: F401
import pytest

import circuitcheck.records.decisions
import circuitcheck.report.json_file
import circuitcheck.report.markdown
import circuitcheck.report.terminal
import circuitcheck.run
import circuitcheck.session.guard
import circuitcheck.session.loading  # noqa: F401
from circuitcheck import Model, PromptPairs, contrast, load

SHARED_MODELS = Path(__file__).parents[2] / "shared" / "models"


Claims = Callable[..., pytest.RunResult]

HEAD = """
import numpy as np
import pytest
from circuitcheck import ClaimRefuted, ClaimInconclusive, PromptPairs, contrast

FRUIT = PromptPairs(
    "I climbed up the {tree} tree and picked a {tree}. I climbed up the {fruit} tree and picked",
    tree=["pear", "fig"], fruit=contrast(clean=["apple", "olive"], corrupt=["lemon", "peach"]), answer=" an", foil=" a",
)
ALL = "L2.RESID_POST"      # restores all of the gap
NONE = "L0.H0@{tree}[1]"   # before the first difference: restores nothing
"""


@pytest.fixture
def claims(pytester: pytest.Pytester, bundled: Model) -> Claims:
    """Runs claims on the bundled model in this process (which has loaded torch before) and gives pytest's result; on the
    model of their markers or the ini file with ``model=None``."""

    def run(body: str, *options: str, model: object = "bundled") -> pytest.RunResult:
        pytester.makepyfile(HEAD + body)
        chosen = [] if model is None else [f"--circuit-model={model}"]
        own = "KeyboardInterrupt" in body  # it is the run's own, and not of who runs these tests
        return pytester.runpytest_inprocess(*chosen, "-p", "no:cacheprovider", *options, no_reraise_ctrlc=own)

    return run


@pytest.fixture(autouse=True)
def _outside_ci(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs inside these tests are nobody's step, wherever the tests themselves run; and in CI pytest's summary is longer."""
    for name in ("CI", "BUILD_NUMBER", "GITHUB_ACTIONS", "GITHUB_STEP_SUMMARY", "GITHUB_WORKSPACE"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="session")
def bundled() -> Model:
    return load("bundled")


@pytest.fixture(scope="session")
def stories() -> Model:
    """A real language model: Llama architecture with grouped queries."""
    return load(shared_model("stories260K"))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """These tests look at models; the claims are made by the pytest runs inside them. Slow ones are run where they are asked for."""
    if "slow" not in config.getoption("markexpr"):
        config.hook.pytest_deselected(items=[item for item in items if item.get_closest_marker("slow")])
        items[:] = [item for item in items if not item.get_closest_marker("slow")]
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent):
            item.add_marker(pytest.mark.circuit(claim=False))


def shared_model(name: str) -> Path:
    folder = SHARED_MODELS / name
    if not folder.exists():
        pytest.skip(f"the real trained model {name} is not beside this checkout ({folder})")
    return folder


@pytest.fixture(scope="session")
def fruit() -> PromptPairs:
    """The founding finding's template; the two {tree} occurrences make positions ambiguous on purpose."""
    return PromptPairs(
        "I climbed up the {tree} tree and picked a {tree}. I climbed up the {fruit} tree and picked",
        tree=["pear", "plum", "fig"],
        fruit=contrast(clean=["apple", "orange", "olive"], corrupt=["lemon", "banana", "peach"]),
        answer=" an",
        foil=" a",
    )


@pytest.fixture(scope="session")
def named() -> PromptPairs:
    """He or she after a name whose token count varies from pair to pair on the real model."""
    return PromptPairs(
        "Once upon a time, there was a little {who} named {name}.",
        "One day, a {who} named {name} was happy.",
        who=contrast.pairs([("girl", "boy")]),
        name=[
            "Lily",
            "Tim",
            "Sue",
            "Ben",
            "Tom",
            "Anna",
            "Mia",
            "Max",
            "Sam",
            "Amy",
            "Jack",
            "Lucy",
            "Sara",
            "Bob",
            "Kim",
            "Leo",
        ],
        answer=" She",
        foil=" He",
    )
