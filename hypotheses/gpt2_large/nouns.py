"""Nouns that are one token of GPT-2 behind a space, from plain to exotic, and the founding finding's template."""

from circuitcheck import PromptPairs, contrast

# fmt: off
VOWELS = [
    "apple", "orange", "olive", "almond", "onion", "egg", "oak", "avocado",
    "umbrella", "elephant", "eagle", "owl", "ant", "ape", "insect", "animal", "oven", "engine", "arrow", "axe", "anchor",
    "envelope", "instrument", "album", "essay", "article", "island", "ocean", "airport", "apartment", "office", "alley",
    "avenue", "attic", "arm", "elbow", "ankle", "eye", "ear", "organ", "artist", "actor", "author", "uncle", "aunt",
    "emperor", "engineer", "officer", "editor", "agent",
]
CONSONANTS = [
    "lemon", "banana", "peach", "cherry", "plum", "mango", "coconut", "tomato",
    "table", "dog", "cat", "horse", "lion", "tiger", "bear", "wolf", "fox", "goat", "pig", "duck", "snake", "frog", "chair",
    "lamp", "book", "pencil", "candle", "drum", "hammer", "mirror", "window", "door", "house", "river", "mountain", "forest",
    "garden", "bridge", "castle", "tower", "boat", "train", "truck", "king", "doctor", "teacher", "farmer", "diamond",
    "crown", "sword",
]
# fmt: on
TEMPLATE = "I climbed up the {tree} tree and picked a {tree}. I climbed up the {fruit} tree and picked"

# The prompt pair of the paper.
ORIGINAL = PromptPairs(
    TEMPLATE, tree="pear", fruit=contrast(clean=["apple"], corrupt=["lemon"]), answer=" an", foil=" a"
)
# What grows on trees: few enough to be evaluated whole.
FRUIT = PromptPairs(
    TEMPLATE,
    tree=["pear", "fig"],
    fruit=contrast(clean=VOWELS[:8], corrupt=CONSONANTS[:8]),
    answer=" an",
    foil=" a",
)
# Whatever else has a name.
NOUNS = PromptPairs(
    TEMPLATE,
    tree=["pear", "fig", "pine"],
    fruit=contrast(clean=VOWELS, corrupt=CONSONANTS),
    answer=" an",
    foil=" a",
)
# Each noun with its own article.
EITHER = PromptPairs(
    TEMPLATE,
    tree="pear",
    fruit=contrast.pairs([*zip(VOWELS, CONSONANTS, strict=True), *zip(CONSONANTS, VOWELS, strict=True)]),
    answer=lambda clean: " an" if clean["fruit"] in VOWELS else " a",
    foil=lambda clean: " a" if clean["fruit"] in VOWELS else " an",
)
