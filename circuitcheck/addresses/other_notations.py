"""Names that other tools have for a component, as the addresses they are here.

>>> ours("blocks.9.attn.hook_z[:, :, 6]")
'L9.H6'

TransformerLens' hook points, with the number of a head or a neuron after them in any of the usual ways; modules of transformers'
models; "9.6", "L9H6" and "a9.h6", as papers and ACDC write heads.
"""

import re

from circuitcheck.addresses.kinds import KINDS

_BLOCK = "blocks.{}."
_IN_A_BLOCK = {
    **{row.hook.removeprefix(_BLOCK): name for name, row in reversed(KINDS.items()) if row.in_block},
    "attn.hook_result": "H",
    "attn.hook_out": "ATTN",
    "mlp.hook_pre": "N",
    "mlp.hook_out": "MLP",
    "hook_in": "RESID_PRE",
    "hook_out": "RESID_POST",
    "attn": "ATTN",
    "attention": "ATTN",
    "self_attn": "ATTN",
    "self_attention": "ATTN",
    "attn.c_proj": "H",
    "self_attn.o_proj": "H",
    "attention.dense": "H",
    "mlp": "MLP",
    "mlp.act": "N",
    "mlp.c_proj": "N",
    "mlp.down_proj": "N",
    "mlp.dense_4h_to_h": "N",
    "": "RESID_POST",
}
_OUTSIDE = {"hook_embed": "EMBED", "embed": "EMBED", "transformer.wte": "EMBED", "model.embed_tokens": "EMBED"}
_NAME = re.compile(r"\W*(?:[a-z_]+\.)*?(?:blocks|layers|layer|h)\.(\d+)((?:\.[a-z_]\w*)*)(.*)")
_HEAD = (r"[lL]?(\d+)[.\s_]*[hH](?:ead)?\.?(\d+)", r"a(\d+)\.h(\d+)", r"\(?\s*(\d+)\s*[.,]\s*(\d+)\s*\)?")
_PAPERS = {
    **dict.fromkeys(_HEAD, "H"),
    r"[lL](\d+)[.\s_]*[nN](?:euron)?\.?(\d+)": "N",
    r"(?:m|mlp|MLP)[.\s]?(\d+)": "MLP",
    r"l(\d+)\.(\w+)": "",
}


def ours(name: str) -> str:
    """The address that another tool's name for a component is here; empty where it is no such name."""
    name = name.strip().strip("'\"")
    if name in _OUTSIDE:
        return _OUTSIDE[name]
    if found := _NAME.fullmatch(name):
        layer, place, rest = found[1], found[2].removeprefix("."), found[3]
        # A head's number may follow as if it were one of the names: hook_z.h6.
        place, _, named = re.sub(r"\.[hn](\d+)$", r" \1", place).partition(" ")
        if place not in _IN_A_BLOCK:
            return ""
        numbers = re.findall(r"\d+", f"{named} {rest}")
        return _address(layer, _IN_A_BLOCK[place], numbers[-1] if numbers else "*")
    for pattern, kind in _PAPERS.items():
        if found := re.fullmatch(pattern, name):
            number = found[2] if found.re.groups > 1 else ""
            if kind:
                return _address(found[1], kind, number)
            return f"L{found[1]}.{number.upper()}" if number.upper() in KINDS else ""
    return ""


def _address(layer: str, kind: str, number: str) -> str:
    letter, dot, part = kind.partition(".")
    return f"L{layer}.{letter}{number if KINDS[kind].numbered else ''}{dot}{part}"
