"""Which claim of a session is which of the lock: what claims the same, has the same name, or else what is nearest."""

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Mapping
from typing import Any

from circuitcheck.records.locks.entries import Content, identity_in, test_of


def matched(old: Mapping[str, Content], new: Mapping[str, Content]) -> dict[str, str]:
    """Keys of old entries, each with that of the new one that is the same claim, for what has any; both of one model. A claim that was
    renamed and edited at once does the same at the same places as before, and has its prompts, its threshold or its file still."""
    found: dict[str, str] = {}
    taken: set[str] = set()

    def take(couples: Iterable[tuple[str, str]]) -> None:
        for before, now in couples:
            if before not in found and now not in taken:
                found[before] = now
                taken.add(now)

    def by(name: Callable[[str, Content], Hashable]) -> None:
        """Those that have a name in common, in their order."""
        groups: dict[Hashable, tuple[list[str], list[str]]] = defaultdict(lambda: ([], []))
        for side, (lock, used) in enumerate(((old, found), (new, taken))):
            for key, entry in lock.items():
                if key not in used and (known := name(key, entry)):
                    groups[known][side].append(key)
        take(couple for sides in groups.values() for couple in zip(*sides, strict=False))

    by(lambda key, entry: (identity_in(key), test_of(entry)))
    by(lambda key, entry: identity_in(key))
    by(lambda key, entry: test_of(entry))
    by(lambda key, entry: test_of(entry).rpartition("::")[2])
    by(lambda key, entry: entry["claim"])
    with_labels: dict[tuple[Any, ...], list[str]] = defaultdict(list)
    for key in new:
        if key not in taken:
            with_labels[_of_effects(new[key], "label")].append(key)
    likeness = {
        (before, alike): _likeness(old[before], new[alike])
        for before in old
        if before not in found
        for alike in with_labels[_of_effects(old[before], "label")]
    }
    near = [couple for couple, much in likeness.items() if much]
    take(sorted(near, key=lambda couple: -likeness[couple]))
    return found


def _likeness(before: Content, now: Content) -> int:
    """How many of populations, thresholds and file two claims have in common."""
    same_file = str(before["test"]).partition("::")[0] == str(now["test"]).partition("::")[0]
    return same_file + sum(
        _of_effects(before, name) == _of_effects(now, name) for name in ("population_id", "threshold")
    )


def _of_effects(entry: Content, name: str) -> tuple[Any, ...]:
    return tuple(effect.get(name) for effect in entry["effects"])
