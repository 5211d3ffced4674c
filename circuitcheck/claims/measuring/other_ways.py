"""What another way to ask the same gives, where a reader would take one for the other.

>>> model.on(FRUIT).patch("L0.H* -> L1.N8").measure().notes
('with heads and MLPs on the way frozen; with through="mlps", where the MLPs move, it is 0.453 for 0.436',)
"""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

from circuitcheck.engine.ablations import held
from circuitcheck.errors import MethodError
from circuitcheck.experiments.ablating import Ablate
from circuitcheck.experiments.experiment import Experiment
from circuitcheck.experiments.methods import frozen
from circuitcheck.experiments.mutants import current
from circuitcheck.experiments.observations import Observe
from circuitcheck.experiments.patching import Patch
from circuitcheck.sampling.samples import Sample
from circuitcheck.sampling.stages import Stage
from circuitcheck.statistics.weights import mean_over

if TYPE_CHECKING:
    from circuitcheck.types import Floats

# Shares of the gap that differ by less are called alike.
_NOTABLE = 0.05


class Measurable(Protocol):
    """An effect whose numbers are there."""

    @property
    def experiment(self) -> Experiment: ...
    def shift_on(self, sample: Sample) -> "Floats": ...
    def base_on(self, sample: Sample) -> "Floats": ...


def other_ways(effect: Measurable, stages: Sequence[Stage]) -> tuple[str, ...]:
    """Remarks on a path's effect, and on a direct one, with what another way gives on the pairs of the first stage."""
    experiment, sample = effect.experiment, stages[0].sample
    on = "" if len(stages) == 1 else f" on the first {len(sample.pairs)} pairs"
    if current() is not None:
        return ()
    with suppress(MethodError):  # the other way is not open to this model
        if isinstance(experiment, Patch | Ablate) and any(site.via for site in experiment.sites):
            return (f"{_other_path(effect, experiment, sample)}{on}",)
        if isinstance(experiment, Observe) and experiment.look.verb == "direct" and experiment.setup.is_contrast:
            return tuple(f"{note}{on}" for note in _patched(experiment, sample))
    return ()


def _other_path(effect: Measurable, experiment: Patch | Ablate, sample: Sample) -> str:
    is_through = not experiment.held.mlps
    ln = "frozen" if experiment.held.norms else ""
    other = replace(experiment, held=held("" if is_through else "mlps", ln))
    experiment.setup.check_held(other.sites, other.held)
    base = mean_over(sample.pairs, effect.base_on(sample))
    theirs = mean_over(sample.pairs, other.shifts(sample, [other.sites])[0].values) / base
    ours = mean_over(sample.pairs, effect.shift_on(sample)) / base
    way = (
        "without through=, where the MLPs are frozen, too,"
        if is_through
        else 'with through="mlps", where the MLPs move,'
    )
    return f"with {frozen(experiment.sites, experiment.held)} frozen; {way} it is {theirs:.3g} for {ours:.3g}"


def _patched(experiment: Observe, sample: Sample) -> Sequence[str]:
    """What patching gives, where that differs from what is written directly."""
    setup, pairs = experiment.setup, sample.pairs
    both = replace(experiment, side="both", unit="gap")
    gap = mean_over(pairs, setup.gaps_on(sample))
    if abs(gap) <= setup.model.settings.floor_logits:
        return ()
    direct, patch = (
        float(mean_over(pairs, one.shifts(sample, [experiment.sites])[0].values) / gap)
        for one in (both, Patch.at(experiment.address, setup, "corrupt"))
    )
    alone = (
        ""
        if experiment.side == "both"
        else f"a run by itself says nothing of the gap, of which this writes {direct:.3g}"
    )
    if abs(direct - patch) <= _NOTABLE:
        return [alone] if alone else ()
    found = f"patch gives {patch:.3g} of the gap, direct {direct:.3g}: patching also moves what later components read"
    return [f"{alone}; {found}" if alone else f"{found}, and the final norm's scale"]
