"""Claims about pictures through pytest: attacks that are remembered, failed ones that are counted, what probes read under attack."""

from __future__ import annotations

import base64
import json
import struct
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from circuitcheck import MethodError, PromptError
from circuitcheck.models.images import attacking
from circuitcheck.prompts.images.aligning import AlignedPicture
from circuitcheck.reference_models.bundled_images.drawing import OUTLINES, fruit, kind_of
from tests.conftest import Claims

if TYPE_CHECKING:
    from circuitcheck import ImagePairs, Model

EPS = 6 / 255
CLAIMS = """
from circuitcheck import ImagePairs
from circuitcheck.reference_models.bundled_images.drawing import fruit, kind_of

LEMONS = ImagePairs(
    fruit, shape=contrast(clean=["disc", "egg", "bun"], corrupt=["pod"]), shade=["canary", "gold"], answer="lemon", foil="banana",
)

def test_the_attack_changes_the_class(model):
    assert model.on(LEMONS.attacked(eps=6 / 255)).gap > 5

def test_a_small_one_does_too(model):
    assert model.on(LEMONS.attacked(eps=1 / 255), readout="accuracy").gap > 0.5
"""


def test_claims_about_attacks_are_decided_and_their_pixels_remembered(
    claims: Claims, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = f"--circuit-store={tmp_path / 'store'}"
    first = claims(CLAIMS, store, model="bundled-images")

    first.assert_outcomes(passed=1, failed=1)
    first.stdout.fnmatch_lines(
        [
            "*refuted: gap [[]accuracy above the foil[]] > 0.5 accuracy: it is 0 (exact, n=6)*",
            "*the corrupted pictures are the clean ones attacked: iterated FGSM towards the foil, eps 0.00392, 8 steps, made on the model itself (white box)*",
            "*6 of 6 attacks failed to change the class as they aim to, and these pairs count, too*",
        ]
    )

    def attacked(*_: Any) -> Any:
        raise AssertionError("the pixels are in the store")

    monkeypatch.setattr(attacking, "attacked", attacked)
    claims(CLAIMS, store, model="bundled-images").assert_outcomes(passed=1, failed=1)


def shapes(**more: Any) -> ImagePairs:
    from circuitcheck import ImagePairs

    return ImagePairs(
        fruit,
        shape=[*list(OUTLINES["round"])[:6], *list(OUTLINES["long"])[:6]],
        shade=["canary", "gold", "corn"],
        answer=lambda shape: "lemon" if kind_of(shape) == "round" else "banana",
        foil=lambda shape: "banana" if kind_of(shape) == "round" else "lemon",
        **more,
    )


def is_round(shape: str) -> bool:
    return kind_of(shape) == "round"


def test_the_shift_is_of_probes_that_were_fitted_to_clean_pictures_of_other_shapes(seeing: Model) -> None:
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedGroupKFold
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    run = seeing.on(shapes().attacked(eps=EPS))
    pairs = run._setup.sample.pairs
    sites = run._setup.sites("L3.RESID_POST@cls")
    clean, attacked = (
        seeing._loaded.answers.activations(run._setup.sample, side, sites) for side in ("clean", "corrupt")
    )
    fillers = [{name: one for name, one, _ in pair.pair.fillers} for pair in pairs]
    labels = np.array([is_round(one["shape"]) for one in fillers])
    names = list(dict.fromkeys(one["shape"] for one in fillers))
    groups = np.array([names.index(one["shape"]) for one in fillers])
    shifts = np.zeros(len(pairs))
    for others, these in StratifiedGroupKFold(5, shuffle=True, random_state=0).split(clean, labels, groups):
        regression = LogisticRegression(class_weight="balanced", max_iter=10_000)
        probe = make_pipeline(StandardScaler(), regression).fit(clean[others], labels[others])
        for row in these:
            chances = [probe.predict_proba(side[row : row + 1])[0, int(labels[row])] for side in (clean, attacked)]
            shifts[row] = chances[0] - chances[1]

    measured = run.probe("L3.RESID_POST@cls", is_round).shift.measure()

    assert measured.exact
    np.testing.assert_allclose(measured.per_pair, shifts, atol=1e-6)
    assert measured.estimate > 0.3
    control = seeing.on(shapes().with_random_signs(eps=EPS)).probe("L3.RESID_POST@cls", is_round)
    assert abs(control.shift.measure().estimate) < 0.02


def test_a_probe_on_attacked_pictures_is_fitted_to_the_clean_ones(seeing: Model) -> None:
    attacked, clean = (
        seeing.on(pairs).probe("L5.RESID_POST@cls", is_round).accuracy.measure()
        for pairs in (shapes().attacked(eps=EPS), shapes())
    )

    assert attacked.estimate == clean.estimate == 1


def test_there_is_no_shift_where_nothing_is_changed(seeing: Model, lemons: ImagePairs) -> None:
    with pytest.raises(MethodError, match="has no shift here: .*attacked"):
        _ = seeing.on(lemons).probe("L5.RESID_POST@cls", "side").shift


def test_an_untrained_model_reads_the_same_pictures(seeing: Model) -> None:
    """Whose patches are known by their numbers alone."""
    untrained = seeing.untrained(3)
    run = seeing.on(shapes())
    sites = run._setup.sites("EMBED@patch{1,1}")

    there = untrained._loaded.answers.activations(run._setup.sample, "clean", sites)

    pairs = [pair for pair in run._setup.sample.pairs if isinstance(pair, AlignedPicture)]
    embedding = untrained.bridge.original_model.vit.embeddings.patch_embeddings.projection
    patch = pairs[0].pixels("clean")[8:16, 8:16]
    kernel, bias = embedding.weight.detach().numpy(), embedding.bias.detach().numpy()
    wanted = np.einsum("dcij,ijc->d", kernel, (patch - 0.5) / 0.5) + bias
    place = untrained.bridge.original_model.vit.embeddings.position_embeddings.detach().numpy()[0, 1 + 5]
    np.testing.assert_allclose(there[0], wanted + place, atol=1e-5)


def pixels_of(source: str) -> Any:
    """A PNG as it is written there, by zlib: of shape [row, column, colour]."""
    data = base64.b64decode(source.removeprefix("data:image/png;base64,"))
    width, height = struct.unpack(">II", data[16:24])
    length = struct.unpack(">I", data[33:37])[0]
    rows = np.frombuffer(zlib.decompress(data[41 : 41 + length]), dtype=np.uint8).reshape(height, 1 + 3 * width)
    assert not rows[:, 0].any()
    return rows[:, 1:].reshape(height, width, 3)


def test_the_page_shows_pictures_and_their_amplified_difference(claims: Claims, pytester: pytest.Pytester) -> None:
    claims(CLAIMS, "--circuit-json=r.json", "--circuit-html=r.html", model="bundled-images")

    report = json.loads((pytester.path / "r.json").read_text())
    [claim] = [one for one in report["claims"] if "changes_the_class" in one["nodeid"]]
    pairs = claim["effects"][0]
    assert "pictures" not in pairs["lowest"][1]
    pictures = pairs["lowest"][0]["pictures"]
    clean, corrupt, difference = map(pixels_of, pictures.values())
    text = pairs["lowest"][0]["clean"]
    fillers = {slot: filler for filler, slot in text if slot}
    np.testing.assert_array_equal(clean, np.round(255 * fruit(**fillers)))
    assert 0 < np.abs(corrupt.astype(int) - clean).max() <= 6
    times = float(list(pictures)[2].removeprefix("difference x "))
    assert times == pytest.approx(0.5 / EPS, rel=0.01)
    moved = (difference / 255 - 0.5) / times * 255
    np.testing.assert_allclose(moved, corrupt.astype(float) - clean, atol=1.1)
    assert f'src="{pictures["clean"]}"' in (pytester.path / "r.html").read_text()


def test_a_picture_that_is_attacked_several_times_counts_once(seeing: Model) -> None:
    from circuitcheck import ImagePairs

    def towards(foils: list[str]) -> Any:
        pairs = ImagePairs(
            fruit, shape=list(OUTLINES["round"])[:8], shade=["canary"], aim=foils, answer="lemon", foil="{aim}"
        )
        return seeing.on(pairs.attacked(eps=EPS), readout="accuracy").gap.measure()

    once, twice = towards(["banana"]), towards(["banana", "chili"])

    assert once.exact
    assert not twice.exact
    assert twice.n == 16
    assert "as of new fillers of {picture}" in twice.population
    # What fools towards one foil and not towards the other is half of a picture.
    assert twice.low is not None
    assert twice.low < twice.estimate < once.estimate
    with pytest.raises(PromptError, match="'picture' cannot be a slot"):
        ImagePairs(lambda picture: None, picture=["a"], answer="lemon")
