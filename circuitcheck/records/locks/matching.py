"""Which claim of a session is which of the lock: what claims the same, has the same name, or else what is nearest."""

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Mapping

from circuitcheck.records.locks.entries import Content, identity_in, test_of

# A claim that was renamed and edited at once has at least so much in common with what it was.
_ENOUGH = 4


def matched(old: Mapping[str, Content], new: Mapping[str, Content]) -> dict[str, str]:
    """Keys of old entries, each with that of the new one that is the same claim, for what has any; both of one model."""
    found: dict[str, str] = {}

    def take(couples: Iterable[tuple[str, str]]) -> None:
        for before, now in couples:
            if before not in found and now not in found.values():
                found[before] = now

    def by(name: Callable[[str, Content], Hashable]) -> None:
        """Those that have a name in common, in their order."""
        groups: dict[Hashable, tuple[list[str], list[str]]] = defaultdict(lambda: ([], []))
        for side, (lock, used) in enumerate(((old, {*found}), (new, {*found.values()}))):
            for key, entry in lock.items():
                if key not in used and (known := name(key, entry)):
                    groups[known][side].append(key)
        take(couple for sides in groups.values() for couple in zip(*sides, strict=False))

    by(lambda key, entry: (identity_in(key), test_of(entry)))
    by(lambda key, entry: identity_in(key))
    by(lambda key, entry: test_of(entry))
    by(lambda key, entry: test_of(entry).rpartition("::")[2])
    by(lambda key, entry: entry["claim"])
    likeness = {
        (before, now): _likeness(old[before], new[now])
        for before in old
        for now in new
        if before not in found and now not in found.values()
    }
    near = [couple for couple, much in likeness.items() if much >= _ENOUGH]
    take(sorted(near, key=lambda couple: -likeness[couple]))
    return found


def _likeness(before: Content, now: Content) -> int:
    """How much two claims have in common; what is done where counts most."""
    of_effects = {
        name: [effect.get(name) for effect in before["effects"]] == [effect.get(name) for effect in now["effects"]]
        for name in ("label", "population_id", "threshold")
    }
    same_file = str(before["test"]).partition("::")[0] == str(now["test"]).partition("::")[0]
    return 3 * int(of_effects["label"]) + of_effects["population_id"] + of_effects["threshold"] + same_file
