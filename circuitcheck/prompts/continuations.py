"""Answers and foils as the tokens that continue their prompt.

An answer's tokens are those that come after the prompt's where prompt and answer are read together: behind " 17", "52" may be
a token of its own or turn " 17" into " 1752". In the second case the answer merges with the prompt, and the pair cannot be used.
"""

import re
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import TypeVar

from circuitcheck.errors import PromptError
from circuitcheck.prompts.pairs import Pair, last_word
from circuitcheck.prompts.tokens import BEFORE, Encoded, Reader, Tokens, Unread

# A member of a set of answers: its one token, or its tokens where there are several.
Member = int | Tokens
Members = tuple[Member, ...]
_Some = TypeVar("_Some")
# Words, numbers and marks, as they may stand next to each other.
_APART = "ab Cd 12 3, ( é. x1 -a\nb"
# As SentencePiece writes a space.
_SPACE = "▁"
# Behind what a prompt may end in, and before what an answer may begin with, a space would make sense.
_WORD_ENDS, _WORD_BEGINS = re.compile(r"[^\W_][.,;:!?]?\Z"), re.compile(r"[^\W_]")
_WAYS_OUT = "give token ids, end the prompt before the merge, or read the answer's own tokens: merging='as tokens'"


class Unusable(Exception):
    """A pair whose answer or foil cannot be read; its arguments are the reason, in words that others share, and an example."""


@dataclass(frozen=True)
class Ending:
    """Where a prompt is read: so many tokens from its beginning (None: all), and the text up to there with its tokens, without
    BOS; None for those of a prompt that was given as ids."""

    length: int | None
    text: str
    tokens: Tokens | None


@dataclass(frozen=True)
class _After:
    """What is read behind a prompt: the tokens that are added to its own, None where these do not come back as they were.
    ``together`` are all of both; ``unread``, what of the answer is not read."""

    tokens: Tokens | None
    together: Tokens
    unread: Unread | None

    @classmethod
    def of(cls, ending: Ending, read: Encoded) -> "_After":
        before = ending.tokens or ()
        added = read.ids[len(before) :] if read.ids[: len(before)] == before else None
        return cls(added, read.ids, read.unread_behind(ending.text))


class Continuations:
    """What continues prompts, as one tokenizer's ``reader`` reads it."""

    def __init__(self, reader: Reader):
        self.reader = reader
        self._known: dict[tuple[str, str], _After] = {}
        self._own: dict[str, Encoded] = {}
        self._usable: dict[Hashable, tuple[Members, Members]] = {}

    def learn(self, endings: Iterable[tuple[Pair, Sequence[Ending]]]) -> None:
        """Ask the tokenizer, once for each answer after each text that may make a difference to it."""
        asked: dict[tuple[str, str], Ending] = {}
        own: set[str] = set()
        for pair, sides in endings:
            if pair.clean.ids is not None:
                continue
            texts = [answer for answer in (*pair.answer, *pair.foil) if isinstance(answer, str)]
            if pair.as_tokens:
                own.update(text for text in texts if text not in self._own)
                continue
            for ending in sides:
                context = self._context(ending)
                if context is None:
                    continue
                for text in texts:
                    if (context, text) not in self._known:
                        asked.setdefault((context, text), ending)
        read = self.reader.read([ending.text + answer for (_, answer), ending in asked.items()])
        self._known |= {key: _After.of(ending, after) for (key, ending), after in zip(asked.items(), read, strict=True)}
        self._own |= {text: self._by_itself(text) for text in own}

    def of(self, pair: Pair, endings: Sequence[Ending]) -> tuple[Members, Members]:
        """A pair's answers and foils, as what continues both of its prompts; raises ``Unusable``."""
        contexts = tuple(map(self._context, endings))
        key = pair.answer, pair.foil, contexts, pair.as_tokens
        if key not in self._usable:
            self._usable[key] = self._of(pair, endings, contexts)
        return self._usable[key]

    def _of(self, pair: Pair, endings: Sequence[Ending], contexts: Sequence[str | None]) -> tuple[Members, Members]:
        answer, foil = (self._by_tokens(pair, endings, contexts, side) for side in (pair.answer, pair.foil))
        after = f"after {pair.clean.text!r}"
        if set(answer) & set(foil):
            raise Unusable("whose answer is also their foil", f"{pair.answer!r} and {pair.foil!r} {after}")
        for what, some in (("answers", answer), ("foils", foil), ("answer and foil", answer | foil)):
            if begun := _begun(some):
                raise Unusable(f"whose {what} begin one another", f"{begun[0]!r} and {begun[1]!r} {after}")
        return _members(answer), _members(foil)

    def _by_tokens(
        self, pair: Pair, endings: Sequence[Ending], contexts: Sequence[str | None], answers: Iterable[str | Member]
    ) -> "dict[Tokens, str | Member]":
        """Answers by their tokens, each once."""
        found: dict[Tokens, str | Member] = {}
        for answer in answers:
            if isinstance(answer, str):
                found.setdefault(self._continued(pair, endings, contexts, answer), answer)
            else:
                found.setdefault(self._ids(answer), answer)
        return found

    def _ids(self, answer: Member) -> Tokens:
        ids, vocabulary = answer if isinstance(answer, tuple) else (answer,), self.reader.vocabulary
        for token in ids:
            if not 0 <= token < vocabulary:
                raise PromptError(f"answer or foil {token} is outside the model's vocabulary of {vocabulary} tokens")
        return ids

    def _continued(self, pair: Pair, endings: Sequence[Ending], contexts: Sequence[str | None], answer: str) -> Tokens:
        """The tokens of a text after both prompts."""
        if pair.clean.ids is not None:
            raise PromptError(f"answer {answer!r} is text, but the prompt is token ids: give the answer as token ids")
        if pair.as_tokens:
            own = self._own[answer]
            return self._checked(endings[0], answer, _After(own.ids, own.ids, next(iter(own.unread), None)))
        afters = [
            (ending, self._known[context, answer])
            for ending, context in zip(endings, contexts, strict=True)
            if context is not None
        ]
        for ending, after in afters:
            if self._lacks_its_space(ending, answer, after):
                spaced = f"{answer!r} instead of {f' {answer}'!r}"
                raise Unusable("whose answer or foil lacks its leading space", spaced)
        found = [self._checked(ending, answer, after) for ending, after in afters]
        if len(set(found)) > 1:
            told = [
                f"{self._pieces(ids)} after {ending.text!r}" for ids, (ending, _) in zip(found, afters, strict=True)
            ]
            reason = "whose answer or foil is not the same tokens after both prompts"
            raise Unusable(reason, f"{answer!r} is {' and '.join(told)}")
        return found[0]

    def _checked(self, ending: Ending, answer: str, after: _After) -> Tokens:
        """The tokens that were read; raises ``Unusable``."""
        if after.unread is not None:
            whole = answer if after.unread.stretch in answer else ending.text + answer
            reason = f"whose answer or foil has text that {after.unread.why}"
            raise Unusable(reason, after.unread.inside(whole))
        if after.tokens is None:
            before = ending.tokens or ()
            kept = _in_common(before, after.together)
            apart, together = self._pieces(before[kept:]), self._pieces(after.together[kept:])
            merged = f"{answer!r} after {ending.text!r}, where {apart} becomes {together}"
            raise Unusable("whose answer or foil merges with the prompt", f"{merged}: {_WAYS_OUT}")
        if not after.tokens:
            raise Unusable("whose answer or foil is no token", f"{answer!r} after {ending.text!r}")
        return after.tokens

    def _context(self, ending: Ending) -> str | None:
        """What of a text, at its end, can make a difference to the tokens of what comes after it; None of token ids."""
        if ending.tokens is None:
            return None
        local = self._is_local and self._added.isdisjoint(ending.tokens)
        return last_word(ending.text) if local else ending.text

    @cached_property
    def _is_local(self) -> bool:
        """Whether texts are cut between words before anything else is made of them, so that nothing before its last word
        changes how a text goes on."""
        backend, added = self.reader.tokenizer.backend_tokenizer, self.reader.tokenizer.added_tokens_decoder.values()
        if backend.pre_tokenizer is None or any(len(str(token).split()) > 1 for token in added):
            return False
        text = _APART if backend.normalizer is None else backend.normalizer.normalize_str(_APART)
        pieces = [text[start:end] for _, (start, end) in backend.pre_tokenizer.pre_tokenize_str(text)]
        return all(len(piece.replace(_SPACE, " ").split()) < 2 for piece in pieces)

    @cached_property
    def _added(self) -> frozenset[int]:
        return frozenset(self.reader.tokenizer.added_tokens_decoder)

    def _lacks_its_space(self, ending: Ending, answer: str, after: _After) -> bool:
        """Where a space would make sense: whether the answer would be fewer tokens with one in front of it."""
        if after.tokens is not None and len(after.tokens) < 2 and after.unread is None:
            return False
        if not (_WORD_ENDS.search(ending.text) and _WORD_BEGINS.match(answer)):
            return False
        if answer[0].isdigit() and ending.text[-1].isdigit():
            return False
        if after.tokens is None and len(after.together) <= len(
            ending.tokens or ()
        ):  # a word of its own, as tree and s are
            return False
        spaced = _After.of(ending, self.reader.read([f"{ending.text} {answer}"])[0])
        if not spaced.tokens or spaced.unread is not None:
            return False
        count = len(self._by_itself(answer).ids if after.tokens is None else after.tokens)
        return after.unread is not None or len(spaced.tokens) < count

    def _by_itself(self, answer: str) -> Encoded:
        """An answer as it is read where it can merge with nothing."""
        before, behind, alone = self.reader.read([BEFORE, BEFORE + answer, answer])
        if behind.ids[: len(before.ids)] != before.ids:
            return alone
        shifted = tuple(
            Unread(one.stretch, one.end - len(BEFORE), one.why) for one in behind.unread if one.end > len(BEFORE)
        )
        return Encoded(behind.ids[len(before.ids) :], behind.offsets[len(before.ids) :], shifted)

    def _pieces(self, ids: Sequence[int]) -> list[str]:
        pieces: list[str] = self.reader.tokenizer.convert_ids_to_tokens(list(ids))
        return pieces


def _members(tokens: Iterable[Tokens]) -> Members:
    return tuple(one[0] if len(one) == 1 else one for one in tokens)


def _begun(some: Mapping[Tokens, _Some]) -> "tuple[_Some, _Some] | None":
    """Two of which one begins with the other, if there are any."""
    ordered = sorted(some)
    for one, other in pairwise(ordered):
        if other[: len(one)] == one:
            return some[one], some[other]
    return None


def _in_common(one: Sequence[int], other: Sequence[int]) -> int:
    """How many tokens two texts begin with in common."""
    return next((n for n, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))
