"""The claims of a session, read from its test reports."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from circuitcheck.drawing.heatmaps import SweepFields
from circuitcheck.records.report_fields import ClaimFields, EffectFields, ModelFields, SettingsFields
from circuitcheck.report.properties import from_properties

# A claim is as good as its worst comparison.
_ORDER = ("refuted", "inconclusive", "unrefuted", "supported")
# What stays a test's outcome, whatever the outcome of its later phases.
_FAILED = ("failed", "error")


@dataclass
class Claim:
    """One test that made a claim: what it says, and its outcome. ``verdict`` is "undecided" where none was reached, and
    "skipped" where the test was.

    ``explanation`` is the message of the exception that ended the test, or why it was skipped; ``problem`` its first line.
    Where several models were asked, ``asked`` is this one as it was asked for, and ``test`` the nodeid without it; ``file`` (relative to pytest's rootdir)
    and ``line`` are where the test is; ``sweeps`` are those that it made, where a report asks for them; ``settings`` those of
    its draws, under a lock. ``lock_state``: how it compares to the lock's entry (holds, changed, drifted, behaviour absent, broken), empty where
    it was not compared; ``changed``: what has changed, in words; ``baseline``: the model that it was compared with, where that is
    named.
    """

    nodeid: str
    words: str
    outcome: str
    problem: str = ""
    effects: list[EffectFields] = field(default_factory=list)
    model: ModelFields | None = None
    mutants: dict[str, str] = field(default_factory=dict)
    test: str = ""
    explanation: str = ""
    file: str = ""
    line: int | None = None
    sweeps: list[SweepFields] = field(default_factory=list)
    asked: str | None = None
    settings: SettingsFields | None = None
    lock_state: str = ""
    changed: list[str] = field(default_factory=list)
    baseline: str = ""

    def __post_init__(self) -> None:
        self.test = self.test or self.nodeid

    @property
    def verdict(self) -> str:
        if self.outcome == "skipped" and not self.effects:
            return "skipped"
        reached = [effect["verdict"] for effect in self.effects]
        return min(reached, key=_ORDER.index, default="undecided")

    @property
    def title(self) -> str:
        """What it claims, in a line, with its parameters; or its test's name."""
        name = self.test.rpartition("::")[2]
        if not self.words.strip():
            return name
        _, bracket, parameters = name.partition("[")
        return f"{self.words.splitlines()[0]}{' ' if bracket else ''}{bracket}{parameters}"

    @property
    def is_off(self) -> bool:
        """Whether it is not as in the lock."""
        return self.lock_state not in ("", "holds")

    @property
    def standing(self) -> str:
        """The verdict in words, with the test's outcome and how it compares to the lock's."""
        if self.outcome == "xfailed":
            told = f"{self.verdict}, as expected"
        else:
            failed = self.failed and self.verdict in ("supported", "unrefuted", "skipped")
            told = f"{self.verdict}, and failed" if failed else self.verdict
        return f"{told}, {self.lock_state}" if self.is_off else told

    @property
    def step(self) -> int | None:
        """The training step of its model; None where that is no checkpoint."""
        return None if self.model is None else self.model["step"]

    @property
    def failed(self) -> bool:
        """Whether the test failed, whatever became of its claims."""
        return self.outcome in _FAILED

    @property
    def decisive(self) -> EffectFields | None:
        """The first of the comparisons that gave the verdict; of several effects that are claimed of together, what sums them
        up."""
        deciding = [effect for effect in self.effects if effect["verdict"] == self.verdict]
        return next((effect for effect in deciding if "member" not in effect), next(iter(deciding), None))

    @property
    def more(self) -> str:
        """How many comparisons were made beside the decisive one, in words."""
        others = sum("member" not in effect for effect in self.effects) - 1
        return f" and {others} more" if others > 0 else ""

    @property
    def e_value(self) -> float:
        """The evidence for all that the test claims, as what a bet against its contrary has won; 0 where it was not reached."""
        values = [math.inf if effect["e_value"] is None else float(effect["e_value"]) for effect in self.effects]
        return min(values, default=0.0) if self.outcome == "passed" else 0.0

    def as_json(self) -> ClaimFields:
        content: ClaimFields = {
            "nodeid": self.nodeid,
            "test": self.test,
            "file": self.file,
            "line": self.line,
            "claim": self.words,
            "verdict": self.verdict,
            "outcome": self.outcome,
            "problem": self.problem,
            "explanation": self.explanation,
            "model": self.model and self.model["name"],
            "fingerprint": self.model and self.model["fingerprint"],
            "asked": self.asked,
            "mutants": self.mutants,
            "sweeps": self.sweeps,
            "effects": self.effects,
        }
        if self.settings is not None:
            content["settings"] = self.settings
        return content


@dataclass(frozen=True)
class LockReport:
    """What is said of the lock: lines, and whether it holds (or was written); of each claim that stands next to one of the lock what
    came of it, by its test. ``baseline``: the model that all were compared with."""

    lines: list[str] = field(default_factory=list)
    holds: bool = True
    states: dict[str, str] = field(default_factory=dict)
    baseline: str = ""
    path: Path = Path()


class ClaimCollector:
    """Gathers claims from reports as they come in, in the controller or the only process; what was wrong with the store, and
    with other files that tests write; and the tests whose model was not as it was loaded, by its name and how it differed."""

    def __init__(self) -> None:
        self.claims: dict[str, Claim] = {}
        self.unwritten: dict[str, None] = {}
        self.of_store: dict[str, None] = {}
        self.changed: dict[tuple[str, str], list[str]] = {}

    def in_order(self, nodeids: Sequence[str]) -> None:
        """Put the claims into the order of their collection: workers finish them in any."""
        place = {nodeid: number for number, nodeid in enumerate(nodeids)}
        self.claims = dict(sorted(self.claims.items(), key=lambda item: place.get(item[0], len(place))))

    def add(self, report: pytest.TestReport) -> None:
        """Take in a report of any phase; later phases know more, and a failure in one is the claim's outcome."""
        content = from_properties(report.user_properties)
        if "claim" not in content:
            return
        if (
            str(report.outcome) == "rerun"
        ):  # by pytest-rerunfailures: another attempt follows, and is the test's outcome
            self.claims[report.nodeid] = Claim(report.nodeid, str(content["claim"] or ""), "not run")
            self.changed = {
                key: left for key, tests in self.changed.items() if (left := [t for t in tests if t != report.nodeid])
            }
            return
        claim = self.claims.setdefault(report.nodeid, Claim(report.nodeid, str(content["claim"] or ""), "not run"))
        claim.test = str(content.get("test", claim.test))
        claim.asked = content.get("asked")
        self.unwritten |= dict.fromkeys(content.get("unwritten", []))
        self.of_store |= dict.fromkeys(content.get("store", []))
        for model, words in content.get("changed", {}).items():
            tests = self.changed.setdefault((model, words), [])
            tests += [] if report.nodeid in tests else [report.nodeid]
        claim.file, line, _ = report.location
        claim.line = None if line is None else line + 1
        claim.model = content.get("model", claim.model)
        claim.settings = content.get("settings", claim.settings)
        claim.mutants = content.get("mutants", claim.mutants)
        claim.sweeps = content.get("sweeps", claim.sweeps)
        claim.effects = [effect for key, effect in content.items() if key.isdigit()]
        if explanation := _explanation(report):
            claim.explanation, claim.problem = explanation, _first(explanation)
        outcome = _outcome(report)
        if outcome in _FAILED or (outcome is not None and claim.outcome not in _FAILED):
            claim.outcome = outcome

    def models(self) -> list[ModelFields]:
        """Each model that claims were made about, once."""
        found: dict[tuple[str, str | None], ModelFields] = {}
        for claim in self.claims.values():
            if claim.model is not None:
                found[claim.model["fingerprint"], claim.asked] = {**claim.model, "asked": claim.asked}
        return list(found.values())


def established(collector: ClaimCollector, rate: float) -> list[Claim]:
    """The claims of which at most a share ``rate`` is expected to be false, whatever they have in common: e-BH (Wang & Ramdas
    2022), the most claims of which each has an e-value of at least all / (established * rate)."""
    # A claim that came to no verdict was a claim: whether it does may depend on the evidence.
    claims = [claim for claim in collector.claims.values() if claim.outcome != "skipped"]
    ordered = sorted(claims, key=lambda claim: -claim.e_value)
    enough = [n for n, claim in enumerate(ordered, start=1) if claim.e_value >= len(claims) / (n * rate)]
    return ordered[: max(enough, default=0)]


def _explanation(report: pytest.TestReport) -> str:
    """What ended the test, in words; empty where nothing did."""
    if report.passed:  # to which xdist adds where it ran
        return ""
    if isinstance(report.longrepr, tuple):  # of a skip: where, and why
        return str(report.longrepr[2]).removeprefix("Skipped: ")
    crash = getattr(report.longrepr, "reprcrash", None)
    return report.longreprtext if crash is None else str(crash.message).removeprefix("Failed: ")


def _first(explanation: str) -> str:
    """An explanation in a line: of pytest's own, which begin with the source, that of the error."""
    lines = explanation.splitlines()
    return next((line[1:].strip() for line in lines if line.startswith("E  ")), lines[0])


def _outcome(report: pytest.TestReport) -> str | None:
    """The word for a phase's outcome, None where the phase adds nothing."""
    if hasattr(report, "wasxfail"):
        return "xfailed" if report.skipped else "xpassed"
    if report.when == "call" or (report.when == "setup" and report.skipped):
        return str(report.outcome)
    return "error" if report.failed else None
