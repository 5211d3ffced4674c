"""What a model is made of, as far as addresses can tell."""

from dataclasses import dataclass


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
