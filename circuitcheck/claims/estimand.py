"""Estimands: numbers that are gathered as evidence, and measured."""

import math
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import replace
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

import numpy as np

from circuitcheck import ledger
from circuitcheck.claims.gathering import Gathering
from circuitcheck.claims.measuring.measurement import Behaviour, Controls, Measurement, Stopped
from circuitcheck.claims.measuring.other_ways import other_ways
from circuitcheck.claims.measuring.remarks import remarks, remarks_on_lengths, seen_before
from circuitcheck.claims.presence import e_value_of_presence, is_present, raise_not_established, raise_undecided
from circuitcheck.claims.thresholds import checked_precision, checked_share
from circuitcheck.engine.watching.one_question import once_a_generation, one_question
from circuitcheck.errors import MethodError
from circuitcheck.experiments.experiment import Draw, Experiment, Gathered
from circuitcheck.experiments.methods import Method
from circuitcheck.models.loaded import LoadedModel
from circuitcheck.prompts.alignment import Rejections
from circuitcheck.prompts.hypothesis_examples import refuse_average
from circuitcheck.prompts.images.aligning import remark_on_attacks
from circuitcheck.sampling.references import PARTS
from circuitcheck.sampling.samples import Sample
from circuitcheck.sampling.stages import Stage
from circuitcheck.settings import Settings, locked_as
from circuitcheck.statistics.evidence import Decision, Evidence, half_width
from circuitcheck.statistics.weights import mean_over
from circuitcheck.units import UNITS, margin_of_drift

if TYPE_CHECKING:
    from circuitcheck.types import Floats, Integers


class Estimand:
    """A number about a run, as evidence and as a measurement; what may be claimed of it is said by ``Effect``.

    ``experiment`` is what is done and read; ``behind`` other estimands that must be there for this one to mean anything;
    ``describe_controls`` gives what it stands among.
    """

    def __init__(
        self,
        experiment: Experiment,
        behind: "tuple[Estimand, ...]" = (),
        describe_controls: "Callable[[Sequence[Stage]], Controls | None]" = lambda stages: None,
    ):
        run = experiment.setup
        if not isinstance(run, Gathering):
            raise AssertionError("evidence is gathered of a run")
        self._run, self.experiment, self.behind = run, experiment, behind
        self._label, self._unit = experiment.label, experiment.unit
        self._limits, self._describe_controls = experiment.limits, describe_controls

    @one_question
    def measure(self, precision: float | None = None) -> Measurement:
        """See ``Effect.measure``."""
        wanted = self._run.settings.precision if precision is None else checked_precision(precision)
        stages, present = list[Stage](), False
        for stages in [self._run.described] if wanted is None else self._run.looks():
            present = is_present(self, stages)
            if present and self._is_precise(stages, wanted):
                break
        if not present:
            raise_not_established(self, stages)
        return self.measured(stages, precision=wanted)

    def measured(
        self, stages: Sequence[Stage], threshold: float | None = None, precision: float | None = None
    ) -> Measurement:
        """The measurement on some stages, with remarks on the threshold that it was compared with, and on the precision that was
        wanted of it."""
        wanted = self._run.settings.precision if precision is None else precision
        evidence, gathered = self.evidence(stages), self._joined(stages)
        low, high = evidence.interval()
        pairs = tuple(pair for stage in stages for pair in stage.sample.pairs)
        base = self._base_of(gathered)
        over = float(evidence.base.mean() if self._run.generalise else mean_over(pairs, base))
        per_pair = gathered.shift / over
        notes = remarks(self._unit, evidence, gathered, per_pair, threshold)
        if threshold is not None:  # a claim, and no look
            told = ledger.current()
            notes += seen_before(told.sweeps, self.experiment.sites, self.model.fingerprint, pairs)
            notes += (told.found,) if told.found else ()
        rows = np.flatnonzero(gathered.bases[self._unit]) if UNITS[self._unit].is_among else None
        if rows is not None:
            pairs, per_pair, over, base = tuple(pairs[row] for row in rows), gathered.shift[rows], 1.0, base[rows]
        return Measurement(
            label=self.label,
            unit=self._unit,
            estimate=evidence.estimate,
            low=low,
            high=high,
            level=1 - evidence.alpha,
            exact=evidence.is_exact,
            n=len(pairs),
            rejected=sum(rejections.total for rejections in _rejections(stages)),
            rejections="; ".join(filter(None, map(str, _rejections(stages)))),
            method=replace(gathered.told(self.method), clipped=self._run.clipping(evidence)),
            model=self._run.model.name,
            fingerprint=self._run.model.fingerprint,
            population=self._run.population,
            population_id=self._run.pairs.identity,
            pairs=pairs,
            per_pair=per_pair,
            gap=self._run.mean_on(stages, self._run.gaps_of(stages)) if self._run.has_gap else math.nan,
            is_example=self._run.pairs.description.is_example,
            all_used=stages[-1].exhausted and gathered.drawn != Draw.DONORS,
            stopped=self._stopped(stages, threshold, wanted),
            notes=(
                *notes,
                *remarks_on_lengths(self._run.readout, pairs),
                *remark_on_attacks(pairs),
                *self.new_ones(stages),
                *self._short_of(stages, wanted),
                *other_ways(self, stages),
                *_of_draws(stages, evidence),
            ),
            origin=self.model.answers.other_origin,
            texts=gathered.texts,
            over=over,
            bases=base,
            describe_prompts=self._run.pairs.description.in_parts,
            describe_behaviour=partial(self._behaviour_of, self.model.answers.questions.generation, stages, rows),
            describe_controls=partial(self._controls_of, self.model.answers.questions.generation, stages),
        )

    def decided(
        self, decide: Callable[[Evidence], Decision], e_value: Callable[[Evidence], float]
    ) -> tuple[Decision, list[Stage]]:
        """The decision, and the stages that it took: gathering stops as soon as there is one, the interval is as narrow as the
        settings want it, and a bet on a supported claim has won as much as they want."""
        refuse_average(self._run.pairs.description, self._label)
        settings, stages, present = self._run.settings, list[Stage](), False
        decision: Decision = "inconclusive"
        for stages in self.looks():
            if not (present := is_present(self, stages)):
                continue
            evidence = self.evidence(stages)
            if (decision := decide(evidence)) == "inconclusive" or not self._is_precise(stages, settings.precision):
                continue
            if not self._shows_drift(stages):
                continue
            if decision != "supported" or min(e_value(evidence), e_value_of_presence(self, stages)) >= settings.e_value:
                break
        if not present:
            raise_undecided(self, stages)
        return decision, stages

    def _is_precise(self, stages: Sequence[Stage], wanted: float | None) -> bool:
        """Whether half of the interval is at most what is wanted."""
        return wanted is None or half_width(self.evidence(stages)) <= wanted

    def _shows_drift(self, stages: Sequence[Stage]) -> bool:
        """Under a lock: whether the lock's pairs are in, and half of the interval is no more than the effect may drift."""
        session, settings = self.model.settings, self._run.settings
        if session.drift is None or settings.drift is None:
            return True
        known_as = locked_as(self.label, self._unit, self._run.pairs.identity)
        if sum(len(stage.sample.pairs) for stage in stages) < settings.locked.get(known_as, 0):
            return False
        evidence = self.evidence(stages)
        return half_width(evidence) <= margin_of_drift(settings.drift, self._unit, evidence.estimate)

    def _stopped(self, stages: Sequence[Stage], threshold: float | None, wanted: float | None) -> Stopped | None:
        """What gathering stopped at, where it could have gone on within the budget, or the budget itself."""
        if stages[-1].exhausted or self._run.generalise:
            return None
        if self._run.drawn.is_spent(stages, self._run.settings.budget):
            return "budget"
        return "precision" if wanted is not None else None if threshold is None else "verdict"

    def _short_of(self, stages: Sequence[Stage], wanted: float | None) -> tuple[str, ...]:
        """That the budget did not buy the precision that was wanted."""
        if wanted is None or (half := half_width(self.evidence(stages))) <= wanted:
            return ()
        reach = f"{half:.3g}" if half < math.inf else "unbounded"
        return (f"the budget is spent, and half of the interval is {reach}, not {wanted:g}",)

    def new_ones(self, stages: Sequence[Stage]) -> tuple[str, ...]:
        """How many new templates or fillers the statement rests on, and how many pairs each of them has."""
        if not self._run.generalise:
            return ()
        sizes = [len(rows) for rows in self._run.clusters_of(stages).rows.values()]
        each = "1 pair" if max(sizes) == 1 else f"{min(sizes)} to {max(sizes)} pairs"
        each = f"{min(sizes)} pairs" if 1 < min(sizes) == max(sizes) else each
        what = "templates" if self._run.generalise == "template" else f"fillers of {{{self._run.generalise}}}"
        return (f"{len(sizes)} {what}, each by {each}",)

    def looks(self) -> Iterator[list[Stage]]:
        """The pairs there are each time that evidence is looked at: where each has a donor, the pairs of a whole population
        once more, with other donors, until the budget is spent."""
        stages: list[Stage] = []
        for stages in self._run.looks():
            yield stages
        if self._may_draw_again(stages):
            yield from self._run.drawn.again(stages, self._run.settings.budget)

    def _may_draw_again(self, stages: Sequence[Stage]) -> bool:
        is_whole = stages[-1].exhausted and not self._run.generalise
        return is_whole and self._joined(stages).drawn == Draw.DONORS

    def needed(self, stages: Sequence[Stage], threshold: float) -> int | None:
        """How many pairs a decision may take; None where more pairs would not help, or there are no more."""
        evidence = self.evidence(stages)
        at_end = stages[-1].exhausted and not self._may_draw_again(stages)
        return None if evidence.whole or at_end else evidence.needed(threshold)

    def share(self, threshold: float) -> float:
        """A threshold, unless it looks like a percentage of what is a share."""
        return checked_share(threshold, self._unit, self._label)

    @one_question
    def _controls_of(self, generation: int, stages: Sequence[Stage]) -> Controls | None:
        """Of the model as it was when the effect was measured; None where it has changed since."""
        return self._describe_controls(stages) if self.model.answers.questions.generation == generation else None

    @one_question
    def _behaviour_of(self, generation: int, stages: Sequence[Stage], rows: "Integers | None") -> Behaviour:
        """Of the model as it was when the effect was measured; nothing where it has changed since. ``rows``: of these pairs alone."""
        run = self._run
        if self.model.answers.questions.generation != generation:
            return Behaviour()
        gaps = run.gaps_of(stages) if run.has_gap else None
        right = run.right_of(stages)
        gap, accuracy = (None if some is None else run.mean_on(stages, some) for some in (gaps, right))
        if rows is not None:
            gaps, right = (None if some is None else some[rows] for some in (gaps, right))
        return Behaviour(gaps, right, gap, accuracy, run.unit)

    @property
    def run(self) -> Gathering:
        """The model on its pairs."""
        return self._run

    @property
    def model(self) -> LoadedModel:
        """The model that is asked."""
        return self._run.model

    @property
    def label(self) -> str:
        """The verb with its site, as reports name the effect; with the readout, where it is not the usual one."""
        return self._label if self._label.endswith(self._run.tag) else f"{self._label}{self._run.tag}"

    @cached_property
    def method(self) -> Method:
        """What is put where."""
        return self.experiment.method

    @property
    def unit(self) -> str:
        """The key of its unit in ``units.UNITS``."""
        return self._unit

    @one_question
    def on(self, sample: Sample) -> Gathered:
        """The numbers on some pairs, gathered once."""
        gathered, key = self._gathered, (sample, self._run.settings)  # which belong to the running test
        if key not in gathered:
            gathered[key] = self.experiment.gather(sample)
        return gathered[key]

    @once_a_generation
    def _gathered(self) -> dict[tuple[Sample, Settings], Gathered]:
        return {}

    @once_a_generation
    def _look(self) -> "dict[Hashable, Any]":
        """What the last look at some stages gave: the numbers of all of them, and the evidence that they are."""
        return {}

    def _joined(self, stages: Sequence[Stage]) -> Gathered:
        look, there = self._look, (tuple(stages), self._run.settings)
        if there not in look:
            gathered = [self.on(stage.sample) for stage in stages]
            look.clear()
            look[there] = Gathered.joined(gathered)
        joined: Gathered = look[there]
        return joined

    def shift_of(self, stages: Sequence[Stage]) -> "Floats":
        """Each pair's shift, of shape [pair]."""
        return self._joined(stages).shift

    def base_of(self, stages: Sequence[Stage]) -> "Floats":
        """What the effect is a share of, in each pair; of shape [pair]."""
        return self._base_of(self._joined(stages))

    def is_drawn(self, stages: Sequence[Stage]) -> bool:
        """Whether each pair's number is a draw by itself."""
        return bool(self._joined(stages).drawn)

    def shift_on(self, sample: Sample) -> "Floats":
        """Each pair's shift on some pairs, of shape [pair]."""
        return self.on(sample).shift

    def base_on(self, sample: Sample) -> "Floats":
        """The same on some pairs."""
        return self._base_of(self.on(sample))

    def _base_of(self, gathered: Gathered) -> "Floats":
        """What this effect is a share of, in each pair; ones where it is a share of nothing. Shape [pair]."""
        if self._unit == "gap" and not self._run.is_contrast:
            self._run.need_contrast(f"{self._label}, in the share of the gap,")
        if self._unit not in gathered.bases:
            raise MethodError(
                f"{self._label} is no share {UNITS[self._unit].phrase}: take another unit, such as .of_gap"
            )
        return gathered.bases[self._unit]

    def evidence(self, stages: Sequence[Stage]) -> Evidence:
        """The numbers of some stages as evidence."""
        gathered, look, settings = self._joined(stages), self._look, self._run.settings
        if settings not in look:
            of_parts = [self.shift_on(sample) for sample in self.parts_of(stages)]
            look[settings] = self.evidence_of(gathered.shift, stages, of_parts, gathered.doubt)
        evidence: Evidence = look[settings]
        return evidence

    def evidence_of(
        self,
        shift: "Floats",
        stages: Sequence[Stage],
        of_parts: "Sequence[Floats]" = (),
        doubt: "Floats | None" = None,
    ) -> Evidence:
        """Shifts like this effect's, of the pairs of some stages, as evidence in its unit. ``of_parts``: those of the samples
        of ``parts_of``; ``doubt``: by how much each is in doubt."""
        is_drawn, counted = self.is_drawn(stages), self.experiment.is_counted
        of_bases = [self.base_on(sample) for sample in self.parts_of(stages)]
        parts = self._run.parts(of_parts, of_bases, self.correction_on(stages))
        found = self._run.evidence(stages, shift, self.base_of(stages), self.bounds, is_drawn, doubt, counted, parts)
        return replace(found, spent=found.spent + self._joined(stages).spent)

    def parts_of(self, stages: Sequence[Stage]) -> list[Sample]:
        """The first pairs once for each part of the reference set, which is left out there; none where the numbers rest on
        no reference set that was drawn."""
        first = stages[0].sample
        return [replace(first, left_out=part) for part in range(PARTS)] if self.on(first).correction else []

    def correction_on(self, stages: Sequence[Stage]) -> float:
        """What the spread over ``parts_of`` is multiplied by."""
        return self.on(stages[0].sample).correction

    @property
    def bounds(self) -> tuple[float, float] | None:
        """What a pair's number lies between by its nature; None for what nothing bounds."""
        return (-1.0, 1.0) if UNITS[self._unit].is_bounded and self._limits is None else self._limits


def _rejections(stages: Sequence[Stage]) -> list[Rejections]:
    """The pairs that could not be used, in each order."""
    return list({stage.seed: stage.rejections for stage in stages}.values())


def _of_draws(stages: Sequence[Stage], evidence: Evidence) -> Iterator[str]:
    """Of how many orders, and with how many donors, the evidence is; and that it is the reference set's more than the pairs'."""
    if evidence.parts is not None and evidence.reach > half_width(evidence) / 2:
        yield "half of the interval or more is the reference set's: draw a larger one (--circuit-reference)"
    if len(seeds := {stage.seed: None for stage in stages}) > 1:
        yield f"the evidence of {len(seeds)} orders, averaged (seeds {', '.join(map(str, seeds))})"
    if stages[-1].exhausted and (again := len(stages) // len({stage.places for stage in stages})) > 1:
        yield f"each pair with {again} donors"
