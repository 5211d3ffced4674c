"""A pair as tokens: which token of a prompt has which role, where positions lie, and what corresponds in both prompts.

Where each segment has as many tokens in both prompts they correspond token by token. Otherwise what corresponds is their last
token, a slot's first and last one, and what is reached from these through tokens that do.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from circuitcheck.addresses.sites import EVERYWHERE, Position
from circuitcheck.errors import PromptError
from circuitcheck.prompts.continuations import Members
from circuitcheck.prompts.pairs import Pair, Prompt, Side, listed, sides
from circuitcheck.prompts.tokens import Tokens
from circuitcheck.texts import digest, hashed, plural

# The segment of an answer's own tokens, where they are run after a prompt.
_ANSWER = -2


@dataclass(frozen=True)
class AlignedPair:
    """A pair as token ids. ``answer`` and ``foil`` are sets, each member a token, or its tokens where it has several.
    ``segments[i]``: the segment of the prompt that token i belongs to (-1 for BOS); ``corrupt_segments``: those of the corrupted
    prompt, None where they are the clean one's. ``repeat`` counts how often the same pair was drawn before; ``read_at``: the position
    behind which the prompts were cut; ``forced``: how many tokens of an answer are run after both prompts (see
    ``sampling.forced``)."""

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
    corrupt_segments: tuple[int, ...] | None = None

    @property
    def is_aligned(self) -> bool:
        """Whether its prompts correspond token by token."""
        return self.corrupt_segments is None

    @property
    def length(self) -> int:
        """The tokens of the longer prompt."""
        return max(len(self.clean), len(self.corrupt))

    @cached_property
    def fork(self) -> int:
        """The first token in which the prompts differ, until which both runs are one; the shorter one's last, where the longer one begins
        with it."""
        both = zip(self.clean, self.corrupt, strict=False)
        return next((i for i, (a, b) in enumerate(both) if a != b), min(len(self.clean), len(self.corrupt)) - 1)

    def marked(self, side: Side, texts_of: Callable[[Iterable[int]], list[str]]) -> str:
        """A side's prompt as tokens, those of slots in brackets."""
        both = zip(texts_of(self.tokens(side)), self.segments_of(side), strict=True)
        return "·".join(f"[{text}]" if 0 <= at < len(self.slots) and self.slots[at] else text for text, at in both)

    @property
    def previews(self) -> dict[str, str]:
        """Small pictures of what it is, by what they show, as sources of images; none of text."""
        return {}

    def name_at(self, position: Position, texts_of: Callable[[Iterable[int]], list[str]]) -> str:
        """The first token at a position of the clean prompt, as text; empty where that says nothing."""
        return texts_of((self.clean[self.positions(position)[0]],))[0].strip()

    def end(self, side: str) -> int:
        """The place of the token whose prediction is read."""
        return len(self.tokens(side)) - 1

    @property
    def looks_back(self) -> bool:
        """Whether each token attends to none after it."""
        return True

    def tokens(self, side: str) -> tuple[int, ...]:
        return self.clean if side == "clean" else self.corrupt

    def prompt_tokens(self, side: str) -> tuple[int, ...]:
        """Without those of an answer that are run after the prompts."""
        tokens = self.tokens(side)
        return tokens[: len(tokens) - self.forced]

    @cached_property
    def has_several(self) -> bool:
        """Whether an answer or a foil has several tokens, which are yet to be run."""
        return not self.forced and any(isinstance(member, tuple) for member in (*self.answer, *self.foil))

    def followed_by(self, tokens: Tokens) -> "AlignedPair":
        """The pair with tokens of an answer after both prompts."""
        own = (_ANSWER,) * len(tokens)
        return replace(
            self,
            clean=self.clean + tokens,
            corrupt=self.corrupt + tokens,
            segments=self.segments + own,
            forced=self.forced + len(tokens),
            corrupt_segments=None if self.corrupt_segments is None else self.corrupt_segments + own,
        )

    def segments_of(self, side: str) -> tuple[int, ...]:
        """The segment of each token of a side's prompt."""
        return self.segments if side == "clean" or self.corrupt_segments is None else self.corrupt_segments

    def pattern(self, side: str) -> tuple[int, tuple[int, ...], tuple[str, ...]]:
        """What decides where positions and roles are in a side's prompt: those of one pattern have the same."""
        return self.pair.template, self.segments_of(side), self.slots

    def prompt(self, side: str) -> Prompt:
        return self.pair.clean if side == "clean" else self.pair.corrupt

    def as_row(self) -> dict[str, Any]:
        """The row that ``PromptPairs.from_rows`` makes this pair of: a cut one's, or of answers that may merge, are token ids."""
        if self.read_at is None and not self.pair.as_tokens:
            return self.pair.as_row()
        sides = {"clean": list(self.clean), "corrupt": list(self.corrupt)}
        return sides | {"answer": listed(self.answer), "foil": listed(self.foil)}

    @cached_property
    def roles(self) -> tuple[tuple[int, int], ...]:
        """Of each token of the clean prompt its segment, and how many of that segment's come after it; of an answer's, before it."""
        return self._roles(self.segments)

    def roles_of(self, side: str, from_first: bool = False) -> tuple[tuple[int, int], ...]:
        """The same of a side's prompt; ``from_first``: how many of its segment's come before it."""
        segments = self.segments_of(side)
        return self.roles if segments is self.segments and not from_first else self._roles(segments, from_first)

    def _roles(self, segments: Sequence[int], from_first: bool = False) -> tuple[tuple[int, int], ...]:
        prompt = segments[: len(segments) - self.forced]
        answer = tuple((_ANSWER, index) for index in range(self.forced))
        return (*(_counted(prompt[::-1])[::-1] if from_first else _counted(prompt)), *answer)

    @cached_property
    def identity(self) -> str:
        """12 hex digits of the tokens of both prompts and their answers."""
        content = repr((self.clean, self.corrupt, self.answer, self.foil, self.repeat))
        return digest(content)

    @cached_property
    def key(self) -> bytes:
        """16 bytes of all that a number of this pair can depend on."""
        tokens = self.clean, self.corrupt, self.answer, self.foil
        apart = "" if self.is_aligned else f", {self.corrupt_segments!r}"
        return hashed(f"({tokens!r}, {self.segments!r}, {self.slots!r}, {self.pair.content}, {self.repeat!r}{apart})")

    def positions(self, position: Position, side: Side = "clean") -> list[int]:
        """The tokens that a ``Position`` names in a side's prompt; raises ``PromptError`` where there are none."""
        whole, length = len(self.tokens(side)), len(self.prompt_tokens(side))
        if position.outside:
            inside = self.positions(replace(position, outside=False), side)
            return [place for place in range(whole) if place not in inside]
        if position.everywhere or position.answer:
            return list(range(length if position.answer else 0, whole))
        if position.patch:
            raise PromptError(f"@{position} is a position in pictures, and {self.prompt(side).text!r} is text")
        if not position.slot:
            return self._by_number(position, side)
        segment, segments = self._segment(position), self.segments_of(side)
        tokens = [index for index, owner in enumerate(segments) if owner == segment]
        if self.read_at is not None and segment > segments[length - 1]:
            raise PromptError(self._behind(position, side))
        if not tokens:
            raise PromptError(f"@{position}: the slot has no token of its own in {self.prompt(side).text!r}")
        if position.offset == 0 and not position.anchor:
            return tokens
        return self._within([tokens[0 if _is_from_first(position) else -1] + position.offset], position, side)

    def until(self, position: Position) -> "AlignedPair":
        """The pair with both prompts cut behind the last token that a position names in each; raises ``PromptError`` where that is
        inside a slot's filler."""
        ends = [self.positions(position, side)[-1] + 1 for side in sides("both")]
        for side, end in zip(sides("both"), ends, strict=True):
            before, after = (self.segments_of(side)[at : at + 1] for at in (end - 1, end))
            if before == after and self.slots[before[0]]:
                slot = self.slots[before[0]]
                raise PromptError(
                    f"@{position} stands inside the filler of {{{slot}}} in {self.prompt(side).text!r}, and a slot is not cut: read "
                    f"at @{{{slot}}}, its last token"
                )
        segments = [self.segments_of(side)[:end] for side, end in zip(sides("both"), ends, strict=True)]
        return replace(
            self,
            clean=self.clean[: ends[0]],
            corrupt=self.corrupt[: ends[1]],
            segments=segments[0],
            corrupt_segments=None if segments[0] == segments[1] else segments[1],
            read_at=position,
        )

    def counterparts(self, position: Position) -> tuple[list[int], list[int]]:
        """The tokens that a position names in the clean and in the corrupted prompt, each next to what corresponds to it; raises
        ``PromptError`` where one has no counterpart."""
        if why := self.apart(position):
            named = "all positions" if position.everywhere else f"@{position}"
            raise PromptError(
                f"{named} in one run have no counterpart in the other, of pairs {why}: {self.told_apart(position)}"
            )
        return self.positions(position, "clean"), self.positions(position, "corrupt")

    def apart(self, position: Position) -> str:
        """Why a position names what has no counterpart in the other prompt, in words that other pairs share; empty where it has."""
        if self.is_aligned:
            return ""
        why = f"whose prompts differ in token count{self._uneven(position)}"
        if position.everywhere or position.outside:
            return why
        found, errors = list[list[int]](), list[PromptError]()
        for side in sides("both"):
            try:
                found.append(self.positions(position, side))
            except PromptError as error:
                errors.append(error)
        if len(errors) == len(sides("both")):
            raise errors[0]
        return why if errors or not self._correspond(position, *found) else ""

    def told_apart(self, position: Position) -> str:
        """The prompts, with the token counts for which a position has no counterpart and with positions that have one."""
        counts = [plural(len(self.tokens(side)), "token") for side in sides("both")]
        have = ["@end"]
        if uneven := self._uneven_segments:
            segment = next((one for one in uneven if self.slots[one]), uneven[0])
            there = [self.segments_of(side).count(segment) for side in sides("both")]
            texts = [repr(self.prompt(side).segments[segment].text) for side in sides("both")]
            counts = [f"{text} is {plural(count, 'token')}" for text, count in zip(texts, there, strict=True)]
            if self.slots[segment] and all(there):
                have += [f"@{replace(self.slot_at(segment), anchor=anchor)}" for anchor in ("first", "last")]
        named = " and ".join([", ".join(have[:-1]), have[-1]] if have[1:] else have)
        every = ": not all positions (@*) have a counterpart" if position.everywhere else ""
        said = f"{', '.join(counts)}{every}; {named} {'have' if have[1:] else 'has'} one"
        return f"{self.pair.clean.text!r} / {self.pair.corrupt.text!r} ({said})"

    @cached_property
    def _uneven_segments(self) -> list[int]:
        """The segments of the prompts that have another number of tokens in each; none of rows, which are one."""
        segments = range(len(self.slots)) if any(self.slots) else ()
        return [one for one in segments if len({self.segments_of(side).count(one) for side in sides("both")}) > 1]

    def _uneven(self, position: Position) -> str:
        """Where the token counts differ, in words: in the slot that a position names, where they do there."""
        uneven = sorted(self._uneven_segments, key=lambda one: not position.slot or self.slots[one] != position.slot)
        segments = (self.pair.clean.segments[one] for one in uneven)
        named = (f" in {{{one.slot}}}" if one.slot else f" in {one.text.strip()!r}" for one in segments)
        return next(named, "")

    def _correspond(self, position: Position, clean: list[int], corrupt: list[int]) -> bool:
        """Whether what a position names in the prompts corresponds."""
        if position.slot and not position.offset:
            return len(clean) == len(corrupt)
        if position.answer or (not position.slot and position.offset == -1):
            return True
        if not position.slot and position.offset >= 0:
            return all(self._alike(place, place, None) for place in range(position.offset + position.occurrence + 1))
        own = self._segment(position) if position.slot else None
        begin = [places[0] - position.offset for places in (clean, corrupt)]
        steps = range(1, position.offset + 1) if position.offset > 0 else range(position.offset, 0)
        return all(self._alike(begin[0] + step, begin[1] + step, own) for step in steps)

    def _alike(self, clean: int, corrupt: int, own: int | None) -> bool:
        """Whether tokens that are as far from ones that correspond do so themselves. ``own``: a segment in which that suffices."""
        segment = self.segments[clean]
        if segment != self.segments_of("corrupt")[corrupt]:
            return False
        even = self.segments.count(segment) == self.segments_of("corrupt").count(segment)
        return segment == own or even or self.clean[clean] == self.corrupt[corrupt]

    def _segment(self, position: Position) -> int:
        """The segment that a position in a slot is counted from."""
        occurrences = [segment for segment, slot in enumerate(self.slots) if slot == position.slot]
        if not occurrences:
            have = ", ".join(f"@{{{slot}}}" for slot in dict.fromkeys(self.slots) if slot) or "none"
            raise PromptError(f"@{position}: the prompts have no slot {position.slot!r} (slots: {have})")
        if len(occurrences) > 1 and not position.occurrence:
            choices = " or ".join(f"@{{{position.slot}}}[{n}]" for n in range(1, len(occurrences) + 1))
            raise PromptError(f"@{position} is ambiguous: the slot occurs {len(occurrences)} times; write {choices}")
        if position.occurrence > len(occurrences):
            raise PromptError(f"@{position}: the slot occurs only {plural(len(occurrences), 'time')}")
        return occurrences[max(position.occurrence, 1) - 1]

    def slot_at(self, segment: int) -> Position:
        """The position of a slot's own tokens."""
        alike = [at for at in range(len(self.slots)) if self.slots[at] == self.slots[segment]]
        return Position(slot=self.slots[segment], occurrence=alike.index(segment) + 1 if len(alike) > 1 else 0)

    def position_at(self, index: int, segment: int) -> Position:
        """A token's position as seen from the end, its slot, or the slot that is next to it."""
        slotted = {at: self.slots[at] for at in self.segments if 0 <= at < len(self.slots) and self.slots[at]}
        if not slotted or segment > max(slotted):
            return Position(offset=index - self.length)
        near = segment if segment in slotted else max((at for at in slotted if at < segment), default=min(slotted))
        tokens = [place for place, at in enumerate(self.segments) if at == near]
        offset = 0 if near == segment else index - (tokens[-1] if near < segment else tokens[0])
        return replace(self.slot_at(near), offset=offset)

    def _by_number(self, position: Position, side: Side) -> list[int]:
        """Tokens counted from the end, or from the front."""
        if position.offset < 0:
            return self._within([len(self.prompt_tokens(side)) + position.offset], position, side)
        if self.prompt(side).ids is None:
            raise PromptError(
                f"@{position} counts tokens from the front, as in rows of token ids: how many of a text's tokens stand before a "
                f"place differs between tokenizers ({self.prompt(side).text!r}); name a slot, or count from the end, @-1"
            )
        return self._within(list(range(position.offset, position.offset + position.occurrence + 1)), position, side)

    def _within(self, places: list[int], position: Position, side: Side) -> list[int]:
        length = len(self.prompt_tokens(side))
        if self.read_at is not None and max(places) >= length:
            raise PromptError(self._behind(position, side))
        if not all(0 <= place < length for place in places):
            raise PromptError(f"@{position} lies outside {self.prompt(side).text!r} ({plural(length, 'token')})")
        return places

    def _behind(self, position: Position, side: Side) -> str:
        return f"@{position} stands behind @{self.read_at}, where {self.prompt(side).text!r} is read: nothing there can matter"


def _counted(segments: Sequence[int]) -> tuple[tuple[int, int], ...]:
    ends = {segment: index for index, segment in enumerate(segments)}
    return tuple((segment, ends[segment] - index) for index, segment in enumerate(segments))


def last_of(position: Position) -> Position:
    """The last of the tokens that a position names."""
    is_several = bool(position.slot) and not position.offset and not position.anchor
    return replace(position, anchor="last") if is_several else position


def _is_from_first(position: Position) -> bool:
    """Whether a position in a slot is counted from the slot's first token."""
    return position.anchor == "first" or (not position.anchor and position.offset < 0)


def token_positions(pairs: Sequence[AlignedPair]) -> list[Position]:
    """Every token of the prompts, in order, as positions that mean the same token role in every pair.

    A slot's tokens are one position, and so are those of answers of several tokens. Raises ``PromptError`` where the pairs have no common
    roles.
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
        found.setdefault(first.position_at(index, segment))
    return [*found, Position(answer=True)] if any(pair.has_several for pair in pairs) else list(found)


def common_positions(pairs: Sequence[AlignedPair]) -> list[Position]:
    """Positions that mean a token role in every pair, whatever templates and lengths there are, in order. Where these leave out tokens
    of some pairs, the last one is every position.
    """
    alike: dict[object, list[AlignedPair]] = {}
    for pair in pairs:
        counts = tuple(Counter(pair.segments).get(n, 0) for n, slot in enumerate(pair.slots) if not slot)
        alike.setdefault((pair.pair.template, pair.slots, any(pair.slots) or pair.length, counts), []).append(pair)
    named = [token_positions(some) for some in alike.values()]
    common = [position for position in named[0] if all(position in others for others in named)]
    return common if all(len(others) == len(common) for others in named) else [*common, EVERYWHERE]
