"""An experiment: what is done to a model where, and how it is read. It computes nothing until its numbers are gathered."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import IntEnum
from typing import TYPE_CHECKING, ClassVar, NamedTuple

import numpy as np

from circuitcheck.addresses.sites import Site
from circuitcheck.engine.ablations import Ablation
from circuitcheck.engine.subspaces import Placebo, Subspace
from circuitcheck.errors import MethodError
from circuitcheck.experiments.methods import Method
from circuitcheck.experiments.setups import Setup
from circuitcheck.prompts.aligned_pairs import AlignedPair
from circuitcheck.prompts.pairs import Side
from circuitcheck.sampling.samples import Sample
from circuitcheck.units import UNITS

if TYPE_CHECKING:
    from circuitcheck.types import Floats

Sets = Sequence[Sequence[Site]]
# What was written, by the run: "without" and "with" an intervention, or "clean" and "corrupted".
Texts = dict[str, str]
_INERT = "what was put in is what was there, in every pair: the component is inert here"


class Draw(IntEnum):
    """What a pair's number is a draw of, beside the pair: nothing; a donor, of which there are others; something that was drawn
    once for all pairs (those that a direction was found on)."""

    NOTHING = 0
    DONORS = 1
    ONCE = 2


@dataclass(frozen=True)
class Gathered:
    """Per-pair numbers of one effect, of shape [pair]: the shift, and what each unit makes it a share of.

    ``reference`` names the reference set that was used, with its hash, and ``correction`` is what the spread of a mean over it is
    multiplied by (0 where it is no draw); ``drawn`` says that the numbers rest on a draw of something else than the pairs, so that a
    whole population's are a sample all the same; ``doubt`` by how much rounding puts each number in doubt;
    ``texts``: what was written after each pair's prompts, by which run that was, where that is read;
    ``chosen`` names what was chosen or trained on other pairs; ``spent`` is the share of alpha that what they were compared with has
    taken already.
    """

    shift: "Floats"
    bases: "dict[str, Floats]"
    reference: str = ""
    drawn: Draw = Draw.NOTHING
    notes: tuple[str, ...] = ()
    doubt: "Floats | None" = None
    chosen: str = ""
    spent: float = 0.0
    correction: float = 0.0
    texts: "tuple[Texts, ...]" = ()

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
        texts = tuple(text for part in parts for text in part.texts)
        return replace(parts[0], shift=shift, bases=bases, notes=notes, doubt=doubt, texts=texts)


class Shift(NamedTuple):
    """What a set of sites brings back or takes away in each pair, of shape [pair]; ``inert``: what was put in is what was
    there, in all of them; ``texts``: see ``Gathered``."""

    values: "Floats"
    inert: bool
    texts: "tuple[Texts, ...]" = ()

    @property
    def notes(self) -> tuple[str, ...]:
        """What is odd about it."""
        return (_INERT,) if self.inert else ()


@dataclass(frozen=True, eq=False, kw_only=True)
class Experiment(ABC):
    """A number about a setup, as a frozen record from which label, method, unit and identity follow.

        Patch.at("L1.N8", setup, "corrupt")
        Gap(setup=setup, unit="logits")

    ``unit``: what its numbers are a share of, a key of ``units.UNITS``. What is done at components has ``sites``, and
    others can take their place.
    """

    setup: Setup
    unit: str
    sites: tuple[Site, ...] = ()

    at_components: ClassVar[bool] = False
    is_share: ClassVar[bool] = True  # of different things, as one likes
    is_sum: ClassVar[bool] = False  # of what is done at each of its sites
    has_controls: ClassVar[bool] = False  # among matched components
    is_counted: ClassVar[bool] = False  # of new templates or fillers, how many are above 0
    reads_texts: ClassVar[bool] = False  # that a model writes

    def __post_init__(self) -> None:
        if self.setup.readout.is_text and not self.reads_texts:
            raise MethodError(self._no_texts)

    @property
    @abstractmethod
    def label(self) -> str:
        """What is done where, as reports name it."""

    @property
    @abstractmethod
    def method(self) -> Method:
        """What is done where and how it is read, in words."""

    @abstractmethod
    def gather(self, sample: Sample) -> Gathered:
        """The per-pair numbers of some pairs."""

    @property
    def limits(self) -> tuple[float, float] | None:
        """What a pair's number lies between."""
        return None

    @property
    def of_wholes(self) -> bool:
        """Whether a part's effect is one of those that make up its whole's."""
        return True

    @property
    def universe(self) -> tuple[Site, ...]:
        """What its components are among."""
        return self.setup.sites(self.setup.universe_of(self.sites))

    @property
    def subspace(self) -> Subspace | Placebo | None:
        """The part of an activation that it is about; None where it is about all of it."""
        return None

    def in_unit(self, unit: str) -> "Experiment":
        """The same as a share of something else; raises ``MethodError`` for what it is no share of."""
        if unit == self.unit:
            return self
        if not self.is_share:
            raise MethodError(
                f"{self.label} is not a share of anything else, so that it has no unit {UNITS[unit].phrase!r}"
            )
        if self.setup.readout.is_text:
            raise MethodError(
                f"{self.label} is a difference of shares of prompts, and a share of nothing else: leave .of_... out"
            )
        if unit == "clean" and not self.setup.readout.is_amount:
            readout = self.setup.readout
            raise MethodError(f"there are no shares of a {readout}: take .of_gap or .raw")
        return replace(self, unit=unit)

    def moved(self, address: str, value: "str | float | Ablation | None" = None) -> "Experiment":
        """The same at another address, or by another ablation value."""
        raise self._no_component

    def in_subspace(self, subspace: Subspace | Placebo | None) -> "Experiment":
        """The same in another part of the activation."""
        raise self._no_component

    def shifts(self, sample: Sample, sets: Sets) -> list[Shift]:
        """What each set of sites brings back, or takes away, in common batches."""
        raise self._no_component

    def slopes(self, pair: AlignedPair) -> "dict[Side, Floats]":
        """How what it shifts changes with each token's embedding, of shape [position, d_model]."""
        raise self._no_component

    @property
    def _no_texts(self) -> str:
        """Why there is no such number about generated text."""
        return (
            f"{self.label} is read from the prompts' own runs, and here what the model writes after them is read: that takes ablate and steer, "
            "gap and accuracy; ask model.on(pairs) without readout=generated(...)"
        )

    @property
    def _no_component(self) -> MethodError:
        return MethodError(f"{self.label} is not the effect of a component")
