"""What comparisons rested on, kept as text: another threshold is decided from it, without a model.

A threshold may be chosen after the evidence was seen: the confidence sequence holds for all of them at once. Another error
rate, site or population may not, and what is decided of them is marked *post hoc*.
"""

import json
import warnings
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from circuitcheck.errors import StoreError
from circuitcheck.records.fields import NUMBER, NUMBER_OR_NULL, TEXT, wrong
from circuitcheck.records.files import reason
from circuitcheck.statistics.evidence import Decision, Evidence, Order
from circuitcheck.statistics.reference_parts import Parts
from circuitcheck.units import certainty, counted, statement, written

_ARRAYS = ("shift", "base", "doubt")
_SAID = ("alpha", "whole", "limits", "scale", "bound", "rounding", "noise", "clusters", "counted", "spent")
# What must be the same for one site, or population, to stand in another's place.
METHOD = ("verb", "value", "direction", "frozen", "readout")

_FIELDS = {
    **dict.fromkeys(
        ("label", "operator", "unit", "counted", "model", "site", "population", "population_id", *METHOD), TEXT
    ),
    **dict.fromkeys(("threshold", "n"), NUMBER),
    "margin": NUMBER_OR_NULL,
}


@dataclass(frozen=True)
class Kept:
    """A comparison that was decided: what it said, and its evidence."""

    test: str
    said: dict[str, Any]
    evidence: Evidence

    @property
    def site(self) -> str:
        return str(self.said["site"])

    @property
    def population(self) -> str:
        return str(self.said["population_id"])

    def stands_for(self, other: "Kept", site: str | None, population: str | None) -> bool:
        """Whether it is what ``other`` is, of another site or population."""
        same = all(self.said[name] == other.said[name] for name in (*METHOD, "unit", "model"))
        return (
            same
            and self.site == (other.site if site is None else site)
            and self.population.startswith(other.population if population is None else population)
        )


@dataclass(frozen=True)
class Answer:
    """A comparison at another threshold. ``post_hoc``: what else is other than in the test."""

    kept: Kept
    decision: Decision
    threshold: float
    post_hoc: tuple[str, ...]

    def __str__(self) -> str:
        said, evidence = self.kept.said, self.kept.evidence
        claim = statement(said["label"], said["operator"], self.threshold, said["margin"], said["unit"])
        sure = certainty(evidence.is_exact, 1 - evidence.alpha, *evidence.interval())
        told = f"{self.decision}: {claim}: it is {written(evidence.estimate, said['unit'], 4)} ({sure}, "
        told += f"{counted(said['n'], said['counted'])}, {said['model']})  {self.kept.test}"
        return f"{told}\n  post hoc: {'; '.join(self.post_hoc)}" if self.post_hoc else told


def as_text(said: dict[str, Any], evidence: Evidence | None, why_final: str = "") -> str:
    """What was asked and said, with the evidence that it rests on, or (None) why no other threshold is decided."""
    if evidence is None:
        return json.dumps({"said": said, "final": why_final})
    return json.dumps({"said": said, "evidence": _numbers_of(evidence)})


def why_final(text: str) -> str:
    """What was asked, and why no other threshold of it is decided; empty for what can be decided again, or read by nobody."""
    try:
        content = json.loads(text)
        said, why = content["said"], content["final"]
        return f"{statement(said['label'], said['operator'], said['threshold'], said['margin'], said['unit'])}: {why}"
    except (ValueError, KeyError, TypeError, RecursionError):
        return ""


def _numbers_of(evidence: Evidence) -> dict[str, Any]:
    numbers: dict[str, Any] = {name: getattr(evidence, name) for name in _SAID}
    numbers |= {name: None if (some := getattr(evidence, name)) is None else some.tolist() for name in _ARRAYS}
    order, parts = evidence.order, evidence.parts
    numbers["order"] = None if order is None else [list(order.places), order.tried, order.size]
    numbers["parts"] = None if parts is None else [parts.shift.tolist(), parts.base.tolist(), parts.correction]
    return numbers | {"others": [_numbers_of(one) for one in evidence.others]}


def _evidence_of(numbers: dict[str, Any]) -> Evidence:
    for name in _ARRAYS:
        numbers[name] = None if numbers[name] is None else np.array(numbers[name])
    numbers["limits"] = None if numbers["limits"] is None else tuple(numbers["limits"])
    # What was kept by older versions has neither of the last two.
    order, parts, others = numbers.pop("order"), numbers.pop("parts", None), numbers.pop("others", ())
    return Evidence(
        **numbers,
        order=None if order is None else Order(tuple(order[0]), order[1], order[2]),
        parts=None if parts is None else Parts(np.array(parts[0]), np.array(parts[1]), parts[2]),
        others=tuple(map(_evidence_of, others)),
    )


def read(test: str, text: str) -> Kept:
    """The comparison again."""
    content = json.loads(text)
    return Kept(test, content["said"], _evidence_of(content["evidence"]))


def readable(test: str, text: str) -> Kept:
    """The comparison again, of a store that may hold anything; raises ``StoreError`` for what is no comparison."""
    try:
        kept = read(test, text)
        problem = next(wrong("it", kept.said, _FIELDS), "")
    except Exception as error:
        problem = reason(error)
    if problem:
        raise StoreError(_unreadable(test, problem))
    return kept


def answered(kept: Kept, threshold: float | None, alpha: float | None, post_hoc: Iterable[str] = ()) -> tuple[str, str]:
    """The decision at another threshold, and the answer in words; raises ``StoreError`` where the evidence is none."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            found = answer(kept, threshold, alpha, post_hoc)
            return found.decision, str(found)
        except Exception as error:
            raise StoreError(_unreadable(kept.test, reason(error))) from None


def _unreadable(test: str, why: str) -> str:
    return f"what was decided in {test} cannot be read ({why}): run the test again"


def answer(kept: Kept, threshold: float | None, alpha: float | None, post_hoc: Iterable[str] = ()) -> Answer:
    """The comparison at another threshold and, if that is wanted, error rate."""
    told, evidence = [*post_hoc], kept.evidence
    if alpha is not None and alpha != evidence.alpha:
        told.append(f"alpha {alpha:g}, where the test has {evidence.alpha:g}")
        evidence = replace(evidence, alpha=alpha)
    at = float(kept.said["threshold"]) if threshold is None else threshold
    margin = kept.said["margin"]
    if margin is None:
        decision = evidence.decide(kept.said["operator"], at)
    else:
        decision = evidence.decide_within(at - margin, at + margin)
    return Answer(replace(kept, evidence=evidence), decision, at, tuple(told))
