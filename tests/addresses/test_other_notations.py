"""Names that other tools have for a component are answered with the address that they are here."""

import pytest

from circuitcheck import AddressError
from circuitcheck.addresses.anatomy import Anatomy, Layer
from circuitcheck.addresses.kinds import KINDS, lacking
from circuitcheck.addresses.parsing import parse

GPT2 = Anatomy("gpt2", 12 * (Layer(n_heads=12, d_mlp=3072),))
LLAMA = Anatomy("llama", 12 * (Layer(n_heads=12, d_mlp=3072, n_groups=4),))


@pytest.mark.parametrize("anatomy", [GPT2, LLAMA], ids=["gpt2", "llama"])
@pytest.mark.parametrize("kind", [name for name, row in KINDS.items() if row.in_block])
def test_every_hook_point_of_a_kind_of_site_is_answered_with_it(kind: str, anatomy: Anatomy) -> None:
    if lacking(kind, anatomy.layers[0]):
        return
    hook, (letter, dot, part) = KINDS[kind].hook.format(9), kind.partition(".")
    numbers = {"": "*", ".2": "2", "[2]": "2", "[:, :, 2]": "2", "[:, -1, 2]": "2", ", 2": "2", " head 2": "2"}
    for written, number in numbers.items() if KINDS[kind].numbered else [("", "")]:
        address = f"L9.{letter}{number}{dot}{part}"
        for position in ("", "@end"):
            with pytest.raises(AddressError) as error:
                parse(f"L0.MLP | {hook}{written}{position}", anatomy)
            first, shown, caret, nearest = str(error.value).splitlines()
            assert first == f"{hook}{written} is written {address}{position} here"
            assert shown.index("blocks") == caret.index("^")
            assert nearest == f"  nearest: {address}{position}"
        assert parse(address, anatomy)


@pytest.mark.parametrize(
    ("name", "address"),
    [
        ("('blocks.9.attn.hook_z', 6)", "L9.H6"),
        ("blocks.9.attn.hook_result[:, :, 6]", "L9.H6"),
        ("hook_embed", "EMBED"),
        ("transformer.h.3.mlp", "L3.MLP"),
        ("model.layers.3.self_attn", "L3.ATTN"),
        ("model.layers.3.mlp.down_proj", "L3.N*"),
        ("gpt_neox.layers.3.attention", "L3.ATTN"),
        ("9.6", "L9.H6"),
        ("(9, 6)", "L9.H6"),
        ("L9H6", "L9.H6"),
        ("L9.h6", "L9.H6"),
        ("a9.h6", "L9.H6"),
        ("m9", "L9.MLP"),
        ("l9n8", "L9.N8"),
        ("l1.resid_pre", "L1.RESID_PRE"),
    ],
)
def test_other_ways_to_write_a_component_are_known(name: str, address: str) -> None:
    with pytest.raises(AddressError) as error:
        parse(name, GPT2)
    assert str(error.value).splitlines()[0].endswith(f" is written {address} here")
    assert parse(address, GPT2)


def test_what_the_model_lacks_is_said_too() -> None:
    for name, told in (
        ("blocks.40.attn.hook_z[3]", "is written L40.H3 here, and gpt2 has layers 0-11"),
        ("blocks.4.attn.hook_z[13]", "is written L4.H13 here, and gpt2 has heads 0-11 in each layer"),
    ):
        with pytest.raises(AddressError) as error:
            parse(name, GPT2)
        assert str(error.value).splitlines()[0].endswith(told)
    for name in ("blocks.1.ln1.hook_scale", "unembed", "L1.foo", "foo"):
        with pytest.raises(AddressError) as error:
            parse(name, GPT2)
        assert "is written" not in str(error.value)
