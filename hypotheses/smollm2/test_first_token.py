"""The first token, and a language's neuron (findings 38: Xiao et al. 2023; 39: Sun et al. 2024; 33: Gurnee et al. 2023).

In other sentences the first token's stream grew from 181 to 25,102 in layer 11, and 0.68 of the heads of the last half attended to it by more than half.
"""

import pytest
from behaviours import INDUCTION
from knowledge import BEGINNINGS

from circuitcheck import ClaimRefuted

pytestmark = pytest.mark.circuit(model="smollm2", optional=True)

REPEATED, LANGUAGES = INDUCTION.split("confirm"), BEGINNINGS.split("confirm")


@pytest.mark.parametrize(
    "head",
    [
        "L15.H0",
        "L18.H4",
        "L21.H1",
        "L24.H8",
        pytest.param(
            "L27.H5", marks=pytest.mark.xfail(raises=ClaimRefuted, strict=True, reason="it pays the first token 0.26")
        ),
    ],
)
def test_attention_goes_to_the_first_token(model, head):
    """Heads of the last half, of which five were named before any was looked at, attend to the first token by more than half (finding 38)."""
    assert model.on(REPEATED).attention(head, source="{first}[1]") > 0.5


@pytest.mark.xfail(raises=ClaimRefuted, strict=True, reason="0.22 is lost, and in some pairs nothing")
def test_without_one_mlp_at_the_first_token_most_is_lost(model):
    """With nothing from the MLP of layer 11 at the first token, most of the repeated word is lost (finding 39)."""
    assert model.on(REPEATED).ablate("L11.MLP@{first}[1]", "zero") > 0.5


def test_what_it_writes_there_is_always_the_same(model):
    """With its mean there nothing is lost: it is a constant, as massive activations are (finding 39)."""
    assert model.on(REPEATED).ablate("L11.MLP@{first}[1]", "mean") == pytest.approx(0, abs=0.05)


def test_one_neuron_tells_french_from_english(model):
    """L23.N424 alone, before an article, tells French from English beginnings that the probe has not seen: in more than six of ten (finding 33)."""
    assert model.on(LANGUAGES).probe("L23.N424@end", "side").accuracy > 0.6


def test_and_brings_some_of_the_language(model):
    """... and it restores more than a twentieth of the article's language: it was the first among 46,080 neurons on the discovering half."""
    assert model.on(LANGUAGES).patch("L23.N424@end") > 0.05
