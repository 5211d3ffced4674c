"""A clean and a corrupted prompt, with what answers the clean one."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Literal

Side = Literal["clean", "corrupt"]
Sides = Literal["clean", "corrupt", "both"]


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

    @property
    def slots(self) -> tuple[str, ...]:
        """The slot of each segment, empty for the text between slots."""
        return tuple(segment.slot for segment in self.segments)

    @property
    def written(self) -> str | list[int]:
        """As a row of ``PromptPairs.from_rows`` has it."""
        return self.text if self.ids is None else list(self.ids)


def last_word(text: str) -> str:
    """The end of a text, from the white space before its last word on."""
    words = text.rstrip()
    return text[len(words[: len(words) - len(words.split()[-1])].rstrip()) :] if words else text


@dataclass(frozen=True)
class Pair:
    """A clean and a corrupted prompt with what answers the clean one (text, or token ids), and its foils. ``as_tokens``: answers are
    their own tokens, which may merge with the prompt where they are read with it."""

    clean: Prompt
    corrupt: Prompt
    answer: tuple[str | int | tuple[int, ...], ...]
    foil: tuple[str | int | tuple[int, ...], ...]
    fillers: tuple[tuple[str, str, str], ...] = ()
    template: int = 0
    as_tokens: bool = field(default=False, repr=False)

    def as_row(self) -> dict[str, Any]:
        """The row that ``PromptPairs.from_rows`` makes this pair of."""
        answers = {"answer": listed(self.answer), "foil": listed(self.foil)}
        return {"clean": self.clean.written, "corrupt": self.corrupt.written} | answers

    @property
    def slots(self) -> set[str]:
        """The slots that stand in it."""
        return {segment.slot for segment in self.clean.segments if segment.slot}

    def cluster(self, by: str) -> str | None:
        """What it has in common with others: its template ("template"), or its fillers of a slot; None where it lacks that."""
        if by == "template":
            return str(self.template)
        return next((couple(clean, corrupt) for name, clean, corrupt in self.fillers if name == by), None)

    def behind(self, text: str, slot: str) -> "Pair":
        """The pair with a text, as a slot's filler, in front of both prompts."""
        sides = [Prompt((Segment(text, slot), *prompt.segments)) for prompt in (self.clean, self.corrupt)]
        return replace(self, clean=sides[0], corrupt=sides[1], fillers=((slot, text, text), *self.fillers))


def listed(answers: Sequence[Any]) -> list[Any]:
    """Answers as a row has them: several tokens of one are a list of their own."""
    return [list(one) if isinstance(one, tuple) else one for one in answers]


def couple(clean: str, corrupt: str) -> str:
    """A slot's fillers of both sides, as one name."""
    return clean if clean == corrupt else f"{clean} / {corrupt}"


def other_side(side: Side) -> Side:
    return "corrupt" if side == "clean" else "clean"


def sides(of: str) -> Sequence[Side]:
    return ("clean", "corrupt") if of == "both" else ("clean",) if of == "clean" else ("corrupt",)
