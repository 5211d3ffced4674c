"""A smaller circuit that still does it: found on one half of the pairs, confirmed on the other.

    smaller = model.on(NAMES).shrink(IOI, above=0.85)
    assert smaller.confirmed > 0.8

What was chosen because it stayed above a threshold is above it by luck, too: the claim is about fresh pairs.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from circuitcheck.addresses.anatomy import Anatomy
from circuitcheck.addresses.circuits import Circuit, rest_of, sites_of
from circuitcheck.addresses.parsing import parse
from circuitcheck.claims.effects import Effect
from circuitcheck.claims.estimand import Estimand
from circuitcheck.claims.gathering import Gathering
from circuitcheck.claims.thresholds import number
from circuitcheck.engine.ablations import Ablation, removing
from circuitcheck.errors import MethodError
from circuitcheck.experiments.ablating import behaviours_of
from circuitcheck.experiments.circuits.knockouts import as_one_work
from circuitcheck.experiments.circuits.subcircuits import Part
from circuitcheck.experiments.keeping import Keep
from circuitcheck.sampling.samples import Sample
from circuitcheck.statistics.weights import mean_over
from circuitcheck.texts import plural

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
    confirmed: Effect
    kept: float
    removed: tuple[tuple[str, float], ...]
    pairs: int

    def __str__(self) -> str:
        found = f"{self.circuit!r} keeps {self.kept:.3g} of the behaviour on the {plural(self.pairs, 'pair')} it was found on"
        if not self.removed:
            return f"{found}; nothing could be removed"
        width = max(len(member) for member, _ in self.removed)
        lines = [f"  {member:<{width}}  {cost:+.3g}" for member, cost in self.removed]
        return "\n".join([f"{found}; removed, in order, at a cost of", *lines])

    __repr__ = __str__


def shrink(
    run: Gathering,
    circuit: str | Circuit,
    above: float,
    value: str | float | Ablation = "mean",
    within: str | None = None,
) -> Shrunk:
    """A circuit without the members that make least difference; see ``Run.shrink``."""
    threshold, how = number(above), removing(value)
    discover, confirm = (run.again(pairs=run.pairs.split(half)) for half in ("discover", "confirm"))
    whole = Keep.at(circuit, discover, how, within)
    Estimand(whole).measure()  # or raises for what there is nothing to keep of
    anatomy, answers = run.model.anatomy, run.model.answers
    found_on = whole.setup.fixed(_PAIRS)
    pairs, shares = found_on.pairs, partial(_shares, whole, found_on)
    members = sites_of(circuit, anatomy)
    if edge := next((site for site in members if site.via), None):
        raise MethodError(f"{edge} is an edge, and without it its end would hear all: shrink a circuit of components")
    [kept], removed = shares([members]), []
    if not kept > threshold:
        raise MethodError(
            f"{circuit} keeps {kept:.3g} of the behaviour on {plural(len(pairs), 'pair')}, which is not above {threshold:g}: there is "
            "nothing to shrink"
        )
    with as_one_work(answers, f"shrinking {circuit}", len(members) * (len(members) + 1) * len(pairs)):
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
    return Shrunk(found, Effect(Keep.at(found, confirm, how, within)), kept, tuple(removed), len(pairs))


def _shares(whole: Keep, sample: Sample, parts: Sequence[Part]) -> list[float]:
    """What each part keeps of the behaviour."""
    kept = whole.shifts(sample, parts)
    universes = [rest_of(part, whole.universe, whole.setup.model.anatomy)[1] for part in parts]
    behaviours = behaviours_of(whole.setup, sample, whole.how, universes)
    return [
        float(mean_over(sample.pairs, part.values) / mean_over(sample.pairs, behaviour))
        for part, behaviour in zip(kept, behaviours, strict=True)
    ]


def _of(circuit: str | Circuit, members: Part, anatomy: Anatomy) -> Circuit:
    """What these members leave of a circuit and its groups."""
    groups = circuit.groups if isinstance(circuit, Circuit) else {"": circuit}
    left = {
        name: " | ".join(str(site) for site in parse(address, anatomy) if site in members)
        for name, address in groups.items()
    }
    return Circuit(left.pop("", ""), **{name: address for name, address in left.items() if address})
