"""Activation patching: what was there in the other run, put in."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Self

from circuitcheck.addresses.circuits import Circuit, sites_of
from circuitcheck.addresses.sites import Site
from circuitcheck.engine.ablations import NOTHING_HELD, Ablation, Held
from circuitcheck.engine.gradients.slopes import slopes_of
from circuitcheck.engine.making import Patching
from circuitcheck.engine.subspaces import Placebo, Subspace
from circuitcheck.errors import MethodError
from circuitcheck.experiments.components import ComponentExperiment, shifted
from circuitcheck.experiments.experiment import Gathered, Sets, Shift
from circuitcheck.experiments.mutants import NotApplicable
from circuitcheck.experiments.probing.directions import Direction
from circuitcheck.experiments.setups import Setup
from circuitcheck.prompts.aligned_pairs import AlignedPair
from circuitcheck.prompts.pairs import Side
from circuitcheck.sampling.samples import Sample

if TYPE_CHECKING:
    from circuitcheck.types import Floats


@dataclass(frozen=True, eq=False, kw_only=True)
class FromOtherRun(ComponentExperiment):
    """The other run's activation, put in; ``along`` a direction, its ``part`` in a subspace alone."""

    held: Held = NOTHING_HELD
    along: Direction | None = None
    part: Subspace | Placebo | None = None

    @property
    def subspace(self) -> Subspace | Placebo | None:
        """The part of the activation that is put in; None where it is all of it."""
        return self.part

    def in_subspace(self, subspace: Subspace | Placebo | None) -> Self:
        return replace(self, part=subspace)

    def _writing(self, side: Side, sample: Sample) -> Patching:
        if self.crossed and any(pair.has_several for pair in sample.pairs):
            raise NotApplicable("another pair's run goes on with other answers")
        return Patching(side, self.held, self.part, sample.identity if self.crossed else "")

    @property
    def _along_in_words(self) -> str:
        return "" if self.along is None else f", along the {self.along}"


@dataclass(frozen=True, eq=False, kw_only=True)
class Patch(FromOtherRun):
    """The other run's activation, put ``side`` in."""

    side: Side

    verb, takes = "patch", "a patch puts in what was there in the other run"

    @classmethod
    def at(
        cls,
        address: str | Circuit,
        setup: Setup,
        side: Side,
        along: Direction | None = None,
        held: Held = NOTHING_HELD,
    ) -> Self:
        """At an address; see ``Run.patch``."""
        if side not in ("clean", "corrupt"):
            raise MethodError(f"patch goes into='corrupt' (denoising) or into='clean' (noising), not {side!r}")
        setup.need_contrast("a patch")
        part = None if along is None else along.subspace(setup.model, sites_of(address, setup.model.anatomy))
        place = cls.placed(setup, address)
        place = place._replace(setup=setup.put_in_from_other_run(place.sites))
        setup.check_held(place.sites, held)
        return cls(**place._asdict(), unit="gap", side=side, held=held, along=along, part=part)

    @property
    def label(self) -> str:
        way = f"{'' if self.along is None else ' along a direction'}{'' if self.side == 'corrupt' else ' into clean'}"
        return f"patch {self.address}{way}{self.held.suffix}"

    def fields(self) -> dict[str, Any]:
        source, direction = ("clean", "denoising") if self.side == "corrupt" else ("corrupted", "noising")
        return {"value": f"{source} activation{self._along_in_words}", "direction": direction, "held": self.held}

    @property
    def _no_texts(self) -> str:
        return (
            f"{self.label} puts in what was there in the other run, and at tokens that the model writes itself no other run has anything: ablate "
            "(a number, 'mean', scaled(...)) or steer"
        )

    def moved(self, address: str, value: "str | float | Ablation | None" = None) -> Self:
        self.refuse(value)
        return self.at(address, self.setup, self.side, self.along, self.held)

    def gathered(self, sample: Sample, shift: Shift) -> Gathered:
        found = super().gathered(sample, shift)
        return found if self.along is None else self.along.noted(found, sample.pairs)

    def shifts(self, sample: Sample, sets: Sets) -> list[Shift]:
        """What comes back in the corrupted run, or is lost in the clean one."""
        found = self.setup.model.answers.each(sample, sets, self._writing(self.side, sample), self.setup.readout)
        return shifted(found, self.setup.base(sample, self.side), self.side)

    def slopes(self, pair: AlignedPair) -> "dict[Side, Floats]":
        refuse_slopes_of_paths(self.sites, self.held)
        if self.part is not None:
            raise MethodError(
                "an adversary with gradients takes whole components: search a direction against('coordinate')"
            )
        return slopes_of(self.setup.model.answers, pair, self.sites, Patching(self.side), self.setup.readout)


def refuse_slopes_of_paths(sites: Sequence[Site], held: Held) -> None:
    """Raise ``MethodError`` for what has no slopes."""
    if held.norms or any(site.via for site in sites):
        raise MethodError(
            "an adversary with gradients takes components, with nothing held: search a path against('coordinate')"
        )
