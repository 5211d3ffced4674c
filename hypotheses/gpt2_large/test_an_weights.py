"""What the weights of GPT-2-Large say of the neuron, and what can be read off its runs (Miller & Neo 2023)."""

import pytest
from nouns import EITHER, FRUIT, ORIGINAL

pytestmark = pytest.mark.circuit(model="gpt2-large", optional=True)


@pytest.mark.parametrize(("token", "value"), [(" an", 2.75), (" a", 0.17), (" cat", 0.18)])
def test_congruence_is_what_the_paper_says(model, token, value):
    """What L31.N892 writes, beside the embedding of ' an': 2.75; of ' a' and ' cat': next to nothing."""
    assert model.congruence("L31.N892", token, against="embedding").value == pytest.approx(value, abs=0.02)


def test_it_is_the_most_congruent_neuron(model):
    """Of all 184,320 neurons none writes ' an' as L31.N892 does."""
    assert model.congruence("L31.N892", " an").rank_among_neurons == 1


def test_an_is_what_it_writes(model):
    """Of all 50,257 tokens L31.N892 writes ' an' most."""
    assert model.congruence("L31.N892", " an").rank_among_tokens == 1


@pytest.mark.parametrize(("neuron", "token"), [("L31.N892", " an"), ("L33.N4142", "i")])
def test_neuron_and_token_are_each_others_best(model, neuron, token):
    """Mutually exclusive congruence: L31.N892 with ' an', and the paper's best pair, L33.N4142 with 'i'."""
    assert model.congruence(neuron, token, against="embedding").exclusive > 0


@pytest.mark.parametrize(
    ("site", "logits"),
    [("L31.MLP", 1.223), ("L35.MLP", 0.454), ("L26.ATTN", 0.248), ("L33.MLP", -0.217), ("L26.H1", 0.256)],
)
def test_direct_attribution_is_what_the_paper_says(model, site, logits):
    """In the apple run, each writes its part of ' an' - ' a' directly."""
    assert model.on(ORIGINAL).direct(site) == pytest.approx(logits, abs=0.05)


def test_mlp_31_speaks_most_directly(model):
    """Of all MLPs, MLP 31 writes most of ' an' - ' a' directly."""
    assert model.on(FRUIT).direct("L31.MLP").beats("L*.MLP")


def test_the_lens_turns_at_mlp_31(model):
    """Read off the stream, ' an' - ' a' is higher behind MLP 31 than before it: the jump that led to the neuron."""
    run = model.on(FRUIT)
    assert run.lens("L31.RESID_POST") > run.lens("L31.RESID_MID")


def test_it_fires_where_an_is_predicted(model):
    """Among these prompts, L31.N892 is more active where ' an' is the top prediction than where it is not."""
    assert model.activation("L31.N892", predicts=" an", on=EITHER).auc > 0.9
