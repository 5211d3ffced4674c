"""The verbs' doings: what an intervention makes of the readout, at any set of sites."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from circuitcheck.alignment import AlignedPair
from circuitcheck.engine import Outcome, Sample
from circuitcheck.engine.reference import Reference
from circuitcheck.methods import Ablation, Side
from circuitcheck.sites import Site

if TYPE_CHECKING:
    from circuitcheck.effects import Effect
    from circuitcheck.runs import Run
    from circuitcheck.types import Floats

Sets = Sequence[Sequence[Site]]


class Verb(Protocol):
    """``side`` is the run that is written in."""

    @property
    def side(self) -> Side: ...

    def outcomes(self, run: "Run", sample: Sample, sets: Sets) -> list[Outcome]:
        """The readout of each set of sites, in common batches."""

    def slopes(self, run: "Run", pair: AlignedPair, sites: Sequence[Site]) -> "dict[Side, Floats]":
        """How what it shifts changes with each token's embedding, of shape [position, d_model]."""


@dataclass(frozen=True)
class Patching:
    """The other run's activation, put ``side`` in; ``crossed``: that of another pair's run of the same side instead."""

    side: Side
    crossed: bool = False

    def outcomes(self, run: "Run", sample: Sample, sets: Sets) -> list[Outcome]:
        """The readout of each set of sites, in common batches."""
        return run.model.engine.patched_each(sample, sets, self.side, run.readout, self.crossed)

    def slopes(self, run: "Run", pair: AlignedPair, sites: Sequence[Site]) -> "dict[Side, Floats]":
        """How what it shifts changes with each token's embedding, of shape [position, d_model]."""
        return run.model.engine.patched_slopes(pair, sites, self.side, run.readout)


@dataclass(frozen=True)
class Ablating:
    """An ablation's value, put into the clean run."""

    how: Ablation

    @property
    def side(self) -> Side:
        """Always the clean run."""
        return "clean"

    def outcomes(self, run: "Run", sample: Sample, sets: Sets) -> list[Outcome]:
        """The readout of each set of sites, in common batches."""
        return run.model.engine.ablated_each(sample, sets, self.how, self._reference(run), run.readout)

    def slopes(self, run: "Run", pair: AlignedPair, sites: Sequence[Site]) -> "dict[Side, Floats]":
        """How what it shifts changes with each token's embedding, of shape [position, d_model]."""
        return run.model.engine.ablated_slopes(pair, sites, self.how, self._reference(run), run.readout)

    def _reference(self, run: "Run") -> Reference | None:
        return run.reference if self.how.needs_reference else None


@dataclass(frozen=True)
class Act:
    """What an effect is the effect of: a verb at certain sites, and how to write the same of another address."""

    verb: Verb
    sites: tuple[Site, ...]
    at: "Callable[[str, str | float | Ablation | None], Effect]"
