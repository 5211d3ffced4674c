"""Ranks: would any component have passed?

    assert model.on(FRUIT).patch("L31.N892").beats("L31.N*")
    assert model.on(FRUIT).patch("L31.N892").rank_within("L31.N*") == 1
    assert model.on(FRUIT).patch("L31.N892").beats("L31.N*", n=100)      # of a share of them

A claim that a component beats others is decided by the paired difference from every one of them: the largest of many measured
numbers as a fixed threshold would let one tie in eight pass. What beats those that were drawn has beaten most of all others:
how many may be ahead is what is claimed then.
"""

import math
from collections.abc import Sequence
from dataclasses import replace

from circuitcheck.addresses.circuits import random_like
from circuitcheck.addresses.parsing import parse
from circuitcheck.claims.estimand import Estimand
from circuitcheck.claims.measuring.measurement import Measurement
from circuitcheck.claims.presence import e_value_of_presence
from circuitcheck.claims.ranking.places import AnyRank, Holds, RankOperator
from circuitcheck.claims.ranking.rivals import Rival, checked_count, matched, seed_of, some_of, subspace_of
from circuitcheck.claims.ranking.shares import fewest_ahead, largest_share, most_ahead
from circuitcheck.claims.ranking.standing import Standing
from circuitcheck.claims.verdicts import Verdict
from circuitcheck.engine.watching.one_question import one_question
from circuitcheck.errors import MethodError
from circuitcheck.models.loaded import LoadedModel
from circuitcheck.prompts.hypothesis_examples import refuse_average
from circuitcheck.statistics.evidence import Decision
from circuitcheck.texts import plural


class Rank(AnyRank):
    """The place of an effect among those of matched components, 1 for the largest; made by ``effect.rank_within``.

        assert effect.rank_within("L31.N*") == 1
        assert effect.rank_within("L9.H*") <= 3

    ``there``: of how many others the rivals were drawn, None where they are all of them; ``random``: they are random ones, of
    which there is no end. ``runs`` is what deciding it costs at most.
    """

    def __init__(
        self, effect: Estimand, rivals: Sequence[Rival], among: str, there: int | None = None, random: bool = False
    ):
        self._effect, self._rivals, self._among, self._there, self._random = effect, rivals, among, there, random

    @classmethod
    def of_matched(cls, effect: Estimand, address: str, n: int | None) -> "Rank":
        """Among the components of an address, of which ``n`` are drawn where there are more."""
        if not effect.experiment.at_components:
            raise MethodError(f"{effect.label} is not the effect of a component, so that nothing is matched with it")
        if subspace_of(effect) is not None:
            raise MethodError("a direction lies in one component: others beside it are random ones, .beats_random(n)")
        found = matched(effect, parse(address, effect.run.model.anatomy))
        if not found:
            raise MethodError(f"{address!r} holds no component beside {effect.label} to compare it with")
        drawn = found if n is None else some_of(found, checked_count(n), effect)
        there = len(found) if len(drawn) < len(found) else None
        return cls(effect, [(site,) for site in drawn], address, there)

    @classmethod
    def of_random(cls, effect: Estimand, n: int) -> "Rank":
        """Among ``n`` random circuits of as many components of each kind; of a direction, among random ones in which the
        activation is moved as far."""
        experiment, run = effect.experiment, effect.run
        if not experiment.at_components:
            raise MethodError(f"{effect.label} is not the effect of a circuit")
        if (subspace := subspace_of(effect)) is not None:
            placebos = subspace.placebos(checked_count(n), seed_of(effect))
            if not placebos:
                raise MethodError(f"the direction of {effect.label} is the whole component: there is no other in it")
            return cls(effect, placebos, f"{plural(len(placebos), 'random direction')}", random=True)
        if path := next((site for site in experiment.sites if site.via), None):
            raise MethodError(f"random circuits are made of components: what would be as random as {path} is not said")
        others = random_like(
            experiment.sites, experiment.universe, run.model.anatomy, checked_count(n), seed_of(effect)
        )
        if not others:
            raise MethodError(f"there is no other circuit of as many components as that of {effect.label}")
        return cls(effect, others, f"{plural(len(others), 'random circuit')} like it", random=True)

    def __repr__(self) -> str:
        return f"<rank of {self._effect.label} among {self._among}: at most {plural(self.runs, 'run')}>"

    @property
    def runs(self) -> int:
        """How many runs a decision takes at most: one of each rival on each pair."""
        return Standing(self._effect, self._rivals, 1, self._alpha).runs

    @property
    def model(self) -> LoadedModel:
        """The model that is asked."""
        return self._effect.model

    @one_question
    def _verdict(self, operator: RankOperator, wanted: int, possible: Holds, certain: Holds) -> Verdict:
        refuse_average(self._effect.run.pairs.description, f"the rank of {self._effect.label}")
        if self._there is not None:
            if operator == "==" and wanted > 1:
                raise MethodError(
                    f"{len(self._rivals)} that are drawn of {self._there} do not say which place this has among all: claim that "
                    f"the rank is <= {wanted}, or leave n out"
                )
            operator, possible, certain = "<=", self._possible(wanted), lambda low, high: high <= wanted
        standing = Standing(self._effect, self._rivals, wanted, self._alpha)
        decision: Decision = "inconclusive"
        for low, high in standing.narrowing():
            if not possible(low, high):
                decision = "refuted"
            elif certain(low, high):
                decision = "supported"
            if decision != "inconclusive":
                break
        measured = standing.measured(f"rank of {self._effect.label} among {self._among}")
        threshold = wanted
        if self._there is not None:
            threshold, measured = self._of_all(wanted, len(standing.rivals), measured)
        elif self._random:
            measured = self._of_random(measured)
        if decision == "supported":
            measured = replace(measured, high=min(float(threshold), measured.high or 1.0))
        # A decision at the level alpha / 2 is worth 2 / alpha: that much a bet on it alone would have won.
        won = math.inf if measured.exact else 2 / self._effect.run.settings.alpha
        won = min(won, e_value_of_presence(self._effect, standing.stages))
        e_value = won if decision == "supported" else 0.0
        return Verdict(decision, measured, operator, float(threshold), e_value=e_value)

    @property
    def _alpha(self) -> float:
        """What the comparisons of pairs have of alpha: half, where the draw of rivals takes the other."""
        alpha = self._effect.run.settings.alpha
        return alpha if self._there is None else alpha / 2

    def _possible(self, wanted: int) -> Holds:
        """Whether so few of all may be ahead as a claim about those drawn says."""

        def holds(low: int, high: int) -> bool:
            drawn = len(self._rivals)
            return self._at_least(low - 1, drawn) <= self._at_most(wanted - 1, drawn)

        return holds

    def _of_all(self, wanted: int, drawn: int, measured: Measurement) -> tuple[int, Measurement]:
        """The rank among all that is claimed by one among those drawn, and what was measured as one among all."""
        there, limit = self._there or drawn, self._at_most(wanted - 1, drawn)
        level = 1 - self._effect.run.settings.alpha / 2
        few = "none" if wanted == 1 else f"at most {wanted - 1}"
        note = (
            f"decided on {drawn} drawn of {plural(there, 'other')}: where {few} of these is ahead, at most {limit} of all are "
            f"(joint level {100 * level:.6g}%)"
        )
        low, high = int(measured.low or 1), int(measured.high or 1)
        return 1 + limit, replace(
            measured,
            exact=False,
            estimate=float(1 + round((measured.estimate - 1) * there / drawn)),
            low=float(1 + self._at_least(low - 1, drawn)),
            high=float(1 + self._at_most(high - 1, drawn)),
            notes=(*measured.notes, note),
        )

    def _of_random(self, measured: Measurement) -> Measurement:
        """What was measured, with what it says of all random ones."""
        level = self._effect.run.settings.alpha / 2
        share = largest_share(round(measured.high or 1) - 1, len(self._rivals), level)
        note = f"of all random ones up to {share:.2g} may be ahead of it (joint level {100 * (1 - 2 * level):.6g}%)"
        return replace(measured, exact=False, notes=(*measured.notes, note))

    def _at_most(self, ahead: int, drawn: int) -> int:
        level = self._effect.run.settings.alpha / 4
        return most_ahead(min(ahead, drawn), drawn, self._there or drawn, level)

    def _at_least(self, ahead: int, drawn: int) -> int:
        level = self._effect.run.settings.alpha / 4
        return fewest_ahead(min(ahead, drawn), drawn, self._there or drawn, level)
