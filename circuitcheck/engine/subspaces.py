"""Subspaces of an activation: a patch within one, and random ones that move an activation as far."""

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from circuitcheck.engine.on_demand import torch

if TYPE_CHECKING:
    from circuitcheck.types import Floats


def whole(destination: torch.Tensor, source: torch.Tensor) -> torch.Tensor:
    """The source: a patch of all of an activation."""
    return source


@dataclass(frozen=True)
class Subspace:
    """A part of an activation that a patch changes; two of one ``identity`` are the same.

    ``basis`` is orthonormal, of shape [width, rank]; outside ``entries`` it is 0.
    """

    identity: str
    basis: torch.Tensor = field(compare=False, repr=False)
    entries: torch.Tensor = field(compare=False, repr=False)

    @classmethod
    def of(cls, identity: str, basis: "Floats", entries: Sequence[int]) -> "Subspace":
        """From numbers of shape [width, rank]."""
        return cls(identity, torch.tensor(basis), torch.tensor(entries))

    def __call__(self, destination: torch.Tensor, source: torch.Tensor) -> torch.Tensor:
        """The destination, with its part in the subspace as the source has it."""
        moved: torch.Tensor = self._interchange(destination, source)
        return moved

    def __str__(self) -> str:
        return self.identity

    @property
    def _interchange(self) -> Any:
        from transformer_lens.tools.analysis.interchange import SubspaceInterchange

        return SubspaceInterchange(self.basis)

    def placebos(self, n: int, seed: str) -> "list[Placebo]":
        """So many random subspaces of the same rank; none where there is no room for another."""
        from transformer_lens.tools.analysis.interchange import random_basis

        rank, chance = self.basis.shape[1], random.Random(seed)
        if rank == len(self.entries):
            return []
        found = []
        for number in range(1, n + 1):
            basis = torch.zeros_like(self.basis)
            basis[self.entries] = random_basis(len(self.entries), rank, chance.randrange(2**31)).to(basis)
            found.append(Placebo(f"random direction {number} ({seed})", self, basis))
        return found


@dataclass(frozen=True)
class Placebo:
    """A random subspace, in which an activation is moved as far as a patch along another one moves it."""

    identity: str
    of: Subspace
    basis: torch.Tensor = field(compare=False, repr=False)

    def __call__(self, destination: torch.Tensor, source: torch.Tensor) -> torch.Tensor:
        """The destination, moved towards the source as far as the other subspace moves it."""
        from transformer_lens.tools.analysis.interchange import NormMatchedPlacebo

        moved: torch.Tensor = NormMatchedPlacebo(self.of._interchange, self.basis)(destination, source)
        return moved

    def __str__(self) -> str:
        return self.identity.partition(" (")[0]


def spanned(vectors: "Floats") -> "Floats":
    """An orthonormal basis of what vectors of shape [vector, width] span; of shape [width, rank]."""
    from transformer_lens.tools.analysis.interchange import probe_basis

    basis: Floats = probe_basis(vectors).double().numpy()
    return basis
