"""a / an: is there a neuron for it in this model, as L31.N892 is in GPT-2 Large? (Miller and Neo 2023, *We found an neuron in GPT-2*)

L25.N1527 is the candidate that `find` puts first on the half "discover", among 46,080 neurons. Claims are about the other half. Thresholds
are the published ones where a claim says "finding", otherwise about four fifths of what was seen on the half "discover".
"""

import pytest
from behaviours import AGREEMENT, ARTICLES, SOUND
from texts import CONFIRM

from circuitcheck import ClaimRefuted, scaled

pytestmark = pytest.mark.circuit(model="smollm2", optional=True)

NEURON, FEEDER, AGAINST, HEAD = "L25.N1527@end", "L23.N1468@end", "L29.N947@end", "L23.H0@end"
THERE, SOUNDS = ARTICLES.split("confirm"), SOUND.split("confirm")


def test_one_neuron_restores_the_article(model):
    """L25.N1527 alone restores at least 40 % of the ' an' - ' a' logit difference (finding 1)."""
    assert model.on(THERE).patch(NEURON) > 0.4


def test_no_other_neuron_of_its_layer_does_that(model):
    """Of fifty neurons of its layer none restores as much."""
    assert model.on(THERE).patch(NEURON).beats("L25.N*", n=50)


@pytest.mark.xfail(
    raises=ClaimRefuted,
    strict=True,
    reason="0.128 of an apple that is sold at the fair, against 0.665 in the mean",
)
def test_every_pair_has_it(model):
    """Whatever the nouns, it restores a fifth of the mean difference."""
    assert model.on(THERE).patch(NEURON).each > 0.2


def test_no_noun_gets_past_the_head(model):
    """Whatever the nouns, what L23.H0 brings restores a tenth of the mean difference: no search by gradients finds two that break it."""
    assert model.on(THERE).patch(HEAD).each.against("gradient") > 0.1


# Of new nouns nothing is decided: that most have more than 0.3 by the neuron, or 0.4 by the head, is inconclusive. All eight nouns of the half
# "discover" had, and six of eight have here (95 % interval 0.349 to 0.968).


@pytest.mark.xfail(raises=ClaimRefuted, strict=True, reason="0.398, just less; on the half 'discover' it was 0.403")
def test_two_fifths_are_lost_without_it(model):
    """With its mean in its place, 40 % of the behaviour is lost (finding 2)."""
    assert model.on(THERE).ablate("L25.N1527") > 0.4


def test_it_is_needed(model):
    """With its mean in its place, 32 % of the behaviour is lost (four fifths of what was lost on the half "discover")."""
    assert model.on(THERE).ablate("L25.N1527") > 0.32


def test_negated_it_turns_the_article(model):
    """Its activation negated, as the post negates its input weights, costs 42 % of the difference (finding 2)."""
    assert model.on(THERE).ablate("L25.N1527", scaled(-1)) > 0.42


def test_no_neuron_writes_more_for_an(model):
    """Of all 46,080 neurons it is the most congruent with ' an' (finding 3)."""
    assert model.congruence("L25.N1527", " an").rank_among_neurons == 1


def test_it_writes_for_no_token_more_than_for_an(model):
    """... and of all 49,152 tokens ' an' is what it writes for most: each is the other's best."""
    congruence = model.congruence("L25.N1527", " an")
    assert congruence.rank_among_tokens == 1
    assert congruence.exclusive > 0


def test_it_writes_against_a(model):
    """What it writes is against ' a' (finding 3)."""
    assert model.congruence("L25.N1527", " a").value < 0


def test_it_fires_where_an_comes_next(model):
    """On ordinary text it is more active where the model says ' an' than in nine of ten other places (finding 4)."""
    assert model.activation("L25.N1527", predicts=" an", on=CONFIRM).auc > 0.9


def test_it_writes_the_article_straight_into_the_logits(model):
    """What it restores it writes itself: more than all of it, since others take back some."""
    assert model.on(THERE).direct(NEURON).of_gap > 0.95


def test_a_neuron_of_the_last_layer_takes_back(model):
    """L29.N947 works against it: patched, it takes away a third of the difference."""
    assert model.on(THERE).patch(AGAINST) < -0.3


def test_of_all_tokens_that_one_writes_most_for_a(model):
    """By its weights L29.N947 is an ' a' neuron: of all tokens it writes for ' a' most."""
    assert model.congruence("L29.N947", " a").rank_among_tokens == 1


def test_one_head_brings_the_noun(model):
    """L23.H0 attends to the noun from the last token, and restores three quarters of the difference."""
    run = model.on(THERE)
    assert run.attention("L23.H0", source="{noun}") > 0.35
    assert run.patch(HEAD) > 0.75


def test_the_head_is_heard_by_the_neuron(model):
    """More than half of the difference goes from L23.H0 to L25.N1527, straight or by MLPs between them."""
    assert model.on(THERE).patch("L23.H0@end -> L25.N1527", through="mlps") > 0.55


def test_a_neuron_between_them(model):
    """L23.N1468 hears the head, and the article neuron hears it: each step carries a quarter of the difference by itself."""
    run = model.on(THERE)
    assert run.patch("L23.H0@end -> L23.N1468") > 0.4
    assert run.patch("L23.N1468@end -> L25.N1527") > 0.28


def test_the_two_neurons_share_the_work(model):
    """Both together restore less than the sum of what each does: the first works by the second."""
    assert model.on(THERE).patch(f"{NEURON} | {FEEDER}").over_parts < 0.8


def test_it_has_nothing_to_do_with_verbs(model):
    """Without it nothing is lost of the agreement of verbs."""
    assert model.on(AGREEMENT.split("confirm")).ablate("L25.N1527") == pytest.approx(0, abs=0.02)


def test_the_head_carries_the_sound(model):
    """With what L23.H0 has in another noun's sentence, the article is the other noun's."""
    assert model.on(SOUNDS).interchange(HEAD, "sound") > 0.75


def test_the_neuron_carries_the_sound(model):
    """So it is, in most sentences, with what the neuron alone has there."""
    assert model.on(SOUNDS).interchange(NEURON, "sound") > 0.5


@pytest.mark.xfail(
    raises=ClaimRefuted,
    strict=True,
    reason="three in ten: it adds to what the article neuron hears, and turns few answers by itself",
)
def test_the_neuron_between_carries_the_sound(model):
    """L23.N1468, which restores half of the difference, decides most articles by itself."""
    assert model.on(SOUNDS).interchange(FEEDER, "sound") > 0.5


@pytest.mark.xfail(
    raises=ClaimRefuted, strict=True, reason="one in 27: it takes back some of what others wrote, and turns no answer"
)
def test_the_last_neuron_carries_the_sound(model):
    """L29.N947, which moves the logits by two fifths of the gap, decides articles."""
    assert model.on(SOUNDS).interchange(AGAINST, "sound") > 0.5


@pytest.mark.xfail(
    raises=ClaimRefuted,
    strict=True,
    reason="' apple' is its 19,691st token: it writes what is spelled 'an' (' an', 'An', 'aned', 'anse')",
)
def test_it_promotes_words_that_begin_with_a_vowel(model):
    """As MLPs promote what shares a concept, the article neuron promotes words that ' an' goes with (finding 36)."""
    assert model.congruence("L25.N1527", " apple").rank_among_tokens <= 1000
