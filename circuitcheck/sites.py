"""The address notation: one parser, one error type.

    >>> gpt2 = Anatomy("GPT-2", n_layers=12, n_heads=12, d_mlp=3072)
    >>> [str(site) for site in parse("L9.H[6,9]@end | L0-1.MLP", gpt2)]
    ['L9.H6@end', 'L9.H9@end', 'L0.MLP', 'L1.MLP']

An address names components (``L31.N892``, ``L9.H6``, ``L5.MLP``, ``L5.ATTN``, ``L5.RESID_PRE``, ``EMBED``) and,
after ``@``, token positions (``@end``, ``@-2``, ``@*``, ``@{slot}``, ``@{slot}[2]``, ``@{slot}[2]+1``; all of them
where nothing is said). Numbers may be sets: ``L0-5``, ``H[6,9]``, ``N*``. ``A | B`` joins addresses.
"""

import difflib
import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import NoReturn

from circuitcheck.errors import AddressError

SUBLAYERS = ("MLP", "ATTN")
STREAM = ("RESID_PRE", "RESID_MID", "RESID_POST")
GRANULARITY = {
    "N": "neuron",
    "H": "head",
    "MLP": "MLP output",
    "ATTN": "attention output",
    "RESID_PRE": "residual stream",
    "RESID_MID": "residual stream",
    "RESID_POST": "residual stream",
    "EMBED": "embedding",
}


@dataclass(frozen=True)
class Anatomy:
    """What a model is made of, as far as addresses can tell.

    ``d_mlp`` is None where there is no MLP; ``no_neurons`` says why a neuron cannot be addressed (empty: it can).
    """

    name: str
    n_layers: int
    n_heads: int
    d_mlp: int | None
    parallel: bool = False
    no_neurons: str = ""

    def count(self, letter: str) -> int:
        return {"L": self.n_layers, "H": self.n_heads, "N": self.d_mlp or 0}[letter]


@dataclass(frozen=True, order=True)
class Position:
    """Where in a prompt: ``slot`` with its occurrence, or an offset from the end, or everywhere.

    ``everywhere`` is ``@*``. Without a slot, ``offset`` counts from the end (``@end`` is -1). With a slot, 0 is the
    slot's own tokens, 1 the token after its last, -1 the token before its first. ``outside``: all other tokens; nobody
    writes that.
    """

    everywhere: bool = False
    slot: str = ""
    occurrence: int = 0
    offset: int = 0
    outside: bool = False

    def __str__(self) -> str:
        if self.outside:
            return f"* but {replace(self, outside=False)}"
        if self.everywhere:
            return "*"
        if not self.slot:
            return "end" if self.offset == -1 else str(self.offset)
        occurrence = f"[{self.occurrence}]" if self.occurrence else ""
        return f"{{{self.slot}}}{occurrence}{f'{self.offset:+d}' if self.offset else ''}"


EVERYWHERE = Position(everywhere=True)


@dataclass(frozen=True, order=True)
class Site:
    """One component at some positions. ``kind`` is N, H, MLP, ATTN, RESID_PRE, RESID_MID, RESID_POST or EMBED."""

    layer: int
    kind: str
    index: int = -1
    position: Position = field(default=EVERYWHERE)

    def __str__(self) -> str:
        where = "" if self.position == EVERYWHERE else f"@{self.position}"
        if self.kind == "EMBED":
            return f"EMBED{where}"
        number = str(self.index) if self.index >= 0 else ""
        return f"L{self.layer}.{self.kind}{number}{where}"

    @property
    def granularity(self) -> str:
        return GRANULARITY[self.kind]


def parse(address: str, anatomy: Anatomy) -> tuple[Site, ...]:
    """The sites that ``address`` names in a model of that anatomy, in order and without repeats.

    Raises ``AddressError`` with the address, a caret and the nearest valid ones.
    """
    if not isinstance(address, str) or not address.strip():
        raise AddressError(f"an address is text such as 'L5.H1' or 'L0-2.MLP@end', not {address!r}")
    reader = _Reader(address, anatomy)
    return tuple(dict.fromkeys(reader.union()))


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
        self.spaces()
        self.begin = self.at
        if self.take("EMBED"):
            places = [(-1, "EMBED", -1)]
        else:
            if not self.take("L"):
                self.fail("an address begins with a layer ('L5') or EMBED", self.at, self.suggestions())
            layers = self.numbers("L")
            if not self.take("."):
                self.fail("a layer is followed by a dot and a component", self.at, self.suggestions())
            parts = self.component()
            places = [(layer, *part) for layer in layers for part in parts]
        self.spaces()
        position = self.position() if self.take("@") else EVERYWHERE
        return [Site(layer, kind, index, position) for layer, kind, index in places]

    def component(self) -> list[tuple[str, int]]:
        start = self.at
        if self.at == len(self.text):
            self.fail("a layer is followed by a dot and a component", start, self.suggestions())
        word = re.compile(r"[A-Za-z_]*").match(self.text, self.at)
        name = word.group() if word else ""
        self.at += len(name)
        if name == "N":
            if self.anatomy.no_neurons or self.anatomy.d_mlp is None:
                self.fail(self.anatomy.no_neurons or f"{self.anatomy.name} has no MLPs and so no neurons", start)
            return [("N", index) for index in self.numbers("N")]
        if name == "H":
            return [("H", index) for index in self.numbers("H")]
        if name == "MLP" and self.anatomy.d_mlp is None:
            self.fail(f"{self.anatomy.name} has no MLPs", start, self.suggestions())
        if name == "RESID_MID" and self.anatomy.parallel:
            reason = "attention and MLP run in parallel here, so that there is no stream between them"
            self.fail(reason, start, self.suggestions())
        if name in (*SUBLAYERS, *STREAM):
            return [(name, -1)]
        return self.fail(
            f"{self.anatomy.name} has no component {name or self.text[start:]!r}", start, self.suggestions()
        )

    def numbers(self, letter: str) -> list[int]:
        start, count = self.at, self.anatomy.count(letter)
        if self.take("*"):
            return list(range(count))
        if self.take("["):
            found = re.compile(r"\s*(\d+(?:\s*-\s*\d+)?(?:\s*,\s*\d+(?:\s*-\s*\d+)?)*)\s*\]").match(self.text, self.at)
        else:
            found = re.compile(r"(\d+(?:-\d+)?)").match(self.text, self.at)
        if not found:
            return self.fail(f"{letter} is followed by a number, a range ('0-5'), a set ('[6,9]') or '*'", start)
        self.at = found.end()
        numbers: list[int] = []
        for item in found.group(1).split(","):
            low, _, high = item.replace(" ", "").partition("-")
            first, last = _whole(low), _whole(high or low)
            if last < first:
                self.fail(f"the range {item.strip()} runs backwards", start)
            if last >= count:
                self.fail(self.out_of_range(letter), start)
            numbers.extend(range(first, last + 1))
        return sorted(set(numbers))

    def out_of_range(self, letter: str) -> str:
        noun = {"L": "layers", "H": "heads", "N": "neurons"}[letter]
        where = "" if letter == "L" else " in each layer"
        return f"{self.anatomy.name} has {noun} 0-{self.anatomy.count(letter) - 1}{where}"

    def position(self) -> Position:
        start = self.at
        if self.take("*"):
            return EVERYWHERE
        if self.take("end"):
            return Position(offset=-1)
        if found := self.match(r"-(\d+)"):
            if _whole(found[1]) == 0:
                self.fail("positions from the end begin at @-1, which is @end", start)
            return Position(offset=-_whole(found[1]))
        if found := self.match(r"\{(\w+)\}(?:\[(\d+)\])?(?:([+-])(\d+))?"):
            occurrence = _whole(found[2] or "0")
            if found[2] and not occurrence:
                self.fail("a slot's occurrences are counted from 1", start)
            offset = _whole(found[4] or "0")
            return Position(slot=found[1], occurrence=occurrence, offset=-offset if found[3] == "-" else offset)
        return self.fail("a position is one of end, -2, *, {slot}, {slot}[2], {slot}[2]+1", start)

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
        rest = self.text[self.at :]
        if rest.startswith("->"):
            self.fail("a path ('->') names an edge; patch and ablate take components", self.at)
        if rest.startswith("."):
            self.fail("the address ends before this: patch and ablate take a head's output, not its parts", self.at)
        self.fail("nothing more is expected here, except '@' and a position or '|' and another address", self.at)

    def suggestions(self) -> list[str]:
        """The valid addresses nearest to what was written."""
        a = self.anatomy
        neurons = [] if a.no_neurons or a.d_mlp is None else ["L{}.N0"]
        mlp = [] if a.d_mlp is None else ["L{}.MLP"]
        middle = [] if a.parallel else ["L{}.RESID_MID"]
        forms = ["L{}.H0", *neurons, *mlp, "L{}.ATTN", "L{}.RESID_PRE", *middle, "L{}.RESID_POST"]
        written = re.split(r"[|@]", self.text[self.begin :])[0].strip()
        layer = re.search(r"\d+", written)
        number = min(_whole(layer.group()), a.n_layers - 1) if layer else 0
        valid = [form.format(number) for form in forms] + ["EMBED"]
        return difflib.get_close_matches(written.upper(), valid, n=3, cutoff=0.3) or valid[:3]

    def fail(self, reason: str, at: int, nearest: list[str] | None = None) -> NoReturn:
        hint = f"\n  nearest: {', '.join(nearest)}" if nearest else ""
        shown = re.sub(r"[\t-\r\x1c-\x1f\x85\u2028\u2029]", " ", self.text)  # the caret keeps its column
        raise AddressError(f"{reason}\n  {shown}\n  {' ' * at}^{hint}")


def _whole(digits: str) -> int:
    """A number; one too long to be in any model or prompt stays too large."""
    return int(digits) if len(digits) < 19 else 10**18
