"""What was found: components of each kind with what they are attributed, and the best of them with what they do."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from circuitcheck.addresses.kinds import KINDS
from circuitcheck.addresses.sites import Site
from circuitcheck.claims.gathering import Gathering
from circuitcheck.errors import BehaviourAbsent, MethodError
from circuitcheck.finding.attributed import Attributed, family_of
from circuitcheck.prompts.pairs import Side
from circuitcheck.sampling.samples import Sample
from circuitcheck.statistics.weights import mean_over

if TYPE_CHECKING:
    from circuitcheck.prompts.aligned_pairs import AlignedPair
    from circuitcheck.types import Floats


@dataclass(frozen=True)
class Candidate:
    """A component at the position that carries its effect. ``attributed``: its effect to first order; ``exact``: its effect, both in
    the share of the gap; ``shift`` of each pair, of shape [pair]."""

    site: Site
    kind: str
    attributed: float
    exact: float
    shift: "Floats" = field(repr=False)

    @property
    def address(self) -> str:
        """As it is written in a claim."""
        return str(self.site)


@dataclass(frozen=True, repr=False)
class Measured:
    """What was found by ``run.find(address)`` on the pairs of ``sample``, whose mean gap is ``gap``; ``asked_for`` of each kind were
    measured. ``runs``: how often something was looked for on this population."""

    run: Gathering = field(repr=False)
    address: str
    into: Side
    steps: int
    asked_for: int
    sample: Sample = field(repr=False)
    gap: float
    attributed: tuple[Attributed, ...] = field(repr=False)
    measured: tuple[Candidate, ...] = field(repr=False)
    runs: int = 1

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds that were asked for."""
        return tuple(one.kind for one in self.attributed)

    def top(self, kind: str = "", n: int | None = None) -> list[Candidate]:
        """The candidates of a kind ("neurons", or as in addresses, "N"), the largest exact effects first, either way. Raises
        ``MethodError`` for a kind that was not asked for."""
        if not kind and len(self.kinds) == 1:
            kind = self.kinds[0]
        named = family_of(kind) if kind in KINDS else kind
        if named not in self.kinds:
            raise MethodError(f"{kind!r} is no kind of what was looked for in {self.address}: {', '.join(self.kinds)}")
        found = [one for one in self.measured if one.kind == named]
        return sorted(found, key=lambda one: -abs(one.exact))[:n]

    @property
    def pairs(self) -> "tuple[AlignedPair, ...]":
        """The pairs that they were found on."""
        return self.sample.pairs

    @property
    def fingerprint(self) -> str:
        """Of the model that they were found in."""
        return self.run.model.fingerprint


def measured(
    sites: Sequence[tuple[Site, str, float]], shifts: "Sequence[Floats]", sample: Sample, gap: float
) -> tuple[Candidate, ...]:
    """Candidates of sites with their kinds and what they are attributed, and of what they shift in each pair."""
    return tuple(
        Candidate(site, kind, attributed, float(mean_over(sample.pairs, shift)) / gap, shift)
        for (site, kind, attributed), shift in zip(sites, shifts, strict=True)
    )


def mean_gap(run: Gathering, sample: Sample) -> float:
    """What effects are shares of. Raises ``BehaviourAbsent`` where it is not there."""
    gap = float(mean_over(sample.pairs, run.gaps_on(sample)))
    if not gap > max(run.floor, run.noise):
        raise BehaviourAbsent(
            f"behaviour absent: on {run.model.name} the mean gap of {len(sample.pairs)} pairs is {gap:.3g}, not above the floor of "
            f"{run.floor:g}\n  A share of it would mean nothing. Look at the prompts with pairs.show(model), e.g.\n"
            f"  {sample.pairs[0].pair.shown}"
        )
    return gap
