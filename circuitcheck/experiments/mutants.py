"""Mutants: ways to break a claim, and the one that claims are being made under.

A claim that still holds when its component is another one says nothing about that component.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from circuitcheck.addresses.anatomy import Anatomy
from circuitcheck.addresses.sites import Site
from circuitcheck.errors import CircuitError

OUTCOMES = ("killed", "survived", "inconclusive", "not applicable")


class NotApplicable(CircuitError):
    """This mutant changes nothing that the claim is about."""


@dataclass(frozen=True)
class Mutant:
    """One way to break a claim. ``sites`` gives the mutated sites; ``crossed`` takes the source from another pair of the
    run that is written in, so that nothing of the behaviour is in it; ``shuffled`` permutes the component's output weights; ``swapped`` takes another variable."""

    name: str
    sites: Callable[[Sequence[Site], Anatomy], list[Site]] = lambda sites, anatomy: list(sites)
    crossed: bool = False
    shuffled: bool = False
    swapped: bool = False


_active: list[Mutant] = []
# Of each mutant in force, whether anything was made under it.
_applied: list[bool] = []


def current() -> Mutant | None:
    """The mutant under which claims are being made."""
    return _active[-1] if _active else None


@contextmanager
def under(mutant: Mutant) -> Iterator[None]:
    _active.append(mutant)
    _applied.append(False)
    try:
        yield
    finally:
        _active.pop()
        _applied.pop()


def mutated(address: str, sites: tuple[Site, ...], anatomy: Anatomy) -> tuple[str, tuple[Site, ...]]:
    """An address with its sites, as the mutant in force has them."""
    mutant = current()
    if mutant is None:
        return address, sites
    _applied[-1] = True
    found = tuple(mutant.sites(sites, anatomy))
    return (address, sites) if found == sites else (" | ".join(map(str, found)), found)


def was_applied() -> bool:
    """Whether anything was made under the mutant in force."""
    return _applied[-1]
