"""Chats as a model's chat template writes them, their segments kept.

The template is rendered once with a marker for each message's content: what stands between the markers frames every chat of the
same roles. Each chat is then rendered as it is, and must be its frames with its contents: a template that changes contents (cuts
off their white space, takes them apart) would change what slots and positions mean.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Protocol

from circuitcheck.errors import PromptError
from circuitcheck.prompts.pairs import Pair, Prompt, Segment

_ASSISTANT, _SYSTEM = "assistant", "system"


class Template(Protocol):
    """A model's chat template: messages as text, with the beginning of the assistant's answer where that is asked for."""

    def __call__(self, messages: Sequence[Mapping[str, str]], *, answering: bool) -> str: ...


@dataclass(frozen=True)
class _Frame:
    """What a template writes around the contents of messages: ``before`` each of them, in the ``order`` in which it writes them, and
    at the ``end``."""

    before: tuple[str, ...]
    order: tuple[int, ...]
    end: str


class Chats:
    """What a chat template (None: there is none) makes of chats. An assistant's message at the end is what the answer goes on from;
    of other chats the template begins the answer."""

    def __init__(self, template: Template | None):
        self.template = template
        self._frames: dict[tuple[str, ...], _Frame] = {}

    def rendered(self, pair: Pair) -> Pair:
        """The pair with its chats as texts; itself, where they are none. Raises ``PromptError`` where the template does not take them,
        or changes what they say."""
        if not pair.clean.roles and not pair.corrupt.roles:
            return pair
        clean = self._rendered(pair.clean)
        return replace(pair, clean=clean, corrupt=self._rendered(pair.corrupt) if pair.is_contrast else clean)

    def added_system(self, roles: tuple[str, ...]) -> str:
        """The system prompt that the template adds to chats that have none; empty where it adds none."""
        if _SYSTEM in roles:
            return ""
        try:
            first, second = self._frame((_SYSTEM, *roles)).before[:2]
        except PromptError:  # as of a template that takes no system prompt
            return ""
        written = self._frame(roles).before[0]
        return written[len(first) : -len(second)] if written.startswith(first) and written.endswith(second) else ""

    def _rendered(self, prompt: Prompt) -> Prompt:
        if not prompt.roles:
            return prompt
        frame = self._frame(prompt.roles)
        contents = [
            [segment for segment in prompt.segments if segment.message == number] for number in range(len(prompt.roles))
        ]
        parts = ([Segment(text), *contents[number]] for text, number in zip(frame.before, frame.order, strict=True))
        segments = [*chain.from_iterable(parts), Segment(frame.end)]
        made = replace(prompt, segments=tuple(segment for segment in segments if segment.text))
        written = self._written(prompt.messages)
        if not (written.startswith(made.text) if _continues(prompt.roles) else written == made.text):
            raise PromptError(
                f"the model's chat template does not write messages as they are: {prompt.messages!r} becomes {written!r}; take white "
                "space off the ends of messages, and out what the template reads as a sign of its own"
            )
        return made

    def _frame(self, roles: tuple[str, ...]) -> _Frame:
        if roles not in self._frames:
            self._frames[roles] = self._found_frame(roles)
        return self._frames[roles]

    def _found_frame(self, roles: tuple[str, ...]) -> _Frame:
        markers = [f"content{number}of{len(roles)}messages" for number in range(len(roles))]
        written = self._written([{"role": role, "content": text} for role, text in zip(roles, markers, strict=True)])
        for role, marker in zip(roles, markers, strict=True):
            if (times := written.count(marker)) != 1:
                often = "leaves out" if not times else f"writes {times} times"
                raise PromptError(
                    f"the model's chat template {often} the content of the {role}'s message (roles: {', '.join(roles)})"
                )
        order = sorted(range(len(roles)), key=lambda number: written.index(markers[number]))
        before, rest = [], written
        for number in order:
            text, _, rest = rest.partition(markers[number])
            before.append(text)
        if _continues(roles):
            if order[-1] != len(roles) - 1:
                raise PromptError(
                    "the model's chat template does not write the last message last, so that it cannot be gone on with"
                )
            rest = ""
        return _Frame(tuple(before), tuple(order), rest)

    def _written(self, messages: Sequence[Mapping[str, str]]) -> str:
        if self.template is None:
            raise PromptError(
                "this model's tokenizer has no chat template: write the prompt as text, with whatever marks a chat in it"
            )
        return self.template(messages, answering=not _continues([message["role"] for message in messages]))


def _continues(roles: Sequence[str]) -> bool:
    return roles[-1] == _ASSISTANT
