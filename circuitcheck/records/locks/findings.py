"""What has changed, in words: a change, and the block of lines that lists all changes of one claim."""

from collections.abc import Sequence
from dataclasses import dataclass

# What may come of a claim next to the lock's, the better ones first.
STATES = ("holds", "changed", "drifted", "behaviour absent", "broken")


@dataclass(frozen=True)
class Change:
    """One difference. ``fails``: the check does not hold; ``weaker``: the new lock would claim less than the old. ``shared``: a
    change of what several claims have in common, such as their prompts, is listed once, under this name."""

    words: str
    fails: bool = True
    weaker: bool = False
    state: str = "changed"
    shared: str = ""


@dataclass(frozen=True)
class Finding:
    """What has changed of one thing: a claim, a model, or what several claims have in common. ``nodeids``: the claims' tests."""

    about: str
    changes: tuple[Change, ...]
    nodeids: tuple[str, ...] = ()

    @property
    def fails(self) -> bool:
        return any(change.fails for change in self.changes)

    @property
    def weaker(self) -> bool:
        return any(change.weaker for change in self.changes)

    @property
    def state(self) -> str:
        return worst([change.state for change in self.changes])

    @property
    def line(self) -> str:
        """All of it in a line."""
        return f"{self.about}: {'; '.join(change.words for change in self.changes)}"

    @property
    def lines(self) -> list[str]:
        """A line, or a block of a line for each change."""
        if len(self.changes) == 1:
            return [self.line]
        return [f"{self.about}:", *(f"  {change.words}" for change in self.changes)]

    def __str__(self) -> str:
        return "\n".join(self.lines)


def worst(states: Sequence[str]) -> str:
    """The worst of some states; "holds" of none."""
    return max(states, key=STATES.index, default="holds")
