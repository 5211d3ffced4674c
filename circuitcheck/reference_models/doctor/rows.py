"""Rows of the doctor's tables: how often claims of a kind were wrong, and what was promised.

>>> row("accuracy", "0.9 are right", decisions, promise=0.025).broken
False
"""

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from circuitcheck.reference_models.calibration import AWAY, Found, bounds
from circuitcheck.settings import Settings

# A rate keeps its promise where its 99 % upper bound is at most so many times that.
_ALLOWED = 1.1
# Of fewer claims that bound is above any promise, however rare errors are.
_FEW = 2_000
_BEGIN, _END = "<!-- found: from make calibration -->", "<!-- end of found -->"


@dataclass(frozen=True)
class Row:
    """What came of ``claims`` of one kind where every decision is an error: ``false_pass`` and ``false_refute`` are shares of them,
    ``*_upper`` their 99 % upper bounds. ``promise``: what neither is to exceed (None: nothing is promised, and ``why`` says why);
    ``more`` has further columns."""

    name: str
    words: str
    claims: int
    promise: float | None
    false_pass: float
    false_pass_upper: float
    false_refute: float
    false_refute_upper: float
    more: dict[str, Any] = field(default_factory=dict)
    why: str = ""

    @property
    def broken(self) -> bool:
        """More errors than were promised, or than can be told from that; of few claims, surely more."""
        if self.promise is None:
            return False
        if self.claims < _FEW:
            return bounds(max(self.false_pass, self.false_refute), self.claims)[0] > self.promise
        return max(self.false_pass_upper, self.false_refute_upper) > _ALLOWED * self.promise


@dataclass(frozen=True)
class Table:
    """Rows with the same further columns."""

    title: str
    rows: tuple[Row, ...]


def row(name: str, words: str, decisions: Any, promise: float | None, why: str = "", **more: Any) -> Row:
    """Of decisions of shape [claim]: 1 for supported, -1 for refuted, 0."""
    passed, refuted, n = float((decisions == 1).mean()), float((decisions == -1).mean()), len(decisions)
    upper = bounds(passed, n)[1], bounds(refuted, n)[1]
    return Row(name, words, n, promise, passed, upper[0], refuted, upper[1], more, why)


def broken(found: Iterable[Found], tables: Iterable[Table], settings: Settings) -> list[str]:
    """The names of the rows whose promise was not kept."""
    most = _ALLOWED * settings.alpha / 2
    pairs = [one.name for one in found if not one.why and max(one.false_pass_upper, one.false_refute_upper) > most]
    return pairs + [f"{table.title}: {one.name}" for table in tables for one in table.rows if one.broken]


def with_tables(page: str, tables: str) -> str:
    """A page with the tables between its two marks; raises ``ValueError`` for one without them."""
    before, begin, rest = page.partition(_BEGIN)
    _, end, after = rest.partition(_END)
    if not (begin and end):
        raise ValueError(f"the page has no {_BEGIN} ... {_END}")
    return f"{before}{_BEGIN}\n\n{tables}\n\n{_END}{after}"


def as_json(settings: Settings, found: list[Found], tables: list[Table]) -> dict[str, Any]:
    """What ``--json`` writes."""
    named = {table.title: [asdict(one) | {"broken": one.broken} for one in table.rows] for table in tables}
    shapes = [asdict(one) for one in found]
    return {"settings": asdict(settings), "shapes": shapes, "tables": named, "broken": broken(found, tables, settings)}


def as_markdown(settings: Settings, found: list[Found], tables: list[Table]) -> str:
    """The tables, whose rates are followed by their 99 % bounds."""
    claims = f"{found[0].claims:,} simulated claims a shape at the boundary" if found else ""
    stated = f"alpha {settings.alpha:g}, budget {settings.budget:,}, B = {settings.bound:g} mean gaps; {claims}"
    promised = [one for one in found if not one.why]
    parts = [stated, "", *_of_pairs(promised)]
    if not_promised := [one for one in found if one.why]:
        parts += ["", "Promises not made: means of unbounded numbers, at the plain truth", "", *_of_pairs(not_promised)]
    for table in tables:
        parts += ["", f"{table.title}", "", *_of_table(table)]
    return "\n".join(parts)


def _of_pairs(found: list[Found]) -> list[str]:
    heads = ["shape", "", "false pass", "false refutation", "coverage", *(f"pairs, {away:g} above" for away in AWAY)]
    lines = _head([*heads, "clipped", "beyond B"])
    for one in found:
        cells = [one.name, one.words if not one.why else f"{one.words}: {one.why}"]
        cells += [_rate(one.false_pass, one.false_pass_upper), _rate(one.false_refute, one.false_refute_upper)]
        cells += [f"{one.coverage:.4f} (≥ {one.coverage_lower:.4f})"]
        cells += [f"{one.pairs[d]:.0f} ({one.power[d]:.0%})" for d in one.pairs]
        lines.append(_line([*cells, f"{one.clipped:.2%}", f"{one.beyond:+.3f}"]))
    return lines


def _of_table(table: Table) -> list[str]:
    lines = _head(["", "", "claims", "promise", "false pass", "false refutation", *table.rows[0].more])
    for one in table.rows:
        promise = f"none: {one.why}" if one.promise is None else f"{one.promise:.4g}"
        cells = [one.name, one.words, f"{one.claims:,}", promise]
        cells += [_rate(one.false_pass, one.false_pass_upper), _rate(one.false_refute, one.false_refute_upper)]
        lines.append(_line([*cells, *map(_cell, one.more.values())]))
    return lines


def _head(names: list[str]) -> list[str]:
    return [_line(names), f"|{'---|' * len(names)}"]


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _rate(rate: float, upper: float) -> str:
    return f"{rate:.4f} (≤ {upper:.4f})"


def _cell(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float | np.floating) else str(value)
