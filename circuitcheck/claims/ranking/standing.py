"""Which rivals an effect is known to beat, and which to be beaten by, as pairs come in.

That it is among the first ``wanted`` is false only where so many rivals are ahead, of which at least one must then be wrongly
believed to be beaten: each is believed to be at alpha / ``wanted``, so that of a claim to be the first nothing is split however
many rivals there are (the intersection-union test, Berger 1982). That it is not among the first is false where any rival of
all is wrongly believed to be ahead: each is believed to be at alpha by their number.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from circuitcheck.claims.estimand import Estimand
from circuitcheck.claims.measuring.measurement import Measurement
from circuitcheck.claims.presence import is_present, raise_undecided
from circuitcheck.claims.ranking.rivals import Rival, name_of, shifts_of
from circuitcheck.errors import MethodError
from circuitcheck.experiments.circuits.knockouts import as_one_work
from circuitcheck.sampling.stages import Stage
from circuitcheck.texts import plural

if TYPE_CHECKING:
    from circuitcheck.types import Floats

# Pairs on which a rival is run without each part of a reference set that was drawn.
_FEW = 8


class Standing:
    """An effect among rivals. ``beaten`` and ``ahead`` decide; ``surely_beaten`` are those that are beaten all at once."""

    def __init__(self, effect: Estimand, rivals: Sequence[Rival], wanted: int, alpha: float):
        self.effect, self.rivals = effect, list(rivals)
        self.stages: list[Stage] = []
        self.beaten: set[Rival] = set()
        self.surely_beaten: set[Rival] = set()
        self.ahead: set[Rival] = set()
        self.decided_early = False
        self._wanted, self._alpha = wanted, alpha
        self._gathered, self._dead = 0, 0
        self._shifts: dict[Rival, list[Floats]] = {}
        self._of_parts: dict[Rival, list[Floats]] = {}

    @property
    def runs(self) -> int:
        """How many runs it takes at most: of each rival on each pair."""
        size, settings = self.effect.run.drawn.size, self.effect.run.settings
        most = max(settings.budget, settings.whole)
        return len(self.rivals) * (most if size is None else min(size, most))

    def narrowing(self) -> Iterator[tuple[int, int]]:
        """The lowest and the highest rank that are possible, after each stage."""
        what = f"{self.effect.label} next to {plural(len(self.rivals), 'other')}"
        with as_one_work(self.effect.model.answers, what, self.runs):
            for stages in self.effect.looks():
                if self.stages and stages[0] is not self.stages[0]:  # taken in whole now, with another reference set
                    self._gathered, self._shifts, self._of_parts = 0, {}, {}
                self.stages = stages
                for stage in self.stages[self._gathered :]:
                    self._gather(stage)
                    self._gathered += 1
                if is_present(self.effect, self.stages):
                    self._compare()
                    yield 1 + len(self.ahead), 1 + len(self.rivals) - len(self.beaten)
        if not is_present(self.effect, self.stages):
            raise_undecided(self.effect, self.stages)

    def measured(self, label: str) -> Measurement:
        """The rank, with the difference from the best of the rivals in every pair."""
        mean_on = partial(self.effect.run.mean_on, self.stages)
        gaps = {rival: mean_on(self._difference(rival)) for rival in self._shifts if self._complete(rival)}
        best = min(gaps, key=lambda rival: gaps[rival])
        measured = self.effect.measured(self.stages)
        in_front = {rival for rival, gap in gaps.items() if gap < 0 and rival not in self.beaten}
        base = mean_on(self.effect.base_of(self.stages))
        left_out = f" ({plural(self._dead, 'dead one')} left out)" if self._dead else ""
        note = f"compared with {plural(len(self.rivals), 'other')}{left_out}; the nearest is {name_of(best)}, by {gaps[best] / base:.3g}"
        return replace(
            measured,
            label=label,
            unit="rank",
            estimate=float(1 + len(in_front | self.ahead)),
            exact=measured.exact and not self.decided_early,
            low=float(1 + len(self.ahead)),
            high=float(1 + len(self.rivals) - len(self.surely_beaten)),
            per_pair=self._difference(best) / base,
            notes=(note,),
            describe_controls=lambda: None,
        )

    @property
    def _open(self) -> list[Rival]:
        return [rival for rival in self.rivals if rival not in self.beaten | self.ahead]

    def _gather(self, stage: Stage) -> None:
        """The rivals' shifts on a stage's pairs. Dead ones are no rivals; that they are is known of a whole population only."""
        there = self._open
        for rival, shift in zip(there, shifts_of(self.effect, stage.sample, there), strict=True):
            if shift.inert and stage.sample.whole:
                self.rivals.remove(rival)
                self._dead += 1
            else:
                self._shifts.setdefault(rival, []).append(shift.values)
        if not self.rivals:
            raise MethodError(f"all components that {self.effect.label} would be compared with are dead on these pairs")

    def _compare(self) -> None:
        self._look_at_parts()
        for rival in self._open:
            of_parts = self._of_parts.get(rival, [])
            evidence = self.effect.evidence_of(self._difference(rival), self.stages, of_parts)
            split = replace(evidence, alpha=self._alpha / len(self.rivals))
            if replace(evidence, alpha=self._alpha / self._wanted).above(0.0):
                self.beaten.add(rival)
            elif split.below(0.0):
                self.ahead.add(rival)
            else:
                continue
            self.decided_early |= not evidence.is_exact
            if split.above(0.0):
                self.surely_beaten.add(rival)

    def _look_at_parts(self) -> None:
        """Differences from the rivals without each part of a reference set that was drawn, on a few pairs."""
        lacking = [rival for rival in self._open if rival not in self._of_parts]
        for sample in self.effect.parts_of(self.stages) if lacking else ():
            few = sample.first(_FEW)
            ours = self.effect.shift_on(few)
            for rival, theirs in zip(lacking, shifts_of(self.effect, few, lacking), strict=True):
                self._of_parts.setdefault(rival, []).append(ours - theirs.values)

    def _complete(self, rival: Rival) -> bool:
        return len(self._shifts[rival]) == max(len(parts) for parts in self._shifts.values())

    def _difference(self, rival: Rival) -> "Floats":
        theirs = np.concatenate(self._shifts[rival])
        difference: Floats = self.effect.shift_of(self.stages)[: len(theirs)] - theirs
        return difference
