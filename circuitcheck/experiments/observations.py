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
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np

from circuitcheck.addresses.circuits import Circuit
from circuitcheck.addresses.parsing import one_site, parse_position
from circuitcheck.addresses.sites import Position, Site
from circuitcheck.engine.ablations import Ablation
from circuitcheck.engine.reading import observing
from circuitcheck.errors import MethodError
from circuitcheck.experiments.components import ComponentExperiment
from circuitcheck.experiments.experiment import Experiment, Gathered, Sets, Shift
from circuitcheck.experiments.methods import Method
from circuitcheck.experiments.mutants import NotApplicable, current
from circuitcheck.experiments.setups import Setup
from circuitcheck.prompts.aligned_pairs import AlignedPair
from circuitcheck.prompts.pairs import Side
from circuitcheck.sampling.samples import Sample
from circuitcheck.units import UNITS

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


@dataclass(frozen=True, eq=False, kw_only=True)
class Observe(ComponentExperiment):
    """What is seen in one side's run; of "both", how much more of it there is in the clean one."""

    look: Look
    side: Sides

    takes, no_source = "nothing is put in where a run is read", "what is seen has no source in another run"

    @classmethod
    def at(cls, address: str | Circuit, setup: Setup, look: Look, side: Sides, unit: str = "") -> Self:
        """At an address, in a unit (the look's own, where none is said)."""
        if side not in _WORDS:
            raise MethodError(f"what is read is the 'clean' or the 'corrupt' run, not {side!r}")
        if side != "clean":
            setup.need_contrast(f"{look.words} of the corrupted run")
        place = cls.placed(setup, address)
        look.check(place.sites)
        return cls(**place._asdict(), unit=unit or look.unit, look=look, side=side)

    @property
    def label(self) -> str:
        where = "" if self.side == "clean" else f" ({_WORDS[self.side]})"
        return f"{self.look.verb} {self.address}{self.look.to}{where}"

    @property
    def method(self) -> Method:
        method = self.setup.method(self.look.verb, self.address, self.sites, **self.fields())
        return replace(method, positions=self.look.positions, frozen=self.look.frozen)

    def fields(self) -> dict[str, Any]:
        to, run = self.look.to.strip(), _WORDS[self.side]
        return {"value": f"{to}, {run}" if to else run, "direction": self.look.words}

    @property
    def limits(self) -> tuple[float, float] | None:
        return self.look.limits

    @property
    def of_wholes(self) -> bool:
        return self.look.of_wholes

    def in_unit(self, unit: str) -> "Experiment":
        """The same in one of the units that what is seen in a run has."""
        if unit == self.unit:
            return self
        units = self.look.units(self.side)
        if unit not in units:
            raise MethodError(
                f"{self.label}{self.setup.tag} has no unit {UNITS[unit].phrase!r}, but {UNITS[self.unit].phrase!r}"
            )
        return replace(self, unit=unit, side=units[unit])

    def moved(self, address: str, value: "str | float | Ablation | None" = None) -> Self:
        self.refuse(value)
        return self.at(address, self.setup, self.look, self.side, self.unit)

    def gathered(self, sample: Sample, shift: Shift) -> Gathered:
        """What was seen, with what it is a share of."""
        itself: Floats = np.ones(len(sample.pairs))
        return Gathered(shift.values, self.setup.bases(sample) if self.look.limits is None else {self.unit: itself})

    def shifts(self, sample: Sample, sets: Sets) -> list[Shift]:
        """What is seen at each set of sites."""
        for sites in sets:
            self.look.check(sites)
        found = self.look.read(self.setup, sample, sets, "clean" if self.side == "both" else self.side)
        if self.side == "both":
            others = self.look.read(self.setup, sample, sets, "corrupt")
            found = [clean - corrupt for clean, corrupt in zip(found, others, strict=True)]
        return [Shift(values, not values.any()) for values in found]

    def slopes(self, pair: AlignedPair) -> "dict[Side, Floats]":
        raise MethodError("an adversary with gradients takes patches and ablations: search this against('coordinate')")


def direct(setup: Setup, site: str | Circuit, side: Side = "clean") -> Observe:
    """See ``Run.direct``."""
    if setup.readout.name != "logit_diff":
        raise MethodError(
            f"direct logit attribution is of the logit difference, and here the readout is {setup.readout}"
        )
    words, frozen = "direct logit attribution", "the final norm's scale"
    return Observe.at(site, setup, Look("direct", words, "logits", _write, _check_writers, frozen), side)


def lens(setup: Setup, site: str, side: Side = "clean") -> Observe:
    """See ``Run.lens``."""
    return Observe.at(site, setup, Look("lens", "logit lens", setup.unit, _readable, _check_stream), side)


def attention(setup: Setup, head: str, source: str, destination: str = "@end", side: Side = "clean") -> Observe:
    """See ``Run.attention``."""
    at, to = (parse_position(written, setup.model.anatomy) for written in (destination, source))
    if to.answer or at.answer:
        raise MethodError(
            "attention is read in the prompts, where no token of an answer is run: name a position of these"
        )
    if to.everywhere:
        raise MethodError("all tokens together get all of a head's attention: name a source, such as '{io}'")
    one_site(head, "H", setup.model.anatomy)
    mutant = current()
    if mutant is not None and mutant.shuffled:
        raise NotApplicable("a head's output weights have no part in where it attends")
    if setup.readout.needs_foil and not all(pair.foil for pair in setup.sample.pairs):
        setup = setup.of_answers()  # where a head attends is read of no answer
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
    return Observe.at(head, setup, look, side)


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
        if site.traits.is_stream:
            raise MethodError(f"{site} is what all before it have written: read it by lens({str(site)!r})")
        if site.via or not site.traits.writes:
            raise MethodError(
                f"{site} writes nothing into the stream by itself: address a neuron, a head, MLP, ATTN or EMBED"
            )
        whole = site.traits.whole
        if any((other.layer, other.kind) == (site.layer, whole) for other in sites):
            raise MethodError(f"{site} is a part of L{site.layer}.{whole}, and would be counted twice")
    _check_last(sites)


def _check_stream(sites: Sequence[Site]) -> None:
    if len(sites) != 1 or not sites[0].traits.is_stream:
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
