"""What a session decides for all of its claims."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import takewhile
from typing import Any

# Pairs of the first stage; each later one makes half as many again of what there is, or a third.
_FIRST_STAGE = 32


@dataclass(frozen=True)
class Settings:
    """The numbers that decide how evidence is gathered; reports state them.

    ``seed``: of the order in which pairs are drawn; ``other_seeds``: of further orders, whose evidence is averaged with its.
    ``reference``: pairs that the means of ablations are made of, of a larger population.
    ``alpha``: the error rate of each effect, both sides together. ``whole``: populations up to so many pairs are
    evaluated whole. ``budget``: pairs drawn from a larger one at most (they come in stages that end at 32, 48, 64, 96, 128
    ...). ``bound``: mean gaps that a pair of a sample counts for at most. ``precision``: half of an interval at most, in the
    effect's unit; ``e_value``: what a bet on a claim is to have won: for either, evidence is gathered after a verdict too. ``controls``: components of the same layer beside
    which a neuron's or a head's effect is shown. ``examples``: pairs that a search for a counterexample tries at
    most, where not what a Hypothesis profile says, or 1000; ``replay``: that no
    others are searched for. ``floor_logits`` and ``floor_share``: the mean gap under which a behaviour
    is absent, for readouts in logits, nats or places and for readouts between 0 and 1. ``drift``: under a lock, how far an effect may drift: evidence is gathered
    until half of its interval is at most that, so that a drift can be told; ``locked``: on at least as many pairs as
    the lock has of a comparison (see ``locked_as``). ``memory``: bytes for runs, beside the model; a
    quarter of what is free where nothing is said.
    """

    seed: int = 0
    other_seeds: tuple[int, ...] = ()
    reference: int = 256
    alpha: float = 0.05
    whole: int = 256
    budget: int = 1024
    bound: float = 2.0
    precision: float | None = None
    e_value: float = 0.0
    controls: int = 16
    examples: int | None = None
    replay: bool = False
    drift: float | None = None
    locked: Mapping[str, int] = field(default_factory=dict, compare=False)
    floor_logits: float = 0.5
    floor_share: float = 0.05
    memory: int | None = None

    def told(self, own: dict[str, Any]) -> dict[str, Any]:
        """What decides which pairs are drawn and how many, as a lock has it; ``own``: what a test's marker sets."""
        both = replace(self, **own)
        numbers = {name: getattr(both, name) for name in ("budget", "bound", "precision", "reference")}
        return {"seed": ",".join(map(str, self.seeds)), **numbers, "drift": own.get("drift")}

    @property
    def seeds(self) -> tuple[int, ...]:
        """All of them."""
        return self.seed, *self.other_seeds


def locked_as(label: str, unit: str, population: str) -> str:
    """What a comparison is known by among those of a lock, whatever its threshold."""
    return f"{label} {unit} {population}"


def stage_ends(budget: int) -> Iterator[int]:
    """How many pairs there are after each stage within a budget: 32, 48, 64, 96, 128 ..."""
    return takewhile(lambda end: end <= budget, all_stage_ends())


def all_stage_ends() -> Iterator[int]:
    """The same without end."""
    size = _FIRST_STAGE
    while True:
        yield size
        yield size * 3 // 2
        size *= 2


def budget_for(pairs: int) -> int:
    """The budget that so many pairs take."""
    return next(end for end in all_stage_ends() if end >= pairs)
