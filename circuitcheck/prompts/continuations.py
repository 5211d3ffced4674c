"""Answers and foils as the tokens that continue their prompt."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

from circuitcheck.errors import PromptError
from circuitcheck.prompts.pairs import Pair, last_word
from circuitcheck.prompts.tokens import Reader, Tokens, Unread


@dataclass(frozen=True)
class Ending:
    """Where a clean prompt is read: so many tokens from its beginning (None: all), and the text up to there with its tokens,
    without BOS."""

    length: int | None
    text: str
    tokens: Tokens = ()

    @cached_property
    def last_word(self) -> str:
        return last_word(self.text)


class Continuations:
    """What continues prompts, as one tokenizer's ``reader`` reads it."""

    def __init__(self, reader: Reader):
        self.reader = reader
        self._known: dict[tuple[str, str], int | Unread | None] = {}

    def learn(self, endings: Iterable[tuple[Pair, Ending]]) -> None:
        """Ask the tokenizer once for each answer after each last word: what stands before that word is split off first."""
        asked: dict[tuple[str, str], Ending] = {}
        for pair, ending in endings:
            for answer in (*pair.answer, *pair.foil) if pair.clean.ids is None else ():
                if isinstance(answer, str) and (ending.last_word, answer) not in self._known:
                    asked.setdefault((ending.last_word, answer), ending)
        continued = self.reader.read([ending.text + answer for (_, answer), ending in asked.items()])
        for (key, ending), after in zip(asked.items(), continued, strict=True):
            one_more = len(after.ids) == len(ending.tokens) + 1 and after.ids[:-1] == ending.tokens
            self._known[key] = after.unread_behind(ending.text) or (after.ids[-1] if one_more else None)

    def after(self, pair: Pair, ending: Ending, answer: str | int) -> int | Unread | None:
        """The one token that continues the clean prompt with ``answer``, None where it takes several, or what of it is not
        read."""
        vocabulary = self.reader.vocabulary
        if isinstance(answer, int):
            if not 0 <= answer < vocabulary:
                raise PromptError(f"answer or foil {answer} is outside the model's vocabulary of {vocabulary} tokens")
            return answer
        if pair.clean.ids is not None:
            raise PromptError(f"answer {answer!r} is text, but the prompt is token ids: give the answer as a token id")
        return self._known[ending.last_word, answer]

    def why_not(self, pair: Pair, ending: Ending, text: str, unread: Unread | None) -> tuple[str, str]:
        """Why a text is no token that continues the clean prompt, and an example."""
        if self._lacks_its_space(pair, text):
            return "pair(s) whose answer or foil lacks its leading space", f"{text!r} instead of {f' {text}'!r}"
        if unread is not None:
            whole = text if unread.stretch in text else ending.text + text
            return f"pair(s) whose answer or foil has text that {unread.why}", unread.inside(whole)
        tokenizer = self.reader.tokenizer
        pieces = tokenizer.convert_ids_to_tokens(tokenizer.encode(text, add_special_tokens=False))
        alone = "" if len(pieces) > 1 else f", but not one more token after {ending.text!r}"
        return "pair(s) whose answer or foil is not one token", f"{text!r} is {pieces}{alone}"

    def _lacks_its_space(self, pair: Pair, answer: str) -> bool:
        """With a space in front, the answer would be one token after a prompt that does not end in one."""
        if not answer or answer[0].isspace() or pair.clean.text[-1:].isspace():
            return False
        [spaced] = self.reader.read([f" {answer}"])
        return len(spaced.ids) == 1 and not spaced.unread
