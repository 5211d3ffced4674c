"""What has changed between two locks: one line for each finding, which names it."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from circuitcheck.records.lock import Content, Lock
from circuitcheck.records.restated import Finding, drawn_from, restated, standing, stated
from circuitcheck.statistics.evidence import Evidence

# How far a pair's number may be off on the same model, by the dtype: other machines round otherwise.
TOLERANCE = {"float64": 1e-6, "float32": 1e-3, "bfloat16": 5e-2, "float16": 2e-2}
# How far an effect may drift when the model changes, in its own unit (for those without a natural size: as a share of what
# was locked).
DRIFT = 0.05
_RAW = ("logits", "nats", "places", "function", "parts", "rank")


def compare(old: Lock, new: Lock, drift: float = DRIFT, expected: "Sequence[str] | None" = None) -> list[Finding]:
    """How ``new`` differs from ``old``. ``expected``: the tests that could have been found; None for all of them."""
    return [*_edited(old), *_models(old, new), *_claims(old, new, drift, expected)]


def _edited(old: Lock) -> Iterator[Finding]:
    for key, what in old.edited().items():
        yield Finding(f"{_name(old.claims[key])}: its entry in the lock {what}", weaker=True)


def _models(old: Lock, new: Lock) -> Iterator[Finding]:
    """What is said of a model that is not the one it was: no failure by itself."""
    for before, now in _paired(old.models, new.models):
        seeds = [model["seed"] for model in (before, now) if "seed" in model]
        if len(set(seeds)) > 1:
            yield Finding(
                f"model {now['name']} was asked under --circuit-seed={seeds[1]}, and in the lock under {seeds[0]}",
                weaker=True,
            )
        comparable = old.same_fingerprints(new)
        if before["fingerprint"] == now["fingerprint"] and comparable:
            libraries = [
                f"{name} {before.get(name)} -> {now.get(name)}"
                for name in ("torch", "transformer_lens")
                if before.get(name) != now.get(name)
            ]
            if libraries:
                yield Finding(f"model {now['name']} is run by {', '.join(libraries)}", fails=False)
            continue
        fields = ("name", "architecture", "layers", "weights", "bos", "dtype")
        other = [
            f"{name} {before.get(name)} -> {now.get(name)}" for name in fields if before.get(name) != now.get(name)
        ]
        if not comparable and not other:
            yield Finding(
                f"model {now['name']} has a fingerprint of another definition in each lock ({before['fingerprint']}, "
                f"{now['fingerprint']}), which do not say whether it has changed: where its numbers are the same, it counts as "
                "the same (--circuit-lock=update writes the newer one)",
                fails=False,
            )
            continue
        what = ", ".join(other) or "its weights, configuration or vocabulary are others"
        yield Finding(
            f"model {now['name']} has changed ({before['fingerprint']} -> {now['fingerprint']}): {what}", fails=False
        )


def _paired(old: list[Content], new: list[Content]) -> Iterator[tuple[Content, Content]]:
    """Models that stand for each other: asked by one name where several were, otherwise the only ones, or of one place."""
    if any(_asked(old)) or any(_asked(new)):
        yield from ((before, now) for before in old for now in new if before.get("asked") == now.get("asked"))
    elif len(old) == len(new):
        yield from zip(old, new, strict=True)


def _asked(contents: Iterable[Content]) -> set[str]:
    """The names by which models were asked, where several were; nothing for the only one."""
    return {content.get("asked") or "" for content in contents}


def _asked_otherwise(old: Lock, new: Lock, expected: Sequence[str] | None) -> Iterator[Finding]:
    """Models that only one of the locks knows."""
    awaited = [entry for entry in old.claims.values() if expected is None or entry["test"] in expected]
    counts = [Counter(entry.get("asked") or "" for entry in entries) for entries in (awaited, new.claims.values())]
    known = _asked(old.claims.values())
    for asked, count in counts[0].items():
        if asked not in counts[1] and new.claims:
            model = f"model {asked}" if asked else "the only model"
            yield Finding(f"{model} of the lock was not asked ({count} claims): see --circuit-model", weaker=True)
    for asked, count in counts[1].items():
        if asked not in known and old.claims:
            model = f"model {asked} is" if asked else "one model was asked alone, which is"
            yield Finding(f"{model} not in the lock ({count} claims; --circuit-lock=update takes it in)")


def _claims(old: Lock, new: Lock, drift: float, expected: Sequence[str] | None) -> Iterator[Finding]:
    yield from _asked_otherwise(old, new, expected)
    known = _asked(old.claims.values()) & _asked(new.claims.values())
    gone, come = (
        {
            key: entry
            for key, entry in lock.claims.items()
            if key not in other.claims and ((entry.get("asked") or "") in known or not other.claims)
        }
        for lock, other in ((old, new), (new, old))
    )
    for key in old.claims:
        if key in new.claims:
            yield from _claim(old, new, key, drift)
    for entry in gone.values():
        again = next((key for key, other in come.items() if other["test"] == entry["test"]), None)
        if again is not None:
            yield from restated(_name(entry), entry, come.pop(again))
        elif expected is None or entry["test"] in expected:
            yield Finding(f"{_name(entry)}: the claim is gone", weaker=True)
    for entry in come.values():
        yield Finding(f"{_name(entry)}: the claim is not in the lock (--circuit-lock=update takes it in)")


def _claim(old: Lock, new: Lock, key: str, drift: float) -> Iterator[Finding]:
    """What has changed of a claim that is made as before."""
    before, now = old.claims[key], new.claims[key]
    name = _name(before)
    yield from standing(name, before, now)
    if len(before["effects"]) != len(now["effects"]):  # of an entry that was edited by hand
        yield Finding(f"{name}: {len(now['effects'])} comparisons, not {len(before['effects'])}", weaker=True)
        return
    same = before["fingerprint"] == now["fingerprint"] if old.same_fingerprints(new) else None
    dtype = next((m.get("dtype") for m in new.models if m["fingerprint"] == now["fingerprint"]), "float32")
    tolerance = TOLERANCE.get(str(dtype), TOLERANCE["float32"])
    for place, (one, other) in enumerate(zip(before["effects"], now["effects"], strict=True)):
        yield from stated(name, one, other)
        yield from drawn_from(name, one, other, same_names=(old.format < 3) == (new.format < 3))
        numbers = [lock.pairs.get(key, []) for lock in (old, new)]
        if all(len(effects) > place for effects in numbers):
            both = [effects[place] for effects in numbers]
            as_the_same = [] if same is False else list(_same_model(name, one, both, tolerance))
            if same or (same is None and not as_the_same):
                yield from as_the_same
            else:  # another one, or one of which it is not known
                yield from _other_model(name, one, other, both, drift)


def _same_model(name: str, before: Content, both: list[dict[str, float]], tolerance: float) -> Iterator[Finding]:
    """On one and the same model every pair's number is what it was."""
    old, new = both
    common = [pair for pair in old if pair in new]
    if (old or new) and not common:
        yield Finding(f"{name}: it was decided on other pairs (another --circuit-seed, or prompts that where= selects)")
        return
    off = {pair: abs(new[pair] - old[pair]) for pair in common}
    worst = max(off, key=off.__getitem__, default=None)
    if worst is not None and off[worst] > tolerance * max(1.0, abs(before["estimate"] or 0)):
        beyond = sum(gap > tolerance for gap in off.values())
        yield Finding(
            f"{name}: the same model gives other numbers: {beyond} of {len(common)} pairs are off, one by {off[worst]:.3g} "
            f"(rounding allows {tolerance:g})"
        )


def _other_model(
    name: str, before: Content, now: Content, both: list[dict[str, float]], drift: float
) -> Iterator[Finding]:
    """On another model the effect is, in the pairs that both have, what it was to within the margin."""
    margin = drift * max(abs(before["estimate"] or 0), 1e-12) if before["unit"] in _RAW else drift
    if before["unit"] == "rank" or not any(both):
        return  # a rank and a search have a verdict, and no numbers that could drift
    old, new = both
    common = [pair for pair in old if pair in new]
    if len(common) < 2:
        yield Finding(f"{name}: the two models were asked about other pairs, so that how far it drifted is not known")
        return
    difference = np.array([new[pair] - old[pair] for pair in common])
    whole = bool(before["exact"] and now["exact"]) and len(common) == len(old) == len(new)
    evidence = Evidence(difference, np.ones(len(common)), whole, scale=1.0, bound=4 * margin)
    low, high = evidence.interval()
    moved = f"from {before['estimate']:.3g} to {now['estimate']:.3g}, by {difference.mean():+.3g} on the same {len(common)} pairs"
    if evidence.decide_within(-margin, margin) == "supported":
        return
    if evidence.decide_within(-margin, margin) == "refuted":
        yield Finding(f"{name}: it drifted {moved}; the margin is {margin:.3g}", weaker=True)
    else:
        ends = " to ".join("unbounded" if end is None else f"{end:+.3g}" for end in (low, high))
        yield Finding(
            f"{name}: it went {moved} ({ends}), which is not shown to be within the margin of {margin:.3g}", weaker=True
        )


def _name(entry: Content) -> str:
    words: Any = entry["claim"] or entry["test"].rpartition("::")[2]
    return f"{entry['test']} ({words})" if entry["claim"] else str(words)
