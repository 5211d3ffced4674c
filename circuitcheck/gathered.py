"""The per-pair numbers of one effect."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from circuitcheck.methods import Method

if TYPE_CHECKING:
    from circuitcheck.types import Floats


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
