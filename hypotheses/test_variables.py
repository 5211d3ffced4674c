"""What components carry: variables of the algorithms by which prompts are answered (see docs/reference/interchange.md)."""

import pytest

from circuitcheck import ClaimRefuted, PromptPairs

NAMES = ["John", "Mary", "Tom", "Anna", "James", "Emma"]
FEMALE, MALE = ["Mary", "Anna", "Emma", "Alice", "Jane"], ["John", "Tom", "James", "Mark", "Paul"]
PAIRS = {"dog": "dogs", "cat": "cats", "boy": "boys", "girl": "girls", "king": "kings"}
NOUNS = [*PAIRS, *PAIRS.values()]

# Who gives is one of two, and the other receives: is it known by its place in the sentence, or by its name?
GIFT = PromptPairs(
    "When {n1} and {n2} went to the store, {giver} gave a book to",
    n1=NAMES,
    n2=NAMES,
    giver=NAMES,
    distinct=("n1", "n2"),
    where=lambda giver, n1, n2: giver in (n1, n2),
    variables={
        "order": lambda n1, giver: "first" if giver == n1 else "second",
        "receiver": lambda n1, n2, order: n2 if order == "first" else n1,
    },
    answer=" {receiver}",
    foil=" {giver}",
)
AGREEMENT = PromptPairs(
    "The {subject} {preposition} the {attractor}",
    subject=NOUNS,
    preposition=["near", "behind"],
    attractor=NOUNS,
    where=lambda subject, attractor: subject.rstrip("s") != attractor.rstrip("s"),
    variables={"number": lambda subject: "many" if subject.endswith("s") else "one"},
    answer=lambda number: " are" if number == "many" else " is",
    foil=lambda number: " is" if number == "many" else " are",
)
PRONOUN = PromptPairs(
    "{name} went home because",
    name=[*FEMALE, *MALE],
    variables={"gender": lambda name: "she" if name in FEMALE else "he"},
    answer=" {gender}",
    foil=lambda gender: " he" if gender == "she" else " she",
)


def test_the_last_head_moves_away_from_the_giver(model):
    """L2.H2 at the last token carries who gives: with another giver's there, the other of the two receives."""
    assert model.on(GIFT).interchange("L2.H2@end", "giver") > 0.9


def test_by_as_much_as_the_answers_were_apart(model):
    """Four fifths of the way, in logits."""
    assert model.on(GIFT).interchange("L2.H2@end", "giver").of_gap > 0.7


@pytest.mark.xfail(
    raises=ClaimRefuted, strict=True, reason="a name of other people's sentence, whose place is nobody's here"
)
def test_it_moves_the_place(model):
    """L2.H2 carries whether the first or the second of the two gives, whoever they are."""
    assert model.on(GIFT).interchange("L2.H2@end", "order") > 0.5


@pytest.mark.xfail(raises=ClaimRefuted, strict=True, reason="it says who gives, and not who receives")
def test_it_moves_the_receiver(model):
    """L2.H2 carries the name of whom the book goes to."""
    assert model.on(GIFT).interchange("L2.H2@end", "receiver") > 0.5


def test_layer_1_knows_the_giver_at_its_token(model):
    """What layer 1's attention writes at the giver's token carries who gives."""
    assert model.on(GIFT).interchange("L1.ATTN@{giver}", "giver") > 0.9


def test_the_stream_has_the_giver_there(model):
    """So does the stream after it."""
    assert model.on(GIFT).interchange("L1.RESID_POST@{giver}", "giver") > 0.9


@pytest.mark.xfail(
    raises=ClaimRefuted, strict=True, reason="about a third: it is the name again, which is of the two by chance"
)
def test_layer_1_knows_the_place_there(model):
    """What layer 1's attention writes at the giver's token carries the place, whoever is there."""
    assert model.on(GIFT).interchange("L1.ATTN@{giver}", "order") > 0.5


@pytest.mark.xfail(
    raises=ClaimRefuted, strict=True, reason="at the last token nothing is known of who gives before layer 2"
)
def test_the_place_is_at_the_last_token_before_layer_2(model):
    """The stream before layer 2 has the place at the last token."""
    assert model.on(GIFT).interchange("L1.RESID_POST@end", "order") > 0.5


@pytest.mark.xfail(
    raises=ClaimRefuted, strict=True, reason="the source's answer comes with it: all that is there is no variable"
)
def test_all_that_the_last_token_has_is_the_place(model):
    """The last stream carries the place."""
    assert model.on(GIFT).interchange("L2.RESID_POST@end", "order") > 0.5


def test_who_gives_is_all_that_matters_of_the_last_head(model):
    """L2.H2 may have what it has in any other sentence in which the same one gives."""
    assert model.on(GIFT).scrub({"L2.H2@end": "giver"}) > 0.5


@pytest.mark.xfail(raises=ClaimRefuted, strict=True, reason="names of others say nothing of whom to leave out")
def test_the_place_is_all_that_matters_of_the_last_head(model):
    """L2.H2 may have what it has in any other sentence in which the first, or the second, gives."""
    assert model.on(GIFT).scrub({"L2.H2@end": "order"}) > 0.5


def test_the_number_is_moved_to_the_noun_before_the_verb(model):
    """After layer 0 the attractor's token carries the number of the subject."""
    assert model.on(AGREEMENT).interchange("L0.RESID_POST@{attractor}", "number") > 0.8


@pytest.mark.xfail(raises=ClaimRefuted, strict=True, reason="it was moved on in layer 0 already")
def test_the_subject_s_own_token_still_has_to_be_read(model):
    """After layer 0 the subject's token carries its number to the verb."""
    assert model.on(AGREEMENT).interchange("L0.RESID_POST@{subject}", "number") > 0.5


@pytest.mark.xfail(
    raises=ClaimRefuted, strict=True, reason="it moves the logits by a quarter of the way, which turns no answer"
)
def test_the_last_but_one_mlp_decides_the_number(model):
    """L1.MLP carries the number at the last token."""
    assert model.on(AGREEMENT).interchange("L1.MLP@end", "number") > 0.5


@pytest.mark.xfail(raises=ClaimRefuted, strict=True, reason="it is all at the last token by then")
def test_the_last_attention_brings_the_number(model):
    """Attention of the last layer brings the number to the last token."""
    assert model.on(AGREEMENT).interchange("L2.ATTN@end", "number") > 0.5


@pytest.mark.xfail(raises=ClaimRefuted, strict=True, reason="it is moved on in layer 0")
def test_gender_stays_with_the_name(model):
    """After layer 0 the name's token alone carries its gender."""
    assert model.on(PRONOUN).interchange("L0.RESID_POST@{name}", "gender") > 0.9


def test_a_subspace_of_the_stream_carries_the_giver(model):
    """At the giver's token a few dimensions, found on other sentences, carry who gives; nothing that was trained on noise does."""
    effect = model.on(GIFT).interchange("L1.RESID_POST@{giver}", "giver", along="trained")
    assert effect > 0.9
    assert effect.beats_controls()


@pytest.mark.xfail(
    raises=ClaimRefuted, strict=True, reason="of sentences it was not trained on, not one in five is moved"
)
def test_a_subspace_of_the_stream_carries_the_place(model):
    """At the giver's token one dimension carries whether the first or the second gives."""
    assert model.on(GIFT).interchange("L1.RESID_POST@{giver}", "order", along="trained") > 0.5
