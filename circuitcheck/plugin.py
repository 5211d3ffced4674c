"""pytest wiring and nothing else. Only pytest and the standard library are imported before a claim is made."""

import inspect
from collections.abc import Generator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from circuitcheck.models import Model

_OPTIONS = {
    "model": "the model that claims are about: 'bundled', a Hugging Face folder, a cached name, a native .pt or .safetensors",
    "weights": "'processed' (LayerNorm folded, writing weights centred; the default) or 'raw'",
    "seed": "seed of the order in which pairs are drawn (default 0)",
    "sample": "pairs drawn from a population that is too large to be evaluated whole (default 512)",
}


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("circuitcheck", "claims about transformer circuits")
    for name, help_text in _OPTIONS.items():
        group.addoption(f"--circuit-{name}", default=None, help=help_text)
        parser.addini(f"circuit_{name}", help_text, default=None)
    group.addoption("--circuit-json", metavar="PATH", default=None, help="write what was found as JSON")


def pytest_configure(config: pytest.Config) -> None:
    from circuitcheck.report.reporter import Reporter

    words = "the model of a claim; claim=False for a test that only looks at a model"
    config.addinivalue_line("markers", f"circuit(model=..., claim=...): {words}")
    path = config.getoption("circuit_json")
    if path is not None and Path(path).is_dir():
        raise pytest.UsageError(f"--circuit-json={path} is a folder; name a file")
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(Reporter(path), "circuitcheck-reporter")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    by_hand = any("model" in str(marker.args[:1]) for marker in metafunc.definition.iter_markers("parametrize"))
    name = _marked(metafunc.definition, "model")
    if name is not None and not by_hand and _is_ours(metafunc._arg2fixturedefs.get("model")):
        metafunc.parametrize("model", [name], ids=[pytest.HIDDEN_PARAM], indirect=True, scope="session")


@pytest.fixture(scope="session")
def model(request: pytest.FixtureRequest) -> "Model":
    """The model that claims are about, loaded once: of the circuit marker, --circuit-model or circuit_model."""
    from circuitcheck import errors, session

    try:
        return session.load_for_session(request.config, getattr(request, "param", None))
    except errors.CircuitError as error:
        problem = f"{type(error).__name__}: {error}"
    pytest.fail(problem, pytrace=False)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    if _makes_a_claim(item):
        item.user_properties.append(("circuit.claim", inspect.getdoc(getattr(item, "function", None)) or ""))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    if not _uses_the_model(item):
        return (yield)
    from circuitcheck import guard

    with guard.watching(item, makes_a_claim=_makes_a_claim(item)):
        return (yield)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if _makes_a_claim(item):
        from circuitcheck import guard

        guard.only_refutation_is_expected(item, call, report)
    return report


def _is_ours(definitions: Any) -> bool:
    """Whether the fixture that a test gets as ``model`` is this plugin's: many suites have one of their own."""
    return bool(definitions) and definitions[-1].func.__module__ == __name__


def _uses_the_model(item: pytest.Item) -> bool:
    info = getattr(item, "_fixtureinfo", None)
    return info is not None and _is_ours(info.name2fixturedefs.get("model"))


def _makes_a_claim(item: pytest.Item) -> bool:
    return _uses_the_model(item) and _marked(item, "claim") is not False


def _marked(node: Any, key: str) -> Any:
    """The nearest value of a key of the ``circuit`` marker."""
    return next((marker.kwargs[key] for marker in node.iter_markers("circuit") if key in marker.kwargs), None)
