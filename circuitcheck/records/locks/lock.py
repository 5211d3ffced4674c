"""What a lock holds: what was claimed, of which model, and with which outcome.

    pytest hypotheses --circuit-lock=update     writes circuitcheck.lock, and each pair's numbers next to it
    pytest hypotheses --circuit-lock=check      says what has changed since

A claim is known by what it claims (method, population, unit and operator), not by its test's name, its threshold or its
model; where several models were asked, by the name that each was asked by, too. Every entry has a checksum of itself.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from circuitcheck.records.locks.entries import Content, entry_of, key_of, shortened
from circuitcheck.records.locks.numbers import Rows
from circuitcheck.records.report_fields import ClaimFields, ModelFields
from circuitcheck.texts import natural

NAME = "circuitcheck.lock"
_OF_MODELS = (
    "asked", "name", "fingerprint", "architecture", "layers", "weights", "bos", "dtype", "saved", "torch", "transformer_lens",
)  # fmt: skip


@dataclass(frozen=True)
class Undecided:
    """A test that came to no comparison: ``state`` is what became of its claim, and ``why`` says it in words; ``skipped``: that it
    was not run."""

    test: str
    asked: str | None
    claim: str
    state: str
    why: str
    skipped: bool = False


@dataclass(frozen=True)
class Lock:
    """Entries by their keys, in the order of the tests; of each comparison of each entry its pairs; the models that were asked;
    the populations in parts, by their identity. ``edited``: what is wrong with entries that are not as a run wrote them;
    ``undecided``: of a session, the tests that came to no comparison."""

    claims: dict[str, Content]
    pairs: dict[str, list[Rows]]
    models: list[Content]
    populations: dict[str, Content] = field(default_factory=dict)
    edited: dict[str, str] = field(default_factory=dict)
    undecided: tuple[Undecided, ...] = ()

    @staticmethod
    def of_claims(claims: Sequence[ClaimFields], models: Sequence[ModelFields]) -> "Lock":
        """What a session found: claims as the JSON report has them, in the order of the suite."""
        entries: dict[str, Content] = {}
        pairs: dict[str, list[Rows]] = {}
        populations: dict[str, Content] = {}
        for claim in claims:
            if not claim["effects"]:
                continue
            key = key_of(claim, entries)
            entries[key], pairs[key] = entry_of(claim)
            for effect in claim["effects"]:
                if parts := effect.get("prompts"):
                    populations.setdefault(effect["population_id"], shortened(parts))
        asked = sorted(models, key=lambda model: (natural(str(model.get("asked"))), model["fingerprint"]))
        known = [{name: model[name] for name in _OF_MODELS if name in model} for model in map(dict, asked)]
        nothing = [undecided_of(claim) for claim in claims if not claim["effects"]]
        return Lock(entries, pairs, known, populations, undecided=tuple(nothing))


def undecided_of(claim: ClaimFields) -> Undecided:
    """What became of a claim that came to no comparison."""
    kind, _, words = claim["problem"].removeprefix("circuitcheck.").partition(": ")
    if kind == "BehaviourAbsent":
        state, why = "behaviour absent", words
    elif claim["outcome"] == "skipped":
        state, why = "broken", f"it was skipped: {claim['problem']}"
    else:
        state, why = "broken", f"it came to no verdict: {claim['problem'] or claim['outcome']}"
    words = claim["claim"].partition("\n")[0]
    return Undecided(claim["nodeid"], claim.get("asked"), words, state, why, claim["outcome"] == "skipped")
