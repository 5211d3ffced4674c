"""How the numbers of a setup become evidence: pairs in stages, what is clipped, and whether there is anything to be a share of."""

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, NoReturn

import numpy as np

from circuitcheck import ledger
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
from circuitcheck.settings import Settings
from circuitcheck.statistics.clusters import clusters
from circuitcheck.statistics.evidence import Evidence, Order
from circuitcheck.statistics.weights import mean_over, weights_of
from circuitcheck.units import with_unit

if TYPE_CHECKING:
    from circuitcheck.types import Floats

# Reference pairs whose mean gap is the ruler of what is clipped; pairs that numbers which decide nothing are made on; pairs
# that controls are described on.
_RULER_PAIRS = 16
_DESCRIBED = 256
_FEW = 32
# Mean gaps that a pair counts for at most in whether there is a gap at all.
_PRESENCE_BOUND = 1.0


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
        if self.generalise:
            yield self.described
        else:
            yield from self.drawn.looks(self.settings.budget)

    @property
    def settings(self) -> Settings:
        """The session's, with what the running test's marker sets."""
        return replace(self.model.settings, **ledger.current().settings)

    @cached_property
    def few(self) -> Sample:
        """A few of the pairs, on which components are described."""
        return self.sample.first(_FEW)

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
        bound: float | None = None,
    ) -> Evidence:
        """Numbers of the pairs of some stages as evidence. ``drawn``: each pair's number is a draw by itself; ``doubt``: by
        how much each is in doubt; ``bound``: mean gaps that a pair counts for at most, where not as the settings say."""
        settings, all_there = self.settings, stages[-1].exhausted
        whole = all_there and not drawn
        order: Order | None = None  # where there is but one look
        if not self.generalise and not (all_there and len(stages) == 1):
            places = tuple(place for stage in stages for place in stage.places)
            order = Order(places, stages[-1].tried, None if drawn else self.drawn.size)
        pairs = [pair for stage in stages for pair in stage.sample.pairs]
        weights = weights_of(pairs)
        if self.generalise:
            groups = clusters(pairs, self.generalise)
            shift, base, whole = groups.means(shift, weights), groups.means(base, weights), False
            doubt = None if doubt is None else groups.means(doubt, weights)
        elif weights is not None:  # what is drawn and bounded must not grow beyond its limits
            weights = weights / (weights.max() if limits is not None and not whole else weights.mean())
            shift, base, doubt = weights * shift, weights * base, None if doubt is None else weights * doubt
        return Evidence(
            shift,
            base,
            whole,
            settings.alpha,
            limits,
            order=order,
            scale=1.0 if whole or limits is not None else self._scale,
            bound=settings.bound if bound is None else bound,
            rounding=self.model.rounding,
            noise=self.noise,
            clusters=bool(self.generalise),
            doubt=doubt,
        )

    @property
    def _scale(self) -> float:
        """The mean gap of the reference pairs, or what a behaviour takes at least."""
        ruler = self.ruler
        numbers = self.gaps_on(ruler) if self.is_contrast else self.base(ruler, "clean").values
        return max(abs(float(mean_over(ruler.pairs, numbers))), self.floor, self.noise) or 1.0

    def clipping(self, evidence: Evidence) -> str:
        """What numbers are clipped to, in words."""
        if evidence.whole or evidence.limits is not None:
            return "nothing"
        what = "mean gaps" if self.is_contrast else "mean clean readouts"
        return (
            f"±{evidence.bound:g} {what} of {self._amount(evidence.scale)} (of {len(self.ruler.pairs)} reference pairs)"
        )

    def search_space(self, examples: int) -> tuple[Space, Aligner]:
        """What a search for a counterexample goes through; of what a strategy generates, so many examples."""
        space: Space
        if self.pairs.generator is None:
            space = Combinations(Population(self.pairs.description, self.settings.seed))
        else:
            space = Generated(self.pairs.generator, self.settings.seed, examples)
        return space, self.sampler.aligner

    @property
    def floor(self) -> float:
        """The mean gap under which a behaviour is absent. Of a function, whose units nobody has told, what is more than
        rounding is there."""
        settings = self.model.settings
        if not self.readout.has_scale:
            return 0.0
        return settings.floor_share if self.readout.limits is not None else settings.floor_logits

    def is_present(self, stages: Sequence[Stage], base: "Floats", what: str, drawn: bool = False) -> bool:
        """Whether the mean of ``base`` is established to be above the floor; raises ``BehaviourAbsent`` where it is
        established not to be. ``drawn``: each pair's number is a draw by itself."""
        evidence = self._evidence_of_presence(stages, base, drawn)
        if evidence.above(self.floor):
            return True
        if evidence.below(self.floor) or evidence.whole:
            if self.pairs.is_example and is_inside():
                reject("the behaviour is absent")
            found = f"on {self.model.name} {what} is {self._amount(self.mean_on(stages, base))} (n={len(base)})"
            raise BehaviourAbsent(
                f"behaviour absent: {found}, not above the floor of {self.floor:g}\n"
                f"  A share of it would mean nothing. Look at the prompts with pairs.show(model), e.g.\n"
                f"  {self.sample.pairs[0].pair.shown}"
            )
        return False

    def raise_not_established(self, stages: Sequence[Stage], base: "Floats", what: str) -> NoReturn:
        """For a behaviour that the budget did not establish."""
        raise ClaimInconclusive(
            f"inconclusive: on {self.model.name} {what} is {self._amount(self.mean_on(stages, base))} (n={len(base)}), and that "
            f"does not establish that it is above the floor of {self.floor:g}\n"
            "  advice   draw more pairs (--circuit-budget), or look at the prompts with pairs.show(model)"
        )

    def e_value_of_presence(self, stages: Sequence[Stage], base: "Floats", drawn: bool) -> float:
        """How much the evidence speaks for the mean of ``base`` being above the floor."""
        evidence = self._evidence_of_presence(stages, base, drawn)
        return evidence.e_value(1, self.floor)

    @cached_property
    def _presence(self) -> "dict[Hashable, dict[Hashable, Evidence]]":
        """Of the last look, the evidence of what its effects are shares of."""
        return {}

    def _evidence_of_presence(self, stages: Sequence[Stage], base: "Floats", drawn: bool) -> Evidence:
        look = tuple(stages), self.settings
        if look not in self._presence:
            self._presence.clear()
            self._presence[look] = {}
        known, key = self._presence[look], (base.tobytes(), drawn)
        if key not in known:
            bound = min(self.settings.bound, _PRESENCE_BOUND)
            known[key] = self.evidence(stages, base, np.ones(len(base)), self.readout.limits, drawn, bound=bound)
        return known[key]

    @staticmethod
    def mean_on(stages: Sequence[Stage], numbers: "Floats") -> float:
        """The mean over the pairs of some stages, as often as each counts."""
        return float(mean_over([pair for stage in stages for pair in stage.sample.pairs], numbers))

    def _amount(self, number: float) -> str:
        return with_unit(f"{number:.3g}", self.unit, after="")
