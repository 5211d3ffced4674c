"""Texts as tokens, and what in a text a tokenizer does not read as it was written.

A word that the vocabulary lacks becomes the unknown token, and some characters become no token at all: the model then runs
on another text than was written. Other spellings of the same (small letters for capitals, letters without their
accents) are how a tokenizer reads, and are let be.
"""

import json
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from circuitcheck.errors import PromptError
from circuitcheck.prompts.ids import id_of

Tokens = tuple[int, ...]
# What a text is appended to when it is asked which token it is in the middle of a prompt.
BEFORE = "."
# Characters of a longer text that an example shows: so many before, half as many behind.
_SHOWN = 160
_NONE = "(there are no tokenizer files beside it, or none that transformers can read without code from there)"
_DROPPED = "is left out by the tokenizer"


@dataclass(frozen=True)
class Unread:
    """A stretch of a text that the tokenizer does not read as it was written, where it ends, and why not."""

    stretch: str
    end: int
    why: str

    def inside(self, text: str) -> str:
        """The stretch with the text around it, where there is any."""
        if len(text) > _SHOWN:
            text = f"...{text[max(0, self.end - _SHOWN) : self.end + _SHOWN // 2]}..."
        return repr(text) if text.strip() == self.stretch else f"{self.stretch!r} in {text!r}"


@dataclass(frozen=True)
class Encoded:
    """A text's tokens, without BOS but where the text begins with it; the characters that each stands for, from and to; and
    what of the text is ``unread``."""

    ids: tuple[int, ...]
    offsets: tuple[tuple[int, int], ...]
    unread: tuple[Unread, ...]

    def unread_behind(self, text: str) -> Unread | None:
        """The first of it that a text, with which this one begins, does not hold all of."""
        return next((unread for unread in self.unread if unread.end > len(text)), None)


class Reader:
    """Reads texts with one tokenizer for a model of ``vocabulary`` tokens; ``bos`` goes in front of each, None for none."""

    def __init__(self, tokenizer: Any, bos: int | None, vocabulary: int):
        self.tokenizer, self.bos, self.vocabulary = tokenizer, bos, vocabulary
        # Characters that were met, and whether they become no token.
        self._drops: dict[str, bool] = {}

    def read(self, texts: Sequence[str]) -> list[Encoded]:
        """The texts as tokens; raises ``PromptError`` where the model's tokenizer cannot."""
        if not texts:
            return []
        if self.tokenizer is None:
            raise PromptError(
                f"this model has no tokenizer: give prompts as token ids with PromptPairs.from_rows {_NONE}"
            )
        if not getattr(self.tokenizer, "is_fast", False):
            raise PromptError(
                "this model's tokenizer reports no character offsets (it is not a 'fast' one), so that it is not known which "
                "text a token stands for: give token ids"
            )
        if self.bos is not None and self.bos >= self.vocabulary:
            raise PromptError(
                f"this model's tokenizer puts token {self.bos} in front of text, and the model has only {self.vocabulary} "
                "tokens: tokenizer and weights do not belong together (give prompts as token ids with PromptPairs.from_rows)"
            )
        return self._read(list(texts))

    def front(self, ids: Sequence[int]) -> tuple[int, ...]:
        """What goes in front of a text's tokens: BOS where that is convention and the text does not begin with it."""
        return () if self.bos is None or tuple(ids[:1]) == (self.bos,) else (self.bos,)

    def _read(self, texts: list[str]) -> list[Encoded]:
        try:
            batch = self.tokenizer(texts, add_special_tokens=False, return_offsets_mapping=True)
        except Exception as error:  # which is what tokenizers raises, where nothing stands for unknown words
            if len(texts) > 1:
                return [read for text in texts for read in self._read([text])]
            return [Encoded((), (), (Unread(texts[0].strip(), len(texts[0]), f"makes the tokenizer fail ({error})"),))]
        found = zip(texts, batch["input_ids"], batch["offset_mapping"], strict=True)
        return [
            Encoded(tuple(ids), tuple(offsets), tuple(self._unread(text, ids, offsets))) for text, ids, offsets in found
        ]

    def _ids(self, text: str) -> list[int] | None:
        """A text's tokens by themselves, None where the tokenizer fails on it."""
        try:
            ids: list[int] = self.tokenizer.encode(text, add_special_tokens=False)
        except Exception:  # of whatever kind, as above
            return None
        return ids

    def _unread(self, text: str, ids: Sequence[int], offsets: Sequence[tuple[int, int]]) -> Iterator[Unread]:
        if self._has_dropped(text):
            for end, character in enumerate(text, start=1):
                if self._drops[character]:
                    yield Unread(character, end, _DROPPED)
        reached = 0
        for token, (start, end) in zip(ids, offsets, strict=True):
            if start > reached:
                yield from self._between(text, ids, reached, start)
            reached = max(reached, end)
            if token >= self.vocabulary or token in self._unknown:
                stretch = text[start:end].strip()
                if token >= self.vocabulary or stretch != self._unknown[token]:
                    yield Unread(stretch, end, "is not in the vocabulary")
        yield from self._between(text, ids, reached, len(text))

    def _between(self, text: str, ids: Sequence[int], start: int, end: int) -> Iterator[Unread]:
        """What stands between two tokens, if it is more than white space, and no part of either: offsets may miss that it is,
        but then doubling it makes a difference."""
        stretch = text[start:end].strip()
        if any(map(_is_visible, stretch)) and self._ids(text[:end] + text[start:end] + text[end:]) == list(ids):
            yield Unread(stretch, end, _DROPPED)

    def _has_dropped(self, text: str) -> bool:
        """Whether the text has a character that becomes no token, wherever it stands: a word is the same with and without it."""
        for character in set(text).difference(self._drops):
            alone = self._ids(self._word)
            both = [self._ids(self._word + character), self._ids(character + self._word)]
            self._drops[character] = bool(alone) and _is_visible(character) and both == [alone, alone]
        return any(self._drops[character] for character in text)

    @cached_property
    def _word(self) -> str:
        """A word that the vocabulary has, "" where none is found."""
        first = range(min(self.vocabulary, 512))
        for word in ("a", *(str(self.tokenizer.decode([token])).strip() for token in first)):
            ids = self._ids(word)
            if ids and not any(token in self._unknown for token in ids):
                return word
        return ""

    @cached_property
    def _unknown(self) -> dict[int, str]:
        """Tokens that stand for what is not in the vocabulary, each with the text that spells it."""
        backend = self.tokenizer.backend_tokenizer
        names = {self.tokenizer.unk_token, getattr(backend.model, "unk_token", None)}
        if type(backend.model).__name__ == "Unigram":  # whose files alone say which it is
            number = json.loads(backend.to_str())["model"]["unk_id"]
            names.add(None if number is None else backend.id_to_token(number))
        found = {backend.token_to_id(name): str(name) for name in names if name is not None}
        return {number: name for number, name in found.items() if number is not None}


def _is_visible(character: str) -> bool:
    """Not white space, a control character, or a mark on another character."""
    category = unicodedata.category(character)
    return category[0] not in "MZ" and category not in ("Cc", "Cf")


def token_of(tokenizer: Any, token: object, vocabulary: int) -> int:
    """The id of a token that is given by its text, as it stands behind other text, or by its id.

        token_of(tokenizer, " an", 50257)    # 281

    Raises ``PromptError`` for a text of several tokens, one that is not in the vocabulary, and an id that the model does not
    have.
    """
    if isinstance(token, str):
        return _id_of(tokenizer, token, vocabulary)
    try:
        number = -1 if isinstance(token, bool) else id_of(token)
    except TypeError:
        raise PromptError(f"a token is a text such as ' an', or a token id, not {token!r}") from None
    if not 0 <= number < vocabulary:
        raise PromptError(f"token {token!r} is outside the model's vocabulary of {vocabulary} tokens")
    return number


def text_of(tokenizer: Any, token: int) -> str:
    """A token as reports write it."""
    return str(token) if tokenizer is None else repr(str(tokenizer.decode([token])))


def _id_of(tokenizer: Any, text: str, vocabulary: int) -> int:
    if tokenizer is None:
        raise PromptError(f"this model has no tokenizer: give the token {text!r} by its id {_NONE}")
    written = [BEFORE, BEFORE + text, text, f"{BEFORE} {text}"]
    before, after, alone, spaced = Reader(tokenizer, None, vocabulary).read(written)
    if alone.unread:
        raise PromptError(f"{alone.unread[0].inside(text)} {alone.unread[0].why}")
    if len(after.ids) == len(before.ids) + 1 and after.ids[:-1] == before.ids and not after.unread_behind(BEFORE):
        return after.ids[-1]
    if len(alone.ids) == 1:
        return alone.ids[0]
    one_more = text[:1].strip() and len(spaced.ids) == len(before.ids) + 1 and not spaced.unread_behind(BEFORE)
    advice = f"; {f' {text}'!r} is one" if one_more else ""
    raise PromptError(f"{text!r} is not one token but {tokenizer.convert_ids_to_tokens(list(alone.ids))}{advice}")
