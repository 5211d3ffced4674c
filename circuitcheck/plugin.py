"""pytest wiring and nothing else. Only pytest and the standard library are imported before a claim is made."""

import time
from collections.abc import Generator
from typing import TYPE_CHECKING

import pytest

from circuitcheck import ledger
from circuitcheck.report.formats import FORMATS
from circuitcheck.session import guard, strictness
from circuitcheck.session.models_asked import Asked, asked_of, named, read, with_dictionaries
from circuitcheck.session.options import BEGAN, CLAIMS

if TYPE_CHECKING:
    from circuitcheck.model import Model
    from circuitcheck.report.reporter import Reporter

_OPTIONS = {
    "weights": "'processed' (LayerNorm folded, writing weights centred; the default) or 'raw'",
    "bos": "the BOS token in front of text: auto (the default: as the tokenizer adds it, else where it is also EOS), always or never",
    "seed": "seed of the order in which pairs are drawn (default 0); of several, as in 0,1,2, the evidence is averaged",
    "reference": "pairs of a larger population that the means of ablations are made of (default 256)",
    "memory": "memory for runs beside the model, such as 4GB (default: a quarter of what is free when it is loaded)",
    "device": "where the model runs, such as cpu or cuda (default: cuda where there is one), or auto: where transformers' device_map puts it",
    "controls": "other components of its layer beside which a neuron's or a head's effect is shown (default 16), or off",
    "examples": "pairs that a search for a counterexample tries at most (default: of the Hypothesis profile, or 1000)",
    "dtype": "float32 (the default), float64, bfloat16 or float16; 8bit or 4bit, with bitsandbytes and raw weights",
    "budget": "pairs drawn at most from a population that is too large to be evaluated whole (default 1024)",
    "alpha": "error rate of each effect, both sides together (default 0.05)",
    "precision": "half of an effect's interval at most, in its unit: evidence is gathered until it is, or the budget is spent (default: until there is a verdict)",
    "drift": "how far an effect may drift from the lock's when the model has changed (default 0.05, in its unit)",
    "store": "file in which computed numbers are remembered (default .circuitcheck/evidence.sqlite), or off",
    "origin": "any (the default): numbers of the store that other versions or another kind of device computed are taken where it has all of an effect's; or here",
    "github": "auto (the default): in GitHub Actions, a summary of the step and annotations; or off",
    "bound": "mean gaps that one pair of a sample counts for at most (default 2)",
}


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("circuitcheck", "claims about transformer circuits")
    words = "the model that claims are about: 'bundled', 'smollm2' (once fetched), a Hugging Face folder, a cached name, a GGUF file, a native .pt or .safetensors; "
    words += "given again, or a pattern of checkpoints, for several; after it ,dtype=... ,weights=... ,device=... ,revision=... ,adapter=... ,bos=..."
    group.addoption("--circuit-model", action="append", default=None, help=words)
    parser.addini("circuit_model", words, type="linelist", default=[])
    words = "a dictionary (sparse autoencoder, transcoder) attached at a site, whose features are sites: L12.RESID_POST=FOLDER, of SAELens, or "
    words += "Gemma Scope's params.npz; after it ,streams=raw or processed, ,transcoder=yes; given again for several"
    group.addoption("--circuit-dictionary", action="append", default=None, metavar="SITE=PATH", help=words)
    parser.addini("circuit_dictionary", words, type="linelist", default=[])
    for name, help_text in _OPTIONS.items():
        group.addoption(f"--circuit-{name}", default=None, help=help_text)
        parser.addini(f"circuit_{name}", help_text, default=None)
    words = "run supported claims again under mutants that should break them"
    group.addoption("--circuit-mutate", action="store_true", help=words)
    words = "no claim is let off: one that was skipped, not refuted, or not refuted as expected fails too"
    group.addoption("--circuit-strict", action="store_true", help=words)
    parser.addini("circuit_strict", words, type="bool", default=False)
    words = "try known counterexamples alone, and search for no others (see circuitcheck replay)"
    group.addoption("--circuit-replay", action="store_true", help=words)
    words = "say which claims are established at this false discovery rate (e-BH; default 0.05)"
    group.addoption("--circuit-fdr", nargs="?", const=0.05, type=float, default=None, metavar="RATE", help=words)
    words = "update: write circuitcheck.lock; check: say what has changed since"
    group.addoption("--circuit-lock", choices=("update", "check"), default=None, help=words)
    words = "let --circuit-lock=update take in that this claim claims less than before (given again for several; all)"
    group.addoption("--circuit-accept", action="append", default=None, metavar="NODEID", help=words)
    words = "the lock's file (default circuitcheck.lock in pytest's root)"
    group.addoption("--circuit-lock-file", default=None, metavar="PATH", help=words)
    parser.addini("circuit_lock_file", words, default=None)
    words = "check every model that is asked beside this one of the lock, or beside another lock file"
    group.addoption("--circuit-baseline", default=None, metavar="NAME", help=words)
    words = "list the claims with their models and places, and load and decide nothing (-q: their nodeids alone; -qq: nothing but what --circuit-lock=check says)"
    group.addoption("--circuit-list", action="store_true", help=words)
    for name, one in FORMATS.items():
        group.addoption(f"--circuit-{name}", metavar="PATH", default=None, help=one.words)


@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests(early_config: pytest.Config) -> None:
    session = ledger.open_session()
    early_config.add_cleanup(lambda: ledger.close_session(session))


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> None:
    if config.getoption("circuit_list"):
        config.option.collectonly = True  # before other plugins look: nothing is run, by no worker


def pytest_configure(config: pytest.Config) -> None:
    from circuitcheck.report.reporter import Reporter, check_files

    words = "the model of a claim (optional=True: skipped where it is not on this machine; fetch: the command that brings it), dictionaries attached to it, and its error rate; "
    words += "claim=False for a test that only looks at a model; found: how its component was found, which reports say"
    keys = "model=..., dictionary=..., found=..., optional=..., fetch=..., claim=..., alpha=..., budget=..., bound=..., drift=..., precision=..., reference=..."
    config.addinivalue_line("markers", f"circuit({keys}): {words}")
    config.stash[BEGAN] = time.time()
    asked_of(config)  # or raises for what names no model
    if not hasattr(config, "workerinput"):
        check_files(config)
        rate = config.getoption("circuit_fdr")
        if config.getoption("circuit_baseline") and config.getoption("circuit_lock") == "update":
            raise pytest.UsageError("--circuit-baseline is compared with: an update locks each model as it is")
        if rate is not None and not 0 < rate < 1:
            raise pytest.UsageError(f"--circuit-fdr is a rate between 0 and 1, not {rate:g}")
        if config.getoption("circuit_list"):
            from circuitcheck.session.listing import Listing

            config.pluginmanager.register(Listing(config), "circuitcheck-listing")
        else:
            reporter = Reporter(config, rate)
            _tell_github(config, reporter)
            config.pluginmanager.register(reporter, "circuitcheck-reporter")


def _tell_github(config: pytest.Config, reporter: "Reporter") -> None:
    from circuitcheck.session import github

    if github.is_on(config):
        config.pluginmanager.register(github.GitHubActions(config, reporter), "circuitcheck-github")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if guard.is_ours(metafunc._arg2fixturedefs.get("model")):
        config, name = metafunc.config, guard.marked(metafunc.definition, "model")
        # What is asked for now goes before what a claim was written about, and that before the project's default.
        marked = name is not None and named(config) is None
        models = read([name], config.rootpath) if marked else asked_of(config)
        dictionaries = guard.marked(metafunc.definition, "dictionary")
        models = with_dictionaries(config, models, dictionaries)
        if marked or len(models) > 1 or (dictionaries and models):
            ids = [pytest.HIDDEN_PARAM] if len(models) == 1 else [*map(str, models)]
            metafunc.parametrize("model", models, ids=ids, indirect=True, scope="session")


@pytest.hookimpl(optionalhook=True, tryfirst=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> object:
    """Workers under ``-n`` keep to the claims of a model; what ``--dist`` says otherwise stays."""
    if config.getoption("dist", "no") != "load" or not asked_of(config):
        return None
    from circuitcheck.session.xdist_scheduling import ClaimScheduling

    return ClaimScheduling(config, log, [str(asked) for asked in asked_of(config)])


@pytest.hookimpl(optionalhook=True, tryfirst=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int | None:
    """``-n auto`` counts GPUs, or what memory there is for models, where claims have a model."""
    from circuitcheck.session import options, resources

    return resources.processes(asked_of(config), config.rootpath, options.option(config, "device"))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for item in items:
        guard.settings_of(item)
    config.stash[CLAIMS] = sum(guard.makes_a_claim(item) for item in items)


@pytest.fixture(scope="session")
def model(request: pytest.FixtureRequest) -> "Model":
    """The model that claims are about, loaded once: of --circuit-model, the circuit marker or circuit_model."""
    from circuitcheck import errors
    from circuitcheck.session import loading

    asked: Asked | None = getattr(request, "param", None)
    try:
        return loading.load_for_session(request.config, asked)
    except errors.ModelMissing:
        raise  # which is for each test to judge: see guard.watching_setup
    except errors.CircuitError as error:
        problem = f"{type(error).__name__}: {error}"
    pytest.fail(problem, pytrace=False)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    with (
        ledger.opened(guard.settings_of(item), item.nodeid, guard.marked(item, "found") or ""),
        guard.watching_whole(item),
    ):
        result = yield
    guard.tell_late(item.session)
    return result


@pytest.hookimpl(wrapper=True)
def pytest_runtestloop(session: pytest.Session) -> Generator[None, object, object]:
    try:
        return (yield)
    finally:
        guard.tell_late(session, wait=True)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> Generator[None, object, object]:
    guard.begin_attempt(item)
    if guard.makes_a_claim(item):
        guard.introduce(item)
    with guard.watching_setup(item):
        return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    with guard.watching_call(item):
        return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item) -> Generator[None, object, object]:
    with guard.watching_teardown(item):
        return (yield)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    if call.when == "setup" and call.excinfo is not None:
        guard.note_setup(item)
    report = yield
    if guard.makes_a_claim(item):
        guard.no_verdict_is_taken_back(call, report)
        guard.only_refutation_is_expected(item, call, report)
        strictness.hold_to_account(item, call, report)
    return report
