"""Pairs as tokens: clean and corrupted prompts that correspond segment by segment.

A token belongs to the segment of its first visible character: in GPT-2's convention the space before a filler is part of the
filler's first token. Where a slot's tokens, or those of a stretch between slots, are not as many in both prompts, some have no
counterpart (see ``aligned_pairs``). Pairs that cannot be used are rejected, counted, and never evaluated.
"""

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Sequence
from copy import copy
from dataclasses import dataclass, field, replace
from itertools import accumulate
from textwrap import shorten
from typing import Any

from circuitcheck.addresses.sites import Position
from circuitcheck.errors import PromptError
from circuitcheck.prompts.aligned_pairs import AlignedPair, last_of
from circuitcheck.prompts.chats.rendering import Chats
from circuitcheck.prompts.continuations import Continuations, Ending, Unusable
from circuitcheck.prompts.pairs import Pair, Prompt, sides
from circuitcheck.prompts.tokens import Encoded, Reader
from circuitcheck.texts import plural

_CHUNK = 512


@dataclass(frozen=True)
class Rejected:
    """Why a pair cannot be used, in words that others share, and what of this one."""

    reason: str
    example: str


@dataclass
class Rejections:
    """Pairs (or what else the ``noun`` names) that could not be used, by reason, with an example of each."""

    counts: Counter[str] = field(default_factory=Counter)
    examples: dict[str, str] = field(default_factory=dict)
    noun: str = "pair"

    @staticmethod
    def of(outcomes: "Iterable[AlignedPair | Rejected]") -> "Rejections":
        """Those among the outcomes of ``Aligner.align``."""
        found = Rejections()
        for outcome in outcomes:
            if isinstance(outcome, Rejected):
                found.add(outcome.reason, outcome.example)
        return found

    def add(self, reason: str, example: str) -> None:
        self.counts[reason] += 1
        self.examples.setdefault(reason, example)

    @property
    def total(self) -> int:
        return self.counts.total()

    def __str__(self) -> str:
        return "; ".join(
            f"{plural(count, self.noun)} {reason}, e.g. {self.examples[reason]}"
            for reason, count in self.counts.most_common()
        )


class Aligner:
    """Aligns pairs with one tokenizer; ``bos`` is put in front of text that does not begin with it (never of token ids), None
    for no BOS.

    ``read_at``: a position behind whose last token the prompts are cut, and which the answer then follows; ``context``: the
    tokens that the model is made for, None where it takes any number; ``chats``: what the model's chat template writes.
    ``corresponding``: positions that must name tokens with a counterpart in the other prompt.
    """

    def __init__(
        self,
        tokenizer: Any,
        bos: int | None,
        vocabulary: int,
        read_at: Position | None = None,
        context: int | None = None,
        chats: Chats | None = None,
    ):
        self.tokenizer, self.vocabulary, self.read_at, self.context = tokenizer, vocabulary, read_at, context
        self.chats = chats or Chats(None)
        self.reader = Reader(tokenizer, bos, vocabulary)
        self.continuations = Continuations(self.reader)
        self.corresponding: frozenset[Position] = frozenset()

    def reading_at(self, position: Position) -> "Aligner":
        """The same for prompts that are cut behind a position."""
        return Aligner(self.tokenizer, self.reader.bos, self.vocabulary, position, self.context, self.chats)

    def where_corresponding(self, positions: frozenset[Position]) -> "Aligner":
        """The same for pairs in which some positions name tokens with a counterpart in the other prompt."""
        made = copy(self)  # what it has learnt of the tokenizer is as good there
        made.corresponding = positions
        return made

    def texts_of(self, tokens: Iterable[int]) -> list[str]:
        """What tokens are, in words: their numbers, where there is no tokenizer."""
        tokenizer = self.tokenizer
        return [str(token) if tokenizer is None else str(tokenizer.decode([token])) for token in tokens]

    def align(self, pairs: Iterable[Pair]) -> list[AlignedPair | Rejected]:
        """What becomes of each pair, in order: as tokens, or why it cannot be used."""
        given = [self.chats.rendered(pair) for pair in map(_text, pairs)]
        outcomes: list[AlignedPair | Rejected] = []
        for start in range(0, len(given), _CHUNK):
            chunk = given[start : start + _CHUNK]
            texts = list(
                dict.fromkeys(side.text for pair in chunk for side in (pair.clean, pair.corrupt) if side.ids is None)
            )
            encoded = dict(zip(texts, self.reader.read(texts), strict=True))
            unread = [self._unread(pair, encoded) for pair in chunk]
            read = [pair for pair, why in zip(chunk, unread, strict=True) if why is None]
            prompts = [self._prompts(pair, encoded) for pair in read]
            endings = [self._endings(pair, encoded) for pair in prompts]
            self.continuations.learn(zip(read, endings, strict=True))
            aligned = iter([self._align(pair, ends) for pair, ends in zip(prompts, endings, strict=True)])
            outcomes += [next(aligned) if why is None else why for why in unread]
        return outcomes

    def _unread(self, pair: Pair, encoded: dict[str, Encoded]) -> Rejected | None:
        """What the tokenizer does not read of the prompts as they are written."""
        for side in (pair.clean, pair.corrupt):
            for unread in encoded[side.text].unread[:1] if side.ids is None else ():
                return Rejected(f"with text that {unread.why}", unread.inside(side.text))
        return None

    def _align(self, prompts: AlignedPair | Rejected, endings: Sequence[Ending]) -> AlignedPair | Rejected:
        if isinstance(prompts, Rejected):
            return prompts
        try:
            answer, foil = self.continuations.of(prompts.pair, endings)
        except Unusable as why:
            return Rejected(*why.args)
        return replace(prompts, answer=answer, foil=foil)

    def _prompts(self, pair: Pair, encoded: dict[str, Encoded]) -> AlignedPair | Rejected:
        """A pair's prompts up to where they are read, yet without answers."""
        clean, segments = self._tokens(pair.clean, encoded)
        corrupt, others = self._tokens(pair.corrupt, encoded)
        example = pair.shown
        if clean == corrupt and pair.is_contrast:
            alike = "do not differ" if pair.clean.text == pair.corrupt.text else "differ as text, but not as tokens"
            return Rejected(f"whose prompts {alike}", example)
        apart = None if segments == others else others
        aligned = AlignedPair(pair, clean, corrupt, (), (), segments, pair.clean.slots, corrupt_segments=apart)
        if self.read_at is not None:
            if why := self._without_counterpart(aligned, last_of(self.read_at)):
                return why
            aligned = aligned.until(self.read_at)
        if aligned.clean == aligned.corrupt and pair.is_contrast:
            return Rejected(f"whose prompts do not differ up to @{self.read_at}", example)
        if self.context is not None and aligned.length > self.context:
            longest = max(sides("both"), key=lambda side: len(aligned.tokens(side)))
            long = (
                f"{plural(aligned.length, 'token')}: {shorten(aligned.prompt(longest).text, 80, placeholder=' ...')!r}"
            )
            return Rejected(f"longer than the {plural(self.context, 'token')} that the model is made for", long)
        reasons = (self._without_counterpart(aligned, position) for position in sorted(self.corresponding))
        return next((why for why in reasons if why is not None), aligned)

    def _without_counterpart(self, aligned: AlignedPair, position: Position) -> Rejected | None:
        """Why a pair cannot be used where what a position names in one prompt must have a counterpart in the other."""
        why = aligned.apart(position)
        if why and not position.everywhere:
            why += f", so that @{position} has no counterpart"
        return Rejected(why, aligned.told_apart(position)) if why else None

    def _endings(self, prompts: AlignedPair | Rejected, encoded: dict[str, Encoded]) -> list[Ending]:
        """Where each of the two prompts is read; none of those that cannot be used."""
        if isinstance(prompts, Rejected):
            return []
        lengths = [None if self.read_at is None else len(prompts.tokens(side)) for side in sides("both")]
        both = [prompts.prompt(side) for side in sides("both")]
        return [self._ending(prompt, length, encoded) for prompt, length in zip(both, lengths, strict=True)]

    def _ending(self, prompt: Prompt, length: int | None, encoded: dict[str, Encoded]) -> Ending:
        if prompt.ids is not None:
            return Ending(length, prompt.text, None)
        read = encoded[prompt.text]
        if length is None:
            return Ending(None, prompt.text, read.ids)
        ids = read.ids[: length - len(self._front(prompt, read))]
        return Ending(length, prompt.text[: read.offsets[len(ids) - 1][1] if ids else 0], ids)

    def _tokens(self, prompt: Prompt, encoded: dict[str, Encoded]) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Token ids, and for each the number of the segment that it belongs to (-1 for BOS)."""
        if prompt.ids is not None:
            outside = [token for token in prompt.ids if not 0 <= token < self.vocabulary]
            if outside:
                raise PromptError(
                    f"token id {outside[0]} is outside the model's vocabulary of {self.vocabulary}: {prompt.text}"
                )
            begins = prompt.ids[0] == self.reader.bos
            return prompt.ids, tuple(-1 if begins and not place else 0 for place in range(len(prompt.ids)))
        read = encoded[prompt.text]
        ends = list(accumulate(len(segment.text) for segment in prompt.segments))
        owners = [_owner(prompt.text, ends, start, end) for start, end in read.offsets]
        front = self._front(prompt, read)
        if not front and read.ids[:1] == (self.reader.bos,) and not prompt.segments[owners[0]].slot:
            owners[0] = -1
        return (*front, *read.ids), (*(-1 for _ in front), *owners)

    def _front(self, prompt: Prompt, read: Encoded) -> tuple[int, ...]:
        """What goes in front of a text's tokens; nothing of a chat, whose template says what it begins with."""
        return () if prompt.roles else self.reader.front(read.ids)


def _text(pair: Pair) -> Pair:
    """A pair of texts; raises ``PromptError`` for one of pictures."""
    if pair.clean.is_picture:
        raise PromptError(
            f"{pair.clean.text!r} is a picture, and this model reads text: describe prompts, PromptPairs(...), or ask a model that reads "
            "pictures, such as 'bundled-images'"
        )
    return pair


def _owner(text: str, ends: Sequence[int], start: int, end: int) -> int:
    """The segment of the first visible character of text[start:end]; a space on its own goes with what follows it."""
    while start < end - 1 and text[start].isspace():
        start += 1
    while start < len(text) - 1 and text[start] == " ":
        start += 1
    return min(bisect_right(ends, start), len(ends) - 1)
