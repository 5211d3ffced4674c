"""Models and prompts that several tests use."""

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

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
import circuitcheck.session.loading
from circuitcheck import Model, PromptPairs, contrast, load
from circuitcheck.engine.watching import questions
from circuitcheck.engine.watching.changes import Changes
from circuitcheck.engine.watching.torch_settings import precision
from circuitcheck.sampling.remembered import Remembered
from tests import oracle

THOROUGHLY: list[str] = []
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


@pytest.fixture(autouse=True, scope="session")
def _bundled_once() -> Iterator[None]:
    """Runs in this process share the loaded bundled model, as long as it is what was loaded; all else is theirs."""
    known: list[Model] = []
    make_changes = questions.Changes

    def changes_of(bridge: Any) -> Changes:
        is_known = bool(known) and bridge is known[0].bridge
        return known[0].answers.questions.changes if is_known else make_changes(bridge)

    def load_bundled_once(source: object, **given: Any) -> Model:
        asked = {name: given[name] for name in ("weights", "dtype", "revision")}
        if source != "bundled" or asked != {"weights": "processed", "dtype": "float32", "revision": None}:
            return load(source, **given)
        changes = known[0].answers.questions.changes if known else None
        if changes is None or changes.look() or changes.words or changes.foreign:
            known[:] = []
            known[:] = [load("bundled")]
        model = known[0]
        identity = model.answers.remembered.fingerprint
        remembered = Remembered(given["store"], identity, "cpu", precision())
        remembered.note("name", "bundled")
        return Model(
            model.bridge,
            "bundled",
            "processed",
            given["settings"],
            remembered,
            None,
            given["counterexamples"],
            model.base_run,
        )

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(circuitcheck.session.loading, "load", load_bundled_once)
        patch.setattr(questions, "Changes", changes_of)
        yield


@pytest.fixture(autouse=True)
def _outside_ci(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs inside these tests are nobody's step, wherever the tests themselves run; and in CI pytest's summary is longer."""
    for name in ("CI", "BUILD_NUMBER", "GITHUB_ACTIONS", "GITHUB_STEP_SUMMARY", "GITHUB_WORKSPACE"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="session")
def bundled() -> Model:
    return oracle.share(load("bundled"))


@pytest.fixture(scope="session")
def raw() -> Model:
    return oracle.share(load("bundled", weights="raw"))


@pytest.fixture(scope="session")
def stories() -> Model:
    """A real language model: Llama architecture with grouped queries."""
    return oracle.share(load(shared_model("stories260K")))


def pytest_configure(config: pytest.Config) -> None:
    THOROUGHLY[:] = ["thorough"] if "thorough" in config.getoption("markexpr") else []


def examples(few: int, many: int) -> int:
    """How many random examples a test marked thorough tries: in ``make test``, in ``make test-slow``."""
    return many if THOROUGHLY else few


def each(names: Iterable[Any], usual: Collection[Any]) -> list[Any]:
    """Names as test parameters: those that are not usual, whose ways through the code the usual ones take too, are slow."""
    return [name if name in usual else pytest.param(name, marks=pytest.mark.slow) for name in names]


def first(n: int, rows: Sequence[tuple[Any, ...]]) -> list[Any]:
    """Rows of test parameters, of which those after the first n are slow."""
    return [row if number < n else pytest.param(*row, marks=pytest.mark.slow) for number, row in enumerate(rows)]


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
