"""What has changed from one lock to another: claim by claim, in the order of the suite."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass

from circuitcheck.records.locks.drift import DRIFT, Sides, behaviour_of, numbers_of
from circuitcheck.records.locks.entries import Content, identity_in, name_of, test_of
from circuitcheck.records.locks.findings import Change, Finding
from circuitcheck.records.locks.lock import Lock, Undecided
from circuitcheck.records.locks.matching import matched
from circuitcheck.records.locks.models import about_models, asked_otherwise, partners
from circuitcheck.records.locks.numbers import Rows
from circuitcheck.records.locks.restated import changes_of, does_not_hold, pairs_of
from circuitcheck.texts import without

_NEW = "the claim is new"
# Names of claims that have a change in common; beyond these they are counted.
_NAMED = 20


@dataclass(frozen=True)
class Compared:
    """A claim of two locks. ``before`` and ``now`` are its keys, None where it is in one alone; ``undecided``: what became of it
    where it came to no comparison."""

    before: str | None
    now: str | None
    about: str
    nodeid: str
    changes: tuple[Change, ...]
    undecided: Undecided | None = None

    @property
    def weaker(self) -> bool:
        return any(change.weaker for change in self.changes)


def compare(
    old: Lock, new: Lock, drift: float = DRIFT, expected: Collection[str] | None = None, baseline: str = ""
) -> list[Finding]:
    """How ``new`` differs from ``old``. ``expected``: the tests that could have been found, None for all of them; ``baseline``: the
    model of ``old`` that every model of ``new`` is compared with."""
    models = [] if baseline else models_of(old, new, expected)
    return [*models, *told(claims_of(old, new, drift, expected, baseline))]


def models_of(old: Lock, new: Lock, expected: Collection[str] | None = None) -> list[Finding]:
    """How the models of ``new`` differ from those of ``old``."""
    partner_of = partners(old, new)
    return [*about_models(old, new, partner_of), *asked_otherwise(old, new, partner_of, expected)]


def claims_of(
    old: Lock, new: Lock, drift: float = DRIFT, expected: Collection[str] | None = None, baseline: str = ""
) -> list[Compared]:
    """Every claim that either lock has, of models that both have: those of the session in their order, each of the others after
    the one that it came after in the lock."""
    found: list[Compared] = []
    for asked, other in partners(old, new, baseline).items():
        if other is not None:
            found += _of_model(old, new, asked, other, drift, expected)
    if not new.claims and not new.undecided:
        found += [_gone(old, key) for key in old.claims if expected is None or old.claims[key]["test"] in expected]
    return found


def not_asked(old: Lock, new: Lock, expected: Collection[str] | None) -> list[Compared]:
    """The claims of the old lock about models that the new one has not asked."""
    there = partners(old, new).values()
    found = []
    for key, entry in old.claims.items():
        asked = entry.get("asked") or ""
        if asked not in there and (expected is None or entry["test"] in expected):
            words = f"its model{f' {asked}' if asked else ''} was not asked: see --circuit-model"
            found.append(
                Compared(key, None, name_of(entry), entry["test"], (Change(words, weaker=True, shared=words),))
            )
    return found


def told(claims: Iterable[Compared]) -> list[Finding]:
    """A finding a claim; what several have in common is one of its own, at the place of the first."""
    changed = [one for one in claims if one.changes]
    sharing: dict[str, list[Compared]] = defaultdict(list)
    for one in changed:
        for change in one.changes:
            if change.shared and sharing[change.shared][-1:] != [one]:
                sharing[change.shared].append(one)
    findings, seen = list[Finding](), set[str]()
    for one in changed:
        for change in one.changes:
            there = sharing[change.shared]
            if change.shared and len(there) > 1 and change.shared not in seen:
                seen.add(change.shared)
                findings.append(Finding(_of_several(there), (change,), tuple(other.nodeid for other in there)))
        own = tuple(change for change in one.changes if not change.shared or len(sharing[change.shared]) == 1)
        if own:
            findings.append(Finding(one.about, own, (one.nodeid,)))
    return findings


def _of_several(claims: Sequence[Compared]) -> str:
    names = [one.nodeid.rpartition("::")[2] for one in claims]
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return f"{len(names)} claims ({', '.join(names[:_NAMED])}{more})"


def _of_model(
    old: Lock, new: Lock, asked: str, other: str, drift: float, expected: Collection[str] | None
) -> Iterator[Compared]:
    before = {key: entry for key, entry in old.claims.items() if (entry.get("asked") or "") == other}
    now = {key: entry for key, entry in new.claims.items() if (entry.get("asked") or "") == asked}
    nothing = {
        without(one.test, one.asked) if one.asked else one.test: one
        for one in new.undecided
        if (one.asked or "") == asked
    }
    left = {key: entry for key, entry in before.items() if test_of(entry) not in nothing}
    same = matched(left, now)
    came_from = {found: key for key, found in same.items()}
    # Claims that the session does not have, by the claim of the session that they came after in the lock.
    missing: dict[str | None, list[Compared]] = defaultdict(list)
    last: str | None = None
    for key, entry in before.items():
        if key in same:
            last = key
        elif (one := nothing.get(test_of(entry))) is not None:
            change = Change(one.why, weaker=True, state=one.state)
            missing[last].append(Compared(key, None, name_of(entry), one.test, (change,), one))
        elif expected is None or entry["test"] in expected:
            missing[last].append(_gone(old, key))
    yield from missing[None]
    for key, entry in now.items():
        if key in came_from:
            yield _both(old, new, came_from[key], key, drift)
            yield from missing[came_from[key]]
        else:
            yield new_claim(key, entry)


def _gone(old: Lock, key: str) -> Compared:
    entry = old.claims[key]
    gone = Change("the claim is gone", weaker=True, state="broken")
    return Compared(key, None, name_of(entry), entry["test"], (gone, *_edited(old, key)))


def new_claim(key: str, entry: Content) -> Compared:
    """A claim that the lock does not have."""
    problem = does_not_hold(entry)
    changes = (Change(_NEW, state="changed"), *([Change(problem, weaker=True, state="broken")] if problem else []))
    return Compared(None, key, name_of(entry), entry["test"], changes)


def _edited(old: Lock, key: str) -> Iterator[Change]:
    if key in old.edited:
        yield Change(f"its entry in the lock {old.edited[key]}", weaker=True)


def _both(old: Lock, new: Lock, key: str, other: str, drift: float) -> Compared:
    """What has changed of a claim that is in both."""
    before, now = old.claims[key], new.claims[other]
    is_same = identity_in(key) == identity_in(other)
    changes = [*_edited(old, key), *changes_of(before, now, is_same, (old.populations, new.populations))]
    same = None if not before["fingerprint"] else before["fingerprint"] == now["fingerprint"]
    dtypes = _known_of_model(old, before, "dtype"), _known_of_model(new, now, "dtype")
    saved = _known_of_model(old, before, "saved"), _known_of_model(new, now, "saved")
    comparable, behaviour = is_same or now["outcome"] != "passed", list[Change]()
    for place, at in pairs_of(before["effects"], now["effects"]):
        one = before["effects"][place]
        if at is None:
            continue
        there = now["effects"][at]
        if any(one.get(name) != there.get(name) for name in ("label", "unit", "population_id")):
            continue
        rows = _rows_of(old, key, place), _rows_of(new, other, at)
        sides = Sides(one, there, rows, (before, now), same, dtypes, saved, drift)
        if comparable and not any(change.state == "broken" for change in changes):
            changes += [_seed_of(sides)] if _is_of_another_seed(sides) else numbers_of(sides)
        behaviour += behaviour_of(sides)
    changes += dict.fromkeys(behaviour)
    return Compared(key, other, _named(before, now), now["test"], tuple(dict.fromkeys(changes)))


def _rows_of(lock: Lock, key: str, place: int) -> Rows:
    """The pairs of a comparison; none where the lock has lost them."""
    effects = lock.pairs.get(key, [])
    return effects[place] if place < len(effects) else {}


def _named(before: Content, now: Content) -> str:
    was = before["test"]
    renamed = test_of(before) != test_of(now)
    return (
        name_of({**now, "claim": f"{now['claim']}; before: {was}" if now["claim"] else f"before: {was}"})
        if renamed
        else name_of(now)
    )


def _known_of_model(lock: Lock, entry: Content, name: str) -> str:
    """What the lock knows of an entry's model; empty where it does not say."""
    models = (model for model in lock.models if model["fingerprint"] == entry["fingerprint"])
    return str(next(models, {}).get(name, ""))


def _is_of_another_seed(sides: Sides) -> bool:
    old, new = (entry.get("settings", {}).get("seed") for entry in sides.entries)
    return None not in (old, new) and old != new and not (sides.before["exact"] and sides.now["exact"])


def _seed_of(sides: Sides) -> Change:
    old, new = (entry["settings"]["seed"] for entry in sides.entries)
    words = f"drawn under --circuit-seed={new}, and in the lock under {old}"
    return Change(words, weaker=True, shared=f"seed {old} {new}")
