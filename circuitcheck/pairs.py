"""A clean and a corrupted prompt, with what answers the clean one."""

from dataclasses import dataclass
from functools import cached_property


@dataclass(frozen=True)
class Segment:
    """A stretch of a prompt: a slot's filler, or (``slot`` empty) the text between slots."""

    text: str
    slot: str = ""


@dataclass(frozen=True)
class Prompt:
    """One side of a pair: its segments, or its token ids where the user gave ids."""

    segments: tuple[Segment, ...] = ()
    ids: tuple[int, ...] | None = None

    @cached_property
    def text(self) -> str:
        return "".join(segment.text for segment in self.segments) if self.ids is None else str(list(self.ids))

    @cached_property
    def last_word(self) -> str:
        """The end of the text, from the white space before its last word on."""
        words = self.text.rstrip()
        return self.text[len(words[: len(words) - len(words.split()[-1])].rstrip()) :] if words else self.text


@dataclass(frozen=True)
class Pair:
    """A clean and a corrupted prompt with the tokens (text or ids) that answer the clean one, and their foils."""

    clean: Prompt
    corrupt: Prompt
    answer: tuple[str | int, ...]
    foil: tuple[str | int, ...]
    fillers: tuple[tuple[str, str, str], ...] = ()
    template: int = 0
