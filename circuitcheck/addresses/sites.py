"""Sites: one place in a model, by layer, kind, number and token position."""

from dataclasses import dataclass, field, replace

SUBLAYERS = ("MLP", "ATTN")
STREAM = ("RESID_PRE", "RESID_MID", "RESID_POST")
# Where a path ends when no component reads it: the stream behind the last block.
LOGITS = "LOGITS"
# The parts of a head, and of a group of heads that have their keys and values in common.
PARTS = {"H": ("Q", "K", "V", "PATTERN"), "KV": ("K", "V")}
INSIDE_ATTENTION = tuple(f"{owner}.{part}" for owner, parts in PARTS.items() for part in parts)
ATTENDING = ("H", "ATTN", *INSIDE_ATTENTION)
# What writes into the stream, and so can begin a path.
WRITERS = ("N", "H", "MLP", "ATTN", "EMBED")
GRANULARITY = {
    "N": "neuron",
    "H": "head",
    "H.Q": "query",
    "H.K": "key",
    "H.V": "value",
    "H.PATTERN": "attention pattern",
    "KV.K": "key of a group of heads",
    "KV.V": "value of a group of heads",
    LOGITS: "logits",
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

    ``d_mlp`` is None where there is no MLP; ``no_neurons`` says why a neuron cannot be addressed (empty: it can),
    ``no_parts`` the same of a head's parts. ``n_groups``: groups of heads that share keys and values, None where each has
    its own. ``post_norm``: a normalisation stands behind each sublayer.
    """

    name: str
    n_layers: int
    n_heads: int
    d_mlp: int | None
    parallel: bool = False
    no_neurons: str = ""
    n_groups: int | None = None
    no_parts: str = ""
    post_norm: bool = False

    def count(self, kind: str) -> int:
        """How many there are of layers ("L"), or in a layer of a kind of component or its parts."""
        letter = kind.partition(".")[0]
        return {"L": self.n_layers, "H": self.n_heads, "N": self.d_mlp or 0, "KV": self.n_groups or 0}[letter]

    def heads_of(self, group: int) -> range:
        """The heads that have the keys and values of a group."""
        size = self.n_heads // (self.n_groups or self.n_heads)
        return range(group * size, (group + 1) * size)


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
    """One component at some positions, ``kind`` a key of ``GRANULARITY``; ``via``: the path by which it is reached, where
    it is not the component itself that is meant but what arrives there."""

    layer: int
    kind: str
    index: int = -1
    position: Position = field(default=EVERYWHERE)
    via: "tuple[Site, ...]" = ()

    def __str__(self) -> str:
        where = "" if self.position == EVERYWHERE else f"@{self.position}"
        layer = "" if self.kind in ("EMBED", LOGITS) else f"L{self.layer}."
        return " -> ".join([*map(str, self.via), f"{layer}{self.component}{where}"])

    @property
    def letter(self) -> str:
        """What its index counts: H, N or KV; of what has none, its kind."""
        return self.kind.partition(".")[0]

    @property
    def component(self) -> str:
        """Its name within its layer."""
        letter, dot, part = self.kind.partition(".")
        return f"{letter}{self.index if self.index >= 0 else ''}{dot}{part}"

    @property
    def granularity(self) -> str:
        return "path" if self.via else GRANULARITY[self.kind]


def written(site: Site) -> tuple[int, int]:
    """When a component writes into the stream: its layer, and 0 for attention, 1 for what comes after it."""
    return site.layer, 0 if site.kind in ATTENDING else 1


def read(site: Site, n_layers: int) -> tuple[int, int]:
    """When a component reads the stream, in the same way."""
    if site.kind == LOGITS:
        return n_layers, 0
    return site.layer, 0 if site.kind in ATTENDING else 1
