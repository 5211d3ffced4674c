"""What an update writes: all that is not weaker than the lock, and of the rest what was accepted by name.

An entry that has not changed stays as it is, to the byte. What came to no verdict stays, too: nothing is dropped that was not run
to its end. Of a merge conflict both sides count: what stands on either stays, and is compared with what was found.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, replace

from circuitcheck.records.locks.compare import Compared, claims_of, new_claim, not_asked
from circuitcheck.records.locks.entries import Content, digest_of, identity_in
from circuitcheck.records.locks.findings import Change
from circuitcheck.records.locks.lock import Lock, Undecided

_NEW_CLAIM = Change("new")


@dataclass(frozen=True)
class Updated:
    """The lock that an update writes; of the claims those that were written (``accepted``: though they claim less), those that were
    ``refused``, and those that are as they were (``kept``); ``unlocked``: tests that came to no comparison, and that the lock
    does not have."""

    lock: Lock
    written: list[Compared] = field(default_factory=list)
    accepted: list[Compared] = field(default_factory=list)
    refused: list[Compared] = field(default_factory=list)
    kept: list[Compared] = field(default_factory=list)
    unlocked: list[Undecided] = field(default_factory=list)


def updated(
    sides: Sequence[Lock],
    new: Lock,
    drift: float,
    expected: Collection[str] | None,
    accepts: Callable[[Compared], bool],
) -> Updated:
    """The lock of ``new`` next to what stood there: nothing, a lock, or the ``sides`` of a conflict. ``expected``: the tests that could
    have been found, None for all of them; entries of others stay."""
    found = Updated(Lock({}, {}, []))
    compared = [claims_of(side, new, drift, expected) for side in sides]
    by_key = [{one.now: one for one in claims} for claims in compared]
    for key in new.claims:
        there = [(side, claims[key]) for side, claims in zip(sides, by_key, strict=True) if key in claims]
        _take_in(found, there or [(None, new_claim(key, new.claims[key]))], new, accepts)
    for side, claims in zip(sides, compared, strict=True):
        missing = {one.before: one for one in claims if one.now is None}
        missing |= {one.before: one for one in not_asked(side, new, expected)}
        matched = {one.before for one in claims if one.now is not None}
        for key in side.claims:
            if key in missing:
                _keep_missing(found, side, missing[key], accepts)
            elif key not in matched:
                _put_after(found.lock, key, side)
    told = [one.undecided for one in found.refused]
    found.unlocked.extend(one for one in new.undecided if not one.skipped and not any(one is other for other in told))
    _describe(found.lock, [*sides, new])
    return found


def _take_in(
    found: Updated, there: Sequence[tuple[Lock | None, Compared]], new: Lock, accepts: Callable[[Compared], bool]
) -> None:
    """Write, keep or refuse a claim of the session, which stands next to an entry of each side."""
    weaker = [(side, one) for side, one in there if one.weaker]
    side, one = weaker[0] if weaker else there[0]
    accepted = bool(weaker) and accepts(one)
    if weaker and not accepted:
        # Of a new claim only why it is not taken in: that it is new is no news to an update.
        refused = tuple(change for change in one.changes if change.weaker) if one.before is None else one.changes
        found.refused.append(replace(one, changes=refused))
        if side is not None and one.before is not None:
            _put(found.lock, one.before, side, one.before)
        return
    same = [(side, one) for side, one in there if side is not None and not _why(side, new, one)]
    if same and not accepted:
        side, one = same[0]
        if side is not None and one.before is not None:
            _put(found.lock, one.before, side, one.before)
            found.kept.append(one)
        return
    key = str(one.now)
    if one.before is not None and identity_in(one.before) == identity_in(key) and "@" not in one.before + key:
        key = one.before
    _put(found.lock, key, new, str(one.now))
    why = (_NEW_CLAIM,) if one.before is None else one.changes or tuple(map(Change, _why(side, new, one)))
    told = Compared(one.before, one.now, one.about, one.nodeid, why)
    (found.accepted if accepted else found.written).append(told)


def _why(side: Lock | None, new: Lock, one: Compared) -> list[str]:
    """Why the entry of a claim is another than before; empty where it stays to the byte."""
    if side is None or one.before is None or one.now is None:
        return ["new"]
    before, now = side.claims[one.before], new.claims[one.now]
    why = [change.words for change in one.changes]
    if before["fingerprint"] != now["fingerprint"]:
        why.append("measured on the model as it is now")
    why += [
        f"{name} {before.get(name)!r} -> {now.get(name)!r}"
        for name in ("test", "claim", "outcome", "asked")
        if before.get(name) != now.get(name)
    ]
    if before.get("normalised"):
        why.append("written in the format of today")
    many = [sum(map(len, lock.pairs.get(key, []))) for lock, key in ((side, one.before), (new, one.now))]
    if many[1] > many[0]:
        why.append(f"numbers of {many[1]} pairs, where there were {many[0]}")
    return why


def _keep_missing(found: Updated, side: Lock, one: Compared, accepts: Callable[[Compared], bool]) -> None:
    """Keep an entry that the session has not decided, unless the claim is gone and that was accepted."""
    if one.undecided is None and accepts(one):
        found.accepted.append(one)
        return
    if not any(one.before == other.before and one.now == other.now for other in found.refused):
        found.refused.append(one)
    _put_after(found.lock, str(one.before), side)


def _put(lock: Lock, key: str, of: Lock, known_as: str) -> None:
    """Take an entry with its pairs into the lock, under a key that is free."""
    base, at, model = key.partition("@")
    number, free = 1, key
    while free in lock.claims:
        number += 1
        free = f"{identity_in(base)}-{number}{at}{model}"
    lock.claims[free] = of.claims[known_as]
    lock.pairs[free] = of.pairs.get(known_as, [])


def _put_after(lock: Lock, key: str, side: Lock) -> None:
    """The same at the place that it had: after the entry that stands before it on its side."""
    if side.claims[key] in lock.claims.values():
        return
    _put(lock, key, side, key)
    moved = [*lock.claims][-1]
    keys = [*side.claims]
    earlier = [name for name in keys[: keys.index(key)] if name in lock.claims]
    order = [*lock.claims][:-1]
    order.insert(order.index(earlier[-1]) + 1 if earlier else 0, moved)
    entries = {name: lock.claims[name] for name in order}
    lock.claims.clear()
    lock.claims.update(entries)


def _describe(lock: Lock, sources: Sequence[Lock]) -> None:
    """Take in the models and the populations that the entries are of, as they stand in the first that has them; of populations,
    in the first that has them as they were written."""
    entries = lock.claims.values()
    models: dict[tuple[str | None, str], Content] = {}
    for model in (model for source in sources for model in source.models):
        models.setdefault((model.get("asked"), model["fingerprint"]), model)
    used = {(entry.get("asked"), entry["fingerprint"]) for entry in entries}
    lock.models.extend(model for key, model in models.items() if key in used)
    for entry in entries:
        for effect in entry["effects"]:
            key = effect.get("population_id")
            if "prompts" not in effect or key in lock.populations:
                continue
            there = [source.populations[key] for source in sources if key in source.populations]
            if there:
                unedited = (parts for parts in there if digest_of(parts) == effect["prompts"])
                lock.populations[key] = next(unedited, there[0])
