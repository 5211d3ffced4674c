"""The chat template of a model's tokenizer, rendered as transformers renders it: in its sandbox, with the tokenizer's special
tokens, but with a clock that stands still, so that a prompt is the same on every day."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import cached_property
from typing import Any

from circuitcheck.errors import PromptError
from circuitcheck.sampling.remembered import Remembered
from circuitcheck.texts import digest

# The day on which Llama's templates believe themselves to be where nobody tells them.
_TODAY = datetime(2024, 7, 26)


class ChatTemplate:
    """A chat template.

    ChatTemplate(text, special_tokens, remembered)([{"role": "user", "content": "Hello"}], answering=True)
    """

    def __init__(self, text: str, special: Mapping[str, Any], remembered: Remembered):
        self._text, self._special, self._remembered = text, special, remembered

    def __call__(self, messages: Sequence[Mapping[str, str]], *, answering: bool) -> str:
        """The messages as text, as they were written before where that is remembered; raises ``PromptError`` for messages that the template
        does not take."""
        said = [self._text, dict(self._special), [dict(message) for message in messages], answering]
        fact = f"chat {digest(said, digits=32)}"
        known = self._remembered.fact(fact)
        if known is None:
            known = self._written(messages, answering)
            self._remembered.note(fact, known)
        return known

    def _written(self, messages: Sequence[Mapping[str, str]], answering: bool) -> str:
        try:
            written: str = self._compiled.render(
                messages=[dict(message) for message in messages],
                tools=None,
                documents=None,
                add_generation_prompt=answering,
                **self._special,
            )
        except Exception as error:  # a template may raise anything
            raise PromptError(
                f"the model's chat template does not take these messages ({type(error).__name__}: {error}): {list(messages)!r}"
            ) from error
        return written

    @cached_property
    def _compiled(self) -> Any:
        from transformers.utils import chat_template_utils

        # What is inside the cache is other people's, too: theirs keeps its clock.
        compiled = chat_template_utils._compile_jinja_template.__wrapped__(self._text)
        compiled.globals["strftime_now"] = _TODAY.strftime
        return compiled


def text_of_template(tokenizer: Any) -> str | None:
    """The chat template of a tokenizer, None where it has none."""
    try:
        text: str = tokenizer.get_chat_template()
    except (AttributeError, ValueError):  # of no tokenizer, and of one without a template
        return None
    return text
