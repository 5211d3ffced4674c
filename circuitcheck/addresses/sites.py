"""Sites: one place in a model, by layer, kind, number and token position."""

from dataclasses import dataclass, field, replace

from circuitcheck.addresses.kinds import AFTER, KINDS, LOGITS, Kind


@dataclass(frozen=True, order=True, repr=False)
class Position:
    """Where in a prompt: ``slot`` with its occurrence, or an offset from the end, or everywhere.

    ``everywhere`` is ``@*``. Without a slot, ``offset`` counts from the end (``@end`` is -1), or from the front, where it is 0 or
    more (``occurrence``: so many more tokens follow it, as 3 do in ``@0-3``). With a slot, 0 is the slot's own tokens, 1 the token
    after its last, -1 the token before its first; with an ``anchor``, "first" or "last", it is that one of its tokens, from which
    offsets then count. ``outside``: all other tokens; nobody writes that. ``answer``: the answer's own tokens, as far as they are
    run. ``patch``: of pictures "cls", the class token, or a patch, by row and column, "patch{3,4}".
    """

    everywhere: bool = False
    slot: str = ""
    occurrence: int = 0
    offset: int = 0
    outside: bool = False
    answer: bool = False
    anchor: str = ""
    patch: str = ""

    def __repr__(self) -> str:
        """What numbers are stored under: fields that are younger than they are are left out where they say nothing."""
        named = {
            name: value for name, value in vars(self).items() if value or name not in ("answer", "anchor", "patch")
        }
        return f"Position({', '.join(f'{name}={value!r}' for name, value in named.items())})"

    @property
    def from_first(self) -> bool:
        """Whether the tokens of its slot are counted from the first, and not from the last."""
        return self.anchor == "first"

    def __str__(self) -> str:
        if self.outside:
            return f"* but {replace(self, outside=False)}"
        if self.everywhere:
            return "*"
        if self.answer or self.patch:
            return self.patch or "answer"
        if not self.slot:
            last = f"-{self.offset + self.occurrence}" if self.occurrence else ""
            return "end" if self.offset == -1 else f"{self.offset}{last}"
        occurrence = f"[{self.occurrence}]" if self.occurrence else ""
        anchor = f".{self.anchor}" if self.anchor else ""
        return f"{{{self.slot}}}{occurrence}{anchor}{f'{self.offset:+d}' if self.offset else ''}"


EVERYWHERE = Position(everywhere=True)


@dataclass(frozen=True, order=True, repr=False)
class Site:
    """One component at some positions, ``kind`` a key of ``KINDS``; ``via``: the path by which it is reached, where
    it is not the component itself that is meant but what arrives there; ``dictionary``: of a feature, its dictionary's name and hash."""

    layer: int
    kind: str
    index: int = -1
    position: Position = field(default=EVERYWHERE)
    via: "tuple[Site, ...]" = ()
    dictionary: str = ""

    def __repr__(self) -> str:
        """What numbers are stored under: the field that is younger than they are is left out where it says nothing."""
        named = {name: value for name, value in vars(self).items() if value or name != "dictionary"}
        return f"Site({', '.join(f'{name}={value!r}' for name, value in named.items())})"

    def __str__(self) -> str:
        where = "" if self.position == EVERYWHERE else f"@{self.position}"
        layer = f"L{self.layer}." if self.traits.in_block else ""
        return " -> ".join([*map(str, self.via), f"{layer}{self.component}{where}"])

    @property
    def letter(self) -> str:
        """What its index counts: H, N, KV or F; of what has none, its kind."""
        return "F" if self.traits.host and self.index >= 0 else self.kind.partition(".")[0]

    @property
    def component(self) -> str:
        """Its name within its layer."""
        letter, dot, part = self.kind.partition(".")
        if self.traits.host:
            return f"{self.kind}{self.index if self.index >= 0 else ''}"
        return f"{letter}{self.index if self.index >= 0 else ''}{dot}{part}"

    @property
    def traits(self) -> Kind:
        """The row of its kind."""
        return KINDS[self.kind]

    @property
    def granularity(self) -> str:
        of = f" of the dictionary {self.dictionary}" if self.dictionary else ""
        return "path" if self.via else f"{self.traits.noun}{of}"


def written(site: Site) -> tuple[int, int]:
    """When a component writes into the stream: its layer, and 0 for attention, 1 for what comes after it, 2 for what comes after the block."""
    return site.layer, 0 if site.traits.attends else 2 if site.traits.depth == AFTER else 1


def read(site: Site, n_layers: int) -> tuple[int, int]:
    """When a component reads the stream, in the same way."""
    if site.kind == LOGITS:
        return n_layers, 0
    return written(site)
