"""Prompts of unequal length: a noun with adjectives instead of a noun. What has a counterpart can be asked."""

from circuitcheck import Model, PromptPairs, contrast

LONGER = PromptPairs(
    "We looked for the {x} by the {place} and found",
    x=contrast(clean=["apple", "olive", "engine", "island"], corrupt=["big lemon", "heavy book", "small red boat"]),
    place=["river", "lake"],
    answer=" an",
    foil=" a",
)


def test_the_article_is_answered_on_prompts_of_either_length(model: Model) -> None:
    """The model says ' an' after the shorter prompts."""
    assert model.on(LONGER).accuracy > 0.9


def test_the_neuron_at_the_last_token(model: Model) -> None:
    """L1.N8 at the last token restores at least half of the ' an' - ' a' logit difference, as with nouns alone."""
    assert model.on(LONGER).patch("L1.N8@end") > 0.5


def test_what_the_first_layer_has_read(model: Model) -> None:
    """After the first layer nobody reads the noun at its last token any more."""
    assert model.on(LONGER).patch("L0.RESID_POST@{x}.last") < 0.1
