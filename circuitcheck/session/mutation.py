"""Mutation testing of claims: every supported claim is run again under mutants that should break it.

    pytest hypotheses --circuit-mutate

A mutant is killed when the claim is *refuted* under it; one that merely was not decided is counted separately.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from circuitcheck import ledger
from circuitcheck.addresses.anatomy import Anatomy
from circuitcheck.addresses.kinds import layers_with
from circuitcheck.addresses.sites import EVERYWHERE, Position, Site
from circuitcheck.errors import ClaimInconclusive, ClaimRefuted
from circuitcheck.experiments.mutants import Mutant, NotApplicable, under, was_applied

if TYPE_CHECKING:
    from circuitcheck.claims.verdicts import Verdict


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
            count = anatomy.layers[site.layer].count(site.kind)
            others = [replace(site, index=(site.index + step) % count) for step in range(1, count)]
        elif site.traits.in_block and not (site.traits.is_stream or site.traits.host):
            there = layers_with(site.kind, anatomy)
            at = there.index(site.layer)
            others = [replace(site, layer=layer) for layer in there[at + 1 :] + there[:at]]
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
    if any(site.position.answer for site in sites):
        raise NotApplicable("the claim is about the answer's own tokens")
    return [replace(site, position=_before(site.position)) for site in sites]


def _before(position: Position) -> Position:
    """The token before a position; of pictures a corner, and of that the class token."""
    if position.patch:
        return replace(position, patch="cls" if position.patch == "patch{0,0}" else "patch{0,0}")
    return replace(position, offset=position.offset - 1)


def _known(sites: Sequence[Site], anatomy: Anatomy) -> list[Site]:
    """All that leaves the last block at the last token: it carries everything."""
    return [Site(anatomy.n_layers - 1, "RESID_POST", -1, Position(offset=-1))]


MUTANTS = (
    Mutant("neighbour", _neighbour),
    Mutant("position", _elsewhere),
    Mutant("source", crossed=True),
    Mutant("weights", shuffled=True),
)
# For claims that a site carries a variable: that it carries another one.
OF_VARIABLES = (Mutant("variable", swapped=True),)
# For claims that something does not matter: a component that is known to.
MATTERS = (Mutant("known to matter", _known),)


def outcomes(claim: Callable[[], object], verdicts: "Sequence[Verdict]") -> dict[str, str]:
    """What came of a supported claim under each of its mutants, by the mutant's name."""
    acting = [verdict for verdict in verdicts if verdict.measurement.method.intervenes]
    # That a circuit lacks nothing is a claim about its members.
    others = [verdict for verdict in acting if verdict.measurement.method.verb != "completeness"]
    nothing = [verdict for verdict in others if verdict.operator == "==" and verdict.holds(0.0)]
    if not acting:
        return {mutant.name: "not applicable" for mutant in MUTANTS}
    further = OF_VARIABLES if any(verdict.measurement.method.verb == "interchange" for verdict in acting) else ()
    return {mutant.name: _outcome(claim, mutant) for mutant in (MATTERS if nothing else (*MUTANTS, *further))}


def _outcome(claim: Callable[[], object], mutant: Mutant) -> str:
    with under(mutant), ledger.opened() as asked:
        try:
            claim()
        except ClaimRefuted as error:
            return "killed" if error.of_comparison else "not applicable"
        except ClaimInconclusive:
            return "inconclusive"
        except (Exception, pytest.fail.Exception, pytest.skip.Exception):
            return "not applicable"  # what the test does beside its claim cannot be done again, or not so
        # An effect that was made before the test, in a fixture, is none of the mutant's.
        return "survived" if asked.verdicts and was_applied() else "not applicable"
