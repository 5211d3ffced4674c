"""Sentences, reference distribution and circuit of "Interpretability in the Wild" (Wang et al. 2022, arXiv:2211.00593).

Names and things are single tokens of GPT-2. No BOS token stands in front, as in the authors' own data set.
"""

from circuitcheck import Circuit, PromptPairs, contrast, mean

# fmt: off
NAMES = [
    "Michael", "Jessica", "Matthew", "Ashley", "Jennifer", "Joshua", "Amanda", "Daniel", "David", "James", "Robert", "John", "Joseph",
    "Andrew", "Ryan", "Brandon", "Jason", "Justin", "Sarah", "William", "Jonathan", "Stephanie", "Brian", "Nicole", "Mary", "Thomas",
]
# fmt: on
PLACES = ["store", "garden", "restaurant", "school", "hospital", "office", "house", "station"]
THINGS = ["ring", "kiss", "bone", "basketball", "computer", "necklace", "drink", "snack"]

# Two of the fifteen have neither a place nor a thing, and would be drawn 64 times more rarely than the others: they are left out.
_TEMPLATES = [
    "Then, {} and {} went to the {place}. {giver} gave a {thing} to",
    "Then, {} and {} had a lot of fun at the {place}. {giver} gave a {thing} to",
    "Then, {} and {} were working at the {place}. {giver} decided to give a {thing} to",
    "Then, {} and {} were thinking about going to the {place}. {giver} wanted to give a {thing} to",
    "After {} and {} went to the {place}, {giver} gave a {thing} to",
    "When {} and {} got a {thing} at the {place}, {giver} decided to give it to",
    "When {} and {} got a {thing} at the {place}, {giver} decided to give the {thing} to",
    "While {} and {} were working at the {place}, {giver} gave a {thing} to",
    "While {} and {} were commuting to the {place}, {giver} gave a {thing} to",
    "After the lunch, {} and {} went to the {place}. {giver} gave a {thing} to",
    "Afterwards, {} and {} went to the {place}. {giver} gave a {thing} to",
    "The {place} {} and {} went to had a {thing}. {giver} gave it to",
    "Friends {} and {} found a {thing} at the {place}. {giver} gave it to",
]


def sentences(io: str, s: str, giver: str) -> PromptPairs:
    """Sentences of the paper, in either order of the names, and what stands at the three mentions in their corrupted prompts: "{receiver}" or
    "{subject}", or names of others, "{a}", "{b}" and "{c}"."""
    others = {name: NAMES for name in "abc" if f"{{{name}}}" in io + s + giver}
    return PromptPairs(
        *(text.replace("{}", "{s}", 1).replace("{}", "{io}", 1) for text in _TEMPLATES),
        *(text.replace("{}", "{io}", 1).replace("{}", "{s}", 1) for text in _TEMPLATES),
        receiver=NAMES,
        subject=NAMES,
        **others,
        distinct=("receiver", "subject", *others),
        io=contrast(clean="{receiver}", corrupt=io),
        s=contrast(clean="{subject}", corrupt=s),
        giver=contrast(clean="{subject}", corrupt=giver),
        place=PLACES,
        thing=THINGS,
        answer=" {receiver}",
        foil=" {subject}",
    )


# The corrupted prompts are the paper's reference distribution: three names, none of them twice.
SENTENCES = sentences("{a}", "{b}", "{c}")
ABC = mean(of="corrupt")
# What S-Inhibition heads are given in appendix A: whether who is named twice is in its own place, and whose name it is.
SAME_PLACE_ANY_NAME = sentences("{a}", "{b}", "{b}")
SAME_PLACE_OTHER_NAME = sentences("{subject}", "{receiver}", "{receiver}")
OTHER_PLACE_SAME_NAME = sentences("{subject}", "{receiver}", "{subject}")
OTHER_PLACE_ANY_NAME = sentences("{a}", "{b}", "{a}")
OTHER_PLACE_OTHER_NAME = sentences("{receiver}", "{subject}", "{receiver}")

# Appendix E and figure 2: 26 heads, each at the token at which the paper has it.
CIRCUIT = Circuit(
    movers="L9.H[6,9]@end | L10.H0@end",
    backups="L9.H[0,7]@end | L10.H[1,2,6,10]@end | L11.H[2,9]@end",
    negative="L10.H7@end | L11.H10@end",
    inhibition="L7.H[3,9]@end | L8.H[6,10]@end",
    induction="L5.H[5,8,9]@{giver} | L6.H9@{giver}",
    duplicate="L0.H[1,10]@{giver} | L3.H0@{giver}",
    previous="L2.H2@{s}+1 | L4.H11@{s}+1",
)
# Section 4.3: without backups, negative heads, and those that attend less clearly.
NAIVE = Circuit(
    movers="L9.H[6,9]@end | L10.H0@end",
    inhibition="L7.H[3,9]@end | L8.H[6,10]@end",
    induction="L5.H5@{giver} | L6.H9@{giver}",
    duplicate="L0.H1@{giver} | L3.H0@{giver}",
    previous="L2.H2@{s}+1 | L4.H11@{s}+1",
)
