"""Estimands: numbers that are gathered as evidence, and measured."""

import math
from collections.abc import Callable, Hashable, Sequence
from dataclasses import replace
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

import numpy as np

from circuitcheck import ledger
from circuitcheck.claims.gathering import Gathering
from circuitcheck.claims.measuring.measurement import Controls, Measurement
from circuitcheck.claims.measuring.remarks import remarks, remarks_on_lengths, seen_before
from circuitcheck.claims.presence import is_present, raise_not_established, raise_undecided
from circuitcheck.claims.thresholds import checked_share
from circuitcheck.engine.watching.one_question import once_a_generation, one_question
from circuitcheck.errors import MethodError
from circuitcheck.experiments.experiment import Experiment, Gathered
from circuitcheck.experiments.methods import Method
from circuitcheck.models.loaded import LoadedModel
from circuitcheck.prompts.hypothesis_examples import refuse_average
from circuitcheck.sampling.samples import Sample
from circuitcheck.sampling.stages import Stage
from circuitcheck.statistics.evidence import Decision, Evidence
from circuitcheck.statistics.weights import mean_over
from circuitcheck.units import UNITS

if TYPE_CHECKING:
    from circuitcheck.types import Floats


class Estimand:
    """A number about a run, as evidence and as a measurement; what may be claimed of it is said by ``Effect``.

    ``experiment`` is what is done and read; ``behind`` other estimands that must be there for this one to mean anything;
    ``describe_controls`` gives what it stands among.
    """

    def __init__(
        self,
        experiment: Experiment,
        behind: "tuple[Estimand, ...]" = (),
        describe_controls: "Callable[[], Controls | None]" = lambda: None,
    ):
        run = experiment.setup
        if not isinstance(run, Gathering):
            raise AssertionError("evidence is gathered of a run")
        self._run, self.experiment, self.behind = run, experiment, behind
        self._label, self._unit = experiment.label, experiment.unit
        self._limits, self._describe_controls = experiment.limits, describe_controls

    @one_question
    def measure(self) -> Measurement:
        """Gather the evidence: estimate, interval or "exact", n, unit, method, numbers per pair.

        Of a population that is not taken whole, on its first 256 pairs (or the budget, where that is less).
        """
        stages = self._run.described
        if not is_present(self, stages):
            raise_not_established(self, stages)
        return self.measured(stages)

    def measured(self, stages: Sequence[Stage], threshold: float | None = None) -> Measurement:
        """The measurement on some stages, with remarks on the threshold that it was compared with."""
        evidence, gathered = self.evidence(stages), self._joined(stages)
        low, high = evidence.interval()
        pairs = tuple(pair for stage in stages for pair in stage.sample.pairs)
        base = self._base_of(gathered)
        per_pair = gathered.shift / (evidence.base.mean() if self._run.generalise else mean_over(pairs, base))
        notes = remarks(self._unit, evidence, gathered, per_pair, threshold)
        if threshold is not None:  # a claim, and no look
            notes += seen_before(ledger.current().sweeps, self.experiment.sites, self.model.fingerprint, pairs)
        if UNITS[self._unit].is_among:
            rows = np.flatnonzero(gathered.bases[self._unit])
            pairs, per_pair = tuple(pairs[row] for row in rows), gathered.shift[rows]
        return Measurement(
            label=self.label,
            unit=self._unit,
            estimate=evidence.estimate,
            low=low,
            high=high,
            level=1 - evidence.alpha,
            exact=evidence.is_exact,
            n=len(pairs),
            rejected=stages[-1].rejections.total,
            rejections=str(stages[-1].rejections),
            method=replace(gathered.told(self.method), clipped=self._run.clipping(evidence)),
            model=self._run.model.name,
            fingerprint=self._run.model.fingerprint,
            population=self._run.population,
            population_id=self._run.pairs.identity,
            pairs=pairs,
            per_pair=per_pair,
            gap=self._run.mean_on(stages, self._run.gaps_of(stages)) if self._run.has_gap else math.nan,
            is_example=self._run.pairs.is_example,
            all_used=stages[-1].exhausted,
            notes=(*notes, *remarks_on_lengths(self._run.readout, pairs)),
            origin=self.model.answers.other_origin,
            describe_controls=partial(self._controls_of, self.model.answers.questions.generation),
        )

    @property
    def per_pair(self) -> "Floats":
        """Each pair's shift over the mean base, of shape [pair]; ``measure().pairs`` are the pairs."""
        return self.measure().per_pair

    def decided(self, decide: Callable[[Evidence], Decision]) -> tuple[Decision, list[Stage]]:
        """The decision, and the stages that it took: gathering stops as soon as there is one."""
        refuse_average(self._run.pairs.description, self._label)
        stages: list[Stage] = []
        present = False
        for stages in self._run.looks():
            present = is_present(self, stages)
            if present and (decision := decide(self.evidence(stages))) != "inconclusive":
                return decision, stages
        if not present:
            raise_undecided(self, stages)
        return "inconclusive", stages

    def needed(self, stages: Sequence[Stage], threshold: float) -> int | None:
        """How many pairs a decision may take; None where more pairs would not help, or there are no more."""
        evidence = self.evidence(stages)
        return None if evidence.whole or stages[-1].exhausted else evidence.needed(threshold)

    def share(self, threshold: float) -> float:
        """A threshold, unless it looks like a percentage of what is a share."""
        return checked_share(threshold, self._unit, self._label)

    @one_question
    def _controls_of(self, generation: int) -> Controls | None:
        """Of the model as it was when the effect was measured; None where it has changed since."""
        return self._describe_controls() if self.model.answers.questions.generation == generation else None

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
        gathered = self._gathered
        if sample not in gathered:
            gathered[sample] = self.experiment.gather(sample)
        return gathered[sample]

    @once_a_generation
    def _gathered(self) -> dict[Sample, Gathered]:
        return {}

    @once_a_generation
    def _look(self) -> "dict[Hashable, Any]":
        """What the last look at some stages gave: the numbers of all of them, and the evidence that they are."""
        return {}

    def _joined(self, stages: Sequence[Stage]) -> Gathered:
        look, there = self._look, tuple(stages)
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
        return self._joined(stages).drawn

    def ruler_base(self, sample: Sample) -> float:
        """The mean base that each pair's number is divided by: the population's own where that is taken in whole, otherwise
        that of a few reference pairs."""
        parts = [self._run.ruler] if sample.taken is None else [stage.sample for stage in self._run.drawn.whole]
        pairs = [pair for part in parts for pair in part.pairs]
        return float(mean_over(pairs, np.concatenate([self.base_on(part) for part in parts])))

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
        if settings not in look:  # which belong to the running test
            look[settings] = self.evidence_of(gathered.shift, stages, gathered.doubt)
        evidence: Evidence = look[settings]
        return evidence

    def evidence_of(self, shift: "Floats", stages: Sequence[Stage], doubt: "Floats | None" = None) -> Evidence:
        """Shifts like this effect's, of the pairs of some stages, as evidence in its unit."""
        return self._run.evidence(stages, shift, self.base_of(stages), self.bounds, self.is_drawn(stages), doubt)

    @property
    def bounds(self) -> tuple[float, float] | None:
        """What a pair's number lies between by its nature; None for what nothing bounds."""
        return (-1.0, 1.0) if UNITS[self._unit].is_bounded and self._limits is None else self._limits
