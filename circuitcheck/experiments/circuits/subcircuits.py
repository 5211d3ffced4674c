"""The search for the part of a circuit that a number is largest for: greedily, and at random.

What is found is the largest that was found. Nothing is decided by these numbers.
"""

import random
from collections.abc import Callable, Sequence
from itertools import combinations

from circuitcheck.addresses.sites import Site

Part = tuple[Site, ...]
# What a step must gain at least, as a share of the behaviour, so that a part has no member for nothing.
_GAIN = 1e-3


def greedy(pools: Sequence[Part], score: Callable[[Sequence[tuple[int, Part]]], Sequence[float]]) -> list[Part]:
    """From each pool the part that nothing and single steps lead to: a member more or less, as long as there is a gain.

    ``score`` gives the numbers of parts, each with the number of its pool, in common batches.
    """
    found: list[Part] = [()] * len(pools)
    best = list(score([(number, ()) for number in range(len(pools))]))
    moving = list(range(len(pools)))
    while moving:
        steps = [(number, _stepped(pools[number], found[number], site)) for number in moving for site in pools[number]]
        leaders: dict[int, tuple[float, Part]] = {}
        for (number, part), reached in zip(steps, score(steps) if steps else [], strict=True):
            if reached > max(best[number] + _GAIN, leaders.get(number, (0.0, ()))[0]):
                leaders[number] = reached, part
        for number, (reached, part) in leaders.items():
            best[number], found[number] = reached, part
        moving = list(leaders)
    return found


def drawn(members: Part, n: int, seed: str) -> list[Part]:
    """All parts where there are at most ``n``, otherwise nothing, all, and others at random: any size is as likely as
    another."""
    if 2 ** len(members) <= n:
        return [part for size in range(len(members) + 1) for part in combinations(members, size)]
    chance, found = random.Random(seed), dict.fromkeys([(), members])
    while len(found) < n:
        chosen = set(chance.sample(members, chance.randint(1, len(members) - 1)))
        found.setdefault(tuple(site for site in members if site in chosen))
    return list(found)


def largest(parts: Sequence[Part], numbers: Sequence[float]) -> int:
    """Which part has the largest number; of those that have it but for less than is worth a member, the smallest."""
    near = [place for place, number in enumerate(numbers) if number > max(numbers) - _GAIN]
    return min(near, key=lambda place: len(parts[place]))


def named(part: Part) -> str:
    """A part in words."""
    return " | ".join(map(str, part)) or "nothing"


def _stepped(pool: Part, part: Part, site: Site) -> Part:
    """The part with a site more, or less; in the pool's order."""
    return tuple(one for one in pool if (one in part) != (one == site))
