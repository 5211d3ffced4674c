"""What the numbers of one model on one population rest on: the pairs, their base runs, and how they become evidence."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, NoReturn

import numpy as np

from circuitcheck import ledger
from circuitcheck.alignment import Aligner
from circuitcheck.clusters import clusters
from circuitcheck.engine import Outcome, Sample
from circuitcheck.engine.reference import Reference
from circuitcheck.errors import BehaviourAbsent, ClaimInconclusive, MethodError, PromptError
from circuitcheck.evidence import Evidence, Order
from circuitcheck.given import is_inside, reject
from circuitcheck.methods import Side
from circuitcheck.populations import Population
from circuitcheck.prompts import PromptPairs
from circuitcheck.readouts import readout
from circuitcheck.sampling import Drawn, Stage
from circuitcheck.search.spaces import Combinations, Space
from circuitcheck.search.strategies import Generated
from circuitcheck.settings import Settings
from circuitcheck.sites import Position, parse_position
from circuitcheck.units import with_unit

if TYPE_CHECKING:
    from circuitcheck.models import Model
    from circuitcheck.readouts import Function
    from circuitcheck.types import Floats

# Reference pairs whose mean gap is the ruler of what is clipped; pairs that numbers which decide nothing are made on; pairs
# that controls are described on.
_RULER_PAIRS = 16
_DESCRIBED = 256
_FEW = 32
# Mean gaps that a pair counts for at most in whether there is a gap at all.
_PRESENCE_BOUND = 1.0
_END = Position(offset=-1)


class Grounds:
    """A model, a population of pairs and a readout. ``generalise``: what the statement is about new ones of; ``at``: the
    position whose prediction is read (the last, where nothing is said)."""

    def __init__(
        self, model: "Model", pairs: PromptPairs, readout_given: "str | Function", generalise: str = "", at: str = ""
    ):
        if not isinstance(pairs, PromptPairs):
            raise PromptError(f"model.on takes PromptPairs, not a {type(pairs).__name__}")
        self.model, self.pairs, self.readout, self.generalise = model, pairs, readout(readout_given), generalise
        self.read_at = parse_position(at, model.anatomy) if at else _END
        if self.read_at.everywhere:
            raise MethodError("a run is read at one position, such as at='@{slot}', and @* names all of them")
        self.sampler = model.sampler.reading_at(None if self.read_at == _END else self.read_at)
        # What is read, in short; nothing of the logit difference at the last position.
        self.where = "" if self.read_at == _END else f" [@{self.read_at}]"
        self.tag = self.where if self.readout.name == "logit_diff" else f" [{self.readout.short}]{self.where}"

    @property
    def reads(self) -> str:
        """What is read, and where, in words."""
        return f"{self.readout}, {'last position' if self.read_at == _END else f'behind @{self.read_at}'}"

    @property
    def drawn(self) -> Drawn:
        """The pairs that every number on this population is about."""
        return self.sampler.drawn(self.pairs)

    @property
    def sample(self) -> Sample:
        """The first of them: all, where the population is small."""
        return self.drawn.first.sample

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

    @property
    def population(self) -> str:
        """What the statement is about, in words."""
        if not self.generalise:
            return self.drawn.words
        return f"{self.drawn.words}, as of new {'templates' if self.generalise == 'template' else f'fillers of {{{self.generalise}}}'}"

    @cached_property
    def few(self) -> Sample:
        """A few of the pairs, on which components are described."""
        return self.sample.first(_FEW)

    def fixed(self, n: int) -> Sample:
        """So many pairs (at most) that the population alone decides: what is chosen by looking at pairs is the same under
        every seed."""
        whole = self.sample.whole and len(self.sample.pairs) <= n
        return self.sample if whole else self.sampler.fixed(self.pairs, n)

    @property
    def reference(self) -> Reference:
        """The reference set of this population's ablations, before it is known whether the pairs come to an end."""
        return self.reference_of(self.sample)

    def reference_of(self, sample: Sample) -> Reference:
        """The reference set of the ablations of some pairs."""
        return self.sampler.reference(self.pairs, sample.taken)

    @property
    def gaps(self) -> "Floats":
        """Clean minus corrupted readout of each pair of ``sample``, of shape [pair]."""
        return self._gaps(self.sample)

    def gaps_of(self, stages: "Sequence[Stage]") -> "Floats":
        """Clean minus corrupted readout of each pair, of shape [pair]."""
        return np.concatenate([self._gaps(stage.sample) for stage in stages])

    @cached_property
    def ruler(self) -> Sample:
        """A few reference pairs, whose mean gap is what sampled evidence is clipped by: frozen before any is gathered."""
        return self.reference.sample.first(_RULER_PAIRS)

    @property
    def noise(self) -> float:
        """What rounding can make of a mean readout."""
        return float(self.noise_on(self.sample).mean())

    def noise_on(self, sample: Sample) -> "Floats":
        """The same of each of some pairs, of shape [pair]."""
        return self.model.engine.noise(sample, self.readout)

    def evidence(
        self,
        stages: "Sequence[Stage]",
        shift: "Floats",
        base: "Floats",
        limits: tuple[float, float] | None = None,
        drawn: bool = False,
        doubt: "Floats | None" = None,
    ) -> Evidence:
        """Numbers of the pairs of some stages as evidence. ``drawn``: each pair's number is a draw by itself; ``doubt``: by
        how much each is in doubt."""
        settings, all_there = self.settings, stages[-1].exhausted
        whole = all_there and not drawn
        order: Order | None = None  # where there is but one look
        if not self.generalise and not (all_there and len(stages) == 1):
            places = tuple(place for stage in stages for place in stage.places)
            order = Order(places, stages[-1].tried, None if drawn else self.drawn.size)
        if self.generalise:
            groups = clusters([pair for stage in stages for pair in stage.sample.pairs], self.generalise)
            shift, base, whole = groups.means(shift), groups.means(base), False
            doubt = None if doubt is None else groups.means(doubt)
        return Evidence(
            shift,
            base,
            whole,
            settings.alpha,
            limits,
            order=order,
            scale=1.0 if whole or limits is not None else self._scale,
            bound=settings.bound,
            rounding=self.model.rounding,
            noise=self.noise,
            clusters=bool(self.generalise),
            doubt=doubt,
        )

    @property
    def _scale(self) -> float:
        """The mean gap of the reference pairs, or what a behaviour takes at least."""
        return max(abs(float(self._gaps(self.ruler).mean())), self.floor, self.noise) or 1.0

    def clipping(self, evidence: Evidence) -> str:
        """What numbers are clipped to, in words."""
        if evidence.whole or evidence.limits is not None:
            return "nothing"
        return f"±{evidence.bound:g} mean gaps of {self._amount(evidence.scale)} (of {len(self.ruler.pairs)} reference pairs)"

    def search_space(self, examples: int) -> tuple[Space, Aligner]:
        """What a search for a counterexample goes through; of what a strategy generates, so many examples."""
        space: Space
        if self.pairs.generator is None:
            space = Combinations(Population(self.pairs, self.settings.seed))
        else:
            space = Generated(self.pairs.generator, self.settings.seed, examples)
        return space, self.sampler.aligner

    @property
    def floor(self) -> float:
        """The mean gap under which a behaviour is absent. Of a function, whose units nobody has told, what is more than
        rounding is there."""
        settings = self.model.settings
        if self.readout.function is not None:
            return 0.0
        return settings.floor_share if self.readout.limits is not None else settings.floor_logits

    def is_present(self, stages: "Sequence[Stage]", base: "Floats", what: str, drawn: bool = False) -> bool:
        """Whether the mean of ``base`` is established to be above the floor; raises ``BehaviourAbsent`` where it is
        established not to be. ``drawn``: each pair's number is a draw by itself."""
        evidence = self._evidence_of_presence(stages, base, drawn)
        if evidence.above(self.floor):
            return True
        if evidence.below(self.floor) or evidence.whole:
            if self.pairs.is_example and is_inside():
                reject("the behaviour is absent")
            found = f"on {self.model.name} {what} is {self._amount(base.mean())} (n={len(base)})"
            raise BehaviourAbsent(
                f"behaviour absent: {found}, not above the floor of {self.floor:g}\n"
                f"  A share of it would mean nothing. Look at the prompts with pairs.show(model), e.g.\n"
                f"  {self.sample.pairs[0].pair.clean.text!r} / {self.sample.pairs[0].pair.corrupt.text!r}"
            )
        return False

    def raise_not_established(self, base: "Floats", what: str) -> NoReturn:
        """For a behaviour that the budget did not establish."""
        raise ClaimInconclusive(
            f"inconclusive: on {self.model.name} {what} is {self._amount(base.mean())} (n={len(base)}), and that "
            f"does not establish that it is above the floor of {self.floor:g}\n"
            "  advice   draw more pairs (--circuit-budget), or look at the prompts with pairs.show(model)"
        )

    def e_value_of_presence(self, stages: "Sequence[Stage]", base: "Floats", drawn: bool) -> float:
        """How much the evidence speaks for the mean of ``base`` being above the floor."""
        evidence = self._evidence_of_presence(stages, base, drawn)
        return evidence.e_value(1, self.floor)

    def _evidence_of_presence(self, stages: "Sequence[Stage]", base: "Floats", drawn: bool) -> Evidence:
        evidence = self.evidence(stages, base, np.ones(len(base)), self.readout.limits, drawn)
        return replace(evidence, bound=min(evidence.bound, _PRESENCE_BOUND))

    def _amount(self, number: float) -> str:
        return with_unit(f"{number:.3g}", self.readout.unit, after="")

    def _base(self, sample: Sample, side: Side) -> Outcome:
        return self.model.engine.base(sample, side, self.readout)

    def _gaps(self, sample: Sample) -> "Floats":
        return self._base(sample, "clean").values - self._base(sample, "corrupt").values
