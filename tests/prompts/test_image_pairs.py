"""Descriptions of pairs of pictures, and what is done to their pixels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from circuitcheck import ImagePairs, MethodError, PromptError, PromptPairs, contrast
from circuitcheck.prompts.images.aligning import AlignedPicture
from circuitcheck.reference_models.bundled_images.drawing import fruit

if TYPE_CHECKING:
    from circuitcheck import Model

EPS = 6 / 255


def aligned(model: Model, pairs: PromptPairs) -> list[AlignedPicture]:
    return [pair for pair in model.on(pairs)._setup.sample.pairs if isinstance(pair, AlignedPicture)]


def grey(shade: str) -> Any:
    return np.full((32, 32, 3), float(shade))


def greys(draw: Any = grey, **more: Any) -> ImagePairs:
    return ImagePairs(draw, shade=contrast(clean=["0.25"], corrupt=["0.75"]), answer="lemon", foil="lime", **more)


def test_a_picture_is_the_call_that_draws_it(
    seeing: Model, lemons: ImagePairs, capsys: pytest.CaptureFixture[str]
) -> None:
    assert repr(lemons) == "ImagePairs(fruit(shape={shape}, shade={shade}, place={place}))"
    pair = aligned(seeing, lemons)[0]
    names = {name: clean for name, clean, _ in pair.pair.fillers}
    np.testing.assert_array_equal(pair.pixels("clean"), fruit(**names).astype(np.float32))
    assert pair.pair.clean.text == f"fruit({', '.join(f'{name}={filler}' for name, filler in names.items())})"
    lemons.show(seeing)
    assert capsys.readouterr().out.splitlines()[-1] == "  answer  'lemon'  foil  'banana'"


def test_whole_numbers_and_pictures_of_pil_are_read_as_the_same_pixels(seeing: Model) -> None:
    class Picture:
        """As PIL's are: this one is in grey."""

        def __init__(self, value: int):
            self.value = value

        def getbands(self) -> tuple[str, ...]:
            return ("L",)

        def convert(self, mode: str) -> Any:
            assert mode == "RGB"
            return np.full((32, 32, 3), self.value, dtype=np.uint8)

    def whole(shade: str) -> Any:
        return np.full((32, 32, 3), round(float(shade) * 255), dtype=np.uint8)

    def pil(shade: str) -> Any:
        return Picture(round(float(shade) * 255))

    [one], [other] = aligned(seeing, greys(whole)), aligned(seeing, greys(pil))

    assert one.clean == other.clean
    assert float(one.pixels("clean")[0, 0, 0]) == pytest.approx(64 / 255)


@pytest.mark.parametrize(
    ("drawn", "message"),
    [
        (np.zeros((16, 32, 3)), r"shape \(16, 32, 3\), and the model reads pictures of 32 x 32 pixels"),
        (np.full((32, 32, 3), 2.0), "outside 0 to 1"),
        (np.full((32, 32, 3), np.nan), "outside 0 to 1"),
        (np.zeros((32, 32, 3), dtype=np.int64), "outside 0 to 1"),
        ("a picture", "drew a str"),
    ],
)
def test_what_is_no_picture_of_the_models_size_is_an_error(seeing: Model, drawn: Any, message: str) -> None:
    with pytest.raises(PromptError, match=message):
        seeing.on(greys(lambda shade: drawn)).gap.measure()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ImagePairs(fruit, shape=["disc"], answer="lemon"), "draws with 'shade', which is no slot"),
        (lambda: ImagePairs("fruit", shape=["disc"], answer="lemon"), "takes a function that draws"),
        (lambda: greys(size=["big"]), "'size' is given but stands in no template"),
        (lambda: greys().attacked(eps=6), "pixels are in"),
        (lambda: greys().attacked(eps=EPS, steps=0), "whole number of steps"),
        (lambda: greys().attacked(eps=EPS).with_random_signs(eps=EPS), "changed already"),
        (lambda: ImagePairs(grey, shade=["0.5"], answer="lime").attacked(eps=EPS), "has no foil"),
        (
            lambda: (
                ImagePairs(grey, shade=["0.1", "0.2", "0.3", "0.4"], answer="lime", foil="lemon")
                .split("confirm")
                .attacked(eps=EPS)
            ),
            "comes before split",
        ),
        (lambda: greys().with_typos(), "no typographical errors"),
        (lambda: greys().with_prefix(["Look. "]), "no text can stand"),
        (lambda: ImagePairs.from_rows([]), "drawn by a function"),
    ],
)
def test_a_description_that_cannot_be_is_an_error(make: Any, message: str) -> None:
    with pytest.raises(PromptError, match=message):
        make()


def test_pictures_and_texts_go_to_models_that_read_them(
    seeing: Model, bundled: Model, lemons: ImagePairs, fruit: PromptPairs
) -> None:
    with pytest.raises(
        PromptError, match=r"bundled-images reads pictures, and 'I climbed .* is text: describe pictures, ImagePairs"
    ):
        seeing.on(fruit).gap.measure()
    with pytest.raises(PromptError, match="'fruit.shape=.* is a picture, and this model reads text"):
        bundled.on(lemons).gap.measure()
    with pytest.raises(MethodError, match="bundled-images reads pictures, and this is about texts"):
        seeing.activation("L1.N3", predicts=2, on=["a text"]).auc.measure()


@pytest.mark.parametrize("position", ["@patch{4,0}", "@-2", "@{shape}"])
def test_positions_are_the_class_token_and_patches(
    seeing: Model, bundled: Model, lemons: ImagePairs, position: str
) -> None:
    with pytest.raises(PromptError, match=r"@cls and @patch\{0,0\} to @patch\{3,3\}"):
        seeing.on(lemons).patch(f"L1.MLP{position}").measure()


def test_a_text_has_no_patches(bundled: Model, fruit: PromptPairs) -> None:
    with pytest.raises(PromptError, match=r"@patch\{1,2\} is a position in pictures, and 'I climbed"):
        bundled.on(fruit).patch("L1.MLP@patch{1,2}").measure()


def test_a_class_that_the_head_lacks_is_named(seeing: Model) -> None:
    pairs = ImagePairs(grey, shade=contrast(clean=["0.2"], corrupt=["0.3"]), answer="quince", foil="lemon")

    with pytest.raises(PromptError, match="has no class 'quince': .*'tomato', 'chili', 'lemon'"):
        seeing.on(pairs).gap.measure()


def test_what_cannot_be_drawn_says_why(seeing: Model) -> None:
    def broken(shade: str) -> Any:
        raise KeyError(shade)

    with pytest.raises(PromptError, match=r"broken\(shade=0.25\) cannot be drawn \(KeyError: '0.25'\)"):
        seeing.on(greys(broken)).gap.measure()


def test_another_function_of_the_same_name_is_another_population() -> None:
    def make(darker: float) -> Any:
        def grey(shade: str) -> Any:
            return np.full((32, 32, 3), float(shade) - darker)

        return grey

    assert greys(make(0.0)).identity == greys().identity
    assert greys(make(0.1)).identity != greys().identity
    assert greys().attacked(eps=EPS).identity != greys().attacked(eps=EPS + 1e-6).identity


def test_random_signs_move_each_colour_by_eps_and_stay_within_0_and_1(seeing: Model) -> None:
    def draw(shade: str) -> Any:
        return np.tile(np.array([0.0, float(shade), 1.0]), (32, 32, 1))

    pairs = ImagePairs(draw, shade=["0.4", "0.5"], answer="lemon", foil="lime")
    for pair in aligned(seeing, pairs.with_random_signs(eps=0.1)):
        moved = pair.pixels("corrupt") - pair.pixels("clean")
        assert np.unique(np.round(moved[..., 1], 5)).tolist() == pytest.approx([-0.1, 0.1])
        assert np.unique(np.round(moved[..., 0], 5)).tolist() == pytest.approx([0.0, 0.1])
        assert np.unique(np.round(moved[..., 2], 5)).tolist() == pytest.approx([-0.1, 0.0])
        assert abs(float(np.sign(moved[..., 1]).mean())) < 0.15
    again, others = (aligned(seeing, pairs.with_random_signs(eps=0.1, seed=seed)) for seed in (0, 1))
    assert again[0].corrupt == aligned(seeing, pairs.with_random_signs(eps=0.1))[0].corrupt
    assert {pair.corrupt for pair in again}.isdisjoint(pair.corrupt for pair in others)


def test_a_random_start_depends_on_seed_and_picture_alone(seeing: Model, lemons: ImagePairs) -> None:
    one, same, other = (
        aligned(seeing, lemons.attacked(eps=EPS, steps=2, random_start=True, seed=seed)) for seed in (0, 0, 1)
    )

    assert [pair.key for pair in one] == [pair.key for pair in same]
    assert {pair.corrupt for pair in one}.isdisjoint(pair.corrupt for pair in other)
    for pair in one:
        assert np.abs(pair.pixels("corrupt") - pair.pixels("clean")).max() <= EPS + 1e-6


def test_an_attack_that_was_made_elsewhere_says_so(seeing: Model, lemons: ImagePairs) -> None:
    untrained = seeing.untrained(0)

    moved = seeing.on(lemons.attacked(eps=EPS, by=untrained))

    assert "untrained" not in moved._setup.population
    assert moved._setup.population.endswith(f"made on {untrained.name} (transfer)")
    assert seeing.on(lemons.attacked(eps=EPS))._setup.population.endswith("made on the model itself (white box)")
    # What fools a model with random weights does nothing to this one.
    assert moved.gap.measure().estimate < 0.1 * seeing.on(lemons.attacked(eps=EPS)).gap.measure().estimate
    assert "12 of 12 attacks failed" not in seeing.on(lemons.attacked(eps=EPS)).gap.measure().notes[-1]


def test_clean_pictures_alone_are_enough_for_claims_about_these(seeing: Model) -> None:
    pairs = ImagePairs(fruit, shape=["disc", "egg"], shade=["canary", "gold"], answer="lemon", foil="banana")
    run = seeing.on(pairs)

    assert run.accuracy.measure().estimate == 1
    with pytest.raises(MethodError, match="needs corrupted prompts"):
        run.patch("L1.MLP").measure()


def test_halves_have_no_picture_in_common(seeing: Model) -> None:
    shapes = contrast(clean=["disc", "egg", "bun", "ball"], corrupt=["pod", "bar", "bow"])
    pairs = ImagePairs(fruit, shape=shapes, shade=["canary", "gold", "corn", "butter"], answer="lemon", foil="banana")
    halves = [aligned(seeing, pairs.split(half, by=("shape", "shade"))) for half in ("discover", "confirm")]

    one, other = ({picture for pair in half for picture in (pair.clean, pair.corrupt)} for half in halves)
    assert one
    assert other
    assert one.isdisjoint(other)


def test_a_counterexample_is_shrunk_to_the_plainest_picture(seeing: Model, lemons: ImagePairs) -> None:
    verdict = seeing.on(lemons).patch("L0.RESID_POST@cls").each > 0.5

    assert repr(verdict).startswith("<refuted")
    assert "fruit(shape=disc, shade=canary, place=middle)" in repr(verdict)


def test_an_adversary_with_gradients_is_for_texts(seeing: Model, lemons: ImagePairs) -> None:
    with pytest.raises(MethodError, match=r"bundled-images reads pictures: search against\('coordinate'\)"):
        _ = seeing.on(lemons).patch("L3.RESID_POST@cls").each.against("gradient") > 0.9
    assert repr(seeing.on(lemons).patch("L3.RESID_POST@cls").each.against("coordinate") > 0.9).startswith("<refuted")
