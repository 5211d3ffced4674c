"""Typographical errors in the words of a template that stand outside its slots.

>>> list(typos("I see {it}", ["swap"]))
['', 'see -> ese']
"""

import re
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache

# The slot that says what was done.
TYPO = "typo"
_LEAST_LETTERS = 3


def _swapped(word: str) -> Iterator[str]:
    for at in range(len(word) - 1):
        yield word[:at] + word[at + 1] + word[at] + word[at + 2 :]


def _dropped(word: str) -> Iterator[str]:
    for at in range(len(word)):
        yield word[:at] + word[at + 1 :]


def _doubled(word: str) -> Iterator[str]:
    for at in range(len(word)):
        yield word[: at + 1] + word[at:]


def _other_case(word: str) -> Iterator[str]:
    yield word[0].swapcase() + word[1:]
    yield word.upper()


_WAYS: dict[str, Callable[[str], Iterator[str]]] = {
    "swap": _swapped,
    "drop": _dropped,
    "double": _doubled,
    "case": _other_case,
}
KINDS = tuple(_WAYS)


def typos(template: str, kinds: Sequence[str]) -> dict[str, str]:
    """The template with each single error of these kinds, by what was done; under "" as it is.

    A word that occurs twice is distinguished by its number: "the[2] -> teh".
    """
    return _typos(template, tuple(kinds))


@lru_cache(maxsize=256)
def _typos(template: str, kinds: tuple[str, ...]) -> dict[str, str]:
    words = list(_words(template))
    found = {"": template}
    for number, (start, word) in enumerate(words):
        earlier, all_of_it = ([other for _, other in some].count(word) for some in (words[:number], words))
        name = word if all_of_it == 1 else f"{word}[{earlier + 1}]"
        for kind in kinds:
            for wrong in dict.fromkeys(_WAYS[kind](word)):
                if wrong != word:
                    found.setdefault(f"{name} -> {wrong}", template[:start] + wrong + template[start + len(word) :])
    return found


def _words(template: str) -> Iterator[tuple[int, str]]:
    """The words outside the slots, with where they begin; not those that a slot is a part of."""
    slots = [match.span() for match in re.finditer(r"\{\{|\}\}|\{\w+\}", template)]
    for match in re.finditer(r"[^\W\d_]+", template):
        inside = any(start <= match.start() < end for start, end in slots)
        touches = any(match.end() == start or match.start() == end for start, end in slots)
        if len(match[0]) >= _LEAST_LETTERS and not inside and not touches:
            yield match.start(), match[0]
