"""Pairs as tokens: clean and corrupted prompts that correspond segment by segment.

Each slot's tokens and each stretch between slots must be as many on both sides, so that a position means the same role
in both. A token belongs to the segment of its first visible character: in GPT-2's convention the space before a filler
is part of the filler's first token. Pairs that cannot be aligned are rejected, counted, and never evaluated.
"""

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import accumulate
from textwrap import shorten
from typing import Any

from circuitcheck.addresses.sites import Position
from circuitcheck.errors import PromptError
from circuitcheck.prompts.chats.rendering import Chats
from circuitcheck.prompts.continuations import Continuations, Ending, Members, Unusable
from circuitcheck.prompts.pairs import Pair, Prompt, listed
from circuitcheck.prompts.tokens import Encoded, Reader, Tokens
from circuitcheck.texts import digest, hashed

_CHUNK = 512
# The segment of an answer's own tokens, where they are run after a prompt.
_ANSWER = -2


@dataclass(frozen=True)
class AlignedPair:
    """A pair as token ids of equal length. ``answer`` and ``foil`` are sets, each member a token, or its tokens where it has several.
    ``roles[i]`` is (segment, tokens to that segment's end) of token i; ``repeat`` counts how often the same pair was drawn before;
    ``read_at``: the position behind which the prompts were cut; ``forced``: how many tokens of an answer are run after both
    prompts (see ``sampling.forced``)."""

    pair: Pair
    clean: tuple[int, ...]
    corrupt: tuple[int, ...]
    answer: Members
    foil: Members
    segments: tuple[int, ...]
    slots: tuple[str, ...]
    repeat: int = 0
    read_at: Position | None = None
    forced: int = 0

    @property
    def length(self) -> int:
        return len(self.clean)

    @property
    def prompt_length(self) -> int:
        """Without the tokens of an answer that are run after the prompts."""
        return self.length - self.forced

    @cached_property
    def has_several(self) -> bool:
        """Whether an answer or a foil has several tokens, which are yet to be run."""
        return not self.forced and any(isinstance(member, tuple) for member in (*self.answer, *self.foil))

    def followed_by(self, tokens: Tokens) -> "AlignedPair":
        """The pair with tokens of an answer after both prompts."""
        return replace(
            self,
            clean=self.clean + tokens,
            corrupt=self.corrupt + tokens,
            segments=self.segments + (_ANSWER,) * len(tokens),
            forced=self.forced + len(tokens),
        )

    @property
    def pattern(self) -> tuple[int, tuple[int, ...], tuple[str, ...]]:
        """What decides where positions and roles are: pairs of one pattern have the same."""
        return self.pair.template, self.segments, self.slots

    def tokens(self, side: str) -> tuple[int, ...]:
        return self.clean if side == "clean" else self.corrupt

    def as_row(self) -> dict[str, Any]:
        """The row that ``PromptPairs.from_rows`` makes this pair of: a cut one's, or of answers that may merge, are token ids."""
        if self.read_at is None and not self.pair.as_tokens:
            return self.pair.as_row()
        sides = {"clean": list(self.clean), "corrupt": list(self.corrupt)}
        return sides | {"answer": listed(self.answer), "foil": listed(self.foil)}

    @cached_property
    def roles(self) -> tuple[tuple[int, int], ...]:
        """Of each token; those of an answer count from its first."""
        prompt = self.segments[: self.prompt_length]
        ends = {segment: index for index, segment in enumerate(prompt)}
        answer = tuple((_ANSWER, index) for index in range(self.forced))
        return (*((segment, ends[segment] - index) for index, segment in enumerate(prompt)), *answer)

    @cached_property
    def identity(self) -> str:
        """12 hex digits of the tokens of both prompts and their answers."""
        content = repr((self.clean, self.corrupt, self.answer, self.foil, self.repeat))
        return digest(content)

    @cached_property
    def key(self) -> bytes:
        """16 bytes of all that a number of this pair can depend on."""
        tokens = self.clean, self.corrupt, self.answer, self.foil
        content = repr((tokens, self.segments, self.slots, self.pair, self.repeat))
        return hashed(content)

    def positions(self, position: Position) -> list[int]:
        """The token positions that a ``Position`` names in this pair; raises ``PromptError`` where there are none."""
        if position.outside:
            inside = self.positions(replace(position, outside=False))
            return [place for place in range(self.length) if place not in inside]
        if position.everywhere or position.answer:
            return list(range(self.prompt_length if position.answer else 0, self.length))
        if not position.slot:
            return self._counted(position)
        occurrences = [segment for segment, slot in enumerate(self.slots) if slot == position.slot]
        if not occurrences:
            have = ", ".join(f"@{{{slot}}}" for slot in dict.fromkeys(self.slots) if slot) or "none"
            raise PromptError(f"@{position}: the prompts have no slot {position.slot!r} (slots: {have})")
        if len(occurrences) > 1 and not position.occurrence:
            choices = " or ".join(f"@{{{position.slot}}}[{n}]" for n in range(1, len(occurrences) + 1))
            raise PromptError(f"@{position} is ambiguous: the slot occurs {len(occurrences)} times; write {choices}")
        if position.occurrence > len(occurrences):
            raise PromptError(f"@{position}: the slot occurs only {len(occurrences)} time(s)")
        segment = occurrences[max(position.occurrence, 1) - 1]
        tokens = [index for index, owner in enumerate(self.segments) if owner == segment]
        if self.read_at is not None and segment > self.segments[self.prompt_length - 1]:
            raise PromptError(self._behind(position))
        if not tokens:
            raise PromptError(f"@{position}: the slot has no token of its own in {self.pair.clean.text!r}")
        if position.offset == 0:
            return tokens
        start = tokens[-1] if position.offset > 0 else tokens[0]
        return self._within([start + position.offset], position)

    def _counted(self, position: Position) -> list[int]:
        """Tokens counted from the end, or from the front."""
        if position.offset < 0:
            return self._within([self.prompt_length + position.offset], position)
        if self.pair.clean.ids is None:
            raise PromptError(
                f"@{position} counts tokens from the front, as in rows of token ids: how many of a text's tokens stand before a "
                f"place differs between tokenizers ({self.pair.clean.text!r}); name a slot, or count from the end, @-1"
            )
        return self._within(list(range(position.offset, position.offset + position.occurrence + 1)), position)

    def _within(self, positions: list[int], position: Position) -> list[int]:
        if self.read_at is not None and max(positions) >= self.prompt_length:
            raise PromptError(self._behind(position))
        if not all(0 <= index < self.prompt_length for index in positions):
            raise PromptError(f"@{position} lies outside {self.pair.clean.text!r} ({self.prompt_length} tokens)")
        return positions

    def _behind(self, position: Position) -> str:
        return f"@{position} stands behind @{self.read_at}, where {self.pair.clean.text!r} is read: nothing there can matter"


def token_positions(pairs: Sequence[AlignedPair]) -> list[Position]:
    """Every token of the prompts, in order, as positions that mean the same token role in every pair.

    A slot's tokens are one position, and so are those of answers of several tokens. Raises ``PromptError`` where the pairs have no common roles.
    """
    first = pairs[0]
    counts = {
        tuple(Counter(pair.segments).get(n, 0) for n, slot in enumerate(pair.slots) if not slot) for pair in pairs
    }
    lengths = {pair.length for pair in pairs} if not any(first.slots) else {first.length}
    if len({(pair.pair.template, pair.slots) for pair in pairs}) > 1 or len(counts) > 1 or len(lengths) > 1:
        raise PromptError(
            "@* spreads over tokens that correspond in all prompts, and these have several templates or lengths: sweep "
            "each by itself, or name positions that all have, such as @end or a slot"
        )
    found: dict[Position, None] = {}
    for index, segment in enumerate(first.segments):
        found.setdefault(_position_of(first, index, segment))
    return [*found, Position(answer=True)] if any(pair.has_several for pair in pairs) else list(found)


def _position_of(pair: AlignedPair, index: int, segment: int) -> Position:
    """A token's position as seen from the end, its slot, or the slot that is next to it."""
    slotted = {at: pair.slots[at] for at in pair.segments if 0 <= at < len(pair.slots) and pair.slots[at]}
    if not slotted or segment > max(slotted):
        return Position(offset=index - pair.length)
    near = segment if segment in slotted else max((at for at in slotted if at < segment), default=min(slotted))
    tokens = [place for place, at in enumerate(pair.segments) if at == near]
    offset = 0 if near == segment else index - (tokens[-1] if near < segment else tokens[0])
    alike = [at for at in range(len(pair.slots)) if pair.slots[at] == slotted[near]]
    occurrence = alike.index(near) + 1 if len(alike) > 1 else 0
    return Position(slot=slotted[near], occurrence=occurrence, offset=offset)


@dataclass(frozen=True)
class Rejected:
    """Why a pair cannot be used, in words that others share, and what of this one."""

    reason: str
    example: str


@dataclass
class Rejections:
    """Pairs that could not be used, by reason, with an example of each."""

    counts: Counter[str] = field(default_factory=Counter)
    examples: dict[str, str] = field(default_factory=dict)

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
            f"{count} {reason}, e.g. {self.examples[reason]}" for reason, count in self.counts.most_common()
        )


class Aligner:
    """Aligns pairs with one tokenizer; ``bos`` is put in front of text that does not begin with it (never of token ids), None
    for no BOS.

    ``read_at``: a position behind whose last token the prompts are cut, and which the answer then follows; ``context``: the
    tokens that the model is made for, None where it takes any number; ``chats``: what the model's chat template writes.
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

    def reading_at(self, position: Position) -> "Aligner":
        """The same for prompts that are cut behind a position."""
        return Aligner(self.tokenizer, self.reader.bos, self.vocabulary, position, self.context, self.chats)

    def align(self, pairs: Iterable[Pair]) -> list[AlignedPair | Rejected]:
        """What becomes of each pair, in order: as tokens, or why it cannot be used."""
        given = [self.chats.rendered(pair) for pair in pairs]
        outcomes: list[AlignedPair | Rejected] = []
        for start in range(0, len(given), _CHUNK):
            chunk = given[start : start + _CHUNK]
            texts = list(
                dict.fromkeys(side.text for pair in chunk for side in (pair.clean, pair.corrupt) if side.ids is None)
            )
            encoded = dict(zip(texts, self.reader.read(texts), strict=True))
            unread = [self._unread(pair, encoded) for pair in chunk]
            read = [pair for pair, why in zip(chunk, unread, strict=True) if why is None]
            endings = [self._endings(pair, encoded) for pair in read]
            self.continuations.learn(zip(read, endings, strict=True))
            aligned = iter([self._align(pair, ends, encoded) for pair, ends in zip(read, endings, strict=True)])
            outcomes += [next(aligned) if why is None else why for why in unread]
        return outcomes

    def _unread(self, pair: Pair, encoded: dict[str, Encoded]) -> Rejected | None:
        """What the tokenizer does not read of the prompts as they are written."""
        for side in (pair.clean, pair.corrupt):
            for unread in encoded[side.text].unread[:1] if side.ids is None else ():
                return Rejected(f"pair(s) with text that {unread.why}", unread.inside(side.text))
        return None

    def _align(self, pair: Pair, endings: Sequence[Ending], encoded: dict[str, Encoded]) -> AlignedPair | Rejected:
        clean, clean_owners = self._tokens(pair.clean, encoded)
        corrupt, corrupt_owners = self._tokens(pair.corrupt, encoded)
        example = pair.shown
        if clean == corrupt and pair.is_contrast:
            alike = "do not differ" if pair.clean.text == pair.corrupt.text else "differ as text, but not as tokens"
            return Rejected(f"pair(s) whose prompts {alike}", example)
        if clean_owners != corrupt_owners:
            where = self._where(pair, clean_owners, corrupt_owners)
            return Rejected(f"pair(s) that differ in token count{where}", example)
        clean, corrupt, owners = (whole[: endings[0].length] for whole in (clean, corrupt, clean_owners))
        if clean == corrupt and pair.is_contrast:
            return Rejected(f"pair(s) whose prompts do not differ up to @{self.read_at}", example)
        if self.context is not None and len(clean) > self.context:
            long = f"{len(clean)} tokens: {shorten(pair.clean.text, 80, placeholder=' ...')!r}"
            return Rejected(f"pair(s) longer than the {self.context} tokens that the model is made for", long)
        try:
            answer, foil = self.continuations.of(pair, endings)
        except Unusable as why:
            return Rejected(*why.args)
        return AlignedPair(pair, clean, corrupt, answer, foil, owners, pair.clean.slots, read_at=self.read_at)

    def _endings(self, pair: Pair, encoded: dict[str, Encoded]) -> list[Ending]:
        """Where each of the two prompts is read."""
        length = None if self.read_at is None else self._cut(pair, encoded)
        return [self._ending(prompt, length, encoded) for prompt in (pair.clean, pair.corrupt)]

    def _cut(self, pair: Pair, encoded: dict[str, Encoded]) -> int:
        """How many tokens there are of a clean prompt up to where it is read."""
        if self.read_at is None:
            raise AssertionError("it is read where it ends")
        tokens, owners = self._tokens(pair.clean, encoded)
        whole = AlignedPair(pair, tokens, tokens, (), (), owners, pair.clean.slots)
        length = whole.positions(self.read_at)[-1] + 1
        if owners[length - 1 : length + 1] == (owners[length - 1],) * 2 and whole.slots[owners[length - 1]]:
            slot = whole.slots[owners[length - 1]]
            raise PromptError(
                f"@{self.read_at} stands inside the filler of {{{slot}}} in {whole.pair.clean.text!r}, and a slot is not cut: "
                f"read at @{{{slot}}}, its last token"
            )
        return length

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

    def _where(self, pair: Pair, clean: Sequence[int], corrupt: Sequence[int]) -> str:
        counts = Counter(clean), Counter(corrupt)
        for number, segment in enumerate(pair.clean.segments if pair.slots else ()):
            if counts[0][number] != counts[1][number]:
                return f" in {{{segment.slot}}}" if segment.slot else f" in {segment.text.strip()!r}"
        return ""


def _owner(text: str, ends: Sequence[int], start: int, end: int) -> int:
    """The segment of the first visible character of text[start:end]; a space on its own goes with what follows it."""
    while start < end - 1 and text[start].isspace():
        start += 1
    while start < len(text) - 1 and text[start] == " ":
        start += 1
    return min(bisect_right(ends, start), len(ends) - 1)
