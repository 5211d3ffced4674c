"""Features of the bundled model's dictionaries (two seeds, `make bundled-dictionary`), and what such claims must be asked."""

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from circuitcheck import ClaimRefuted, PromptPairs, contrast

pytestmark = pytest.mark.circuit(dictionary="L1.RESID_POST=bundled-seed0")

FRUIT = PromptPairs(
    "I climbed up the {tree} tree and picked a {tree}. I climbed up the {fruit} tree and picked",
    tree=["pear", "plum", "fig"],
    fruit=contrast(
        clean=["apple", "orange", "olive", "avocado", "almond"],
        corrupt=["lemon", "banana", "peach", "cherry", "lime"],
    ),
    answer=" an",
    foil=" a",
)
SITE, ARTICLE = "L1.RESID_POST", "L1.RESID_POST.F82"


def test_a_feature_for_the_article(model):
    """One feature of 512 restores more than a quarter of the ' an' - ' a' logit difference."""
    assert model.on(FRUIT).patch(ARTICLE) > 0.25


def test_more_than_random_features_do(model):
    """... and more than features that are drawn."""
    assert model.on(FRUIT).patch(ARTICLE).beats_random(n=20)


@pytest.mark.xfail(raises=ClaimRefuted, reason="three features share it: F82, F70 and F338 restore 0.34, 0.29 and 0.14")
def test_one_feature_carries_the_article_alone(model):
    """The feature restores most of the difference by itself, as one neuron does."""
    assert model.on(FRUIT).patch(ARTICLE) > 0.5


def test_what_the_dictionary_does_not_explain_carries_nothing(model):
    """The dictionary's error restores less than 5 % of it."""
    assert model.on(FRUIT).patch(f"{SITE}.ERROR") < 0.05


def test_the_feature_comes_back_under_another_seed(model):
    """A dictionary of another seed has the same direction, with a cosine above 0.9."""
    assert model.on(FRUIT).dictionary(SITE).matched("bundled-seed1", feature=82) > 0.9


def test_not_all_features_do(model):
    """... but of all features that are active here the mean is below 0.8."""
    assert model.on(FRUIT).dictionary(SITE).matched("bundled-seed1") < 0.8


def test_the_dictionary_explains_more_than_directions_that_nobody_learnt(model):
    """With as many directions at a token, neither random ones nor the stream's axes explain as much."""
    assert model.on(FRUIT).dictionary(SITE).beats_random()


def test_the_feature_fires_where_the_article_is_an(model):
    """Of all tokens, it tells those after which the model says ' an' from the others."""
    assert model.activation(ARTICLE, predicts=" an", on=FRUIT).auc > 0.95


def test_a_third_feature_restores_a_tenth_of_it(model):
    """F338 alone restores more than a tenth of the difference."""
    assert model.on(FRUIT).patch(f"{SITE}.F338@end") > 0.1


@pytest.mark.xfail(raises=ClaimRefuted, reason="F67 of 512 random directions restores 0.14, as much as F338 does")
def test_a_feature_that_nobody_trained_does_not(model, tmp_path):
    """A tenth is a sign of a feature that was learnt: in a dictionary of random directions none restores as much."""
    untrained = model.with_dictionary("L2.RESID_PRE", _random(tmp_path / "random"))
    assert untrained.on(FRUIT).patch("L2.RESID_PRE.F67@end") < 0.1


def _random(folder: Path, width: int = 128, n: int = 512, k: int = 8) -> Path:
    """A top-k dictionary of random directions, as SAELens writes one; L2 reads the stream that L1 leaves."""
    rows = np.random.default_rng(0).standard_normal((n, width))
    rows -= rows.mean(1, keepdims=True)
    rows = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    zeros = {"b_enc": np.zeros(n, np.float32), "b_dec": np.zeros(width, np.float32)}
    folder.mkdir()
    save_file({"W_enc": np.ascontiguousarray(rows.T), "W_dec": rows, **zeros}, folder / "sae_weights.safetensors")
    said = {"architecture": "topk", "k": k, "d_in": width, "d_sae": n, "apply_b_dec_to_input": True}
    kwargs = {"center_writing_weights": True, "fold_ln": True}
    metadata = {"hook_name": "blocks.2.hook_resid_pre", "model_from_pretrained_kwargs": kwargs}
    (folder / "cfg.json").write_text(json.dumps(said | {"dtype": "float32", "metadata": metadata}))
    return folder
