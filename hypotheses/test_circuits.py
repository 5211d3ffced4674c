"""Circuits as a whole: is it enough, is it all there is, is every part needed, does it make the model's mistakes?"""

import pytest

from circuitcheck import Circuit, ClaimRefuted, PromptPairs, contrast

FRUIT = PromptPairs(
    "I climbed up the {tree} tree and picked a {tree}. I climbed up the {fruit} tree and picked",
    tree=["pear", "plum"],
    fruit=contrast(clean=["apple", "orange", "olive"], corrupt=["lemon", "banana", "peach"]),
    answer=" an",
    foil=" a",
)
NAMES = ["John", "Mary", "Tom"]
GIFT = PromptPairs(
    "When {io} and {s} went to the {place}, {giver} gave a drink to",
    io=NAMES,
    s=NAMES,
    distinct=("io", "s"),
    giver=contrast(clean="{s}", corrupt="{io}"),
    place=["store", "park"],
    answer=" {io}",
    foil=" {s}",
)
MISSPELT = GIFT.with_typos(["case"])

ARTICLES = Circuit("L1.N8", readers="L0.H[0,2,3]", mover="L1.H2")
NAME_MOVERS = Circuit("L0.H* | L1.H*", movers="L2.H[1,2]")
FEW_HEADS = Circuit("L0.H3 | L1.H2 | L2.H2")


def test_four_heads_and_a_neuron_are_enough(model):
    """Four heads and L1.N8 by themselves do what the model does, up to a tenth."""
    assert model.on(FRUIT).keep(ARTICLES) == pytest.approx(1, abs=0.1)


def test_they_are_needed(model):
    """Without them more than four fifths of the behaviour are lost."""
    assert model.on(FRUIT).ablate(ARTICLES) > 0.8


def test_no_random_circuit_is_as_good_or_needed_as_much(model):
    """Of 20 circuits of four heads and a neuron none keeps as much, or is missed as much."""
    assert model.on(FRUIT).keep(ARTICLES).beats_random(n=20)
    assert model.on(FRUIT).ablate(ARTICLES).beats_random(n=20)


def test_they_are_complete(model):
    """Whatever members are taken out of both, what the model still does the circuit does too, up to a tenth."""
    assert model.on(FRUIT).completeness(ARTICLES) == pytest.approx(0, abs=0.1)


def test_each_of_them_matters(model):
    """Each of the five adds more than a tenth of the behaviour, given the others it needs."""
    assert model.on(FRUIT).minimality(ARTICLES) > 0.1


def test_nothing_gets_past_them(model):
    """With the five as they are in the corrupted run, the clean prompt is answered as the corrupted one, in every pair."""
    assert model.on(FRUIT).independence(ARTICLES) < 0.02


def test_the_neuron_leaves_names_alone(model):
    """Without L1.N8, half of the article is lost, and the names of the indirect objects are found as before."""
    assert model.on(FRUIT).ablate("L1.N8") > 0.4
    assert model.on(GIFT).ablate("L1.N8") == pytest.approx(0, abs=0.05)


@pytest.mark.xfail(raises=ClaimRefuted, strict=True, reason="L0.H1 does nothing here, whatever else is taken out")
def test_all_heads_of_the_first_layer_read_the_noun(model):
    """All four heads of layer 0 belong to the circuit of the article."""
    assert model.on(FRUIT).minimality("L0.H* | L1.H2 | L1.N8") > 0.1


def test_a_smaller_circuit_is_confirmed_on_fresh_pairs(model):
    """What is left of the heads of two layers and two neurons, found on one half of the pairs, keeps nine tenths on the other."""
    smaller = model.on(FRUIT).shrink("L0.H* | L1.H* | L1.N[3,8]", above=0.92)
    assert str(smaller.circuit) == "L0.H0 | L0.H2 | L0.H3 | L1.H2 | L1.N8"
    assert smaller.confirmed > 0.9


@pytest.mark.xfail(raises=ClaimRefuted, strict=True, reason="without L0.H3 and L2.H2 the model names the giver")
def test_three_heads_are_all_that_moves_names(model):
    """Three heads keep as much as the model does of the indirect object, and they are all there is to it."""
    assert model.on(GIFT).keep(FEW_HEADS) == pytest.approx(1, abs=0.1)
    assert model.on(GIFT).completeness(FEW_HEADS) == pytest.approx(0, abs=0.2)


def test_ten_heads_err_as_the_model_does(model):
    """Where a wrong capital letter misleads the model, which is rare, ten heads give the same wrong name nearly always."""
    run = model.on(MISSPELT)
    assert run.accuracy > 0.7
    assert run.agreement(NAME_MOVERS) > 0.8
    assert run.agreement(NAME_MOVERS, on="right") > 0.9


def test_three_heads_do_not(model):
    """Three heads give more than 95 % of the model's right names, and fewer than 60 % of its wrong ones."""
    run = model.on(MISSPELT)
    assert run.agreement(FEW_HEADS, on="right") > 0.95
    assert run.agreement(FEW_HEADS) < 0.6
