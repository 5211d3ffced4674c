"""What may be claimed of candidates on the other half of the pairs: thresholds from the half that they were found on alone."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from circuitcheck.addresses.kinds import KINDS
from circuitcheck.addresses.sites import Site
from circuitcheck.claims.gathering import Gathering
from circuitcheck.errors import PromptError
from circuitcheck.experiments.patching import Patch
from circuitcheck.finding.measured import Candidate, Measured, mean_gap
from circuitcheck.prompts.descriptions import Half
from circuitcheck.prompts.pairs import Side, other_side
from circuitcheck.prompts.prompt_pairs import PromptPairs, whole_of
from circuitcheck.sampling.samples import Sample
from circuitcheck.statistics.clusters import groups_of_fillers
from circuitcheck.statistics.evidence import Evidence, Order
from circuitcheck.statistics.prediction import in_the_running, lower_prediction_limit, standard_error
from circuitcheck.statistics.weights import mean_over, weights_of

if TYPE_CHECKING:
    from circuitcheck.types import Floats

# The share of files of which a claim is off by chance, and the least effect that is worth a claim.
_LEVEL, _LEAST = 0.05, 0.02
# Rivals of a neuron that are drawn, of a layer's thousands, and of a feature, of a dictionary's.
_RIVALS = 100
_WORDS = {
    ("corrupt", 1): "alone brings back more than {share} of the gap",
    ("corrupt", -1): "alone works against the answer: more than {share} of the gap is lost with it",
    ("clean", 1): "is needed: more than {share} of the gap is lost without it",
    ("clean", -1): "works against the answer: more than {share} of the gap is gained without it",
}


@dataclass(frozen=True)
class Claim:
    """A claim about a component: its name as a test, its docstring, and the comparison, of ``model.on({pairs})``."""

    site: Site
    name: str
    words: str
    comparison: str
    of_other: bool = False


def claims_of(candidates: Measured, best: Sequence[Candidate], other: PromptPairs | None) -> list[Claim]:
    """Of each candidate what it restores, whether it is needed, whether it beats its like, and whether it is for this behaviour
    alone: those that the half they were found on makes likely enough."""
    limits = _Limits(candidates, 4 * len(best))
    sites = [one.site for one in best]
    back = other_side(candidates.into)
    opposite = _shifts(candidates.run, candidates, sites, back)
    elsewhere = None if other is None else _Elsewhere(candidates, other, sites)
    found: list[Claim] = []
    for row, one in enumerate(best):
        effect = limits.lower(one, one.shift)
        for side, limit in ((candidates.into, effect), (back, limits.lower(one, opposite[row]))):
            if abs(limit) >= _LEAST:
                found.append(_effect(one.site, side, limit))
        if effect >= _LEAST and limits.beats_its_like(one):
            found.append(_rank(one.site, candidates.into))
        upper = None if elsewhere is None else elsewhere.upper(row, limits)
        if upper is not None and _LEAST <= upper < effect:
            words = f"is for this behaviour: less than {_share(upper)} of the other one's gap"
            patch = _patch(one.site, candidates.into)
            found.append(Claim(one.site, "is_specific", words, f"{patch} < {upper:g}", of_other=True))
    return found


def _effect(site: Site, side: Side, limit: float) -> Claim:
    sign = 1 if limit > 0 else -1
    words = _WORDS[side, sign].format(share=_share(abs(limit)))
    name = "restores" if side == "corrupt" else "is_needed"
    return Claim(site, name, words, f"{_patch(site, side)} {'>' if limit > 0 else '<'} {limit:g}")


def _rank(site: Site, side: Side) -> Claim:
    letter, dot, part = site.kind.partition(".")
    like = f"{site.kind}*" if site.traits.host else f"{letter}*{dot}{part}"
    drawn = f", n={_RIVALS}" if site.traits.width == "one" else ""
    numbered, of = KINDS[site.kind].numbered or ("", ""), "dictionary" if site.traits.host else "layer"
    words = f"has the largest effect of the {numbered[1]} of its {of}"
    return Claim(site, f"beats_its_{of}", words, f'{_patch(site, side)}.beats("L{site.layer}.{like}"{drawn})')


def _patch(site: Site, side: Side) -> str:
    into = "" if side == "corrupt" else ', into="clean"'
    return f'patch("{site}"{into})'


def _share(number: float) -> str:
    return f"{100 * number:.2g} %"


class _Limits:
    """Prediction limits for the other half, at a level that is split over so many claims."""

    def __init__(self, candidates: Measured, claims: int):
        self.candidates, self.claims = candidates, claims
        self._half = _Half(candidates.run, candidates.sample)
        self._sizes = {one.kind: one.at_best for one in candidates.attributed}

    def lower(self, one: Candidate, shift: "Floats") -> float:
        """What the effect in the other half will be beyond, towards 0, rounded; 0 where nothing can be said."""
        sign = 1.0 if mean_over(self.candidates.pairs, shift) > 0 else -1.0
        limit = self._lower(one, sign * shift)
        return sign * math.floor(100 * limit) / 100 if limit > 0 else 0.0

    def beats_its_like(self, one: Candidate) -> bool:
        """Whether its effect will be above those of all others of its kind, layer and position: of those measured, by the paired
        difference; of the others, by what they are attributed."""
        if not one.site.traits.numbered:
            return False
        [kind] = [some for some in self.candidates.attributed if some.kind == one.kind]
        measured = {found.site: found for found in self.candidates.measured}
        place = kind.positions.index(one.site.position)
        limit = self.lower(one, one.shift)
        of = one.site.layer, one.site.kind
        rivals = [row for row, component in enumerate(kind.components) if (component.layer, component.kind) == of]
        for row in rivals:
            site = kind.site(row, place)
            if site == one.site:
                continue
            if site in measured:
                if not self._lower(one, one.shift - measured[site].shift) > 0:
                    return False
            elif abs(kind.values[row, place]) > limit / 2:
                return False
        return True

    def _lower(self, one: Candidate, shift: "Floats") -> float:
        error = standard_error(shift, self._half.base, self._half.weights)
        running = in_the_running(self._sizes[one.kind], one.attributed, error)
        return self._half.lower(shift, _LEVEL / max(self.claims, running))


class _Half:
    """The pairs of a half that shifts were measured on, and how many a claim about the other half will be about."""

    def __init__(self, run: Gathering, sample: Sample):
        self.run, self.base, self.weights = run, run.gaps_on(sample), weights_of(sample.pairs)
        budget = run.settings.budget
        # How many pairs the other half has (None: no end), and how many of them a claim will be about at most.
        self._size = run.sampler.drawn(other_half(run.pairs)).size
        self._further = budget if self._size is None else max(2, min(self._size, budget))
        # Where the other half has other fillers, those of each slot are draws, too, of which it has about as many.
        self._groups = [groups for by in run.pairs.description.by for groups in groups_of_fillers(sample.pairs, by)]

    def lower(self, shift: "Floats", level: float) -> float:
        """What the effect in the other half will be above, but for a share ``level`` of cases, and far enough to be decided."""
        if self.run.pairs.description.by and not self._groups:
            return -math.inf  # one filler says nothing of another
        limits = [lower_prediction_limit(shift, self.base, self._further, level, self.weights)]
        for groups in self._groups:
            shifts, bases = groups.means(shift, self.weights), groups.means(self.base, self.weights)
            limits.append(lower_prediction_limit(shifts, bases, len(groups.rows), level))
        return min(limits) - self._bets(shift)

    def _bets(self, shift: "Floats") -> float:
        """How far below its estimate a claim must be for bets on the pairs of a sample to decide it; 0 where all pairs are taken."""
        run, n = self.run, self._further
        if self._size is not None and self._size <= run.settings.whole:
            return 0.0
        evidence = Evidence(
            np.resize(shift, n),
            np.resize(self.base, n),
            whole=False,
            alpha=run.settings.alpha,
            order=Order(tuple(range(n)), n, self._size),
            scale=run.scale,
            bound=run.settings.bound,
        )
        low = evidence.interval()[0]
        return math.inf if low is None else evidence.estimate - low


class _Elsewhere:
    """What candidates do to another behaviour, on a half of its pairs."""

    def __init__(self, candidates: Measured, other: PromptPairs, sites: Sequence[Site]):
        self.run = candidates.run.again(pairs=other)
        self.sample = self.run.fixed(len(candidates.pairs))
        mean_gap(self.run, self.sample)
        self._half = _Half(self.run, self.sample)
        self.shifts: list[Floats | None] = []
        for site in sites:
            try:
                doing = Patch.at(str(site), self.run, candidates.into)
                self.shifts.append(doing.shifts(self.sample, [[site]])[0].values)
            except PromptError:  # the other prompts have no such position
                self.shifts.append(None)

    def upper(self, row: int, limits: _Limits) -> float | None:
        """What the effect in the other half of these pairs will be below; None where nothing can be said, or where the prompts
        have no such position."""
        shift = self.shifts[row]
        if shift is None:
            return None
        upper = -self._half.lower(-shift, _LEVEL / limits.claims)
        return math.ceil(100 * max(upper, _LEAST)) / 100 if math.isfinite(upper) else None


def _shifts(run: Gathering, candidates: Measured, sites: Sequence[Site], side: Side) -> "list[Floats]":
    if not sites:
        return []
    doing = Patch.at(str(sites[0]), run, side)
    return [shift.values for shift in doing.shifts(candidates.sample, [[site] for site in sites])]


def other_half(pairs: PromptPairs) -> PromptPairs:
    """The half that a half leaves."""
    whole = whole_of(pairs)
    if whole is None or not pairs.description.half:
        raise PromptError(
            f"{pairs!r} is no half, so that there are no pairs left to claim anything of: find on pairs.split('discover')"
        )
    other: Half = "confirm" if pairs.description.half == "discover" else "discover"
    return whole.split(other, by=pairs.description.by)


def shared(pairs: PromptPairs) -> Iterator[str]:
    """What a half has in common with the other one, slot by slot, in words."""
    mine, theirs = pairs.description, other_half(pairs).description
    if mine.rows:
        yield f"new {' and '.join(mine.by)}" if mine.by else "new rows"
        return
    for name, slot in mine.slots.items():
        options, others = (getattr(one, "options", ()) for one in (slot, theirs.slots[name]))
        if options:
            both = {filler for couple in options for filler in couple} & {
                filler for couple in others for filler in couple
            }
            yield f"{'the same' if both else 'new'} fillers of {{{name}}}"
    yield "the same templates" if set(mine.templates) & set(theirs.templates) else "new templates"
