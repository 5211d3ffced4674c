"""Concepts: what is to be read of a prompt, as a class, and by which fillers it must be new.

    "side"                                  clean or corrupted
    "io"                                    the filler of a slot, or the value of a row's column: each a class
    "order"                                 the value of a variable, as ``PromptPairs(variables=...)`` has it
    lambda noun: noun[0] in "aeiou"         a function of slots, columns and variables, or of the mapping of all fillers

A concept that looks at one slot is asked of new fillers of that slot: nothing else tells a concept from a list of words
learnt by heart. Of others ``model.on(pairs, generalise=...)`` says what must be new.
"""

import math
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from circuitcheck.errors import MethodError
from circuitcheck.prompts.aligned_pairs import AlignedPair
from circuitcheck.prompts.pairs import Side
from circuitcheck.prompts.tokens import Tokens
from circuitcheck.prompts.variables.algorithms import Algorithm
from circuitcheck.prompts.variables.functions import Function, Values

Concept = str | Callable[..., Hashable]
Numbers = NDArray[np.intp]
# Where a column's labels can be dealt out in fewer ways than this among its values, they are among prompts: of 39 draws one would too often be
# the labels themselves.
_FEW_WAYS = 400
# Fewer fillers, or templates, than this say nothing about new ones.
_LEAST = 6


@dataclass(frozen=True)
class Task:
    """Distinct prompts with the class of each, all of shape [prompt].

    ``sources``: in which pair a prompt stands, and on which side; ``carriers``: among what labels can be dealt out at random, the
    combination of fillers that the concept looks at, or the group where a column is the label itself; ``groups``: which filler of the slot ``by`` (or which template). ``of_pairs``, of shape
    [pair, side]: the prompts of each pair.
    """

    name: str
    by: str
    classes: tuple[str, ...]
    sources: tuple[tuple[int, Side], ...]
    labels: Numbers
    carriers: Numbers
    groups: Numbers
    group_names: tuple[str, ...]
    of_pairs: Numbers

    def __str__(self) -> str:
        counts = [len(set(self.groups[self.labels == label])) for label in range(len(self.classes))]
        shown = [f"{name} ({count})" for name, count in zip(self.classes, counts, strict=True)]
        return f"{self.name}: {', '.join(shown[:4])}{', ...' if len(shown) > 4 else ''}"

    @property
    def ways(self) -> int:
        """In how many ways labels can be dealt out among their carriers; a labelling is the same whatever its classes are called."""
        return _ways(self.labels, self.carriers)

    @property
    def new(self) -> str:
        """What the groups are, in words."""
        return "templates" if self.by == "template" else f"fillers of {{{self.by}}}"


def task_of(pairs: Sequence[AlignedPair], concept: Concept, by: str, algorithm: Algorithm) -> Task:
    """What a probe for the concept is to learn of these pairs' prompts, with the variables of their ``algorithm``, grouped by a slot or "template" (empty: by the slot
    that the concept looks at). Raises ``MethodError`` where that cannot be learnt."""
    name, asked, looked_at = _asked(pairs, concept, algorithm)
    by = by or _only(looked_at, name)
    sides = sides_of(pairs, concept)
    number: dict[Tokens, int] = {}
    sources: list[tuple[int, Side]] = []
    labels: list[Hashable] = []
    carriers: list[tuple[Hashable, ...]] = []
    groups: list[str] = []
    of_pairs = np.zeros((len(pairs), 2), dtype=np.intp)
    for row, pair in enumerate(pairs):
        for place, side in enumerate(sides):
            fillers, tokens = _fillers(pair, side), pair.tokens(side)
            label = asked[row, side]
            if tokens not in number:
                number[tokens] = len(number)
                sources.append((row, side))
                labels.append(label)
                carriers.append((label, *(fillers.get(slot, "") for slot in looked_at)))
                groups.append(_group(pair, fillers, by))
            if labels[number[tokens]] != label:
                both = f"{labels[number[tokens]]!r} in one pair and {label!r} in another"
                raise MethodError(f"{name} is no concept of a prompt: {_text(pair, side)!r} is {both}")
            of_pairs[row, place:] = number[tokens]
    classes: list[Hashable] = ["corrupt", "clean"] if concept == "side" else sorted(set(labels), key=str)
    group_names = list(dict.fromkeys(groups))
    _check(name, by, classes, labels, groups)
    numbered = _numbered(carriers)
    numbers = np.array([classes.index(label) for label in labels])
    if pairs[0].pair.columns and _ways(numbers, numbered) < _FEW_WAYS:
        # A column's values stand in no prompt: those of "truth", dealt out among themselves, are truth by another name.
        numbered = _numbered(list(zip(labels, groups, strict=True)))
    return Task(
        name,
        by,
        tuple(map(str, classes)),
        tuple(sources),
        numbers,
        numbered,
        np.array([group_names.index(group) for group in groups]),
        tuple(group_names),
        of_pairs,
    )


def sides_of(pairs: Sequence[AlignedPair], concept: Concept) -> tuple[Side, ...]:
    """Whose prompts a concept is asked about: a column is about the clean prompt of its row, and of a picture and the same one attacked only
    the clean one is what the fillers say."""
    pair = pairs[0].pair
    only_clean = not pair.is_contrast or ((bool(pair.columns) or pair.corrupt.is_changed) and concept != "side")
    return ("clean",) if only_clean else ("clean", "corrupt")


class _Watched(Values):
    """Fillers and variables that notice which fillers are looked at."""

    def __init__(self, fillers: Mapping[str, str], variables: Mapping[str, Function], looked_at: dict[str, None]):
        super().__init__(fillers, variables)
        self._looked_at = looked_at

    def _filler(self, name: str) -> str:
        self._looked_at[name] = None
        return super()._filler(name)


def _asked(
    pairs: Sequence[AlignedPair], concept: Concept, algorithm: Algorithm
) -> tuple[str, dict[tuple[int, Side], Hashable], list[str]]:
    """The concept's name, its answer for each prompt, and the slots that it looks at."""
    slots = list(dict.fromkeys(name for pair in pairs for name, _, _ in pair.pair.fillers))
    if not slots:
        raise MethodError(
            "these prompts have no slots, and no columns, so that a probe could not be asked about new fillers of one"
        )
    prompts: list[tuple[int, Side]] = [(row, side) for row in range(len(pairs)) for side in sides_of(pairs, concept)]
    if concept == "side":
        if not pairs[0].pair.is_contrast:
            raise MethodError("the side needs corrupted prompts, and these rows have none")
        differ = {name for pair in pairs for name, clean, corrupt in pair.pair.fillers if clean != corrupt}
        return "the side", {(row, side): side for row, side in prompts}, [slot for slot in slots if slot in differ]
    known = [*slots, *algorithm.variables]
    if isinstance(concept, str) and concept not in known:
        raise MethodError(
            f'{concept!r} is no slot and no column of these prompts; they have {", ".join(known)} (and "side")'
        )
    if not isinstance(concept, str) and not callable(concept):
        raise MethodError(
            f"a concept is a slot's name or a variable's, \"side\" or a function of the fillers, not {concept!r}"
        )
    looked_at: dict[str, None] = {}
    answers: dict[tuple[int, Side], Hashable] = {}
    function = (
        Function("the concept", lambda **given: given[concept], (concept,))
        if isinstance(concept, str)
        else Function.of("the concept", concept, known)
    )
    for row, side in prompts:
        fillers = _Watched(_fillers(pairs[row], side), algorithm.variables, looked_at)
        answers[row, side] = function(fillers)
    written = "{" + concept + "}" if isinstance(concept, str) else getattr(concept, "__name__", "<lambda>")
    if written == "<lambda>":
        written = f"a function of {', '.join('{' + slot + '}' for slot in looked_at)}"
    return written, answers, list(looked_at)


def _only(looked_at: Sequence[str], name: str) -> str:
    """The slot of which new fillers are asked about, where nobody says."""
    if name == f"{{{''.join(looked_at)}}}":
        raise MethodError(
            f"each filler of {name} is a class of its own, of which there can be no new ones: say what must be new "
            "instead, model.on(pairs, generalise=...), another slot or 'template'"
        )
    if len(looked_at) != 1:
        raise MethodError(
            f"{name} looks at {' and '.join('{' + slot + '}' for slot in looked_at) or 'no slot'}: say of what it is claimed "
            "when that is new, model.on(pairs, generalise=...), a slot or 'template'"
        )
    return looked_at[0]


def _group(pair: AlignedPair, fillers: Mapping[str, str], by: str) -> str:
    if by == "template":
        return str(pair.pair.template)
    if by not in fillers:
        raise MethodError(f"generalise={by!r} is no slot of these prompts; they have {', '.join(fillers) or 'none'}")
    return fillers[by]


def _check(name: str, by: str, classes: Sequence[Hashable], labels: Sequence[Hashable], groups: Sequence[str]) -> None:
    if len(classes) < 2:
        raise MethodError(f"{name} is {labels[0]!r} of every prompt: there is nothing to tell apart")
    words = "templates" if by == "template" else f"fillers of {{{by}}}"
    if len(set(groups)) < _LEAST:
        raise MethodError(
            f"a probe is a statement about new {words}, and {len(set(groups))} are too few to make it: it takes at least {_LEAST}"
        )
    for one in classes:
        members = {group for label, group in zip(labels, groups, strict=True) if label == one}
        if len(members) < 2:
            raise MethodError(
                f"{name} is {one!r} for one of the {words} alone, {min(members)!r}: nothing could be learnt of it from others"
            )


def _numbered(carriers: Sequence[tuple[Hashable, ...]]) -> Numbers:
    """Which of the distinct ones each is."""
    known = {carrier: place for place, carrier in enumerate(dict.fromkeys(carriers))}
    return np.array([known[carrier] for carrier in carriers])


def _ways(labels: Numbers, carriers: Numbers) -> int:
    _, first = np.unique(carriers, return_index=True)
    counts = np.bincount(labels[first]).tolist()
    several = math.factorial(sum(counts)) // math.prod(map(math.factorial, counts))
    return several // math.prod(math.factorial(counts.count(size)) for size in set(counts))


def _fillers(pair: AlignedPair, side: Side) -> dict[str, str]:
    return {name: clean if side == "clean" else corrupt for name, clean, corrupt in pair.pair.fillers}


def _text(pair: AlignedPair, side: Side) -> str:
    return pair.prompt(side).text
