"""A smaller circuit that still does it: found on one half of the pairs, confirmed on the other.

    smaller = model.on(NAMES).shrink(IOI, above=0.85)
    assert smaller.confirmed > 0.8

What was chosen because it stayed above a threshold is above it by luck, too: the claim is about fresh pairs.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from circuitcheck.circuits import Circuit, rest_of, sites_of
from circuitcheck.engine import Sample
from circuitcheck.errors import MethodError
from circuitcheck.knockouts import as_one_work
from circuitcheck.methods import Ablation, removing
from circuitcheck.parts import Part
from circuitcheck.sites import Anatomy, parse
from circuitcheck.thresholds import number
from circuitcheck.verbs import Ablating, Keeping

if TYPE_CHECKING:
    from circuitcheck.effects import Effect
    from circuitcheck.runs import Run

# Pairs of the half on which members are removed.
_PAIRS = 64
# Shares that differ by less may do so by rounding. Of members that then make as little difference the last one goes, so that
# of a component and its backup the component stays.
_ALIKE = 1e-4


@dataclass(frozen=True)
class Shrunk:
    """What ``run.shrink`` gives: the smaller ``circuit``, and ``confirmed``, what it keeps on pairs that it was not found on.

    ``kept`` is what it keeps on those it was found on; ``removed`` the members that were taken out, in order, each with the
    share of the behaviour that went with it (below 0 where more was kept without it).
    """

    circuit: Circuit
    confirmed: "Effect"
    kept: float
    removed: tuple[tuple[str, float], ...]
    pairs: int

    def __str__(self) -> str:
        found = f"{self.circuit!r} keeps {self.kept:.3g} of the behaviour on the {self.pairs} pairs it was found on"
        if not self.removed:
            return f"{found}; nothing could be removed"
        width = max(len(member) for member, _ in self.removed)
        lines = [f"  {member:<{width}}  {cost:+.3g}" for member, cost in self.removed]
        return "\n".join([f"{found}; removed, in order, at a cost of", *lines])

    __repr__ = __str__


def shrink(
    run: "Run",
    circuit: "str | Circuit",
    above: float,
    value: str | float | Ablation = "mean",
    within: str | None = None,
) -> Shrunk:
    """A smaller circuit that keeps more than a share ``above`` of the behaviour.

        smaller = model.on(NAMES).shrink(IOI, above=0.85)
        assert smaller.confirmed > 0.8

    One member after another is removed, the one that makes least difference, as long as ``keep`` stays above the threshold on
    (at most 64 pairs of) the half ``pairs.split("discover")``. ``confirmed`` is an ``Effect`` on ``pairs.split("confirm")``.
    ``value`` and ``within`` are those of ``keep``. Raises ``MethodError`` for edges and for a circuit that does not keep so much,
    ``BehaviourAbsent`` where there is no behaviour, ``PromptError`` for pairs that are a half already.
    """
    threshold, how = number(above), removing(value)
    discover, confirm = (run.again(pairs=run.pairs.split(half)) for half in ("discover", "confirm"))
    discover.keep(circuit, how, within).measure()  # or raises for what there is nothing to keep of
    anatomy, engine = run.model.anatomy, run.model.engine
    verb = Keeping(how, parse(run.universe if within is None else within, anatomy))
    found_on = discover.fixed(_PAIRS)
    pairs, shares = found_on.pairs, partial(_shares, discover, found_on, verb)
    members = sites_of(circuit, anatomy)
    if edge := next((site for site in members if site.via), None):
        raise MethodError(f"{edge} is an edge, and without it its end would hear all: shrink a circuit of components")
    [kept], removed = shares([members]), []
    if not kept > threshold:
        raise MethodError(
            f"{circuit} keeps {kept:.3g} of the behaviour on {len(pairs)} pairs, which is not above {threshold:g}: there is "
            "nothing to shrink"
        )
    with as_one_work(engine, f"shrinking {circuit}", len(members) * (len(members) + 1) * len(pairs)):
        while members:
            smaller = [tuple(site for site in members if site != member) for member in members]
            left = shares(smaller)
            enough = [place for place, share in enumerate(left) if share > threshold]
            if not enough:
                break
            cost = min(abs(kept - left[place]) for place in enough)
            least = max(place for place in enough if abs(kept - left[place]) <= cost + _ALIKE)
            removed.append((str(members[least]), kept - left[least]))
            members, kept = smaller[least], left[least]
    found = _of(circuit, members, anatomy)
    return Shrunk(found, confirm.keep(found, how, within), kept, tuple(removed), len(pairs))


def _shares(run: "Run", sample: Sample, verb: Keeping, parts: Sequence[Part]) -> list[float]:
    """What each part keeps of the behaviour."""
    kept = verb.shifts(run, sample, parts)
    universes = [rest_of(part, verb.universe, run.model.anatomy)[1] for part in parts]
    behaviours = Ablating(verb.how).shifts(run, sample, universes)
    return [
        float(part.values.mean() / behaviour.values.mean()) for part, behaviour in zip(kept, behaviours, strict=True)
    ]


def _of(circuit: "str | Circuit", members: Part, anatomy: Anatomy) -> Circuit:
    """What these members leave of a circuit and its groups."""
    groups = circuit.groups if isinstance(circuit, Circuit) else {"": circuit}
    left = {
        name: " | ".join(str(site) for site in parse(address, anatomy) if site in members)
        for name, address in groups.items()
    }
    return Circuit(left.pop("", ""), **{name: address for name, address in left.items() if address})
