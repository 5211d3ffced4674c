"""Claims about every pair that the prompts can generate.

assert model.on(FRUIT).patch("L1.N8").each > 0.1

Supported where all pairs were tried and none breaks the claim, with numbers that rest on no other draw (of donors, of a
direction); refuted by one that does, shrunk to the most ordinary; otherwise *unrefuted*: no counterexample among so many,
which is no rate and no proof. That passes, but not under ``--circuit-strict``.
"""

import math
from dataclasses import asdict, dataclass, field, replace
from functools import cache
from typing import TYPE_CHECKING, NoReturn, cast

import numpy as np

from circuitcheck import ledger
from circuitcheck.claims.estimand import Estimand
from circuitcheck.claims.mean_bases import MeanBase, mean_base_of
from circuitcheck.claims.measuring.measurement import Measurement
from circuitcheck.claims.measuring.pair_previews import shown_pair
from circuitcheck.claims.measuring.search_words import known_before, pairs_tried
from circuitcheck.claims.presence import refuse_counts
from circuitcheck.claims.thresholds import number
from circuitcheck.claims.verdicts import Verdict
from circuitcheck.engine.watching.one_question import one_question
from circuitcheck.errors import BehaviourAbsent, ComparisonError, MethodError
from circuitcheck.experiments.circuits.knockouts import as_one_work
from circuitcheck.experiments.mutants import current
from circuitcheck.models.loaded import LoadedModel
from circuitcheck.prompts.aligned_pairs import AlignedPair
from circuitcheck.prompts.hypothesis_examples import refuse_average
from circuitcheck.prompts.pairs import Side
from circuitcheck.records.counterexamples import BADNESS, Shelf
from circuitcheck.records.report_fields import DuelFields, EffectFields
from circuitcheck.sampling.samples import Sample
from circuitcheck.search.adversaries import Adversary, Coordinate, Gradient
from circuitcheck.search.plans import plan_of
from circuitcheck.search.search import Searched, search
from circuitcheck.search.trials import Numbers, Trials
from circuitcheck.statistics.evidence import Decision, Operator
from circuitcheck.texts import digest, plural
from circuitcheck.units import UNITS, with_unit

if TYPE_CHECKING:
    from circuitcheck.types import Floats

# Fewer pairs than this say nothing, unless they are all.
LEAST = 100

# Runs of a pair that is tried: the clean one, the corrupted one, and the one that is written into.
_RUNS = 3


class Each:
    """An effect in every pair by itself; made by ``effect.each``. A pair's number is its shift over the mean base, of what
    a strategy generates (which has no means) over its own."""

    def __init__(self, effect: Estimand, adversary: str = ""):
        self._effect, self._adversary = effect, adversary

    def against(self, adversary: str) -> "Each":
        """The same, searched by an adversary that climbs towards the threshold by swapping one slot's filler at a time.

            assert effect.each.against("gradient") > 0.1
            assert effect.each.against("coordinate") > 0.1

        "gradient" scores all swaps by one backward pass and runs the most promising; "coordinate" runs every swap. Raises
        ``MethodError`` where there is no such adversary, or nothing for it to do.
        """
        if adversary not in ("gradient", "coordinate"):
            raise MethodError(f"an adversary is 'gradient' or 'coordinate', not {adversary!r}")
        if not self._effect.run.pairs.templates:
            raise MethodError(f"an adversary swaps the fillers of slots, and {self._effect.run.pairs!r} has none")
        if adversary == "gradient" and self._effect.run.readout.is_text:
            raise MethodError("what a model writes has no gradient: search it against('coordinate')")
        if adversary == "gradient" and self._effect.model.attack is not None:
            raise MethodError(
                "an adversary with gradients goes by the embeddings of tokens, and "
                f"{self._effect.model.name} reads pictures: search against('coordinate')"
            )
        if adversary == "gradient" and not self._effect.experiment.at_components:
            raise MethodError(f"{self._effect.label} is not the effect of a component: search it against('coordinate')")
        return Each(self._effect, adversary)

    def __gt__(self, threshold: float) -> "EachVerdict":
        return self._compare(">", threshold)

    def __ge__(self, threshold: float) -> "EachVerdict":
        return self._compare(">=", threshold)

    def __lt__(self, threshold: float) -> "EachVerdict":
        return self._compare("<", threshold)

    def __le__(self, threshold: float) -> "EachVerdict":
        return self._compare("<=", threshold)

    def __eq__(self, other: object) -> NoReturn:
        raise ComparisonError("every pair's effect equals nothing exactly: claim that it is > or < a number, or both")

    def __ne__(self, other: object) -> NoReturn:
        raise ComparisonError("'!=' says nothing about every pair: claim that it is > or < a number")

    def __bool__(self) -> NoReturn:
        raise ComparisonError("every pair's effect is no claim: compare it, as in `assert effect.each > 0.1`")

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"<every pair's {self._effect.label}>"

    @property
    def model(self) -> LoadedModel:
        """The model that is asked."""
        return self._effect.model

    @one_question
    def _compare(self, operator: Operator, other: float) -> "EachVerdict":
        effect, run = self._effect, self._effect.run
        refuse_average(run.pairs.description, f"every pair's {effect.label}")
        refuse_counts(effect)
        threshold = effect.share(number(other))
        measured = self._measured()
        plan = plan_of(run.settings)
        space, aligner = run.search_space(plan.examples)
        over, population, is_generated = None, None, run.pairs.description.generator is not None
        if not is_generated:
            whole = run.drawn.in_whole(plan.examples)
            first = run.sample if whole is None else whole[0].sample
            over, population = mean_base_of(effect, first), first.taken
        trials = Trials(
            space,
            aligner,
            lambda sample: self._numbers(replace(sample, part_of=population), over, threshold),
            lambda found: BADNESS[operator](found, threshold),
        )
        # What breaks a claim about a mutated component is no counterexample.
        shelf = _shelf_of(effect, operator)
        known = shelf.known()
        most = _RUNS * plan.examples if space.size is None else _RUNS * min(plan.examples, space.size)
        with as_one_work(run.model.answers, f"search of every pair's {effect.label}", most):
            searched = search(trials, plan, known, self._opponent(over))
        own = {one.path.name for one in known if one.model == run.model.name}
        searched = replace(searched, fixed=tuple(name for name in searched.fixed if name in own))
        if over is None and searched.absent and searched.absent == searched.tried:
            raise BehaviourAbsent(
                f"behaviour absent: on {run.model.name} none of {plural(searched.tried, 'pair')} that {run.pairs!r} generated has a "
                f"clean minus corrupted readout above the floor of {run.floor:g}"
            )
        found = searched.counterexample
        if found is not None:
            place = None if over is None else searched.number
            claim = effect.label, operator, threshold
            shelf.keep(place, found.pair, searched.found, claim, run.model.describe())
        surely = searched.exhausted and (is_generated or population is not None) and not trials.drawn
        one = replace(
            measured,
            label=f"every pair's {effect.label}",
            estimate=searched.found if found is not None else searched.worst,
            exact=surely,
            n=searched.tried - searched.absent,
        )
        decision = _decided(searched, surely)
        if run.settings.replay and decision != "refuted":
            decision = "unrefuted"
        e_value = math.inf if decision == "supported" else 0.0
        return EachVerdict(decision, one, operator, threshold, e_value=e_value, searched=searched)

    def _numbers(self, sample: Sample, known: MeanBase | None, threshold: float) -> Numbers:
        """What the claim is about in some pairs, over the mean base or (None) each pair's own."""
        effect, run = self._effect, self._effect.run
        base = effect.base_on(sample)
        there = base > run.floor if UNITS[effect.unit].is_share else np.ones(len(base), dtype=bool)
        over = np.where(there, base, 1.0) if known is None else np.full(len(base), known.mean)
        rounding = run.noise_on(sample) + run.model.rounding * np.abs(threshold * over)
        rounding = rounding + (0.0 if known is None else known.doubt(threshold))
        drawn = bool(effect.on(sample).drawn)
        return Numbers(effect.shift_on(sample) / over, rounding / np.abs(over), there.tolist(), drawn)

    def _opponent(self, known: MeanBase | None) -> Adversary | None:
        if self._adversary == "coordinate":
            return Coordinate()
        experiment = self._effect.experiment
        if not self._adversary or known is None or not experiment.at_components:
            return None

        embeddings = cache(lambda: self._effect.model.embeddings)

        def slopes(pair: AlignedPair) -> "tuple[dict[Side, Floats], Floats]":
            found = experiment.slopes(pair)
            return {side: slope / known.mean for side, slope in found.items()}, embeddings()

        return Gradient(slopes)

    def _measured(self) -> Measurement:
        """What all of the claim's numbers have in common; raises ``BehaviourAbsent`` where the mean gap is not there."""
        effect, run = self._effect, self._effect.run
        if run.pairs.description.generator is not None:
            return Measurement(
                label=effect.label,
                unit=effect.unit,
                estimate=math.nan,
                low=None,
                high=None,
                level=1 - run.settings.alpha,
                exact=False,
                n=0,
                rejected=0,
                rejections="",
                method=effect.method,
                model=run.model.name,
                fingerprint=run.model.fingerprint,
                population=f"what {run.pairs!r} generates",
                population_id=run.pairs.identity,
                pairs=(),
                per_pair=np.array([]),
                gap=math.nan,
            )
        return replace(
            effect.measure(),
            low=None,
            high=None,
            pairs=(),
            per_pair=np.array([]),
            notes=(),
            describe_controls=lambda: None,
        )


@dataclass(eq=False, repr=False)
class EachVerdict(Verdict):
    """The verdict of a search. One that is unrefuted is true, and fails its test under ``--circuit-strict`` all the same."""

    searched: Searched = field(kw_only=True)

    def __bool__(self) -> bool:
        if self.decision != "unrefuted":
            return super().__bool__()
        self.asserted = True
        ledger.note_verdict(self)
        return True

    @property
    def line(self) -> str:
        """The verdict, and what it rests on."""
        found = self.measurement
        where = with_unit(f"{found.estimate:.3g}", found.unit, after="")
        if self.searched.counterexample is not None:
            return f"{self.decision}: {self.claim}: it is {where} for {self.searched.counterexample.pair.clean.text!r}"
        return f"{self.decision}: {self.claim}: {self.standing}; the worst is {where}"

    @property
    def why_final(self) -> str:
        return "a search looked for pairs that break the claim at its own threshold, and for no others"

    @property
    def known(self) -> str:
        """What became of counterexamples that were known before, in words."""
        searched = self.searched
        return known_before(searched.known_failing, searched.known_loosened, len(searched.fixed))

    @property
    def standing(self) -> str:
        """How many pairs were tried, in words."""
        searched = self.searched
        of = "pairs of more than can be counted" if searched.of is None else f"of {plural(searched.of, 'pair')}"
        return f"no counterexample in {searched.tried:,} {of}{self.known}"

    def explain(self) -> str:
        """At most 8 lines, the verdict first."""
        searched, found = self.searched, self.measurement
        is_over_own = math.isnan(found.gap) and UNITS[found.unit].is_share
        gap = (
            "; each pair over its own gap"
            if is_over_own
            else ""
            if math.isnan(found.gap)
            else f"; mean gap {found.gap:.3g}"
        )
        lines = [self.line, f"  model    {found.model}{gap}"]
        method = f"{found.method.direction}: {found.method.value}" if found.method.direction else found.method.value
        lines.append(f"  method   {method}; positions: {found.method.positions}")
        absent = (
            f"; in {searched.absent} the behaviour itself is absent, and they don't count" if searched.absent else ""
        )
        lines.append(f"  search   {pairs_tried(searched.tried, searched.of, searched.failing)}{self.known}{absent}")
        if searched.duel is not None:
            lines.append(f"  against  {searched.duel}")
        pair = searched.counterexample
        if pair is not None:
            lines.append(f"  pair     {pair.pair.shown}{self._free()}")
            if searched.first is not None and searched.first != pair:
                lines.append(f"  from     {searched.first.pair.shown}")
            lines.append(f"  replay   {_replay(pair)}")
        elif searched.exhausted and not found.exact and not searched.near:
            lines.append(
                "  advice   all pairs were tried, each with one draw (a donor, a direction): others may break it"
            )
        elif self.decision == "inconclusive":
            lines.append("  advice   too few pairs were tried, or the worst equals the threshold to within rounding")
        elif self.decision == "unrefuted":
            lines.append("  advice   --circuit-strict lets this not pass; try more with --circuit-examples")
        return "\n".join(lines)

    def as_json(self) -> EffectFields:
        """As other verdicts, with what was searched; nothing of a search is an average."""
        searched = self.searched
        pair = searched.counterexample
        return {
            **super().as_json(),
            "fillers": None,
            "searched": {
                "tried": searched.tried,
                "of": searched.of,
                "failing": searched.failing,
                "absent": searched.absent,
                "known_failing": searched.known_failing,
                "known_fixed": len(searched.fixed),
                "known_loosened": searched.known_loosened,
                "fixed": list(searched.fixed),
                "standing": self.standing,
                "clean": None if pair is None else pair.pair.clean.text,
                "corrupt": pair.pair.corrupt.text if pair is not None and pair.pair.is_contrast else None,
                "pair": None if pair is None else shown_pair(pair),
                "free": list(searched.free),
                "first": None if searched.first in (None, pair) else searched.first.pair.clean.text,
                "replay": None if pair is None else _replay(pair),
                "duel": None if searched.duel is None else cast(DuelFields, asdict(searched.duel)),
            },
        }

    def _free(self) -> str:
        free = self.searched.free
        return f"; or any other {' or '.join(f'{{{slot}}}' for slot in free)}" if free else ""


def _shelf_of(effect: Estimand, operator: Operator) -> Shelf:
    """Where the counterexamples of a claim about every pair are."""
    side = ">" if operator in (">", ">=") else "<"
    what = [effect.run.pairs.description.as_json(), effect.label, effect.method.as_json(), effect.unit, side]
    kept = None if current() else effect.run.model.counterexamples
    return Shelf(kept, digest(what))


def _replay(pair: AlignedPair) -> str:
    """What brings a pair back."""
    return f"PromptPairs.from_rows([{pair.as_row()!r}])"


def _decided(searched: Searched, surely: bool) -> Decision:
    """``surely``: what is found in all pairs is so whatever is drawn."""
    if searched.counterexample is not None:
        return "refuted"
    counted = searched.tried - searched.absent
    if searched.near or not counted:
        return "inconclusive"
    if surely:
        return "supported"
    return "unrefuted" if counted >= LEAST else "inconclusive"
