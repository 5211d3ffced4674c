"""Probes: whether a concept is linearly readable at a site, of fillers that the probe has never seen.

    probe = model.on(FOUND).probe("L1.RESID_POST@end", lambda f: f["noun"][0] in "aeiou")
    assert probe.accuracy > 0.9
    assert probe.beats_controls()

A logistic regression (scikit-learn's, on standardised activations, L2 with C = 1, classes weighted alike) is fitted to
the prompts of some fillers and read of the others', in at most five folds; no filler is in two of them. Each filler gives
one number, however many prompts it stands in, and each class counts alike (balanced accuracy, whose chance is one in the
number of classes). A bet on these numbers gives the interval (see ``evidence``): the sentence is about new fillers. Folds
share what they are fitted on, which makes the numbers depend on each other a little; docs/reference/probes.md has what that costs,
measured.

A probe can fit anything (Hewitt & Liang 2019, Arora et al. 2024). So the same probe is fitted to labels that the fillers
were given at random, and to models of the same architecture that were never trained.
"""

import math
import random
from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass, replace
from functools import cached_property
from importlib.metadata import version
from typing import TYPE_CHECKING

import numpy as np

from circuitcheck.addresses.parsing import parse
from circuitcheck.addresses.sites import Site
from circuitcheck.claims.combining.comparing import Comparing
from circuitcheck.claims.effects import Effect
from circuitcheck.claims.gathering import Gathering
from circuitcheck.claims.measuring.measurement import Measurement
from circuitcheck.claims.probing.controls import ROUNDING, ProbeControls
from circuitcheck.claims.probing.shifts import shift
from circuitcheck.claims.verdicts import Verdict
from circuitcheck.engine.watching.one_question import once_a_generation, one_question
from circuitcheck.errors import MethodError, ModelError
from circuitcheck.experiments.experiment import Experiment, Gathered
from circuitcheck.experiments.methods import Method
from circuitcheck.experiments.mutants import NotApplicable, current, mutated
from circuitcheck.experiments.probing.concepts import Concept, Task, task_of
from circuitcheck.experiments.probing.directions import Direction, readable
from circuitcheck.experiments.probing.fits import Fits, by_group
from circuitcheck.models.loaded import LoadedModel
from circuitcheck.models.loading import untrained
from circuitcheck.prompts.hypothesis_examples import refuse_average
from circuitcheck.sampling.samples import Sample
from circuitcheck.sampling.stages import Stage
from circuitcheck.statistics.evidence import Decision, Evidence

if TYPE_CHECKING:
    from circuitcheck.types import Floats

_UNTRAINED = 3


def probe(run: Gathering, site: str, concept: Concept) -> "Probe":
    """See ``Run.probe``."""
    site, sites = mutated(site, parse(site, run.model.anatomy), run.model.anatomy)
    mutant = current()
    if mutant is not None and (mutant.crossed or mutant.shuffled):
        raise NotApplicable("a probe puts nothing in, and what is behind its site changes nothing")
    return Probe(run, sites, concept, run.method("probe", site, sites))


class Probe:
    """A linear probe for a concept at a site; made by ``run.probe``. It computes nothing until it is asked.

    assert probe.accuracy > 0.9          # on new fillers
    assert probe.beats_controls()        # more than arbitrary labels and random weights allow
    direction = probe.direction          # to patch along, on other pairs
    """

    def __init__(self, run: Gathering, sites: tuple[Site, ...], concept: Concept, method: Method):
        self._run, self._sites, self._concept, self._method = run, readable(sites), concept, method

    def __repr__(self) -> str:
        return f"<probe at {self._method.component}, on {self._run.pairs!r}>"

    @property
    def accuracy(self) -> Effect:
        """The balanced accuracy on fillers that the probe has not seen, 1 / classes where it reads nothing."""
        return _Accuracy(self)

    @property
    def shift(self) -> Effect:
        """By how much the probability that the probe gives to a picture's own class falls when the picture is changed.

            assert model.on(FRUIT.attacked(eps=6 / 255)).probe("L5.RESID_POST@cls", kind_of).shift > 0.5
            assert model.on(FRUIT.with_random_signs(eps=6 / 255)).probe("L5.RESID_POST@cls", kind_of).shift == approx(0, abs=0.05)

        Clean minus changed picture, from -1 to 1, each pair read by a probe that was fitted to clean pictures of other fillers. Raises ``MethodError``
        for pairs that are no picture and the same one changed.
        """
        [pair, *_] = self._run.described[0].sample.pairs
        if not pair.pair.corrupt.is_changed or self._concept == "side":
            raise MethodError(
                f"a probe at {self._method.component} has no shift here: it is of a concept in pictures and in the same ones changed, ImagePairs(...).attacked(eps=...) or "
                ".with_random_signs(eps=...)"
            )
        run = self._run if self._run.described[-1].exhausted else self.run
        return shift(run, self.label, self.method, self._moved)

    def _moved(self, sample: Sample) -> "Floats":
        """The same for each of a stage's pairs."""
        start = 0
        for stage in self._run.described:
            if stage.sample == sample:
                return self._shifts[start : start + len(sample.pairs)]
            start += len(stage.sample.pairs)
        raise MethodError("a probe is fitted to all pictures together: of single pairs there is nothing to claim")

    @once_a_generation
    def _shifts(self) -> "Floats":
        """Of all pairs."""
        task = self.task
        changed = [self.model.answers.activations(one.sample, "corrupt", self._sites) for one in self._run.described]
        of = task.of_pairs[:, 0]
        there, moved = self._fits.chances(
            self._features, task.labels, task.groups, self._seed, np.concatenate(changed), of
        )
        shifts: Floats = there[of] - moved
        return shifts

    @once_a_generation
    def direction(self) -> Direction:
        """What the probe, fitted to all prompts of its run, reads by: from the first class to the second, the span of all
        where there are more."""
        basis = self._fits.basis(self._features, self.task.labels)
        if not basis.size:
            raise MethodError(f"{self.label} reads nothing, so that it has no direction")
        pairs = tuple(pair for stage in self._run.described for pair in stage.sample.pairs)
        recipe = f"scikit-learn {version('scikit-learn')} {self.task.sources} {self.task.labels.tolist()}"
        found, drawn = f"probe for {self.task}", not self._run.described[-1].exhausted
        return Direction(self._sites, basis, found, self._run.model.fingerprint, pairs, recipe, drawn)

    @one_question
    def beats_controls(self) -> Verdict:
        """That the concept is read better than by any control, on new fillers.

            assert probe.beats_controls()

        Better than with so many arbitrary labellings that by chance it would be the best of them with probability alpha / 2
        (39 of them for 0.05): labels are dealt out again among the fillers (or combinations) that the concept looks at, and where a
        column is the label itself, among the prompts' new ones.
        And better than in each model with random weights, by the paired differences, the level split between them.
        """
        refuse_average(self._run.pairs.description, self.label)
        ours, alpha = self._by_group(self._ours), self.run.settings.alpha
        draws = math.ceil(2 / alpha - 1e-9) - 1
        arbitrary = [self.arbitrary(number) for number in range(draws)]
        as_good = sum(other > ours.mean() - ROUNDING for other in arbitrary)
        limits = -self._most, self._most
        differences = [ours - self._by_group(right) for right in self._untrained[0]]
        level = alpha / max(1, len(differences))
        compared = [Evidence(d, np.ones(len(d)), False, level, limits, clusters=True) for d in differences]
        beaten = [one.above(0.0) for one in compared] + [not as_good] * draws
        beating = [one.below(0.0) for one in compared] + [as_good == draws] * draws
        decision: Decision = "refuted" if any(beating) else "supported" if all(beaten) else "inconclusive"
        ahead = as_good + sum(one.estimate < ROUNDING for one in compared)
        measured = self.accuracy.measure()
        label = f"rank of {self.label} among {len(beaten)} controls"
        found = replace(
            measured,
            label=label,
            unit="rank",
            estimate=1.0 + ahead,
            low=1.0 + sum(beating),
            high=1.0 + len(beaten) - sum(beaten),
            notes=(f"the accuracy is {measured.estimate:.3g}", *measured.notes, *self._few_ways(draws)),
        )
        return Verdict(decision, found, "==", 1.0, e_value=2 / alpha if decision == "supported" else 0.0)

    def _few_ways(self, draws: int) -> tuple[str, ...]:
        """Where so many labellings cannot all be others than the labels themselves, that."""
        ways = self.task.ways
        if ways > draws:
            return ()
        if ways == 1:
            return ("however labels are dealt out, they are the same classes by other names",)
        return (
            f"labels can be dealt out in {ways} ways, and not in {draws + 1} of which they could be the best: it takes more fillers",
        )

    @cached_property
    def task(self) -> Task:
        """The prompts, with what is to be read of each."""
        pairs = [pair for stage in self._run.described for pair in stage.sample.pairs]
        return task_of(pairs, self._concept, self._run.generalise, self._run.pairs.description.algorithm)

    @cached_property
    def run(self) -> Gathering:
        """The run, as a statement about new ones of what the prompts are grouped by."""
        run = copy(self._run)
        run.generalise = self.task.by
        return run

    @property
    def model(self) -> LoadedModel:
        """The model that is asked."""
        return self._run.model

    @property
    def chance(self) -> float:
        """The balanced accuracy of what reads nothing."""
        return 1 / len(self.task.classes)

    @property
    def label(self) -> str:
        """The site and the concept, as reports name them."""
        return f"probe {self._method.component} for {self.task.name}"

    @property
    def method(self) -> Method:
        """What was fitted to what."""
        task = self.task
        fit = f"logistic regression, standardised, C=1, classes weighted alike, held out by {task.new}"
        return replace(self._method, value=str(task), direction=fit)

    def on_pairs(self, sample: Sample) -> Gathered:
        """The share of each pair's two prompts that is read rightly."""
        start = 0
        for stage in self._run.described:
            if stage.sample == sample:
                right = self._ours[self.task.of_pairs].mean(1)[start : start + len(sample.pairs)]
                task = self.task
                note = f"balanced accuracy, chance {self.chance:.3g}; {len(task.group_names)} {task.new} were given"
                return Gathered(right, {"accuracy": np.ones(len(right))}, notes=(note,))
            start += len(stage.sample.pairs)
        raise MethodError("a probe is fitted to all prompts together: of single pairs there is nothing to claim")

    def evidence(self) -> Evidence:
        """One number for each filler."""
        numbers = self._by_group(self._ours)
        settings = self.run.settings
        return Evidence(numbers, np.ones(len(numbers)), False, settings.alpha, (0.0, self._most), clusters=True)

    @once_a_generation
    def controls(self) -> ProbeControls | None:
        """What the same probe reads where there is nothing to be read; None where controls are off."""
        wanted = self.run.model.settings.controls
        if not wanted:
            return None
        arbitrary = [self.arbitrary(number) for number in range(wanted)]
        rights, why_none = self._untrained
        ours, *untrained = [float(self._by_group(right).mean()) for right in (self._ours, *rights)]
        return ProbeControls.of_accuracies(ours, self.chance, arbitrary, untrained, why_none)

    def arbitrary(self, number: int) -> float:
        """The balanced accuracy for labels that were dealt out at random."""
        known = self._arbitrary
        if number not in known:
            task = self.task
            _, first = np.unique(task.carriers, return_index=True)
            dealt = task.labels[first].tolist()
            random.Random(f"{self._seed}/arbitrary/{number}").shuffle(dealt)
            labels = np.array(dealt)[task.carriers]
            right = self._fits.held_out(self._features, labels, task.groups, self._seed)
            known[number] = float(by_group(right, labels, task.groups).mean())
        return known[number]

    @once_a_generation
    def _arbitrary(self) -> dict[int, float]:
        return {}

    @once_a_generation
    def _ours(self) -> "Floats":
        return self._held_out(self._features)

    @once_a_generation
    def _untrained(self) -> "tuple[list[Floats], str]":
        """What is read in models that were never trained; and why there are none."""
        rights = []
        try:
            for seed in range(_UNTRAINED):
                rights.append(self._held_out(self.features(untrained(self._run.model, seed))))
        except ModelError as error:
            return [], str(error)
        return rights, ""

    @once_a_generation
    def _features(self) -> "Floats":
        return self.features(self._run.model)

    def _held_out(self, features: "Floats") -> "Floats":
        """Whether each prompt is read rightly by a probe that has seen nothing of its filler."""
        return self._fits.held_out(features, self.task.labels, self.task.groups, self._seed)

    def _by_group(self, right: "Floats") -> "Floats":
        return by_group(right, self.task.labels, self.task.groups)

    @property
    def _fits(self) -> Fits:
        return Fits(self._run.model.answers.remembered)

    @property
    def _seed(self) -> int:
        return self._run.model.settings.seed

    @property
    def _most(self) -> float:
        """What a filler's number is at most."""
        return float(self._by_group(np.ones(len(self.task.labels))).max())

    def features(self, model: LoadedModel) -> "Floats":
        """The activation at the site for each prompt, of shape [prompt, width]."""
        found = {
            side: np.concatenate(
                [model.answers.activations(stage.sample, side, self._sites) for stage in self._run.described]
            )
            for side in dict.fromkeys(side for _, side in self.task.sources)
        }
        return np.stack([found[side][row] for row, side in self.task.sources])


@dataclass(frozen=True, eq=False, kw_only=True)
class _Readable(Experiment):
    """What a probe reads rightly."""

    probe: Probe

    is_share, limits = False, (0.0, 1.0)

    @property
    def label(self) -> str:
        return self.probe.label

    @property
    def method(self) -> Method:
        return self.probe.method

    def gather(self, sample: Sample) -> Gathered:
        """Each pair's prompts."""
        return self.probe.on_pairs(sample)


class _Held(Comparing):
    """An accuracy whose evidence is one number for each filler."""

    def measured(
        self, stages: Sequence[Stage], threshold: float | None = None, precision: float | None = None
    ) -> Measurement:
        measured = super().measured(stages, threshold, precision)
        return replace(measured, high=None if measured.high is None else min(measured.high, 1.0))

    def new_ones(self, stages: Sequence[Stage]) -> tuple[str, ...]:
        return ()  # which its own note has

    def evidence(self, stages: Sequence[Stage]) -> Evidence:
        if not isinstance(self.experiment, _Readable):
            raise AssertionError("the accuracy of a probe")
        return self.experiment.probe.evidence()


class _Accuracy(Effect):
    """A probe's accuracy: an effect whose evidence is one number for each filler."""

    _kind = _Held

    def __init__(self, probe: Probe):
        readable = _Readable(setup=probe.run, unit="accuracy", probe=probe)
        super().__init__(readable, describe_controls=lambda _: probe.controls)
