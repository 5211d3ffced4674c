"""What an edit of prompts has added and taken away: fillers, templates, rows, answers."""

from collections.abc import Iterator, Mapping

from circuitcheck.records.locks.entries import Content

# Texts of a kind that are named; beyond these they are counted.
_NAMED = 4


def edits(before: Content | None, now: Content | None) -> list[str]:
    """What two populations in parts do not have in common, a phrase each; empty where one of them is not known."""
    if before is None or now is None:
        return []
    return [told for name in dict.fromkeys([*before, *now]) for told in _of_part(name, before, now)]


def _of_part(name: str, before: Mapping[str, list[str]], now: Mapping[str, list[str]]) -> Iterator[str]:
    old, new = before.get(name, []), now.get(name, [])
    came, went = [text for text in new if text not in old], [text for text in old if text not in new]
    if len(came) == len(went) == 1 and len(old) == len(new) == 1:
        yield f"{name} {went[0]!r} -> {came[0]!r}"
        return
    if came or went:
        said = [f"{_listed(texts)} {verb}" for texts, verb in ((came, "came"), (went, "went")) if texts]
        yield f"{name}: {', '.join(said)}"
    elif old != new:
        yield f"{name}: in another order, or another number of times"


def _listed(texts: list[str]) -> str:
    more = f" and {len(texts) - _NAMED} more" if len(texts) > _NAMED else ""
    return ", ".join(map(repr, texts[:_NAMED])) + more
