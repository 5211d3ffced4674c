"""Messages of a chat, as they are given: mappings with a role and a content."""

from collections.abc import Mapping, Sequence
from typing import Any

from circuitcheck.errors import PromptError
from circuitcheck.prompts.pairs import first_of_user

Message = tuple[str, str]
# Parts the contents of a chat's messages where they are one template; a control character that no text has.
SEPARATOR = "\x1e"


def messages_of(template: str, roles: Sequence[str]) -> list[dict[str, str]]:
    """The messages of a chat that is one template."""
    contents = template.split(SEPARATOR)
    return [{"role": role, "content": content} for role, content in zip(roles, contents, strict=True)]


def template_of(given: Any) -> tuple[str, tuple[str, ...]]:
    """A template as it may be given, with the roles of its messages (none: it is text); raises ``PromptError`` for what is none."""
    if isinstance(given, str):
        return given, ()
    if not is_chat(given):
        raise PromptError(
            f"a template is text or a list of messages, not {given!r} (several: PromptPairs(*templates, ...))"
        )
    messages = checked_messages(given)
    return SEPARATOR.join(content for _, content in messages), tuple(role for role, _ in messages)


def in_front(slot: str, template: str, roles: Sequence[str]) -> str:
    """A template with a slot in front; of a chat, in front of its first user's message."""
    contents = template.split(SEPARATOR)
    place = first_of_user(roles) if roles else 0
    contents[place] = f"{{{slot}}}{contents[place]}"
    return SEPARATOR.join(contents)


def is_chat(given: Any) -> bool:
    """Whether a prompt is given as a list of messages."""
    return (
        isinstance(given, Sequence)
        and not isinstance(given, str | bytes)
        and any(isinstance(one, Mapping) for one in given)
    )


def checked_messages(given: Sequence[Any]) -> tuple[Message, ...]:
    """The role and the content of each message; raises ``PromptError`` for what is no message."""
    shape = "a message is a mapping with a role and a content, such as {'role': 'user', 'content': 'Hello'}"
    messages = []
    for one in given:
        if not isinstance(one, Mapping) or set(one) != {"role", "content"}:
            raise PromptError(f"{one!r} is no message: {shape}")
        role, content = one["role"], one["content"]
        if not isinstance(role, str) or not role or not isinstance(content, str):
            raise PromptError(f"{one!r} is no message: its role and its content are text")
        if SEPARATOR in content:
            raise PromptError(
                f"the message {content!r} has the control character {SEPARATOR!r}, which parts messages here"
            )
        messages.append((role, content))
    if not any(content for _, content in messages):
        raise PromptError("a chat whose messages are all empty is no prompt")
    return tuple(messages)
