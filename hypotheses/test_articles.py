"""a / an before a noun that was named earlier: the founding finding of the field, in miniature."""

import pytest

from circuitcheck import ClaimRefuted, PromptPairs, contrast
from circuitcheck.reference_models.bundled.vocabulary import A_NOUNS, AN_NOUNS

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
EITHER = PromptPairs(
    "I climbed up the {tree} tree and picked a {tree}. I climbed up the {fruit} tree and picked",
    tree=["pear", "plum", "fig"],
    fruit=contrast.pairs([("apple", "lemon"), ("lemon", "apple"), ("olive", "peach"), ("peach", "olive")]),
    answer=lambda clean: " an" if clean["fruit"] in ("apple", "olive") else " a",
    foil=lambda clean: " a" if clean["fruit"] in ("apple", "olive") else " an",
)
FOUND = PromptPairs(
    "They sold the {other}. We looked for the {noun} and found",
    "He forgot the {other} but remembered the {noun}, so he brought",
    noun=contrast(
        clean=["onion", "umbrella", "elephant", "owl", "engine", "arrow", "envelope", "instrument", "egg", "oven"],
        corrupt=["table", "lamp", "river", "dog", "horse", "book", "candle", "drum", "hammer", "mirror"],
    ),
    other=["window", "train", "airplane", "island", "spoon", "anchor"],
    answer=" an",
    foil=" a",
)
MANY = PromptPairs(
    "They sold the {other}. We looked for the {noun} and found",
    other=["window", "train", "airplane", "island", "spoon", "anchor"],
    noun=contrast(clean=AN_NOUNS[:40], corrupt=A_NOUNS[:24]),
    answer=" an",
    foil=" a",
)


def test_the_model_knows_its_articles(model):
    """At least 99 % of the fruits get their own article, ' an' or ' a', whatever tree was climbed before."""
    assert model.on(EITHER).accuracy >= 0.99


def test_the_article_depends_on_the_noun(model):
    """Naming a noun with a vowel rather than one without moves ' an' - ' a' by more than 5 logits."""
    assert model.on(FOUND).gap > 5


def test_one_neuron_restores_the_article(model):
    """L1.N8 alone restores at least 40 % of the ' an' - ' a' logit difference."""
    assert model.on(FRUIT).patch("L1.N8") > 0.4


def test_it_does_so_for_other_nouns(model):
    """L1.N8 restores 40 % of the difference for nouns that grow on no tree."""
    assert model.on(FOUND).patch("L1.N8") > 0.4


def test_it_acts_where_the_article_is_predicted(model):
    """At the last token alone, L1.N8 restores as much."""
    assert model.on(FRUIT).patch("L1.N8@end") > 0.4


def test_it_does_so_for_every_pair(model):
    """L1.N8 restores at least a fifth of the mean difference in every pair."""
    assert model.on(FRUIT).patch("L1.N8").pairs_above(0.2) >= 1


def test_no_noun_breaks_it(model):
    """Whatever noun is looked for and whatever was sold or forgotten, L1.N8 restores a tenth of the mean difference."""
    assert model.on(FOUND).patch("L1.N8").each > 0.1


@pytest.mark.xfail(
    raises=ClaimRefuted,
    strict=True,
    reason="'They sold the window. We looked for the eagle and found', against a bottle: 0.332 of the mean difference",
)
def test_it_restores_as_much_in_every_pair(model):
    """L1.N8 restores more than half on average, and at least 0.36 in every pair; a rare one breaks it."""
    effect = model.on(MANY).patch("L1.N8")
    assert effect > 0.5
    assert effect.each.against("gradient") > 0.36


def test_it_is_needed(model):
    """Without what L1.N8 says of this noun (its mean instead), 40 % of the behaviour is lost."""
    assert model.on(FRUIT).ablate("L1.N8", "mean") > 0.4


def test_it_is_all_that_its_layer_does(model):
    """The whole L1 MLP restores three fifths, which is what L1.N8 does."""
    assert model.on(FRUIT).patch("L1.MLP") == pytest.approx(0.6, abs=0.05)


def test_no_other_neuron_of_its_layer_does_this(model):
    """L1.N8 restores 40 %, and more than every other neuron of its layer."""
    effect = model.on(FOUND).patch("L1.N8")
    assert effect > 0.4
    assert effect.beats("L1.N*")


def test_it_is_needed_by_any_method(model):
    """A third of the behaviour is lost without L1.N8, whether its mean or another noun's activation takes its place."""
    assert model.on(FOUND).ablate("L1.N8").across(values=["mean", "resample"], positions=["@end", "all"]) > 0.33


def test_it_would_do_so_for_new_nouns(model):
    """Of nouns like these, not just these, L1.N8 restores more than a quarter of the difference for most."""
    assert model.on(FOUND, generalise="noun").patch("L1.N8").new_above(0.25) > 0.5


def test_the_heads_and_one_neuron_are_enough(model):
    """With every MLP but L1.N8 at its mean, nine tenths of the behaviour stay; random neurons do not do that."""
    circuit = model.on(FRUIT).keep("L*.H* | L1.N8")
    assert circuit > 0.9
    assert circuit.beats_random(n=20)


def test_five_components_and_their_edges_are_enough(model):
    """The heads of layer 0 and L1.N8, which nothing but the logits hears, keep three quarters of the behaviour."""
    assert model.on(FRUIT).keep("L0.H* | L1.N8 -> LOGITS") > 0.75


def test_it_says_so_to_the_logits_itself(model):
    """What L1.N8 restores it writes straight into the last stream, without the last block's help."""
    assert model.on(FRUIT).patch("L1.N8 -> LOGITS") > 0.5


def test_it_is_no_matter_of_scale(model):
    """With every later normalisation dividing by what it divided by before, L1.N8 restores as much."""
    assert model.on(FRUIT).patch("L1.N8", ln="frozen") > 0.5


def test_it_reads_the_noun_from_the_first_attention(model):
    """What L1.N8 hears from the heads of layer 0 alone restores a third, the MLPs between held still."""
    assert model.on(FRUIT).patch("L0.H* -> L1.N8") > 0.33


def test_the_last_mlp_does_not_matter(model):
    """The MLP next to the answer is where one would look first; it restores nothing."""
    assert model.on(FRUIT).patch("L2.MLP") == pytest.approx(0, abs=0.05)


@pytest.mark.xfail(raises=ClaimRefuted, strict=True, reason="L1.N8 restores three fifths; attention does the rest")
def test_one_neuron_carries_nearly_all_of_it(model):
    """L1.N8 carries more than 80 % of the difference."""
    assert model.on(FRUIT).patch("L1.N8") > 0.8


@pytest.mark.xfail(raises=ClaimRefuted, strict=True, reason="zero is near what the neuron does before ' an'")
def test_zero_ablation_shows_that_it_is_needed(model):
    """Setting L1.N8 to zero loses 40 % of the behaviour, as its mean does."""
    assert model.on(FRUIT).ablate("L1.N8", "zero") > 0.4
