"""Controls: would any component have passed?

    assert model.on(FRUIT).patch("L31.N892").beats("L31.N*", n=100)
    assert model.on(FRUIT).patch("L31.N892").rank_within("L31.N*") == 1

A claim that a component beats others is decided by the paired differences from every one of them, with the error rate
split between them: the largest of many measured numbers as a fixed threshold would let one tie in eight pass.
"""

import math
import random
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from circuitcheck.addresses.circuits import random_like
from circuitcheck.addresses.parsing import parse
from circuitcheck.addresses.sites import Site
from circuitcheck.claims.estimand import Estimand
from circuitcheck.claims.measuring.measurement import Measurement
from circuitcheck.claims.measuring.rank_words import place
from circuitcheck.claims.presence import e_value_of_presence, is_present, raise_undecided
from circuitcheck.claims.ranks import AnyRank, Holds, RankOperator
from circuitcheck.claims.verdicts import Verdict
from circuitcheck.engine.subspaces import Placebo, Subspace
from circuitcheck.engine.watching.one_question import one_question
from circuitcheck.errors import MethodError
from circuitcheck.experiments.experiment import Shift
from circuitcheck.models.loaded import LoadedModel
from circuitcheck.prompts.hypothesis_examples import refuse_average
from circuitcheck.sampling.samples import Sample
from circuitcheck.sampling.stages import Stage
from circuitcheck.statistics.evidence import Decision
from circuitcheck.statistics.weights import mean_over
from circuitcheck.units import UNITS

if TYPE_CHECKING:
    from circuitcheck.types import Floats

Sites = tuple[Site, ...]
# What an effect is compared with: another set of sites, or a random direction at its own.
Other = Sites | Placebo
# A part has more effect than its whole where it is so much more, as a share.
_NOTABLE = 0.05


@dataclass(frozen=True)
class MatchedControls:
    """Where an effect stands among matched components, on the first ``pairs`` pairs: a description, not a claim.

    ``rank`` 1 is the largest of ``of``, the claimed one among them; ``median``, ``highest`` and ``best`` are of the others
    alone; ``whole`` is the effect of what the component is a part of, None where that has none. The others of a direction
    are random ones. ``drawn_of``: of how many the others were drawn, None where all were taken; ``dead``: how many of them
    change nothing on these pairs, and are left out.
    """

    rank: int
    of: int
    median: float
    highest: float
    best: str
    whole: float | None
    pairs: int
    of_directions: bool = False
    drawn_of: int | None = None
    dead: int = 0

    def __str__(self) -> str:
        others = f"the others' median {self.median:.3g}, highest {self.highest:.3g} ({self.best})"
        return f"{place(asdict(self))}; {others}"

    def notes(self, estimate: float) -> tuple[str, ...]:
        """What is odd about these."""
        if self.whole is not None and estimate > _NOTABLE and self.whole < estimate - _NOTABLE:
            why = "it may move what the model leaves alone" if self.of_directions else "other parts work against it"
            return (f"the whole that it is a part of has less effect, {self.whole:.3g}: {why}",)
        return ()


def described(effect: Estimand) -> MatchedControls | None:
    """Where a neuron's or a head's effect stands among drawn others of its layer, a direction's among random ones; None for
    other effects."""
    experiment, run, wanted = effect.experiment, effect.run, effect.run.model.settings.controls
    if not experiment.has_controls or not wanted:
        return None
    site, sample, subspace = experiment.sites[0], run.few, _subspace(effect)
    of_all, drawn, whole, drawn_of = experiment, list[Other](), list(experiment.sites), None
    if subspace is not None:
        of_all, drawn = experiment.in_subspace(None), [*subspace.placebos(wanted, _seed(effect))]
    elif len(experiment.sites) == 1 and site.traits.whole and not site.via:
        others = _matched(effect, [replace(site, index=i) for i in _indices(effect, site)])
        drawn = [(other,) for other in _some(others, wanted, effect)]
        drawn_of = len(others) if len(drawn) < len(others) else None
        whole = [replace(site, kind=site.traits.whole, index=-1)]
    else:
        return None
    [ours] = experiment.shifts(sample, [experiment.sites])
    of_whole = of_all.shifts(sample, [whole])[0].values if experiment.of_wholes else None
    base = float(mean_over(sample.pairs, effect.base_on(sample)))
    if UNITS[effect.unit].is_share and base <= run.floor:
        return None  # these few have nothing that there could be shares of
    theirs = zip(drawn, _shifts(effect, sample, drawn), strict=True)
    alive = {_name(other): float(mean_over(sample.pairs, shift)) / base for other, (shift, dead) in theirs if not dead}
    if not alive:
        return None
    best = max(alive, key=lambda name: alive[name])
    ours_mean = float(mean_over(sample.pairs, ours.values))
    return MatchedControls(
        rank=1 + sum(found > ours_mean / base for found in alive.values()),
        of=1 + len(alive),
        median=float(np.median(list(alive.values()))),
        highest=float(alive[best]),
        best=best,
        whole=None if of_whole is None else float(mean_over(sample.pairs, of_whole) / base),
        pairs=len(sample.pairs),
        of_directions=subspace is not None,
        drawn_of=drawn_of,
        dead=len(drawn) - len(alive),
    )


class Rank(AnyRank):
    """The place of an effect among those of matched components, 1 for the largest; made by ``effect.rank_within``.

    assert effect.rank_within("L31.N*") == 1
    assert effect.rank_within("L9.H*") <= 3
    """

    def __init__(self, effect: Estimand, others: "Sequence[Other]", among: str, drawn: bool, there: int | None = None):
        self._effect, self._others, self._among, self._drawn, self._there = effect, others, among, drawn, there

    @classmethod
    def of_matched(cls, effect: Estimand, address: str, n: int | None) -> "Rank":
        """Among the components of an address, of which ``n`` are drawn where there are more: then it is a rank among these
        alone, and says so."""
        if not effect.experiment.at_components:
            raise MethodError(f"{effect.label} is not the effect of a component, so that nothing is matched with it")
        if _subspace(effect) is not None:
            raise MethodError("a direction lies in one component: others beside it are random ones, .beats_random(n)")
        found = _matched(effect, parse(address, effect.run.model.anatomy))
        if not found:
            raise MethodError(f"{address!r} holds no component beside {effect.label} to compare it with")
        drawn = found if n is None else _some(found, _count(n), effect)
        among = address if len(drawn) == len(found) else f"{len(drawn)} drawn of {len(found)} others of {address}"
        return cls(effect, [(site,) for site in drawn], among, len(drawn) < len(found), len(found))

    @classmethod
    def of_random(cls, effect: Estimand, n: int) -> "Rank":
        """Among ``n`` random circuits of as many components of each kind; of a direction, among random ones in which the
        activation is moved as far."""
        experiment, run = effect.experiment, effect.run
        if not experiment.at_components:
            raise MethodError(f"{effect.label} is not the effect of a circuit")
        if (subspace := _subspace(effect)) is not None:
            placebos = subspace.placebos(_count(n), _seed(effect))
            if not placebos:
                raise MethodError(f"the direction of {effect.label} is the whole component: there is no other in it")
            return cls(effect, placebos, f"{len(placebos)} random directions", drawn=True)
        if path := next((site for site in experiment.sites if site.via), None):
            raise MethodError(f"random circuits are made of components: what would be as random as {path} is not said")
        others = random_like(experiment.sites, experiment.universe, run.model.anatomy, _count(n), _seed(effect))
        if not others:
            raise MethodError(f"there is no other circuit of as many components as that of {effect.label}")
        return cls(effect, others, f"{len(others)} random circuits like it", drawn=True)

    def __repr__(self) -> str:
        return f"<rank of {self._effect.label} among {self._among}>"

    @property
    def model(self) -> LoadedModel:
        """The model that is asked."""
        return self._effect.model

    @one_question
    def _verdict(self, operator: RankOperator, wanted: int, possible: Holds, certain: Holds) -> Verdict:
        refuse_average(self._effect.run.pairs.description, f"the rank of {self._effect.label}")
        standing = Standing(self._effect, self._others)
        decision: Decision = "inconclusive"
        for low, high in standing.narrowing():
            if not possible(low, high):
                decision = "refuted"
            elif certain(low, high):
                decision = "supported"
            if decision != "inconclusive":
                break
        measured = standing.measured(f"rank of {self._effect.label} among {self._among}")
        if self._drawn:
            notes = (*measured.notes, *self._of_all(round(measured.high or 1)))
            measured = replace(measured, exact=False, notes=notes)
        # A decision at the level alpha / 2 is worth 2 / alpha: that much a bet on it alone would have won.
        won = math.inf if measured.exact else 2 / self._effect.run.settings.alpha
        won = min(won, e_value_of_presence(self._effect, standing.stages))
        e_value = won if decision == "supported" else 0.0
        return Verdict(decision, measured, operator, float(wanted), e_value=e_value)

    def _of_all(self, highest: int) -> tuple[str, ...]:
        """What the highest rank that is possible among those drawn says of all that they were drawn from."""
        if self._there is None:
            return ()
        level = self._effect.run.settings.alpha / 2
        ahead = most_ahead(highest - 1, len(self._others), self._there, level)
        return (f"of all {self._there} others up to {ahead} may be ahead of it ({100 * (1 - level):.6g}% limit)",)


def most_ahead(ahead: int, drawn: int, there: int, level: float) -> int:
    """How many of all may be ahead where at most ``ahead`` of those drawn are: the largest number under which so few in the
    draw have a probability above ``level`` (the hypergeometric distribution)."""

    def probability(of_all: int) -> float:
        ways = sum(math.comb(of_all, seen) * math.comb(there - of_all, drawn - seen) for seen in range(ahead + 1))
        return ways / math.comb(there, drawn)

    possible = range(
        ahead, there + 1
    )  # the more of all are ahead, the less likely it is that so few of those drawn are
    return possible[bisect_left(possible, True, key=lambda of_all: probability(of_all) <= level) - 1]


class Standing:
    """Which of the others an effect is known to beat, and which to be beaten by, as pairs come in."""

    def __init__(self, effect: Estimand, others: "Sequence[Other]"):
        self.effect, self.others = effect, list(others)
        self.stages: list[Stage] = []
        self._gathered = 0
        self._shifts: dict[Other, list[Floats]] = {}
        self._beaten: set[Other] = set()
        self._beating: set[Other] = set()
        self._decided_early = False
        self._dead = 0

    def narrowing(self) -> Iterator[tuple[int, int]]:
        """The lowest and the highest rank that are possible, after each stage."""
        for stages in self.effect.run.looks():
            if self.stages and stages[0] is not self.stages[0]:  # taken in whole now, with another reference set
                self._gathered, self._shifts = 0, {}
            self.stages = stages
            for stage in self.stages[self._gathered :]:
                self._gather(stage)
                self._gathered += 1
            if is_present(self.effect, self.stages):
                self._compare()
                yield 1 + len(self._beating), 1 + len(self.others) - len(self._beaten)
        if not is_present(self.effect, self.stages):
            raise_undecided(self.effect, self.stages)

    def measured(self, label: str) -> Measurement:
        """The rank, with the difference from the best of the others in every pair."""
        gaps = {site: float(self._difference(site).mean()) for site in self._shifts if self._complete(site)}
        best = min(gaps, key=lambda site: gaps[site])
        measured = self.effect.measured(self.stages)
        ahead = {site for site, gap in gaps.items() if gap < 0 and site not in self._beaten}
        rank = 1 + len(ahead | self._beating)
        base = self.effect.base_of(self.stages).mean()
        left_out = f" ({self._dead} dead ones left out)" if self._dead else ""
        note = f"compared with {len(self.others)} others{left_out}; the nearest is {_name(best)}, by {gaps[best] / base:.3g}"
        return replace(
            measured,
            label=label,
            unit="rank",
            estimate=float(rank),
            exact=measured.exact and not self._decided_early,
            low=float(1 + len(self._beating)),
            high=float(1 + len(self.others) - len(self._beaten)),
            per_pair=self._difference(best) / base,
            notes=(note,),
            describe_controls=lambda: None,
        )

    def _gather(self, stage: Stage) -> None:
        """The others' shifts on a stage's pairs. Dead ones are no controls; that they are is known of a whole population only."""
        open_ones = [site for site in self.others if site not in self._beaten | self._beating]
        found = _shifts(self.effect, stage.sample, open_ones)
        for site, (shift, dead) in zip(open_ones, found, strict=True):
            if dead and stage.sample.whole:
                self.others.remove(site)
                self._dead += 1
            else:
                self._shifts.setdefault(site, []).append(shift)
        if not self.others:
            raise MethodError(f"all components that {self.effect.label} would be compared with are dead on these pairs")

    def _compare(self) -> None:
        alpha = self.effect.run.settings.alpha / len(self.others)
        for site in [site for site in self.others if site not in self._beaten | self._beating]:
            evidence = replace(self.effect.evidence_of(self._difference(site), self.stages), alpha=alpha)
            if evidence.above(0.0):
                self._beaten.add(site)
            elif evidence.below(0.0):
                self._beating.add(site)
            self._decided_early |= not evidence.is_exact and site in self._beaten | self._beating

    def _complete(self, site: "Other") -> bool:
        return len(self._shifts[site]) == max(len(parts) for parts in self._shifts.values())

    def _difference(self, site: "Other") -> "Floats":
        theirs = np.concatenate(self._shifts[site])
        difference: Floats = self.effect.shift_of(self.stages)[: len(theirs)] - theirs
        return difference


def _subspace(effect: Estimand) -> Subspace | None:
    """The subspace that an effect is about; None where it is about whole components."""
    found = effect.experiment.subspace
    return found if isinstance(found, Subspace) else None


def _shifts(effect: Estimand, sample: Sample, others: "Sequence[Other]") -> list[Shift]:
    """What each of the others shifts: sets of sites, or random directions at the effect's own sites."""
    experiment = effect.experiment
    if _subspace(effect) is None:
        return experiment.shifts(sample, [other for other in others if not isinstance(other, Placebo)])
    along = [experiment.in_subspace(other) for other in others if isinstance(other, Placebo)]
    return [shift for one in along for shift in one.shifts(sample, [experiment.sites])]


def _name(other: "Other") -> str:
    return str(other) if isinstance(other, Placebo) else " | ".join(map(str, other))


def _seed(effect: Estimand) -> str:
    return f"{effect.run.model.settings.seed}/random/{effect.label}"


def _indices(effect: Estimand, site: Site) -> range:
    return range(effect.run.model.anatomy.layers[site.layer].count(site.kind))


def _matched(effect: Estimand, sites: Sequence[Site]) -> list[Site]:
    """Components of an address at the position of the effect's own, without those that it is the effect of."""
    own = {(site.layer, site.kind, site.index, site.via) for site in effect.experiment.sites}
    position = effect.experiment.sites[0].position
    others = [site for site in sites if (site.layer, site.kind, site.index, site.via) not in own]
    return [replace(site, position=position) if site.position.everywhere else site for site in others]


def _some(sites: Sequence[Site], n: int, effect: Estimand) -> list[Site]:
    """At most ``n`` of the sites, drawn by the session's seed."""
    if len(sites) <= n:
        return list(sites)
    seeded = random.Random(f"{effect.run.model.settings.seed}/controls/{effect.label}")
    return seeded.sample(list(sites), n)


def _count(n: object) -> int:
    if isinstance(n, bool) or not isinstance(n, int) or n < 1:
        raise MethodError(f"n is the number of components that are drawn, not {n!r}")
    return n
