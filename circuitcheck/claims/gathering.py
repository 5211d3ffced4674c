"""How the numbers of a setup become evidence: pairs in stages, what is clipped, and whether there is anything to be a share of."""

from collections import deque
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from itertools import chain
from typing import TYPE_CHECKING, NamedTuple, NoReturn

import numpy as np

from circuitcheck.errors import BehaviourAbsent, ClaimInconclusive
from circuitcheck.experiments.setups import Setup
from circuitcheck.prompts.alignment import Aligner
from circuitcheck.prompts.hypothesis_examples import is_inside, reject
from circuitcheck.prompts.populations import Population
from circuitcheck.sampling.samples import Sample
from circuitcheck.sampling.stages import Stage
from circuitcheck.search.combinations import Combinations
from circuitcheck.search.strategies import Generated
from circuitcheck.search.trials import Space
from circuitcheck.settings import budget_for
from circuitcheck.statistics.clusters import Clusters, clusters
from circuitcheck.statistics.evidence import Evidence, Order
from circuitcheck.statistics.reference_parts import SPENT, Parts
from circuitcheck.statistics.weights import mean_over, weights_of
from circuitcheck.texts import plural
from circuitcheck.units import certainty, with_unit

if TYPE_CHECKING:
    from circuitcheck.types import Floats

# Reference pairs whose mean gap is the ruler of what is clipped; pairs that numbers which decide nothing are made on.
_RULER_PAIRS = 16
_DESCRIBED = 256


class Denominator(NamedTuple):
    """What must be there for a share of it to mean anything: in words, its number in each pair, what that lies between by its
    nature (None where nothing bounds it), whether each pair's number is a draw by itself, its number in the reference pairs
    that set the scale of what is clipped, and in the first pairs without each part of a reference set that was drawn, with what the
    spread of these is multiplied by."""

    what: str
    base: "Floats"
    limits: tuple[float, float] | None
    drawn: bool
    on_ruler: "Callable[[], Floats]"
    of_parts: "Sequence[Floats]" = ()
    correction: float = 0.0


class Gathering(Setup):
    """A setup whose numbers are gathered as evidence."""

    @property
    def described(self) -> list[Stage]:
        """The pairs that numbers are about which decide nothing: the first 256, or the budget where that is less."""
        *_, stages = self.drawn.looks(min(self.settings.budget, _DESCRIBED))
        return stages

    def looks(self) -> Iterator[list[Stage]]:
        """The pairs there are each time that evidence is looked at, up to the budget. A statement about new templates or
        fillers is looked at once: their means change as pairs come in."""
        settings = self.settings
        budget = min(settings.budget, _DESCRIBED) if self.generalise else settings.budget
        orders = [self.sampler.drawn(self.pairs, self._evenly, seed).looks(budget) for seed in settings.seeds]
        looks = (
            # The end of a population is the same in every order.
            look[0] if look[0][-1].exhausted else [*chain.from_iterable(zip(*look, strict=True))]
            for look in zip(*orders, strict=True)
        )
        yield from deque(looks, maxlen=1) if self.generalise else looks

    @cached_property
    def ruler(self) -> Sample:
        """A few reference pairs, whose mean gap is what sampled evidence is clipped by: frozen before any is gathered."""
        return self.reference.sample.first(_RULER_PAIRS)

    def evidence(
        self,
        stages: Sequence[Stage],
        shift: "Floats",
        base: "Floats",
        limits: tuple[float, float] | None = None,
        drawn: bool = False,
        doubt: "Floats | None" = None,
        counted: bool = False,
        parts: Parts | None = None,
    ) -> Evidence:
        """Numbers of the pairs of some stages as evidence. ``drawn``: each pair's number is a draw by itself; ``doubt``: by
        how much each is in doubt; ``counted``: of new templates or fillers, of how many shift and base are above 0;
        ``parts``: what they become without each part of a reference set. Those of several orders are each evidence by itself, and
        averaged."""
        if len(seeds := {stage.seed: None for stage in stages}) > 1:
            whose = np.repeat([stage.seed for stage in stages], [len(stage.sample.pairs) for stage in stages])
            first, *others = [
                self.evidence(
                    [stage for stage in stages if stage.seed == seed],
                    shift[whose == seed],
                    base[whose == seed],
                    limits,
                    drawn,
                    None if doubt is None else doubt[whose == seed],
                    counted,
                    parts,
                )
                for seed in seeds
            ]
            return replace(first, others=tuple(others))
        settings, all_there = self.settings, stages[-1].exhausted
        whole = all_there and not drawn
        order: Order | None = None  # where there is but one look, or one each time that all pairs are there again
        if not (self.generalise or all_there):
            places = tuple(place for stage in stages for place in stage.places)
            order = Order(places, stages[-1].tried, None if drawn else self.drawn.size)
        pairs = [pair for stage in stages for pair in stage.sample.pairs]
        weights = weights_of(pairs)
        if self.generalise:
            groups = self.clusters_of(stages)
            shift, base, whole = groups.means(shift, weights), groups.means(base, weights), False
            doubt = None if doubt is None else groups.means(doubt, weights)
        elif weights is not None:  # what is drawn and bounded must not grow beyond its limits
            weights = weights / (weights.max() if limits is not None and not whole else weights.mean())
            shift, base, doubt = weights * shift, weights * base, None if doubt is None else weights * doubt
        if counted:
            reach = 0.0 if parts is None else parts.reach(0.0, SPENT * settings.alpha / 2)
            near = np.abs(shift) <= self.noise + self.model.rounding * np.abs(base) + reach
            above = (shift > 0) & (base > 0)
            shift, base, limits, doubt = np.where(near, 0.5, above), np.ones(len(base)), (0.0, 1.0), near * 0.5
        return Evidence(
            shift,
            base,
            whole,
            settings.alpha,
            limits,
            order=order,
            scale=1.0 if whole or limits is not None else self.scale,
            bound=settings.bound,
            rounding=self.model.rounding,
            noise=self.noise,
            clusters=bool(self.generalise),
            doubt=doubt,
            counted=counted,
            parts=None if counted else parts,
            spent=SPENT if counted and parts is not None else 0.0,
        )

    def clusters_of(self, stages: Sequence[Stage]) -> Clusters:
        """The pairs of some stages by template, or by filler; raises ``MethodError`` for too few of them."""
        return clusters([pair for stage in stages for pair in stage.sample.pairs], self.generalise)

    @staticmethod
    def parts(shifts: "Sequence[Floats]", bases: "Sequence[Floats]", correction: float) -> Parts | None:
        """Shifts and bases of the first pairs, without each part of the reference set, as what they become in the mean; None
        where nothing depends on it."""
        shift, base = (np.array([numbers.mean() for numbers in some]) for some in (shifts, bases))
        if not shifts or not (np.ptp(shift) or np.ptp(base)):
            return None
        return Parts(shift, base, correction)

    @property
    def scale(self) -> float:
        """The mean gap of the reference pairs, or what a behaviour takes at least."""
        ruler = self.ruler
        return self._scale_of(self.gaps_on(ruler) if self.is_contrast else self.base(ruler, "clean").values)

    def _scale_of(self, base: "Floats") -> float:
        """Of numbers of the reference pairs."""
        return max(abs(float(mean_over(self.ruler.pairs, base))), self.floor, self.noise) or 1.0

    def clipping(self, evidence: Evidence) -> str:
        """What numbers are clipped to, in words."""
        if evidence.whole or evidence.limits is not None:
            return "nothing"
        what = "mean gaps" if self.is_contrast else "mean clean readouts"
        return f"±{evidence.bound:g} {what} of {self._amount(evidence.scale)} (of {plural(len(self.ruler.pairs), 'reference pair')})"

    def search_space(self, examples: int) -> tuple[Space, Aligner]:
        """What a search for a counterexample goes through; of what a strategy generates, so many examples."""
        space: Space
        if self.pairs.description.generator is None:
            space = Combinations(Population(self.pairs.description, self.settings.seed))
        else:
            space = Generated(self.pairs.description.generator, self.settings.seed, examples)
        return space, self.sampler.aligner

    @property
    def floor(self) -> float:
        """The mean gap under which a behaviour is absent. Of a function, whose units nobody has told, what is more than
        rounding is there."""
        settings = self.model.settings
        if not self.readout.has_scale:
            return 0.0
        return settings.floor_share if self.readout.limits is not None else settings.floor_logits

    def is_present(self, stages: Sequence[Stage], there: Denominator) -> bool:
        """Whether a denominator's mean is established to be above the floor; raises ``BehaviourAbsent`` where it is
        established not to be."""
        evidence, least = self._presence_of(stages, there)
        if evidence.above(least):
            return True
        if evidence.below(least) or evidence.whole:
            if self.pairs.description.is_example and is_inside():
                reject("the behaviour is absent")
            raise BehaviourAbsent(
                f"behaviour absent: {self._mean_of(stages, there)}, not above the floor of {self.floor:g}\n"
                f"  A share of it would mean nothing. Look at the prompts with pairs.show(model), e.g.\n"
                f"  {self.sample.pairs[0].pair.shown}"
            )
        return False

    def raise_not_established(self, stages: Sequence[Stage], there: Denominator) -> NoReturn:
        """For a behaviour that the budget did not establish."""
        evidence, least = self._presence_of(stages, there)
        needed = None if stages[-1].exhausted else evidence.needed(least)
        low, high = evidence.clipped(least)
        if evidence.counted:
            many = f"{int(evidence.shift.sum())} of {len(evidence.shift)} are above it, which"
            what, advice = f"{many} does not establish that most new ones are", "give more of them"
        else:
            sure = certainty(False, 1 - evidence.alpha, *evidence.interval())
            what = f"{sure}: that does not establish that it is above the floor of {self.floor:g}"
            advice = f"it may take about {needed:,} pairs (--circuit-budget={budget_for(needed)})" if needed else ""
            advice = advice or "more pairs would hardly help: look at them with pairs.show(model)"
        if low + high:
            what += f"; {low + high} of {plural(len(there.base), 'pair')} {'lies' if low + high == 1 else 'lie'} beyond {evidence.bound:g} mean gaps (--circuit-bound)"
        raise ClaimInconclusive(
            f"inconclusive: {self._mean_of(stages, there)}; {what}\n"
            f"  advice   {advice}; or claim the effect .raw, which is a share of nothing"
        )

    def e_value_of_presence(self, stages: Sequence[Stage], there: Denominator) -> float:
        """How much the evidence speaks for a denominator's mean being above the floor."""
        evidence, least = self._presence_of(stages, there)
        return evidence.e_value(1, least)

    @cached_property
    def _presence(self) -> "dict[Hashable, dict[Hashable, tuple[Evidence, float]]]":
        """Of the last look, the evidence of what its effects are shares of."""
        return {}

    def _presence_of(self, stages: Sequence[Stage], there: Denominator) -> tuple[Evidence, float]:
        """The evidence of a denominator, and what it must be above. Of so few templates or fillers that no mean of new ones
        is decided, it is counted which are above the floor: these must be most of all."""
        look = tuple(stages), self.settings
        if look not in self._presence:
            self._presence.clear()
            self._presence[look] = {}
        known, key = self._presence[look], (there.base.tobytes(), there.limits, there.drawn)
        if key not in known:
            ones = np.ones_like(there.base)
            parts = self.parts(there.of_parts, list(map(np.ones_like, there.of_parts)), there.correction)
            evidence = self.evidence(stages, there.base, ones, there.limits, there.drawn, parts=parts)
            if evidence.is_clipped:
                evidence = replace(evidence, scale=self._scale_of(there.on_ruler()))
            known[key] = evidence, self.floor
            if evidence.is_too_few:
                above = there.base - self.floor
                known[key] = self.evidence(stages, above, above, drawn=there.drawn, counted=True, parts=parts), 0.5
        return known[key]

    @staticmethod
    def mean_on(stages: Sequence[Stage], numbers: "Floats") -> float:
        """The mean over the pairs of some stages, as often as each counts."""
        return float(mean_over([pair for stage in stages for pair in stage.sample.pairs], numbers))

    def _mean_of(self, stages: Sequence[Stage], there: Denominator) -> str:
        mean = self._amount(self.mean_on(stages, there.base))
        return f"on {self.model.name} {there.what} is {mean} (n={len(there.base)})"

    def _amount(self, number: float) -> str:
        return with_unit(f"{number:.3g}", self.unit, after="")
