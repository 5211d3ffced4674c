"""Try pairs until one breaks the claim, then make that one as ordinary as it can be."""

from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import islice

from circuitcheck.errors import CircuitError
from circuitcheck.prompts.aligned_pairs import AlignedPair
from circuitcheck.records.counterexamples import Known
from circuitcheck.search.adversaries import Adversary, Duel, climb
from circuitcheck.search.plans import Plan
from circuitcheck.search.trials import Trials

# Other fillers of a slot that are tried to see whether it matters.
_OTHERS = 64


@dataclass(frozen=True)
class Searched:
    """What a search found. ``of``: how many pairs the description can generate (None: more than can be counted).

    ``failing`` of the ``tried`` pairs break the claim, ``near`` are within rounding of the threshold, and in ``absent`` ones
    the behaviour itself is absent: these are no counterexamples. ``counterexample`` has the number ``found``, was shrunk from
    ``first``, breaks the claim with any other filler of the slots in ``free``, and is the pair ``number`` of the space. Of the
    counterexamples that were known before, ``known_failing`` break the claim still, ``known_loosened`` break it no more but would
    as it was when they were found, and those in the files ``fixed`` neither; of the other ones nothing is said. ``duel`` is
    what an adversary found beside random search; ``alone`` counts the pairs that shrinking ran by themselves.
    """

    tried: int
    of: int | None
    exhausted: bool
    failing: int = 0
    near: int = 0
    absent: int = 0
    worst: float = 0.0
    counterexample: AlignedPair | None = None
    found: float = 0.0
    first: AlignedPair | None = None
    free: tuple[str, ...] = ()
    number: int = -1
    known_failing: int = 0
    known_loosened: int = 0
    fixed: tuple[str, ...] = ()
    duel: Duel | None = None
    alone: int = 0


def search(trials: Trials, plan: Plan, known: Sequence[Known] = (), adversary: Adversary | None = None) -> Searched:
    """Try the pairs that are ``known`` to have failed, then others until one breaks the claim, all have been tried, or the
    plan's number of examples is spent; then shrink."""
    numbers = [(one, _recalled(one, trials)) for one in known] if plan.reuse else []
    there = set(trials.evaluate(number for _, number in numbers if number is not None))
    recalled = [(one, trials[number]) for one, number in numbers if number in there]
    duel = None
    if plan.generate and not trials.failing:
        small = trials.space.size is not None and trials.space.size <= plan.examples
        if adversary is None or small:
            _at_random(trials, plan)
        else:
            duel = _duel(trials, plan, adversary)
    exhausted = trials.space.size is not None and trials.looked_at == trials.space.size
    counted = [trial for trial in trials.usable.values() if trial.there]
    worst = max(counted, key=lambda trial: trial.badness, default=None)
    so_far = Searched(
        tried=len(trials),
        of=len(trials) if exhausted else trials.space.size,
        exhausted=exhausted,
        failing=len(trials.failing),
        near=sum(trial.is_near for trial in counted),
        absent=len(trials) - len(counted),
        worst=0.0 if worst is None else worst.found,
        known_failing=sum(trial.fails for _, trial in recalled),
        known_loosened=sum(trial.holds and one.badness(trial.found) > trial.rounding for one, trial in recalled),
        fixed=tuple(
            one.path.name for one, trial in recalled if trial.holds and one.badness(trial.found) < -trial.rounding
        ),
        duel=duel,
    )
    return _with_counterexample(so_far, trials, plan) if so_far.failing else so_far


def _recalled(one: Known, trials: Trials) -> int | None:
    """The number of a pair that was kept; None where it is none of the space's any more, or none for this model: its file may be
    anybody's."""
    number = trials.space.recall(one.content)
    with suppress(CircuitError, ArithmeticError, LookupError, TypeError, ValueError):
        return number if number is not None and trials.align([number]) else None
    return None


def _at_random(trials: Trials, plan: Plan) -> None:
    order = trials.space.order()
    while not trials.failing and (left := plan.examples - len(trials)) > 0:
        batch = list(islice(order, min(trials.batch, left)))
        if not batch:
            return
        trials.evaluate(batch)
        plan.say(trials)


def _duel(trials: Trials, plan: Plan, adversary: Adversary) -> Duel:
    """An adversary's climbs, and beside them random search in as many evaluations."""
    spent = climb(trials, plan, adversary)
    worst, failing = trials.worst(trials.usable), len(trials.failing)
    drawn = trials.evaluate(islice(trials.space.order(), spent))
    plan.say(trials)
    drawn_worst = trials.worst(drawn)
    return Duel(
        adversary.name,
        spent,
        worst=None if worst is None else trials[worst].found,
        failing=failing,
        random_worst=None if drawn_worst is None else trials[drawn_worst].found,
        random_failing=sum(map(trials.fails, drawn)),
    )


def _with_counterexample(so_far: Searched, trials: Trials, plan: Plan) -> Searched:
    before = trials.alone
    first = number = trials.plainest(trials.failing)
    if plan.shrink:
        number = trials.space.shrunk(first, trials)
    return replace(
        so_far,
        counterexample=trials[number].pair,
        found=trials[number].found,
        first=trials[first].pair,
        alone=trials.alone - before,
        free=tuple(_free(number, trials)) if plan.shrink else (),
        number=number,
    )


def _free(number: int, trials: Trials) -> Iterable[str]:
    """The slots whose filler does not matter: any other one breaks the claim too."""
    slots = {
        name: _spread([other for other in others if other != number])
        for name, others in trials.space.slots(number).items()
    }
    usable = set(trials.evaluate(other for others in slots.values() for other in others))
    for name, others in slots.items():
        tried = [other for other in others if other in usable]
        if tried and all(map(trials.fails, tried)):
            yield name


def _spread(numbers: Sequence[int]) -> list[int]:
    """At most so many of them, evenly spread."""
    step = -(-len(numbers) // _OTHERS) if numbers else 1
    return list(numbers[::step])
