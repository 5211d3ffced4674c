"""Patches along a direction: against closed forms of a linear model, and against plain hooks on a trained one."""

from typing import Any

import numpy as np
import pytest
import torch
from transformer_lens.tools.analysis.interchange import mean_difference_basis

from circuitcheck import ClaimRefuted, MethodError, Model, PromptPairs, contrast
from circuitcheck.experiments.probing.directions import Direction
from circuitcheck.settings import Settings
from circuitcheck.types import Floats
from tests import oracle
from tests.conftest import first
from tests.linear_words import WIDTH, Channel, centred, linear_words

CLEAN, CORRUPT = ([f"{side}{number}" for number in range(8)] for side in ("c", "d"))
PAIRS = PromptPairs(
    "see {other} and {noun} now",
    noun=contrast(clean=CLEAN, corrupt=CORRUPT),
    other=["e0", "e1"],
    answer=" yes",
    foil=" no",
)
DISCOVER, CONFIRM = PAIRS.split("discover"), PAIRS.split("confirm")


def unit(*rows: int) -> Floats:
    """A unit vector along differences of entries (2k, 2k + 1), from the second pair on."""
    vector = np.zeros(WIDTH)
    for row in rows:
        vector[2 * row], vector[2 * row + 1] = 1, -1
    found: Floats = vector / np.linalg.norm(vector)
    return found


def words(concept: Floats, scatter: float = 1.0, size: float = 4.0) -> dict[str, Floats]:
    """Vectors that scatter, with the concept (clean or corrupted) along a direction."""
    chance = np.random.default_rng(0)
    found = {word: centred(chance.normal(0, scatter, WIDTH)) for word in ("e0", "e1")}
    for sign, side in ((1, CLEAN), (-1, CORRUPT)):
        found |= {word: centred(chance.normal(0, scatter, WIDTH)) + sign * size * concept for word in side}
    return found


def differences(vectors: dict[str, Floats], pairs: PromptPairs, model: Model) -> Floats:
    """Clean minus corrupted noun's vector, of each pair."""
    fillers = [{name: couple for name, *couple in pair.pair.fillers} for pair in model.on(pairs)._setup.sample.pairs]
    return np.array([vectors[clean] - vectors[corrupt] for clean, corrupt in (one["noun"] for one in fillers)])


def test_a_patch_along_the_mean_difference_restores_what_was_planted() -> None:
    """The nouns differ along one direction, and are read along it and another: the share follows from the vectors."""
    concept, beside = unit(2), unit(3)
    vectors = words(concept)
    read = concept + beside
    model = linear_words(vectors, [Channel(0, read, 10.0)])
    direction = model.on(DISCOVER).mean_difference("EMBED@{noun}")
    mean = differences(vectors, DISCOVER, model).mean(0)
    assert direction.basis[:, 0] == pytest.approx(mean / np.linalg.norm(mean), abs=1e-5)
    assert abs(direction.basis[:, 0] @ concept) > 0.95
    found = differences(vectors, CONFIRM, model)
    along = (found @ direction.basis[:, 0]) * (direction.basis[:, 0] @ read)
    for site in ("EMBED@{noun}", "L0.RESID_PRE@{noun}"):
        there = direction if site == "EMBED@{noun}" else model.on(DISCOVER).mean_difference(site)
        for into in ("corrupt", "clean"):
            measured = model.on(CONFIRM).patch(site, into, along=there).measure()  # type: ignore[arg-type]
            assert measured.estimate == pytest.approx(along.sum() / (found @ read).sum(), abs=1e-4)
            assert measured.per_pair == pytest.approx(along / (found @ read).mean(), abs=1e-4)
    assert model.on(CONFIRM).patch("EMBED@{noun}", along=direction).beats_random(20)


@pytest.mark.parametrize("into", ["corrupt", "clean"])
@pytest.mark.parametrize(
    ("site", "hook", "component", "position"),
    first(
        2,
        [
            ("L1.RESID_POST@end", "blocks.1.hook_resid_post", ..., -1),
            ("L0.RESID_MID@{noun}", "blocks.0.hook_resid_mid", ..., 10),
            ("L2.MLP@end", "blocks.2.hook_mlp_out", ..., -1),
            ("L2.H1@end", "blocks.2.attn.hook_z", 1, -1),
            ("L1.N8 | L1.N3 | L1.N27@end", "", None, -1),
            ("L1.N[3,8,27]@end", "blocks.1.mlp.out.hook_in", [3, 8, 27], -1),
        ],
    ),
)
def test_it_is_what_plain_hooks_do(
    bundled: Model, site: str, hook: str, component: Any, position: int, into: str
) -> None:
    nouns = PromptPairs(
        "They sold the window. We looked for the {noun} and found",
        noun=contrast(clean=["onion", "umbrella", "owl", "egg"], corrupt=["table", "lamp", "river", "dog"]),
        answer=" an",
        foil=" a",
    )
    if component is None:
        with pytest.raises(MethodError, match="not one component, nor neurons of one layer, at one position"):
            bundled.on(nouns).mean_difference(site)
        return
    discover, confirm = bundled.on(nouns.split("discover")), bundled.on(nouns.split("confirm"))
    direction = discover.mean_difference(site)
    sides = [
        torch.stack(
            [
                oracle.activations(bundled, pair.tokens(side))[hook][0, position, component]
                for pair in discover._setup.sample.pairs
            ]
        )
        for side in ("clean", "corrupt")
    ]
    labels = [0] * len(sides[0]) + [1] * len(sides[1])
    basis = mean_difference_basis(torch.cat(sides), labels)
    assert abs(float(direction.basis[:, 0] @ basis[:, 0].numpy())) == pytest.approx(1, abs=1e-4)
    assert direction.basis[:, 0] @ (sides[0] - sides[1]).mean(0).numpy() > 0

    def edit(there: torch.Tensor, source: torch.Tensor) -> None:
        before = there[:, position, component].clone()
        step = (source[:, position, component] - before) @ basis @ basis.T
        there[:, position, component] = before + step

    expected = oracle.patched_share(bundled, confirm._setup.sample.pairs, hook, edit, into)
    measured = confirm.patch(site, into, along=direction).measure()  # type: ignore[arg-type]
    assert measured.estimate == pytest.approx(expected, abs=1e-4)
    assert direction.identity in measured.method.value


def test_along_all_directions_it_is_the_whole_patch(bundled: Model, fruit: PromptPairs) -> None:
    run = bundled.on(fruit)
    for site, width in (("L1.RESID_POST@end", 128), ("L0.H2@end", 32), ("L1.N*@end", 48)):
        everything = made_by_hand(bundled, site, np.eye(width))
        assert run.patch(site, along=everything).measure().per_pair == pytest.approx(
            run.patch(site).measure().per_pair, abs=1e-4
        )
        nothing = made_by_hand(bundled, site, np.zeros((width, 1)))
        assert run.patch(site, along=nothing).measure().per_pair == pytest.approx(np.zeros(12))


def made_by_hand(model: Model, site: str, basis: Floats) -> Direction:
    sites = tuple(sorted(model.on(PAIRS)._setup.sites(site)))
    return Direction(sites, basis, "made by hand", model.fingerprint, (), repr(basis))


def test_a_direction_that_the_model_does_not_use_is_told_by_its_whole() -> None:
    """Makelov's illusion: head 0 reads the concept and does nothing with it; another of its channels, which is always 0,
    would vote. Along the sum of both a patch restores the behaviour that head 1 makes."""
    concept = unit(2)
    vectors = words(concept, scatter=0.1)
    channels = [Channel(0, concept, 0.0), Channel(0, np.zeros(WIDTH), 10.0), Channel(1, concept, 10.0)]
    model = linear_words(vectors, channels)
    run = model.on(CONFIRM)
    basis = np.zeros((WIDTH // 2, 1))
    basis[:2] = 2**-0.5
    illusion = run.patch("L0.H0@end", along=made_by_hand(model, "L0.H0@end", basis))
    whole = run.patch("L0.H0@end").measure()
    assert whole.estimate == pytest.approx(0, abs=1e-5)
    assert illusion.measure().estimate == pytest.approx(0.5, abs=0.01)
    text = (illusion > 0.4).explain()
    assert "the whole that it is a part of has less effect" in text
    assert "it may move what the model leaves alone" in text
    basis[1] = 0
    honest = run.patch("L0.H1@end", along=made_by_hand(model, "L0.H1@end", basis / basis[0]))
    assert honest.measure().estimate == pytest.approx(1, abs=1e-4)
    assert "the whole that" not in (honest > 0.9).explain()


def test_random_directions_move_an_activation_as_far(bundled: Model) -> None:
    """Each in a direction of its own, and in the neurons that the direction is of, where it is of neurons."""
    chance = torch.Generator().manual_seed(0)
    destination, source = torch.randn(2, 5, 3, 48, generator=chance)
    basis = np.linalg.qr(np.random.default_rng(0).normal(size=(6, 2)))[0]
    direction = made_by_hand(bundled, "L1.N[1,2,4,8,16,32]@end", basis)
    subspace = direction.subspace(bundled._loaded, bundled.on(PAIRS)._setup.sites("L1.N[32,1,2,4,8,16]@-2"))
    wanted = (subspace(destination, source) - destination).norm(dim=-1)
    placebos = subspace.placebos(4, "seed")
    moves = [placebo(destination, source) - destination for placebo in placebos]
    for move in moves:
        assert move.norm(dim=-1) == pytest.approx(wanted, rel=1e-4)
        assert torch.linalg.matrix_rank(move.reshape(-1, 48)) == 2
        untouched = [n for n in range(48) if n not in (1, 2, 4, 8, 16, 32)]
        assert not move[..., untouched].any()
    assert len({str(placebo) for placebo in placebos}) == 4
    assert not torch.allclose(moves[0], moves[1])
    assert torch.equal(moves[0], subspace.placebos(1, "seed")[0](destination, source) - destination)


def test_random_directions_beside_it(bundled: Model, fruit: PromptPairs) -> None:
    """A random direction is ranked among random ones, and an effect says where it stands among them."""
    run = bundled.on(fruit)
    basis = np.linalg.qr(np.random.default_rng(1).normal(size=(128, 1)))[0]
    drawn = run.patch("L1.RESID_POST@end", along=made_by_hand(bundled, "L1.RESID_POST@end", basis))
    with pytest.raises(ClaimRefuted, match="among 30 random directions == 1"):
        assert drawn.beats_random(30)
    controls = drawn.measure().controls
    assert controls is not None
    assert controls.of == 17
    assert controls.whole == pytest.approx(run.patch("L1.RESID_POST@end").measure().estimate, abs=1e-4)  # type: ignore[union-attr]
    assert "random direction" in controls.best  # type: ignore[union-attr]


def test_a_direction_says_nothing_of_the_pairs_that_it_was_found_on() -> None:
    model = linear_words(words(unit(2)), [Channel(0, unit(2), 10.0)])
    direction = model.on(PAIRS).mean_difference("EMBED@{noun}")
    with pytest.raises(MethodError, match="found on 128 of these 128 pairs"):
        model.on(PAIRS).patch("EMBED@{noun}", along=direction).measure()
    with pytest.raises(MethodError, match=f"found on {len(model.on(CONFIRM)._setup.sample.pairs)} of these"):
        assert model.on(CONFIRM).patch("EMBED@{noun}", along=direction) > 0.1
    of_half = model.on(DISCOVER).mean_difference("EMBED@{noun}")
    assert "some of the prompts were seen" in (model.on(CONFIRM).patch("EMBED@{noun}", along=of_half) > 0.1).explain()
    other = PromptPairs("see {noun} now", noun=contrast(clean=CLEAN, corrupt=CORRUPT), answer=" yes", foil=" no")
    assert "seen" not in (model.on(other).patch("EMBED@{noun}", along=of_half) > 0.1).explain()


def test_of_a_population_that_is_drawn_from_it_is_found_on_reference_pairs() -> None:
    model = linear_words(words(unit(2)), [Channel(0, unit(2), 10.0)], Settings(whole=32))
    direction = model.on(PAIRS).mean_difference("EMBED@{noun}")
    assert direction.pairs == model.on(PAIRS)._setup.reference.sample.pairs
    assert f"from {len(direction.pairs)} pairs" in str(direction)


def test_what_cannot_be_is_said(bundled: Model, fruit: PromptPairs) -> None:
    run = bundled.on(fruit)
    direction = bundled.on(fruit.split("discover")).mean_difference("L1.RESID_POST@end")
    confirm = bundled.on(fruit.split("confirm"))
    with pytest.raises(MethodError, match="lies in L1.RESID_POST@end, not in L2.RESID_POST@end"):
        confirm.patch("L2.RESID_POST@end", along=direction)
    with pytest.raises(MethodError, match="not in L1.RESID_POST@end and 1 more"):
        confirm.patch("L1.RESID_POST@end | L1.MLP@end", along=direction)
    other = linear_words(words(unit(2)), [])
    with pytest.raises(MethodError, match="found in another model than linear"):
        other.on(PAIRS).patch("L0.RESID_POST@end", along=direction)
    with pytest.raises(MethodError, match="one token of each prompt is read"):
        run.mean_difference("L1.RESID_POST")
    with pytest.raises(MethodError, match="there is no difference"):
        run.mean_difference("L1.RESID_POST@{tree}[1]")
    effect = confirm.patch("L1.RESID_POST@end", along=direction)
    with pytest.raises(MethodError, match="beats_random"):
        effect.beats("L1.RESID_PRE")
    with pytest.raises(MethodError, match="adversary with gradients takes whole components"):
        effect._estimand.experiment.slopes(confirm._setup.sample.pairs[0])
    assert effect.each > 0.1
    alone = bundled.on(fruit.split("discover")).mean_difference("L1.N8@end")
    with pytest.raises(MethodError, match="there is no other in it"):
        confirm.patch("L1.N8@end", along=alone).beats_random(5)
    assert confirm.patch("L1.N8@end", along=alone).measure().per_pair == pytest.approx(
        confirm.patch("L1.N8@end").measure().per_pair, abs=1e-4
    )


def test_another_position_may_be_patched(bundled: Model, fruit: PromptPairs) -> None:
    direction = bundled.on(fruit.split("discover")).mean_difference("L1.RESID_POST@end")
    effect = bundled.on(fruit.split("confirm")).patch("L1.RESID_POST@end", along=direction)
    assert effect.across(positions=["@end", "all"]) > 0.9
    with pytest.raises(ClaimRefuted):
        assert effect.across(positions=["@end", "@-2"]) > 0.9


def test_a_direction_may_steer_other_pairs_than_its_own() -> None:
    """Added to the corrupted noun, it moves the vote by what is read along it."""
    model = linear_words(words(unit(2)), [Channel(0, unit(2), 10.0)])
    direction = model.on(DISCOVER).mean_difference("EMBED@{noun}")
    measured = model.on(CONFIRM).steer("EMBED@{noun}", direction, 3.0).raw.measure()
    # Of five tokens, "see {other} and {noun} now", each is attended to alike.
    assert measured.estimate == pytest.approx(3.0 * direction.vector @ unit(2) * 10.0 / 5, abs=1e-3)
    with pytest.raises(MethodError, match="found on"):
        model.on(PAIRS).steer("EMBED@{noun}", direction).measure()
    with pytest.raises(MethodError, match="there is no one vector"):
        _ = made_by_hand(model, "EMBED@{noun}", np.eye(WIDTH)).vector
