"""Halves of a population: by each pair's own text, or such that no filler of some slots is in both.

>>> fillers_of_halves([("apple", "lemon"), ("olive", "fig")])["discover"]
frozenset({'apple', 'lemon'})
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from circuitcheck.errors import PromptError
from circuitcheck.prompts.descriptions import HALVES, Description, half_of
from circuitcheck.prompts.pairs import Pair
from circuitcheck.prompts.slots import Choice
from circuitcheck.texts import digest

_TEMPLATE = "template"
# Of all fillers, so much may be in couples that go together before these are parted, too.
_MOST = 2 / 3

Couple = tuple[str, str]


def half(pairs: Description, which: str, by: Sequence[str]) -> Description:
    """One half of a description's pairs; ``by`` slots, columns or "template": of these the other half has no filler that it has.
    Raises ``PromptError`` for what has none of them, or no such halves."""
    if which not in HALVES:
        raise PromptError(f"a half is 'discover' or 'confirm', not {which!r}")
    if pairs.half:
        raise PromptError(f"{pairs!r} is a half already, {pairs.half!r}")
    if not by:
        rows = tuple(row for row in pairs.rows if half_of([row.clean.text, row.corrupt.text]) == which)
        made = replace(pairs, half=which, rows=rows)
    else:
        names = list(_chosen(pairs, by))
        fillers = fillers_of_halves([_couples(pairs, name) for name in names])[which]
        made = _with_fillers(pairs, names, fillers, which, tuple(by))
    if (pairs.rows and not made.rows) or (pairs.templates and not made.templates):
        new = f" with other fillers of {', '.join(map(_written, by))} than the other" if by else ""
        raise PromptError(f"the half {which!r} of {pairs!r} has no pairs: there are too few for two halves{new}")
    return made


def fillers_of_halves(slots: Iterable[Sequence[Couple]]) -> Mapping[str, frozenset[str]]:
    """The fillers of either half, of each slot's couples of a clean and a corrupted filler (twice the same, where they do not differ):
    about as many in each, and always the same."""
    halves: dict[str, set[str]] = {which: set() for which in HALVES}
    for couples in slots:
        here = {filler for couple in couples for filler in couple}
        for group in _groups(couples):
            there = [which for which in HALVES if not group.isdisjoint(halves[which])]
            into = there[0] if there else min(HALVES, key=lambda which: len(halves[which] & here))
            halves[into] |= group.difference(*halves.values())
    return {which: frozenset(fillers) for which, fillers in halves.items()}


def _groups(couples: Sequence[Couple]) -> list[set[str]]:
    """Fillers that go together, in an order that their texts alone decide: those that couples connect. Where these are nearly all
    (each clean filler with each corrupted one), each goes by itself, and couples across the halves are in neither."""
    groups = _connected(dict.fromkeys(couples))
    if max(map(len, groups)) <= _MOST * sum(map(len, groups)):
        return sorted(groups, key=lambda group: (-len(group), digest(sorted(group))))
    return [{filler} for side in zip(*couples, strict=True) for filler in sorted(set(side), key=digest)]


def _connected(couples: Iterable[Couple]) -> list[set[str]]:
    """Fillers that couples connect, directly or by others."""
    groups: list[set[str]] = []
    for couple in couples:
        touched = [group for group in groups if not group.isdisjoint(couple)]
        groups = [group for group in groups if group.isdisjoint(couple)]
        groups.append(set(couple).union(*touched))
    return groups


def _chosen(pairs: Description, by: Sequence[str]) -> Iterator[str]:
    """The slots that are chosen, among those that are named or that these are made of; columns and "template" as they are."""
    for name in by:
        if pairs.rows or name == _TEMPLATE:
            yield name
            continue
        if name not in pairs.slots:
            have = ", ".join([*map(_written, pairs.slots), repr(_TEMPLATE)])
            raise PromptError(f"split(by={name!r}): {pairs!r} has no such slot; it has {have}")
        slot = pairs.slots[name]
        if isinstance(slot, Choice):
            without = next((n for n in range(len(pairs.templates)) if name not in pairs.used_by(n)), None)
            if without is not None:
                raise PromptError(
                    f"split(by={name!r}): {pairs.templates[without]!r} has no {_written(name)}, so that both halves would have its pairs"
                )
            yield name
        elif slot.slots:
            yield from _chosen(pairs, slot.slots)
        else:
            raise PromptError(f"split(by={name!r}): {_written(name)} is always the same text")


def _couples(pairs: Description, name: str) -> list[Couple]:
    if pairs.rows:
        return [_couple_of(row, name) for row in pairs.rows]
    if name == _TEMPLATE:
        return [(template, template) for template in pairs.templates]
    slot = pairs.slots[name]
    return list(slot.options) if isinstance(slot, Choice) else []


def _couple_of(row: Pair, name: str) -> Couple:
    there = {slot: (clean, corrupt) for slot, clean, corrupt in row.fillers}
    if name not in there:
        have = ", ".join(map(repr, there)) or "none"
        raise PromptError(f"split(by={name!r}): the row {row.shown} has no such column (columns: {have})")
    return there[name]


def _with_fillers(
    pairs: Description, names: Sequence[str], fillers: frozenset[str], which: str, by: tuple[str, ...]
) -> Description:
    """The pairs whose fillers of these slots are all among some."""
    rows = (row for row in pairs.rows if all(fillers.issuperset(_couple_of(row, name)) for name in names))
    slots = dict(pairs.slots)
    for name in names:
        slot = slots.get(name)
        if isinstance(slot, Choice) and not pairs.rows:
            slots[name] = kept = slot.only(fillers.issuperset)
            if not kept.options:
                raise PromptError(
                    f"the half {which!r} of {pairs!r} has no filler of {_written(name)}: it has too few for two halves"
                )
    numbers = [n for n, one in enumerate(pairs.templates) if _TEMPLATE not in names or one in fillers]
    templates, roles = tuple(pairs.templates[n] for n in numbers), tuple(pairs.roles[n] for n in numbers)
    return replace(pairs, half=which, by=by, rows=tuple(rows), slots=slots, templates=templates, roles=roles)


def _written(name: str) -> str:
    return f"{{{name}}}"
