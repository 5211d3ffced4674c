"""What a running test asked of models and what came of it: one ledger a test, from its set-up to its teardown.

A list of the process and not of a context: a claim that a test makes in a thread of its own is a claim of that test.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol


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


@dataclass
class Ledger:
    """The models that were asked, the verdicts that were reached or asserted, and the sweeps that were made, in order; the
    test's own settings and its name; and by a model's name how it differed from what was loaded when it was asked.
    ``undecided`` has the labels of comparisons that ended without a verdict, and that no report has told of; ``reported`` counts the verdicts that a failure, or an expected one, has told of; ``unwritten`` has a line for each file
    that could not be written."""

    models: list[Any] = field(default_factory=list)
    verdicts: list[Any] = field(default_factory=list)
    sweeps: list[Any] = field(default_factory=list)
    settings: dict[str, Any] = field(default_factory=dict)
    test: str = ""
    changes: dict[str, str] = field(default_factory=dict)
    undecided: list[str] = field(default_factory=list)
    reported: int = 0
    unwritten: list[str] = field(default_factory=list)


_open: list[Ledger] = []


@contextmanager
def opened(settings: dict[str, Any] | None = None, test: str = "") -> Iterator[Ledger]:
    """A new ledger, in force inside the block; with the settings of the one before where none are given."""
    ledger = Ledger(settings=current().settings if settings is None else settings, test=test or current().test)
    _open.append(ledger)
    try:
        yield ledger
    finally:
        _open.remove(ledger)


def current() -> Ledger:
    """The ledger in force; outside a test, one that nobody reads."""
    return _open[-1] if _open else Ledger()


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
    current().undecided.append(label)


def note_sweep(sweep: object) -> None:
    """Many sites were looked at."""
    current().sweeps.append(sweep)


def note_verdict(verdict: Decided) -> None:
    """A verdict was reached, or asserted in another test than the one that reached it. Of the same claim about each example
    of a Hypothesis test, one is kept: that of the last example, or the first that is not as it should be."""
    verdicts = current().verdicts
    if any(known is verdict for known in verdicts):
        return
    for place, known in enumerate(verdicts if verdict.measurement.is_example else []):
        if known.claim == verdict.claim and known.measurement.is_example:
            known.examples = verdict.examples = known.examples + 1
            if known.asserted and known.decision == "supported":
                verdicts[place] = verdict
            return
    verdicts.append(verdict)
