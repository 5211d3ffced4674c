"""What a model is made of, as far as addresses can tell: the anatomy is each layer's own."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace


@dataclass(frozen=True)
class Features:
    """A dictionary as addresses know it: how many features it has, its name, and the hash of all that it is made of."""

    count: int
    name: str
    digest: str


@dataclass(frozen=True)
class Layer:
    """What one layer is made of.

        Layer(n_heads=12, d_mlp=3072)

    ``n_heads`` is 0 where no heads can be addressed, ``d_mlp``, the number of neurons, None where there is no MLP. ``n_groups``:
    groups of heads that share keys and values, None where each has its own. ``missing`` says why it has none of a kind of site, by
    the kind: "has no ...". ``parallel``: attention and MLP read the same stream; ``post_norm``: a normalisation follows each
    sublayer; ``mixer``: what carries information between tokens next to attention, or in its place. ``dictionaries`` are those attached
    in it, by the kind of site.
    """

    n_heads: int
    d_mlp: int | None
    n_groups: int | None = None
    missing: Mapping[str, str] = field(default_factory=dict)
    parallel: bool = False
    post_norm: bool = False
    mixer: str = ""
    dictionaries: Mapping[str, Features] = field(default_factory=dict)

    def count(self, kind: str) -> int:
        """How many of a kind of component, or of its parts, there are."""
        letter, _, part = kind.partition(".")
        if part == "F":
            return self.dictionaries[letter].count if letter in self.dictionaries else 0
        return {"H": self.n_heads, "N": self.d_mlp or 0, "KV": self.n_groups or 0}[letter]

    def heads_of(self, group: int) -> range:
        """The heads that have the keys and values of a group."""
        size = self.n_heads // (self.n_groups or self.n_heads)
        return range(group * size, (group + 1) * size)


@dataclass(frozen=True)
class Anatomy:
    """A model's layers; ``name`` is what errors call it."""

    name: str
    layers: tuple[Layer, ...]

    @staticmethod
    def from_json(name: str, said: str) -> "Anatomy":
        """Of layers as ``as_json`` wrote them; raises ``ValueError`` for what it did not write."""
        try:
            found = Anatomy(name, tuple(Layer(**layer) for layer in json.loads(said)))
        except (TypeError, ValueError, RecursionError) as error:
            raise ValueError(f"no layers: {error}") from None
        if not found.layers or not all(map(_is_whole, found.layers)):
            raise ValueError(f"no layers: {said[:60]}")
        return found

    def as_json(self) -> str:
        """The layers as text, without what was attached to them."""
        return json.dumps([asdict(replace(layer, dictionaries={})) for layer in self.layers])

    def having(self, layer: int, kind: str, features: Features) -> "Anatomy":
        """The same with a dictionary attached."""
        there = self.layers[layer]
        new = replace(there, dictionaries={**there.dictionaries, kind: features})
        return replace(self, layers=(*self.layers[:layer], new, *self.layers[layer + 1 :]))

    @property
    def n_layers(self) -> int:
        return len(self.layers)


def _is_whole(layer: Layer) -> bool:
    """Whether all that is said of a layer is of the kind that it should be."""
    counts = [layer.n_heads, layer.d_mlp or 0, layer.n_groups or 1]
    missing = layer.missing
    return (
        all(type(count) is int and count >= 0 for count in counts)
        and isinstance(missing, dict)
        and all(isinstance(why, str) for why in missing.values())
        and all(isinstance(flag, bool) for flag in (layer.parallel, layer.post_norm))
        and isinstance(layer.mixer, str)
        and layer.dictionaries == {}
    )
