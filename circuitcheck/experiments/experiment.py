"""An experiment: what is done to a model where, and how it is read. It computes nothing until its numbers are gathered."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, NamedTuple, Protocol

import numpy as np

from circuitcheck.addresses.sites import Site
from circuitcheck.engine.ablations import Ablation
from circuitcheck.experiments.methods import Method
from circuitcheck.experiments.setups import Setup
from circuitcheck.prompts.alignment import AlignedPair
from circuitcheck.prompts.pairs import Side
from circuitcheck.sampling.samples import Sample

if TYPE_CHECKING:
    from circuitcheck.types import Floats

Sets = Sequence[Sequence[Site]]
_INERT = "what was put in is what was there, in every pair: the component is inert here"


@dataclass(frozen=True)
class Gathered:
    """Per-pair numbers of one effect, of shape [pair]: the shift, and what each unit makes it a share of.

    ``reference`` names the reference set that was used, with its hash; ``drawn`` says that the numbers rest on a draw of
    something else than the pairs (each pair's donor, the pairs that a direction was found on), so that a whole population's
    are a sample all the same; ``doubt`` by how much rounding puts each number in doubt;
    ``chosen`` names what was chosen on the reference set.
    """

    shift: "Floats"
    bases: "dict[str, Floats]"
    reference: str = ""
    drawn: bool = False
    notes: tuple[str, ...] = ()
    doubt: "Floats | None" = None
    chosen: str = ""

    def told(self, method: Method) -> Method:
        """The method, with what was found out while gathering."""
        return replace(method, reference=self.reference, chosen=self.chosen)

    @staticmethod
    def joined(parts: "Sequence[Gathered]") -> "Gathered":
        """What was gathered stage by stage. A note that does not hold of all of it is none."""
        bases = {unit: np.concatenate([part.bases[unit] for part in parts]) for unit in parts[0].bases}
        notes = tuple(note for note in parts[0].notes if all(note in part.notes for part in parts))
        shift = np.concatenate([part.shift for part in parts])
        doubts = [part.doubt for part in parts if part.doubt is not None]
        doubt = np.concatenate(doubts) if doubts else None
        return Gathered(shift, bases, parts[0].reference, parts[0].drawn, notes, doubt, parts[0].chosen)


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

    def shifts(self, setup: Setup, sample: Sample, sets: Sets) -> list[Shift]:
        """What each set of sites brings back, or takes away, in common batches."""

    def slopes(self, setup: Setup, pair: AlignedPair, sites: Sequence[Site]) -> "dict[Side, Floats]":
        """How what it shifts changes with each token's embedding, of shape [position, d_model]."""


@dataclass(frozen=True)
class Act:
    """What an effect is the effect of: a verb at certain sites, and how to write the same of another address. ``of_wholes``: a
    part's effect is one of the effects that make up its whole's."""

    verb: Verb
    sites: tuple[Site, ...]
    at: "Callable[[str, str | float | Ablation | None], Experiment]"
    of_wholes: bool = True


@dataclass(frozen=True, eq=False)
class Experiment:
    """A number about a setup. ``gather`` gives the per-pair numbers of some pairs; ``unit`` is what they are a share of, a key of
    ``units.PHRASES``; ``limits`` what a pair's number lies between; ``others`` the same in other units, of what has units of its
    own."""

    setup: Setup
    label: str
    method: Method
    unit: str
    gather: "Callable[[Sample], Gathered]"
    limits: tuple[float, float] | None = None
    act: Act | None = None
    others: "Mapping[str, Callable[[], Experiment]] | None" = field(default=None, repr=False)
