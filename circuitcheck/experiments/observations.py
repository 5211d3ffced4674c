"""What runs show as they are: direct logit attribution, the logit lens, attention.

run = model.on(FRUIT)
run.direct("L31.N892") > 1                     # logits that it writes by itself
run.lens("L31.RESID_POST").of_gap > 0.5        # the share of the gap that can be read there
run.attention("L26.H1", source="{fruit}") > 0.5

Each reads one side's run, the clean one where nothing is said. As a share of the gap it is what the clean run has more
than the corrupted one.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Literal

import numpy as np

from circuitcheck.addresses.circuits import Circuit, sites_of
from circuitcheck.addresses.parsing import one_site, parse_position
from circuitcheck.addresses.sites import STREAM, SUBLAYERS, Position, Site
from circuitcheck.engine.ablations import Ablation
from circuitcheck.engine.reading import observing
from circuitcheck.errors import MethodError
from circuitcheck.experiments.experiment import Act, Experiment, Gathered, Sets, Shift
from circuitcheck.experiments.mutants import NotApplicable, current, mutated
from circuitcheck.experiments.setups import Setup
from circuitcheck.prompts.alignment import AlignedPair
from circuitcheck.prompts.pairs import Side
from circuitcheck.sampling.samples import Sample

if TYPE_CHECKING:
    from circuitcheck.types import Floats

Sides = Literal["clean", "corrupt", "both"]
_WORDS = {"clean": "clean run", "corrupt": "corrupted run", "both": "clean - corrupted run"}
_LAST = Position(offset=-1)
# All of the attention; not 1, as no shares of pairs are counted, which are known without rounding.
_ONE = 1 + 1e-6


@dataclass(frozen=True)
class Look:
    """A way of looking. ``read`` gives the numbers [pair] of each set of sites in one side's run, after ``check`` has seen the
    sites; ``unit`` is their own, ``to`` says in a label what more there is to it."""

    verb: str
    words: str
    unit: str
    read: "Callable[[Setup, Sample, Sets, Side], Sequence[Floats]]"
    check: Callable[[Sequence[Site]], None]
    frozen: str = "nothing"
    positions: str = "@end"
    to: str = ""
    limits: tuple[float, float] | None = None
    of_wholes: bool = True

    def units(self, side: Sides) -> dict[str, Sides]:
        """The units that numbers of a side have, with the side that they are then read of."""
        if self.limits is not None:
            return {self.unit: side}
        both: dict[str, Sides] = {self.unit: side, "gap": "both"}
        return {"clean": both | {"clean": side}, "corrupt": {self.unit: side}, "both": both}[side]


@dataclass(frozen=True)
class Observing:
    """What is seen in one side's run; of "both", how much more of it there is in the clean one."""

    look: Look
    side: Sides

    def shifts(self, setup: Setup, sample: Sample, sets: Sets) -> list[Shift]:
        """What is seen at each set of sites."""
        for sites in sets:
            self.look.check(sites)
        found = self.look.read(setup, sample, sets, "clean" if self.side == "both" else self.side)
        if self.side == "both":
            others = self.look.read(setup, sample, sets, "corrupt")
            found = [clean - corrupt for clean, corrupt in zip(found, others, strict=True)]
        return [Shift(values, not values.any()) for values in found]

    def slopes(self, setup: Setup, pair: AlignedPair, sites: Sequence[Site]) -> "dict[Side, Floats]":
        """Of what is only seen nobody has asked."""
        raise MethodError("an adversary with gradients takes patches and ablations: search this against('coordinate')")


def direct(setup: Setup, site: str | Circuit, side: Side = "clean") -> Experiment:
    """See ``Run.direct``."""
    if setup.readout.name != "logit_diff":
        raise MethodError(
            f"direct logit attribution is of the logit difference, and here the readout is {setup.readout}"
        )
    words, frozen = "direct logit attribution", "the final norm's scale"
    return _observed(setup, Look("direct", words, "logits", _write, _check_writers, frozen), site, side)


def lens(setup: Setup, site: str, side: Side = "clean") -> Experiment:
    """See ``Run.lens``."""
    return _observed(setup, Look("lens", "logit lens", setup.readout.unit, _readable, _check_stream), site, side)


def attention(setup: Setup, head: str, source: str, destination: str = "@end", side: Side = "clean") -> Experiment:
    """See ``Run.attention``."""
    at, to = (parse_position(written, setup.model.anatomy) for written in (destination, source))
    if to.everywhere:
        raise MethodError("all tokens together get all of a head's attention: name a source, such as '{io}'")
    one_site(head, "H", setup.model.anatomy)
    mutant = current()
    if mutant is not None and mutant.shuffled:
        raise NotApplicable("a head's output weights have no part in where it attends")
    look = Look(
        "attention",
        "attention",
        "attention",
        partial(_paid, (at, to)),
        _check_heads,
        positions=f"@{at}",
        to=f" from @{at} to @{to}",
        limits=(0.0, _ONE),
        of_wholes=False,
    )
    return _observed(setup, look, head, side)


def _observed(setup: Setup, look: Look, given: str | Circuit, side: Sides, unit: str = "") -> Experiment:
    """What is seen at an address, in a unit (its own, where none is said)."""
    if side not in _WORDS:
        raise MethodError(f"what is read is the 'clean' or the 'corrupt' run, not {side!r}")
    unit, mutant, anatomy = unit or look.unit, current(), setup.model.anatomy
    address, sites = mutated(str(given), sites_of(given, anatomy), anatomy)
    look.check(sites)
    if mutant is not None and mutant.crossed:
        raise NotApplicable("what is seen has no source in another run")
    verb = Observing(look, side)
    where = f"{look.to.strip()}, {_WORDS[side]}" if look.to else _WORDS[side]
    method = setup.method(look.verb, address, sites, value=where, direction=look.words)

    def gather(sample: Sample) -> Gathered:
        with setup.as_mutated(mutant, sites):
            [found] = verb.shifts(setup, sample, [sites])
            itself: Floats = np.ones(len(sample.pairs))
            return Gathered(found.values, setup.bases(sample) if look.limits is None else {unit: itself})

    def at(address: str, value: "str | float | Ablation | None") -> Experiment:
        if value is not None:
            raise MethodError(f"nothing is put in where a run is read; {value!r} is an ablation's value")
        return _observed(setup, look, address, side, unit)

    label = f"{look.verb} {address}{look.to}" + ("" if side == "clean" else f" ({_WORDS[side]})")
    method = replace(method, positions=look.positions, frozen=look.frozen)
    act = Act(verb, sites, at, look.of_wholes)
    others = {name: partial(_observed, setup, look, given, of, name) for name, of in look.units(side).items()}
    return Experiment(setup, label, method, unit, gather, look.limits, act, others)


def _write(setup: Setup, sample: Sample, sets: Sets, side: Side) -> "Sequence[Floats]":
    return list(observing.direct(setup.model.answers, sample, sets, side, setup.readout))


def _readable(setup: Setup, sample: Sample, sets: Sets, side: Side) -> "Sequence[Floats]":
    return [observing.lens(setup.model.answers, sample, site, side, setup.readout) for [site] in sets]


def _paid(
    places: tuple[Position, Position], setup: Setup, sample: Sample, sets: Sets, side: Side
) -> "Sequence[Floats]":
    return [observing.attention(setup.model.answers, sample, head, places, side) for [head] in sets]


def _check_writers(sites: Sequence[Site]) -> None:
    """What writes into the stream, at the last token, each once."""
    for site in sites:
        if site.kind in STREAM:
            raise MethodError(f"{site} is what all before it have written: read it by lens({str(site)!r})")
        if site.via or site.kind not in ("N", "H", *SUBLAYERS, "EMBED"):
            raise MethodError(
                f"{site} writes nothing into the stream by itself: address a neuron, a head, MLP, ATTN or EMBED"
            )
        whole = {"N": "MLP", "H": "ATTN"}.get(site.kind)
        if any((other.layer, other.kind) == (site.layer, whole) for other in sites):
            raise MethodError(f"{site} is a part of L{site.layer}.{whole}, and would be counted twice")
    _check_last(sites)


def _check_stream(sites: Sequence[Site]) -> None:
    if len(sites) != 1 or sites[0].kind not in STREAM:
        found = " | ".join(map(str, sites))
        raise MethodError(f"a lens reads one place of the stream, such as L0.RESID_POST, and not {found}")
    _check_last(sites)


def _check_heads(sites: Sequence[Site]) -> None:
    if len(sites) != 1 or sites[0].via or sites[0].kind != "H":
        raise MethodError(f"one head's attention is compared with other heads', not with {' | '.join(map(str, sites))}")


def _check_last(sites: Sequence[Site]) -> None:
    for site in sites:
        if not site.position.everywhere and site.position != _LAST:
            raise MethodError(
                f"logits are read at the last token, and {site} is at another: write it with @end, or without"
            )
