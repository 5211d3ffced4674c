"""Subspaces of an activation: a patch within one, and random ones that move an activation as far."""

import random
from dataclasses import dataclass, field
from functools import cached_property
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
    basis: "Floats" = field(compare=False, repr=False)
    entries: tuple[int, ...] = field(compare=False, repr=False)

    def __call__(self, destination: torch.Tensor, source: torch.Tensor) -> torch.Tensor:
        """The destination, with its part in the subspace as the source has it."""
        moved: torch.Tensor = self.interchange(destination, source)
        return moved

    def __str__(self) -> str:
        return self.identity

    @cached_property
    def interchange(self) -> Any:
        """TransformerLens' own, of the basis."""
        from transformer_lens.tools.analysis.interchange import SubspaceInterchange

        return SubspaceInterchange(torch.tensor(self.basis))

    def placebos(self, n: int, seed: str) -> "list[Placebo]":
        """So many random subspaces of the same rank; none where there is no room for another."""
        chance = random.Random(seed)
        if self.basis.shape[1] == len(self.entries):
            return []
        return [
            Placebo(f"random direction {number} ({seed})", self, chance.randrange(2**31)) for number in range(1, n + 1)
        ]


@dataclass(frozen=True)
class Placebo:
    """A random subspace, drawn by a ``seed``, in which an activation is moved as far as a patch along another one moves it."""

    identity: str
    of: Subspace
    seed: int = field(compare=False, repr=False)

    def __call__(self, destination: torch.Tensor, source: torch.Tensor) -> torch.Tensor:
        """The destination, moved towards the source as far as the other subspace moves it."""
        moved: torch.Tensor = self._placebo(destination, source)
        return moved

    @cached_property
    def _placebo(self) -> Any:
        from transformer_lens.tools.analysis.interchange import NormMatchedPlacebo, random_basis

        basis = torch.zeros_like(torch.tensor(self.of.basis))
        basis[list(self.of.entries)] = random_basis(len(self.of.entries), basis.shape[1], self.seed).to(basis)
        return NormMatchedPlacebo(self.of.interchange, basis)

    def __str__(self) -> str:
        return self.identity.partition(" (")[0]


def spanned(vectors: "Floats") -> "Floats":
    """An orthonormal basis of what vectors of shape [vector, width] span; of shape [width, rank]."""
    from transformer_lens.tools.analysis.interchange import probe_basis

    basis: Floats = probe_basis(vectors).double().numpy()
    return basis
