"""A number with all that makes it mean something: interval or "exact", n, unit, method, pairs."""

import math
from collections.abc import Callable
from dataclasses import Field, asdict, dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple, NoReturn, Protocol, cast

import numpy as np

from circuitcheck.claims.measuring.pair_previews import shown_pairs
from circuitcheck.errors import ComparisonError
from circuitcheck.experiments.methods import Method
from circuitcheck.records.report_fields import ControlsFields, MeasurementFields, ProbeControlsFields, SpreadFields
from circuitcheck.statistics.clusters import TEMPLATE, by_filler, without_one
from circuitcheck.texts import shortened
from circuitcheck.units import UNITS, certainty, counted, with_unit, written

if TYPE_CHECKING:
    from circuitcheck.prompts.aligned_pairs import AlignedPair
    from circuitcheck.types import Floats


# Characters of a text that a line shows.
_SHOWN = 60
Stopped = Literal["verdict", "precision", "budget"]


class Behaviour(NamedTuple):
    """What the model does on the pairs before anything is done to it: of each its gap, and whether it is answered right (1 or
    0), of shape [pair]; the mean gap, the share that is answered right, and what gaps are in. None where there is no such
    thing."""

    gaps: "Floats | None" = None
    right: "Floats | None" = None
    gap: float | None = None
    accuracy: float | None = None
    unit: str = ""


class Controls(Protocol):
    """What a number stands among, in fields that are JSON scalars."""

    __dataclass_fields__: "ClassVar[dict[str, Field[Any]]]"

    def __str__(self) -> str: ...

    def notes(self, estimate: float) -> tuple[str, ...]:
        """What is odd about an estimate, seen beside these."""


@dataclass(frozen=True)
class Measurement:
    """What ``effect.measure()`` gives.

        >>> model.on(FRUIT).patch("L1.N8").measure()
        patch L1.N8 = 0.522 of the gap (exact, n=96)

    ``low`` and ``high`` bound the estimate at ``level`` (equal to it where ``exact``; None where unbounded);
    ``all_used``: the population has no more pairs; ``per_pair`` holds each pair's shift over the mean base, of shape [pair], in the order of ``pairs``.
    ``over`` is what shifts were divided by, and ``bases`` what the effect is a share of in each pair (None: of nothing);
    ``describe_prompts`` gives the population's description in parts.
    ``stopped``: what gathering stopped at, where the population has more pairs. What is known without pairs, of weights or texts, has none: ``counted`` says what ``n`` counts instead. ``origin``: the versions
    and the device that the numbers were computed by, where those are not this session's. ``texts``: what was written after each pair's
    prompts, "without" and "with" an intervention, where texts are read.
    """

    label: str
    unit: str
    estimate: float
    low: float | None
    high: float | None
    level: float
    exact: bool
    n: int
    rejected: int
    rejections: str
    method: Method
    model: str
    fingerprint: str
    population: str
    population_id: str
    pairs: "tuple[AlignedPair, ...]" = field(repr=False)
    per_pair: "Floats" = field(repr=False)
    gap: float
    is_example: bool = False
    all_used: bool = False
    counted: str = "pairs"
    stopped: Stopped | None = None
    notes: tuple[str, ...] = ()
    texts: tuple[dict[str, str], ...] = field(default=(), repr=False)
    origin: str | None = None
    over: float = 1.0
    bases: "Floats | None" = field(default=None, repr=False)
    describe_prompts: "Callable[[], dict[str, list[str]]]" = field(default=dict, repr=False)
    describe_behaviour: "Callable[[], Behaviour]" = field(default=Behaviour, repr=False)
    describe_controls: "Callable[[], Controls | None]" = field(default=lambda: None, repr=False)

    def _no_claim(self, _: object) -> NoReturn:
        raise ComparisonError(
            f"{self.label} was measured, which decides nothing: claim the effect itself, without .measure(), or compare .estimate"
        )

    __gt__ = __ge__ = __lt__ = __le__ = _no_claim

    @cached_property
    def controls(self) -> "Controls | None":
        """Where a neuron or a head stands among others of its layer, a direction among random ones, a probe among those of
        arbitrary labels and random weights; None for what has no such others."""
        return self.describe_controls()

    def __str__(self) -> str:
        number = with_unit(written(self.estimate, self.unit), self.unit, after=self.label)
        return f"{self.label} = {number} ({self.standing})"

    __repr__ = __str__

    @property
    def value(self) -> float:
        """The estimate, by the name that other tools have for it."""
        return self.estimate

    @property
    def certainty(self) -> str:
        return certainty(self.exact, self.level, self.low, self.high)

    @property
    def standing(self) -> str:
        """How sure it is, and of how many."""
        at = self.stopped if self.stopped == "verdict" else None
        return f"{self.certainty}, {counted(self.n, self.counted, at)}"

    def grounds(self) -> list[str]:
        """What it rests on: the model, the method, the pairs. Each a line of an explanation."""
        method = self.method
        rejected = f"; rejected {self.rejections}" if self.rejected else ""
        lines = [
            f"model    {self.model}" + (f"; mean gap {self.gap:.3g}" if self.pairs and not math.isnan(self.gap) else "")
        ]
        if method.intervenes:
            direction = f"{method.direction}: " if method.direction else ""
            reference = f", {method.reference}" if method.reference else ""
            positions = f"; positions: {method.positions}" if method.positions else ""
            frozen = "" if method.frozen in ("", "nothing") else f"; frozen: {method.frozen}"
            lines.append(f"method   {direction}{method.value}{reference}{positions}{frozen}")
        if not self.pairs:
            return [*lines, f"of       {self.population}"]
        return [*lines, f"pairs    {self.n} of {self.population}{rejected}", f"range    {self.extremes()}"]

    def extremes(self) -> str:
        """The pairs with the lowest and the highest number, in words.

        print(model.on(FRUIT).patch("L1.N8").measure().extremes())
        """
        low, high = int(np.argmin(self.per_pair)), int(np.argmax(self.per_pair))
        found = [
            f"{self.per_pair[row]:.3g} for {self.pairs[row].pair.clean.text!r}{self._written(row)}"
            for row in (low, high)
        ]
        return f"lowest {found[0]}, highest {found[1]}"

    def _written(self, row: int) -> str:
        """What was written after a pair's prompts, in words; empty where no texts are read."""
        texts = self.texts[row].items() if self.texts else ()
        return f" ({', '.join(f'{which} {shortened(text, _SHOWN)!r}' for which, text in texts)})" if texts else ""

    def one_filler(self, holds: "Callable[[float], bool]") -> str:
        """The filler, or the template, without which a claim would hold, in words; empty where there is none."""
        if not UNITS[self.unit].is_share:
            return ""
        found = without_one(self.pairs, self.per_pair, np.ones(len(self.per_pair)))
        carrying = {key: value for key, (value, _) in found.items() if holds(value)}
        if not carrying:
            return ""
        slot, filler = max(carrying, key=lambda key: abs(carrying[key] - self.estimate))
        what, which = ("template", f"template {filler}") if slot == TEMPLATE else ("filler", f"{{{slot}}} = {filler}")
        return f"one {what} carries it: without {which} it would be {carrying[slot, filler]:.3g}"

    @cached_property
    def behaviour(self) -> Behaviour:
        """What the model does on the pairs, and how often it is right.

        model.on(FRUIT).patch("L1.N8").measure().behaviour.accuracy
        """
        return self.describe_behaviour()

    def numbers(self) -> dict[str, list[float | None]]:
        """Each pair's own numbers by the pair's identity, in the order of ``pairs``: shift and base in the readout's unit, gap,
        whether it is answered right, how many times it counts; with seven digits."""
        if not self.pairs:  # of weights, or of a search, which have none of their own
            return {}
        gaps, right, *_ = self.behaviour
        nothing, ones = [None] * len(self.pairs), [1.0] * len(self.pairs)
        columns = (
            self.per_pair * self.over,
            ones if self.bases is None else self.bases,
            nothing if gaps is None else gaps,
            nothing if right is None else right,
            [pair.pair.weight for pair in self.pairs],
        )
        return {
            pair.identity: [None if number is None else float(f"{number:.7g}") for number in numbers]
            for pair, *numbers in zip(self.pairs, *columns, strict=True)
        }

    def spread(self) -> SpreadFields:
        """How the numbers spread over the pairs, and the pairs at both ends: what a page shows."""
        return shown_pairs(self.pairs, self.per_pair, self.texts)

    def as_json(self) -> MeasurementFields:
        controls = None if self.controls is None else asdict(self.controls)
        return {
            "label": self.label,
            "site": self.method.component,
            "method": self.method.as_json(),
            "unit": self.unit,
            "estimate": self.estimate,
            "low": self.low,
            "high": self.high,
            "level": self.level,
            "exact": self.exact,
            "n": self.n,
            "counted": self.counted,
            "stopped": self.stopped,
            "rejected": self.rejected,
            "rejections": self.rejections,
            "gap": self.gap if self.pairs and math.isfinite(self.gap) else None,
            "model": self.model,
            "fingerprint": self.fingerprint,
            "origin": self.origin,
            "population": self.population,
            "population_id": self.population_id,
            "fillers": by_filler(self.pairs, self.per_pair),
            "controls": cast(ControlsFields | ProbeControlsFields | None, controls),
        }
