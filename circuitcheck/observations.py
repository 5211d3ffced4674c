"""What runs show as they are: direct logit attribution, the logit lens, attention.

run = model.on(FRUIT)
run.direct("L31.N892") > 1                     # logits that it writes by itself
run.lens("L31.RESID_POST").of_gap > 0.5        # the share of the gap that can be read there
run.attention("L26.H1", source="{fruit}") > 0.5

Each reads one side's run, the clean one where nothing is said. As a share of the gap it is what the clean run has more
than the corrupted one.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Literal

import numpy as np

from circuitcheck.alignment import AlignedPair
from circuitcheck.circuits import sites_of
from circuitcheck.effects import Effect
from circuitcheck.engine import Sample, observing
from circuitcheck.errors import MethodError
from circuitcheck.gathered import Gathered
from circuitcheck.methods import Ablation, Side
from circuitcheck.mutants import NotApplicable, current, mutated
from circuitcheck.singles import one_site
from circuitcheck.sites import STREAM, SUBLAYERS, Position, Site, parse_position
from circuitcheck.units import PHRASES
from circuitcheck.verbs import Act, Sets, Shift

if TYPE_CHECKING:
    from circuitcheck.circuits import Circuit
    from circuitcheck.grounds import Grounds
    from circuitcheck.runs import Run
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
    read: "Callable[[Grounds, Sample, Sets, Side], Sequence[Floats]]"
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

    def shifts(self, run: "Grounds", sample: Sample, sets: Sets) -> list[Shift]:
        """What is seen at each set of sites."""
        for sites in sets:
            self.look.check(sites)
        found = self.look.read(run, sample, sets, "clean" if self.side == "both" else self.side)
        if self.side == "both":
            others = self.look.read(run, sample, sets, "corrupt")
            found = [clean - corrupt for clean, corrupt in zip(found, others, strict=True)]
        return [Shift(values, not values.any()) for values in found]

    def slopes(self, run: "Grounds", pair: AlignedPair, sites: Sequence[Site]) -> "dict[Side, Floats]":
        """Of what is only seen nobody has asked."""
        raise MethodError("an adversary with gradients takes patches and ablations: search this against('coordinate')")


class Observed(Effect):
    """What is seen in a run. ``others``: the same in other units, by the unit."""

    others: "Mapping[str, Callable[[], Effect]]"

    def _in(self, unit: str) -> Effect:
        if unit == self.unit:
            return self
        if unit not in self.others:
            raise MethodError(f"{self.label} has no unit {PHRASES[unit]!r}, but {PHRASES[self.unit]!r}")
        return self.others[unit]()


def direct(run: "Run", site: "str | Circuit", side: Side = "clean") -> Effect:
    """Direct logit attribution: what components themselves write into the answer - foil logit difference, in logits.

        model.on(FRUIT).direct("L31.N892") > 1
        model.on(FRUIT).direct("L31.MLP").of_gap > 0.2

    Of neurons, heads, MLP and ATTN outputs and EMBED, at the last token, with the final norm's scale as it is in the run of
    that ``side``; of several sites the sum. ``.of_clean`` is the share of the clean readout; ``.of_gap`` is clean minus
    corrupted attribution as a share of the gap, 1 over all that writes. Raises ``MethodError`` for answers or foils of
    several tokens, and where logits are no sum of what components write (a soft cap; for neurons and heads, a norm behind
    their layer). Elhage et al. 2021.
    """
    if run.readout.name != "logit_diff":
        raise MethodError(f"direct logit attribution is of the logit difference, and here the readout is {run.readout}")
    words, frozen = "direct logit attribution", "the final norm's scale"
    return _observed(run, Look("direct", words, "logits", _write, _check_writers, frozen), site, side)


def lens(run: "Run", site: str, side: Side = "clean") -> Effect:
    """The logit lens: the readout of a layer's stream at the last token, through the final norm and the unembedding.

        model.on(FRUIT).lens("L30.RESID_POST") > 0
        model.on(FRUIT).lens("L31.RESID_POST").of_gap > 0.5

    As if the model stopped there (nostalgebraist 2020), in the readout's unit. ``.of_clean`` is the share of the clean
    readout, ``.of_gap`` clean minus corrupted as a share of the gap. Raises ``MethodError`` for what is not one place of the
    stream (RESID_PRE, RESID_MID, RESID_POST).
    """
    return _observed(run, Look("lens", "logit lens", run.readout.unit, _readable, _check_stream), site, side)


def attention(run: "Run", head: str, source: str, destination: str = "@end", side: Side = "clean") -> Effect:
    """The attention that a head pays from one token to others: between 0 and 1, in the mean over the pairs.

        model.on(IOI).attention("L9.H6", source="{io}") > 0.5
        model.on(IOI).attention("L3.H0", source="{s}", destination="{giver}") > 0.3

    ``source`` and ``destination`` are positions ("{io}", "@{tree}[2]", "@-2"). What is paid to several source tokens is
    added up; the destination is one token. Read in the run of that ``side``. Raises ``MethodError`` for what is not one
    head, for a destination of several tokens and for a source that lies behind it.
    """
    at, to = (parse_position(written, run.model.anatomy) for written in (destination, source))
    if to.everywhere:
        raise MethodError("all tokens together get all of a head's attention: name a source, such as '{io}'")
    one_site(head, "H", run.model.anatomy)
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
    return _observed(run, look, head, side)


def _observed(run: "Run", look: Look, given: "str | Circuit", side: Sides, unit: str = "") -> Effect:
    """What is seen at an address, in a unit (its own, where none is said)."""
    if side not in _WORDS:
        raise MethodError(f"what is read is the 'clean' or the 'corrupt' run, not {side!r}")
    unit, mutant, anatomy = unit or look.unit, current(), run.model.anatomy
    address, sites = mutated(str(given), sites_of(given, anatomy), anatomy)
    look.check(sites)
    if mutant is not None and mutant.crossed:
        raise NotApplicable("what is seen has no source in another run")
    verb = Observing(look, side)
    where = f"{look.to.strip()}, {_WORDS[side]}" if look.to else _WORDS[side]
    method = run._method(look.verb, address, sites, value=where, direction=look.words)

    def gather(sample: Sample) -> Gathered:
        with run._as_mutated(mutant, sites):
            [found] = verb.shifts(run, sample, [sites])
            itself: Floats = np.ones(len(sample.pairs))
            return Gathered(found.values, run._bases(sample) if look.limits is None else {unit: itself})

    def at(address: str, value: "str | float | Ablation | None") -> Effect:
        if value is not None:
            raise MethodError(f"nothing is put in where a run is read; {value!r} is an ablation's value")
        return _observed(run, look, address, side, unit)

    label = f"{look.verb} {address}{look.to}" + ("" if side == "clean" else f" ({_WORDS[side]})")
    method = replace(method, positions=look.positions, frozen=look.frozen)
    effect = Observed(run, label, method, unit, gather, look.limits, act=Act(verb, sites, at, look.of_wholes))
    effect.others = {name: partial(_observed, run, look, given, of, name) for name, of in look.units(side).items()}
    return effect


def _write(run: "Grounds", sample: Sample, sets: Sets, side: Side) -> "Sequence[Floats]":
    return list(observing.direct(run.model.engine, sample, sets, side, run.readout))


def _readable(run: "Grounds", sample: Sample, sets: Sets, side: Side) -> "Sequence[Floats]":
    return [observing.lens(run.model.engine, sample, site, side, run.readout) for [site] in sets]


def _paid(
    places: tuple[Position, Position], run: "Grounds", sample: Sample, sets: Sets, side: Side
) -> "Sequence[Floats]":
    return [observing.attention(run.model.engine, sample, head, places, side) for [head] in sets]


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
