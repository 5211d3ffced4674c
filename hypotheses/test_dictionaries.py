"""Features of the bundled model's dictionaries (two seeds, `make bundled-dictionary`), and what such claims must be asked."""

import pytest

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
