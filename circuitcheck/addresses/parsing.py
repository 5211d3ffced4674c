"""The address notation: one parser, one error type.

    >>> gpt2 = Anatomy("GPT-2", 12 * (Layer(n_heads=12, d_mlp=3072),))
    >>> [str(site) for site in parse("L9.H[6,9]@end | L0-1.MLP", gpt2)]
    ['L9.H6@end', 'L9.H9@end', 'L0.MLP', 'L1.MLP']

An address names components (``L31.N892``, ``L9.H6``, a head's parts ``L9.H6.Q`` ``.K`` ``.V`` ``.PATTERN``, ``L9.KV3.K``
where heads share keys, features of an attached dictionary ``L5.RESID_POST.F431`` and what it does not explain ``L5.RESID_POST.ERROR``,
``L5.MLP``, ``L5.ATTN``, ``L5.RESID_PRE``, ``EMBED``) and, after ``@``, token positions (``@end``,
``@-2``, ``@*``, ``@{slot}``, ``@{slot}[2]``, ``@{slot}[2]+1``, ``@{slot}.first``, ``@{slot}[2].last-1``, ``@answer``; in rows of
token ids ``@5`` and ``@0-3``; in pictures ``@cls`` and ``@patch{3,4}``, row and column; all of them where nothing is said). Numbers may be sets:
``L0-5``, ``H[6,9]``, ``N*``; ``L*`` are the layers that have what follows. ``A -> B.Q`` is a path from what A writes to what B reads, ``A -> LOGITS`` the one to the end.
``A | B`` joins addresses.
"""

import difflib
import re
from collections.abc import Iterator
from dataclasses import replace
from typing import NoReturn

from circuitcheck.addresses.anatomy import Anatomy
from circuitcheck.addresses.kinds import KINDS, LOGITS, lacking, layers_with, numbered, parts_of
from circuitcheck.addresses.other_notations import ours
from circuitcheck.addresses.sites import EVERYWHERE, Position, Site, read, written
from circuitcheck.errors import AddressError, MethodError


def parse(address: str, anatomy: Anatomy) -> tuple[Site, ...]:
    """The sites that ``address`` names in a model of that anatomy, in order and without repeats.

    Raises ``AddressError`` with the address, a caret and the nearest valid ones.
    """
    if not isinstance(address, str) or not address.strip():
        raise AddressError(f"an address is text such as 'L5.H1' or 'L0-2.MLP@end', not {address!r}")
    reader = _Reader(address, anatomy)
    return tuple(dict.fromkeys(reader.union()))


def parse_position(written: str, anatomy: Anatomy) -> Position:
    """A position by itself, with its @ or without; raises ``AddressError`` for what is none."""
    if not isinstance(written, str):
        raise AddressError(f"a position is text such as '@end' or '@{{slot}}', not {written!r}")
    reader = _Reader(written, anatomy)
    reader.take("@")
    found = reader.position()
    if reader.at != len(written):
        reader.fail_here()
    return found


class _Reader:
    """A recursive-descent reader; ``at`` is the next unread character."""

    def __init__(self, text: str, anatomy: Anatomy):
        self.text, self.anatomy, self.at, self.begin = text, anatomy, 0, 0

    def union(self) -> Iterator[Site]:
        while True:
            yield from self.term()
            self.spaces()
            if self.at == len(self.text):
                return
            if not self.take("|"):
                self.fail_here()
            self.spaces()

    def term(self) -> list[Site]:
        paths: list[tuple[Site, ...]] = [(site,) for site in self.node()]
        while self.next_is("->"):
            arrow = self.at
            self.take("->")
            paths = [(*path, site) for site in self.node() for path in paths]
            for path in paths:
                self.check_edge(path, arrow)
        for path in paths:
            if path[0].kind == LOGITS:
                self.fail("LOGITS is where a path ends, as in 'L9.H9 -> LOGITS'", self.begin)
        return [replace(path[-1], via=path[:-1]) for path in paths]

    def next_is(self, literal: str) -> bool:
        self.spaces()
        return self.text.startswith(literal, self.at)

    def check_edge(self, path: tuple[Site, ...], arrow: int) -> None:
        """See that the last part of a path reads what the part before it writes."""
        sender, receiver = path[-2:]
        # A path runs along the stream after each layer.
        if unseen := [
            n for n in range(max(sender.layer, 0), receiver.layer + 1) if lacking("RESID_POST", self.anatomy.layers[n])
        ]:
            self.fail(self.why_lacking("RESID_POST", unseen[0]), arrow)
        if len(path) == 2 and not sender.traits.writes:
            self.fail(
                f"a path begins at what writes into the stream: a head, a neuron or a sublayer, not {sender}", arrow
            )
        if sender.kind == LOGITS:
            self.fail("a path ends at LOGITS", arrow)
        if not receiver.traits.reads:
            self.fail(
                f"a path ends at what reads the stream: a head (or its Q, K, V), an MLP or LOGITS, not {receiver}",
                arrow,
            )
        if written(sender) < read(receiver, self.anatomy.n_layers):
            side_by_side = sender.layer == receiver.layer and self.anatomy.layers[sender.layer].parallel
            if receiver.kind == LOGITS or not side_by_side:
                return
            reason = f"in {self.anatomy.name} attention and MLP of a layer run side by side: neither reads the other"
            self.fail(reason, arrow)
        self.fail(f"{receiver} reads the stream before {sender} writes into it", arrow)

    def node(self) -> list[Site]:
        self.spaces()
        self.begin = self.at
        if self.take("EMBED"):
            places = [(-1, "EMBED", -1)]
        elif self.take(LOGITS):
            return [Site(self.anatomy.n_layers - 1, LOGITS)]
        else:
            if not self.take("L"):
                self.fail_as_ours("an address begins with a layer ('L5') or EMBED", self.at)
            every, start = self.text.startswith("*", self.at), self.at
            layers = self.spelt_out(self.numbers("L"), self.anatomy.n_layers)
            if layers is None:
                self.fail(f"{self.anatomy.name} has layers 0-{self.anatomy.n_layers - 1}", start)
            if not self.take("."):
                self.fail_as_ours("a layer is followed by a dot and a component", self.at)
            places = self.components(layers, every)
        self.spaces()
        position = self.position() if self.take("@") else EVERYWHERE
        return [self.site(layer, kind, index, position) for layer, kind, index in places]

    def site(self, layer: int, kind: str, index: int, position: Position) -> Site:
        if not (host := KINDS[kind].host):
            return Site(layer, kind, index, position)
        there = self.anatomy.layers[layer].dictionaries[host]
        return Site(layer, kind, index, position, dictionary=f"{there.name} ({there.digest})")

    def components(self, layers: list[int], every: bool) -> list[tuple[int, str, int]]:
        """The layer, kind and number of each component; where ``every`` layer is meant, of those that have it."""
        start = self.at
        if self.at == len(self.text):
            self.fail("a layer is followed by a dot and a component", start, self.suggestions())
        word = re.compile(r"[A-Za-z_]*").match(self.text, self.at)
        name = word.group() if word else ""
        self.at += len(name)
        kind = "KV.K" if name == "KV" else name
        if kind not in KINDS or not KINDS[kind].in_block:
            written = name or self.text[start:]
            return self.fail_as_ours(f"{self.anatomy.name} has no component {written!r}", start)
        if (features := self.match(r"\.(?:F(?=[\d*\[])|ERROR\b)")) and f"{kind}.F" in KINDS:
            kind += features[0]
        elif features:
            self.fail(f"dictionaries are of streams and sublayers' outputs, not of {kind}", start)
        layers = self.having(kind, layers, every, start)
        if not KINDS[kind].numbered:
            return [(layer, kind, -1) for layer in layers]
        numbers = self.indices(kind, layers, every)
        if name in ("H", "KV"):
            at, head = self.at, next((found[0] for found in numbers.values() if found), 0)
            kind = f"{name}{self.part(name)}"
            numbers = {layer: numbers[layer] for layer in self.having(kind, list(numbers), every, at, head)}
        return [(layer, kind, index) for layer, found in numbers.items() for index in found]

    def having(self, kind: str, layers: list[int], every: bool, at: int, head: int = 0) -> list[int]:
        """Those of the layers that have a kind of site: all of them, unless ``every`` layer is meant."""
        there = [layer for layer in layers if not lacking(kind, self.anatomy.layers[layer])]
        if there == layers or (every and there):
            return there
        without = next(layer for layer in layers if layer not in there)
        reason, layer = self.why_lacking(kind, without), self.anatomy.layers[without]
        shared = f"KV.{kind.partition('.')[2]}"
        if kind.startswith("H.") and shared in KINDS and not lacking(shared, layer):
            group = next(group for group in range(layer.count("KV")) if head in layer.heads_of(group))
            reason += f": those of head {head} are KV{group}.{shared.partition('.')[2]}"
        return self.fail(reason, at, [] if KINDS[kind].numbered else self.suggestions())

    def why_lacking(self, kind: str, layer: int) -> str:
        """Why a layer has none of a kind of site, and which layers have."""
        anatomy, there = self.anatomy, layers_with(kind, self.anatomy)
        reason = lacking(kind, anatomy.layers[layer])
        if all(lacking(kind, other) == reason for other in anatomy.layers):
            return f"{anatomy.name} {reason}"
        who = f"; {_spans(there)} {'has' if len(there) == 1 else 'have'}" if there else ""
        return f"L{layer} of {anatomy.name} {reason}{who}"

    def part(self, name: str) -> str:
        """The part of heads, or of groups of heads, that follows, with its dot; empty where heads themselves are meant."""
        start = self.at
        found = self.match(r"\.([A-Za-z_]+)")
        if name == "KV" and (not found or found[1] not in parts_of("KV")):
            self.fail("a group of heads has a K and a V, as in KV0.K", start)
        if not found:
            return ""
        if found[1] not in parts_of("H"):
            self.fail(f"a head's parts are {', '.join(parts_of('H'))}", start)
        return found[0]

    def indices(self, kind: str, layers: list[int], every: bool) -> dict[int, list[int]]:
        """The numbers that follow, in each layer; where ``every`` layer is meant, in those that have so many."""
        start, letter = self.at, "F" if KINDS[kind].host else kind.partition(".")[0]
        spans = self.numbers(letter)
        counts = {layer: self.anatomy.layers[layer].count(kind) for layer in layers}
        found = {layer: self.spelt_out(spans, count) for layer, count in counts.items()}
        there = {layer: numbers for layer, numbers in found.items() if numbers is not None}
        if len(there) < len(found) and not (every and there):
            layer = next(layer for layer in layers if layer not in there)
            several = {one.count(kind) for one in self.anatomy.layers if one.count(kind)}
            who = self.anatomy.name if len(several) == 1 else f"L{layer} of {self.anatomy.name}"
            where = "" if len(several) > 1 else f" in {self.each_with(kind)}"
            self.fail(f"{who} has {numbered(letter)[1]} 0-{counts[layer] - 1}{where}", start)
        return there

    def each_with(self, kind: str) -> str:
        there = layers_with(kind, self.anatomy)
        return "each layer" if len(there) == self.anatomy.n_layers else _spans(there)

    def numbers(self, letter: str) -> list[tuple[int, int]] | None:
        """Ranges of numbers, with both ends; None for all there are."""
        start = self.at
        if self.take("*"):
            return None
        if self.take("["):
            found = re.compile(r"\s*(\d+(?:\s*-\s*\d+)?(?:\s*,\s*\d+(?:\s*-\s*\d+)?)*)\s*\]").match(self.text, self.at)
        else:
            found = re.compile(r"(\d+(?:-\d+)?)").match(self.text, self.at)
        if not found:
            return self.fail(f"{letter} is followed by a number, a range ('0-5'), a set ('[6,9]') or '*'", start)
        self.at = found.end()
        ranges = []
        for item in found.group(1).split(","):
            low, _, high = item.replace(" ", "").partition("-")
            ranges.append((_whole(low), _whole(high or low)))
            if ranges[-1][1] < ranges[-1][0]:
                self.fail(f"the range {item.strip()} runs backwards", start)
        return ranges

    def spelt_out(self, ranges: list[tuple[int, int]] | None, count: int) -> list[int] | None:
        """The numbers in ranges, each once; None where there are not so many."""
        if ranges is None:
            return list(range(count))
        if any(last >= count for _, last in ranges):
            return None
        return sorted({number for first, last in ranges for number in range(first, last + 1)})

    def position(self) -> Position:
        start = self.at
        if self.take("*"):
            return EVERYWHERE
        if self.take("end"):
            return Position(offset=-1)
        if self.take("answer"):
            return Position(answer=True)
        if found := self.match(r"cls\b|patch\{\d+,\d+\}"):
            return Position(patch=found[0])
        if found := self.match(r"-(\d+)"):
            if _whole(found[1]) == 0:
                self.fail("positions from the end begin at @-1, which is @end", start)
            return Position(offset=-_whole(found[1]))
        if found := self.match(r"(\d+)(?:-(\d+))?"):
            first, last = _whole(found[1]), _whole(found[2] or found[1])
            if last < first:
                self.fail(f"the range {found[0]} runs backwards", start)
            return Position(offset=first, occurrence=last - first)
        if (in_slot := self.in_slot(start)) is not None:
            return in_slot
        return self.fail(
            "a position is one of end, -2, *, {slot}, {slot}[2], {slot}[2]+1, {slot}.first, {slot}.last, answer; in rows of token "
            "ids 5 or 0-3; in pictures cls or patch{3,4}",
            start,
        )

    def in_slot(self, start: int) -> Position | None:
        """A slot's tokens, one of them, or one next to them; None where none is named."""
        found = self.match(r"\{(\w+)\}(?:\[(\d+)\])?")
        if not found:
            return None
        occurrence = _whole(found[2] or "0")
        if found[2] and not occurrence:
            self.fail("a slot's occurrences are counted from 1", start)
        anchor = self.match(r"\.(first|last)\b")
        if not anchor and self.next_is("."):
            self.fail("a slot's tokens are {slot}.first and {slot}.last", self.at)
        offset = self.match(r"[+-]\d+")
        return Position(
            slot=found[1],
            occurrence=occurrence,
            offset=_offset(offset[0]) if offset else 0,
            anchor=anchor[1] if anchor else "",
        )

    def spaces(self) -> None:
        while self.at < len(self.text) and self.text[self.at].isspace():
            self.at += 1

    def take(self, literal: str) -> bool:
        if not self.text.startswith(literal, self.at):
            return False
        self.at += len(literal)
        return True

    def match(self, pattern: str) -> re.Match[str] | None:
        found = re.compile(pattern).match(self.text, self.at)
        if found:
            self.at = found.end()
        return found

    def fail_here(self) -> NoReturn:
        if self.text.startswith(".", self.at):
            self.fail(
                "only heads have parts (L0.H0.Q), and dictionaries features and an error (L0.RESID_POST.F0, .ERROR)",
                self.at,
            )
        expected = "'@' and a position, '->' and where a path goes on, or '|' and another address"
        self.fail(f"nothing more is expected here, except {expected}", self.at)

    def fail_as_ours(self, reason: str, at: int) -> NoReturn:
        """Fail with the address that another tool's name is here, and where the model lacks that, too, with what it has."""
        name, *end = re.split(r"(?=\s*(?:@|\||->))", self.text[self.begin :], maxsplit=1)
        address, name = ours(name), name.strip()
        if not address:
            self.fail(reason, at, self.suggestions())
        position = re.match(r"\s*(@[^\s|]*)", "".join(end))
        address += position[1] if position else ""
        # Where heads share keys and values, TransformerLens counts those that there are: the groups'.
        known = (address, re.sub(r"\.H(\d+|\*)(\.[KV]\b)", r".KV\1\2", address))
        problems = []
        for here in known:
            try:
                list(_Reader(here, self.anatomy).union())
            except AddressError as error:
                problems.append(str(error).splitlines()[0])
            else:
                self.fail(f"{name} is written {here} here", at, [here])
        self.fail(f"{name} is written {address} here, and {problems[0]}", at)

    def suggestions(self) -> list[str]:
        """The valid addresses nearest to what was written."""
        written = re.split(r"[|@]", self.text[self.begin :])[0].strip()
        layer = re.search(r"\d+", written)
        number = min(_whole(layer.group()), self.anatomy.n_layers - 1) if layer else 0
        there = [
            name
            for name, kind in KINDS.items()
            if kind.in_block and "." not in name and not lacking(name, self.anatomy.layers[number])
        ]
        valid = [f"L{number}.{name}{'0' if KINDS[name].numbered else ''}" for name in there] + ["EMBED"]
        return difflib.get_close_matches(written.upper(), valid, n=3, cutoff=0.3) or valid[:3]

    def fail(self, reason: str, at: int, nearest: list[str] | None = None) -> NoReturn:
        hint = f"\n  nearest: {', '.join(nearest)}" if nearest else ""
        shown = re.sub(r"[\t-\r\x1c-\x1f\x85\u2028\u2029]", " ", self.text)  # the caret keeps its column
        raise AddressError(f"{reason}\n  {shown}\n  {' ' * at}^{hint}")


def _whole(digits: str) -> int:
    """A number; one too long to be in any model or prompt stays too large."""
    return int(digits) if len(digits) < 19 else 10**18


def _offset(written: str) -> int:
    return _whole(written[1:]) * (-1 if written[0] == "-" else 1)


def _spans(layers: list[int]) -> str:
    """Layers in words: L0, L2-5 and L7."""
    spans: list[list[int]] = []
    for layer in layers:
        if spans and spans[-1][-1] == layer - 1:
            spans[-1].append(layer)
        else:
            spans.append([layer])
    words = [f"L{span[0]}" if len(span) == 1 else f"L{span[0]}-{span[-1]}" for span in spans]
    return " and ".join(filter(None, [", ".join(words[:-1]), words[-1]]))


def one_site(address: str, kind: str, anatomy: Anatomy, or_feature: bool = False) -> Site:
    """The one component of that kind (or the one feature of a dictionary) that an address names, at all positions; raises ``MethodError``
    for other addresses."""
    sites = parse(address, anatomy)
    noun = KINDS[kind].noun + (" or feature" if or_feature else "")
    is_one = sites[0].kind == kind or (or_feature and sites[0].letter == "F")
    if len(sites) != 1 or not is_one or sites[0].via:
        there = layers_with(kind, anatomy)
        advice = f"write one, such as L{there[-1]}.{kind}0" if there else f"and {anatomy.name} has none"
        raise MethodError(f"{address!r} is not one {noun}: {advice}")
    if not sites[0].position.everywhere:
        raise MethodError(f"{address!r} names a position, which means nothing here: write the {noun} alone")
    return sites[0]
