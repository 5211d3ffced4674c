"""What can be read of the article in activations, and what the model makes of it: probes and directions."""

import pytest

from circuitcheck import ClaimRefuted, PromptPairs, contrast
from circuitcheck.reference_models.bundled.vocabulary import A_NOUNS, AN_NOUNS, FEMALE_NAMES, MALE_NAMES


def sought(nouns: slice) -> PromptPairs:
    """Some of the nouns with "an", each against one with "a"."""
    return PromptPairs(
        "They sold the {other}. We looked for the {noun} and found",
        noun=contrast.pairs(list(zip(AN_NOUNS[nouns], A_NOUNS[nouns], strict=True))),
        other=["train", "spoon", "island"],
        answer=" an",
        foil=" a",
    )


NOUNS, SOME, OTHERS = sought(slice(20, 70)), sought(slice(20, 45)), sought(slice(45, 70))
WENT = PromptPairs(
    "{name} went to the {place} because",
    name=contrast.pairs(list(zip(FEMALE_NAMES, MALE_NAMES, strict=True))),
    place=["store", "park", "school"],
    answer=" she",
    foil=" he",
)


def takes_an(fillers):
    return fillers["noun"] in AN_NOUNS


def test_the_article_is_readable_at_the_noun(model):
    """Behind the first layer, which article a noun takes is read at the noun: of nouns that the probe has never seen, and
    better than arbitrary classes of nouns, or in models that were never trained."""
    probe = model.on(NOUNS).probe("L0.RESID_POST@{noun}", takes_an)
    assert probe.accuracy > 0.9
    assert probe.beats_controls()


def test_attention_brings_it_to_the_end(model):
    """At the last token it is readable behind the first layer's attention, and not in front of it.

    It survives the mutant of the position: attention brings it to the token before the last one, too.
    """
    assert model.on(NOUNS).probe("L0.RESID_MID@end", takes_an).accuracy > 0.9
    assert model.on(NOUNS).probe("L0.RESID_PRE@end", takes_an).accuracy < 0.7


def test_a_name_has_its_gender_from_the_start(model):
    """The embedding of a name has the gender of names that the probe has never seen."""
    probe = model.on(WENT).probe("EMBED@{name}", "side")
    assert probe.accuracy > 0.8
    assert probe.beats_controls()


def test_readable_is_not_used(model):
    """In what L0.H1 brings to the last token the article is readable; but patching the head restores nothing."""
    run = model.on(NOUNS)
    assert run.probe("L0.H1@end", takes_an).accuracy > 0.75
    assert run.patch("L0.H1@end") == pytest.approx(0, abs=0.05)


@pytest.mark.xfail(raises=ClaimRefuted, strict=True, reason="any labelling of six nouns is read as well, in any model")
def test_which_noun_it_was_says_something_about_the_model(model):
    """Which of six nouns was named is read at the noun, behind other nouns than the probe has seen, beyond all controls."""
    behind = PromptPairs(
        "They sold the {other}. We looked for the {noun} and found",
        noun=contrast.pairs(list(zip(AN_NOUNS[20:23], A_NOUNS[20:23], strict=True))),
        other=list(A_NOUNS[30:40]),
        answer=" an",
        foil=" a",
    )
    assert model.on(behind, generalise="other").probe("L0.RESID_POST@{noun}", "noun").beats_controls()


def test_one_direction_carries_it(model):
    """Behind the second layer, at the last token, one direction of 128, found on other nouns, carries nine tenths of the
    article, and no random direction in which the stream is moved as far does as much."""
    direction = model.on(SOME).mean_difference("L1.RESID_POST@end")
    effect = model.on(OTHERS).patch("L1.RESID_POST@end", along=direction)
    assert effect > 0.9
    assert effect.beats_random(40)


def test_one_direction_of_the_embedding_makes_most_of_the_article(model):
    """The mean difference of 25 nouns' embeddings from 25 others' restores three fifths for nouns that are none of these."""
    direction = model.on(SOME).mean_difference("EMBED@{noun}")
    assert model.on(OTHERS).patch("EMBED@{noun}", along=direction) > 0.6


@pytest.mark.xfail(raises=ClaimRefuted, strict=True, reason="0.18: what tells best is not what is written most")
def test_what_a_probe_reads_is_what_the_mlp_writes(model):
    """Along the direction that a probe reads in L1.MLP's output, the patch restores half, as the whole output does."""
    direction = model.on(SOME).probe("L1.MLP@end", takes_an).direction
    assert model.on(OTHERS).patch("L1.MLP@end", along=direction) > 0.5
