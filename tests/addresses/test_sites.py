"""The address notation: what an address means, and what its errors say."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from circuitcheck.addresses.anatomy import Anatomy, Features, Layer
from circuitcheck.addresses.kinds import KINDS
from circuitcheck.addresses.parsing import parse
from circuitcheck.addresses.sites import EVERYWHERE, Position, Site
from circuitcheck.errors import AddressError
from tests.anatomies import alike

GPT2 = alike("GPT-2", 12, 12, 3072)
SMALL = alike("Small", 5, 4, 7)
NO_MLP = alike("Attn-only", 2, 4, None)
GROUPED = alike("Grouped", 2, 8, 5, n_groups=2)
CONVOLUTION = Layer(0, 7, missing={"ATTN": "has no attention output that can be addressed (it has Conv)"}, mixer="Conv")
EXPERTS = Layer(4, 0, n_groups=2, missing={"N": "has no neurons (it routes tokens to experts)"})
HYBRID = Anatomy("Hybrid", (CONVOLUTION, Layer(4, 7), EXPERTS, Layer(8, 9, n_groups=4)))
PARALLEL = alike("Pythia", 6, 8, 2048, parallel=True)


def names(address: str, anatomy: Anatomy = GPT2) -> list[str]:
    return [str(site) for site in parse(address, anatomy)]


def refusal(address: str, anatomy: Anatomy = GPT2) -> tuple[str, str]:
    """The reason that an address is refused for, and the address from the caret on."""
    with pytest.raises(AddressError) as caught:
        parse(address, anatomy)
    reason, shown, caret, *_ = str(caught.value).split("\n")
    assert shown == f"  {address}"
    assert caret.strip() == "^"
    return reason, shown[caret.index("^") :]


@pytest.mark.parametrize(
    ("address", "meaning"),
    [
        ("L9.H6", ["L9.H6"]),
        ("L11.N892", ["L11.N892"]),
        ("EMBED@end", ["EMBED@end"]),
        ("L0.MLP@answer", ["L0.MLP@answer"]),
        ("L5.MLP | L5.ATTN", ["L5.MLP", "L5.ATTN"]),
        ("L5.RESID_PRE|L5.RESID_MID|L5.RESID_POST", ["L5.RESID_PRE", "L5.RESID_MID", "L5.RESID_POST"]),
        ("L9.H[6,9]@end", ["L9.H6@end", "L9.H9@end"]),
        ("L9.H[9,6,6-7]", ["L9.H6", "L9.H7", "L9.H9"]),
        ("L0-2.MLP", ["L0.MLP", "L1.MLP", "L2.MLP"]),
        ("L[1, 3 - 4].MLP", ["L1.MLP", "L3.MLP", "L4.MLP"]),
        ("L1.MLP | L0.MLP | L0-1.MLP", ["L1.MLP", "L0.MLP"]),
        ("  L1.MLP  ", ["L1.MLP"]),
        ("L9.H[6,7].Q@end | L9.H6.PATTERN", ["L9.H6.Q@end", "L9.H7.Q@end", "L9.H6.PATTERN"]),
        ("L5.H5@end->L9.H6.Q", ["L5.H5@end -> L9.H6.Q"]),
        ("EMBED@end -> L0.MLP -> LOGITS", ["EMBED@end -> L0.MLP -> LOGITS"]),
        ("L0.H[0,1] -> L1.H[2,3].K", [f"L0.H{a} -> L1.H{b}.K" for b in (2, 3) for a in (0, 1)]),
        ("L0.H1 -> L0.MLP | L0.H1", ["L0.H1 -> L0.MLP", "L0.H1"]),
    ],
)
def test_an_address_names_its_components_in_order_and_once(address: str, meaning: list[str]) -> None:
    assert names(address) == meaning


@pytest.mark.parametrize(
    ("written", "position"),
    [
        ("", EVERYWHERE),
        ("@*", EVERYWHERE),
        ("@end", Position(offset=-1)),
        ("@-1", Position(offset=-1)),
        ("@-2", Position(offset=-2)),
        ("@{fruit}", Position(slot="fruit")),
        ("@{tree}[2]", Position(slot="tree", occurrence=2)),
        ("@{tree}[2]+1", Position(slot="tree", occurrence=2, offset=1)),
        ("@{tree}-1", Position(slot="tree", offset=-1)),
        ("@{tree}+0", Position(slot="tree")),
        ("@{tree}.first", Position(slot="tree", anchor="first")),
        ("@{tree}[2].last-1", Position(slot="tree", occurrence=2, offset=-1, anchor="last")),
        ("@{tree}.last+2", Position(slot="tree", offset=2, anchor="last")),
    ],
)
def test_a_position_is_written_after_an_at_sign(written: str, position: Position) -> None:
    assert [site.position for site in parse(f"L3.H[0,1]{written}", GPT2)] == [position] * 2


def test_a_space_before_the_at_sign_is_harmless_as_it_is_around_a_bar() -> None:
    assert names("L5.H1 @end | L5.H2") == ["L5.H1@end", "L5.H2"]


def test_kinds_of_sites_are_written_the_same_in_every_session() -> None:
    """What a model is made of is remembered under their text: an address in memory would hide it from the next session."""
    assert " at 0x" not in repr(KINDS)


def test_a_site_knows_its_granularity() -> None:
    address = "L0.N0 | L0.H0 | L0.MLP | L0.ATTN | L0.RESID_PRE | L0.RESID_MID | L0.RESID_POST | EMBED"
    parts = " | ".join(f"L0.H0.{part}" for part in ("Q", "K", "V", "PATTERN"))
    groups = "L0.KV0.K | L0.KV0.V"
    featured = GPT2.having(0, "MLP", Features(9, "sae", "0a1b"))
    found = [*parse(f"{address} | {parts}", GPT2), *parse(groups, GROUPED)]
    features = parse("L0.MLP.F8 | L0.MLP.ERROR", featured)
    assert [site.granularity for site in features] == [
        f"{noun} of the dictionary sae (0a1b)" for noun in ("feature", "error")
    ]
    assert {site.granularity for site in found} == {
        row.noun for kind, row in KINDS.items() if kind != "LOGITS" and not row.host
    }
    assert parse("L0.H0 -> LOGITS", GPT2)[0].granularity == "path"


positions = st.one_of(
    st.just(EVERYWHERE),
    st.builds(Position, offset=st.integers(-40, -1)),
    st.builds(
        Position,
        slot=st.from_regex(r"[a-zé_][a-z0-9_]{0,6}", fullmatch=True),
        occurrence=st.integers(0, 12),
        offset=st.integers(-9, 9),
        anchor=st.sampled_from(["", "first", "last"]),
    ),
)
plain = st.builds(
    Site,
    layer=st.integers(0, 11),
    kind=st.sampled_from(["MLP", "ATTN", "RESID_PRE", "RESID_MID", "RESID_POST"]),
    position=positions,
)
heads = st.builds(
    Site,
    layer=st.integers(0, 11),
    kind=st.sampled_from(["H", "H.Q", "H.K", "H.V", "H.PATTERN"]),
    index=st.integers(0, 11),
    position=positions,
)
neurons = st.builds(Site, layer=st.integers(0, 11), kind=st.just("N"), index=st.integers(0, 3071), position=positions)
embed = st.builds(Site, layer=st.just(-1), kind=st.just("EMBED"), position=positions)


late_heads = heads.map(lambda site: replace(site, layer=11))
paths = st.builds(
    lambda end, sender: replace(end, via=(replace(sender, layer=min(sender.layer, 9), kind=sender.letter),)),
    late_heads,
    st.one_of(heads, neurons, embed),
)
longer = st.builds(
    lambda path, end: replace(end, layer=11, kind="MLP", index=-1, via=(*path.via, replace(path, layer=10, via=()))),
    paths,
    plain,
)


@settings(deadline=None)
@given(st.one_of(plain, heads, neurons, embed, paths, longer))
def test_what_a_site_is_called_is_parsed_as_that_site(site: Site) -> None:
    assert parse(str(site), GPT2) == (site,)


def numbers(count: int) -> st.SearchStrategy[tuple[str, set[int]]]:
    """How a set of numbers below ``count`` may be written, with the numbers that it means."""
    one = st.integers(0, count - 1).map(lambda n: (str(n), {n}))
    span = st.tuples(st.integers(0, count - 1), st.integers(0, count - 1)).map(
        lambda ends: (f"{min(ends)}-{max(ends)}", {n for n in range(count) if min(ends) <= n <= max(ends)})
    )
    several = st.lists(one | span, min_size=1, max_size=4).map(
        lambda items: (f"[{', '.join(text for text, _ in items)}]", set().union(*(found for _, found in items)))
    )
    return one | span | several | st.just(("*", set(range(count))))


@settings(deadline=None)
@given(numbers(5), st.sampled_from("HN"), st.data())
def test_sets_and_ranges_mean_every_combination_once(
    layers: tuple[str, set[int]], letter: str, data: st.DataObject
) -> None:
    written, meant = data.draw(numbers(SMALL.layers[0].count(letter)))
    found = names(f"L{layers[0]}.{letter}{written}", SMALL)
    assert len(found) == len(set(found))
    assert set(found) == {f"L{layer}.{letter}{number}" for layer in layers[1] for number in meant}


garbage = st.text(st.sampled_from("LHN.[]0123456789-@{}| *,MPATEXRISDO_endfx+>"), max_size=24)
printable = st.text(st.characters(exclude_categories=("C", "Zl", "Zp")), max_size=24)
anatomies = st.sampled_from([GPT2, SMALL, NO_MLP, PARALLEL, HYBRID])


def attempt(address: str, anatomy: Anatomy) -> tuple[tuple[Site, ...], str]:
    """The sites of an address, or none and what is said instead."""
    try:
        return parse(address, anatomy), ""
    except AddressError as error:
        return (), str(error)


@settings(deadline=None, max_examples=400)
@given(garbage | printable, anatomies)
def test_whatever_is_written_is_parsed_or_refused_with_a_caret_inside_it(address: str, anatomy: Anatomy) -> None:
    sites, said = attempt(address, anatomy)
    if sites:
        assert all(parse(str(site), anatomy) == (site,) for site in sites)
    elif not address.strip():
        assert "an address is text" in said
    else:
        _, shown, caret, *_ = said.split("\n")
        assert shown == f"  {address}"
        assert caret.strip() == "^"
        assert 0 <= caret.index("^") - 2 <= len(address)


@settings(deadline=None)
@given(st.text(max_size=12))
def test_no_text_at_all_raises_anything_but_an_address_error(address: str) -> None:
    sites, said = attempt(address, GPT2)
    assert bool(sites) != bool(said)


@pytest.mark.parametrize("address", ["L{}.MLP", "L0.H{}", "L0.H[1,{}]", "L0.N0-{}", "L0.H0@-{}", "L0.H0@{{x}}[{}]"])
def test_a_number_too_long_for_python_to_read_is_an_address_error_too(address: str) -> None:
    with pytest.raises(AddressError):
        parse(address.format("9" * 5000) + "?", GPT2)


@pytest.mark.parametrize(
    ("address", "reason", "fault"),
    [
        ("L12.H0", "GPT-2 has layers 0-11", "12.H0"),
        ("L0.H0 | L3.H12@end", "GPT-2 has heads 0-11 in each layer", "12@end"),
        ("L0.N3072", "GPT-2 has neurons 0-3071 in each layer", "3072"),
        ("L0.H[1,5-3]", "the range 5-3 runs backwards", "[1,5-3]"),
        ("L0.HEAD3", "GPT-2 has no component 'HEAD'", "HEAD3"),
        ("L0.Mlp", "GPT-2 has no component 'Mlp'", "Mlp"),
        ("heads", "begins with a layer ('L5') or EMBED", "heads"),
        ("L5", "followed by a dot and a component", ""),
        ("L5.", "followed by a dot and a component", ""),
        ("L0.H", "H is followed by a number, a range ('0-5'), a set ('[6,9]') or '*'", ""),
        ("L0.H[1,,2]", "H is followed by a number", "[1,,2]"),
        ("L0.H[1,2", "H is followed by a number", "[1,2"),
        ("L0.H1@-0", "positions from the end begin at @-1, which is @end", "-0"),
        ("L0.H1@answer+1", "expected", "+1"),
        ("L0.H1@start", "a position is one of end, -2, *, {slot}", "start"),
        ("L0.H1@{x}[0]", "occurrences are counted from 1", "{x}[0]"),
        ("L0.H1@{x}.second", "a slot's tokens are {slot}.first and {slot}.last", ".second"),
        ("L0.H1@{x}.lastly", "a slot's tokens are {slot}.first and {slot}.last", ".lastly"),
        ("L0.H1@{x}.last[2]", "nothing more is expected here", "[2]"),
        ("L0.H1,L0.H2", "nothing more is expected here, except '@'", ",L0.H2"),
        ("L0.H1@end@end", "nothing more is expected here", "@end"),
        ("L0.H1.O", "a head's parts are Q, K, V, PATTERN", ".O"),
        ("L0.MLP.Q", "only heads have parts", ".Q"),
        ("L0.KV1.K", "each head has its own keys and values", "KV1.K"),
        ("L1.H2 -> L1.H3", "L1.H3 reads the stream before L1.H2 writes", "-> L1.H3"),
        ("L1.MLP -> L1.H3", "L1.H3 reads the stream before L1.MLP writes", "-> L1.H3"),
        ("L0.H1.Q -> L1.H3", "a path begins at what writes", "-> L1.H3"),
        ("L0.RESID_POST -> L1.H3", "a path begins at what writes", "-> L1.H3"),
        ("L0.H1 -> L1.RESID_PRE", "a path ends at what reads the stream", "-> L1.RESID_PRE"),
        ("L0.H1 -> LOGITS -> L1.H1", "a path ends at LOGITS", "-> L1.H1"),
        ("LOGITS", "LOGITS is where a path ends", "LOGITS"),
        ("L0.H1 ->", "an address begins with a layer", ""),
    ],
)
def test_a_refusal_says_what_is_wrong_and_points_at_it(address: str, reason: str, fault: str) -> None:
    said, pointed_at = refusal(address)
    assert reason in said
    assert pointed_at == fault


@pytest.mark.parametrize(
    ("address", "anatomy", "reason"),
    [
        ("L0.MLP", NO_MLP, "Attn-only has no MLP"),
        ("L0.N*", NO_MLP, "Attn-only has no neurons (it has no MLP)"),
        ("L0.RESID_MID", PARALLEL, "Pythia has no stream between attention and MLP (they run in parallel)"),
        ("L0.H1 -> L0.MLP", PARALLEL, "attention and MLP of a layer run side by side"),
        (
            "L0.H5.K",
            GROUPED,
            "Grouped has no keys and values of single heads (its heads share them): those of head 5 are KV1.K",
        ),
        ("L0.KV1", GROUPED, "a group of heads has a K and a V"),
        ("L0.KV4.K", GROUPED, "Grouped has groups of heads 0-1 in each layer"),
        (
            "L0.H1.Q",
            alike("Latent", 2, 4, 5, missing={"H.Q": "has no queries of single heads"}),
            "Latent has no queries",
        ),
    ],
)
def test_what_an_architecture_lacks_is_refused_with_the_reason(address: str, anatomy: Anatomy, reason: str) -> None:
    assert reason in refusal(address, anatomy)[0]


@pytest.mark.parametrize(
    ("address", "meaning"),
    [
        ("L*.H2", ["L1.H2", "L2.H2", "L3.H2"]),
        ("L*.H5", ["L3.H5"]),
        ("L*.ATTN", ["L1.ATTN", "L2.ATTN", "L3.ATTN"]),
        ("L*.N8", ["L3.N8"]),
        ("L*.N6 | L2.MLP", ["L0.N6", "L1.N6", "L3.N6", "L2.MLP"]),
        ("L*.H1.K", ["L1.H1.K"]),
        ("L*.KV1.V", ["L2.KV1.V", "L3.KV1.V"]),
        ("L*.H[0,5].Q", ["L3.H0.Q", "L3.H5.Q"]),
    ],
)
def test_a_star_for_the_layer_takes_those_that_have_what_follows(address: str, meaning: list[str]) -> None:
    assert names(address, HYBRID) == meaning


def test_every_head_of_layers_of_their_own_sizes() -> None:
    assert [str(site) for site in parse("L*.H*", HYBRID)] == [
        f"L{layer}.H{head}" for layer, heads in ((1, 4), (2, 4), (3, 8)) for head in range(heads)
    ]
    assert len(parse("L*.N*", HYBRID)) == 7 + 7 + 9


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        ("L0.H1", "L0 of Hybrid has no heads; L1-3 have"),
        ("L0-1.H*", "L0 of Hybrid has no heads; L1-3 have"),
        ("L0.ATTN", "L0 of Hybrid has no attention output that can be addressed (it has Conv); L1-3 have"),
        ("L2.N1", "L2 of Hybrid has no neurons (it routes tokens to experts); L0-1 and L3 have"),
        ("L1.H4", "L1 of Hybrid has heads 0-3"),
        ("L*.H8", "L1 of Hybrid has heads 0-3"),
        (
            "L3.H2.V",
            "L3 of Hybrid has no keys and values of single heads (its heads share them); L1 has: those of head 2 are KV1.V",
        ),
        ("L1.KV0.K", "L1 of Hybrid has no groups of heads"),
        ("L0.H1 -> L1.H1", "L0 of Hybrid has no heads; L1-3 have"),
    ],
)
def test_what_one_layer_lacks_is_refused_with_the_layers_that_have_it(address: str, reason: str) -> None:
    assert reason in refusal(address, HYBRID)[0]


def test_the_neurons_of_a_model_without_mlps_are_never_an_empty_answer() -> None:
    with pytest.raises(AddressError, match=r"no neurons|no MLP"):
        parse("L0.N*", NO_MLP)


@pytest.mark.parametrize(
    ("address", "nearest"),
    [("L5.mlp", "L5.MLP"), ("L5.RESID", "L5.RESID_PRE"), ("L5.ATN", "L5.ATTN"), ("L0.H1 | L5.mlp@end", "L5.MLP")],
)
def test_a_refusal_names_the_nearest_address(address: str, nearest: str) -> None:
    with pytest.raises(AddressError) as caught:
        parse(address, GPT2)
    assert str(caught.value).partition("nearest: ")[2].split(", ")[0] == nearest


@settings(deadline=None)
@given(garbage | st.sampled_from(["L0.MLP", "L1.RESID_MID", "L0.N1"]), anatomies)
def test_what_a_refusal_suggests_is_an_address_of_the_model(address: str, anatomy: Anatomy) -> None:
    _, said = attempt(address, anatomy)
    for suggestion in filter(None, said.partition("\n  nearest: ")[2].split(", ")):
        assert parse(suggestion, anatomy)


@pytest.mark.parametrize("address", ["L0.H1 |\n  L5.X", "\tL5.X"])
def test_the_caret_stands_under_the_fault_whatever_white_space_precedes_it(address: str) -> None:
    with pytest.raises(AddressError) as caught:
        parse(address, GPT2)
    lines = str(caught.value).split("\n")
    caret = next(number for number, line in enumerate(lines) if line.strip() == "^")
    assert lines[caret - 1].isprintable()
    assert lines[caret - 1][lines[caret].index("^")] == "X"


@pytest.mark.parametrize("address", ["", "  ", None, 3, ["L0.H1"]])
def test_only_text_is_an_address(address: object) -> None:
    with pytest.raises(AddressError, match=r"an address is text such as 'L5\.H1'"):
        parse(address, GPT2)  # type: ignore[arg-type]


def test_the_class_token_and_patches_of_pictures_are_positions() -> None:
    assert names("L9.H6@cls | L2.MLP@patch{3,10}") == ["L9.H6@cls", "L2.MLP@patch{3,10}"]
    [site] = parse("EMBED@patch{0,1}", GPT2)
    assert site.position == Position(patch="patch{0,1}")
    assert site.position != Position(slot="patch")
    for wrong in ("L0.MLP@patch", "L0.MLP@patch{1}", "L0.MLP@patch{1,2", "L0.MLP@clst", "L0.MLP@patch{a,b}"):
        with pytest.raises(AddressError):
            parse(wrong, GPT2)
