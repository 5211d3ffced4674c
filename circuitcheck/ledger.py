"""What a running test asked of models, and the results: one ledger a test, from its set-up to its teardown.

A list of the process and not of a context: a claim that a test makes in a thread of its own is a claim of that test, also
when the thread outlives it. In a pytest session claims are made in tests: outside of one, and in a process that a test has
forked, where nobody would see what comes of them, comparisons are errors.
"""

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol
from weakref import WeakKeyDictionary

from circuitcheck.errors import ComparisonError

_IN_TESTS = (
    "claims are made in tests, and this comparison is made outside of one (at import, at collection or in parametrize), where "
    "nobody would see what comes of it: compare inside a test function or a fixture; an effect itself may be made anywhere"
)
_FORKED = (
    "this comparison is made in a process that the test has forked, where pytest does not see what comes of it: compare in the "
    "test's own process"
)


class Decided(Protocol):
    """A verdict, of which a test's ledger knows so much."""

    asserted: bool
    examples: int

    @property
    def decision(self) -> str: ...
    @property
    def claim(self) -> str: ...
    @property
    def measurement(self) -> Any: ...


@dataclass(eq=False)
class Ledger:
    """The models that were asked, the verdicts that were reached or asserted, and the sweeps that were made, in order; the
    test's own settings and its name; and by a model's name how it differed from what was loaded when it was asked.
    ``found``: how what it claims was found, in words; ``undecided`` has the labels of comparisons that ended without a verdict, and that no report has told of; ``reported`` counts the verdicts that a failure, or an expected one, has told of, ``judged`` those that the test's outcome has
    taken into account; ``unwritten`` has a line for each file that could not be written. ``outside``: of a session between its
    tests; ``process``: the one that the test runs in."""

    models: list[Any] = field(default_factory=list)
    verdicts: list[Any] = field(default_factory=list)
    sweeps: list[Any] = field(default_factory=list)
    settings: dict[str, Any] = field(default_factory=dict)
    test: str = ""
    found: str = ""
    changes: dict[str, str] = field(default_factory=dict)
    undecided: list[str] = field(default_factory=list)
    reported: int = 0
    unwritten: list[str] = field(default_factory=list)
    judged: int = 0
    outside: bool = False
    process: int = field(default_factory=os.getpid)

    def restart(self) -> None:
        """Begin anew: another attempt at the test, in whichever process that is made."""
        for noted in (self.models, self.verdicts, self.sweeps, self.undecided, self.unwritten):
            noted.clear()
        self.changes.clear()
        self.reported, self.judged, self.process = 0, 0, os.getpid()


# The tests that threads were started by; None of those that were there before any test.
_started: "WeakKeyDictionary[threading.Thread, Ledger | None]" = WeakKeyDictionary()
_open: list[Ledger] = []


@contextmanager
def opened(settings: dict[str, Any] | None = None, test: str = "", found: str = "") -> Iterator[Ledger]:
    """A new ledger, in force inside the block; with the settings of the one before where none are given."""
    before = current()
    ledger = Ledger(
        settings=before.settings if settings is None else settings,
        test=test or before.test,
        found=found or before.found,
    )
    with in_force(ledger):
        yield ledger


@contextmanager
def in_force(ledger: Ledger) -> Iterator[None]:
    """A ledger is in force inside the block; threads that are started there are its test's from then on."""
    _attribute_threads(None)
    _open.append(ledger)
    try:
        yield
    finally:
        _attribute_threads(ledger)
        _open.remove(ledger)


def open_session() -> Ledger:
    """Begin a session in which claims are made in tests alone; ``close_session`` takes its ledger."""
    _open.append(Ledger(outside=True))
    return _open[-1]


def close_session(ledger: Ledger) -> None:
    if ledger in _open:
        _open.remove(ledger)


def current() -> Ledger:
    """The ledger in force: of the test that started this thread, otherwise of the running one; where there is no test, one that
    nobody reads."""
    of_thread = _started.get(threading.current_thread())
    if of_thread is not None and not _is_of_a_pool(threading.current_thread()):
        return of_thread
    return _open[-1] if _open else Ledger()


def threads_of(ledgers: "list[Ledger]") -> list[threading.Thread]:
    """The threads that some tests have started and that go on."""
    return [
        thread
        for thread, ledger in list(_started.items())
        if ledger is not None and ledger in ledgers and thread.is_alive() and not _is_of_a_pool(thread)
    ]


def _attribute_threads(ledger: Ledger | None) -> None:
    """Note of threads that were started since the last time which test they are of."""
    for thread in threading.enumerate():
        if thread is not threading.current_thread() and thread not in _started:
            _started[thread] = ledger


def _is_of_a_pool(thread: threading.Thread) -> bool:
    """Whether a thread works for whoever has something to do, and not for the test that happened to start it."""
    pools = sys.modules.get("concurrent.futures.thread")
    if pools is not None and thread in getattr(pools, "_threads_queues", ()):
        return True
    return type(thread).__module__ == "multiprocessing.dummy"


def _check_seen(ledger: Ledger) -> None:
    """Raises ``ComparisonError`` where nobody would see what comes of a comparison."""
    if ledger.outside:
        raise ComparisonError(_IN_TESTS)
    if ledger.process != os.getpid():
        raise ComparisonError(_FORKED)


@contextmanager
def undone_by(error: type[Exception]) -> Iterator[None]:
    """What is noted inside the block is forgotten where the block ends in this error."""
    ledger = current()
    lists: list[list[Any]] = [ledger.models, ledger.verdicts, ledger.sweeps, ledger.undecided, ledger.unwritten]
    before = [len(some) for some in lists]
    try:
        yield
    except error:
        for some, length in zip(lists, before, strict=True):
            del some[length:]
        raise


def note_model(model: object) -> None:
    """A model was asked about a population."""
    current().models.append(model)


def note_change(model: str, words: str) -> None:
    """A model was asked that is not as it was loaded."""
    current().changes[model] = words


def note_undecided(label: str) -> None:
    """A comparison ended without a verdict: what it was to be a share of was not established to be there."""
    ledger = current()
    _check_seen(ledger)
    ledger.undecided.append(label)


def note_sweep(sweep: object) -> None:
    """Many sites were looked at."""
    current().sweeps.append(sweep)


def note_verdict(verdict: Decided) -> None:
    """A verdict was reached, or asserted in another test than the one that reached it. Of the same claim about each example
    of a Hypothesis test, one is kept: that of the last example, or the first that is not as it should be."""
    ledger = current()
    _check_seen(ledger)
    verdicts = ledger.verdicts
    if any(known is verdict for known in verdicts):
        return
    for place, known in enumerate(verdicts if verdict.measurement.is_example else []):
        if known.claim == verdict.claim and known.measurement.is_example:
            known.examples = verdict.examples = known.examples + 1
            if known.asserted and known.decision == "supported":
                verdicts[place] = verdict
            return
    verdicts.append(verdict)
