"""Claims with teeth: a claim that still holds when its component is another one says nothing about that component.

    pytest hypotheses --circuit-mutate

Every supported claim is run again under mutants that should break it. A mutant is killed when the claim is *refuted*
under it; that it merely was not decided is told apart.
"""

import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import pytest

from circuitcheck.errors import CircuitError, ClaimInconclusive, ClaimRefuted
from circuitcheck.sites import EVERYWHERE, Anatomy, Site

if TYPE_CHECKING:
    from circuitcheck.models import Model
    from circuitcheck.verdicts import Verdict

OUTCOMES = ("killed", "survived", "inconclusive", "not applicable")


class NotApplicable(CircuitError):
    """This mutant changes nothing that the claim is about."""


@dataclass(frozen=True)
class Mutant:
    """One way to break a claim. ``sites`` gives the mutated sites; ``crossed`` takes the source from another pair of the
    run that is written in, so that nothing of the behaviour is in it; ``shuffled`` permutes the component's output weights."""

    name: str
    sites: Callable[[Sequence[Site], Anatomy], list[Site]] = lambda sites, anatomy: list(sites)
    crossed: bool = False
    shuffled: bool = False


def _neighbour(sites: Sequence[Site], anatomy: Anatomy) -> list[Site]:
    """The next component of the layer, or for a sublayer the same in the next layer; of a path, another beginning."""
    beginnings = _next_ones([site.via[0] if site.via else site for site in sites], anatomy)
    return [
        replace(site, via=(other, *site.via[1:])) if site.via else other
        for site, other in zip(sites, beginnings, strict=True)
    ]


def _next_ones(sites: Sequence[Site], anatomy: Anatomy) -> list[Site]:
    taken = {(site.layer, site.kind, site.index) for site in sites}
    found = []
    for site in sites:
        if site.index >= 0:
            count = anatomy.count(site.kind)
            others = [replace(site, index=(site.index + step) % count) for step in range(1, count)]
        elif site.kind in ("MLP", "ATTN"):
            others = [
                replace(site, layer=(site.layer + step) % anatomy.n_layers) for step in range(1, anatomy.n_layers)
            ]
        else:
            others = []
        others = [other for other in others if (other.layer, other.kind, other.index) not in taken]
        if not others:
            raise NotApplicable(f"{site} has no neighbour")
        found.append(others[0])
        taken.add((others[0].layer, others[0].kind, others[0].index))
    return found


def _elsewhere(sites: Sequence[Site], anatomy: Anatomy) -> list[Site]:
    """The same components one token earlier."""
    if any(site.position == EVERYWHERE for site in sites):
        raise NotApplicable("the claim is about all positions")
    return [replace(site, position=replace(site.position, offset=site.position.offset - 1)) for site in sites]


def _known(sites: Sequence[Site], anatomy: Anatomy) -> list[Site]:
    """All that leaves the last block: it carries everything."""
    return [Site(anatomy.n_layers - 1, "RESID_POST", -1, EVERYWHERE)]


MUTANTS = (
    Mutant("neighbour", _neighbour),
    Mutant("position", _elsewhere),
    Mutant("source", crossed=True),
    Mutant("weights", shuffled=True),
)
# For claims that something does not matter: a component that is known to.
MATTERS = (Mutant("known to matter", _known),)

_active: list[Mutant] = []
# Of each mutant in force, whether anything was made under it.
_applied: list[bool] = []


def current() -> Mutant | None:
    """The mutant under which claims are being made."""
    return _active[-1] if _active else None


@contextmanager
def _under(mutant: Mutant) -> Iterator[None]:
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


def outcomes(claim: Callable[[], object], verdicts: "Sequence[Verdict]") -> dict[str, str]:
    """What came of a supported claim under each of its mutants, by the mutant's name."""
    acting = [verdict for verdict in verdicts if verdict.measurement.method.verb != "observe"]
    # That a circuit lacks nothing is a claim about its members.
    others = [verdict for verdict in acting if verdict.measurement.method.verb != "completeness"]
    nothing = [verdict for verdict in others if verdict.operator == "==" and verdict.holds(0.0)]
    if not acting:
        return {mutant.name: "not applicable" for mutant in MUTANTS}
    return {mutant.name: _outcome(claim, mutant) for mutant in (MATTERS if nothing else MUTANTS)}


def _outcome(claim: Callable[[], object], mutant: Mutant) -> str:
    from circuitcheck import ledger

    with _under(mutant), ledger.opened() as asked:
        try:
            claim()
        except ClaimRefuted:
            return "killed"
        except ClaimInconclusive:
            return "inconclusive"
        except (Exception, pytest.fail.Exception, pytest.skip.Exception):
            return "not applicable"  # what the test does beside its claim cannot be done again, or not so
        # An effect that was made before the test, in a fixture, is none of the mutant's.
        return "survived" if asked.verdicts and _applied[-1] else "not applicable"


@contextmanager
def shuffled_weights(model: "Model", sites: Sequence[Site]) -> Iterator[None]:
    """The output weights of heads and neurons permuted while the block lasts; of others nothing can be."""
    import torch

    if any(site.kind not in "NH" or site.via for site in sites):
        raise NotApplicable("only heads and neurons have output weights of their own")
    with model.engine.mutated():
        kept = []
        try:
            with torch.no_grad():
                for site in dict.fromkeys(replace(site, position=EVERYWHERE) for site in sites):
                    rows = _output_rows(model.bridge, site)
                    order = list(range(rows.shape[-1]))
                    random.Random(f"shuffle/{site}").shuffle(order)
                    kept.append((rows, rows.clone()))
                    rows.copy_(rows[:, order])
            yield
        finally:
            with torch.no_grad():
                for rows, before in reversed(kept):
                    rows.copy_(before)


def _output_rows(bridge: Any, site: Site) -> Any:
    """What a head or a neuron writes into the stream: a view of the weights, of shape [its width, d_model]."""
    block, width = bridge.blocks[site.layer], int(bridge.cfg.d_head) if site.kind == "H" else 1
    projection = block.mlp.out if site.kind == "N" else block.attn.o
    linear = projection.original_component
    weight = linear.weight.detach()
    by_input = weight if type(linear).__name__ == "Conv1D" else weight.T
    return by_input[site.index * width : (site.index + 1) * width]
