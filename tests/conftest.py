"""Models and prompts that several tests use."""

from __future__ import annotations

import gc
from collections.abc import Callable, Collection, Generator, Iterable, Iterator, Sequence
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.permitted_skips import is_permitted

# Imported where they are used: xdist's first process, which runs no test, reads this file too, and torch takes seconds.
if TYPE_CHECKING:
    from circuitcheck import ImagePairs, Model, PromptPairs

THOROUGHLY: list[str] = []
# Models that tests share.
SHARED: list[Model] = []
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
def _bundled_once() -> Iterator[Callable[..., Model]]:
    """Runs in this process share the loaded bundled model, and what was seen of how it is to be run, as long as it is what
    was loaded; all else is theirs."""
    # Whatever a pytester run in this process imports first is forgotten after it, and a module must not be there twice;
    # and Hypothesis, which its plugin imports in every run, takes seconds.
    import hypothesis  # noqa: F401

    import circuitcheck.records.decisions
    import circuitcheck.report.json_file
    import circuitcheck.report.markdown
    import circuitcheck.report.terminal
    import circuitcheck.run
    import circuitcheck.session.guard
    import circuitcheck.session.loading
    from circuitcheck import Model, load
    from circuitcheck.engine import engine
    from circuitcheck.engine.watching import questions
    from circuitcheck.engine.watching.held import Held
    from circuitcheck.engine.watching.torch_settings import precision
    from circuitcheck.models.loaded import LoadedModel
    from circuitcheck.sampling.remembered import Remembered

    known: list[Model] = []
    make_changes, make_decoder, make_trust = questions.Changes, engine.Decoder, engine.Trust
    # pytest looks for plugins among all that is installed, in every run.
    plugins = [one for one in metadata.distributions() if one.entry_points.select(group="pytest11")]

    def is_known(bridge: Any) -> bool:
        return bool(known) and bridge is known[0].bridge

    def changes_of(bridge: Any, **given: Any) -> Any:
        return known[0]._loaded.answers.questions.changes if is_known(bridge) else make_changes(bridge, **given)

    def decoder_of(bridge: Any) -> Any:
        cone = known[0]._loaded.answers.engine.trust.cone if is_known(bridge) else None
        return make_decoder(bridge) if cone is None else cone.decoder

    def trust_of(changes: Any, plain: Any, *cone: Any) -> Any:
        trust = make_trust(changes, plain, *cone)
        if is_known(plain.bridge):
            trust._agreed = known[0]._loaded.answers.engine.trust._agreed
        return trust

    def load_bundled_once(source: object, **given: Any) -> Model:
        asked = {name: given.get(name) for name in ("weights", "dtype", "revision", "adapter", "bos")}
        if source != "bundled" or asked != {
            "weights": "processed",
            "dtype": "float32",
            "revision": None,
            "adapter": None,
            "bos": "auto",
        }:
            return load(source, **given)
        changes = known[0]._loaded.answers.questions.changes if known else None
        if changes is None or changes.look() or changes.words or changes.foreign:
            known[:] = []
            model = load("bundled")
            _ = model._loaded.answers.engine.trust
            known[:] = [model]
        shared = known[0]._loaded
        identity = shared.answers.remembered.fingerprint
        remembered = Remembered(given["store"], identity, "cpu", precision())
        remembered.note("name", "bundled")
        loaded = LoadedModel(
            Held.of(shared.bridge),
            shared.profile,
            shared.tokenizer,
            "bundled",
            "processed",
            given["settings"],
            remembered,
            None,
            given["counterexamples"],
            shared.see_length,
        )
        return Model(loaded)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(circuitcheck.session.loading, "load", load_bundled_once)
        patch.setattr(questions, "Changes", changes_of)
        patch.setattr(engine, "Decoder", decoder_of)
        patch.setattr(engine, "Trust", trust_of)
        patch.setattr(metadata, "distributions", lambda: iter(plugins))
        _keep_out_of_collections()
        yield load_bundled_once


def _keep_out_of_collections() -> None:
    """What is there for the whole session is half a million objects, and pytest collects garbage at the end of each run inside
    these tests."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def anew(_bundled_once: Callable[..., Model]) -> Callable[..., Model]:
    """Makes a model of the bundled network of which nothing was computed: ``anew(Settings(whole=32))``. It is loaded once."""
    from circuitcheck.settings import Settings

    asked = {
        "weights": "processed",
        "dtype": "float32",
        "revision": None,
        "bos": "auto",
        "store": None,
        "counterexamples": None,
    }
    return lambda settings=Settings(): _bundled_once("bundled", **asked, settings=settings)  # noqa: B008


@pytest.fixture(autouse=True)
def _outside_ci(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs inside these tests are nobody's step, wherever the tests themselves run; and in CI pytest's summary is longer."""
    for name in ("CI", "BUILD_NUMBER", "GITHUB_ACTIONS", "GITHUB_STEP_SUMMARY", "GITHUB_WORKSPACE"):
        monkeypatch.delenv(name, raising=False)


def _shared(source: object, **given: Any) -> Model:
    from circuitcheck import load
    from tests import oracle

    SHARED.append(oracle.share(load(source, **given)))
    _keep_out_of_collections()
    return SHARED[-1]


@pytest.fixture(autouse=True)
def _cones_are_trusted_still() -> Iterator[None]:
    """A test that makes the cones of a shared model distrusted would have later ones run plainly, in some orders."""
    yield
    for model in SHARED:
        engine = vars(model._loaded.answers).get("_engine")
        assert engine is None or not engine.has_run or engine.trust.why_plain == "", model


@pytest.fixture(scope="session")
def bundled() -> Model:
    return _shared("bundled")


@pytest.fixture(scope="session")
def seeing() -> Model:
    """The bundled model that reads pictures."""
    from circuitcheck import load

    return load("bundled-images")


@pytest.fixture(scope="session")
def lemons() -> ImagePairs:
    """Lemons, each with a banana of its shade."""
    from circuitcheck import ImagePairs, contrast
    from circuitcheck.reference_models.bundled_images.drawing import fruit

    shapes = contrast(clean=["disc", "egg", "bun"], corrupt=["pod", "bar"])
    return ImagePairs(
        fruit, shape=shapes, shade=["canary", "gold"], place=["middle", "left"], answer="lemon", foil="banana"
    )


@pytest.fixture(scope="session")
def raw() -> Model:
    return _shared("bundled", weights="raw")


@pytest.fixture(scope="session")
def stories() -> Model:
    """A real language model: Llama architecture with grouped queries. It was trained with BOS, which its tokenizer does not say."""
    return _shared(shared_model("stories260K"), bos="always")


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


@pytest.hookimpl(wrapper=True, trylast=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, Any, Any]:
    """A skip for a reason that is not on the list is a failure: what is not run says nothing."""
    report: Any = yield
    if report.skipped and not hasattr(report, "wasxfail") and item.path.is_relative_to(Path(__file__).parent):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longreprtext
        if not is_permitted(reason):
            report.outcome, report.longrepr = "failed", f"{reason}: not in tests/permitted_skips.py"
    return report


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
    from circuitcheck import PromptPairs, contrast

    return PromptPairs(
        "I climbed up the {tree} tree and picked a {tree}. I climbed up the {fruit} tree and picked",
        tree=["pear", "plum", "fig"],
        fruit=contrast(clean=["apple", "olive"], corrupt=["lemon", "peach"]),
        answer=" an",
        foil=" a",
    )


@pytest.fixture(scope="session")
def more_fruit(fruit: PromptPairs) -> PromptPairs:
    """As many pairs as a claim about resampled numbers takes."""
    from circuitcheck import PromptPairs, contrast

    fruits = contrast(clean=["apple", "orange", "olive"], corrupt=["lemon", "banana", "peach"])
    return PromptPairs(*fruit.templates, tree=["pear", "plum", "fig"], fruit=fruits, answer=" an", foil=" a")


@pytest.fixture(scope="session")
def named() -> PromptPairs:
    """He or she after a name whose token count varies from pair to pair on the real model."""
    from circuitcheck import PromptPairs, contrast

    return PromptPairs(
        "Once upon a time, there was a little {who} named {name}.",
        "One day, a {who} named {name} was happy.",
        who=contrast.pairs([("girl", "boy")]),
        name=["Lily", "Tim", "Ben", "Anna", "Max", "Jack", "Sara", "Bob"],
        answer=" She",
        foil=" He",
    )


@pytest.fixture(scope="session")
def more_names(named: PromptPairs) -> PromptPairs:
    """As many pairs as a claim about resampled numbers takes."""
    from circuitcheck import PromptPairs, contrast

    names = [
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
    ]
    who = contrast.pairs([("girl", "boy")])
    return PromptPairs(*named.templates, who=who, name=names, answer=" She", foil=" He")
