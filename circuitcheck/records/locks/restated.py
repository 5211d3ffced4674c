"""What one claim says otherwise than before: its verdict, its thresholds, its method, its prompts.

Each change is one by itself. So a threshold that is loosened in the same edit that changes the prompts is reported with the prompts.
"""

from collections.abc import Iterator, Mapping

from circuitcheck.records.locks.entries import VARIES, Content
from circuitcheck.records.locks.findings import Change
from circuitcheck.records.locks.prompt_edits import edits
from circuitcheck.texts import plural
from circuitcheck.units import statement, written

_EXPECTED = ("xfailed", "xpassed")
_FAILED = ("failed", "error")
# A verdict that stands no longer is weaker, in this order.
_STRENGTH = {"supported": 3, "unrefuted": 2, "inconclusive": 1, "refuted": 0}
_STATED = ("operator", "unit", "label")
# What comparisons that stand for each other have in common, as much as possible first.
_ALIKE = (
    ("label", "operator", "unit", "population_id"),
    ("label", "operator"),
    ("operator", "unit"),
    ("operator",),
    (),
)
# Which way a number may go without breaking the claim.
SIDES = {">": 1, ">=": 1, "<": -1, "<=": -1, "==": 0}


def changes_of(
    before: Content, now: Content, is_same: bool, populations: tuple[Mapping[str, Content], Mapping[str, Content]]
) -> Iterator[Change]:
    """What a claim says otherwise. ``is_same``: it is known by the same as before; ``populations``: of both locks."""
    yield from _standing(before, now)
    if now["outcome"] in _FAILED and _is_beginning(now, before):  # the test ended at the first that failed
        yield from _stated_of(before, now)
        return
    if not is_same:
        yield from _about(before, now, populations)
    elif len(before["effects"]) != len(now["effects"]):  # of an entry that was edited by hand
        yield Change(f"{len(now['effects'])} comparisons, not {len(before['effects'])}", weaker=True)
    yield from _stated_of(before, now)


def does_not_hold(entry: Content) -> str:
    """Why the claim does not hold as its test has it, in words; empty where it does."""
    if entry["outcome"] == "xpassed":
        return "it was expected to be refuted, and was not"
    if entry["outcome"] == "skipped":
        return "it was skipped after its comparisons"
    if entry["outcome"] not in _FAILED:
        return ""
    if entry["verdict"] in ("supported", "unrefuted"):
        return f"its test fails, though its comparisons came out {entry['verdict']}"
    effect = next((one for one in entry["effects"] if one["verdict"] == entry["verdict"]), entry["effects"][-1])
    return f"it is {entry['verdict']}: {said(effect)}: it is {written(effect['estimate'], effect['unit'])}"


def pairs_of(old: list[Content], new: list[Content]) -> list[tuple[int, int | None]]:
    """The place of each comparison before, with that of the one now that has most in common with it; None where none is left."""
    partners: dict[int, int] = {}
    for fields in _ALIKE:
        free: dict[tuple[str, ...], list[int]] = {}
        for place in sorted(set(range(len(new))) - set(partners.values()), reverse=True):
            free.setdefault(_values(new[place], fields), []).append(place)
        for place, one in enumerate(old):
            if place not in partners and free.get(_values(one, fields)):
                partners[place] = free[_values(one, fields)].pop()
    return [(place, partners.get(place)) for place in range(len(old))]


def said(effect: Content) -> str:
    """What a comparison says, in a phrase."""
    return statement(*(effect[name] for name in ("label", "operator", "threshold", "margin", "unit")))


def _standing(before: Content, now: Content) -> Iterator[Change]:
    """What became of the verdict, and of what the test expects."""
    if now["outcome"] in _EXPECTED and before["outcome"] not in _EXPECTED:
        yield Change("xfail was added: a refutation is expected now", weaker=True, state="broken")
    problem = does_not_hold(now)
    if now["verdict"] == before["verdict"]:
        if problem and not does_not_hold(before):
            yield Change(problem, weaker=True, state="broken")
        return
    weaker = _STRENGTH.get(now["verdict"], -1) < _STRENGTH.get(before["verdict"], -1) or bool(problem)
    found = problem.removeprefix(f"it is {now['verdict']}") if problem.startswith("it is ") else ""
    yield Change(
        f"it was {before['verdict']}, and is {now['verdict']}{found}{_where_it_was(before, now) if found else ''}",
        weaker=weaker,
        state="broken" if weaker else "changed",
    )


def _where_it_was(before: Content, now: Content) -> str:
    """The number before of the comparison that gave the verdict."""
    place = next(
        (n for n, one in enumerate(now["effects"]) if one["verdict"] == now["verdict"]), len(now["effects"]) - 1
    )
    there = before["effects"][place] if place < len(before["effects"]) else None
    if there is None or any(there.get(name) != now["effects"][place].get(name) for name in ("label", "unit")):
        return ""
    return f", and was {written(there['estimate'], there['unit'])}"


def _is_beginning(now: Content, before: Content) -> bool:
    """Whether the comparisons now are the first of those before, and fewer."""
    labels = [
        [(one["label"], one["unit"], one.get("population_id")) for one in entry["effects"]] for entry in (now, before)
    ]
    return len(labels[0]) < len(labels[1]) and labels[0] == labels[1][: len(labels[0])]


def _about(
    before: Content, now: Content, populations: tuple[Mapping[str, Content], Mapping[str, Content]]
) -> Iterator[Change]:
    """In what two claims of one test differ, but for what they are compared with."""
    old, new = before["effects"], now["effects"]
    both = [(old[place], new[other]) for place, other in pairs_of(old, new) if other is not None]
    differ = [f"{plural(len(new), 'comparison')}, not {len(old)}"] if len(old) != len(new) else []
    for one, other in both:
        methods = one["method"], other["method"]
        fields = [name for name in dict.fromkeys([*methods[0], *methods[1]]) if name not in VARIES]
        differ += [_change(name, *methods) for name in fields] + [_change(name, one, other) for name in _STATED]
    if any(differ):
        told = ", ".join(dict.fromkeys(filter(None, differ)))
        yield Change(f"it claims something else now: {told}", weaker=True)
    moved = {(one.get("population_id"), other.get("population_id")): None for one, other in both}
    for ids in moved:
        if ids[0] != ids[1]:
            told = "; ".join(edits(populations[0].get(str(ids[0])), populations[1].get(str(ids[1]))))
            yield Change(f"its prompts are others{f': {told}' if told else ''}", shared=f"prompts {ids}")
    if not any(differ) and all(one == other for one, other in moved):
        yield Change("it claims something else now: how its pairs are searched", weaker=True)
    left = [old[place] for place, other in pairs_of(old, new) if other is None]
    for effect in left:
        yield Change(f"a comparison is gone: {said(effect)}", weaker=True)


def _stated_of(before: Content, now: Content) -> Iterator[Change]:
    """What the comparisons state otherwise than before: threshold, margin, error rate; and the drift that a marker allows."""
    old, new = before["effects"], now["effects"]
    for place, other in pairs_of(old, new):
        if other is not None:
            yield from _stated(old[place], new[other])
    drifts = [entry.get("settings", {}).get("drift") for entry in (before, now)]
    if drifts[0] != drifts[1] and not before.get("normalised"):
        wider = drifts[1] is not None and (drifts[0] is None or drifts[1] > drifts[0])
        said = ["the session's" if one is None else f"{one:g}" for one in drifts]
        yield Change(f"the drift that it allows was {said[0]}, and is {said[1]}", weaker=wider)


def _stated(before: Content, now: Content) -> Iterator[Change]:
    if SIDES[now["operator"]] != SIDES[before["operator"]] or now["unit"] != before["unit"]:
        yield Change(f"{said(before)} before, and now {said(now)}, which do not compare", weaker=True)
    else:
        yield from _limits(before, now)
    if abs(now["level"] - before["level"]) > 1e-6:
        lower = now["level"] < before["level"]
        yield Change(f"its error rate is {1 - now['level']:.3g}, not {1 - before['level']:.3g}", weaker=lower)
    sites = [one["method"].get("sites") for one in (before, now)]
    if now["label"] == before["label"] and sites[0] != sites[1]:
        yield Change(f"how many parts it is about changed: {sites[0]} -> {sites[1]}", weaker=True)


def _limits(before: Content, now: Content) -> Iterator[Change]:
    """How threshold and margin have moved, of comparisons in one unit and on one side."""
    old, new, side = before["threshold"], now["threshold"], SIDES[now["operator"]]
    if new != old and side == 0:
        yield Change(f"it is compared with {new:g}, not {old:g}", weaker=True)
    elif (new, now["operator"]) != (old, before["operator"]):
        looser = (new < old) == (side > 0) if new != old else "=" in now["operator"]
        what = "loosened" if looser else "tightened"
        told = f"from {before['operator']} {old:g} to {now['operator']} {new:g}"
        yield Change(f"its threshold was {what} {told}", weaker=looser)
    if now["margin"] != before["margin"]:
        wider = (now["margin"] or 0) > (before["margin"] or 0)
        what = "widened" if wider else "narrowed"
        yield Change(f"its margin was {what} from {before['margin']} to {now['margin']}", weaker=wider)


def _change(name: str, before: Content, now: Content) -> str:
    a, b = before.get(name), now.get(name)
    return "" if (a or None) == (b or None) else f"{name} {a!r} -> {b!r}"


def _values(effect: Content, fields: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(str(effect.get(field)) for field in fields)
