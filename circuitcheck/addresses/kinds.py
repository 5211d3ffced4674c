"""Kinds of sites: one row of a table each, from which all that is said and done of them follows."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal

from circuitcheck.addresses.anatomy import Anatomy, Layer

# Where a kind of site lies: before the block; inside its attention; after the attention; before the feed-forward module's
# output projection (or at that module's input); after the feed-forward module; after the block.
BEFORE, ATTENTION, ATTENDED, HIDDEN, WRITTEN, AFTER = range(-1, 5)
# Where a path ends when no component reads it: the residual stream after the last block.
LOGITS = "LOGITS"


@dataclass(frozen=True)
class Kind:
    """A kind of site. ``noun``: what one is called; ``hook``: its hook point in a bridge, with a place for the layer;
    ``depth``: where in a block it lies; ``width``: of one at one token (a pattern's has one number for each token).

    ``numbered``: where a layer has several, what their numbers count, one and many; ``whole``: what all of a layer make up
    together. ``writes``: into the stream, by the ``weights`` of a module (its name in the block, that of its output projection
    and of the weights), as it is where there are none. ``reads``: whether a path may end there; ``mixes``: whether it depends on
    earlier tokens. ``host``: the kind at which a dictionary is attached whose features, or error, they are. ``lacking`` says why a layer has none ("has no ..."), where its numbers alone say so; empty where they do not.
    """

    noun: str
    hook: str
    depth: int
    width: Literal["one", "head", "stream", "pattern"] = "stream"
    numbered: tuple[str, str] | None = None
    whole: str = ""
    writes: bool = False
    weights: tuple[str, str, str] | None = None
    reads: bool = True
    mixes: bool = False
    in_block: bool = True
    is_stream: bool = False
    host: str = ""
    # Not in the text, under which anatomies are remembered: a function is written with its address in memory.
    lacking: Callable[[Layer], str] = field(default=lambda layer: "", repr=False)

    @property
    def attends(self) -> bool:
        """Whether it is computed by the attention of its layer, before the feed-forward module."""
        return self.depth in (ATTENTION, ATTENDED)


def _no_mlp(layer: Layer) -> str:
    return "has no MLP" if layer.d_mlp is None else ""


def _no_neurons(layer: Layer) -> str:
    return "has no neurons (it has no MLP)" if layer.d_mlp is None else ""


def _no_heads(layer: Layer) -> str:
    return "" if layer.n_heads else "has no heads"


def _shared(layer: Layer) -> str:
    shared = "has no keys and values of single heads (its heads share them)"
    return _no_heads(layer) or (shared if layer.n_groups is not None else "")


def _not_shared(layer: Layer) -> str:
    own = "has no groups of heads (each head has its own keys and values: L0.H0.K, L0.H0.V)"
    return _no_heads(layer) or (own if layer.n_groups is None else "")


def _no_middle(layer: Layer) -> str:
    return "has no stream between attention and MLP (they run in parallel)" if layer.parallel else ""


_HEADS, _GROUPS, _FEATURES = ("head", "heads"), ("group", "groups of heads"), ("feature", "features")
_ATTN, _STREAM = "blocks.{}.attn.hook_", "blocks.{}.hook_resid_"


def _part(noun: str, name: str, numbered: tuple[str, str], lacking: Callable[[Layer], str]) -> Kind:
    return Kind(noun, _ATTN + name, ATTENTION, "head", numbered, lacking=lacking)


def _of_dictionary(host: str, noun: str, width: Literal["one", "stream"], **more: Any) -> Kind:
    """What a dictionary makes of the activation of a kind, its ``host``."""
    whole = _WHOLES[host]
    more |= {"writes": host not in ("RESID_PRE", "RESID_MID"), "host": host, "mixes": whole.mixes}
    return Kind(noun, whole.hook, whole.depth, width, lacking=partial(_no_dictionary, host), **more)


def _no_dictionary(host: str, layer: Layer) -> str:
    without = (
        f"has no dictionary at {host} (attach one: --circuit-dictionary LAYER.{host}=PATH, or model.with_dictionary)"
    )
    return "" if host in layer.dictionaries else without


_WHOLES: dict[str, Kind] = {
    "MLP": Kind("MLP output", "blocks.{}.hook_mlp_out", WRITTEN, writes=True, lacking=_no_mlp),
    "ATTN": Kind("attention output", "blocks.{}.hook_attn_out", ATTENDED, writes=True, mixes=True),
    "RESID_PRE": Kind("residual stream", _STREAM + "pre", BEFORE, reads=False, is_stream=True),
    "RESID_MID": Kind("residual stream", _STREAM + "mid", HIDDEN, reads=False, is_stream=True, lacking=_no_middle),
    "RESID_POST": Kind("residual stream", _STREAM + "post", AFTER, reads=False, is_stream=True),
}
KINDS: dict[str, Kind] = {
    # A neuron is an input of the output projection: after the gate, where there is one. (TransformerLens calls it hook_post.)
    "N": Kind(
        "neuron",
        "blocks.{}.mlp.hook_post",
        HIDDEN,
        "one",
        ("neuron", "neurons"),
        "MLP",
        writes=True,
        weights=("mlp", "out", "W_out"),
        lacking=_no_neurons,
    ),
    "H": Kind(
        "head",
        "blocks.{}.attn.hook_z",
        ATTENDED,
        "head",
        _HEADS,
        "ATTN",
        writes=True,
        weights=("attn", "o", "W_O"),
        mixes=True,
        lacking=_no_heads,
    ),
    "H.Q": _part("query", "q", _HEADS, _no_heads),
    "H.K": _part("key", "k", _HEADS, _shared),
    "H.V": _part("value", "v", _HEADS, _shared),
    "H.PATTERN": Kind(
        "attention pattern",
        _ATTN + "pattern",
        ATTENTION,
        "pattern",
        _HEADS,
        mixes=True,
        lacking=_no_heads,
    ),
    "KV.K": _part("key of a group of heads", "k", _GROUPS, _not_shared),
    "KV.V": _part("value of a group of heads", "v", _GROUPS, _not_shared),
    **_WHOLES,
    "EMBED": Kind("embedding", "hook_embed", WRITTEN, writes=True, reads=False, in_block=False),
    LOGITS: Kind("logits", _STREAM + "post", AFTER, in_block=False),
}
for _host in _WHOLES:
    # Features are read where a path may end: at a stream that blocks have written into.
    _features = _of_dictionary(
        _host, "feature", "one", numbered=_FEATURES, whole=_host, reads=KINDS[_host].reads or _host == "RESID_POST"
    )
    KINDS |= {
        f"{_host}.F": _features,
        f"{_host}.ERROR": _of_dictionary(_host, "error", "stream", reads=False),
    }


def is_part(kind: str) -> bool:
    """Whether it is a part of a head, or of a group of heads."""
    return "." in kind and not KINDS[kind].host


def parts_of(letter: str) -> list[str]:
    """The names of the parts that a head ("H"), or a group of heads ("KV"), has."""
    return [name.partition(".")[2] for name in KINDS if name.startswith(f"{letter}.")]


def numbered(letter: str) -> tuple[str, str]:
    """What the numbers behind a letter count, one and many."""
    if letter == "L":
        return "layer", "layers"
    if letter == "F":
        return _FEATURES
    return next(row.numbered for name, row in KINDS.items() if name.partition(".")[0] == letter and row.numbered)


def lacking(kind: str, layer: Layer) -> str:
    """Why a layer has none of a kind of site: "has no ..."; empty where it has."""
    return layer.missing.get(kind, "") or KINDS[kind].lacking(layer)


def layers_with(kind: str, anatomy: Anatomy) -> list[int]:
    """The layers that have a kind of site."""
    return [number for number, layer in enumerate(anatomy.layers) if not lacking(kind, layer)]


def kinds_within(layer: Layer) -> list[str]:
    """The kinds of sites inside a block: those computed from its input, up to its last sublayer's output. What a dictionary makes of
    one of them is at none of its own."""
    return [
        name
        for name, row in KINDS.items()
        if row.in_block and BEFORE < row.depth < AFTER and not row.host and not lacking(name, layer)
    ]
