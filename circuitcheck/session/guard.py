"""What a claim test may not do: end undecided, leave a verdict unasserted, or expect a failure that is no refutation."""

import inspect
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pytest

from circuitcheck import ledger
from circuitcheck.errors import CircuitError, ClaimRefuted, ModelMissing
from circuitcheck.records.files import told_in_a_line
from circuitcheck.report.properties import CLAIM, PREFIX, to_properties
from circuitcheck.session import mutation, strictness
from circuitcheck.session.models_asked import Asked, named
from circuitcheck.session.options import locks
from circuitcheck.texts import encodable, plain, without

if TYPE_CHECKING:
    from circuitcheck.claims.verdicts import Verdict

_PACKAGE = str(Path(__file__).parents[1])
# What a marker may set of the session's numbers, from and to.
NUMBERS = {
    "alpha": (1e-9, 0.5),
    "budget": (32, 10**9),
    "bound": (0.1, 100),
    "precision": (1e-9, 10**6),
    "reference": (12, 10**9),
    "drift": (1e-9, 10),
}
_WHOLE = ("budget", "reference")
_HOLDS = ("supported", "unrefuted")
# What ends the whole session in the middle of a test.
_ENDS = (KeyboardInterrupt, pytest.exit.Exception)
_SWITCHES = ("claim", "optional")
_WORDS = ("found", "fetch")
# Tests that were run, with their outcomes; and how long their threads are waited for at the end of a session.
_ENDED = pytest.StashKey[list[tuple[pytest.Item, ledger.Ledger]]]()
_WAIT_S = 5.0
_LOOKING = "A test that only looks is marked @pytest.mark.circuit(claim=False)."


@contextmanager
def watching_setup(item: pytest.Item) -> Iterator[None]:
    """Around a test's set-up: a claim whose model is not on this machine is an error, or skipped where it may be."""
    try:
        yield
        return
    except ModelMissing as error:
        missing = error
    asked_for = named(item.config) is not None
    if not asked_for and (command := marked(item, "fetch")):
        missing = ModelMissing(missing.name, command)
    if marked(item, "optional") and not asked_for:
        pytest.skip(f"{missing.name} is not on this machine; fetch it with: {missing.fetch}")
    pytest.fail(f"ModelMissing: {missing}", pytrace=False)


@contextmanager
def watching_call(item: pytest.Item) -> Iterator[None]:
    """Around a test's call: what it decided goes into its report, and a misuse of claims fails it."""
    try:
        yield
    except BaseException as error:
        _cut_traceback(item, error)
        raise
    finally:
        if makes_a_claim(item):
            with told_in_a_line(ledger.current().unwritten, "could not write to the store what was decided"):
                _keep_decisions(item)
            _add_properties(item)
    if makes_a_claim(item):
        _refuse_misuse(item, ledger.current().verdicts)
    if makes_a_claim(item) and item.config.getoption("circuit_mutate"):
        found = mutation.outcomes(item.runtest, ledger.current().verdicts)
        item.user_properties += to_properties(
            {"mutants": {name.replace(" ", "_"): what for name, what in found.items()}}
        )


@contextmanager
def watching_teardown(item: pytest.Item) -> Iterator[None]:
    """Around a test's teardown, where a fixture may go on to compare."""
    before = len(ledger.current().verdicts)
    try:
        yield
    finally:
        late = ledger.current().verdicts[before:]
        ledger.current().judged = before + len(late)
        if late and makes_a_claim(item):
            _add_properties(item)
    if late and makes_a_claim(item):
        _refuse_misuse(item, late)


@contextmanager
def watching_whole(item: pytest.Item) -> Iterator[None]:
    """Around all of a test: where the session ends in the middle of it (Ctrl-C, ``pytest.exit``), what has come out against
    its claims is a failure all the same."""
    try:
        yield
        item.session.stash.setdefault(_ENDED, []).append((item, ledger.current()))
    except _ENDS as error:
        against = _against()
        if any(against) and makes_a_claim(item):
            _add_properties(item)
            told = _taken_back(against, f"the session ended ({type(error).__name__}: {error})", "an early end")
            item.ihook.pytest_runtest_logreport(report=_failure(item, told))
        raise


def begin_attempt(item: pytest.Item) -> None:
    """A test that is run again (as by pytest-rerunfailures) is one test: what earlier attempts came to is not its outcome."""
    ledger.current().restart()
    item.user_properties[:] = [(key, value) for key, value in item.user_properties if not key.startswith(PREFIX)]


def tell_late(session: pytest.Session, wait: bool = False) -> None:
    """Fail tests whose threads went on after them, and decided something against their claims. ``wait``: for those threads, so
    long as is no trouble."""
    ended = session.stash.setdefault(_ENDED, [])
    if wait:
        until = time.monotonic() + _WAIT_S
        asked = [one for _, one in ended if one.models or one.verdicts]
        for thread in ledger.threads_of(asked):
            thread.join(max(0.0, until - time.monotonic()))
    going_on = [test for _, test in ended if ledger.threads_of([test])]
    for item, test in ended:
        late, test.judged = test.verdicts[test.judged :], len(test.verdicts)
        against = [one for one in late if one.decision not in _HOLDS or not one.asserted]
        if against and makes_a_claim(item, test):
            with ledger.in_force(test):
                _add_properties(item)
            told = f"{against[0].claim} came out {against[0].decision} in a thread of the test, after the test had ended: join it"
            item.ihook.pytest_runtest_logreport(report=_failure(item, plain(told)))
    ended[:] = [(item, test) for item, test in ended if test in going_on]


def note_setup(item: pytest.Item) -> None:
    """What a fixture decided before it failed goes into the report of the set-up."""
    if makes_a_claim(item):
        _add_properties(item)


def makes_a_claim(item: pytest.Item, test: ledger.Ledger | None = None) -> bool:
    """The test has this plugin's ``model``, or asked a model in any other way, and does not say that it only looks."""
    test = test or ledger.current()
    asked = bool(test.models or test.verdicts)
    return (asked or uses_the_fixture(item)) and marked(item, "claim") is not False


def uses_the_fixture(item: pytest.Item) -> bool:
    """Whether what the test gets as ``model`` is this plugin's fixture: many suites have one of their own."""
    info = getattr(item, "_fixtureinfo", None)
    return info is not None and is_ours(info.name2fixturedefs.get("model"))


def is_ours(definitions: Any) -> bool:
    """Whether the last of a name's fixture definitions, which wins, is this plugin's."""
    return bool(definitions) and definitions[-1].func.__module__ == "circuitcheck.plugin"


def marked(node: Any, key: str) -> Any:
    """The nearest value of a key of the ``circuit`` marker; raises ``UsageError`` for a marker that says nothing."""
    for marker in node.iter_markers("circuit"):
        wrong = [
            *map(repr, marker.args),
            *(set(marker.kwargs) - {"model", "dictionary", *_WORDS, *_SWITCHES, *NUMBERS}),
        ]
        wrong += [
            f"{name}={marker.kwargs[name]!r}"
            for name in _SWITCHES
            if not isinstance(marker.kwargs.get(name, True), bool)
        ]
        wrong += [
            f"{name}={marker.kwargs[name]!r}" for name in _WORDS if not isinstance(marker.kwargs.get(name, ""), str)
        ]
        for name, (least, most) in NUMBERS.items():
            given = marker.kwargs.get(name, most)
            kinds = int if name in _WHOLE else int | float
            if isinstance(given, bool) or not isinstance(given, kinds) or not least <= given <= most:
                wrong.append(f"{name}={given!r}")
        if wrong:
            raise pytest.UsageError(
                f"{plain(node.nodeid)}: @pytest.mark.circuit takes model=NAME_OR_PATH, dictionary='SITE=PATH', claim= and optional=True or False, found= and fetch= in words, and numbers "
                f"for alpha, budget, bound, drift, precision and reference, not {wrong[0]}"
            )
    return next((marker.kwargs[key] for marker in node.iter_markers("circuit") if key in marker.kwargs), None)


def settings_of(item: pytest.Item) -> dict[str, Any]:
    """What the circuit marker sets for one test alone."""
    return {name: value for name in NUMBERS if (value := marked(item, name)) is not None}


def no_verdict_is_taken_back(call: pytest.CallInfo[None], report: pytest.TestReport) -> None:
    """Turn a skip, or ``pytest.xfail()``, into a failure where a comparison has come out against the claim before it."""
    error = None if call.excinfo is None else call.excinfo.value
    by_hand = isinstance(error, pytest.xfail.Exception)
    against = _against()
    if report.skipped and any(against) and (by_hand or not hasattr(report, "wasxfail")):
        what, way = ("expected to fail", "pytest.xfail()") if by_hand else ("skipped", "a skip")
        why = f" ({error})" if str(error or "") else ""
        report.outcome = "failed"
        report.longrepr = _taken_back(against, f"the test was {what}{why}", way)
        vars(report).pop("wasxfail", None)
    if (report.failed and not isinstance(error, _ENDS)) or is_refutation(error):
        ledger.current().reported = len(ledger.current().verdicts)
        ledger.current().undecided.clear()


def is_refutation(error: BaseException | None) -> bool:
    """Whether a comparison of the running test has raised it: anybody can raise a ``ClaimRefuted``."""
    refuted = any(verdict.decision == "refuted" for verdict in ledger.current().verdicts)
    return isinstance(error, ClaimRefuted) and error.of_comparison and refuted


def only_refutation_is_expected(item: pytest.Item, call: pytest.CallInfo[None], report: pytest.TestReport) -> None:
    """Turn an expected failure back into a failure unless a claim was refuted, or the test was not to be run at all."""
    if not (hasattr(report, "wasxfail") and report.skipped and call.excinfo is not None):
        return
    error = call.excinfo.value
    not_to_be_run = isinstance(error, pytest.xfail.Exception) and call.when == "setup"
    if is_refutation(error) or not_to_be_run:
        return
    report.outcome = "failed"
    report.longrepr = item.repr_failure(call.excinfo)
    words = "Only ClaimRefuted can be an expected failure (xfail) of a claim, as a comparison raises it."
    report.sections.append(("circuitcheck", words))
    del report.wasxfail


def _add_properties(item: pytest.Item) -> None:
    """The claim in words, its verdicts and its model, for every reporter."""
    introduce(item)
    verdicts = ledger.current().verdicts
    content: dict[str, Any] = {str(n): verdict.as_json() for n, verdict in enumerate(verdicts)}
    if locks(item.config):
        for n, verdict in enumerate(verdicts):
            found = verdict.measurement
            content[str(n)] |= {
                "pairs": found.numbers(),
                "gap": content[str(n)]["gap"] if found.behaviour.gap is None else found.behaviour.gap,
                "accuracy": found.behaviour.accuracy,
                "gap_unit": found.behaviour.unit,
                "prompts": found.describe_prompts(),
            }
    if item.config.getoption("circuit_html") or item.config.getoption("circuit_json"):
        for n, verdict in enumerate(verdicts):
            content[str(n)] |= verdict.measurement.spread()
        if ledger.current().sweeps:
            content["sweeps"] = [sweep.as_json() for sweep in ledger.current().sweeps]
    if ledger.current().changes:
        content["changed"] = ledger.current().changes
    if ledger.current().unwritten:
        content["unwritten"] = ledger.current().unwritten
    asked: list[Any] = [(getattr(item, "funcargs", None) or {}).get("model"), *ledger.current().models]
    if hasattr(asked[-1], "describe"):
        content["model"] = asked[-1].describe()
        if locks(item.config):
            content["settings"] = asked[-1].settings.told(ledger.current().settings)
    known = dict(to_properties(content))
    item.user_properties[:] = [(key, value) for key, value in item.user_properties if key not in known]
    item.user_properties += known.items()


def _keep_decisions(item: pytest.Item) -> None:
    """What the comparisons rested on goes into the store, for ``circuitcheck decide``, unless the test changed its model; what is
    wrong with the store is reported."""
    verdicts = ledger.current().verdicts
    if not verdicts or ledger.current().changes:
        return
    from circuitcheck.records.decisions import as_text
    from circuitcheck.session.loading import store_of

    if (store := store_of(item.config)) is None:
        return
    for model in dict.fromkeys(verdict.measurement.fingerprint for verdict in verdicts):
        of_model = [verdict for verdict in verdicts if verdict.measurement.fingerprint == model]
        # What sums several effects up says of its members, too, that they are not decided again.
        kept = [as_text(one.asked(), one.evidence, one.why_final) for one in of_model if not one.is_member]
        store.decided(item.nodeid, model, kept)
    if store.messages:
        item.user_properties += to_properties({"store": store.messages})


def introduce(item: pytest.Item) -> None:
    """The claim in words and its test, for every reporter, before anything is done."""
    if not any(key == CLAIM for key, _ in item.user_properties):
        item.user_properties.append((CLAIM, words(item)))
        if asked := _asked_among_several(item):
            item.user_properties += [("circuit.test", without(item.nodeid, asked)), ("circuit.asked", asked)]


def _asked_among_several(item: pytest.Item) -> str | None:
    """The model of several that this test is about, as it was asked for; None where there is but one."""
    callspec = getattr(item, "callspec", None)
    asked = callspec.params.get("model") if callspec is not None else None
    return str(asked) if isinstance(asked, Asked) and without(item.nodeid, str(asked)) != item.nodeid else None


def words(item: pytest.Item) -> str:
    """The claim in words: the test's docstring."""
    return encodable(inspect.getdoc(getattr(item, "function", None)) or "")


def _against() -> tuple[str, str]:
    """What came out against the running test's claims, and no report has told of so far, with what it rests on; empty texts
    where nothing did."""
    test = ledger.current()
    found = [verdict for verdict in test.verdicts[test.reported :] if verdict.decision not in _HOLDS]
    if found:
        return f"{found[0].claim} came out {found[0].decision}", f"\n{found[0].line}"
    return (f"{test.undecided[0]} was compared and came out inconclusive", "") if test.undecided else ("", "")


def _taken_back(against: tuple[str, str], then: str, way: str) -> str:
    return plain(f"{against[0]}, and then {then}: {way} takes no verdict back.{against[1]}")


def _failure(item: pytest.Item, told: str) -> pytest.TestReport:
    """A report of a test that pytest itself will not report on."""
    keywords: dict[str, Literal[1]] = dict.fromkeys(item.keywords, 1)
    properties = list(item.user_properties)
    return pytest.TestReport(item.nodeid, item.location, keywords, "failed", told, "call", user_properties=properties)


def _refuse_misuse(item: pytest.Item, verdicts: "Sequence[Verdict]") -> None:
    """Fail a test that passed so far and must not pass."""
    if problem := _misuse(verdicts) or strictness.unrefuted(item.config, verdicts):
        pytest.fail(plain(problem), pytrace=False)


def _misuse(verdicts: "Sequence[Verdict]") -> str:
    """Why a test that passed so far must not pass; empty where it may."""
    if not verdicts:
        return f"this test used the model and passed without deciding a claim: assert a comparison of an effect.\n{_LOOKING}"
    if undecided := ledger.current().undecided:
        return f"{undecided[0]} was compared and came out inconclusive, and the test passed all the same."
    for verdict in verdicts:
        if not verdict.asserted:
            return f"a comparison was made and never asserted: {verdict.claim} came out {verdict.decision}.\n{_LOOKING}"
        if verdict.decision not in _HOLDS:
            return f"{verdict.claim} came out {verdict.decision}, and the test passed all the same: claim the opposite, or xfail."
    return ""


def _cut_traceback(item: pytest.Item, error: BaseException) -> None:
    """End the traceback of a deliberate error where the user's code called into circuitcheck."""
    if not isinstance(error, CircuitError):
        return
    in_test, frame = False, error.__traceback__
    while frame is not None and frame.tb_next is not None:
        in_test = in_test or frame.tb_frame.f_code.co_filename == str(item.path)
        if in_test and frame.tb_next.tb_frame.f_code.co_filename.startswith(_PACKAGE):
            frame.tb_next = None
            return
        frame = frame.tb_next
