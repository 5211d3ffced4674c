"""The hook points that configurations name, as addresses have them."""

import re
from dataclasses import dataclass

_BLOCK = r"blocks\.(?P<layer>\d+)\."
# A kind of site, or what is read by an MLP, by TransformerLens' names of hook points; and as Hugging Face names a block's output.
_PLACES = (
    (_BLOCK + r"hook_resid_pre", "RESID_PRE"),
    (_BLOCK + r"hook_resid_mid", "RESID_MID"),
    (_BLOCK + r"hook_resid_post", "RESID_POST"),
    (_BLOCK + r"hook_mlp_out", "MLP"),
    (_BLOCK + r"hook_attn_out", "ATTN"),
    (r"(model|transformer|gpt_neox)\.(layers|h)\.(?P<layer>\d+)", "RESID_POST"),
    (_BLOCK + r"ln2\.hook_normalized", "normalised"),
    (_BLOCK + r"(mlp\.hook_in|ln2\.hook_out)", "read"),
)
# What a transcoder may read: what an MLP's norm makes of the stream before its weights, and after them.
INPUTS = ("normalised", "read")


@dataclass(frozen=True)
class Place:
    """A layer, and a kind of site or one of ``INPUTS``."""

    layer: int
    what: str

    @staticmethod
    def of(hook: str) -> "Place | None":
        """That of a hook point; None where no address names it."""
        for pattern, what in _PLACES:
            if found := re.fullmatch(pattern, hook):
                return Place(int(found["layer"]), what)
        return None

    def is_at(self, layer: int, kind: str) -> bool:
        """Whether it is that site: the stream after a block is that before the next one."""
        before = {"RESID_PRE": Place(self.layer - 1, "RESID_POST"), "RESID_POST": Place(self.layer + 1, "RESID_PRE")}
        return Place(layer, kind) in (self, before.get(self.what))

    def __str__(self) -> str:
        return f"what the MLP of L{self.layer} reads" if self.what in INPUTS else f"L{self.layer}.{self.what}"
