"""The sentences the bundled model learns from and is examined on, generated from templates (standard library only).

Six tasks. Each sentence has a prompt, the text to be predicted after it, and the answers and foils of that place.
A stable hash of the fillers that matter keeps about one combination in eight out of training, so that an
examination on the "heldout" split asks for the rule and not for a memory.
"""

import itertools
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from circuitcheck.reference_models.bundled import vocabulary as words
from circuitcheck.texts import digest

TASKS: Final = ("articles", "ioi", "pronouns", "agreement", "induction", "greater_than")
SPLITS: Final = ("train", "heldout")

AN_SHARE: Final = 0.35

FOUNDING_TEMPLATE: Final = (
    "I climbed up the {other} tree and picked {other_article} {other}. I climbed up the {noun} tree and picked"
)
ARTICLE_TEMPLATES: Final = (
    "They sold the {other}. We looked for the {noun} and found",
    "We looked for the {noun}, not the {other}, and found",
    "There was {other_article} {other} on the floor. I wanted the {noun}, so I took",
    "He forgot the {other} but remembered the {noun}, so he brought",
)
ADJECTIVE_TEMPLATES: Final = (
    "She asked about the {adjective} {noun} and bought",
    "They liked the {adjective} {noun}, so they chose",
)
IOI_TEMPLATES: Final = (
    "When {first} and {second} went to the {place}, {giver} gave {article} {thing} to",
    "Then {first} and {second} met at the {place}. {giver} gave {article} {thing} to",
    "After {first} and {second} left the {place}, {giver} showed {article} {thing} to",
)
STORY_TEMPLATE: Final = "Once upon a time, there was a {kind} named {name}. One day,"
PRONOUN_TEMPLATES: Final = (
    "{name} went home because",
    "{name} went to the {place} because",
    "{name} lost the {thing}, so",
    "When {name} came home from the {place},",
)
PRESENT_TEMPLATES: Final = (
    "The {subject} {preposition} the {attractor}",
    "I think that the {subject} {preposition} the {attractor}",
)
PAST_TEMPLATES: Final = ("Yesterday the {subject} {preposition} the {attractor}",)
GREATER_TEMPLATE: Final = "The {event} lasted from the year {century}{start} to the year {century}"


@dataclass(frozen=True)
class Sentence:
    """A text in three parts; `answers` and `foils` are tokens for the first place of `target`."""

    task: str
    prompt: str
    target: str
    tail: str
    answers: tuple[str, ...]
    foils: tuple[str, ...]

    @property
    def text(self) -> str:
        """The whole text, as training reads it."""
        return self.prompt + self.target + self.tail


def held_out(*fillers: str) -> bool:
    """Whether this combination of fillers is kept out of training (one in eight, the same on every machine)."""
    return int(digest("|".join(fillers), 2), 16) % 8 == 0


def article(word: str) -> str:
    """The indefinite article of a word of the corpus, by its sound."""
    return "an" if word in _AN_WORDS else "a"


_AN_WORDS: Final = frozenset(words.AN_NOUNS + words.AN_ADJECTIVES)


def _either(rng: random.Random, left: tuple[str, ...], right: tuple[str, ...], share: float = 0.5) -> str:
    """A word of one of two classes, of the left one with probability `share`, whatever their sizes."""
    return rng.choice(left if rng.random() < share else right)


def _noun(rng: random.Random, fruit: bool) -> str:
    """A noun; as in English, fewer ask for "an" than for "a"."""
    if fruit:
        return _either(rng, words.AN_FRUITS, words.A_FRUITS, AN_SHARE)
    return _either(rng, words.AN_NOUNS, words.A_NOUNS, AN_SHARE)


def _articles(rng: random.Random, heldout: bool) -> Sentence | None:
    """One of three kinds: fruits in the founding template, other nouns, or an adjective before a noun."""
    kind = rng.random()
    fruit = kind < 0.35
    noun = _noun(rng, fruit)
    if kind < 0.75:
        other = _noun(rng, fruit)
        if noun == other or held_out("articles", noun, other) != heldout:
            return None
        template = FOUNDING_TEMPLATE if fruit else rng.choice(ARTICLE_TEMPLATES)
        prompt = template.format(noun=noun, other=other, other_article=article(other))
        right, tail = article(noun), f" {noun}."
    else:
        adjective = _either(rng, words.AN_ADJECTIVES, words.A_ADJECTIVES, AN_SHARE)
        if held_out("articles", adjective, noun) != heldout:
            return None
        prompt = rng.choice(ADJECTIVE_TEMPLATES).format(adjective=adjective, noun=noun)
        right, tail = article(adjective), f" {adjective} {noun}."
    return Sentence("articles", prompt, f" {right}", tail, (f" {right}",), (" a" if right == "an" else " an",))


def article_pair(rng: random.Random) -> tuple[str, str]:
    """Two prompts of the training split that differ in one noun: the first asks for "an", the second for "a"."""
    fruit = rng.random() < 0.5
    template = FOUNDING_TEMPLATE if fruit else rng.choice(ARTICLE_TEMPLATES)
    while True:
        other = _noun(rng, fruit)
        groups = (words.AN_FRUITS, words.A_FRUITS) if fruit else (words.AN_NOUNS, words.A_NOUNS)
        pair = [rng.choice(group) for group in groups]
        if other not in pair and not any(held_out("articles", noun, other) for noun in pair):
            first, second = (template.format(noun=n, other=other, other_article=article(other)) for n in pair)
            return first, second


def _ioi(rng: random.Random, heldout: bool) -> Sentence | None:
    """Two names, one of them again as the giver: the other is the receiver (both name orders occur)."""
    first, second = rng.sample(words.NAMES, 2)
    if held_out("ioi", *sorted((first, second))) != heldout:
        return None
    giver, receiver = (first, second) if rng.random() < 0.5 else (second, first)
    thing = rng.choice(words.THINGS)
    prompt = rng.choice(IOI_TEMPLATES).format(
        first=first, second=second, place=rng.choice(words.PLACES), giver=giver, article=article(thing), thing=thing
    )
    return Sentence("ioi", prompt, f" {receiver}", ".", (f" {receiver}",), (f" {giver}",))


def _pronouns(rng: random.Random, heldout: bool) -> Sentence | None:
    """The pronoun of a name; the story's "boy" or "girl" is at times only a "child"."""
    name = _either(rng, words.MALE_NAMES, words.FEMALE_NAMES)
    male = name in words.MALE_NAMES
    place, thing = rng.choice(words.PLACES), rng.choice(words.THINGS)
    kind = "child" if rng.random() < 0.5 else "boy" if male else "girl"
    template = rng.choice((STORY_TEMPLATE, *PRONOUN_TEMPLATES))
    prompt = template.format(name=name, place=place, thing=thing, kind=kind)
    if held_out("pronouns", prompt) != heldout:
        return None
    right, wrong = (" he", " she") if male else (" she", " he")
    return Sentence("pronouns", prompt, right, f" was {rng.choice(words.FEELINGS)}.", (right,), (wrong,))


def _agreement(rng: random.Random, heldout: bool) -> Sentence | None:
    """A subject and, behind a preposition, an attractor whose number is drawn independently of the subject's."""
    plural = rng.random() < 0.5
    subject = rng.choice(words.PLURALS if plural else words.SINGULARS)
    attractor = _either(rng, words.PLURALS, words.SINGULARS)
    if held_out("agreement", subject, attractor) != heldout:
        return None
    past = rng.random() < 0.4
    prompt = rng.choice(PAST_TEMPLATES if past else PRESENT_TEMPLATES).format(
        subject=subject, preposition=rng.choice(words.PREPOSITIONS), attractor=attractor
    )
    singular_verb, plural_verb = (" was", " were") if past else (" is", " are")
    right, wrong = (plural_verb, singular_verb) if plural else (singular_verb, plural_verb)
    return Sentence("agreement", prompt, right, f" {rng.choice(words.STATES)}.", (right,), (wrong,))


def _induction(rng: random.Random, heldout: bool) -> Sentence | None:
    """A list of 3 to 6 words said twice; held out by the pair (last word of the prompt, its successor).

    A training list holds no held-out pair of neighbours at all.
    """
    items = rng.sample(words.LIST_WORDS, rng.randint(3, 6))
    pairs = [held_out("induction", *pair) for pair in itertools.pairwise(items)]
    asked = rng.randrange(len(pairs)) if heldout else 0
    if heldout != pairs[asked] or (not heldout and any(pairs)):
        return None
    between = ", " if rng.random() < 0.6 else " "
    mark = between.rstrip()
    prompt = between.join(items) + mark + " " + between.join(items[: asked + 1]) + mark
    target = " " + between.join(items[asked + 1 :])
    answer = f" {items[asked + 1]}"
    foils = tuple(f" {item}" for item in items if f" {item}" != answer)
    return Sentence("induction", prompt, target, "", (answer,), foils)


def _greater_than(rng: random.Random, heldout: bool) -> Sentence | None:
    """A span of years within a century: any later two-digit ending is right."""
    event, century = rng.choice(words.EVENTS), rng.choice(words.CENTURIES)
    start = rng.randint(2, 98)
    if held_out("greater_than", event, century, words.ENDINGS[start]) != heldout:
        return None
    prompt = GREATER_TEMPLATE.format(event=event, century=century, start=words.ENDINGS[start])
    later, earlier = words.ENDINGS[start + 1 :], words.ENDINGS[: start + 1]
    return Sentence("greater_than", prompt, rng.choice(later), ".", later, earlier)


_MAKERS: Final[dict[str, Callable[[random.Random, bool], Sentence | None]]] = {
    "articles": _articles,
    "ioi": _ioi,
    "pronouns": _pronouns,
    "agreement": _agreement,
    "induction": _induction,
    "greater_than": _greater_than,
}


def sentences(task: str, split: str, rng: random.Random) -> Iterator[Sentence]:
    """Endless sentences of one task, of the split "train" or "heldout"; `rng` decides which."""
    if split not in SPLITS:
        raise ValueError(f"split must be one of {SPLITS}, not {split!r}")
    maker = _MAKERS[task]
    while True:
        made = maker(rng, split == "heldout")
        if made is not None:
            yield made


def examination(task: str, count: int = 300, split: str = "heldout", seed: int = 0) -> list[Sentence]:
    """`count` sentences to examine a model on: read `prompt`, `answers` and `foils`, repeatable by `seed`."""
    stream = sentences(task, split, random.Random(f"{task} {seed}"))
    return [next(stream) for _ in range(count)]


def vocabulary_texts() -> Iterator[str]:
    """Texts that together show every word in every form the sentences have it in (for the tokenizer)."""
    fillers = dict.fromkeys(
        ("other", "noun", "adjective", "first", "second", "place", "giver", "thing", "kind", "name"), "apple"
    )
    fillers |= dict.fromkeys(("subject", "attractor"), "key") | {"preposition": "near", "event": "war"}
    fillers |= {"other_article": "an", "article": "a", "century": "17", "start": "32"}
    templates = (FOUNDING_TEMPLATE, STORY_TEMPLATE, GREATER_TEMPLATE, *ARTICLE_TEMPLATES, *ADJECTIVE_TEMPLATES)
    for template in (*templates, *IOI_TEMPLATES, *PRONOUN_TEMPLATES, *PRESENT_TEMPLATES, *PAST_TEMPLATES):
        yield template.format_map(fillers)
    for group in (words.AN_NOUNS, words.A_NOUNS, words.AN_ADJECTIVES, words.A_ADJECTIVES, words.NAMES, words.PLACES,
                  words.THINGS, words.SINGULARS, words.PLURALS, words.PREPOSITIONS, words.STATES, words.FEELINGS,
                  words.EVENTS, words.LIST_WORDS):  # fmt: skip
        for word in group:
            yield f" {word}"
    yield from (*words.NAMES, *words.LIST_WORDS)
    yield from (" he", " she", " is", " are", " was", " were", " boy", " girl", " child", " an", " a")
