"""A population without the fillers that a model's tokenizer can never align, and what was left out.

    fitting(pairs, aligner).left_out    # ("{fruit} = 'pomegranate' / 'lemon': 3 pairs whose prompts differ in token count in {fruit}, e.g. ...",)

Of a population that can be enumerated all pairs are tried; of a larger one some dozens that have the filler.
"""

import random
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace

from circuitcheck.addresses.sites import EVERYWHERE
from circuitcheck.errors import PromptError
from circuitcheck.prompts.aligned_pairs import AlignedPair
from circuitcheck.prompts.alignment import Aligner, Rejected, Rejections
from circuitcheck.prompts.populations import FIXED_SEED, Population
from circuitcheck.prompts.prompt_pairs import PromptPairs, of_description
from circuitcheck.prompts.slots import Choice
from circuitcheck.texts import plural

# Fillers of a slot that are named with their tokens.
_NAMED = 24
# Pairs that are tried of each filler of a population that is too large to be gone through.
_TRIED = 64

Option = tuple[str, tuple[str, str]]


@dataclass
class _Fillers:
    """Each slot's options as they were met: ``usable`` in some pair, ``rejected`` with reasons in others."""

    usable: set[Option] = field(default_factory=set)
    rejected: dict[Option, Rejections] = field(default_factory=dict)
    all_rejected: Rejections = field(default_factory=Rejections)


def fitting(pairs: PromptPairs, aligner: Aligner) -> PromptPairs:
    """The pairs without fillers, or rows, of which no pair corresponds token by token; raises ``PromptError`` where nothing is left."""
    description, aligner = pairs.description, aligner.where_corresponding(frozenset({EVERYWHERE}))
    if pairs.rows:
        outcomes = aligner.align(pairs.rows)
        kept = tuple(row for row, outcome in zip(pairs.rows, outcomes, strict=True) if isinstance(outcome, AlignedPair))
        rejected = Rejections.of(outcomes)
        _check_some(pairs, kept, rejected)
        return of_description(replace(description, rows=kept), _told(rejected), type(pairs))
    met = _met(Population(description, FIXED_SEED), aligner)
    _check_some(pairs, met.usable, met.all_rejected)
    left_out = [option for option in met.rejected if option not in met.usable]
    slots = {
        name: slot.only(lambda option, name=name: (name, option) not in left_out) if isinstance(slot, Choice) else slot  # type: ignore[misc]
        for name, slot in description.slots.items()
    }
    told = [
        f"{{{name}}} = {_written(option)}: {why}"
        for name, option in left_out
        for why in _told(met.rejected[name, option])
    ]
    return of_description(replace(description, slots=slots), tuple(told), type(pairs))


def _met(population: Population, aligner: Aligner) -> _Fillers:
    """What becomes of the pairs in which each option of each slot stands."""
    met = _Fillers()
    numbers = list(_numbers(population))
    outcomes = aligner.align([population.pair(number) for number in numbers])
    for number, outcome in zip(numbers, outcomes, strict=True):
        options = population.chosen(number)
        if isinstance(outcome, Rejected):
            for option in options:
                met.rejected.setdefault(option, Rejections()).add(outcome.reason, outcome.example)
            met.all_rejected.add(outcome.reason, outcome.example)
        else:
            met.usable.update(options)
    return met


def _numbers(population: Population) -> Iterator[int]:
    """Combinations in which every option of every slot stands: all, or some dozens of each option."""
    if population.is_enumerated:
        yield from filter(population.kept, range(population.combinations))
        return
    draw = random.Random(FIXED_SEED)
    for first in population.firsts:
        sizes = population.sizes(first)
        for slot, size in enumerate(sizes):
            for option in range(size):
                tries = ([draw.randrange(one) for one in sizes] for _ in range(_TRIED))
                numbers = (population.number(first, [*digits[:slot], option, *digits[slot + 1 :]]) for digits in tries)
                yield from filter(population.kept, numbers)


def _check_some(pairs: PromptPairs, left: "tuple[object, ...] | set[Option]", rejected: Rejections) -> None:
    if not left:
        raise PromptError(f"no pair of {pairs!r} can be used, whatever the fillers:\n  {rejected}")


def _told(rejected: Rejections) -> tuple[str, ...]:
    """Each reason, with how many pairs had it and an example."""
    counts = rejected.counts.most_common()
    return tuple(f"{plural(count, 'pair')} {reason}, e.g. {rejected.examples[reason]}" for reason, count in counts)


def _written(option: tuple[str, str]) -> str:
    clean, corrupt = option
    return repr(clean) if clean == corrupt else f"{clean!r} / {corrupt!r}"


def token_counts(pairs: Iterable[AlignedPair]) -> str:
    """How many tokens the fillers of each slot have, in words: ``{tree} pear 1, fig 1``; empty where there are no slots."""
    found: dict[str, dict[str, int]] = {}
    for pair in pairs:
        for side in ("clean", "corrupt") if any(pair.slots) else ():
            counts = Counter(pair.segments_of(side))
            for number, segment in enumerate(pair.prompt(side).segments):
                if segment.slot:
                    found.setdefault(segment.slot, {})[segment.text] = counts[number]
    return "; ".join(
        f"{{{slot}}} {', '.join(f'{text} {count}' for text, count in sorted(counts.items(), key=lambda one: one[1])[:_NAMED])}"
        f"{f' and {len(counts) - _NAMED} more' if len(counts) > _NAMED else ''}"
        for slot, counts in found.items()
    )
