"""How far a claim's numbers, and the behaviour that it is about, have gone from the lock's.

On one and the same model every pair's number is what it was, to within rounding. On another one the paired difference, on the
pairs that were locked, must be shown to lie within the margin; a drift to the claim's own side is no loss.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from circuitcheck.records.locks.entries import Content
from circuitcheck.records.locks.findings import Change
from circuitcheck.records.locks.numbers import Rows, means
from circuitcheck.records.locks.restated import SIDES
from circuitcheck.settings import budget_for
from circuitcheck.statistics.evidence import Evidence
from circuitcheck.texts import plural
from circuitcheck.units import margin_of_drift, with_unit, written

if TYPE_CHECKING:
    from circuitcheck.types import Floats

# How far a pair's number may be off on the same model, by the dtype: other machines round otherwise.
TOLERANCE = {"float64": 1e-6, "float32": 1e-3, "bfloat16": 5e-2, "float16": 2e-2}
# How far it may be off between weights and the same ones rounded to half precision, both run in a larger one: less, since the
# activations are not rounded.
SAVED_TOLERANCE = {"bfloat16": 1e-2, "float16": 2e-3}
_HALF = ("bfloat16", "float16")
# How far an effect may drift when the model changes, in its own unit (for those without a natural size: as a share of what
# was locked); and a gap, as a share of what it was, and an accuracy.
DRIFT = 0.05
# What decides which pairs are drawn, and what their numbers rest on, other than the model.
_SETTINGS = {"seed": "--circuit-seed", "budget": "--circuit-budget", "reference": "--circuit-reference", "bound": "--circuit-bound", "precision": "--circuit-precision"}  # fmt: skip


@dataclass(frozen=True)
class Sides:
    """A comparison in two locks, with its pairs and the entries that it is of. ``same``: whether the model is the same, None where
    that is not known; ``dtypes``: in which each was run; ``saved``: in which the weights of each are on disk, empty where that is not known;
    ``drift``: the margin that the session allows."""

    before: Content
    now: Content
    rows: tuple[Rows, Rows]
    entries: tuple[Content, Content]
    same: bool | None
    dtypes: tuple[str, str]
    saved: tuple[str, str]
    drift: float

    @property
    def settings(self) -> list[str]:
        """What was asked for otherwise, as options."""
        old, new = (entry.get("settings", {}) for entry in self.entries)
        differ = [name for name in _SETTINGS if name in old and name in new and old[name] != new[name]]
        return [f"{_SETTINGS[name]} {old[name]} -> {new[name]}" for name in differ]

    @property
    def margin(self) -> float:
        """How far the effect may drift."""
        own = self.entries[1].get("settings", {}).get("drift")
        allowed = self.drift if own is None else own
        return margin_of_drift(float(allowed), self.before["unit"], self.before["estimate"])

    @property
    def common(self) -> list[str]:
        """The pairs that both have numbers of."""
        return [pair for pair in self.rows[0] if pair in self.rows[1]]

    @property
    def is_whole(self) -> bool:
        """Whether the pairs in common are all that there are, each with a number that is no draw."""
        exact = bool(self.before["exact"] and self.now["exact"])
        return exact and len(self.common) == len(self.rows[0]) == len(self.rows[1])

    @property
    def tolerance(self) -> float:
        """How far rounding may move a pair's number, as a share of the effect's scale."""
        return max(TOLERANCE.get(dtype, TOLERANCE["float32"]) for dtype in self.dtypes)

    def within_rounding(self, off: float, margin: float) -> Change | None:
        """What is said of numbers that are ``off`` by no more than half precision rounds, in which a model was run or saved, and by more
        than the margin; None of others. ``off`` is a share of the effect's scale."""
        ran = next((dtype for dtype in self.dtypes if dtype in _HALF), "")
        saved = next((dtype for dtype in self.saved if dtype in _HALF), "")
        if not (ran or saved) or off > (self.tolerance if ran else SAVED_TOLERANCE[saved]):
            return None
        how = f"run in {ran}" if ran else f"saved in {saved}"
        helps = "--circuit-dtype=float32 decides" if ran else "a checkpoint saved in float32 decides"
        words = f"{how}: whether it drifted by {margin:.3g} cannot be told from rounding; {helps}"
        return Change(words, weaker=True, state="drifted", shared=f"rounding {how} {margin}")


def numbers_of(sides: Sides) -> Iterator[Change]:
    """How the numbers of a comparison have moved."""
    if sides.before["estimate"] is None or sides.now["estimate"] is None:
        return
    old, new = sides.rows
    if not old or not new:  # of weights, of a search, or of a lock whose second file is missing
        yield from _without_pairs(sides)
        return
    if sides.same is not False and not (off := list(_off(sides))):
        return
    if sides.same and not sides.settings and not _other_reference(sides) and not _other_choice(sides):
        yield from off
    elif sides.before["unit"] != "rank":
        yield from _drifted(sides)


def behaviour_of(sides: Sides) -> Iterator[Change]:
    """A fall of the gap, or of the accuracy, beyond the margin. Their rise is no finding."""
    if sides.same or sides.before["label"].split()[0] in ("gap", "accuracy"):  # whose own numbers these are
        return
    population = sides.now.get("population_id")
    unit = str(sides.now.get("gap_unit") or "")
    pairs = [[rows[pair] for pair in sides.common] for rows in sides.rows]
    found = [means(rows) if sides.common else (None, None) for rows in pairs]
    for place, name in enumerate(("gap", "accuracy")):
        ends = [one[place] for one in found]
        if None in ends:
            ends = [effect.get(name) for effect in (sides.before, sides.now)]
        if ends[0] is None or ends[1] is None:
            continue
        margin = sides.drift * (abs(ends[0]) if name == "gap" else 1.0)
        direction = 1.0 if ends[0] >= 0 else -1.0
        if (fall := direction * (ends[0] - ends[1])) > margin:
            if name == "gap" and (rounded := sides.within_rounding(fall / abs(ends[0]), sides.drift)):
                yield rounded
                continue
            words = f"{name} {ends[0]:.3g} -> {ends[1]:.3g}"
            words = with_unit(words, unit, after="") if name == "gap" else words
            yield Change(words, weaker=True, state="drifted", shared=f"{words} {population}")


def _without_pairs(sides: Sides) -> Iterator[Change]:
    """What is known of weights or texts: the number itself."""
    if sides.now.get("searched") or sides.before["unit"] == "rank":  # of which the verdict says all
        return
    off = sides.now["estimate"] - sides.before["estimate"]
    scale = max(1.0, abs(sides.before["estimate"]))
    if not sides.before["exact"] or abs(off) <= (sides.tolerance * scale if sides.same else sides.margin):
        return
    if sides.same:
        yield Change(f"the same model gives another number: {_from_to(sides)} (rounding allows {sides.tolerance:g})")
        return
    moved = _moved(sides, off, f"the margin is {sides.margin:.3g}")
    yield (sides.within_rounding(abs(off) / scale, sides.margin) if moved.fails else None) or moved


def _off(sides: Sides) -> Iterator[Change]:
    """Numbers that are not those of the same model, though rounding is allowed for."""
    old, new = _numbers(sides)
    if not sides.common:
        why = f" ({', '.join(sides.settings)})" if sides.settings else ": where= or an answer's function selects others"
        yield Change(f"it was decided on other pairs{why}")
        return
    gaps = np.abs(new - old)
    allowed = sides.tolerance * max(1.0, abs(sides.before["estimate"]))
    if gaps.max() > allowed:
        beyond = int((gaps > sides.tolerance).sum())
        yield Change(
            f"the same model gives other numbers: {beyond} of {plural(len(gaps), 'pair')} {'is' if beyond == 1 else 'are'} off, one by "
            f"{gaps.max():.3g} (rounding allows {sides.tolerance:g})"
        )


def _numbers(sides: Sides) -> "tuple[Floats, Floats]":
    """The pairs' numbers before and now, as shares of one mean base each: that of the pairs in common, so that how many others
    there are is no change; in a lock of an older format they are shares of another one already."""
    normalised = bool(sides.entries[0].get("normalised"))
    found = []
    for place, rows in enumerate(sides.rows):
        over = [*rows.values()] if normalised and place else [rows[pair] for pair in sides.common]
        weights = sum(row.weight for row in over)
        base = sum(row.base * row.weight for row in over) / weights if weights else 1.0
        found.append(np.array([rows[pair].shift for pair in sides.common]) / (base or 1.0))
    return found[0], found[1]


def _drifted(sides: Sides) -> Iterator[Change]:
    """On another model, or of other reference prompts, the effect is what it was to within the margin."""
    if len(sides.common) < 2:
        why = f" ({', '.join(sides.settings)})" if sides.settings else ""
        yield Change(f"it was decided on other pairs{why}, so that how far it drifted is not known", weaker=True)
        return
    (old, new), margin = _numbers(sides), sides.margin
    weights = np.array([sides.rows[1][pair].weight for pair in sides.common])
    difference = (new - old) * weights / weights.mean()
    evidence = Evidence(difference, np.ones(len(difference)), sides.is_whole, scale=1.0, bound=4 * margin)
    decision = evidence.decide_within(-margin, margin)
    if decision == "supported":
        return
    on = f"on the same {plural(len(difference), 'pair')}"
    size = float(np.sqrt(np.mean(difference**2))) / max(1.0, abs(sides.before["estimate"]))
    if decision == "refuted":
        moved = _moved(sides, float(difference.mean()), f"{on}; the margin is {margin:.3g}")
        yield (sides.within_rounding(size, margin) if moved.fails else None) or moved
        return
    side = SIDES[sides.now["operator"]]
    if (side > 0 and evidence.above(-margin)) or (side < 0 and evidence.below(margin)):
        return  # whether it has risen is not decided, and that it has not fallen is
    needed = [found for edge in (-margin, margin) if (found := evidence.needed(edge)) is not None]
    ends = " to ".join("unbounded" if end is None else f"{end:+.3g}" for end in evidence.interval())
    unmoved = Evidence(0 * difference, evidence.base, sides.is_whole, scale=1.0, bound=4 * margin)
    if unmoved.decide_within(-margin, margin) == "supported" and (rounded := sides.within_rounding(size, margin)):
        yield rounded
        return
    if not sides.before["exact"]:
        many = max(needed) if len(needed) == 2 else 4 * len(difference)
        helps = f"lock more pairs, --circuit-lock=update --circuit-budget={budget_for(many)}"
    else:
        helps = "--circuit-drift, or drift= of its marker, widens the margin"
    yield Change(
        f"it went {_from_to(sides)} ({ends} {on}), which is not shown to be within the margin of {margin:.3g}: {helps}",
        weaker=True,
        state="drifted",
    )


def _moved(sides: Sides, by: float, how: str) -> Change:
    """A drift beyond the margin: a loss, or an improvement."""
    side, before = SIDES[sides.now["operator"]], sides.before["estimate"]
    goal = sides.now["threshold"]
    better = side * by > 0 if side else abs(before + by - goal) < abs(before - goal)
    words = f"it {'improved' if better else 'drifted'} {_from_to(sides)}, by {by:+.3g} ({how})"
    words += f"; {', '.join(sides.settings)}" if sides.same and sides.settings else ""
    words += "; its reference prompts are others" if sides.same and _other_reference(sides) else ""
    words += "; what was chosen or trained on other pairs is another" if sides.same and _other_choice(sides) else ""
    return Change(words, fails=not better, weaker=not better, state="holds" if better else "drifted")


def _from_to(sides: Sides) -> str:
    old, new = sides.before, sides.now
    return f"from {written(old['estimate'], old['unit'])} to {with_unit(written(new['estimate'], new['unit']), new['unit'], after=new['label'])}"


def _other_reference(sides: Sides) -> bool:
    old, new = (effect["method"].get("reference") for effect in (sides.before, sides.now))
    return old is not None and new is not None and old != new


def _other_choice(sides: Sides) -> bool:
    """Whether it rests on another choice: training ends elsewhere on a machine that rounds otherwise. Older locks do not say which it was."""
    old, new = (effect["method"].get("chosen") for effect in (sides.before, sides.now))
    return bool(new) and old != new
