"""What one claim says otherwise than before: its verdict, its thresholds, what it is about.

Each change is a finding of its own. So a threshold that is loosened in the same edit that changes the prompts is told beside
the prompts.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from circuitcheck.records.lock import VARIES, Content
from circuitcheck.units import statement

_EXPECTED = ("xfailed", "xpassed")
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
_SIDES = {">": 1, ">=": 1, "<": -1, "<=": -1, "==": 0}


@dataclass(frozen=True)
class Finding:
    """One difference. ``fails``: the check does not hold; ``weaker``: the new lock claims less than the old."""

    line: str
    fails: bool = True
    weaker: bool = False

    def __str__(self) -> str:
        return self.line


def restated(name: str, before: Content, now: Content) -> Iterator[Finding]:
    """Of a test whose claim is another: what it is about now, and what else has changed with it."""
    yield Finding(f"{name}: it claims something else now: {_about(before, now)}", weaker=True)
    yield from standing(name, before, now)
    left = len(before["effects"]) > len(now["effects"])
    for one, other in _paired(before["effects"], now["effects"]):
        if other is not None:
            yield from stated(name, one, other)
        elif left:
            yield Finding(f"{name}: a comparison is gone: {_said(one)}", weaker=True)


def standing(name: str, before: Content, now: Content) -> Iterator[Finding]:
    """What became of the verdict, and of what the test expects."""
    if now["outcome"] in _EXPECTED and before["outcome"] not in _EXPECTED:
        yield Finding(f"{name}: xfail was added: a refutation is expected now", weaker=True)
    if now["verdict"] == before["verdict"]:
        return
    weaker = _STRENGTH.get(now["verdict"], -1) < _STRENGTH.get(before["verdict"], -1)
    advice = "" if weaker else " (--circuit-lock=update takes it in)"
    yield Finding(f"{name}: it was {before['verdict']}, and is {now['verdict']}{advice}", weaker=weaker)


def stated(name: str, before: Content, now: Content) -> Iterator[Finding]:
    """What a comparison states otherwise than before: threshold, margin, error rate."""
    if _SIDES[now["operator"]] != _SIDES[before["operator"]] or now["unit"] != before["unit"]:
        yield Finding(f"{name}: {_said(before)} before, and now {_said(now)}, which do not compare", weaker=True)
    else:
        yield from _limits(name, before, now)
    if abs(now["level"] - before["level"]) > 1e-12:
        lower = now["level"] < before["level"]
        yield Finding(f"{name}: its error rate is {1 - now['level']:.3g}, not {1 - before['level']:.3g}", weaker=lower)


def drawn_from(name: str, before: Content, now: Content, same_names: bool) -> Iterator[Finding]:
    """What the numbers of the same claim were drawn from, where that is other than before. ``same_names``: a reference set that
    has not changed has the same name in both."""
    for field, words in (
        ("reference", "the reference prompts of its ablation"),
        ("sites", "how many parts it is about"),
    ):
        if field == "reference" and not same_names:
            continue
        if now["method"].get(field) != before["method"].get(field):
            yield Finding(
                f"{name}: {words} changed: {before['method'].get(field)} -> {now['method'].get(field)}", weaker=True
            )


def _limits(name: str, before: Content, now: Content) -> Iterator[Finding]:
    """How threshold and margin have moved, of comparisons in one unit and on one side."""
    old, new, side = before["threshold"], now["threshold"], _SIDES[now["operator"]]
    if new != old and side == 0:
        yield Finding(f"{name}: it is compared with {new:g}, not {old:g}", weaker=True)
    elif new != old:
        looser = (new < old) == (side > 0)
        what = "loosened" if looser else "tightened"
        said = f"{before['operator']} {old:g} to {now['operator']} {new:g}"
        yield Finding(f"{name}: its threshold was {what} from {said}", weaker=looser)
    if now["margin"] != before["margin"]:
        wider = (now["margin"] or 0) > (before["margin"] or 0)
        what = "widened" if wider else "narrowed"
        yield Finding(f"{name}: its margin was {what} from {before['margin']} to {now['margin']}", weaker=wider)


def _about(old: Content, new: Content) -> str:
    """In what two claims of one test differ, but for what they are compared with."""
    both = [(before, now) for before, now in _paired(old["effects"], new["effects"]) if now is not None]
    differ = []
    if len(old["effects"]) != len(new["effects"]):
        differ.append(f"{len(new['effects'])} comparisons, not {len(old['effects'])}")
    for before, now in both:
        methods = before["method"], now["method"]
        fields = [name for name in dict.fromkeys([*methods[0], *methods[1]]) if name not in VARIES]
        differ += [_change(name, *methods) for name in fields] + [_change(name, before, now) for name in _STATED]
    if not any(differ) or any(before.get("population_id") != now.get("population_id") for before, now in both):
        differ.append("its prompts are others")
    return ", ".join(dict.fromkeys(filter(None, differ)))


def _change(name: str, before: Content, now: Content) -> str:
    a, b = before.get(name), now.get(name)
    return "" if a == b else f"{name} {a!r} -> {b!r}"


def _paired(old: list[Content], new: list[Content]) -> list[tuple[Content, Content | None]]:
    """Each comparison before, with the one now that has most in common with it; None where none is left for it."""
    partners: dict[int, int] = {}
    for fields in _ALIKE:
        free: dict[tuple[str, ...], list[int]] = {}
        for place in sorted(set(range(len(new))) - set(partners.values()), reverse=True):
            free.setdefault(_values(new[place], fields), []).append(place)
        for place, one in enumerate(old):
            if place not in partners and free.get(_values(one, fields)):
                partners[place] = free[_values(one, fields)].pop()
    return [(one, new[partners[place]] if place in partners else None) for place, one in enumerate(old)]


def _values(effect: Content, fields: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(str(effect.get(field)) for field in fields)


def _said(effect: Content) -> str:
    """What a comparison says, in a phrase."""
    return statement(*(effect[name] for name in ("label", "operator", "threshold", "margin", "unit")))
