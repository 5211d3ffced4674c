"""The verbs' doings: what an intervention makes of the readout, at any set of sites."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Protocol

from circuitcheck.alignment import AlignedPair
from circuitcheck.circuits import divided, rest_of
from circuitcheck.edges import graph_of
from circuitcheck.engine import Outcome, Sample, slopes
from circuitcheck.engine.reference import Reference
from circuitcheck.engine.subspaces import Placebo, Subspace
from circuitcheck.errors import MethodError
from circuitcheck.methods import NOTHING_HELD, Ablation, Held, Side
from circuitcheck.sites import Site

if TYPE_CHECKING:
    from circuitcheck.effects import Effect
    from circuitcheck.grounds import Grounds
    from circuitcheck.types import Floats

Sets = Sequence[Sequence[Site]]
_INERT = "what was put in is what was there, in every pair: the component is inert here"


class Shift(NamedTuple):
    """What a set of sites brings back or takes away in each pair, of shape [pair]; ``inert``: what was put in is what was
    there, in all of them."""

    values: "Floats"
    inert: bool

    @property
    def notes(self) -> tuple[str, ...]:
        """What is odd about it."""
        return (_INERT,) if self.inert else ()


class Verb(Protocol):
    """What is done at a set of sites."""

    def shifts(self, run: "Grounds", sample: Sample, sets: Sets) -> list[Shift]:
        """What each set of sites brings back, or takes away, in common batches."""

    def slopes(self, run: "Grounds", pair: AlignedPair, sites: Sequence[Site]) -> "dict[Side, Floats]":
        """How what it shifts changes with each token's embedding, of shape [position, d_model]."""


@dataclass(frozen=True)
class Patching:
    """The other run's activation, put ``side`` in; ``crossed``: that of another pair's run of the same side instead;
    ``along``: the part of it in a subspace alone."""

    side: Side
    crossed: bool = False
    held: Held = NOTHING_HELD
    along: Subspace | Placebo | None = None

    def shifts(self, run: "Grounds", sample: Sample, sets: Sets) -> list[Shift]:
        """What comes back in the corrupted run, or is lost in the clean one."""
        engine = run.model.engine
        before = engine.base(sample, self.side, run.readout).values
        sign = 1 if self.side == "corrupt" else -1
        found = engine.patched_each(sample, sets, self.side, run.readout, self.crossed, self.held, self.along)
        return [Shift(sign * (outcome.values - before), outcome.unchanged) for outcome in found]

    def slopes(self, run: "Grounds", pair: AlignedPair, sites: Sequence[Site]) -> "dict[Side, Floats]":
        """How what it shifts changes with each token's embedding, of shape [position, d_model]."""
        _refuse_slopes_of_paths(sites, self.held)
        if self.along is not None:
            raise MethodError(
                "an adversary with gradients takes whole components: search a direction against('coordinate')"
            )
        return slopes.of_patch(run.model.engine, pair, sites, self.side, run.readout)


@dataclass(frozen=True)
class Steering:
    """A vector, added ``side`` in."""

    side: Side
    how: Ablation

    def shifts(self, run: "Grounds", sample: Sample, sets: Sets) -> list[Shift]:
        """What comes back in the corrupted run, or is lost in the clean one."""
        engine = run.model.engine
        before = engine.base(sample, self.side, run.readout).values
        sign = 1 if self.side == "corrupt" else -1
        found = engine.ablated_each(sample, sets, self.how, None, run.readout, into=self.side)
        return [Shift(sign * (outcome.values - before), outcome.unchanged) for outcome in found]

    def slopes(self, run: "Grounds", pair: AlignedPair, sites: Sequence[Site]) -> "dict[Side, Floats]":
        """How what it shifts changes with each token's embedding, of shape [position, d_model]."""
        return slopes.of_ablation(run.model.engine, pair, sites, self.how, None, run.readout, self.side)


@dataclass(frozen=True)
class Ablating:
    """An ablation's value, put into the clean run."""

    how: Ablation
    held: Held = NOTHING_HELD

    def shifts(self, run: "Grounds", sample: Sample, sets: Sets) -> list[Shift]:
        """What is lost."""
        clean = run.model.engine.base(sample, "clean", run.readout).values
        return [Shift(clean - outcome.values, outcome.unchanged) for outcome in self.outcomes(run, sample, sets)]

    def outcomes(self, run: "Grounds", sample: Sample, sets: Sets) -> list[Outcome]:
        """The clean run's readout without each set of sites; without none of them it is the clean run's own."""
        engine = run.model.engine
        written = [sites for sites in sets if sites]
        found = iter(
            engine.ablated_each(sample, written, self.how, self._reference(run, sample), run.readout, self.held)
        )
        return [next(found) if sites else engine.base(sample, "clean", run.readout) for sites in sets]

    def slopes(self, run: "Grounds", pair: AlignedPair, sites: Sequence[Site]) -> "dict[Side, Floats]":
        """How what it shifts changes with each token's embedding, of shape [position, d_model]."""
        _refuse_slopes_of_paths(sites, self.held)
        return slopes.of_ablation(
            run.model.engine, pair, sites, self.how, self._reference(run, run.sample), run.readout
        )

    def _reference(self, run: "Grounds", sample: Sample) -> Reference | None:
        return run.reference_of(sample) if self.how.needs_reference else None


@dataclass(frozen=True)
class Keeping:
    """An ablation of all of a universe but the sites."""

    how: Ablation
    universe: tuple[Site, ...]

    def shifts(self, run: "Grounds", sample: Sample, sets: Sets) -> list[Shift]:
        """What of the behaviour stays, over what is left where nothing is kept."""
        finer = [divided(sites, self.universe, run.model.anatomy) for sites in sets]
        nothing = Ablating(self.how).outcomes(run, sample, finer)
        return [
            Shift(with_it.values - without.values, not sites)
            for sites, with_it, without in zip(sets, self.outcomes(run, sample, sets), nothing, strict=True)
        ]

    def outcomes(self, run: "Grounds", sample: Sample, sets: Sets) -> list[Outcome]:
        """The clean run's readout with each set of sites and nothing else of the universe."""
        anatomy = run.model.anatomy
        whole = [number for number, sites in enumerate(sets) if not any(site.via for site in sites)]
        rest = [rest_of(sets[number], self.universe, anatomy)[0] for number in whole]
        found = dict(zip(whole, Ablating(self.how).outcomes(run, sample, rest), strict=True))
        return [
            found[number]
            if number in found
            else self._along_edges(run, sample, sites, divided(sites, self.universe, anatomy))
            for number, sites in enumerate(sets)
        ]

    def _along_edges(self, run: "Grounds", sample: Sample, sites: Sequence[Site], universe: Sequence[Site]) -> Outcome:
        reference = run.reference_of(sample) if self.how.needs_reference else None
        graph = graph_of(sites, run.model.anatomy)
        return run.model.engine.kept_along(sample, graph, universe, self.how, reference, run.readout)

    def slopes(self, run: "Grounds", pair: AlignedPair, sites: Sequence[Site]) -> "dict[Side, Floats]":
        """Of what is kept nobody has asked."""
        raise MethodError(
            "an adversary with gradients takes patches and ablations: search a circuit against('coordinate')"
        )


@dataclass(frozen=True)
class Act:
    """What an effect is the effect of: a verb at certain sites, and how to write the same of another address. ``of_wholes``: a
    part's effect is one of the effects that make up its whole's."""

    verb: Verb
    sites: tuple[Site, ...]
    at: "Callable[[str, str | float | Ablation | None], Effect]"
    of_wholes: bool = True


def frozen(sites: Sequence[Site], held: Held) -> str:
    """What stays as it was beside what is written, in words."""
    found = []
    if any(site.via for site in sites):
        found.append("heads and MLPs on the way" if held.mlps else "heads on the way")
    if held.norms:
        found.append("normalisation scales")
    return " and ".join(found) or "nothing"


def _refuse_slopes_of_paths(sites: Sequence[Site], held: Held) -> None:
    if held.norms or any(site.via for site in sites):
        raise MethodError(
            "an adversary with gradients takes components, with nothing held: search a path against('coordinate')"
        )
