"""A clean and a corrupted prompt, with what answers the clean one."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Literal, Self

Side = Literal["clean", "corrupt"]
Sides = Literal["clean", "corrupt", "both"]


@dataclass(frozen=True)
class Segment:
    """A stretch of a prompt: a slot's filler, or (``slot`` empty) the text between slots. ``message``: the number of the chat's
    message that it is of; -1 for text that is no message's."""

    text: str
    slot: str = ""
    message: int = field(default=-1, repr=False)


@dataclass(frozen=True)
class Prompt:
    """One side of a pair: its segments, or its token ids where the user gave ids; of a chat with the ``roles`` of its messages,
    whose contents the segments are."""

    segments: tuple[Segment, ...] = ()
    ids: tuple[int, ...] | None = None
    roles: tuple[str, ...] = field(default=(), repr=False)

    @cached_property
    def text(self) -> str:
        return "".join(segment.text for segment in self.segments) if self.ids is None else str(list(self.ids))

    @property
    def is_picture(self) -> bool:
        """Whether it is no text, but what a function draws."""
        return False

    @property
    def is_changed(self) -> bool:
        """Whether it is another prompt that was changed as a whole, as pictures are by an attack."""
        return False

    @property
    def slots(self) -> tuple[str, ...]:
        """The slot of each segment, empty for the text between slots; token ids are one segment, as a row's text is."""
        return tuple(segment.slot for segment in self.segments) if self.ids is None else ("",)

    @property
    def written(self) -> str | list[int] | list[dict[str, str]]:
        """As a row of ``PromptPairs.from_rows`` has it."""
        if self.roles:
            return self.messages
        return self.text if self.ids is None else list(self.ids)

    @property
    def messages(self) -> list[dict[str, str]]:
        """Of a chat, its messages as chat templates take them."""
        contents = [
            "".join(segment.text for segment in self.segments if segment.message == number)
            for number in range(len(self.roles))
        ]
        return [{"role": role, "content": content} for role, content in zip(self.roles, contents, strict=True)]


def last_word(text: str) -> str:
    """The end of a text, from the white space before its last word on."""
    words = text.rstrip()
    return text[len(words[: len(words) - len(words.split()[-1])].rstrip()) :] if words else text


@dataclass(frozen=True)
class Pair:
    """A clean and a corrupted prompt with what answers the clean one (text, or token ids), and its foils.

    ``as_tokens``: answers are their own tokens, which may merge with the prompt where they are read with it; ``columns``: those of
    the ``fillers`` that are no slot's but a column's of a table; ``weight``: how many times the pair counts; ``is_contrast``: whether
    there is a corrupted prompt (otherwise the clean one stands in its place).
    """

    clean: Prompt
    corrupt: Prompt
    answer: tuple[str | int | tuple[int, ...], ...]
    foil: tuple[str | int | tuple[int, ...], ...]
    fillers: tuple[tuple[str, str, str], ...] = ()
    template: int = 0
    as_tokens: bool = field(default=False, repr=False)
    columns: tuple[str, ...] = field(default=(), repr=False)
    weight: float = field(default=1.0, repr=False)
    is_contrast: bool = field(default=True, repr=False)

    @cached_property
    def content(self) -> str:
        """All that it says, written once: aligned pairs that differ in what is read of them share it."""
        return repr(self)

    def as_row(self) -> dict[str, Any]:
        """The row that ``PromptPairs.from_rows`` makes this pair of."""
        answers = {"answer": listed(self.answer), "foil": listed(self.foil)}
        return {"clean": self.clean.written, "corrupt": self.corrupt.written if self.is_contrast else None} | answers

    @property
    def shown(self) -> str:
        """The prompts that there are, for a message."""
        return f"{self.clean.text!r} / {self.corrupt.text!r}" if self.is_contrast else repr(self.clean.text)

    @property
    def slots(self) -> set[str]:
        """The slots that stand in it."""
        return {segment.slot for segment in self.clean.segments if segment.slot}

    @property
    def alone(self) -> Self:
        """The clean prompt by itself."""
        fillers = tuple((name, clean, clean) for name, clean, _ in self.fillers)
        return replace(self, corrupt=self.clean, fillers=fillers, is_contrast=False)

    @property
    def template_text(self) -> str:
        """The clean prompt with its slots in place of their fillers."""
        return "".join(f"{{{segment.slot}}}" if segment.slot else segment.text for segment in self.clean.segments)

    def cluster(self, by: str) -> str | None:
        """What it has in common with others: its template ("template"), or its fillers of a slot; None where it lacks that."""
        if by == "template":
            return str(self.template)
        return next((couple(clean, corrupt) for name, clean, corrupt in self.fillers if name == by), None)

    def behind(self, text: str, slot: str) -> "Pair":
        """The pair with a text, as a slot's filler, in front of both prompts (of a chat, of its first user's message)."""
        sides = [_after(text, slot, prompt) for prompt in (self.clean, self.corrupt)]
        return replace(self, clean=sides[0], corrupt=sides[1], fillers=((slot, text, text), *self.fillers))


def listed(answers: Sequence[Any]) -> list[Any]:
    """Answers as a row has them: several tokens of one are a list of their own."""
    return [list(one) if isinstance(one, tuple) else one for one in answers]


def _after(text: str, slot: str, prompt: Prompt) -> Prompt:
    number = first_of_user(prompt.roles) if prompt.roles else -1
    place = sum(segment.message < number for segment in prompt.segments)
    segments = list(prompt.segments)
    segments.insert(place, Segment(text, slot, number))
    return replace(prompt, segments=tuple(segments))


def first_of_user(roles: Sequence[str]) -> int:
    """The number of the first message that is the user's; of the first, where none is."""
    return roles.index("user") if "user" in roles else 0


def couple(clean: str, corrupt: str) -> str:
    """A slot's fillers of both sides, as one name."""
    return clean if clean == corrupt else f"{clean} / {corrupt}"


def other_side(side: Side) -> Side:
    return "corrupt" if side == "clean" else "clean"


def sides(of: str) -> Sequence[Side]:
    return ("clean", "corrupt") if of == "both" else ("clean",) if of == "clean" else ("corrupt",)
