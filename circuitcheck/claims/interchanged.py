"""Interchanges as claims: what a trained subspace must beat to say anything."""

from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property

from circuitcheck.claims.combining.comparing import Comparing
from circuitcheck.claims.combining.differences import Difference
from circuitcheck.claims.combining.several import AllOf
from circuitcheck.claims.effects import Effect
from circuitcheck.claims.measuring.measurement import Measurement
from circuitcheck.claims.ranking.rivals import seed_of, subspace_of
from circuitcheck.claims.verdicts import Verdict
from circuitcheck.errors import MethodError, PromptError
from circuitcheck.experiments.interchange import Interchange
from circuitcheck.experiments.probing.trained import trained
from circuitcheck.models.loading import untrained
from circuitcheck.sampling.stages import Stage

# Subspaces trained on variables that are dealt out at random, random subspaces, and models with random weights.
_SHUFFLED, _RANDOM, _UNTRAINED = 3, 3, 1
_PAIRS = 32  # pairs that say what agreeing sources and other variables do


class _Noting(Comparing):
    """What a measurement of an interchange notes, too: whether sources that agree on the variable leave the base's answer alone,
    which other variables decide; and what other variables' interchanges do at the same site."""

    def measured(
        self, stages: Sequence[Stage], threshold: float | None = None, precision: float | None = None
    ) -> Measurement:
        found = super().measured(stages, threshold, precision)
        return replace(found, notes=(*found.notes, *self._specificity))

    @cached_property
    def _specificity(self) -> tuple[str, ...]:
        experiment = self.experiment
        if not isinstance(experiment, Interchange) or not self.model.settings.controls:
            return ()
        names, variables = experiment.variables, experiment.among.description.variables
        of = " and ".join(names)
        notes = []
        if counted := _counted(experiment, names, agreeing=True):
            stays, right = counted
            notes.append(
                f"sources that agree on {of}, and have other answers: {right - stays} of {right} change the base's answer"
            )
        others = {name: _counted(experiment, (name,)) for name in variables if name not in names}
        said = [f"{name} in {some[0]} of {some[1]}" for name, some in others.items() if some]
        return (*notes, f"other variables at the same site: {', '.join(said)}") if said else tuple(notes)


class Interchanged(Effect):
    """The effect of an interchange; made by ``run.interchange``."""

    _kind = _Noting

    def beats_controls(self) -> Verdict:
        """That a trained subspace carries the variable better than anything that has as many dimensions and was trained for as many steps.

            assert model.on(IOI).interchange("L2.RESID_POST@end", "order", along="trained").beats_controls()

        The controls are subspaces trained on variables that are dealt out at random among the pairs, one that is trained in a model with
        random weights, and interchanged there, and random subspaces: of each, the difference on the same pairs must be above 0. What one
        of them can do too is not supported. The whole component is no control: its figure stands in the report.
        """
        experiment, setup = self._estimand.experiment, self._estimand.run
        if not isinstance(experiment, Interchange) or experiment.along is None or not experiment.along.trained:
            raise MethodError(
                f"{self.label} has no trained subspace: its controls are other components, .beats(address)"
            )
        whole, names, of = experiment.address, experiment.variables, experiment.origin
        controls: dict[str, Interchange] = {}
        for number in range(1, 1 + _SHUFFLED):
            along = trained(of, whole, names, number, shuffled=True)
            part = along.subspace(setup.model, experiment.sites)
            controls[f"shuffled variables {number}"] = replace(experiment, along=along, part=part)
        for number in range(1, 1 + _UNTRAINED):
            model = untrained(setup.model, number)
            along = trained(type(of)(model, of.pairs, of.readout.given, at=f"@{of.read_at}"), whole, names, number)
            part = along.subspace(model, experiment.sites)
            controls[f"untrained weights {number}"] = replace(experiment, along=along, part=part, runs_in=model)
        if (subspace := subspace_of(self._estimand)) is not None:
            for placebo in subspace.placebos(_RANDOM, seed_of(self._estimand)):
                controls[str(placebo)] = experiment.in_subspace(placebo)
        differences = {name: Difference.of(self._estimand, Comparing(control)) for name, control in controls.items()}
        effects = {name: Comparing(difference, difference.behind) for name, difference in differences.items()}
        return AllOf(f"{self.label} beside its controls", "controls", effects) > 0.0


def _counted(experiment: Interchange, names: tuple[str, ...], agreeing: bool = False) -> tuple[int, int] | None:
    """``Interchange.counts`` of a few pairs of other interchanges at the same site; None where there are none."""
    try:
        other = experiment.of_variables(names, agreeing)
        counts = other.counts(other.setup.fixed(_PAIRS))
    except (MethodError, PromptError):
        return None
    return counts if counts[1] else None
